// One job: what it did, what it cost, and why the calls are its own. `spantally explain` tells the same.

import * as api from "./api.js";
import { copyable, el, facts, none, panel, spanId, table, word } from "./dom.js";
import { outcome } from "./jobs.js";
import { aligned, exact, places, range } from "./money.js";
import { duration, moment } from "./time.js";
import { timeline } from "./timeline.js";
import { ACCEPTED, BASES, CONFIDENCES, POLICIES, RULES, UNPRICED, meaning, spaced } from "./words.js";

/** The job that an address names, with its calls. */
export async function load({ id }, signal) {
  const [job, calls] = await Promise.all([api.job(id, signal), api.calls(id, signal)]);
  return { job, calls };
}

/** What stands above it, also when there is none. */
export function head({ id }) {
  return [el("h1", {}, "Job ", copyable(id))];
}

/** The view of it. */
export function render({ job, calls }) {
  return [
    ...head({ id: job.job_id }),
    superseded(job),
    summary(job),
    el("h2", {}, "Calls"),
    calls ? timeline(job, calls) : untimed(job),
    el("h2", {}, "Charges"),
    el("div", { class: "grid few" }, costs(job), unpriced(job)),
    charges(job),
    el("h2", {}, "Attempts"),
    job.attempts.map((attempt, index) => details(job, attempt, index)),
    spans(job),
  ];
}

function superseded(job) {
  return job.state !== "superseded" ? null : el("p", { class: "alert", id: "superseded" },
    "This job was superseded: later evidence showed that its calls belong to another job, and its charges ",
    "were reversed. What it was stands in the ledger's earlier revisions.");
}

function summary(job) {
  const list = (name) => (job[name]
    ? el("a", { href: `#/jobs?${new URLSearchParams({ [name]: job[name] })}` }, job[name]) : null);
  const labels = Array.isArray(job.labels) ? [] : Object.entries(job.labels ?? {});
  return facts([
    ["state", job.state],
    ["outcome", outcome(job)],
    ["provider", list("provider")],
    ["model", list("model")],
    ["operation", spaced(job.operation)],
    ["service", list("service")],
    ["tenant", list("tenant")],
    ["started", `${moment(job.started_at)} UTC`],
    [job.state === "open" ? "age" : "duration", duration(job)],
    ["revision", job.revision ? String(job.revision) : "never settled"],
    ["parent task", job.parent_task ? copyable(job.parent_task) : null],
    ...labels.map(([name, value]) => [name, String(value)]),
  ]);
}

function untimed(job) {
  const rows = job.attempts.flatMap((attempt, index) => Object.entries(attempt.spans)
    .filter(([, ids]) => ids.length).map(([role, ids]) => [index, role, ids]));
  return [
    el("p", { class: "note" }, "The times of its calls are not in memory any more; they are in the traces."),
    table("Calls by attempt, without times", [
      { title: "Attempt", cell: ([index]) => String(index + 1) },
      { title: "Call", cell: ([, role]) => role },
      { title: "Calls", number: true, cell: ([, , ids]) => String(ids.length) },
      { title: "First span", cell: ([, , ids]) => copyable(ids[0]) },
    ], rows),
  ];
}

function costs(job) {
  const rows = Object.entries(job.cost);
  const words = job.unpriced?.length ? "Not known: nothing of it has a price." : "No charge was made.";
  return panel("Cost", rows.length
    ? table("Cost of the job, with its bound", [
      { title: "Currency", cell: ([currency]) => currency },
      { title: "Expected", number: true, cell: ([, bound]) => exact(bound.expected) },
      { title: "At least", number: true, cell: ([, bound]) => exact(bound.min) },
      { title: "At most", number: true, cell: ([, bound]) => exact(bound.max) },
    ], rows)
    : none(words));
}

function unpriced(job) {
  if (!job.unpriced?.length) return null;
  const reasons = [...new Set(job.unpriced.map(({ reason }) => reason))];
  const attempts = (reason) => job.unpriced.filter((one) => one.reason === reason)
    .map(({ attempt }) => attempt + 1).join(", ");
  return panel("Unpriced", table("What has no price", [
    { title: "Reason", cell: (reason) => [spaced(reason), el("small", {}, ` ${meaning(UNPRICED, reason)}`)] },
    { title: "Attempts", cell: attempts },
  ], reasons));
}

