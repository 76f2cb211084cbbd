// Spectra searched among structures as files are: one of them, or all of a file as a table.

import { ApiError, rankFile } from "./api.js";
import { joined, makeRankedAnswer } from "./answer.js";
import { announce, byId, h, leftOutOf, roveRows } from "./dom.js";
import { save, toCsvOfAll, toCsvOfLeftOut, toJsonOfAll } from "./downloads.js";
import { drawWhenSeen } from "./drawing.js";
import { describeSpectrum } from "./files.js";
import { countText, percentText } from "./format.js";
import { showAnswer, showFromTop } from "./result.js";
import { sureness } from "./table.js";

/**
 * Ask for every spectrum of a file; `byNumber` are its spectra.
 *
 * Returns {asked, leftOut, stopped}: `asked` are {label, answer} in the order of the file, `leftOut`
 * what has no answer and why; `stopped` says why not all of them are there, or is null.
 */
export async function askAllOf(ask, byNumber, { values, version }, signal, progress) {
  const asked = [];
  const leftOut = [];
  const done = new Set();
  const known = new Set(); // what was left out, which a request that goes on says again
  const take = (line) => {
    if (line.left_out === undefined) asked.push(answered(line, byNumber, values));
    else if (!known.has(line.left_out)) leftOut.push(line);
    known.add(line.left_out);
    for (const number of line.spectra ?? [line.spectrum]) if (byNumber.has(number)) done.add(number);
    progress(done.size, byNumber.size);
  };
  let stopped = null;
  try {
    await rankInTurns(ask, version, signal, take, () => asked.at(-1)?.numbers[0] ?? 0);
  } catch (error) {
    const isCancelled = error.name === "AbortError";
    const canBeShown = asked.length > 0 && error.status !== 401;
    if (!canBeShown || !(isCancelled || error instanceof ApiError)) throw error;
    stopped = isCancelled ? "cancelled" : error.message;
  }
  return { asked, leftOut, stopped };
}

/** Rank a file in as many requests as it takes: each has its time. `done` is the last number answered. */
async function rankInTurns(ask, version, signal, take, done) {
  for (let first = 1; ; first = done() + 1) {
    try {
      await rankFile({ ...ask, first }, version, signal, take);
      return;
    } catch (error) {
      if (error.type !== "LateError" || done() < first) throw error;
    }
  }
}

function answered(line, byNumber, values) {
  const members = line.spectra.map((number) => byNumber.get(number));
  const label = describeSpectrum(members[0]);
  return {
    numbers: line.spectra,
    label: members.length > 1 ? `${label} · and ${members.length - 1} more, together` : label,
    answer: makeRankedAnswer(values, joined(members), line),
  };
}

/** Ask for the spectra in the form; returns {answer, leftOut}, `answer` null where there is none. */
export async function askOneOf(ask, spectrum, { values, version }, signal, progress) {
  let answer = null;
  const leftOut = [];
  const take = (line) => {
    if (line.left_out !== undefined) leftOut.push(line);
    else answer = makeRankedAnswer(values, spectrum, line);
  };
  await rankFile(ask, version, signal, take, progress);
  return { answer, leftOut };
}

/** Show the answers to all spectra of a file. */
export function showSeries({ asked, leftOut, stopped }) {
  const place = h("div", { class: "part" });
  const body = h("tbody", {}, asked.map(rowOf));
  const columns = ["Spectrum", "Structure", "Best structure", "Confidence", "Explained"];
  const header = columns.map((name) => h("th", { scope: "col", role: "columnheader" }, name));
  const choose = (row) => {
    for (const other of body.rows) other.setAttribute("aria-selected", String(other === row));
    showAnswer(asked[[...body.rows].indexOf(row)].answer, place);
  };
  roveRows(body, choose);
  const nAnswered = asked.reduce((n, { numbers }) => n + numbers.length, 0);
  const all = [...leftOut.map((one) => one.spectrum), ...asked.flatMap(({ numbers }) => numbers)];
  const nSpectra = new Set(all.filter(Boolean)).size;
  const title = `${nAnswered.toLocaleString("en")} of ${countText(nSpectra, "spectrum", "spectra")} answered`;
  const button = (text, onclick) => h("button", { type: "button", class: "small", onclick }, text);
  const actions = [
    button("All as CSV", () => save(toCsvOfAll(asked), "team5-all.csv", "text/csv")),
    button("All as JSON", () =>
      save(toJsonOfAll(asked, leftOut), "team5-all.json", "application/json"),
    ),
    leftOut.length
      ? button("Left out as CSV", () =>
          save(toCsvOfLeftOut(leftOut), "team5-all.csv.left_out.csv", "text/csv"),
        )
      : null,
  ];
  byId("answer").replaceChildren(
    h(
      "div",
      { class: "answer-head" },
      h("h2", {}, title),
      h("div", { class: "actions", role: "group", "aria-label": "Take all with you" }, actions),
    ),
    stopped ? h("p", { class: "banner warn" }, `Not all spectra were asked: ${stopped}`) : "",
    leftOutOf(leftOut),
    asked.length
      ? h(
          "div",
          { class: "table-box" },
          h(
            "table",
            { class: "answers of-series", role: "grid", "aria-label": "Spectra of the file" },
            h("thead", {}, h("tr", { role: "row" }, header)),
            body,
          ),
        )
      : "",
    place,
  );
  byId("welcome").hidden = true;
  announce(title);
  showFromTop();
  if (!asked.length) return;
  body.rows[0].tabIndex = 0;
  choose(body.rows[0]);
}

function rowOf({ label, answer }) {
  const cell = (kind, ...content) => h("td", { class: kind, role: "gridcell" }, ...content);
  const spectrum = cell("spectrum", label);
  const row = { role: "row", tabindex: "-1", "aria-selected": "false" };
  const [{ name, result }] = answer.rows;
  const thumb = h("div", { class: "thumb", "aria-hidden": "true" });
  drawWhenSeen(thumb, result.smiles);
  const n = answer.nCandidates;
  const title = cell(
    "title",
    name ? h("strong", {}, name) : null,
    h("code", { class: "smiles" }, result.smiles),
    h("span", { class: "quiet" }, n > 1 ? `${result.adduct}, first of ${n.toLocaleString("en")}` : result.adduct),
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
