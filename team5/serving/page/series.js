// All spectra of a file: asked one after the other, and shown as a table that opens each answer.

import { ApiError, predict } from "./api.js";
import { makeAnswer } from "./answer.js";
import { announce, byId, h, roveRows } from "./dom.js";
import { save, toCsvOfAll, toJsonOfAll } from "./downloads.js";
import { drawWhenSeen } from "./drawing.js";
import { countText, percentText } from "./format.js";
import { showAnswer } from "./result.js";
import { sureness } from "./table.js";

const NO_STRUCTURE = "no structure: its record has no SMILES, and none was typed";

/**
 * Ask for every spectrum; what is wrong with one of them is its own answer.
 *
 * Returns {asked, stopped}: `asked` are {label, answer} or {label, error}; `stopped` says why not
 * all of them are there, or is null.
 */
export async function askEach(queries, signal, progress) {
  const asked = [];
  try {
    for (const { label, query } of queries) {
      progress(asked.length, queries.length);
      asked.push({ label, ...(await askOne(query, signal)) });
    }
  } catch (error) {
    const isCancelled = error.name === "AbortError";
    const canBeShown = asked.length > 0 && error.status !== 401;
    if (!canBeShown || !(isCancelled || error instanceof ApiError)) throw error;
    return { asked, stopped: isCancelled ? "cancelled" : error.message };
  }
  return { asked, stopped: null };
}

async function askOne({ question, spectrum, structures, version, values }, signal) {
  if (structures.length === 0) return { error: NO_STRUCTURE };
  try {
    const results = await predict(question, version, signal);
    return { answer: makeAnswer(values, spectrum, structures, results) };
  } catch (error) {
    // What is about the form is wrong for all of them.
    if (error.status !== 422 || ["version", "max_error"].includes(error.where)) throw error;
    return { error: error.message };
  }
}

/** Show the answers to all spectra of a file. */
export function showSeries({ asked, stopped }) {
  const place = h("div", { class: "part" });
  const body = h("tbody", {}, asked.map(rowOf));
  const columns = ["Spectrum", "Structure", "Best structure", "Probability", "Explained"];
  const header = columns.map((name) => h("th", { scope: "col", role: "columnheader" }, name));
  const choose = (row) => {
    for (const other of body.rows) other.setAttribute("aria-selected", String(other === row));
    const { answer, error } = asked[[...body.rows].indexOf(row)];
    if (answer) showAnswer(answer, place);
    else place.replaceChildren(h("p", { class: "error" }, error));
  };
  roveRows(body, choose);
  const nAnswered = asked.filter(({ answer }) => answer).length;
  const title = `${nAnswered.toLocaleString("en")} of ${countText(asked.length, "spectrum", "spectra")} answered`;
  const button = (text, onclick) => h("button", { type: "button", class: "small", onclick }, text);
  byId("answer").replaceChildren(
    h(
      "div",
      { class: "answer-head" },
      h("h2", {}, title),
      h(
        "div",
        { class: "actions", role: "group", "aria-label": "Take all with you" },
        button("All as CSV", () => save(toCsvOfAll(asked), "team5-all.csv", "text/csv")),
        button("All as JSON", () => save(toJsonOfAll(asked), "team5-all.json", "application/json")),
      ),
    ),
    stopped ? h("p", { class: "banner warn" }, `Not all spectra were asked: ${stopped}`) : "",
    h(
      "div",
      { class: "table-box" },
      h(
        "table",
        { class: "answers of-series", role: "grid", "aria-label": "Spectra of the file" },
        h("thead", {}, h("tr", { role: "row" }, header)),
        body,
      ),
    ),
    place,
  );
  byId("welcome").hidden = true;
  announce(title);
  const first =
    body.rows[
      Math.max(
        asked.findIndex(({ answer }) => answer),
        0,
      )
    ];
  first.tabIndex = 0;
  choose(first);
}

function rowOf({ label, answer, error }) {
  const cell = (kind, ...content) => h("td", { class: kind, role: "gridcell" }, ...content);
  const spectrum = cell("spectrum", label);
  const row = { role: "row", tabindex: "-1", "aria-selected": "false" };
  if (!answer) return h("tr", row, spectrum, h("td", { role: "gridcell", colspan: 4 }, error));
  const [{ name, result }] = answer.rows;
  const thumb = h("div", { class: "thumb", "aria-hidden": "true" });
  drawWhenSeen(thumb, result.smiles);
  const n = answer.rows.length;
  const title = cell(
    "title",
    name ? h("strong", {}, name) : null,
    h("code", { class: "smiles" }, result.smiles),
    n > 1 ? h("span", { class: "quiet" }, `first of ${n.toLocaleString("en")}`) : null,
  );
  const explained = { class: "number", role: "gridcell", "data-label": "Explained" };
  return h(
    "tr",
    row,
    spectrum,
    cell("drawing", thumb),
    title,
    cell("probability", sureness(result)),
    h("td", explained, percentText(result.explained_intensity)),
  );
}
