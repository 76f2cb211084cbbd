// An answer as the page holds it: what was asked, what came, and the peaks behind both.

import { highest } from "./format.js";

const SAME_ION = 0.0005; // m/z; predicted ions closer than this are one
const TOLERANCE_PPM = 10; // as the model explains peaks
const TOLERANCE_FLOOR = 0.002; // m/z

/**
 * Return what tables, plots and downloads work on.
 *
 * `rows` are best first: {number (as given), name, result}; `result` is a Match or a Simulation.
 */
export function makeAnswer(query, spectrum, structures, results) {
  const list = Array.isArray(results) ? results : [results];
  const rows = list.map((result, number) => ({ number, name: structures[number].name, result }));
  const isSimulation = spectrum === null;
  if (!isSimulation) rows.sort((a, b) => (a.result.rank ?? 0) - (b.result.rank ?? 0));
  const { version, version_hash: versionHash } = list[0];
  const [first, ...others] = list.map((result) => result.notes);
  const sharedNotes = first.filter((note) => others.every((notes) => notes.includes(note)));
  const question = isSimulation ? "simulate" : list.length > 1 ? "rank" : "match";
  return { question, isSimulation, query, spectrum, rows, version, versionHash, sharedNotes };
}

/** Return a ranking of a search as an answer; `line` is what `rankFile` got, of which `table` keeps the rows. */
export function makeRankedAnswer(query, spectrum, { candidates, place, spectra, ...shared }) {
  const impossible = candidates[0].impossible_mzs;
  const isLone = shared.n_candidates === 1;
  const results = candidates.map((row) => ({
    ...shared,
    ...row,
    rank: isLone ? null : row.rank,
    precursor_mz: row.precursor_mz_calculated,
    notes: row.notes ? row.notes.split("; ") : [],
    impossible_mzs: (row.impossible_mzs ?? impossible).split(" ").filter(Boolean).map(Number),
  }));
  const answer = makeAnswer(query, spectrum, candidates, results);
  const table = candidates.map((row) => ({ ...shared, ...row, impossible_mzs: row.impossible_mzs ?? impossible }));
  return { ...answer, question: isLone ? "match" : "rank", table, nCandidates: shared.n_candidates };
}

/** Return several spectra of one compound as one: all peaks, each spectrum's highest at 1. */
export function joined(spectra) {
  const [first, ...others] = spectra;
  const heights = spectra.map(({ intensities }) => highest(intensities));
  return {
    identifier: others.length ? `${first.identifier || "one"} and ${others.length} more` : first.identifier,
    isJoined: others.length > 0,
    mzs: spectra.flatMap(({ mzs }) => mzs),
    intensities: spectra.flatMap(({ intensities }, i) => intensities.map((one) => one / heights[i])),
  };
}

/** Return the measured peaks of a spectrum beside one structure, as `Plot` takes them. */
export function measuredPeaks(spectrum, match) {
  const base = highest(spectrum.intensities);
  const explained = new Map();
  for (const peak of match.peaks) explained.set(peak.mz, [...(explained.get(peak.mz) ?? []), peak]);
  const impossible = new Set(match.impossible_mzs);
  const { isJoined } = spectrum;
  return spectrum.mzs
    .map((mz, i) => ({ mz, intensity: spectrum.intensities[i] / base }))
    .filter((peak) => peak.intensity > 0)
    .sort((a, b) => a.mz - b.mz)
    .map((peak, i) => {
      const fragment = explained.get(peak.mz)?.shift() ?? (isJoined && ionAt(peak.mz, match));
      const kind = fragment ? "explained" : impossible.has(peak.mz) ? "impossible" : "unexplained";
      return { id: `m${i}`, ...peak, kind, ...fragmentOf(fragment) };
    });
}

/** Of several spectra a match has each ion once, at its strongest; others may hold it, too. */
function ionAt(mz, match) {
  const ion = match.peaks.find((peak) => Math.abs(peak.fragment_mz - mz) <= reachOf(mz));
  return ion && { ...ion, error_ppm: (mz / ion.fragment_mz - 1) * 1e6 };
}

const reachOf = (mz) => Math.max((mz * TOLERANCE_PPM) / 1e6, TOLERANCE_FLOOR);

/** Return the predicted peaks; `measured` says which of them were found, null where nothing was measured. */
export function predictedPeaks(simulation, measured) {
  return simulation.mzs.map((mz, i) => {
    const isMet = measured?.some((peak) => Math.abs(peak.mz - mz) <= reachOf(mz)) ?? true;
    const kind = isMet ? "predicted" : "only";
    return {
      id: `p${i}`,
      mz,
      intensity: simulation.intensities[i],
      formula: simulation.formulas[i],
      kind,
    };
  });
}

/** Give predicted peaks the atoms of their fragments, from a match of the structure with its own prediction. */
export function addFragments(predicted, match) {
  for (const peak of predicted) {
    const found = match.peaks.find(
      (one) => one.formula === peak.formula && Math.abs(one.fragment_mz - peak.mz) < SAME_ION,
    );
    if (found) Object.assign(peak, fragmentOf(found), { error_ppm: undefined });
  }
}

function fragmentOf(peak) {
  if (!peak) return {};
  const { formula, error_ppm, probability, fragment_mz, atoms, broken_bonds } = peak;
  return {
    formula,
    error_ppm,
    probability,
    fragment_mz,
    atoms: new Set(atoms),
    bonds: broken_bonds,
  };
}

/** The peaks of the other half that are the same ion. */
export function partners(peak, others) {
  const mz = peak.fragment_mz ?? peak.mz;
  return others.filter(
    (other) =>
      other.formula === peak.formula &&
      peak.formula &&
      Math.abs((other.fragment_mz ?? other.mz) - mz) < SAME_ION,
  );
}
