"use strict";
// Sorts the table by a column, and ranks it by the reader's weights with the rule of board/criteria.py.
(() => {
  const table = document.querySelector("table.board");
  const form = document.querySelector("form.weigh");
  const CRITERIA = ["accuracy", "memory", "params", "time"];
  const NOISE = Number(table.dataset.noise);
  const rows = [...table.querySelectorAll("tr[data-id]")].map((element) => ({
    element,
    // A row below it, with a remark about it, goes where it goes.
    remark: element.nextElementSibling?.matches(".remark") ? element.nextElementSibling : null,
    body: element.parentElement,
    state: Number(element.dataset.state),
    round: Number(element.dataset.round),
    field: Number(element.dataset.field),
    scored: "accuracy" in element.dataset,
    losses: CRITERIA.map((name) => (element.dataset[name] === "inf" ? Infinity : Number(element.dataset[name]))),
  }));
  const byRank = [...rows];

  const isClearlyLess = (criterion, less, more) => (criterion === 0 ? less < more : less * NOISE < more);

  // The share of beaten rivals, times twice their number: a whole number, so that sums are exact.
  const countBeaten = (group, row, criterion) =>
    group.reduce((sum, other) => {
      const [mine, its] = [row.losses[criterion], other.losses[criterion]];
      return sum + isClearlyLess(criterion, mine, its) - isClearlyLess(criterion, its, mine);
    }, group.length - 1);

  const score = (row, weights) => {
    if (!row.scored) return 0;
    const group = rows.filter((other) => other.scored && other.field === row.field);
    return CRITERIA.reduce((sum, _, criterion) => sum + weights[criterion] * countBeaten(group, row, criterion), 0);
  };

  const rank = (weights) => {
    const scores = new Map(rows.map((row) => [row, weights ? score(row, weights) : 0]));
    // The sort is stable: rows with equal scores stay in the order of the board.
    return [...rows].sort((a, b) => a.state - b.state || a.round - b.round || scores.get(b) - scores.get(a));
  };

  const show = (order) => {
    for (const row of order) row.body.append(row.element, ...(row.remark ? [row.remark] : []));
  };

  const markSorted = (button, direction) => {
    for (const head of table.querySelectorAll("th[aria-sort]")) head.removeAttribute("aria-sort");
    button.closest("th").setAttribute("aria-sort", direction);
  };

  const renumber = (order) => {
    byRank.splice(0, byRank.length, ...order);
    order.forEach((row, place) => {
      if ("unranked" in row.element.dataset) return;
      const cell = row.element.cells[0];
      cell.dataset.value = cell.textContent = String(place + 1);
    });
    show(order);
    markSorted(table.querySelector("thead button"), "ascending");
  };

  const readValue = (row, column) => {
    const raw = row.element.cells[column]?.dataset.value ?? "";
    return column === 1 || raw === "" ? raw : Number(raw);
  };

  const sort = (button) => {
    const head = button.closest("th");
    const now = head.getAttribute("aria-sort");
    const direction = now ? (now === "ascending" ? "descending" : "ascending") : button.dataset.first;
    const sign = direction === "ascending" ? 1 : -1;
    const order = [...byRank].sort((a, b) => {
      const [mine, its] = [readValue(a, head.cellIndex), readValue(b, head.cellIndex)];
      // Missing values come last in both directions.
      if (mine === "" || its === "") return (mine === "") - (its === "");
      return sign * (mine < its ? -1 : mine > its ? 1 : 0);
    });
    show(order);
    markSorted(button, direction);
  };

  const showStatus = (weights, order) => {
    const status = form.querySelector("[role=status]");
    if (!weights) {
      status.textContent = "";
      return;
    }
    // The other stages train the winner alone, or try recipes for it.
    const bodies = [...table.tBodies].filter((body) => "compares" in body.dataset);
    const groups = bodies.map((body) => order.filter((row) => row.scored && row.body === body));
    const compared = groups.find((group) => new Set(group.map((row) => row.element.dataset.name)).size > 1);
    const command = CRITERIA.map((name, place) => `${name}=${weights[place]}`).filter((text) => !text.endsWith("=0"));
    const winner = compared ? `With these weights ${compared[0].element.dataset.name} ranks first. ` : "";
    status.textContent = `${winner}On the command line: bakeoff board ${table.dataset.out} --weigh ${command.join(",")}`;
  };

  const weigh = (reset) => {
    const inputs = CRITERIA.map((name) => form.elements[name]);
    for (const input of inputs) input.parentElement.querySelector("output").textContent = input.value;
    const chosen = inputs.map((input) => Number(input.value));
    const weights = reset || !chosen.some(Boolean) ? null : chosen;
    const order = rank(weights);
    renumber(order);
    showStatus(weights, order);
  };

  for (const button of table.querySelectorAll("thead button")) button.addEventListener("click", () => sort(button));
  form.addEventListener("input", () => weigh(false));
  // The inputs are reset only after this event.
  form.addEventListener("reset", () => setTimeout(() => weigh(true)));
  form.hidden = !rows.some((row) => row.scored);
})();
