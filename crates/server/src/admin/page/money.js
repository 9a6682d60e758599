// Bounds of money as the API gives them, and the words where there are none.

import { el } from "./dom.js";
import * as decimal from "./decimal.js";

const FIGURE_SPACE = "\u2007";
const POINT_SPACE = "\u2008";

/** A decimal of the API as it stands, digits in threes; a text that is none as it came. */
export function exact(text) {
  const number = decimal.parse(text);
  return number ? decimal.text(number) : text;
}

/** The most places behind the point that a column of decimals has. */
export function places(texts) {
  return Math.max(0, ...texts.map((text) => (/\.(\d+)$/.exec(text ?? "")?.[1].length ?? 0)));
}

/** The same with spaces as wide as digits behind it: the points of a column stand below each other. */
export function aligned(text, places) {
  const shown = exact(text);
  const [, fraction] = shown.split(".");
  const missing = FIGURE_SPACE.repeat(Math.max(0, places - (fraction?.length ?? 0)));
  return fraction === undefined && places > 0 ? `${shown}${POINT_SPACE}${missing}` : `${shown}${missing}`;
}

/** "0.5", or "0 to 0.5" where the least and the most are not the same. */
export function range({ min, max }) {
  return min === max ? exact(min) : `${exact(min)} to ${exact(max)}`;
}

/** What a job costs: one line a currency, and what has no price. Unknown is no zero. */
export function cost(job, behindPoint) {
  const lines = Object.entries(job.cost ?? {}).map(([currency, bound]) =>
    el("div", {}, `${aligned(bound.expected, behindPoint)} `, el("small", {}, currency)));
  const unpriced = lines.length ? "+ unpriced" : "unpriced";
  if (job.unpriced?.length) lines.push(el("div", { class: "warn" }, unpriced));
  return lines.length ? lines : unknown(job);
}

/** How sure that is: the least and the most, where they differ. */
export function bounds(job) {
  return Object.values(job.cost ?? {}).map((bound) =>
    el("div", {}, bound.min === bound.max ? "" : range(bound)));
}

function unknown(job) {
  return el("span", { class: "none" }, job.state === "superseded" ? "reversed" : "not known");
}
