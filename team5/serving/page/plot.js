// A spectrum, or two of them as in a mirror: measured above, predicted below.

import { h, s } from "./dom.js";
import { formulaText, highest, mzText } from "./format.js";

const MARGIN = { left: 40, right: 14, top: 22, bottom: 36 };
const REACH = 14; // pixels around a peak that count as pointing at it
const MIN_SPAN = 0.5; // m/z
const MIN_LABELLED = 0.03; // of the highest peak in view

/**
 * A peak is {id, mz, intensity, kind, formula}; kinds are explained, unexplained, impossible,
 * predicted (met by a measured peak) and only (predicted, and not measured).
 */
export class Plot {
  /** `point` gets the id of a peak or null, and whether it is to stay. */
  constructor(point) {
    this.point = point;
    this.above = [];
    this.below = null;
    this.lit = null;
    this.view = [0, 1];
    this.svg = s("svg", { class: "plot", tabindex: "0", role: "group", "aria-label": "Spectrum" });
    this.hint = h(
      "span",
      { class: "hint keys" },
      "Drag to zoom. Keys: ←→ peaks, ↑↓ halves, + − 0 zoom, shift ←→ move.",
    );
    const button = (text, label, act) =>
      h(
        "button",
        { type: "button", class: "small", "aria-label": label, title: label, onclick: act },
        text,
      );
    this.node = h(
      "div",
      { class: "plot-box" },
      this.svg,
      h(
        "div",
        { class: "plot-tools" },
        button("+", "Zoom in", () => this.zoom(0.5)),
        button("−", "Zoom out", () => this.zoom(2)),
        button("All", "Show the whole spectrum", () => this.reset()),
        this.hint,
      ),
    );
    new ResizeObserver(() => this.draw()).observe(this.node);
    this._listen();
  }

  /** Show peaks; `below` is null for a single spectrum, and `message` stands where it has no peaks. */
  set({ above, below = null, precursor = null, titles = [], message = "", keep = false }) {
    Object.assign(this, { above, below, precursor, titles, message });
    const mzs = [...above, ...(below ?? [])].map((peak) => peak.mz).concat(precursor ?? []);
    const [low, high] = [Math.min(...mzs), Math.max(...mzs)];
    const room = Math.max((high - low) * 0.05, 2);
    const whole = [Math.max(low - room, 0), high + room];
    if (!keep || !this.whole || this._isWhole()) this.view = whole;
    this.whole = whole;
    this.draw();
  }

  /** Let peaks stand out: a set of ids, or null for none in particular. */
  light(ids) {
    this.lit = ids;
    this._light();
  }

  zoom(factor, around = (this.view[0] + this.view[1]) / 2) {
    this.show(around + (this.view[0] - around) * factor, around + (this.view[1] - around) * factor);
  }

  reset() {
    this.view = this.whole;
    this.draw();
  }

  show(low, high) {
    const span = Math.min(Math.max(high - low, MIN_SPAN), this.whole[1] - this.whole[0]);
    const start = Math.min(Math.max(low, this.whole[0]), this.whole[1] - span);
    this.view = [start, start + span];
    this.draw();
  }

  draw() {
    const width = this.node.clientWidth;
    if (!width || !this.whole) return;
    const height = this.below ? (width > 520 ? 430 : 340) : width > 520 ? 320 : 260;
    this.size = { width, height };
    const bottom = height - MARGIN.bottom;
    this.zero = this.below ? (MARGIN.top + bottom) / 2 : bottom;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("height", height);
    const halves = [{ peaks: this.above, reach: this.zero - MARGIN.top - 14, sign: -1 }];
    if (this.below) halves.push({ peaks: this.below, reach: bottom - this.zero - 18, sign: 1 });
    this.marks = new Map();
    const parts = [this._axis(bottom), this._precursor(bottom)];
    for (const half of halves) parts.push(...this._half(half));
    parts.push(this._titles(bottom));
    this.svg.replaceChildren(...parts.flat().filter(Boolean));
    this.svg.setAttribute("aria-label", this._spoken());
    this._light();
  }

