// The page at /: shows the most probable classes of an image. It sends requests to this server only.
"use strict";

const byId = (id) => document.getElementById(id);
// A proxy may show the server under any path: everything is beside this script.
const home = new URL(".", document.currentScript.src);
// Other servers may be under other paths of the same host.
const kept = `token ${home.pathname}`;
let token = sessionStorage.getItem(kept) || "";
let stream = null;
let latest = 0;

const percent = (share) => `${(100 * share).toFixed(1)} %`;

function headers(more = {}) {
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

function showMessage(text, wrong = false) {
  byId("message").textContent = text;
  byId("message").classList.toggle("wrong", wrong);
}

function show(top) {
  byId("bars").replaceChildren(...top.map(({ label, probability, superclass }) => {
    const [item, line, name, share, track, bar] = ["li", "div", "span", "span", "div", "div"].map((tag) => document.createElement(tag));
    line.className = "line";
    name.textContent = label.replaceAll("_", " ");
    if (superclass) {
      const small = document.createElement("small");
      small.textContent = `  ${superclass.replaceAll("_", " ")}`;
      name.append(small);
    }
    share.className = "share";
    share.textContent = percent(probability);
    track.className = "track";
    bar.className = "bar";
    // Set in the next frame, so that the bar is animated.
    requestAnimationFrame(() => { bar.style.width = `${100 * probability}%`; });
    line.append(name, share);
    track.append(bar);
    item.append(line, track);
    return item;
  }));
}

async function predict(image) {
  const request = ++latest;
  stopCamera();
  byId("bars").replaceChildren();
  if (byId("shown").src) URL.revokeObjectURL(byId("shown").src);
  byId("shown").hidden = true;
  showMessage("Predicting …");
  const url = URL.createObjectURL(image);
  byId("shown").onload = () => {
    byId("shown").hidden = false;
    byId("shown").classList.toggle("small", Math.max(byId("shown").naturalWidth, byId("shown").naturalHeight) < 128);
  };
  byId("shown").onerror = () => { byId("shown").hidden = true; };
  byId("shown").src = url;
  let response;
  try {
    response = await fetch(new URL("predict?top=5", home), {
      method: "POST",
      headers: headers({ "Content-Type": image.type.startsWith("image/") ? image.type : "application/octet-stream" }),
      body: image,
    });
  } catch {
    if (request === latest) showMessage("The server does not respond, or the image is too large for it. Is it still running?", true);
    return;
  }
  const answer = await response.json().catch(() => ({}));
  if (request !== latest) return; // there is a newer image
  if (response.status === 401) {
    askForToken();
  } else if (Array.isArray(answer)) {
    const [{ top, error, unsure }] = answer;
    if (error) showMessage(`This image cannot be read: ${error}.`, true);
    else {
      showMessage(`${unsure ? "Unsure. " : ""}Most likely ${top[0].label.replaceAll("_", " ")}.`, Boolean(unsure));
      show(top);
      // On a phone they would be below the visible part of the page.
      byId("bars").scrollIntoView({ block: "nearest" });
    }
  } else {
    showMessage(typeof answer.detail === "string" ? `${answer.detail}.` : `The server responded with status ${response.status}.`, true);
  }
}

function askForToken() {
  byId("access").hidden = false;
  byId("token").focus();
  showMessage(token ? "This token is wrong." : "Enter the token first.", true);
}

async function showModel() {
  const response = await fetch(new URL("model", home), { headers: headers() }).catch(() => null);
  if (response?.status === 401) return askForToken();
  if (!response?.ok) return showMessage("The server does not respond.", true);
  const { bundle, classes, card, report, min_confidence } = await response.json();
  const limit = min_confidence ? `; below ${Number((100 * min_confidence).toPrecision(4))} % it is unsure` : "";
  byId("model").textContent = `${bundle.candidate}, ${classes.length} classes${limit}`;
  byId("card").textContent = card;
  byId("about").hidden = false;
  byId("report").hidden = !report;
}

// A link cannot carry a token. With one, the page is fetched and saved as a file.
async function openLink(event) {
  if (!token) return;
  event.preventDefault();
  const { href, id } = event.currentTarget;
  const response = await fetch(href, { headers: headers() });
  if (!response.ok) return showMessage(`The server responded with status ${response.status}.`, true);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = `${id}.html`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  byId("camera").hidden = true;
  byId("shoot").textContent = "Use the camera";
  byId("hint").hidden = false;
}

async function takePhoto() {
  if (stream) {
    const canvas = document.createElement("canvas");
    canvas.width = byId("camera").videoWidth;
    canvas.height = byId("camera").videoHeight;
    if (!canvas.width) return;
    canvas.getContext("2d").drawImage(byId("camera"), 0, 0);
    canvas.toBlob((image) => image && predict(image), "image/png");
    return;
  }
  // Browsers allow a live camera only on this machine and over HTTPS. Elsewhere, a phone opens its camera app.
  if (!navigator.mediaDevices?.getUserMedia) return byId("photo").click();
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    return showMessage(error.name === "NotAllowedError" ? "The browser does not let this page use the camera." : "There is no camera here.", true);
  }
  byId("camera").srcObject = stream;
  byId("camera").hidden = false;
  byId("shown").hidden = true;
  byId("hint").hidden = true;
  byId("shoot").textContent = "Take the photo";
}

function predictFirst(files) {
  if (files?.length) predict(files[0]);
}

for (const id of ["file", "photo"]) {
  byId(id).addEventListener("change", (event) => { predictFirst(event.target.files); event.target.value = ""; });
}
byId("shoot").addEventListener("click", takePhoto);
for (const id of ["report", "docs"]) byId(id).addEventListener("click", openLink);
byId("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value;
  sessionStorage.setItem(kept, token);
  byId("access").hidden = true;
  showMessage("");
  showModel();
});
document.addEventListener("dragover", (event) => { event.preventDefault(); byId("give").classList.add("over"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) byId("give").classList.remove("over"); });
document.addEventListener("drop", (event) => { event.preventDefault(); byId("give").classList.remove("over"); predictFirst(event.dataTransfer.files); });
document.addEventListener("paste", (event) => predictFirst(event.clipboardData.files));
showModel();
