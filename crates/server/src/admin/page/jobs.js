// The list of jobs. The whole filter, and the page of the list, stand in the address.

import * as api from "./api.js";
import { el, none, table, word } from "./dom.js";
import { bounds, cost, places } from "./money.js";
import { duration, moment } from "./time.js";
import { CAUSES, OUTCOMES, STATES, spaced } from "./words.js";

const LIMIT = "50";
const TEXTS = [["provider", "fal"], ["service", "clips"], ["model", "fal-ai/flux/dev"], ["tenant", "acme"],
  ["started_since", "2026-11-20T10:00:00Z"]];

/** The page of the list that an address asks for. */
export async function load({ query }, signal) {
  const asked = new URLSearchParams(query);
  if (!asked.has("limit")) asked.set("limit", LIMIT);
  return api.jobs(asked, signal);
}

/** The filter, which is there whatever the server says, and the list. */
export function render({ jobs, next_cursor: next }, { query }) {
  return [
    ...head({ query }),
    jobs.length ? jobRows("Open jobs by start, then settled ones by settlement; the latest first", jobs)
      : none(query.has("cursor") ? "There are no more jobs." : "No job passes this filter."),
    el("nav", { class: "pages", "aria-label": "Pages of the list" },
      query.has("cursor") ? el("a", { href: address(query, null) }, "First page") : null,
      next ? el("a", { href: address(query, next), id: "next" }, "Next page") : null),
  ];
}

/** What stands above the list, also when there is none. */
export function head({ query }) {
  return [el("h1", {}, "Jobs"), filter(query)];
}

function address(query, cursor) {
  const other = new URLSearchParams(query);
  other.delete("cursor");
  if (cursor) other.set("cursor", cursor);
  return `#/jobs?${other}`;
}

function filter(query) {
  const form = el("form", { class: "filter", "aria-label": "Filter" },
    select("state", STATES, query), select("cause", CAUSES, query),
    TEXTS.map(([name, example]) => field(name, el("input",
      { name, value: query.get(name), placeholder: example, autocomplete: "off", spellcheck: "false" }))),
    el("fieldset", {}, el("legend", {}, "outcome"), OUTCOMES.map((outcome) => el("label", {}, el("input", {
      type: "checkbox", name: "outcome", value: outcome, checked: query.getAll("outcome").includes(outcome),
    }), outcome))),
    el("div", { class: "actions" },
      el("button", { type: "submit" }, "Filter"), el("a", { href: "#/jobs" }, "Clear")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = `#/jobs?${chosen(form)}`;
  });
  return form;
}

// What is filled in. A filter that is changed begins at the first page.
function chosen(form) {
  const filled = [...new FormData(form)].filter(([, value]) => value.trim());
  return new URLSearchParams(filled.map(([name, value]) => [name, value.trim()]));
}

function field(name, control) {
  return el("label", {}, el("span", {}, spaced(name)), control);
}

function select(name, words, query) {
  const option = (value, shown) => el("option", { value, selected: query.get(name) === value }, shown);
  const options = words.map((value) => option(value, spaced(value)));
  return field(name, el("select", { name }, option("", "any"), options));
}

/** A table of jobs. */
export function jobRows(caption, jobs) {
  const costs = jobs.flatMap((job) => Object.values(job.cost ?? {}));
  const behindPoint = places(costs.map(({ expected }) => expected));
  const hasTenants = jobs.some((job) => job.tenant);
  return table(caption, [
    { title: "Started (UTC)", cell: started },
    { title: "Outcome", cell: outcome },
    { title: "Cost", number: true, cell: (job) => cost(job, behindPoint) },
    { title: "Bound", number: true, cell: bounds },
    { title: "Attempts", number: true, cell: (job) => String(job.attempts.length) },
    { title: "Polls", number: true, cell: polls },
    { title: "Duration", number: true, cell: duration },
    { title: "Provider", cell: (job) => job.provider },
    { title: "Model", cell: (job) => job.model },
    { title: "Operation", cell: (job) => spaced(job.operation) },
    { title: "Service", cell: (job) => job.service },
    ...(hasTenants ? [{ title: "Tenant", cell: (job) => job.tenant }] : []),
  ], jobs);
}

function started(job) {
  return el("a", { href: `#/jobs/${job.job_id}` }, moment(job.started_at));
}

/** How a job stands: its outcome, and why. */
export function outcome(job) {
  if (job.state === "superseded") return "superseded";
  const reason = job.failure_reason ? el("small", {}, ` ${spaced(job.failure_reason)}`) : null;
  return [job.state === "open" ? el("b", {}, "open ") : null, word(job.outcome), reason];
}

function polls(job) {
  return String(job.attempts.reduce((sum, attempt) => sum + attempt.polls, 0));
}
