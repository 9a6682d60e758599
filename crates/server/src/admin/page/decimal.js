// Decimals as the API writes them, exactly: digits as a BigInt and the number of places behind the point.
// Nothing that is shown as money or as a quantity goes through a binary float.

/** What a sum begins with. */
export const ZERO = { digits: 0n, places: 0 };

/** The number of a text such as "-0.0125" or "1e-05"; null for what is none ("NaN", "+Inf", ""). */
export function parse(text) {
  const match = /^([+-]?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3}))?$/.exec(text);
  if (!match) return null;
  const [, sign, whole, fraction = "", exponent = "0"] = match;
  const digits = BigInt(whole + fraction) * (sign === "-" ? -1n : 1n);
  const places = fraction.length - Number(exponent);
  return places >= 0 ? { digits, places } : { digits: digits * power(-places), places: 0 };
}

function power(places) {
  return 10n ** BigInt(places);
}

function digitsAt(number, places) {
  return number.digits * power(places - number.places);
}

/** The sum of two. */
export function add(one, other) {
  if (one.digits === 0n) return other;
  if (other.digits === 0n) return one;
  const places = Math.max(one.places, other.places);
  return { digits: digitsAt(one, places) + digitsAt(other, places), places };
}

/** One less the other. */
export function subtract(one, other) {
  return add(one, { digits: -other.digits, places: other.places });
}

/** Below, at or above zero as `one` is below, at or above `other`. */
export function compare(one, other) {
  const { digits } = subtract(one, other);
  return digits < 0n ? -1 : Number(digits > 0n);
}

/** Whether it is nought. */
export function isZero(number) {
  return number.digits === 0n;
}

// Halves go away from zero.
function divide(digits, by) {
  const [top, bottom] = by < 0n ? [-digits, -by] : [digits, by];
  const half = top < 0n ? -bottom : bottom;
  return (2n * top + half) / (2n * bottom);
}

/** The same with at most so many places. */
export function round(number, places) {
  if (number.places <= places) return number;
  return { digits: divide(number.digits, power(number.places - places)), places };
}

/** One by the other, with so many places; null where the other is nought. */
export function quotient(one, other, places) {
  if (isZero(other)) return null;
  const common = Math.max(one.places, other.places);
  return { digits: divide(digitsAt(one, common) * power(places), digitsAt(other, common)), places };
}

/** As text: digits in threes, no nought at the end beyond `atLeast` places. */
export function text(number, atLeast = 0) {
  const { digits, places } = number.places < atLeast
    ? { digits: digitsAt(number, atLeast), places: atLeast } : number;
  const all = (digits < 0n ? -digits : digits).toString().padStart(places + 1, "0");
  const whole = all.slice(0, all.length - places).replace(/\B(?=(\d{3})+$)/g, ",");
  let fraction = all.slice(all.length - places);
  while (fraction.length > atLeast && fraction.endsWith("0")) fraction = fraction.slice(0, -1);
  return `${digits < 0n ? "-" : ""}${whole}${fraction && "."}${fraction}`;
}

/** Rounded to so many places, all of them written, so that a column is aligned. */
export function fixed(number, places) {
  return text(round(number, places), places);
}

/** A share in percent, "12.5 %"; null of nothing. What is there is never "0.0 %". */
export function percent(part, whole) {
  const share = quotient(part, whole, 3);
  if (share === null) return null;
  if (share.digits === 0n && part.digits !== 0n) return "< 0.1 %";
  return `${fixed({ digits: share.digits, places: 1 }, 1)} %`;
}
