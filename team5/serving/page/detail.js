// One candidate: its spectrum beside the measured one, its structure, and what joins the two.

import { draw } from "./api.js";
import { addFragments, measuredPeaks, partners, predictedPeaks } from "./answer.js";
import { announce, h, roveRows } from "./dom.js";
import { Structure } from "./drawing.js";
import { formulaText, mzText, percentText, ppmText, probabilityText } from "./format.js";
import { Plot } from "./plot.js";

const MAX_ROWS = 300; // of the table of peaks

export class Detail {
  /** `simulate` and `rematch` ask the server; see `result.js`. */
  constructor({ simulate, rematch }) {
    Object.assign(this, { simulate, rematch });
    this.plot = new Plot((id, stays) => this.point(id === null ? null : { peak: id }, stays));
    this.title = h("h3", {});
    this.readout = h("p", { class: "readout" });
    this.structurePlace = h("div", { class: "structure-place" });
    this.peaksPlace = h("div", { class: "peaks-place" });
    this.legend = h("ul", { class: "legend", "aria-label": "Colours" });
    this.node = h(
      "section",
      { class: "detail", "aria-label": "Chosen structure" },
      h("div", { class: "detail-head" }, this.title, this.legend),
      this.readout,
      h(
        "div",
        { class: "panes" },
        this.plot.node,
        h("div", { class: "side" }, this.structurePlace, this.peaksPlace),
      ),
    );
    this.above = [];
    this.below = [];
  }

  /** Say that another row will be shown at once. */
  expect() {
    this.node.setAttribute("aria-busy", "true");
  }

  /** Show a row of an answer. */
  async show(answer, row) {
    this.expect();
    this.asked?.abort();
    this.asked = new AbortController();
    const { signal } = this.asked;
    const { result } = row;
    this.answer = answer;
    this.row = row;
    this.structure = null;
    this.pinned = null;
    this.simulation = answer.isSimulation ? result : null;
    this.title.textContent = row.name || result.smiles;
    this.structurePlace.replaceChildren();
    this.above = answer.isSimulation
      ? predictedPeaks(result, null)
      : measuredPeaks(answer.spectrum, result);
    this.below = [];
    this._legend();
    this._plot(answer.isSimulation ? "" : "predicting …");
    this._table();
    this.plot.current = null;
    this.point(null, true, false);
    await Promise.all([this._drawStructure(result.smiles, signal), this._predict(signal)]);
    if (!signal.aborted) this.node.removeAttribute("aria-busy");
  }

  _plot(message, keep = false) {
    const { result } = this.row;
    const conditions = `${result.adduct}, ${result.collision_energy ?? "energy not stated"}`;
    const isAlone = this.answer.isSimulation;
    this.plot.set({
      above: this.above,
      below: isAlone ? null : this.below,
      precursor: result.precursor_mz,
      titles: isAlone ? [`predicted, ${conditions}`] : ["measured", `predicted, ${conditions}`],
      message,
      keep,
    });
  }

  async _drawStructure(smiles, signal) {
    try {
      const text = await draw(smiles, 420, 300);
      if (signal.aborted) return;
      this.structure = new Structure(text, (what, stays) => this.point(what, stays));
      this.structurePlace.replaceChildren(this.structure.node);
      this._show();
    } catch (error) {
      if (!signal.aborted)
        this.structurePlace.replaceChildren(
          h("p", { class: "hint" }, `No drawing: ${error.message}`),
        );
    }
  }

  async _predict(signal) {
    try {
      const simulation = this.simulation ?? (await this.simulate(this.row.result, signal));
      if (signal.aborted) return;
      this.simulation = simulation;
      const predicted = this.answer.isSimulation
        ? this.above
        : predictedPeaks(simulation, this.above);
      if (!this.answer.isSimulation) {
        this.below = predicted;
        this._plot("", true);
      }
      if (predicted.length === 0) return;
      const match = await this.rematch(simulation, signal);
      if (signal.aborted) return;
      addFragments(predicted, match);
      if (this.answer.isSimulation) this._table();
      this._show();
    } catch (error) {
      if (!signal.aborted && error.name !== "AbortError" && !this.below.length)
        this._plot(`not predicted: ${error.message}`, true);
    }
  }

  /** Point at {peak}, {atom} or {bond}, or at nothing; what stays is shown until something else is chosen. */
  point(what, stays = false, spoken = true) {
    if (stays) {
      this.pinned = what;
      if (what?.peak) this.plot.current = what.peak;
    }
    this.at = what ?? this.pinned;
    this._show();
    if (stays && what && spoken) announce(this.readout.textContent);
  }

