// The candidates, best first; or the structures whose spectra were simulated.

import { drawWhenSeen } from "./drawing.js";
import { h, roveRows } from "./dom.js";
import {
  confidenceText,
  countText,
  formulaText,
  mzText,
  percentText,
  probabilityText,
  scoreText,
} from "./format.js";

const PAGE = 100; // rows shown at a time

/** Return the table of an answer; `choose` gets the row whose details are wanted. */
export function answerTable(answer, choose) {
  const columns = answer.isSimulation
    ? ["Structure", "Name, SMILES and notes", "Precursor", "Peaks", "Highest"]
    : [
        ...(answer.question === "rank" ? ["#"] : []),
        "Structure",
        "Name, SMILES and notes",
        answer.question === "rank" ? "Confidence" : "Probability",
        "Explained",
        "Score",
      ];
  const body = h("tbody", {});
  const label = answer.isSimulation ? "Simulated structures" : "Candidates, best first";
  const table = h(
    "table",
    {
      class: `answers of-${answer.question}`,
      role: "grid",
      "aria-label": label,
      "aria-rowcount": answer.rows.length + 1,
    },
    h(
      "thead",
      {},
      h(
        "tr",
        { role: "row" },
        columns.map((name) =>
          h("th", { scope: "col", role: "columnheader", title: TITLES[name] }, name),
        ),
      ),
    ),
    body,
  );
  const byElement = new WeakMap();
  const chosen = (element) => {
    for (const other of body.rows) other.setAttribute("aria-selected", String(other === element));
    choose(byElement.get(element));
  };
  const focusRow = roveRows(body, chosen);
  const more = h("button", { type: "button", class: "more" });
  const showMore = () => {
    const start = body.rows.length;
    for (const [offset, row] of answer.rows.slice(start, start + PAGE).entries()) {
      const element = rowOf(answer, row, start + offset);
      byElement.set(element, row);
      body.append(element);
    }
    const nLeft = answer.rows.length - body.rows.length;
    more.hidden = nLeft === 0;
    more.textContent = `Show ${Math.min(nLeft, PAGE)} more of ${nLeft.toLocaleString("en")}`;
    return body.rows[start];
  };
  more.addEventListener("click", () => focusRow(showMore()));
  const first = showMore();
  first.tabIndex = 0;
  first.setAttribute("aria-selected", "true");
  return h("div", { class: "table-box" }, table, more);
}

const TITLES = {
  Confidence: "The probability that it is the right one, if the right one is among them",
  Probability:
    "That the spectrum is of this structure, beside what is named below it; the mark is the threshold of a match",
  Explained: "Share of the intensity that fragments of the structure explain",
  Score: "Weighted log-likelihood of the peaks; ranks go by it",
};

function rowOf(answer, row, place) {
  const { result } = row;
  const thumb = h("div", { class: "thumb", "aria-hidden": "true" });
  drawWhenSeen(thumb, result.smiles);
  const cell = (kind, ...content) => h("td", { class: kind, role: "gridcell" }, ...content);
  const own = result.notes.filter((note) => !answer.sharedNotes.includes(note));
  const title = cell(
    "title",
    row.name ? h("strong", {}, row.name) : null,
    h("code", { class: "smiles" }, result.smiles),
    h(
      "span",
      { class: "quiet" },
      `${formulaText(result.formula)}${answer.isSimulation ? "" : `, ${result.adduct}`}`,
    ),
    own.length
      ? h(
          "ul",
          { class: "notes", "aria-label": "Notes" },
          own.map((note) => h("li", {}, note)),
        )
      : null,
  );
  const cells = answer.isSimulation
    ? [
        cell("drawing", thumb),
        title,
        number("Precursor", mzText(result.precursor_mz)),
        number("Peaks", String(result.mzs.length)),
        number("Highest", mzText(result.mzs[result.intensities.indexOf(1)] ?? 0)),
      ]
    : [
        answer.question === "rank" ? cell("rank", String(result.rank)) : null,
        cell("drawing", thumb),
        title,
        cell("probability", sureness(result)),
        number("Explained", percentText(result.explained_intensity)),
        number("Score", scoreText(result.score)),
      ];
  return h(
    "tr",
    {
      role: "row",
      tabindex: "-1",
      "aria-selected": "false",
      "aria-rowindex": place + 2,
      class: result.abstained ? "held" : null,
    },
    cells,
  );
}

const number = (label, text) =>
  h("td", { class: "number", role: "gridcell", "data-label": label }, text);

/** How sure an answer is: of several structures the confidence, of a lone one the match. */
export function sureness(match) {
  if (match.rank === null) return probability(match);
  const fillBar = h("span", { class: "bar-fill" });
  fillBar.style.width = `${(match.confidence ?? 0) * 100}%`;
  return h(
    "div",
    { class: "verdict yes" },
    h("span", { class: "value" }, confidenceText(match.confidence)),
    h("span", { class: "bar", "aria-hidden": "true" }, fillBar),
    match.abstained ? h("span", { class: "word" }, "withheld") : null,
  );
}

/** The cell of a match's probability. */
function probability(match) {
  const fillBar = h("span", { class: "bar-fill" });
  fillBar.style.width = `${match.probability * 100}%`;
  const mark = h("span", { class: "bar-mark" });
  mark.style.left = `${match.threshold * 100}%`;
  const verdict = match.abstained ? "withheld" : match.label ? "match" : "no match";
  return h(
    "div",
    { class: `verdict ${match.label ? "yes" : "no"}` },
    h("span", { class: "value" }, probabilityText(match.probability)),
    h("span", { class: "bar", "aria-hidden": "true" }, fillBar, mark),
    h("span", { class: "word" }, verdict),
    match.references ? h("span", { class: "beside" }, besideText(match)) : null,
  );
}

/** What a match's probability comes of a comparison with. */
const besideText = ({ references, n_references: n }) =>
  references === "isomers"
    ? `beside ${countText(n, "isomer")} made from it`
    : `beside ${n.toLocaleString("en")} of its mass`;

/** What an answer is, in a line. */
export function headline(answer) {
  const n = answer.nCandidates ?? answer.rows.length;
  if (answer.isSimulation)
    return n === 1
      ? "Simulated spectrum"
      : `${countText(n, "simulated spectrum", "simulated spectra")}`;
  if (answer.question === "rank") {
    const best = n > answer.rows.length ? `, the best ${answer.rows.length}` : "";
    return `${countText(n, "structure")} ranked${best}`;
  }
  return answer.rows[0].result.label ? "A match" : "No match";
}
