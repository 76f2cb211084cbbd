// Structures: the server's SVG, built anew from its lines so that it takes the page's colours and
// carries nothing but lines, with atoms and bonds that can be pointed at.

import { draw } from "./api.js";
import { s } from "./dom.js";

const INKS = {
  "#000000": "c",
  "#FF0000": "o",
  "#0000FF": "n",
  "#33CCCC": "f",
  "#00CC00": "cl",
  "#7F4C19": "br",
  "#A01EEF": "i",
  "#CCCC00": "s",
  "#FF7F00": "p",
};
const VIEWED = ["d", "x1", "y1", "x2", "y2", "points"];

/**
 * Return {node, atoms, bonds} of an SVG text.
 *
 * `atoms` maps the indices of the SMILES to [x, y]; `bonds` is a list of [atom, atom].
 */
export function rebuild(text) {
  // Renamed before it is parsed: a style attribute is none of what the page's policy lets in.
  const source = new DOMParser().parseFromString(
    text.replace(/\sstyle=/g, " data-style="),
    "image/svg+xml",
  );
  const root = source.documentElement;
  if (root.localName !== "svg") throw new Error("The server's drawing cannot be read.");
  const atoms = new Map();
  const bonds = new Map();
  const ink = s("g", { class: "ink" });
  for (const element of root.querySelectorAll("*")) {
    const names = [...element.classList];
    if (names.includes("bond-selector")) continue; // unseen, and we have our own
    const ends = names
      .map((name) => name.match(/^atom-(\d+)$/))
      .filter(Boolean)
      .map((match) => Number(match[1]));
    if (element.localName === "circle" || element.localName === "ellipse") {
      if (ends.length === 1)
        atoms.set(ends[0], [
          Number(element.getAttribute("cx")),
          Number(element.getAttribute("cy")),
        ]);
    } else if (["path", "line", "polygon", "polyline"].includes(element.localName)) {
      const bond = names.find((name) => /^bond-\d+$/.test(name));
      if (bond && ends.length === 2) bonds.set(bond, ends);
      ink.append(line(element));
    }
  }
  const box = (root.getAttribute("viewBox") ?? "").split(/[\s,]+/).map(Number);
  const viewBox = box.length === 4 && box.every(Number.isFinite) ? box : [0, 0, 300, 220];
  const node = s(
    "svg",
    { class: "structure", viewBox: viewBox.join(" "), focusable: "false" },
    ink,
  );
  return { node, atoms, bonds: [...bonds.values()] };
}

function line(element) {
  const style = Object.fromEntries(
    (element.getAttribute("data-style") ?? "")
      .split(";")
      .map((rule) => rule.split(":").map((part) => part.trim())),
  );
  const copy = s(element.localName);
  for (const name of VIEWED)
    if (element.hasAttribute(name)) copy.setAttribute(name, element.getAttribute(name));
  const fillColour = style.fill ?? element.getAttribute("fill") ?? "none";
  const strokeColour = style.stroke ?? element.getAttribute("stroke") ?? "none";
  const colour = [fillColour, strokeColour].find((one) => one !== "none") ?? "none";
  copy.setAttribute("class", `ink-${INKS[colour.toUpperCase()] ?? "c"}`);
  copy.setAttribute("fill", fillColour === "none" ? "none" : "currentColor");
  copy.setAttribute("stroke", strokeColour === "none" ? "none" : "currentColor");
  const width = parseFloat(style["stroke-width"]);
  if (Number.isFinite(width)) copy.setAttribute("stroke-width", width);
  if (style["stroke-dasharray"]) copy.setAttribute("stroke-dasharray", style["stroke-dasharray"]);
  copy.setAttribute("stroke-linecap", "round");
  return copy;
}

/** Put the small drawing of a structure into a place, once the place comes into view. */
export function drawWhenSeen(place, smiles) {
  const seen = new IntersectionObserver(
    async (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      try {
        place.replaceChildren(rebuild(await draw(smiles, 190, 130)).node);
      } catch {
        place.replaceChildren("no drawing");
      }
    },
    { rootMargin: "200px" },
  );
  seen.observe(place);
}

