// The overview: what was spent, on what, and what became of the spans. Figures are from /metrics.

import * as api from "./api.js";
import * as decimal from "./decimal.js";
import { copyable, el, facts, none, panel, shares, table, word } from "./dom.js";
import { largest, net, partial, read, sums, total } from "./figures.js";
import { jobRows } from "./jobs.js";
import { CAUSES, CONFIDENCES, FATES, OUTCOMES, RETRY, UNPRICED, WORTH, meaning, spaced } from "./words.js";

/** Places of money on this view; exact amounts are those of each job. */
const PLACES = 4;
/** Rows of a table of who spent; the others are one row. */
const TAKERS = 8;
const UNKNOWN = "not in the spans";
const DIMENSIONS = [["provider", UNKNOWN], ["model", UNKNOWN], ["service", UNKNOWN], ["tenant", "no tenant"]];
const PAST_LIMIT = "others past the label limit";

/** The figures and the jobs that settled last. */
export async function load(_, signal) {
  const [page, recent] = await Promise.all([api.metrics(signal), api.jobs("state=settled&limit=8", signal)]);
  return { samples: read(page), recent: recent.jobs };
}

/** The view of them. */
export function render({ samples, recent }) {
  const currencies = [...net(samples, "cost", ({ currency }) => currency)]
    .filter(([currency]) => hasMoney(samples, currency)).map(([currency]) => currency).sort();
  const received = total(sums(samples, "spans_received_total", () => ""));
  return [
    el("h1", {}, "Overview"),
    decimal.isZero(received) && recent.length === 0 ? howToSend() : null,
    currencies.map((currency) => spend(samples, currency)),
    el("h2", {}, "Jobs and spans"),
    el("div", { class: "grid" }, outcomes(samples), unpriced(samples), joins(samples), spans(samples),
      unrecognised(samples)),
    el("h2", {}, "Settled last"),
    recent.length ? jobRows("Jobs that settled last", recent) : none("No job has settled yet."),
    el("p", { class: "note" }, "Counters count since the ledger began, restarts included; unrecognised ",
      "requests since this process started. Money of this view is read from /metrics and rounded to 4 ",
      "places; a job shows its own exactly. Two currencies are never added up."),
  ];
}

function hasMoney(samples, currency) {
  return ["cost", "cost_bound"].some((name) =>
    largest(net(samples, name, (labels) => (labels.currency === currency ? "" : null))).length)
    || largest(sums(samples, "exposure", (labels) => (labels.currency === currency ? "" : null))).length > 0;
}

function spend(samples, currency) {
  const of = (keyOf) => (labels) => (labels.currency === currency ? keyOf(labels) : null);
  const causes = net(samples, "cost", of(({ cause }) => cause));
  const all = total(causes);
  const rows = inOrder(causes, CAUSES);
  const share = (amount) => Number(decimal.text(decimal.quotient(amount, all, 6) ?? decimal.ZERO));
  const parts = rows.filter(([, amount]) => amount.digits > 0n)
    .map(([cause, amount]) => [cause, share(amount)]);
  const words = rows.map(([cause, amount]) => `${spaced(cause)} ${decimal.percent(amount, all) ?? ""}`);
  return el("section", { class: "currency", "data-currency": currency },
    el("h2", {}, "Spend ", el("small", {}, currency)),
    headline(samples, of, causes, all),
    shares(`Spend by cause: ${words.join(", ")}`, parts),
    el("div", { class: "grid" },
      panel("By cause", amounts("Cause", rows, all, currency, ([cause]) => jobsWith("cause", cause))),
      DIMENSIONS.map(([name, unnamed]) => takers(samples, of, currency, name, unnamed))));
}

function headline(samples, of, causes, all) {
  const waste = partial(causes, (cause) => !WORTH.has(cause));
  const retry = partial(causes, (cause) => RETRY.has(cause));
  const bound = net(samples, "cost_bound", of(({ bound: name }) => name));
  const exposure = sums(samples, "exposure", of(({ bound: name }) => name));
  const delivered = total(net(samples, "delivered_jobs", of(() => "")));
  const known = partial(causes, (cause) => cause !== "unverified");
  const each = decimal.quotient(known, delivered, PLACES);
  const share = (part) => decimal.percent(part, all) ?? "nothing spent";
  return el("dl", { class: "stats" },
    stat("Spend, expected", money(all), `between ${between(bound)}`, "spend"),
    stat("Waste", share(waste), `${money(waste)} neither delivered nor unverified`, "waste"),
    stat("Retry-driven", money(retry), `${share(retry)}: retries, resubmits, duplicates`, "retry"),
    stat("Each delivered job", each ? decimal.fixed(each, PLACES) : "none yet",
      `${decimal.text(delivered)} delivered; waste in, unverified out`, "each"),
    stat("Open exposure, at most", at(exposure, "max"), `at least ${at(exposure, "min")}`, "exposure"));
}

// A word that leads to the jobs of it.
function jobsWith(name, value) {
  return el("a", { href: `#/jobs?${new URLSearchParams({ [name]: value })}` }, word(value, spaced(value)));
}

function stat(title, value, note, key) {
  return el("div", { "data-stat": key }, el("dt", {}, title), el("dd", {}, value, el("small", {}, note)));
}

function money(amount) {
  return decimal.fixed(amount, PLACES);
}

function at(bound, name) {
  return bound.has(name) ? money(bound.get(name)) : "not known";
}

function between(bound) {
  return `${at(bound, "min")} and ${at(bound, "max")}`;
}

// Known words in their order, then those of a newer server; what is nought is left out.
function inOrder(map, order) {
  const names = [...order, ...[...map.keys()].filter((name) => !order.includes(name)).sort()];
  return names.filter((name) => map.has(name) && !decimal.isZero(map.get(name)))
    .map((name) => [name, map.get(name)]);
}

