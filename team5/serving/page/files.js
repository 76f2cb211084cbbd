// Files of spectra: dropped, chosen or pasted; one of their spectra goes into the form.

import { readSpectra } from "./api.js";
import { announce, byId, h } from "./dom.js";
import { clearErrors, fillForm, formValues, makeQuery, showError } from "./form.js";
import { countText } from "./format.js";

const LARGEST = 200_000_000; // bytes; beyond it a browser tab has trouble of its own
const MAX_LEFT_OUT = 50; // lines shown of what a file holds and cannot be used

let spectra = [];
let left = []; // what of the file cannot be used
let structuresOfRecord = ""; // what the form got from a record, and may lose again with it
export let identifier = ""; // of the spectrum in the form, if it came from a file

/** Let files be dropped, chosen and closed; `guard` runs a task with progress and errors. */
export function listenForFiles(guard) {
  const input = byId("file");
  const take = (file) => guard(`Reading ${file.name}`, (signal) => read(file, file.name, signal));
  input.addEventListener("change", () => {
    if (input.files.length) take(input.files[0]);
    input.value = "";
  });
  byId("file-close").addEventListener("click", () => {
    close();
    byId("file").focus();
  });
  byId("spectra").addEventListener("change", (event) => choose(event.target.selectedIndex));
  const drop = byId("drop");
  const hasFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => hasFile(event) && (drop.hidden = false));
  addEventListener("dragover", (event) => hasFile(event) && event.preventDefault());
  addEventListener("dragleave", (event) => event.relatedTarget === null && (drop.hidden = true));
  addEventListener("drop", (event) => {
    drop.hidden = true;
    if (!hasFile(event)) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
}

/** Read a file and show its spectra. */
export async function read(file, name, signal) {
  clearErrors();
  if (file.size > LARGEST) {
    showError(
      "file",
      `${name} has ${Math.round(file.size / 1e6)} MB. Rank files of this size with predict.py.`,
    );
    return false;
  }
  let answer;
  try {
    answer = await readSpectra(file, name, signal);
  } catch (error) {
    if (error.name === "AbortError" || error.status === 401) throw error;
    showError("file", error.message);
    return false;
  }
  spectra = answer.spectra;
  left = answer.left_out;
  if (!spectra.length) {
    showError("file", `${name}: no spectrum that can be used. ${left[0] ?? ""}`);
    return false;
  }
  byId("spectra-label").textContent =
    `${countText(spectra.length, "spectrum", "spectra")} of ${name}`;
  byId("spectra").replaceChildren(
    ...spectra.map((one, i) => new Option(describeSpectrum(one, i), String(i))),
  );
  byId("spectra-box").hidden = false;
  byId("rank-all").hidden = spectra.length < 2;
  byId("rank-all").textContent = `Ask all ${spectra.length.toLocaleString("en")}`;
  choose(0);
  byId("spectra").focus();
  announce(`${countText(spectra.length, "spectrum", "spectra")} read from ${name}`);
  return true;
}

function leftOut() {
  const more = left.length - MAX_LEFT_OUT;
  return h(
    "details",
    {},
    h("summary", {}, `${countText(left.length, "entry", "entries")} left out`),
    h(
      "ul",
      {},
      left.slice(0, MAX_LEFT_OUT).map((text) => h("li", {}, text)),
      more > 0 ? h("li", {}, `and ${more} more`) : null,
    ),
  );
}

function describeSpectrum(one, index) {
  const facts = [one.identifier || one.place || `spectrum ${index + 1}`];
  if (one.precursor_mz) facts.push(`m/z ${one.precursor_mz.toFixed(4)}`);
  if (one.adduct ?? one.ion_mode) facts.push(one.adduct ?? one.ion_mode);
  if (one.collision_energy) facts.push(one.collision_energy);
  facts.push(countText(one.mzs.length, "peak"));
  return facts.join(" · ");
}

function choose(index) {
  const one = spectra[index];
  byId("spectra").selectedIndex = index;
  byId("spectra-hint").replaceChildren(
    ...one.notes.map((note) => h("div", {}, `Note: ${note}`)),
    ...(left.length ? [leftOut()] : []),
  );
  const values = valuesOf(one);
  structuresOfRecord = hasOwnStructures() ? "" : values.structures;
  fillForm(values);
  identifier = one.identifier;
}

/** Whether the structures in the form were typed, rather than those of a record. */
function hasOwnStructures() {
  const { structures } = formValues();
  return structures.trim() !== "" && structures !== structuresOfRecord;
}

/** Return the form as it is with a spectrum of the file in it; typed structures stay. */
function valuesOf(one) {
  const now = formValues();
  return {
    ...now,
    structures: hasOwnStructures() ? now.structures : (one.smiles ?? ""),
    peaks: one.mzs.map((mz, i) => `${mz}\t${Number(one.intensities[i].toPrecision(6))}`).join("\n"),
    adduct: one.adduct ?? (one.ion_mode === "negative" ? "[M-H]-" : ""),
    collision_energy: one.collision_energy ?? "",
    precursor_mz: one.precursor_mz === null ? "" : String(one.precursor_mz),
    instrument_type: one.instrument_type ?? "",
  };
}

/** Return the query of every spectrum of the file, each with a text that says which it is. */
export const queries = () =>
  spectra.map((one, i) => ({
    label: describeSpectrum(one, i),
    query: makeQuery(valuesOf(one), one.identifier),
  }));

/** Forget the file; what of it is in the form stays. */
export function close() {
  spectra = [];
  byId("spectra-box").hidden = true;
  byId("spectra").replaceChildren();
  forgetIdentifier();
}

/** The peaks in the form are no longer those of the file. */
export function forgetIdentifier() {
  identifier = "";
}
