// Moments and lengths of time for people. All moments are UTC, as in the API.

/** Milliseconds since 1970; NaN for what is no moment. */
export function millis(moment) {
  return Date.parse(moment);
}

/** "2026-11-20 10:00:05". */
export function moment(text) {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.test(text) ? text.slice(0, 19).replace("T", " ") : text;
}

/** "10:00:05". */
export function clock(date) {
  return date.toISOString().slice(11, 19);
}

/** "820 ms", "12.3 s", "4 min 05 s", "2 h 10 min", "3 d 4 h". */
export function length(ms) {
  if (!Number.isFinite(ms)) return "";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const [minutes, hours, days] = [60, 3600, 86_400].map((unit) => Math.floor(seconds / unit));
  const two = (number) => String(number).padStart(2, "0");
  if (days) return `${days} d ${hours % 24} h`;
  return hours ? `${hours} h ${two(minutes % 60)} min` : `${minutes} min ${two(seconds % 60)} s`;
}

/** From the start of a job to its end, or to now while it is open. */
export function duration(job) {
  const end = job.state === "open" ? Date.now() : millis(job.ended_at);
  return length(Math.max(0, end - millis(job.started_at)));
}
