// The calls of a job as bars over its time. Polls in a row that are alike are one line.

import { el, spanId, table, word } from "./dom.js";
import { length, millis } from "./time.js";
import { spaced } from "./words.js";

/** Polls in a row that become one line. */
const FOLD_MIN = 3;
/** Most lines; a job of a batch may have thousands of calls. */
const MAX_LINES = 500;

/** A table of calls with their bars. */
export function timeline(job, calls) {
  const first = (earliest, call) => Math.min(earliest, millis(call.started_at));
  const begin = calls.reduce(first, millis(job.started_at));
  const lines = folded(calls);
  const end = calls.reduce((latest, call) => Math.max(latest, millis(call.ended_at)), begin + 1);
  const place = { begin, whole: end - begin };
  const left = lines.length - MAX_LINES;
  return [
    table(`Calls over ${length(place.whole)}`, [
      { title: "At", number: true, cell: ([first]) => `+${length(millis(first.started_at) - begin)}` },
      { title: "Attempt", number: true, cell: ([first]) => String(first.attempt + 1) },
      { title: "Call", cell: (run) => kind(run, job) },
      { title: "Timeline", cell: (run) => bars(run, place) },
      { title: "Took", number: true, cell: took },
      { title: "Status", number: true, cell: ([{ status }]) => String(status ?? "no answer") },
      { title: "Tells", cell: ([first]) => (first.failure_reason ? spaced(first.failure_reason) : "") },
      { title: "Span", cell: ([first]) => spanId(first.span) },
    ], lines.slice(0, MAX_LINES)),
    left > 0 ? el("p", { class: "note" }, `${left} lines are left out; spantally explain has them.`) : null,
  ];
}

/** Calls in the order of time; runs of like polls are one. */
export function folded(calls) {
  const order = (one, other) =>
    millis(one.started_at) - millis(other.started_at) || one.attempt - other.attempt;
  const runs = [];
  for (const call of [...calls].sort(order)) {
    if (runs.length && areAlike(runs.at(-1)[0], call)) runs.at(-1).push(call);
    else runs.push([call]);
  }
  return runs.flatMap((run) => (run.length >= FOLD_MIN ? [run] : run.map((call) => [call])));
}

function areAlike(one, other) {
  const isQuiet = [one, other].every((call) => call.call === "poll" && call.failure_reason === null);
  return isQuiet && one.attempt === other.attempt && one.status === other.status;
}

function kind(run, job) {
  const [{ call, attempt }] = run;
  const leg = job.attempts[attempt]?.leg;
  return [word(`call_${call}`, run.length > 1 ? `${run.length} polls` : call),
    leg ? el("small", {}, ` ${spaced(leg)}`) : null];
}

function took(run) {
  const [first] = run;
  if (run.length === 1) return length(millis(first.ended_at) - millis(first.started_at));
  const between = millis(run.at(-1).started_at) - millis(first.started_at);
  return `every ${length(between / (run.length - 1))}`;
}

function bars(run, { begin, whole }) {
  const bar = (call) => {
    const mark = el("i", { "data-word": `call_${call.call}` });
    mark.style.left = `${((millis(call.started_at) - begin) / whole) * 100}%`;
    mark.style.width = `${((millis(call.ended_at) - millis(call.started_at)) / whole) * 100}%`;
    return mark;
  };
  return el("div", { class: "track", "aria-hidden": "true" }, run.slice(0, MAX_LINES).map(bar));
}
