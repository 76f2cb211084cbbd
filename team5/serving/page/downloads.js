// Answers as files.

/** Save a text under a name. */
export function save(text, name, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** An answer as a table: candidates best first, or the peaks of all simulated spectra. */
export const toCsv = (answer) =>
  answer.isSimulation
    ? csv(SIMULATION_COLUMNS, answer.rows.flatMap(simulationRows))
    : answer.table
      ? toCsvOfAll([{ answer }])
      : csv(
          MATCH_COLUMNS,
          answer.rows.map(({ name, result }) =>
            cellsOf({ ...result, name, identifier: answer.spectrum?.identifier }, MATCH_COLUMNS),
          ),
        );

/** The answers to spectra of a file as one table, that of `predict.py spectra=FILE output=all.csv`. */
export function toCsvOfAll(asked) {
  const rows = asked.flatMap(({ answer }) => answer?.table ?? []);
  const known = new Set([...SEARCH_COLUMNS, "peaks"]);
  const users = [...new Set(rows.flatMap(Object.keys))].filter((column) => !known.has(column));
  const columns = [...SEARCH_COLUMNS, ...users, "explained_peaks"];
  const ions = (peaks) => peaks.map(({ mz, formula }) => `${mz.toFixed(4)}:${formula}`).join(" ");
  return csv(
    columns,
    rows.map((row) => cellsOf({ ...row, explained_peaks: ions(row.peaks) }, columns)),
  );
}

/** What was left out of a file and why. */
export const toCsvOfLeftOut = (leftOut) =>
  csv(
    ["spectrum", "place", "reason"],
    leftOut.map(({ spectrum, place, left_out: reason }) => [spectrum, text(place), text(reason)]),
  );

/** The answers to all spectra of a file, each as {@link toJson} has it, and what was left out. */
export const toJsonOfAll = (asked, leftOut) =>
  JSON.stringify(
    [...asked.map(({ label, answer }) => ({ label, ...plain(answer) })), ...leftOut],
    null,
    2,
  );

// Those of the files that predict.py writes.
const MATCH_COLUMNS = [
  ...["identifier", "rank", "confidence", "smiles", "name", "probability", "label", "threshold"],
  ...["score", "explained_intensity", "impossible_mzs", "formula", "adduct", "precursor_mz"],
  ...["precursor_fits", "collision_energy", "version", "version_hash", "notes", "abstained"],
  ...["references", "n_references"],
];
const SEARCH_COLUMNS = [
  ...["spectrum", "identifier", "feature_id", "scan", "retention_time"],
  ...MATCH_COLUMNS.slice(1),
  ...["inchikey14", "precursor_mz_calculated", "error_ppm"],
  ...["n_spectra", "n_candidates", "n_scored", "n_unusable"],
];
const PROBABILITIES = new Set(["confidence", "probability", "threshold"]);

const cellsOf = (row, columns) =>
  columns.map((column) => {
    const value = row[column];
    if (Array.isArray(value)) return text(value.join(column === "notes" ? "; " : " "));
    if (PROBABILITIES.has(column)) return value == null ? value : Number(value.toPrecision(4));
    return typeof value === "string" ? text(value) : value;
  });

const SIMULATION_COLUMNS = [
  ...["name", "smiles", "adduct", "collision_energy", "mz", "intensity", "formula", "version"],
];

const simulationRows = ({ name, result }) =>
  result.mzs.map((mz, i) => [
    ...[text(name), text(result.smiles), result.adduct, text(result.collision_energy ?? "")],
    ...[mz, result.intensities[i], result.formulas[i], result.version],
  ]);

/** An answer with all that was asked; `results` are what the server sent, best first. */
export const toJson = (answer) => JSON.stringify(plain(answer), null, 2);

function plain({ question, query, spectrum, rows, version, versionHash }) {
  const results = rows.map(({ name, number, result }) => ({ name, number: number + 1, ...result }));
  return { question, query, spectrum, version, version_hash: versionHash, results };
}

/**
 * The measured spectrum as it was given, without any structure, and the predicted spectra that are
 * at hand; each says what it is.
 */
export function toMgf(answer, simulations) {
  const records = [];
  if (answer.spectrum) {
    const { mzs, intensities, identifier } = answer.spectrum;
    const {
      query,
      rows: [{ result }],
    } = answer;
    records.push(
      mgf(
        {
          TITLE: identifier || "measured spectrum",
          PEPMASS: query.precursor_mz || result.precursor_mz,
          CHARGE: charge(result.adduct),
          ADDUCT: result.adduct,
          COLLISION_ENERGY: query.collision_energy,
          INSTRUMENT_TYPE: query.instrument_type,
        },
        mzs,
        intensities,
      ),
    );
  }
  for (const { name, result } of simulations) {
    records.push(
      mgf(
        {
          TITLE: `${name || result.smiles}, predicted by team5 ${result.version}`,
          PEPMASS: result.precursor_mz,
          CHARGE: charge(result.adduct),
          ADDUCT: result.adduct,
          COLLISION_ENERGY: result.collision_energy,
          FORMULA: result.formula,
          SMILES: result.smiles,
        },
        result.mzs,
        result.intensities,
      ),
    );
  }
  return records.join("\n");
}

/** Return a spectrum as a record of an MGF file. */
export function mgf(fields, mzs, intensities) {
  const lines = Object.entries(fields)
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([key, value]) => `${key}=${String(value).replace(/\s+/g, " ").trim()}`);
  const peaks = mzs
    .map((mz, i) => [mz, intensities[i]])
    .sort((a, b) => a[0] - b[0])
    .map(([mz, height]) => `${mz} ${height}`);
  return ["BEGIN IONS", ...lines, ...peaks, "END IONS", ""].join("\n");
}

const charge = (adduct) => {
  const [, count, sign] = adduct.match(/\](\d*)([+-])$/) ?? [null, "", "+"];
  return `${count || 1}${sign}`;
};

// A spreadsheet runs what begins like a formula; behind an apostrophe it shows it.
const text = (value) => (/^[=+\-@\t\r]/.test(value) ? `'${value}` : value);

// The mark at the beginning tells spreadsheets that it is UTF-8.
const csv = (header, rows) =>
  "\ufeff" +
  [header.map(text), ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";

function cell(value) {
  const plain = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}
