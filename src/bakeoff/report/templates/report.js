"use strict";
// Sorts the table by its columns, and ranks it anew by the reader's weights: the rule of `bakeoff board --weigh`.
(() => {
  const table = document.querySelector("table.board");
  const form = document.querySelector("form.weigh");
  const CRITERIA = ["accuracy", "memory", "params", "time"];
  const NOISE = Number(table.dataset.noise);
  const rows = [...table.querySelectorAll("tr[data-id]")].map((element) => ({
    element,
    body: element.parentElement,
    state: Number(element.dataset.state),
    stage: Number(element.dataset.stage),
    scored: "accuracy" in element.dataset,
    losses: CRITERIA.map((name) => (element.dataset[name] === "inf" ? Infinity : Number(element.dataset[name]))),
  }));
  const byRank = [...rows];

  const isClearlyLess = (criterion, less, more) => (criterion === 0 ? less < more : less * NOISE < more);

  // Twice the share of rivals beaten, times their number, so that it is a whole number: sums of these are exact.
  const beaten = (field, row, criterion) =>
    field.reduce((sum, other) => {
      const [own, its] = [row.losses[criterion], other.losses[criterion]];
      return sum + isClearlyLess(criterion, own, its) - isClearlyLess(criterion, its, own);
    }, field.length - 1);

  const score = (row, weights) => {
    if (!row.scored) return 0;
    const field = rows.filter((other) => other.scored && other.stage === row.stage);
    return CRITERIA.reduce((sum, _, criterion) => sum + weights[criterion] * beaten(field, row, criterion), 0);
  };

  const rank = (weights) => {
    const scores = new Map(rows.map((row) => [row, weights ? score(row, weights) : 0]));
    // The sort is stable: equals stay in the order of the board.
    return [...rows].sort((a, b) => a.state - b.state || a.stage - b.stage || scores.get(b) - scores.get(a));
  };

  const show = (order) => {
    for (const row of order) row.body.append(row.element);
  };

  const mark = (button, direction) => {
    for (const head of table.querySelectorAll("th[aria-sort]")) head.removeAttribute("aria-sort");
    button.closest("th").setAttribute("aria-sort", direction);
  };

  const number = (order) => {
    byRank.splice(0, byRank.length, ...order);
    order.forEach((row, place) => {
      if ("unranked" in row.element.dataset) return;
      const cell = row.element.cells[0];
      cell.dataset.value = cell.textContent = String(place + 1);
    });
    show(order);
    mark(table.querySelector("thead button"), "ascending");
  };

  const value = (row, column) => {
    const raw = row.element.cells[column]?.dataset.value ?? "";
    return column === 1 || raw === "" ? raw : Number(raw);
  };

  const sort = (button) => {
    const head = button.closest("th");
    const now = head.getAttribute("aria-sort");
    const direction = now ? (now === "ascending" ? "descending" : "ascending") : button.dataset.first;
    const sign = direction === "ascending" ? 1 : -1;
    const order = [...byRank].sort((a, b) => {
      const [mine, its] = [value(a, head.cellIndex), value(b, head.cellIndex)];
      // What is not there comes last either way.
      if (mine === "" || its === "") return (mine === "") - (its === "");
      return sign * (mine < its ? -1 : mine > its ? 1 : 0);
    });
    show(order);
    mark(button, direction);
  };

  const say = (weights, order) => {
    const status = form.querySelector("[role=status]");
    if (!weights) {
      status.textContent = "";
      return;
    }
    const fields = [...table.tBodies].map((body) => order.filter((row) => row.scored && row.body === body));
    const met = fields.find((field) => new Set(field.map((row) => row.element.dataset.name)).size > 1);
    const command = CRITERIA.map((name, place) => `${name}=${weights[place]}`).filter((text) => !text.endsWith("=0"));
    const winner = met ? `By these weights ${met[0].element.dataset.name} is first of those that met. ` : "";
    status.textContent = `${winner}The same on a terminal: bakeoff board ${table.dataset.out} --weigh ${command.join(",")}`;
  };

  const weigh = (reset) => {
    const inputs = CRITERIA.map((name) => form.elements[name]);
    for (const input of inputs) input.parentElement.querySelector("output").textContent = input.value;
    const chosen = inputs.map((input) => Number(input.value));
    const weights = reset || !chosen.some(Boolean) ? null : chosen;
    const order = rank(weights);
    number(order);
    say(weights, order);
  };

  for (const button of table.querySelectorAll("thead button")) button.addEventListener("click", () => sort(button));
  form.addEventListener("input", () => weigh(false));
  // The fields have their old values only after the event.
  form.addEventListener("reset", () => setTimeout(() => weigh(true)));
  form.hidden = false;
})();
