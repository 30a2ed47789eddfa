"use strict";
// A table's heads become buttons that sort it; what is sorted stays so when the page is live.
const sorted = {};
function sort(table, column, up) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const value = (row) => parseFloat(row.cells[column].dataset.by);
  rows.sort((a, b) => (up ? 1 : -1) * (value(a) - value(b)));
  body.append(...rows);
  [...table.tHead.rows[0].cells].forEach((head, number) => {
    head.setAttribute("aria-sort", number === column ? (up ? "ascending" : "descending") : "none");
  });
  sorted[table.id] = [column, up];
}
function arm() {
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (head.dataset.words !== undefined) return;
      const button = document.createElement("button");
      button.textContent = head.textContent;
      button.addEventListener("click", () => sort(table, column, head.getAttribute("aria-sort") === "descending"));
      head.replaceChildren(button);
    });
    if (sorted[table.id]) sort(table, ...sorted[table.id]);
  }
}
arm();
