// Sums over the samples of /metrics. Counters are read net of what later evidence took back.

import * as decimal from "./decimal.js";
import { parseSamples } from "./exposition.js";

/** Counters of the overview, with a second one of reversals each. */
const REVERSED = ["cost", "cost_bound", "jobs", "delivered_jobs", "unpriced_jobs", "joins"];
/** Counters and gauges that only stand. */
const PLAIN = ["exposure", "open_jobs", "unrecognised_requests_total",
  ...["received", "accepted", "ignored", "duplicate", "late", "surplus", "rejected"]
    .map((fate) => `spans_${fate}_total`)];

const WANTED = new Set([
  ...PLAIN, ...REVERSED.flatMap((name) => [`${name}_total`, `${name}_reversed_total`]),
].map((name) => `spantally_${name}`));

/** The samples of the overview. */
export function read(page) {
  const samples = parseSamples(page, WANTED);
  return { of: (name) => samples.get(`spantally_${name}`) ?? [] };
}

/** A counter that has reversals: sums by what `keyOf` makes of a sample's labels; null leaves it out. */
export function net(samples, name, keyOf) {
  const sums = gather(new Map(), samples.of(`${name}_total`), keyOf, decimal.add);
  return gather(sums, samples.of(`${name}_reversed_total`), keyOf, decimal.subtract);
}

/** The same for what stands alone. */
export function sums(samples, name, keyOf) {
  return gather(new Map(), samples.of(name), keyOf, decimal.add);
}

function gather(into, samples, keyOf, combine) {
  for (const { labels, value } of samples) {
    const key = keyOf(labels);
    const number = key === null ? null : decimal.parse(value);
    if (number) into.set(key, combine(into.get(key) ?? decimal.ZERO, number));
  }
  return into;
}

/** The sum over all keys of a map. */
export function total(map) {
  return [...map.values()].reduce(decimal.add, decimal.ZERO);
}

/** The sum of what a test of keys takes. */
export function partial(map, takes) {
  return total(new Map([...map].filter(([key]) => takes(key))));
}

/** Pairs that are not nought, the largest first; equal ones by name. */
export function largest(map) {
  const order = ([name, value], [other, its]) => decimal.compare(its, value) || (name < other ? -1 : 1);
  return [...map].filter(([, value]) => !decimal.isZero(value)).sort(order);
}
