// The page at /: a picture in, the likeliest classes out. Talks to this server alone.
"use strict";

const at = (id) => document.getElementById(id);
let token = sessionStorage.getItem("token") || "";
let stream = null;
let latest = 0;

function headers(more = {}) {
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

function say(text, wrong = false) {
  at("message").textContent = text;
  at("message").classList.toggle("wrong", wrong);
}

function show(top) {
  at("bars").replaceChildren(...top.map(({ label, probability, superclass }) => {
    const [item, line, name, share, track, bar] = ["li", "div", "span", "span", "div", "div"].map((tag) => document.createElement(tag));
    line.className = "line";
    name.textContent = label.replaceAll("_", " ");
    if (superclass) {
      const small = document.createElement("small");
      small.textContent = `  ${superclass.replaceAll("_", " ")}`;
      name.append(small);
    }
    share.className = "share";
    share.textContent = `${(100 * probability).toFixed(1)} %`;
    track.className = "track";
    bar.className = "bar";
    // Set once it is on the page, so that it grows.
    requestAnimationFrame(() => { bar.style.width = `${100 * probability}%`; });
    line.append(name, share);
    track.append(bar);
    item.append(line, track);
    return item;
  }));
}

async function ask(picture) {
  const turn = ++latest;
  stopCamera();
  at("bars").replaceChildren();
  if (at("shown").src) URL.revokeObjectURL(at("shown").src);
  at("shown").hidden = true;
  say("Looking …");
  const url = URL.createObjectURL(picture);
  at("shown").onload = () => {
    at("shown").hidden = false;
    at("shown").classList.toggle("small", Math.max(at("shown").naturalWidth, at("shown").naturalHeight) < 128);
  };
  at("shown").onerror = () => { at("shown").hidden = true; };
  at("shown").src = url;
  let response;
  try {
    response = await fetch("/predict?top=5", {
      method: "POST",
      headers: headers({ "Content-Type": picture.type.startsWith("image/") ? picture.type : "application/octet-stream" }),
      body: picture,
    });
  } catch {
    if (turn === latest) say("The server does not answer, or the picture is too large for it. Is it still running?", true);
    return;
  }
  const answer = await response.json().catch(() => ({}));
  if (turn !== latest) return; // a newer picture has taken its place
  if (response.status === 401) {
    askForToken();
  } else if (Array.isArray(answer)) {
    const [{ top, error }] = answer;
    if (error) say(`This picture cannot be read: ${error}.`, true);
    else {
      say(`Most likely ${top[0].label.replaceAll("_", " ")}.`);
      show(top);
      // On a phone they would be below the edge.
      at("bars").scrollIntoView({ block: "nearest" });
    }
  } else {
    say(typeof answer.detail === "string" ? `${answer.detail}.` : `The server answered ${response.status}.`, true);
  }
}

function askForToken() {
  at("access").hidden = false;
  at("token").focus();
  say(token ? "That token is not the right one." : "Give the token first.", true);
}

async function introduce() {
  const response = await fetch("/model", { headers: headers() }).catch(() => null);
  if (response?.status === 401) return askForToken();
  if (!response?.ok) return say("The server does not answer.", true);
  const { bundle, classes, card, report } = await response.json();
  at("model").textContent = `${bundle.candidate}, ${classes.length} classes`;
  at("card").textContent = card;
  at("about").hidden = false;
  at("report").hidden = !report;
}

// A link cannot carry a token, so with one the page is fetched and saved.
async function follow(event) {
  if (!token) return;
  event.preventDefault();
  const { pathname } = new URL(event.currentTarget.href);
  const response = await fetch(pathname, { headers: headers() });
  if (!response.ok) return say(`The server answered ${response.status}.`, true);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = `${pathname.slice(1)}.html`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  at("camera").hidden = true;
  at("shoot").textContent = "Use the camera";
  at("hint").hidden = false;
}

async function shoot() {
  if (stream) {
    const canvas = document.createElement("canvas");
    canvas.width = at("camera").videoWidth;
    canvas.height = at("camera").videoHeight;
    if (!canvas.width) return;
    canvas.getContext("2d").drawImage(at("camera"), 0, 0);
    canvas.toBlob((picture) => picture && ask(picture), "image/png");
    return;
  }
  // Browsers give pages a live camera on this machine and over HTTPS alone; elsewhere a phone takes the photo itself.
  if (!navigator.mediaDevices?.getUserMedia) return at("photo").click();
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    return say(error.name === "NotAllowedError" ? "The browser does not let this page use the camera." : "There is no camera here.", true);
  }
  at("camera").srcObject = stream;
  at("camera").hidden = false;
  at("shown").hidden = true;
  at("hint").hidden = true;
  at("shoot").textContent = "Take the picture";
}

function take(files) {
  if (files?.length) ask(files[0]);
}

for (const id of ["file", "photo"]) {
  at(id).addEventListener("change", (event) => { take(event.target.files); event.target.value = ""; });
}
at("shoot").addEventListener("click", shoot);
for (const id of ["report", "docs"]) at(id).addEventListener("click", follow);
at("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value;
  sessionStorage.setItem("token", token);
  at("access").hidden = true;
  say("");
  introduce();
});
document.addEventListener("dragover", (event) => { event.preventDefault(); at("give").classList.add("over"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) at("give").classList.remove("over"); });
document.addEventListener("drop", (event) => { event.preventDefault(); at("give").classList.remove("over"); take(event.dataTransfer.files); });
document.addEventListener("paste", (event) => take(event.clipboardData.files));
introduce();