/** The structure of the chosen candidate: shows fragments, and tells which atom or bond is pointed at. */
export class Structure {
  /**
   * `point` gets {atom} or {bond} or null, and whether it is to stay.
   */
  constructor(text, point) {
    const { node, atoms, bonds } = rebuild(text);
    this.node = node;
    this.atoms = atoms;
    this.bonds = bonds.filter((bond) => bond.every((atom) => atoms.has(atom)));
    this.point = point;
    const lengths = this.bonds
      .map(([a, b]) => distance(atoms.get(a), atoms.get(b)))
      .sort((x, y) => x - y);
    this.unit = Math.min(lengths[Math.floor(lengths.length / 2)] ?? 30, 40);
    this.marks = s("g", { class: "marks" });
    node.prepend(this.marks);
    node.append(this._targets());
    node.setAttribute("tabindex", "0");
    node.setAttribute("role", "group");
    node.setAttribute(
      "aria-label",
      "Structure. Left and right arrows go through its atoms, up and down through its bonds.",
    );
    node.addEventListener("keydown", (event) => this._key(event));
    node.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && point(null));
    this.atomAt = -1;
    this.bondAt = -1;
  }

  /** Show atoms (a set of indices) and cut bonds; `focus` is the atom or bond pointed at. */
  show({ atoms = new Set(), cut = [], focus = null } = {}) {
    const fat = this.unit * 0.62;
    const marks = [];
    for (const [a, b] of this.bonds) {
      if (atoms.has(a) && atoms.has(b))
        marks.push(this._bond(a, b, { class: "mark-bond", "stroke-width": fat }));
    }
    for (const atom of atoms) {
      if (this.atoms.has(atom)) marks.push(this._atom(atom, { class: "mark-atom", r: fat / 2 }));
    }
    for (const [a, b] of cut) {
      if (this.atoms.has(a) && this.atoms.has(b)) marks.push(this._cut(a, b));
    }
    if (focus?.atom !== undefined && this.atoms.has(focus.atom)) {
      marks.push(this._atom(focus.atom, { class: "mark-focus", r: this.unit * 0.4 }));
    }
    if (focus?.bond)
      marks.push(
        this._bond(...focus.bond, { class: "mark-focus-bond", "stroke-width": this.unit * 0.4 }),
      );
    this.marks.replaceChildren(...marks);
  }

  _atom(atom, properties) {
    const [cx, cy] = this.atoms.get(atom);
    return s("circle", { cx, cy, ...properties });
  }

  _bond(a, b, properties) {
    const [[x1, y1], [x2, y2]] = [this.atoms.get(a), this.atoms.get(b)];
    return s("line", { x1, y1, x2, y2, "stroke-linecap": "round", ...properties });
  }

  _cut(a, b) {
    const [[x1, y1], [x2, y2]] = [this.atoms.get(a), this.atoms.get(b)];
    const length = distance([x1, y1], [x2, y2]) || 1;
    const [dx, dy] = [
      (-(y2 - y1) / length) * this.unit * 0.36,
      ((x2 - x1) / length) * this.unit * 0.36,
    ];
    const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
    return s("line", {
      class: "mark-cut",
      x1: x - dx,
      y1: y - dy,
      x2: x + dx,
      y2: y + dy,
      "stroke-width": this.unit * 0.09,
    });
  }

  _targets() {
    const target = (shape, what) => {
      shape.addEventListener(
        "pointerenter",
        (event) => event.pointerType === "mouse" && this.point(what),
      );
      shape.addEventListener("click", () => this.point(what, true));
      return shape;
    };
    const bonds = this.bonds.map((bond) =>
      target(
        this._bond(...bond, {
          class: "target",
          "stroke-width": this.unit * 0.4,
          "data-bond": bond.join("-"),
        }),
        { bond },
      ),
    );
    const atoms = [...this.atoms.keys()].map((atom) =>
      target(this._atom(atom, { class: "target", r: this.unit * 0.36, "data-atom": atom }), {
        atom,
      }),
    );
    return s("g", {}, bonds, atoms);
  }

  _key(event) {
    const atoms = [...this.atoms.keys()].sort((a, b) => a - b);
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") this.point(null, true);
    else if (step && event.key.match(/Left|Right/) && atoms.length) {
      this.atomAt = (this.atomAt + step + atoms.length) % atoms.length;
      this.point({ atom: atoms[this.atomAt] }, true);
    } else if (step && event.key.match(/Up|Down/) && this.bonds.length) {
      this.bondAt = (this.bondAt + step + this.bonds.length) % this.bonds.length;
      this.point({ bond: this.bonds[this.bondAt] }, true);
    } else return;
    event.preventDefault();
  }
}

const distance = ([x1, y1], [x2, y2]) => Math.hypot(x2 - x1, y2 - y1);
