// The query as it stands in the form: read, filled in, and marked where it is wrong.

import { chosenList, listName } from "./candidates.js";
import { byId, h } from "./dom.js";
import { countText, highest, mzText } from "./format.js";
import { looksLikeFile, parseNumber, parsePeaks, parseStructures } from "./input.js";
import { sketch } from "./plot.js";

export const FIELDS = [
  "peaks",
  "structures",
  "adduct",
  "collision_energy",
  "precursor_mz",
  "instrument_type",
  "version",
  "max_error",
  "library",
  "ppm",
];
// Keys of errors that are about another field than one of their own name.
const FIELD_OF = {
  mzs: "peaks",
  intensities: "peaks",
  spectra: "peaks",
  smiles: "structures",
  candidates: "structures",
};

/** The form as texts, as links and downloads carry it. */
export const formValues = () => Object.fromEntries(FIELDS.map((id) => [id, byId(id).value]));

/** Fill the form; what is not named is emptied. */
export function fillForm(values) {
  for (const id of FIELDS) {
    const field = byId(id);
    const value = values[id] ?? "";
    // A version that a link names may be gone; that is for the server to say.
    if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === value))
      field.append(new Option(value, value));
    field.value = value;
  }
  clearErrors();
  describe();
}

/** Say what is in the form: how many peaks and structures, and what they will be asked. */
export function describe() {
  const peaks = parsePeaks(byId("peaks").value);
  const structures = parseStructures(byId("structures").value);
  const n = peaks.mzs.length;
  const isFile = looksLikeFile(byId("peaks").value);
  const hints = [];
  if (isFile) hints.push("This is a file of spectra; it is read as one.");
  else if (n) {
    const base = peaks.mzs[peaks.intensities.indexOf(highest(peaks.intensities))];
    hints.push(`${countText(n, "peak")}, base peak ${mzText(base)}`);
    if (peaks.nHeader) hints.push(`${countText(peaks.nHeader, "header line")} passed over`);
  }
  byId("peaks-hint").textContent = hints.join("; ");
  const preview = byId("preview");
  preview.hidden = n === 0 || isFile || peaks.mzs.length > 5000;
  preview.replaceChildren(...(preview.hidden ? [] : [sketch(peaks.mzs, peaks.intensities)]));
  const list = chosenList(formValues());
  describeStructures(list, structures);
  byId("adduct-hint").textContent = isOpenAdduct(byId("adduct").value)
    ? "By the precursor; each answer says its own"
    : "";
  const hasPeaks = byId("peaks").value.trim() !== "";
  const many = structures.length > 1;
  byId("run").textContent = list
    ? "Rank"
    : !hasPeaks && structures.length
      ? many
        ? `Simulate ${structures.length.toLocaleString("en")} spectra`
        : "Simulate spectrum"
      : many
        ? `Rank ${structures.length.toLocaleString("en")} structures`
        : structures.length
          ? "Match"
          : "Rank";
  return { peaks, structures };
}

/** Whether an adduct is to be found rather than known: `auto`, or several. */
export const isOpenAdduct = (adduct) => /^\s*auto\s*$/i.test(adduct) || adduct.includes(",");

function describeStructures(list, structures) {
  const name = listName();
  const field = byId("structures");
  field.hidden = name !== null;
  field.disabled = Boolean(list?.library);
  byId("list-close").hidden = name === null;
  byId("structures-label").textContent = name ?? "SMILES, one a line, and names";
  byId("ppm-box").hidden = list === null && byId("spectra-box").hidden;
  byId("structures-hint").textContent = list
    ? `${name ? "A list" : list.library ? "A library" : "This is a list"}: its structures of the precursor’s mass are ranked.`
    : structures.length
      ? countText(structures.length, "structure")
      : "";
}

/** Return {question, spectrum, structures, version} to be asked, or null where something is wrong and now marked. */
export function readQuery(identifier) {
  clearErrors();
  const { peaks, structures } = describe();
  const values = formValues();
  const list = chosenList(values);
  const hasPeaks = values.peaks.trim() !== "";
  if (!hasPeaks) {
    if (list) showError("peaks", "Give a spectrum: the structures of a list are ranked by it.");
    else if (structures.length === 0)
      showError(
        "structures",
        "Give at least one SMILES; with peaks it is matched or ranked, alone it is simulated.",
      );
  } else {
    if (peaks.fault) showError("peaks", peaks.fault.message, { line: peaks.fault.line });
    else if (peaks.mzs.length === 0)
      showError(
        "peaks",
        "No peaks in this text. Give one m/z with its intensity a line, or leave it empty to simulate.",
      );
    if (!list && structures.length === 0)
      showError("structures", "Give at least one SMILES to hold the spectrum against.");
  }
  if (Number.isNaN(parseNumber(values.precursor_mz)))
    showError("precursor_mz", "Not a number. Write it as 195.0877, or leave it empty.");
  else if (list?.library && values.precursor_mz.trim() === "")
    showError("precursor_mz", "A library is searched by the precursor. Give its m/z.");
  else if (isOpenAdduct(values.adduct) && hasPeaks && values.precursor_mz.trim() === "")
    showError("precursor_mz", "Adducts are told apart by the precursor. Give its m/z.");
  return hasErrors() ? null : { ...makeQuery(values, identifier), list };
}

