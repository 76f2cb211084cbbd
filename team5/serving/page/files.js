// Files of spectra: dropped, chosen or pasted; one of their spectra goes into the form.

import { readSpectra } from "./api.js";
import { isList } from "./candidates.js";
import { announce, byId, h, leftOutOf } from "./dom.js";
import { mgf } from "./downloads.js";
import { clearErrors, fillForm, formValues, isOpenAdduct, showError } from "./form.js";
import { countText } from "./format.js";

const LARGEST = 200_000_000; // bytes; beyond it a browser tab has trouble of its own

let source = null; // the file as it came: {spectra, spectraName}
let spectra = [];
let left = []; // what of the file cannot be used
let structuresOfRecord = ""; // what the form got from a record, and may lose again with it
let adductOfRecord = ""; // likewise
let chosen = []; // spectra of the file that are in the form, unchanged

/** Let files be dropped, chosen and closed; `guard` runs a task with progress, `openList` takes structures. */
export function listenForFiles(guard, openList) {
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
  byId("spectra").addEventListener("change", (event) =>
    choose([...event.target.selectedOptions].map((option) => option.index)),
  );
  const drop = byId("drop");
  const hasFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => hasFile(event) && (drop.hidden = false));
  addEventListener("dragover", (event) => hasFile(event) && event.preventDefault());
  addEventListener("dragleave", (event) => event.relatedTarget === null && (drop.hidden = true));
  addEventListener("drop", async (event) => {
    drop.hidden = true;
    if (!hasFile(event)) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (!file) return;
    if (await isList(file)) openList(file);
    else take(file);
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
  byId("result").classList.add("old"); // an answer on the page is of other spectra
  source = { spectra: file, spectraName: name };
  spectra = answer.spectra;
  left = answer.left_out;
  if (!spectra.length) {
    showError("file", `${name}: no spectrum that can be used. ${left[0] ?? ""}`);
    return false;
  }
  byId("spectra-label").textContent =
    `${countText(spectra.length, "spectrum", "spectra")} of ${name}`;
  byId("spectra").replaceChildren(
    ...spectra.map((one) => {
      const option = new Option(describeSpectrum(one), String(one.spectrum));
      option.title = option.text;
      return option;
    }),
  );
  byId("spectra-box").hidden = false;
  byId("all-box").hidden = spectra.length < 2;
  byId("rank-all").textContent = `Ask all ${spectra.length.toLocaleString("en")}`;
  choose([0]);
  byId("spectra").focus();
  announce(`${countText(spectra.length, "spectrum", "spectra")} read from ${name}`);
  return true;
}

export function describeSpectrum(one) {
  const facts = [one.identifier || one.place || `spectrum ${one.spectrum}`];
  if (one.precursor_mz) facts.push(`m/z ${one.precursor_mz.toFixed(4)}`);
  if (one.adduct ?? one.ion_mode) facts.push(one.adduct ?? one.ion_mode);
  if (one.collision_energy) facts.push(one.collision_energy);
  facts.push(countText(one.mzs.length, "peak"));
  return facts.join(" · ");
}

function choose(indices) {
  if (!indices.length) return;
  for (const option of byId("spectra").options) option.selected = indices.includes(option.index);
  const several = indices.map((index) => spectra[index]);
  const notes = several.flatMap((one) => one.notes.map((note) => h("div", {}, `Note: ${note}`)));
  const together =
    several.length > 1
      ? `${several.length} spectra, judged together as of one compound; the first is shown`
      : spectra.length > 1
        ? "With Ctrl or Shift several are chosen, to be judged together"
        : "";
  byId("spectra-hint").replaceChildren(together, ...notes, leftOutOf(left.map((text) => ({ left_out: text }))));
  const values = valuesOf(several[0]);
  structuresOfRecord = hasOwnStructures() ? "" : values.structures;
  adductOfRecord = isOpenAdduct(values.adduct) ? "" : values.adduct;
  fillForm(values);
  chosen = several;
}

/** Whether the structures in the form were typed, rather than those of a record. */
export function hasOwnStructures() {
  const { structures } = formValues();
  return structures.trim() !== "" && structures !== structuresOfRecord;
}

/** The adduct in the form if it was typed rather than that of a record, else nothing. */
export function ownAdduct() {
  const adduct = formValues().adduct.trim();
  return adduct === adductOfRecord ? "" : adduct;
}

/** Return the form as it is with a spectrum of the file in it; typed structures stay. */
function valuesOf(one) {
  const now = formValues();
  return {
    ...now,
    structures: hasOwnStructures() ? now.structures : (one.smiles ?? ""),
    peaks: one.mzs.map((mz, i) => `${mz}\t${Number(one.intensities[i].toPrecision(6))}`).join("\n"),
    adduct: one.adduct ?? (isOpenAdduct(now.adduct) ? now.adduct : adductOf(one.ion_mode)),
    collision_energy: one.collision_energy ?? "",
    precursor_mz: one.precursor_mz === null ? "" : String(one.precursor_mz),
    instrument_type: one.instrument_type ?? "",
  };
}

const adductOf = (ionMode) => (ionMode === "negative" ? "[M-H]-" : "");

/** The spectra of the file by their numbers, and the file as `rankFile` sends it. */
export const wholeFile = () => ({
  source,
  byNumber: new Map(spectra.map((one) => [one.spectrum, one])),
});

/** The spectra of the file that are in the form, unchanged: several are of one compound. */
export const chosenSpectra = () => chosen;

/** Return spectra of one compound as `/predict` takes them. */
export const asSpectra = (several) =>
  several.map(({ mzs, intensities, ...one }) => {
    const keys = ["adduct", "precursor_mz", "collision_energy", "instrument_type", "ion_mode"];
    const known = keys.filter((key) => one[key] !== null).map((key) => [key, one[key]]);
    return { mzs, intensities, ...Object.fromEntries(known) };
  });

/** Return spectra of one compound as a file that `rankFile` sends, to be judged together. */
export function asFile(several) {
  const [first] = several;
  const feature = several.length > 1 ? (first.feature_id ?? "chosen") : first.feature_id;
  const records = several.map((one) =>
    mgf(
      {
        TITLE: one.identifier,
        FEATURE_ID: feature,
        SCANS: one.scan,
        RTINSECONDS: one.retention_time,
        PEPMASS: one.precursor_mz,
        CHARGE: one.adduct ? null : { positive: "1+", negative: "1-" }[one.ion_mode],
        ADDUCT: one.adduct,
        COLLISION_ENERGY: one.collision_energy,
        INSTRUMENT_TYPE: one.instrument_type,
      },
      one.mzs,
      one.intensities,
    ),
  );
  return {
    spectra: new Blob(records),
    spectraName: "spectrum.mgf",
    group_by: several.length > 1 ? "FEATURE_ID" : "",
  };
}

/** Forget the file; what of it is in the form stays. */
export function close() {
  source = null;
  spectra = [];
  adductOfRecord = "";
  byId("spectra-box").hidden = true;
  byId("spectra").replaceChildren();
  forgetChosen();
}

/** The peaks in the form are no longer those of the file. */
export function forgetChosen() {
  chosen = [];
  for (const option of byId("spectra").options) option.selected = false;
}
