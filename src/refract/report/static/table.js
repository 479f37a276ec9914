// Tables sorted by a click on a heading: numbers as numbers, text as text, empty cells last.

function startSorting(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button")?.addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort((a, b) => compareCells(a, b, column, up)));
    });
  });
}

function compareCells(a, b, column, up) {
  const [left, right] = [a, b].map((row) => row.cells[column]?.dataset.sort ?? "");
  if (left === "" || right === "") return (left === "") - (right === "");
  const [x, y] = [Number(left), Number(right)];
  const order = Number.isNaN(x) || Number.isNaN(y) ? left.localeCompare(right) : x - y;
  return up ? order : -order;
}
