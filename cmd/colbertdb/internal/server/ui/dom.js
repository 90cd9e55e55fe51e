// Small means to build the page. Text is never read as HTML.

export const $ = (id) => document.getElementById(id);

/** Makes an element: h("li", {class: "hit", onclick: f}, "text", child). */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same of SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(e, attributes, children) {
  for (const [name, v] of Object.entries(attributes)) {
    if (name.startsWith("on")) e.addEventListener(name.slice(2), v);
    else if (name.startsWith("--")) e.style.setProperty(name, v);
    else if (v === true) e.setAttribute(name, "");
    else if (v !== false && v != null) e.setAttribute(name, v);
  }
  e.append(...children.flat().filter((c) => c != null));
  return e;
}

/** Lets the arrow keys move the focus among elements, of which Tab meets one. */
export function roving(elements) {
  elements.forEach((e, i) => {
    e.tabIndex = i === 0 ? 0 : -1;
    e.addEventListener("keydown", (ev) => {
      const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[ev.key];
      const to = ev.key === "Home" ? elements[0] : ev.key === "End" ? elements.at(-1) : step && elements[i + step];
      if (!to) return;
      ev.preventDefault();
      e.tabIndex = -1;
      to.tabIndex = 0;
      to.focus();
    });
  });
}

/** Cuts a text at spans, whose start and end are bytes of its UTF-8; pieces between them have no span. */
export function pieces(text, spans) {
  const bytes = new TextEncoder().encode(text);
  const decode = (from, to) => new TextDecoder().decode(bytes.subarray(from, to));
  const out = [];
  let at = 0;
  for (const s of [...spans].sort((a, b) => a.start - b.start)) {
    if (s.start < at || s.end > bytes.length || s.start >= s.end) continue;
    if (s.start > at) out.push({ text: decode(at, s.start) });
    out.push({ text: decode(s.start, s.end), span: s });
    at = s.end;
  }
  if (at < bytes.length) out.push({ text: decode(at) });
  return out;
}

export function size(bytes) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (bytes < 1024 || unit === "GiB") return `${bytes < 10 && unit !== "B" ? bytes.toFixed(1) : Math.round(bytes)} ${unit}`;
    bytes /= 1024;
  }
}

export const count = (n) => n.toLocaleString("en");
export const counted = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;
export const time = (us) => us < 1000 ? `${Math.round(us)} µs` : us < 1e6 ? `${(us / 1000).toFixed(us < 1e4 ? 1 : 0)} ms` : `${(us / 1e6).toFixed(1)} s`;
