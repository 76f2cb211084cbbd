// Structures other than typed SMILES: a list in a file, pasted as text, or a library of the server.
// Of these only structures of the precursor's mass are scored, by the search that answers files.

import { ApiError, libraries } from "./api.js";
import { byId } from "./dom.js";
import { countText } from "./format.js";
import { looksLikeList, parseStructures } from "./input.js";

const LIST_ENDING = /\.(smi|smiles|sdf|sd|mol)(\.gz|\.zip)?$/i;
const TABLE_ENDING = /\.(csv|tsv|txt)$/i;
const HEAD = 4000; // characters of a table that tell what it holds

let list = null; // the File that is open

/** Take a list of structures, in the place of typed ones; or none. */
export function setList(file) {
  list = file;
  if (file) byId("library").value = "";
}

/** The name of the list that is open, or null. */
export const listName = () => list?.name ?? null;

/** Whether a file that was dropped holds structures: by its ending, or for tables by its header. */
export async function isList(file) {
  if (LIST_ENDING.test(file.name)) return true;
  return TABLE_ENDING.test(file.name) && looksLikeList(await file.slice(0, HEAD).text());
}

/** Return what `rankFile` sends for structures, or null where the form has typed SMILES or nothing. */
export function chosenList({ structures, library }) {
  if (library) return { library };
  if (list) return { candidates: list, name: list.name };
  if (!looksLikeList(structures)) return null;
  return { candidates: new Blob([structures]), name: "structures.txt" };
}

/** Return typed SMILES as a list; nothing where there are none. */
export function typedList(structures) {
  const lines = parseStructures(structures).map(({ smiles, name }) => `${smiles} ${name}`);
  return lines.length ? { candidates: new Blob([lines.join("\n")]), name: "structures.smi" } : {};
}

/** Fill the choice of libraries with those of the server. */
export async function loadLibraries() {
  let served;
  try {
    served = await libraries();
  } catch (error) {
    if (error instanceof ApiError) return; // the versions of the server tell the same
    throw error;
  }
  const select = byId("library");
  const chosen = select.value;
  byId("library-box").hidden = served.length === 0;
  select.replaceChildren(
    new Option("none", ""),
    ...served.map(
      ({ library, n_structures: n }) => new Option(`${library} (${countText(n, "structure")})`, library),
    ),
  );
  select.value = served.some(({ library }) => library === chosen) ? chosen : "";
}
