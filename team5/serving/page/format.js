// Numbers as chemists read them; the same everywhere on the page.

export const mzText = (mz) => mz.toFixed(4);
export const ppmText = (ppm) => `${ppm < 0 ? "−" : "+"}${Math.abs(ppm).toFixed(1)}`;
export const scoreText = (score) => score.toFixed(2).replace("-", "−");

/** A share, 0 to 1, as a percentage; what is not zero is never shown as zero. */
export function percentText(share) {
  if (share > 0 && share < 0.01) return "< 1 %";
  if (share < 1 && share >= 0.995) return "> 99 %";
  return `${Math.round(share * 100)} %`;
}

/** A confidence as a percentage, "–" where the version was not calibrated for it. */
export const confidenceText = (confidence) =>
  confidence === null ? "–" : percentText(confidence);

export function probabilityText(probability) {
  if (probability > 0 && probability < 0.001) return "< 0.001";
  if (probability < 1 && probability > 0.999) return "> 0.999";
  return probability.toFixed(3);
}

/** Seconds as people say them: 40 s, 3 min, 2 h. */
export function durationText(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

export const countText = (n, one, many = `${one}s`) =>
  `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

/** The highest of many values; `Math.max(...)` takes only so many. */
export const highest = (values) => values.reduce((most, value) => Math.max(most, value), -Infinity);

const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉";

/** `C6H8N3O+` as C₆H₈N₃O⁺. */
export function formulaText(formula) {
  const charge = formula.match(/[+-]$/)?.[0] ?? "";
  const body = formula.slice(0, formula.length - charge.length);
  const raised = { "+": "⁺", "-": "⁻" }[charge] ?? charge;
  return body.replace(/\d/g, (digit) => SUBSCRIPTS[Number(digit)]) + raised;
}
