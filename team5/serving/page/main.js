// The page: what is asked, what is shown, and what happens in between.

import { keepToken, predict, versions } from "./api.js";
import { makeAnswer } from "./answer.js";
import { announce, byId } from "./dom.js";
import { EXAMPLE } from "./example.js";
import * as files from "./files.js";
import {
  clearErrors,
  describe,
  fillForm,
  formValues,
  readQuery,
  showApiError,
  showError,
} from "./form.js";
import { countText } from "./format.js";
import { looksLikeFile } from "./input.js";
import { queryOf } from "./link.js";
import { showAnswer, showNothing } from "./result.js";
import { askEach, showSeries } from "./series.js";

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
  const tell = () => {
    const seconds = Math.floor((performance.now() - started) / 1000);
    byId("working-text").textContent = seconds < 2 ? `${text} …` : `${text} … ${seconds} s`;
  };
  const showProgress = (done, total) => {
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
  const query = readQuery(files.identifier);
  if (query === null) return;
  const { question, spectrum, structures, version } = query;
  const n = countText(structures.length, "structure");
  const text =
    spectrum === null ? `Simulating ${n}` : structures.length > 1 ? `Ranking ${n}` : "Matching";
  byId("result").classList.add("old");
  const results = await guard(text, (signal) => predict(question, version, signal), {
    onError: (error) => showApiError(error, structures),
    again: run,
  });
  if (results === undefined) return; // the answer to an earlier question stays, and looks it
  byId("result").classList.remove("old");
  const answer = makeAnswer(query.values, spectrum, structures, results);
  showAnswer(answer);
  // Another version may have become the latest since the page was opened.
  if (!version && byId("serving").textContent !== modelText(answer.version)) loadVersions();
}

async function openLink() {
  try {
    const query = await queryOf(location.hash);
    if (query === null) return;
    files.close();
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
  const asked = files.queries();
  const { structures } = asked[0].query;
  const text = `Asking ${countText(asked.length, "spectrum", "spectra")}`;
  byId("result").classList.add("old");
  const found = await guard(text, (signal, progress) => askEach(asked, signal, progress), {
    onError: (error) => showApiError(error, structures),
    again: askAll,
  });
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
  byId("peaks").addEventListener("input", () => files.forgetIdentifier());
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
  files.listenForFiles(guard);
}

async function useToken() {
  keepToken(byId("token").value.trim());
  clearErrors();
  await loadVersions();
  if (byId("token-error").textContent) return;
  byId("token-box").hidden = true;
  byId("token").value = "";
  const again = retry;
  retry = null;
  again?.();
}

listen();
describe();
await loadVersions();
await openLink();
