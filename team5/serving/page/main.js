// The page: what is asked, what is shown, and what happens in between.

import { keepToken, predict, versions } from "./api.js";
import { joined, makeAnswer } from "./answer.js";
import { chosenList, listName, loadLibraries, setList, typedList } from "./candidates.js";
import { announce, byId } from "./dom.js";
import { EXAMPLE } from "./example.js";
import * as files from "./files.js";
import {
  clearErrors,
  describe,
  fillForm,
  formValues,
  isOpenAdduct,
  readQuery,
  showApiError,
  showError,
} from "./form.js";
import { countText, durationText } from "./format.js";
import { looksLikeFile } from "./input.js";
import { queryOf } from "./link.js";
import { showAnswer, showNothing } from "./result.js";
import { askAllOf, askOneOf, showSeries } from "./series.js";

const LONG = 300; // structures, of which how many are done is worth telling

let underWay = null; // the AbortController of what is asked
let retry = null; // what to do again once there is a token
let beforehand = {}; // the form before the example or nothing took its place

/** Run a task with progress, a way to cancel it, and its errors shown; `again` is for when there is a token. */
async function guard(
  text,
  task,
  {
    onError = (error) => showError(error.where, error.message),
    again = () => guard(text, task),
  } = {},
) {
  underWay?.abort();
  const mine = new AbortController();
  underWay = mine;
  const started = performance.now();
  let share = 0; // of the work that is done, as far as is known
  const tell = () => {
    const seconds = (performance.now() - started) / 1000;
    const left = share > 0 ? `, ${durationText((seconds / share) * (1 - share))} left` : "";
    const said = seconds < 2 ? "" : ` ${durationText(seconds)}${left}`;
    byId("working-text").textContent = `${text} …${said}`;
  };
  const showProgress = (done, total) => {
    share = total ? done / total : 0;
    bar.classList.toggle("known", total > 0);
    bar.style.setProperty("--done", total ? done / total : 0);
    if (total) bar.setAttribute("aria-valuenow", Math.round((done / total) * 100));
    else bar.removeAttribute("aria-valuenow");
  };
  const bar = document.querySelector(".working-bar");
  showProgress(0, 0);
  tell();
  const clock = setInterval(tell, 500);
  byId("working").hidden = false;
  byId("run").disabled = true;
  byId("query").setAttribute("aria-busy", "true");
  try {
    const found = await task(mine.signal, showProgress);
    return underWay === mine ? found : undefined;
  } catch (error) {
    if (error.name === "AbortError") {
      if (underWay === mine) announce("Cancelled");
    } else if (error.status === 401) askForToken(error, again);
    else if (error.status !== undefined) onError(error);
    else {
      showError(
        null,
        "Something on this page went wrong; what was typed is still here. Reload the page if it happens again.",
      );
      console.error(error);
    }
    return undefined;
  } finally {
    clearInterval(clock);
    if (underWay === mine) {
      underWay = null;
      byId("working").hidden = true;
      byId("run").disabled = false;
      byId("query").removeAttribute("aria-busy");
    }
  }
}

async function run() {
  if (looksLikeFile(byId("peaks").value)) {
    const text = byId("peaks").value;
    await guard("Reading the spectra", (signal) =>
      files.read(
        new Blob([text]),
        `pasted.${/<mzML/.test(text) ? "mzML" : /BEGIN IONS/i.test(text) ? "mgf" : "msp"}`,
        signal,
      ),
    );
    return;
  }
  const together = files.chosenSpectra();
  const query = readQuery(together[0]?.identifier ?? "");
  byId("result").classList.add("old");
  if (query === null) return; // the answer to an earlier question stays, and looks it
  const several = together.length > 1 && query.spectrum !== null;
  // Of several spectra each has its own conditions; a typed adduct is for those that name none.
  const typed = several && files.ownAdduct() ? query.values.structures : null;
  const list = query.list ?? (typed === null ? null : typedList(typed));
  if (list) {
    await runList(query, list, together);
    return;
  }
  const { structures, version } = query;
  const spectrum = several ? joined(together) : query.spectrum;
  const { smiles, max_error } = query.question;
  const question = several
    ? { smiles, max_error, spectra: files.asSpectra(together) }
    : query.question;
  const n = countText(structures.length, "structure");
  const text =
    spectrum === null ? `Simulating ${n}` : structures.length > 1 ? `Ranking ${n}` : "Matching";
  const task = (signal, progress) =>
    predict(question, version, signal, structures.length < LONG ? null : progress);
  const results = await guard(text, task, {
    onError: (error) => showApiError(error, structures),
    again: run,
  });
  if (results === undefined) return;
  byId("result").classList.remove("old");
  const answer = makeAnswer(query.values, spectrum, structures, results);
  showAnswer({ ...answer, isLinkable: !several });
  // Another version may have become the latest since the page was opened.
  if (!version && byId("serving").textContent !== modelText(answer.version)) loadVersions();
}