function charges(job) {
  if (!job.charges.length) return none("There are no charges.");
  const decimals = (name) => {
    const behindPoint = places(job.charges.map((charge) => charge[name]));
    return (charge) => (charge[name] === null
      ? el("span", { class: "none" }, "unknown") : aligned(charge[name], behindPoint));
  };
  return table("Quantity × price = cost", [
    { title: "Attempt", cell: ({ attempt }) => String(attempt + 1) },
    { title: "Cause", cell: ({ cause }) => word(cause, spaced(cause)) },
    { title: "Quantity", number: true, cell: decimals("quantity") },
    { title: "Unit", cell: ({ unit }) => spaced(unit) },
    { title: "× price", number: true, cell: decimals("unit_price") },
    { title: "= cost", number: true, cell: decimals("cost") },
    { title: "Bound", number: true, cell: between },
    { title: "Currency", cell: ({ currency }) => currency ?? "" },
    { title: "Basis", cell: ({ basis }) => el("span", { title: meaning(BASES, basis) }, word(basis)) },
    { title: "Rule", cell: ({ rule }) => rule },
    { title: "Policy", cell: ({ policy }) => meaning(POLICIES, policy) },
  ], job.charges);
}

/** From the least to the most that a charge may be, where that is not one figure. */
function between({ cost, cost_min: min = cost, cost_max: max = cost }) {
  return min === max ? "" : range({ min, max });
}

function details(job, attempt, index) {
  const of = (name) => (attempt[name] && attempt[name] !== job[name] ? attempt[name] : null);
  const words = (attempt.facts ?? [])
    .map(({ name, value, source }) => `${spaced(name)} ${value} (${source})`);
  return el("section", { class: "panel wide", "data-attempt": String(index + 1) },
    el("h3", {}, `Attempt ${index + 1}`),
    facts([
      ["outcome", [word(attempt.outcome),
        attempt.failure_reason ? el("small", {}, ` ${spaced(attempt.failure_reason)}`) : null]],
      ["cause", word(attempt.cause, spaced(attempt.cause))],
      ["accepted", meaning(ACCEPTED, attempt.accepted)],
      ["status", attempt.status === undefined ? "no answer was seen" : String(attempt.status)],
      ["polls", String(attempt.polls)],
      ["task", attempt.task_id === null ? "not known" : copyable(attempt.task_id)],
      ["leg", attempt.leg],
      ["provider", of("provider")], ["model", of("model")], ["operation", of("operation")],
      ["session", attempt.session_seconds ? `${exact(attempt.session_seconds)} s` : null],
      ["priced by the day", attempt.day],
      ["canceled", attempt.canceled_before_start ? "before it began" : null],
      ["facts", words.join("; ")],
    ]),
    attempt.joins.length ? joins(attempt.joins)
      : none("Nothing had to be joined: one call, or one name for all."));
}

function joins(list) {
  const some = (name, column) => (list.some((join) => join[name] !== undefined) ? [column] : []);
  return table("Why these calls are of one attempt", [
    { title: "Because", cell: ({ rule }) => el("span", { title: rule }, meaning(RULES, rule)) },
    { title: "Sure?", cell: ({ confidence }) => `${confidence}: ${meaning(CONFIDENCES, confidence)}` },
    ...some("margin", { title: "Margin, nats", number: true, cell: margin }),
    ...some("span", { title: "Span", cell: ({ span }) => (span ? spanId(span) : "") }),
    ...some("instead", { title: "Instead of", cell: ({ instead }) => (instead ? spanId(instead) : "") }),
  ], list);
}

function margin(join) {
  return join.margin?.toFixed(1) ?? "";
}

function spans(job) {
  const calls = job.attempts.flatMap((attempt) => Object.values(attempt.spans).flat());
  const all = new Set([...job.spans, ...calls]);
  const text = [...all].join("\n");
  return el("details", { class: "spans" }, el("summary", {}, `${all.size} spans`),
    el("p", {}, copyable(text, "all of them, trace:span a line")), el("pre", {}, text));
}