function amounts(title, rows, all, currency, name) {
  if (!rows.length) return none("Nothing spent.");
  return table(`${title}, ${currency}`, [
    { title, cell: name },
    { title: currency, number: true, cell: ([, amount]) => money(amount) },
    { title: "Share", number: true, cell: ([, amount]) => decimal.percent(amount, all) ?? "" },
  ], rows);
}

function takers(samples, of, currency, name, unnamed) {
  const map = net(samples, "cost", of((labels) => (labels.otel_metric_overflow ? "\0" : labels[name] ?? "")));
  if (name === "tenant" && !largest(map).some(([tenant]) => tenant)) return null;
  const all = largest(map);
  const rows = all.slice(0, TAKERS);
  const rest = total(new Map(all.slice(TAKERS)));
  if (!decimal.isZero(rest)) rows.push([null, rest]);
  const shown = ([value]) => {
    if (value === null) return `${all.length - TAKERS} others`;
    if (value === "" || value === "\0") return value ? PAST_LIMIT : unnamed;
    return el("a", { href: `#/jobs?${new URLSearchParams({ [name]: value })}` }, value);
  };
  const title = name[0].toUpperCase() + name.slice(1);
  return panel(`By ${name}`, amounts(title, rows, total(map), currency, shown));
}

function counts(title, column, rows, name) {
  const all = total(new Map(rows));
  return table(title, [
    { title: column, cell: name },
    { title: "Count", number: true, cell: ([, count]) => decimal.text(count) },
    { title: "Share", number: true, cell: ([, count]) => decimal.percent(count, all) ?? "" },
  ], rows);
}

function outcomes(samples) {
  const rows = inOrder(net(samples, "jobs", ({ outcome }) => outcome), OUTCOMES);
  const open = total(sums(samples, "open_jobs", () => ""));
  return panel("Jobs by outcome",
    rows.length ? counts("Settled jobs", "Outcome", rows, ([outcome]) => jobsWith("outcome", outcome))
      : none("No job has settled yet."),
    el("p", {}, el("a", { href: "#/jobs?state=open" }, `${decimal.text(open)} open`), ", not in it"));
}

function unpriced(samples) {
  const rows = largest(net(samples, "unpriced_jobs", ({ reason }) => reason));
  return panel("Unpriced jobs", rows.length
    ? table("Settled jobs without a price, or with one for a part alone", [
      { title: "Reason", cell: ([reason]) => explained(reason) },
      { title: "Jobs", number: true, cell: ([, count]) => decimal.text(count) },
    ], rows)
    : none("None."));
}

function explained(reason) {
  return [spaced(reason), el("small", {}, ` ${meaning(UNPRICED, reason)}`)];
}

function joins(samples) {
  const rows = inOrder(net(samples, "joins", ({ confidence }) => confidence), Object.keys(CONFIDENCES));
  return panel("Joins by confidence", rows.length
    ? counts("How sure it is that calls are of one job", "Confidence", rows,
      ([confidence]) => el("span", { title: meaning(CONFIDENCES, confidence) }, confidence))
    : none("Nothing was joined yet."));
}

function spans(samples) {
  const all = total(sums(samples, "spans_received_total", () => ""));
  const rejected = total(sums(samples, "spans_rejected_total", () => ""));
  const rows = Object.entries(FATES)
    .map(([fate, words]) => [fate, total(sums(samples, `spans_${fate}_total`, () => "")), words]);
  return panel("Spans", table("What became of the spans received", [
    { title: "Fate", cell: ([fate, , words]) => el("span", { title: words }, word(`fate_${fate}`, fate)) },
    { title: "Spans", number: true, cell: ([, count]) => decimal.text(count) },
    { title: "Share", number: true, cell: ([, count]) => decimal.percent(count, all) ?? "" },
  ], rows), el("p", { "data-stat": "received" }, `${decimal.text(all)} received`,
    decimal.isZero(rejected) ? "" : "; rejected ones are in it"));
}

function unrecognised(samples) {
  const key = ({ provider, method }) => JSON.stringify([provider, method]);
  const rows = largest(sums(samples, "unrecognised_requests_total", key))
    .map(([pair, count]) => [...JSON.parse(pair), count]);
  return panel("Unrecognised requests", rows.length
    ? table("Requests to a provider that no rule takes: in no job and no sum", [
      { title: "Provider", cell: ([provider]) => provider },
      { title: "Method", cell: ([, method]) => method },
      { title: "Requests", number: true, cell: ([, , count]) => decimal.text(count) },
    ], rows)
    : none("None."));
}

function howToSend() {
  const found = [["OTLP/HTTP", "http/protobuf"], ["OTLP/gRPC", "grpc"]]
    .map(([name, words]) => [document.querySelector(`#addresses [data-name="${name}"] dd`), words])
    .find(([element]) => element);
  if (!found) return none("No receiver is on: `receivers` of the configuration names them.");
  const [receiver, protocol] = found;
  // Who listens on every address is reached by the one by which this page was.
  const host = receiver.textContent.replace(/^(0\.0\.0\.0|\[::\])/, location.hostname);
  return el("section", { class: "panel wide", id: "how-to-send" },
    el("h3", {}, "No spans yet"),
    el("p", {}, "Send it the OTLP spans of applications that generate media. In the environment of each:"),
    facts([
      ["where", copyable(`OTEL_EXPORTER_OTLP_ENDPOINT=http://${host}`)],
      ["how", copyable(`OTEL_EXPORTER_OTLP_PROTOCOL=${protocol}`)],
    ]),
    el("p", {}, "With TLS the address begins with https; a token goes into OTEL_EXPORTER_OTLP_HEADERS."));
}
