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

// The filter of the confusions; the cells of the confusion matrix set it too.
const form = document.getElementById("filter");
const groups = [...document.getElementById("gallery").children];

function filter() {
  const { actual, predicted } = Object.fromEntries(new FormData(form));
  for (const group of groups) {
    group.hidden =
      (actual !== "" && group.dataset.actual !== actual) ||
      (predicted !== "" && group.dataset.predicted !== predicted);
  }
  const left = groups.filter((group) => !group.hidden);
  const total = (name) => left.reduce((sum, group) => sum + Number(group.dataset[name]), 0);
  form.querySelector("output").textContent = left.length
    ? `Confusions: ${left.length}. Mistakes: ${total("count")}, of which ${total("shown")} are shown.`
    : form.dataset.none;
}

function choose(actual, predicted) {
  form.elements.actual.value = actual;
  form.elements.predicted.value = predicted;
  filter();
}

form.hidden = false;
form.addEventListener("change", filter);
form.querySelector("button").addEventListener("click", () => choose("", ""));
for (const link of document.querySelectorAll("a[data-actual]")) {
  link.addEventListener("click", () => choose(link.dataset.actual, link.dataset.predicted));
}
filter();

// Nothing is folded away on paper.
const folded = [...document.querySelectorAll("details:not([open])")];
addEventListener("beforeprint", () => folded.forEach((details) => (details.open = true)));
