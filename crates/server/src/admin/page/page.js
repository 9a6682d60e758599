// The page: routes behind the #, what is asked for when, and what is said when there is no answer.

import * as api from "./api.js";
import { el, none } from "./dom.js";
import * as job from "./job.js";
import * as jobs from "./jobs.js";
import * as overview from "./overview.js";
import { clock } from "./time.js";

/** Between two looks, in milliseconds; a page of metrics that takes long is asked for more seldom. */
const EVERY = 5000;
const SHARE_OF_TIME = 20;

const ROUTES = [
  { pattern: /^$/, name: "overview", title: () => "Overview", view: overview, isLive: () => true },
  { pattern: /^jobs$/, name: "jobs", title: () => "Jobs", view: jobs, isLive: () => false },
  {
    pattern: /^jobs\/([^/]+)$/, name: "jobs", title: ({ id }) => `Job ${id.slice(0, 8)}`, view: job,
    isLive: ({ job: { state } }) => state === "open",
  },
];

const main = document.querySelector("main");
const view = document.getElementById("view");
const notice = document.getElementById("notice");
const seen = document.getElementById("seen");

/** What an address names: a view, the filter behind "?", and an id. */
export function routeOf(hash) {
  const [path, query = ""] = splitOnce(hash.replace(/^#?\/?/, ""), "?");
  for (const route of ROUTES) {
    const match = route.pattern.exec(path);
    if (match) return { ...route, query: new URLSearchParams(query), id: match[1] && decoded(match[1]) };
  }
  return null;
}

function splitOnce(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

let running = new AbortController();
let timer = 0;

// Shows what the address names, from the beginning.
function go() {
  const route = routeOf(location.hash);
  running.abort();
  running = new AbortController();
  document.title = `${route ? route.title(route) : "Not found"} · Spantally`;
  for (const link of document.querySelectorAll("header nav a")) {
    if (link.dataset.name === route?.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  say(null);
  seen.textContent = "";
  if (route) {
    empty(route, "Loading…");
    look(route, running.signal, true);
  } else {
    view.replaceChildren(el("h1", {}, "Not found"), none("There is no such view."));
  }
}

// What stands there without an answer: the head of the view, and some words.
function empty(route, words) {
  main.classList.remove("stale");
  view.replaceChildren(...(route.view.head?.(route) ?? []), none(words));
}

// Asks once, and again later where the view lives or the server did not answer. `isEmpty`: nothing is shown.
async function look(route, signal, isEmpty) {
  clearTimeout(timer);
  const began = performance.now();
  let goesOn;
  try {
    const [state, data] = await Promise.all([api.readiness(signal), route.view.load(route, signal)]);
    if (signal.aborted) return;
    show(route.view.render(data, route));
    say(state === "ready" ? null : notReady(state));
    main.classList.remove("stale");
    seen.textContent = `as of ${clock(new Date())} UTC`;
    isEmpty = false;
    goesOn = route.isLive(data);
  } catch (failure) {
    if (signal.aborted) return;
    goesOn = fail(failure, route, isEmpty);
  }
  if (!goesOn) return;
  const wait = Math.max(EVERY, SHARE_OF_TIME * (performance.now() - began));
  timer = setTimeout(() => whenVisible(() => look(route, signal, isEmpty), signal), wait);
}

// Says what is wrong; whether to ask again.
function fail(failure, route, isEmpty) {
  const isKnown = failure instanceof api.Failure;
  if (!isKnown) console.error(failure);
  say(isKnown ? failure.message : `The page could not be shown: ${failure.message}`);
  const isWorthAsking = isKnown && ["unreachable", "starting"].includes(failure.kind);
  if (isEmpty) empty(route, isWorthAsking ? "Asking again…" : "");
  else main.classList.add("stale");
  return isWorthAsking;
}

function notReady(state) {
  if (state === "draining") return "The server is stopping: it takes no more spans.";
  return `The server takes no spans: ${state}.`;
}

function say(words) {
  const text = words ?? "";
  if (notice.textContent !== text) notice.textContent = text;
  notice.hidden = !words;
}

// Replaces what changed alone, so that a choice, a place and the focus stay where they were.
function show(nodes) {
  const fresh = el("div", {}, nodes);
  if (haveSameShape(view, fresh)) renewParts(view, fresh);
  else view.replaceChildren(...fresh.childNodes);
}

function haveSameShape(old, fresh) {
  return old.childNodes.length === fresh.childNodes.length && old.nodeName === fresh.nodeName;
}

function renew(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName === "DETAILS") fresh.open = old.open;
  const isBranch = old.nodeType === Node.ELEMENT_NODE && old.nodeName !== "BUTTON"
    && haveSameShape(old, fresh) && old.cloneNode().isEqualNode(fresh.cloneNode());
  if (isBranch) renewParts(old, fresh);
  else old.replaceWith(fresh);
}

function renewParts(old, fresh) {
  const parts = [...fresh.childNodes];
  [...old.childNodes].forEach((part, index) => renew(part, parts[index]));
}

// Nothing is asked for while nobody looks.
function whenVisible(act, signal) {
  if (!document.hidden) {
    act();
    return;
  }
  document.addEventListener("visibilitychange", () => !signal.aborted && act(), { once: true, signal });
}

addEventListener("hashchange", () => {
  go();
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
});
go();