  x(mz) {
    const inner = this.size.width - MARGIN.left - MARGIN.right;
    return MARGIN.left + ((mz - this.view[0]) / (this.view[1] - this.view[0])) * inner;
  }

  mzAt(x) {
    const inner = this.size.width - MARGIN.left - MARGIN.right;
    return this.view[0] + ((x - MARGIN.left) / inner) * (this.view[1] - this.view[0]);
  }

  _isWhole() {
    return this.view[0] === this.whole[0] && this.view[1] === this.whole[1];
  }

  _visible(peaks) {
    return peaks.filter((peak) => peak.mz >= this.view[0] && peak.mz <= this.view[1]);
  }

  _half({ peaks, reach, sign }) {
    const visible = this._visible(peaks);
    // Zoomed in, the highest peak in view fills the half; the axis says what it is of the base peak.
    const top = Math.max(...visible.map((peak) => peak.intensity), 0) || 1;
    const parts = [];
    for (const share of [0.5, 1]) {
      const y = this.zero + sign * reach * share;
      parts.push(
        s("line", {
          class: "grid-line",
          x1: MARGIN.left,
          x2: this.size.width - MARGIN.right,
          y1: y,
          y2: y,
        }),
      );
      parts.push(
        s(
          "text",
          { class: "tick", x: MARGIN.left - 5, y: y + 3.5, "text-anchor": "end" },
          tickPercent(top * share),
        ),
      );
    }
    for (const peak of [...visible].sort((a, b) => a.intensity - b.intensity)) {
      const x = this.x(peak.mz);
      const y = this.zero + sign * Math.max((peak.intensity / top) * reach, 1.5);
      const mark = s("line", {
        class: `peak ${peak.kind}`,
        "data-peak": peak.id,
        x1: x,
        x2: x,
        y1: this.zero,
        y2: y,
      });
      this.marks.set(peak.id, { mark, peak, x, y, sign });
      parts.push(mark);
    }
    return [...parts, ...this._labels(visible, sign)];
  }

  _labels(peaks, sign) {
    const taken = [];
    const labels = [];
    const halfWidth = 25;
    const highest = [...peaks].sort((a, b) => b.intensity - a.intensity).slice(0, 40);
    for (const peak of highest.filter(
      (one) => one.intensity >= MIN_LABELLED * highest[0].intensity,
    )) {
      if (labels.length >= this.size.width / 75) break;
      const { x, y } = this.marks.get(peak.id);
      const at = Math.min(Math.max(x, MARGIN.left + halfWidth), this.size.width - halfWidth - 2);
      const clash =
        taken.some(
          (other) => Math.abs(other.at - at) < 2 * halfWidth && Math.abs(other.y - y) < 13,
        ) ||
        [...this.marks.values()].some(
          (other) =>
            other.sign === sign &&
            other.peak !== peak &&
            Math.abs(other.x - at) < halfWidth &&
            sign * (other.y - y) > 2,
        );
      if (clash) continue;
      taken.push({ at, y });
      labels.push(
        s(
          "text",
          { class: "peak-label", x: at, y: sign < 0 ? y - 4 : y + 12, "text-anchor": "middle" },
          mzText(peak.mz),
        ),
      );
    }
    return labels;
  }

