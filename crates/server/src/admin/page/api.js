// Questions to the server that this page came from.

/** Why there is no answer: `kind` is "unreachable", "starting", "missing" or "error". */
export class Failure extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

const KINDS = { 503: "starting", 404: "missing" };

async function ask(path, accept, signal) {
  try {
    return await fetch(path, { headers: { accept }, cache: "no-store", signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const words = `No answer from ${location.host}: the server is stopped, or not reachable.`;
    throw new Failure("unreachable", words);
  }
}

async function text(answer) {
  try {
    return await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("unreachable", `The answer from ${location.host} broke off.`);
  }
}

// The API says what is wrong in JSON; a proxy in between may say it in any way.
function messageOf(body, status) {
  try {
    return JSON.parse(body).error.message;
  } catch {
    return `The server answered ${status}.`;
  }
}

async function good(path, accept, signal) {
  const answer = await ask(path, accept, signal);
  const body = await text(answer);
  if (!answer.ok) throw new Failure(KINDS[answer.status] ?? "error", messageOf(body, answer.status));
  return body;
}

/** The page of metrics. */
export function metrics(signal) {
  return good("/metrics", "text/plain;version=0.0.4", signal);
}

/** What the server says of itself: "ready", "draining", or why it takes no spans. */
export async function readiness(signal) {
  return (await text(await ask("/readyz", "text/plain", signal))).trim();
}

/** A page of jobs: `{jobs, next_cursor}`. */
export async function jobs(query, signal) {
  return JSON.parse(await good(`/api/v1/jobs?${query}`, "application/json", signal));
}

/** One job. */
export async function job(id, signal) {
  return JSON.parse(await good(`/api/v1/jobs/${encodeURIComponent(id)}`, "application/json", signal));
}

/** Its calls with their times; null when they are not in memory any more. */
export async function calls(id, signal) {
  try {
    const path = `/api/v1/jobs/${encodeURIComponent(id)}/calls`;
    return JSON.parse(await good(path, "application/json", signal)).calls;
  } catch (failure) {
    if (failure.kind === "missing") return null;
    throw failure;
  }
}