  _show() {
    const all = [...this.above, ...this.below];
    const at = this.at;
    const peak = at?.peak && all.find((one) => one.id === at.peak);
    let lit = null;
    if (peak) {
      const others = this.above.includes(peak) ? this.below : this.above;
      const same = partners(peak, others);
      lit = new Set([peak.id, ...same.map((one) => one.id)]);
      const fragment = peak.atoms ? peak : (same.find((one) => one.atoms) ?? {});
      this.structure?.show({ atoms: fragment.atoms, cut: fragment.bonds });
      this._say(...this._aboutPeak(peak, fragment));
    } else if (at?.atom !== undefined) {
      const having = all.filter((one) => one.atoms?.has(at.atom));
      lit = new Set(having.map((one) => one.id));
      this.structure?.show({ focus: { atom: at.atom } });
      this._say(`Atom ${at.atom + 1}`, `kept in the fragments of ${this._counts(having)}`);
    } else if (at?.bond) {
      const [a, b] = at.bond;
      const cutting = all.filter((one) =>
        one.bonds?.some(([x, y]) => (x === a && y === b) || (x === b && y === a)),
      );
      lit = new Set(cutting.map((one) => one.id));
      this.structure?.show({ focus: { bond: at.bond } });
      this._say(`Bond ${a + 1}–${b + 1}`, `cut in the fragments of ${this._counts(cutting)}`);
    } else {
      this.structure?.show();
      this.readout.replaceChildren(
        h(
          "span",
          { class: "quiet" },
          "Point at a peak for its fragment, at an atom or a bond for its peaks.",
        ),
      );
    }
    this.plot.light(lit);
    for (const row of this.peakRows ?? [])
      row.classList.toggle("lit", lit?.has(row.dataset.peak) ?? false);
  }

  _counts(peaks) {
    const count = (half) =>
      `${peaks.filter((one) => half.includes(one)).length} of ${half.filter((one) => one.atoms).length}`;
    if (this.answer.isSimulation) return `${count(this.above)} predicted peaks`;
    return `${count(this.above)} explained peaks${this.below.length ? `, ${count(this.below)} predicted ones` : ""}`;
  }

  _aboutPeak(peak, fragment) {
    const isMeasured = !this.answer.isSimulation && this.above.includes(peak);
    const facts = [percentText(peak.intensity)];
    if (peak.formula) facts.push(formulaText(peak.formula));
    if (peak.error_ppm !== undefined) facts.push(`${ppmText(peak.error_ppm)} ppm`);
    if (peak.probability !== undefined)
      facts.push(`predicted share ${probabilityText(peak.probability)}`);
    if (fragment.atoms)
      facts.push(
        fragment.bonds.length
          ? `${fragment.bonds.length} bonds cut`.replace(/^1 bonds/, "1 bond")
          : "no bond cut",
      );
    if (peak.kind === "unexplained") facts.push("no fragment of this structure has this m/z");
    if (peak.kind === "impossible") facts.push("above the precursor: no ion of this structure");
    return [`m/z ${mzText(peak.mz)}`, `${isMeasured ? "" : "predicted, "}${facts.join(" · ")}`];
  }

  _say(head, text) {
    this.readout.replaceChildren(h("strong", {}, head), " ", text);
  }

  _legend() {
    const items = this.answer.isSimulation
      ? [["predicted", "predicted"]]
      : [
          ["explained", "explained"],
          ["unexplained", "not explained"],
          ["predicted", "predicted and measured"],
          ["only", "predicted only"],
        ];
    if (this.above.some((peak) => peak.kind === "impossible"))
      items.splice(2, 0, ["impossible", "above the precursor"]);
    this.legend.replaceChildren(
      ...items.map(([kind, text]) => h("li", {}, h("span", { class: `swatch ${kind}` }), text)),
    );
  }

  _table() {
    const columns = this.answer.isSimulation
      ? ["m/z", "int.", "ion"]
      : ["m/z", "int.", "ion", "ppm", "share"];
    // What has a fragment comes first, by m/z; then what has none, the highest of it.
    const known = this.above.filter((peak) => peak.formula);
    const others = this.above
      .filter((peak) => !peak.formula)
      .sort((a, b) => b.intensity - a.intensity);
    const rows = [...known, ...others].slice(0, MAX_ROWS).map((peak, index) =>
      h(
        "tr",
        { role: "row", "data-peak": peak.id, class: peak.kind, tabindex: index ? "-1" : "0" },
        [
          mzText(peak.mz),
          percentText(peak.intensity),
          peak.formula ? formulaText(peak.formula) : "–",
          ...(this.answer.isSimulation
            ? []
            : [
                peak.error_ppm === undefined ? "" : ppmText(peak.error_ppm),
                peak.probability === undefined ? "" : probabilityText(peak.probability),
              ]),
        ].map((text) => h("td", { role: "gridcell" }, text)),
      ),
    );
    this.peakRows = rows;
    const body = h(
      "tbody",
      {
        onpointerover: (event) =>
          event.pointerType === "mouse" &&
          this.point({ peak: event.target.closest("tr").dataset.peak }),
        onpointerleave: () => this.point(null),
      },
      rows,
    );
    roveRows(body, (row) => this.point({ peak: row.dataset.peak }, true));
    const label = this.answer.isSimulation ? "Predicted peaks" : "Measured peaks";
    const left = this.above.length - rows.length;
    this.peaksPlace.replaceChildren(
      h(
        "table",
        { class: "peaks", role: "grid", "aria-label": label },
        h(
          "thead",
          {},
          h(
            "tr",
            { role: "row" },
            columns.map((name) => h("th", { scope: "col", role: "columnheader" }, name)),
          ),
        ),
        body,
      ),
      left > 0 ? h("p", { class: "hint" }, `${left} more are in the plot.`) : "",
    );
  }
}