  _axis(bottom) {
    const { width } = this.size;
    const parts = [
      s("line", {
        class: "axis",
        x1: MARGIN.left,
        x2: width - MARGIN.right,
        y1: this.zero,
        y2: this.zero,
      }),
    ];
    const step = niceStep((this.view[1] - this.view[0]) / Math.max(width / 90, 2));
    const digits = Math.max(0, -Math.floor(Math.log10(step)));
    for (let mz = Math.ceil(this.view[0] / step) * step; mz <= this.view[1]; mz += step) {
      const x = this.x(mz);
      parts.push(s("line", { class: "axis", x1: x, x2: x, y1: bottom, y2: bottom + 4 }));
      parts.push(
        s(
          "text",
          { class: "tick", x, y: bottom + 16, "text-anchor": "middle" },
          mz.toFixed(digits),
        ),
      );
    }
    if (this.below)
      parts.push(
        s("line", {
          class: "axis faint",
          x1: MARGIN.left,
          x2: width - MARGIN.right,
          y1: bottom,
          y2: bottom,
        }),
      );
    parts.push(
      s(
        "text",
        { class: "tick", x: width - MARGIN.right, y: bottom + 31, "text-anchor": "end" },
        "m/z",
      ),
    );
    return parts;
  }

  _precursor(bottom) {
    if (!this.precursor || this.precursor < this.view[0] || this.precursor > this.view[1])
      return null;
    const x = this.x(this.precursor);
    return s("line", { class: "precursor", x1: x, x2: x, y1: MARGIN.top - 6, y2: bottom });
  }

  _titles(bottom) {
    const [above, below] = this.titles;
    const parts = [];
    if (above) parts.push(s("text", { class: "half-title", x: MARGIN.left + 4, y: 12 }, above));
    if (this.below && below)
      parts.push(s("text", { class: "half-title", x: MARGIN.left + 4, y: bottom + 31 }, below));
    if (this.below && this.message) {
      parts.push(
        s(
          "text",
          { class: "half-title", x: MARGIN.left + 10, y: (this.zero + bottom) / 2 },
          this.message,
        ),
      );
    }
    return parts;
  }

  _light() {
    this.svg.classList.toggle("some-lit", this.lit !== null);
    for (const old of this.svg.querySelectorAll(".lit-label")) old.remove();
    for (const [id, { mark, peak, x, y, sign }] of this.marks ?? []) {
      const isLit = this.lit?.has(id) ?? false;
      mark.classList.toggle("lit", isLit);
      if (isLit && this.lit.size <= 2 && peak.formula) {
        const at = Math.min(Math.max(x, MARGIN.left + 30), this.size.width - 40);
        const over =
          sign < 0 ? Math.max(y - 16, 10) : Math.min(y + 24, this.size.height - MARGIN.bottom - 2);
        this.svg.append(
          s(
            "text",
            { class: "lit-label", x: at, y: over, "text-anchor": "middle" },
            formulaText(peak.formula),
          ),
        );
      }
    }
  }

  _spoken() {
    const text = `${this.titles[0] ?? "Spectrum"}, ${this.above.length} peaks`;
    const other = this.below ? `; below, ${this.titles[1]}, ${this.below.length} peaks` : "";
    return `${text}${other}. Left and right arrows go from peak to peak, up and down between the halves, plus and minus zoom, 0 shows all.`;
  }

  _nearest(x, y) {
    let best = null;
    for (const [id, mark] of this.marks ?? []) {
      if (this.below && mark.sign < 0 !== y <= this.zero) continue;
      // Of two that are as near, the higher is meant.
      const off = Math.abs(mark.x - x) - Math.min(mark.peak.intensity, 1);
      if (Math.abs(mark.x - x) <= REACH && (best === null || off < best.off)) best = { id, off };
    }
    return best?.id ?? null;
  }