/** Return what texts of the form ask, taken to be right. */
export function makeQuery(values, identifier) {
  const { mzs, intensities } = parsePeaks(values.peaks);
  const structures = parseStructures(values.structures);
  const spectrum = mzs.length ? { mzs, intensities, identifier } : null;
  const conditions = conditionsOf(values);
  const question = {
    smiles: structures.length === 1 ? structures[0].smiles : structures.map((one) => one.smiles),
    ...conditions,
  };
  if (spectrum) Object.assign(question, { mzs, intensities });
  if (values.max_error && spectrum) question.max_error = Number(values.max_error);
  return { question, conditions, spectrum, structures, version: values.version, values };
}

function conditionsOf(values) {
  const texts = ["adduct", "collision_energy", "instrument_type"].map((key) => [
    key,
    values[key].trim(),
  ]);
  const conditions = Object.fromEntries(texts.filter(([, value]) => value !== ""));
  const precursor = parseNumber(values.precursor_mz);
  return precursor === null ? conditions : { ...conditions, precursor_mz: precursor };
}

/** Put an error beside its field; `line` marks a line of it. Returns whether there is such a field. */
export function showError(where, message, { line = null, extra = null } = {}) {
  const key = (where ?? "").replace(/\[.*$/, "").split(".").at(-1);
  const id = FIELD_OF[key] ?? key;
  const place = byId(`${id}-error`) ?? byId("general-error");
  if (place.childNodes.length) return;
  place.setAttribute("role", "alert");
  place.append(message, ...(extra ? [" ", extra] : []));
  const field = byId(id);
  if (!field || place.id === "general-error") return;
  field.setAttribute("aria-invalid", "true");
  if (document.querySelectorAll("[aria-invalid=true]").length === 1) {
    field.focus();
    if (line !== null) selectLine(field, line);
  }
}

/** Put a server's error beside its field; structures of a list are named by their lines. */
export function showApiError(error, structures) {
  const where = error.where?.match(/^smiles(\[\d+\])?$/);
  const numbers = [...error.message.matchAll(/\bstructure (\d+) of \d+: /g)];
  const named = where ? numbers.map(([, number]) => structures[number - 1]).filter(Boolean) : [];
  const wrong = named.length ? named : where && structures.length === 1 ? structures : [];
  if (!wrong.length) {
    showError(error.where, error.message);
    return;
  }
  const message = error.message.replace(/\bstructure (\d+) of \d+: /g, (text, number) =>
    structures[number - 1] ? `Line ${structures[number - 1].line + 1}: ` : text,
  );
  const leaveOut = () => {
    const field = byId("structures");
    const lines = new Set(wrong.map((one) => one.line));
    field.value = field.value
      .split(/\r\n|\r|\n/)
      .filter((_, line) => !lines.has(line))
      .join("\n");
    clearErrors();
    describe();
    byId("run").focus();
  };
  const label = wrong.length > 1 ? `Leave these ${wrong.length} lines out` : "Leave this line out";
  const extra =
    structures.length > 1
      ? h("button", { type: "button", class: "small", onclick: leaveOut }, label)
      : null;
  showError("structures", message, { line: wrong[0].line, extra });
}

export function clearErrors() {
  for (const place of document.querySelectorAll(".error")) {
    place.replaceChildren();
    place.removeAttribute("role");
  }
  for (const field of document.querySelectorAll("[aria-invalid]"))
    field.removeAttribute("aria-invalid");
}

const hasErrors = () =>
  [...document.querySelectorAll("#query .error")].some((place) => place.childNodes.length);

function selectLine(field, line) {
  const lines = field.value.split("\n");
  const start = lines.slice(0, line).reduce((sum, one) => sum + one.length + 1, 0);
  field.setSelectionRange(start, start + (lines[line]?.length ?? 0));
}
