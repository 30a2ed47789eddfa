"use strict";
// A table's heads become buttons that sort it; what is sorted stays so when the page is live.
const sorted = {};
function value(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.by ?? cell.textContent.trim().replaceAll(",", "");
  return /^[-+]?[\d.]/.test(text) ? parseFloat(text) : text;
}
function order(a, b, sign) {
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1; // what has no number is last, either way
  return sign * (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
}
function sort(table, column, up) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  rows.sort((a, b) => order(value(a, column), value(b, column), up ? 1 : -1));
  body.append(...rows);
  [...table.tHead.rows[0].cells].forEach((head, number) => {
    head.setAttribute("aria-sort", number === column ? (up ? "ascending" : "descending") : "none");
  });
  sorted[table.id] = [column, up];
}
function arm() {
  document.querySelectorAll(".card table").forEach((table, number) => (table.id = `card-${number}`));
  for (const table of document.querySelectorAll("table.sortable, .card table")) {
    if (!table.tHead || !table.tBodies.length) continue;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.textContent = head.textContent;
      button.addEventListener("click", () => sort(table, column, head.getAttribute("aria-sort") === "descending"));
      head.replaceChildren(button);
    });
    if (sorted[table.id]) sort(table, ...sorted[table.id]);
  }
}
arm();
