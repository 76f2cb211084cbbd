// The answer on the page: what it is, the table, the chosen row's details, and ways to keep it.

import { predict } from "./api.js";
import { Detail } from "./detail.js";
import { announce, byId, h, leftOutOf } from "./dom.js";
import { save, toCsv, toJson, toMgf } from "./downloads.js";
import { confidenceText, countText, probabilityText } from "./format.js";
import { linkOf, MAX_LINK } from "./link.js";
import { answerTable, headline } from "./table.js";

/** Show an answer in place of what was there; `place` is where, if not the page's own. */
export function showAnswer(answer, place = byId("answer")) {
  const simulations = new Map(); // by result, those at hand
  const detail = new Detail(questionsOf(answer, simulations));
  let chosen = answer.rows[0];
  let timer = null;
  const table = answerTable(answer, (row) => {
    if (row === chosen) return;
    chosen = row;
    detail.expect();
    clearTimeout(timer);
    timer = setTimeout(() => detail.show(answer, row), 80); // arrow keys may run through many
  });
  const predicted = () => {
    if (answer.isSimulation) return answer.rows;
    const simulation = simulations.get(chosen.result);
    return simulation ? [{ name: chosen.name, result: simulation }] : [];
  };
  const { abstained } = chosen.result;
  place.replaceChildren(
    ...head(answer, predicted),
    abstained ? h("p", { class: "banner warn" }, h("strong", {}, "Held back: "), abstained) : "",
    sharedNotes(answer.sharedNotes),
    leftOutOf(answer.leftOut ?? []),
    table,
    detail.node,
  );
  byId("welcome").hidden = true;
  detail.show(answer, chosen);
  announce(spoken(answer));
  if (place === byId("answer")) showFromTop();
}

/** Scroll to the beginning of the result where it is not in sight. */
export function showFromTop() {
  const result = byId("result");
  const isAbove = result.getBoundingClientRect().top < 0;
  if (isAbove || matchMedia("(max-width: 900px)").matches) result.scrollIntoView({ block: "start" });
}

/** What `Detail` asks the server: the same version, under the conditions of the answer. */
function questionsOf(answer, simulations) {
  const conditions = (result) => {
    const { collision_energy, instrument_type } = answer.query;
    const known = { adduct: result.adduct, collision_energy, instrument_type };
    return Object.fromEntries(Object.entries(known).filter(([, value]) => value.trim()));
  };
  return {
    simulate: async (result, signal) => {
      if (!simulations.has(result)) {
        const question = { smiles: result.smiles, ...conditions(result) };
        simulations.set(result, await predict(question, answer.version, signal));
      }
      return simulations.get(result);
    },
    rematch: ({ smiles, mzs, intensities, ...simulation }, signal) =>
      predict({ smiles, mzs, intensities, ...conditions(simulation) }, answer.version, signal),
  };
}

function head(answer, predicted) {
  const name = `team5-${answer.question}`;
  const place = h("div", { class: "link-place" });
  const button = (text, title, onclick) =>
    h("button", { type: "button", class: "small", title, onclick }, text);
  const actions = [
    button("CSV", "The table as CSV", () => save(toCsv(answer), `${name}.csv`, "text/csv")),
    button("JSON", "Query and answer as JSON", () =>
      save(toJson(answer), `${name}.json`, "application/json"),
    ),
    button("MGF", "Measured and predicted spectrum as MGF", () =>
      save(toMgf(answer, predicted()), `${name}.mgf`, "text/plain"),
    ),
    answer.isLinkable
      ? button("Link", "A link that asks this again", () => showLink(answer, place))
      : null,
  ];
  const group = { class: "actions", role: "group", "aria-label": "Take it with you" };
  const what = h(
    "div",
    {},
    h("h2", {}, headline(answer)),
    h("p", { class: "facts" }, facts(answer)),
  );
  return [h("div", { class: "answer-head" }, what, h("div", group, actions)), place];
}

function facts({ question, spectrum, rows, version, versionHash }) {
  const { adduct, collision_energy: energy, abstained } = rows[0].result;
  const parts = spectrum ? [spectrum.identifier, countText(spectrum.mzs.length, "peak")] : [];
  if (question === "rank")
    parts.push(abstained ? "withheld" : `first place: ${sureText(rows[0].result)}`);
  parts.push(adduct, energy ?? "energy not stated", `${version} (${versionHash})`);
  return parts.filter(Boolean).join(" · ");
}

function sharedNotes(notes) {
  if (!notes.length) return "";
  const items = notes.map((note) => h("li", {}, note));
  return h("ul", { class: "shared-notes", "aria-label": "Notes" }, items);
}

function spoken(answer) {
  if (answer.isSimulation) return headline(answer);
  const [{ name, result }] = answer.rows;
  const what = name || result.smiles;
  return answer.question === "rank"
    ? `${headline(answer)}; first is ${what}, ${sureText(result)}`
    : `${headline(answer)}; ${what}, probability ${probabilityText(result.probability)}`;
}

const sureText = ({ confidence }) =>
  confidence === null ? "how sure is not known" : `${confidenceText(confidence)} sure`;

/** Show the page as it was before anything was asked. */
export function showNothing() {
  byId("answer").replaceChildren();
  byId("result").classList.remove("old");
  byId("welcome").hidden = false;
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
        `This query is too long for a link (at most ${MAX_LINK.toLocaleString("en")} characters). ` +
          "Leave out weak peaks or some structures, or keep the JSON.",
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
