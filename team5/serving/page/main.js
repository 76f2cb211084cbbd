// The page: what is asked, what is shown, and what happens in between.

import { keepToken, predict, versions } from "./api.js";
import { makeAnswer } from "./answer.js";
import { Detail } from "./detail.js";
import { announce, byId, h } from "./dom.js";
import { save, toCsv, toJson, toMgf } from "./downloads.js";
import { EXAMPLE } from "./example.js";
import * as files from "./files.js";
import { clearErrors, describe, fillForm, readQuery, showApiError, showError } from "./form.js";
import { countText, probabilityText } from "./format.js";
import { looksLikeFile } from "./input.js";
import { linkOf, MAX_LINK, queryOf } from "./link.js";
import { answerTable, headline } from "./table.js";

let underWay = null; // the AbortController of what is asked
let retry = null; // what to do again once there is a token

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
  tell();
  const clock = setInterval(tell, 500);
  byId("working").hidden = false;
  byId("run").disabled = true;
  byId("query").setAttribute("aria-busy", "true");
  try {
    return await task(mine.signal);
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
  show(makeAnswer(query.values, spectrum, structures, results));
}

function show(answer) {
  const simulations = new Map(); // by row, those at hand
  const conditions = (result) => {
    const { collision_energy, instrument_type } = answer.query;
    const known = {
      adduct: result.adduct,
      collision_energy: collision_energy.trim(),
      instrument_type: instrument_type.trim(),
    };
    return Object.fromEntries(Object.entries(known).filter(([, value]) => value));
  };
  const detail = new Detail({
    simulate: async (result, signal) => {
      if (!simulations.has(result)) {
        const simulation = await predict(
          { smiles: result.smiles, ...conditions(result) },
          answer.version,
          signal,
        );
        simulations.set(result, simulation);
      }
      return simulations.get(result);
    },
    rematch: ({ smiles, mzs, intensities, ...simulation }, signal) =>
      predict({ smiles, mzs, intensities, ...conditions(simulation) }, answer.version, signal),
  });
  let chosen = answer.rows[0];
  let timer = null;
  const table = answerTable(answer, (row) => {
    if (row === chosen) return;
    chosen = row;
    detail.expect();
    clearTimeout(timer);
    timer = setTimeout(() => detail.show(answer, row), 80); // arrow keys may run through many
  });
  const { result } = chosen;
  const name = `team5-${answer.question}`;
  const mgfOf = () =>
    toMgf(
      answer,
      answer.isSimulation
        ? answer.rows
        : simulations.has(chosen.result)
          ? [{ name: chosen.name, result: simulations.get(chosen.result) }]
          : [],
    );
  const download = (text, title, act) =>
    h("button", { type: "button", class: "small", title, onclick: act }, text);
  const linkPlace = h("div", { class: "link-place" });
  const facts = [
    result.adduct,
    result.collision_energy ?? "energy not stated",
    `${answer.version} (${answer.versionHash})`,
  ];
  if (answer.question === "rank" && !result.abstained) {
    const nMatches = answer.rows.filter((row) => row.result.label).length;
    facts.unshift(
      nMatches
        ? `${nMatches.toLocaleString("en")} of them ${nMatches === 1 ? "matches" : "match"}`
        : "none of them matches",
    );
  }
  if (answer.spectrum)
    facts.unshift(answer.spectrum.identifier, countText(answer.spectrum.mzs.length, "peak"));
  byId("answer").replaceChildren(
    h(
      "div",
      { class: "answer-head" },
      h(
        "div",
        {},
        h("h2", {}, headline(answer)),
        h("p", { class: "facts" }, facts.filter(Boolean).join(" · ")),
      ),
      h(
        "div",
        { class: "actions", role: "group", "aria-label": "Take it with you" },
        download("CSV", "The table as CSV", () => save(toCsv(answer), `${name}.csv`, "text/csv")),
        download("JSON", "Query and answer as JSON", () =>
          save(toJson(answer), `${name}.json`, "application/json"),
        ),
        download("MGF", "Measured and predicted spectrum as MGF", () =>
          save(mgfOf(), `${name}.mgf`, "text/plain"),
        ),
        download("Link", "A link that asks this again", () => showLink(answer, linkPlace)),
      ),
    ),
    linkPlace,
    result.abstained
      ? h("p", { class: "banner warn" }, h("strong", {}, "Held back: "), result.abstained)
      : "",
    answer.sharedNotes.length
      ? h(
          "ul",
          { class: "shared-notes", "aria-label": "Notes" },
          answer.sharedNotes.map((note) => h("li", {}, note)),
        )
      : "",
    table,
    detail.node,
  );
  byId("welcome").hidden = true;
  detail.show(answer, chosen);
  const best = answer.isSimulation
    ? ""
    : `; ${answer.question === "rank" ? "first is " : ""}${chosen.name || result.smiles}, probability ${probabilityText(result.probability)}`;
  announce(`${headline(answer)}${best}`);
  if (matchMedia("(max-width: 900px)").matches) byId("result").scrollIntoView({ block: "start" });
}

async function showLink(answer, place) {
  const query = Object.fromEntries(
    Object.entries({ ...answer.query, version: answer.version }).filter(
      ([, value]) => value !== "",
    ),
  );
  const link = await linkOf(query);
  if (link === null) {
    place.replaceChildren(
      h(
        "p",
        { class: "error", role: "alert" },
        `This query is too long for a link (at most ${MAX_LINK.toLocaleString("en")} characters). Leave out weak peaks or some structures, or keep the JSON.`,
      ),
    );
    return;
  }
  history.replaceState(null, "", link);
  const field = h("input", {
    readonly: true,
    value: link,
    "aria-label": "Link to this query",
    onfocus: (event) => event.target.select(),
  });
  const note = h(
    "span",
    { class: "hint" },
    "The link holds the whole query: whoever has it can read it.",
  );
  place.replaceChildren(field, note);
  field.focus();
  try {
    await navigator.clipboard.writeText(link);
    note.textContent = `Copied. ${note.textContent}`;
    announce("Link copied");
  } catch {
    announce("Link ready to copy");
  }
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
    byId("serving").textContent = serving ? `model ${serving}` : "model loading";
  } catch (error) {
    if (error.status === 401) askForToken(error);
    else byId("serving").textContent = "no connection";
  }
}

function example() {
  files.close();
  fillForm(EXAMPLE);
  run();
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
  byId("clear").addEventListener("click", () => {
    underWay?.abort();
    files.close();
    fillForm({});
    byId("answer").replaceChildren();
    byId("result").classList.remove("old");
    byId("welcome").hidden = false;
    history.replaceState(null, "", location.pathname);
    byId("peaks").focus();
  });
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
