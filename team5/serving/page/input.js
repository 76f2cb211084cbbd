// What people paste, read leniently where the meaning is plain and refused, with its line, where not.

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const DECIMAL_COMMA = /^[+-]?\d+,\d+(e[+-]?\d+)?$/i;
const MAX_SHOWN = 40;

/** Whether a text is a file of spectra rather than a list of peaks. */
export const looksLikeFile = (text) =>
  /^\s*BEGIN IONS/im.test(text) || /^\s*num peaks\s*:/im.test(text) || /<mzML[\s>]/.test(text);

/** Whether a text is a list of structures with more to it than SMILES and names: InChI, a table, SDF. */
export const looksLikeList = (text) =>
  /^\s*InChI=/m.test(text) ||
  /^M {2}END/m.test(text) ||
  /^(?=.*[,;|\t])(.*[^a-z])?(smiles|inchi)([^a-z].*)?$/i.test(text.trim().split(/\r\n|\r|\n/)[0]);

/**
 * Read peaks in two columns with any separator.
 *
 * Lines before the first peak that hold no numbers are a header, which may say which columns are
 * m/z and intensity; `#` starts a comment. Else they are the first two. `138.07:60 110.1:20`,
 * `19 10; 29 99;`, lists of tuples, and a list of m/z with one of intensities are understood.
 *
 * Returns {mzs, intensities, nHeader, fault}: fault is {line, message} of the first line that is
 * no peak, or null.
 */
