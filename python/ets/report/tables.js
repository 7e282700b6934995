"use strict";
// Tables that are wholly in the page: a click on a heading sorts their rows.
for (const table of document.querySelectorAll("table.sortable")) sortable(table);

function sortable(table) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, at) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const number = table.tBodies[0].rows.length > 0 && "v" in table.tBodies[0].rows[0].cells[at].dataset;
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows];
      const value = (row) => (number ? parseFloat(row.cells[at].dataset.v) : row.cells[at].textContent);
      rows.sort((a, b) => compare(value(a), value(b), down));
      table.tBodies[0].append(...rows);
    });
  });
}

// What is not known comes last, whichever way.
function compare(a, b, down) {
  const absent = (x) => x === null || x === undefined || x === "" || Number.isNaN(x);
  if (absent(a) || absent(b)) return absent(a) - absent(b);
  const order = typeof a === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
  return down ? -order : order;
}
