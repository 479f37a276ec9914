"use strict";

// Elements made from data. Text always becomes a text node, so nothing in the data can be markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const element = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

const drawing = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

// The part of a viewer that the template marks by name.
const part = (viewer, name) => viewer.querySelector(`[data-part="${name}"]`);

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// Metrics in the order of the page: that of the data.
const inOrder = (data, keys) => {
  const order = Object.keys(data.metrics);
  return [...new Set(keys)].sort((a, b) => order.indexOf(a) - order.indexOf(b));
};

function number(value, digits) {
  return value === null || value === undefined ? "—" : value.toFixed(digits).replace("-", "−");
}

// Facts of a metric or the name of a variant; what the data does not describe goes by its own key.
const metricOf = (data, key) =>
  Object.hasOwn(data.metrics, key) ? data.metrics[key] : { label: key, unit: "", digits: 3, better: "none" };
const variantOf = (data, key) =>
  Object.hasOwn(data.variants, key) ? data.variants[key] : { label: key, colour: "other" };

// A row of buttons of which one is pressed; arrow keys, Home and End move between them.
function thumbnails(box, entries, choose) {
  const buttons = entries.map((entry, place) =>
    element(
      "button",
      { type: "button", "aria-pressed": "false", title: entry.title, onclick: () => press(place) },
      element("img", { src: entry.image, alt: "", loading: "lazy" }),
      element("span", {}, entry.text),
    ),
  );
  box.replaceChildren(...buttons);
  function press(place, focus = false) {
    buttons.forEach((button, other) => {
      button.setAttribute("aria-pressed", String(other === place));
      button.tabIndex = other === place ? 0 : -1;
    });
    const button = buttons[place];
    if (focus) button.focus({ preventScroll: true });
    // Only the row scrolls: scrollIntoView would move the page as well.
    const left = button.offsetLeft - box.offsetLeft;
    if (left < box.scrollLeft || left + button.offsetWidth > box.scrollLeft + box.clientWidth) {
      box.scrollLeft = left - box.clientWidth / 2 + button.offsetWidth / 2;
    }
    choose(entries[place].value);
  }
  box.onkeydown = (event) => {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -buttons.length, End: buttons.length };
    const at = buttons.indexOf(document.activeElement);
    if (at < 0 || !Object.hasOwn(steps, event.key)) return;
    event.preventDefault();
    press(clamp(at + steps[event.key], 0, buttons.length - 1), true);
  };
  return press;
}

// Radio buttons in one group; `choose` is called with the value.
function segments(fieldset, name, options, chosen, choose) {
  const labels = options.map(([value, text]) =>
    element(
      "label",
      {},
      element("input", { type: "radio", name, value, checked: value === chosen, onchange: () => choose(value) }),
      element("span", {}, text),
    ),
  );
  fieldset.querySelectorAll("label").forEach((label) => label.remove());
  fieldset.append(...labels);
}

function scoreTable(data, metrics, columns) {
  const head = element(
    "tr",
    {},
    element("th", { scope: "col" }, "Metric"),
    ...columns.map(([label]) => element("th", { scope: "col", class: "number" }, label)),
  );
  const rows = metrics.map((metric) => {
    const facts = metricOf(data, metric);
    const cells = columns.map(([, scores]) =>
      element("td", { class: "number" }, number(scores?.[metric], facts.digits)),
    );
    const unit = facts.unit ? element("span", { class: "unit" }, ` ${facts.unit}`) : null;
    return element("tr", {}, element("th", { scope: "row" }, facts.label, unit), ...cells);
  });
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
}
