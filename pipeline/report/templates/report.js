"use strict";

// A click on the head of a column sorts by it; a second click turns the order round.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const value = ({ cells }) => {
        const { dataset, textContent } = cells[column];
        return "value" in dataset ? Number(dataset.value) : textContent;
      };
      const order = (a, b) => (value(a) > value(b)) - (value(a) < value(b));
      body.append(...[...body.rows].sort((a, b) => (ascending ? order(a, b) : order(b, a))));
    });
  });
}

// The filter of what is in the gallery, where there is one: by what the selects say. The cells of the
// confusion matrix set it, too.
const form = document.getElementById("filter");
if (form) {
  const groups = [...document.getElementById("gallery").children];

  const filter = () => {
    const wanted = [...new FormData(form)].filter(([, value]) => value !== "");
    for (const group of groups) {
      group.hidden = wanted.some(([name, value]) => group.dataset[name] !== value);
    }
    const left = groups.filter((group) => !group.hidden);
    const count = (_, name) =>
      name === "groups" ? left.length : left.reduce((sum, group) => sum + Number(group.dataset[name]), 0);
    form.querySelector("output").textContent = left.length
      ? form.dataset.some.replace(/\{(\w+)\}/g, count)
      : form.dataset.none;
  };

  const choose = (values) => {
    for (const select of form.querySelectorAll("select")) select.value = values[select.name] ?? "";
    filter();
  };

  form.hidden = false;
  form.addEventListener("change", filter);
  form.querySelector("button").addEventListener("click", () => choose({}));
  for (const link of document.querySelectorAll("a[data-actual]")) {
    link.addEventListener("click", () => choose(link.dataset));
  }
  filter();
}

// Nothing is folded away on paper.
const folded = [...document.querySelectorAll("details:not([open])")];
addEventListener("beforeprint", () => folded.forEach((details) => (details.open = true)));