export function parsePeaks(text) {
  const found = { mzs: [], intensities: [], nHeader: 0, fault: null };
  const lists = twoLists(text);
  if (lists) return { ...found, ...lists };
  const lines = text
    .replace(/^\s*(\w+\s*=\s*)?[A-Za-z_.]*(?=[[({])/, "") // peaks = np.array(
    .replace(/[\])]\s*,?[^\S\n]*[[(]/g, "\n")
    .split(/\r\n|\r|\n/);
  let named = null; // which columns a header names
  for (const [index, line] of lines.entries()) {
    const bare = line
      .replace(/[[\](){}"']/g, " ")
      .replace(/:\s+/g, ":")
      .trim();
    if (bare === "" || bare.startsWith("#")) continue;
    const peaks = named ? peakOfColumns(line, named, bare) : peaksOfLine(bare);
    if (peaks === null) {
      if (found.mzs.length === 0 && !startsWithNumber(bare)) {
        found.nHeader += 1;
        named = columnsOfHeader(line) ?? named;
        continue;
      }
      found.fault = {
        line: index,
        message: `Line ${index + 1} is no peak: “${short(line)}”. Give m/z and intensity.`,
      };
      return found;
    }
    for (const [mz, intensity] of peaks) {
      if (!Number.isFinite(mz) || !Number.isFinite(intensity)) {
        found.fault = {
          line: index,
          message: `Line ${index + 1}: a number too large to be read: “${short(line)}”.`,
        };
        return found;
      }
      found.mzs.push(mz);
      found.intensities.push(intensity);
    }
  }
  return found;
}

/** Read a list of m/z and one of intensities, as programs print them; two of each are pairs. */
function twoLists(text) {
  const lists = [...text.matchAll(/\[([^[\]()]*)\]/g)].map(([, inner]) =>
    inner.split(/[\s,]+/).filter(Boolean),
  );
  const [mzs, intensities] = lists;
  const isNested = /[[(]\s*[[(]/.test(text);
  if (isNested || lists.length !== 2 || Math.max(mzs.length, intensities.length) < 3) return null;
  const numbers = { mzs: mzs.map(parseNumber), intensities: intensities.map(parseNumber) };
  if (mzs.length === intensities.length && Object.values(numbers).flat().every(Number.isFinite))
    return numbers;
  const message = `${mzs.length} m/z values and ${intensities.length} intensities: give as many numbers of both.`;
  return { fault: { line: 0, message } };
}

const MZ_NAME = /^(m\/?z|mzs?|mz[ _]?values?|mass(es)?|m)$/i;
const INTENSITY_NAME = /^(int(\.|ens(it(y|ies))?)?|i|abundance|height|area)([ _]?[([%].*)?$/i;

/** Which columns of a table are m/z and intensity, if its header says so; null where it does not. */
function columnsOfHeader(line) {
  const separator = [";", "\t", ",", "|"].find((one) => line.includes(one));
  if (!separator) return null;
  const names = cellsOf(line, separator);
  const [mz, intensity] = [MZ_NAME, INTENSITY_NAME].map((name) => names.findIndex((one) => name.test(one)));
  return mz < 0 || intensity < 0 ? null : { separator, mz, intensity };
}

const cellsOf = (line, separator) =>
  line.split(separator).map((cell) => cell.replace(/^[\s"']+|[\s"']+$/g, ""));

function peakOfColumns(line, { separator, mz, intensity }, bare) {
  const cells = cellsOf(line, separator);
  const peak = [cells[mz], cells[intensity]].map((cell) => parseNumber(cell ?? "") ?? NaN);
  if (peak.every(Number.isFinite)) return [peak];
  return mz === 0 && intensity === 1 ? peaksOfLine(bare) : null; // separated in another way
}

function peaksOfLine(line) {
  const colons = line.split(/[\s,;]+/).filter(Boolean);
  if (colons.every((part) => /^[^:]+:[^:]+$/.test(part)))
    return pairs(colons.map((part) => part.split(":")));
  const pieces = line
    .split(";")
    .map((piece) => piece.trim())
    .filter(Boolean);
  // Without blanks "100,5;20,25" is one peak with decimal commas.
  if (pieces.length > 1 && pieces.every((piece) => /\s/.test(piece))) {
    const each = pieces.map((piece) => columns(piece));
    if (each.every((piece) => piece !== null)) return each;
  }
  const one = columns(line);
  return one === null ? null : [one];
}

function columns(line) {
  const wide = line
    .split(/[\s;|]+/)
    .map((part) => part.replace(/^,+|,+$/g, ""))
    .filter(Boolean);
  if (wide.length >= 2) {
    const two = wide.slice(0, 2);
    if (two.every((part) => NUMBER.test(part))) return two.map(Number);
    if (two.every((part) => NUMBER.test(part) || DECIMAL_COMMA.test(part)))
      return two.map((part) => Number(part.replace(",", ".")));
  }
  const any = line
    .split(/[\s,;|]+/)
    .filter(Boolean)
    .slice(0, 2);
  return any.length === 2 && any.every((part) => NUMBER.test(part)) ? any.map(Number) : null;
}

function pairs(parts) {
  return parts.every((pair) => pair.every((part) => NUMBER.test(part)))
    ? parts.map((pair) => pair.map(Number))
    : null;
}

const startsWithNumber = (line) => /^[+-]?\.?\d/.test(line);

/** Return a number of a field, `null` if it is empty, `NaN` if it is none. */
export function parseNumber(text) {
  const trimmed = text.trim();
  if (trimmed === "") return null;
  const plain = DECIMAL_COMMA.test(trimmed) ? trimmed.replace(",", ".") : trimmed;
  return NUMBER.test(plain) && Number.isFinite(Number(plain)) ? Number(plain) : NaN;
}

/**
 * Read SMILES, one a line, with an optional name behind a blank, tab, comma or semicolon.
 *
 * Returns a list of {smiles, name, line}.
 */
export function parseStructures(text) {
  const found = [];
  for (const [line, given] of text.split(/\r\n|\r|\n/).entries()) {
    const bare = given.trim();
    if (bare === "" || bare.startsWith("#")) continue;
    const [, smiles, name] = bare.match(/^([^\s,;]+)[\s,;]*(.*)$/) ?? [null, bare, ""];
    if (found.length === 0 && smiles.toLowerCase() === "smiles") continue;
    found.push({ smiles, name: name.trim(), line });
  }
  return found;
}

/** A text cut to a length that fits into a message. */
export const short = (text) =>
  text.trim().length > MAX_SHOWN ? `${text.trim().slice(0, MAX_SHOWN)}…` : text.trim();