  _listen() {
    let from = null;
    let band = null;
    const place = (event) => {
      const box = this.svg.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    this.svg.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      [from] = place(event);
      try {
        this.svg.setPointerCapture(event.pointerId);
      } catch {
        // The pointer is gone already.
      }
    });
    this.svg.addEventListener("pointermove", (event) => {
      const [x, y] = place(event);
      if (from === null) {
        if (event.pointerType === "mouse") this.point(this._nearest(x, y));
        return;
      }
      if (Math.abs(x - from) < 6) return;
      if (!band)
        this.svg.append(
          (band = s("rect", {
            class: "band",
            y: MARGIN.top - 8,
            height: this.size.height - MARGIN.bottom - MARGIN.top + 8,
          })),
        );
      band.setAttribute("x", Math.min(x, from));
      band.setAttribute("width", Math.abs(x - from));
    });
    const end = (event) => {
      if (from === null) return;
      const [x, y] = place(event);
      const start = from;
      from = null;
      band?.remove();
      if (band && event.type === "pointerup")
        this.show(...[this.mzAt(start), this.mzAt(x)].sort((a, b) => a - b));
      else if (event.type === "pointerup") this.point(this._nearest(x, y), true);
      band = null;
    };
    this.svg.addEventListener("pointerup", end);
    this.svg.addEventListener("pointercancel", end);
    this.svg.addEventListener(
      "pointerleave",
      (event) => from === null && event.pointerType === "mouse" && this.point(null),
    );
    this.svg.addEventListener("dblclick", () => this.reset());
    this.svg.addEventListener("keydown", (event) => this._key(event));
  }

  _key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const span = this.view[1] - this.view[0];
    const at = this.marks?.get(this.current);
    const acts = {
      "+": () => this.zoom(0.5, at ? at.peak.mz : undefined),
      "=": () => this.zoom(0.5, at ? at.peak.mz : undefined),
      "-": () => this.zoom(2),
      0: () => this.reset(),
      Home: () => this._step(-Infinity),
      End: () => this._step(Infinity),
      ArrowLeft: () =>
        event.shiftKey
          ? this.show(this.view[0] - span / 4, this.view[1] - span / 4)
          : this._step(-1),
      ArrowRight: () =>
        event.shiftKey
          ? this.show(this.view[0] + span / 4, this.view[1] + span / 4)
          : this._step(1),
      ArrowUp: () => this._cross(this.above),
      ArrowDown: () => this._cross(this.below),
      Escape: () => this.point(null, true),
    };
    if (!(event.key in acts)) return;
    event.preventDefault();
    acts[event.key]();
  }

  _step(by) {
    const here = this.below?.some((peak) => peak.id === this.current) ? this.below : this.above;
    const peaks = this._visible(here).sort((a, b) => a.mz - b.mz);
    if (!peaks.length) return;
    const at = peaks.findIndex((peak) => peak.id === this.current);
    const from = at >= 0 ? at : by < 0 ? peaks.length : -1;
    const next = Math.min(Math.max(from + by, 0), peaks.length - 1);
    this._choose(peaks[next]);
  }

  _cross(peaks) {
    const visible = this._visible(peaks ?? []);
    if (!visible.length) return;
    const mz = this.marks.get(this.current)?.peak.mz ?? this.view[0];
    this._choose(
      visible.reduce((best, peak) =>
        Math.abs(peak.mz - mz) < Math.abs(best.mz - mz) ? peak : best,
      ),
    );
  }

  _choose(peak) {
    this.current = peak.id;
    this.point(peak.id, true);
  }
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
}

const tickPercent = (share) =>
  `${share * 100 >= 10 || share === 0 ? Math.round(share * 100) : (share * 100).toPrecision(1)}%`;

/** Return a small picture of peaks without axes. */
export function sketch(mzs, intensities) {
  const [width, height] = [300, 44];
  const [low, high] = [-highest(mzs.map((mz) => -mz)), highest(mzs)];
  const top = highest(intensities) || 1;
  const x = (mz) => 4 + ((mz - low) / (high - low || 1)) * (width - 8);
  const lines = mzs.map(
    (mz, i) =>
      `M${x(mz).toFixed(1)} ${height - 1}V${(height - 1 - (Math.max(intensities[i], 0) / top) * (height - 4)).toFixed(1)}`,
  );
  return s(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", class: "sketch" },
    s("path", { d: lines.join("") }),
  );
}
