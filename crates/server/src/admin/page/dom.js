// Elements from values. Text of spans is hostile: it only ever becomes a text node or a plain attribute, and
// a link leads to a route of this page or to one of the few paths of the same server.

const OWN_PATHS = /^(#\/|\/(metrics|readyz|healthz|api\/v1\/jobs)(\/|\?|$))/;

/** An element with attributes and children; strings are text, null is left out, lists are taken apart. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) set(element, name, value);
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined) element.append(child);
  }
  return element;
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "href" && !OWN_PATHS.test(value)) return;
  if (/^on/i.test(name)) throw new Error(`${name}: use addEventListener`);
  element.setAttribute(name, value === true ? "" : value);
}

/**
 * A table with a caption. A column is `{title, number, cell}`: `cell` makes the content of a row's cell, the
 * first one is the row's heading.
 */
export function table(caption, columns, rows) {
  const align = ({ number }) => (number ? "number" : null);
  const heads = columns.map((column) => el("th", { scope: "col", class: align(column) }, column.title));
  const line = (row) => el("tr", {}, columns.map((column, index) => {
    const head = index === 0 ? { scope: "row" } : {};
    return el(index === 0 ? "th" : "td", { ...head, class: align(column) }, column.cell(row));
  }));
  // What is too wide is scrolled, also by keys.
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, heads)),
      el("tbody", {}, rows.map(line))));
}

/** A box with a heading. */
export function panel(title, ...content) {
  return el("section", { class: "panel" }, el("h3", {}, title), content);
}

/** Words in place of figures that are not there. */
export function none(words) {
  return el("p", { class: "none" }, words);
}

/** A word with the colour that it has everywhere. */
export function word(text, shown = text) {
  return el("span", { class: "word" }, el("i", { class: "dot", "data-word": text }), shown);
}

/** Bars side by side, of `[word, share of 1]`; the figures stand in a table beside it. */
export function shares(label, parts) {
  const bars = parts.map(([name, share]) => {
    const bar = el("i", { "data-word": name });
    bar.style.flexGrow = String(share);
    return bar;
  });
  return el("div", { class: "shares", role: "img", "aria-label": label }, bars);
}

/** A list of names and what they are; what is null is left out. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", { class: "facts" },
    shown.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

/** A span with the beginning of its trace alone; what is copied is the whole. */
export function spanId(span) {
  const [trace, id] = span.split(":");
  return copyable(span, id ? `${trace.slice(0, 8)}…:${id}` : span);
}

/** A text with a button that copies it. */
export function copyable(text, shown = text) {
  const button = el("button", { type: "button", class: "copy", "aria-label": `Copy ${text}` }, "copy");
  button.addEventListener("click", async () => {
    // Without TLS there is no clipboard but on loopback; then the text is selected to be copied by hand.
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(button.previousSibling);
    }
  });
  return el("span", { class: "id" }, el("code", { title: text }, shown), button);
}
