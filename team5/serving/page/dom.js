// Elements are made from tags and text only: nothing a user types is ever read as markup.

import { countText } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const MAX_LEFT_OUT = 50; // lines shown of what cannot be used

/** Return an element; `on*` properties listen, `null` children are passed over. */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** Return an SVG element. */
export function s(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Say something to those who listen to the page rather than look at it. */
export function announce(text) {
  byId("announce").textContent = text;
}

/** Let the arrow keys move among the rows of a table body; `choose` gets the row and whether it is final. */
export function roveRows(body, choose) {
  const rows = () => [...body.rows];
  const to = (row) => {
    if (!row) return;
    for (const other of rows()) other.tabIndex = other === row ? 0 : -1;
    row.focus();
    choose(row);
  };
  body.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const all = rows();
    const at = all.indexOf(event.target.closest("tr"));
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    let next = null;
    if (event.key in steps) next = Math.min(Math.max(at + steps[event.key], 0), all.length - 1);
    else if (event.key === "Home") next = 0;
    else if (event.key === "End") next = all.length - 1;
    else if (event.key === "Enter" || event.key === " ") next = at;
    if (next === null || event.target.closest("button, a, input")) return;
    event.preventDefault();
    to(all[next]);
  });
  body.addEventListener("click", (event) => {
    if (!getSelection()?.toString()) to(event.target.closest("tr"));
  });
  return to;
}

/** What was left out and why, as a list that can be opened; nothing where nothing was. */
export function leftOutOf(leftOut) {
  if (!leftOut.length) return "";
  const items = leftOut.slice(0, MAX_LEFT_OUT).map((one) => h("li", {}, one.left_out));
  const more = leftOut.length - items.length;
  if (more > 0) items.push(h("li", {}, `and ${more.toLocaleString("en")} more`));
  const summary = h("summary", {}, `${countText(leftOut.length, "entry", "entries")} left out`);
  return h("details", { class: "left-out" }, summary, h("ul", {}, items));
}
