// Filters and sorts the table of backbones. It asks nobody for anything: all rows stand in the page.
"use strict";
(() => {
  const form = document.getElementById("filters");
  const table = document.getElementById("catalogue");
  if (!form || !table) return;
  const body = table.tBodies[0];
  const columns = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const rows = [...body.rows].map((row) => {
    const values = Object.fromEntries(columns.map((name, at) => [name, row.cells[at].dataset.value]));
    const words = [values.name, values.weights, values.plugin, values.year, row.dataset.family, row.dataset.licences];
    return { row, values, text: words.join(" ").toLowerCase(), commercial: row.dataset.commercial === "1" };
  });

  function passes(one, wanted) {
    const within = (name, limit) => limit === "" || (one.values[name] !== "" && Number(one.values[name]) <= Number(limit));
    return (
      wanted.text.every((word) => one.text.includes(word)) &&
      (!wanted.plugin || one.values.plugin === wanted.plugin) &&
      (!wanted.features || one.values.features === wanted.features) &&
      within("params", wanted.params === "" ? "" : Number(wanted.params) * 1e6) &&
      within("GMACs", wanted.gmacs) &&
      (wanted.top1 === "" || (one.values["top-1 %"] !== "" && Number(one.values["top-1 %"]) >= Number(wanted.top1))) &&
      (!wanted.commercial || one.commercial)
    );
  }

  function filter() {
    const field = form.elements;
    const wanted = {
      text: field.text.value.toLowerCase().split(/\s+/).filter(Boolean),
      plugin: field.plugin.value,
      features: field.features.value,
      params: field.params.value,
      gmacs: field.gmacs.value,
      top1: field.top1.value,
      commercial: field.commercial.checked,
    };
    let count = 0;
    for (const one of rows) {
      one.row.hidden = !passes(one, wanted);
      count += one.row.hidden ? 0 : 1;
    }
    document.getElementById("count").textContent = `${count} of ${rows.length}`;
  }

  function sort(cell, name) {
    const down = cell.getAttribute("aria-sort") === "ascending";
    const isNumber = ["year", "params", "GMACs", "size", "top-1 %"].includes(name);
    const order = new Intl.Collator("en", { numeric: true });
    rows.sort((a, b) => {
      const [left, right] = [a.values[name], b.values[name]];
      if ((left === "") !== (right === "")) return left === "" ? 1 : -1; // what is not known stands last
      const by = isNumber ? left - right : order.compare(left, right);
      return down ? -by : by;
    });
    body.append(...rows.map((one) => one.row));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", down ? "descending" : "ascending");
  }

  for (const [at, cell] of [...table.tHead.rows[0].cells].entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = columns[at];
    button.addEventListener("click", () => sort(cell, columns[at]));
    cell.replaceChildren(button);
  }
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
})();
