// The text format of Prometheus (0.0.4), as far as a page of figures needs it: samples with labels.

/**
 * Samples of the wanted names: a map from name to a list of `{labels, value}`, the value as text. A page may
 * have a hundred thousand lines, so a line of another name is passed over unread.
 */
export function parseSamples(page, wanted) {
  const found = new Map();
  let name = "";
  for (let start = 0; start < page.length;) {
    let end = page.indexOf("\n", start);
    if (end < 0) end = page.length;
    // Samples of a name follow each other.
    if (!isNameAt(page, start, name)) name = nameAt(page, start, end);
    if (wanted.has(name)) {
      const sample = parseSample(page.slice(start + name.length, end));
      if (sample) append(found, name, sample);
    }
    start = end + 1;
  }
  return found;
}

function append(found, name, sample) {
  const samples = found.get(name);
  if (samples) samples.push(sample);
  else found.set(name, [sample]);
}

function isNameAt(page, start, name) {
  return name !== "" && page.startsWith(name, start) && "{ \t".includes(page[start + name.length] ?? "x");
}

function nameAt(page, start, end) {
  let at = start;
  while (at < end && page[at] !== "{" && page[at] !== " " && page[at] !== "\t") at += 1;
  return page.slice(start, at);
}

// What follows a name: labels, if any, and a value, behind which a time may stand.
function parseSample(rest) {
  const labels = {};
  const after = rest[0] === "{" ? parseLabels(rest, labels) : 0;
  if (after < 0) return null;
  const [value] = rest.slice(after).trim().split(/[ \t]+/);
  return value ? { labels, value } : null;
}

// Fills `labels`, and returns the place behind the closing brace; -1 where there is none.
function parseLabels(text, labels) {
  const pair = /\s*,?\s*([^=,{}"\s]+)\s*=\s*"((?:[^"\\]|\\.)*)"/y;
  let at = 1;
  for (;;) {
    pair.lastIndex = at;
    const match = pair.exec(text);
    if (!match) break;
    labels[match[1]] = unescaped(match[2]);
    at = pair.lastIndex;
  }
  const end = /\s*,?\s*\}/y;
  end.lastIndex = at;
  return end.test(text) ? end.lastIndex : -1;
}

function unescaped(text) {
  return text.includes("\\")
    ? text.replace(/\\(.)/g, (_, letter) => (letter === "n" ? "\n" : letter)) : text;
}