/** Rank the structures of a list or library by the spectrum in the form, or those of the file in it. */
async function runList(query, list, together) {
  const { values } = query;
  const { adduct, ...conditions } = query.conditions;
  const { feature_id, scan, retention_time, ion_mode } = together[0] ?? {};
  const isKnown = adduct && !isOpenAdduct(adduct); // and says the ion mode
  const ids = { feature_id, scan, retention_time, ion_mode: isKnown ? null : ion_mode };
  // The adduct is asked: in a record one that is not understood would be passed over with a note.
  const one = { ...ids, ...query.spectrum, ...conditions };
  const ask = {
    ...files.asFile(together.length > 1 ? together : [one]),
    ...list,
    adduct: together.length > 1 ? files.ownAdduct() : adduct,
    ppm: values.ppm,
    max_error: values.max_error,
  };
  const spectrum = together.length > 1 ? joined(together) : query.spectrum;
  const what = `Ranking structures of ${list.library ?? listName() ?? "the list"}`;
  const task = (signal, progress) => askOneOf(ask, spectrum, query, signal, progress);
  const found = await guard(what, task, {
    // A file that cannot be read is the list: the spectrum is the page's own.
    onError: ({ where, type, message }) =>
      showError(where ?? (type === "DataError" ? "candidates" : null), message),
    again: run,
  });
  if (found === undefined) return;
  const { answer, leftOut } = found;
  if (answer === null) {
    showError("structures", leftOut.find((line) => line.spectrum)?.left_out ?? leftOut[0].left_out);
    return;
  }
  byId("result").classList.remove("old");
  showAnswer({ ...answer, leftOut, isLinkable: Boolean(list.library) && together.length < 2 });
}

async function openLink() {
  try {
    const query = await queryOf(location.hash);
    if (query === null) return;
    files.close();
    setList(null);
    fillForm(query);
    await run();
  } catch (error) {
    showError(null, error.message);
  }
}

function askForToken(error, again = null) {
  const box = byId("token-box");
  byId("token-error").textContent = box.hidden ? "" : error.message;
  box.hidden = false;
  retry = again ?? retry;
  byId("token").focus();
}

async function loadVersions() {
  try {
    const { serving, versions: list } = await versions();
    const select = byId("version");
    const chosen = select.value;
    const names = list.map((one) => one.version).reverse();
    select.replaceChildren(
      new Option(serving ? `latest (${serving})` : "latest", ""),
      ...names.map((name) => new Option(name, name)),
    );
    if (chosen && !names.includes(chosen)) select.append(new Option(chosen, chosen));
    select.value = chosen;
    byId("serving").textContent = serving ? modelText(serving) : "model loading";
  } catch (error) {
    if (error.status === 401) askForToken(error);
    else byId("serving").textContent = "no connection";
  }
}

async function askAll() {
  clearErrors();
  const { source, byNumber } = files.wholeFile();
  const values = formValues();
  const { ppm, max_error, version } = values;
  const adduct = files.ownAdduct(); // of those that name none
  const structures = files.hasOwnStructures() ? typedList(values.structures) : {};
  const list = chosenList(values) ?? structures;
  const ask = { ...source, ...list, adduct, ppm, max_error, group_by: byId("group_by").value };
  const text = `Asking ${countText(byNumber.size, "spectrum", "spectra")}`;
  byId("result").classList.add("old");
  const task = (signal, progress) => askAllOf(ask, byNumber, { values, version }, signal, progress);
  const found = await guard(text, task, { again: askAll });
  if (found === undefined) return;
  byId("result").classList.remove("old");
  showSeries(found);
}

const modelText = (version) => `model ${version}`;

/** Fill the form anew, and keep at hand what is lost by it. */
function replaceForm(values) {
  const { peaks, structures } = formValues();
  const isLoss = (peaks + structures).trim() !== "" && peaks !== EXAMPLE.peaks;
  if (isLoss) beforehand = formValues();
  byId("undo").hidden = !isLoss;
  files.close();
  setList(null);
  fillForm(values);
}

function example() {
  replaceForm(EXAMPLE);
  run();
}

function clear() {
  underWay?.abort();
  replaceForm({});
  showNothing();
  history.replaceState(null, "", location.pathname);
  byId("peaks").focus();
}

function undo() {
  fillForm(beforehand);
  byId("undo").hidden = true;
  byId("run").focus();
}

function listen() {
  byId("query").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  byId("query").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    if (event.target.id === "token") {
      event.preventDefault();
      useToken();
    } else if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      run();
    }
  });
  byId("peaks").addEventListener("input", () => files.forgetChosen());
  byId("query").addEventListener("input", describe);
  byId("cancel").addEventListener("click", () => {
    underWay?.abort();
    byId("run").disabled = false;
    byId("run").focus();
  });
  byId("example").addEventListener("click", example);
  byId("example-too").addEventListener("click", example);
  byId("rank-all").addEventListener("click", askAll);
  byId("clear").addEventListener("click", clear);
  byId("undo").addEventListener("click", undo);
  byId("token-use").addEventListener("click", useToken);
  addEventListener("hashchange", openLink);
  files.listenForFiles(guard, openList);
  byId("list").addEventListener("change", ({ target }) => {
    if (target.files.length) openList(target.files[0]);
    target.value = "";
  });
  byId("list-close").addEventListener("click", () => {
    setList(null);
    clearErrors();
    describe();
    byId("list").focus();
  });
}

/** Take a list of structures in the place of those in the form. */
function openList(file) {
  setList(file);
  clearErrors();
  describe();
  announce(`Structures of ${file.name}`);
}

async function useToken() {
  keepToken(byId("token").value.trim());
  clearErrors();
  await Promise.all([loadVersions(), loadLibraries()]);
  if (byId("token-error").textContent) return;
  byId("token-box").hidden = true;
  byId("token").value = "";
  const again = retry;
  retry = null;
  again?.();
}

listen();
describe();
await Promise.all([loadVersions(), loadLibraries()]);
await openLink();
