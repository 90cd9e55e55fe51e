// Adding documents, by paste or file, and reading what is stored.

import * as api from "./api.js";
import { $, count, counted, h } from "./dom.js";
import { noteAttributes } from "./filter.js";

let next = ""; // cursor of the next page

export function setUp(state) {
  $("add-form").addEventListener("submit", (ev) => {
    ev.preventDefault();
    state.try(() => add(state));
  });
  $("list-first").addEventListener("click", () => state.try(() => page(state, "")));
  $("list-next").addEventListener("click", () => state.try(() => page(state, next)));
  $("list-filter").addEventListener("keydown", (ev) => { if (ev.key === "Enter") state.try(() => page(state, "")); });
}

/** Shows the first page. */
export async function show(state) {
  if (state.collection) await page(state, "");
  else $("documents").replaceChildren();
}

async function add(state) {
  if (!state.collection) throw new Error("there is no collection yet: make one in the view Store");
  const prefix = $("prefix").value.trim() || "note";
  const docs = documents($("paste").value, `${prefix}-${new Date().toISOString().slice(0, 19)}`);
  for (const f of $("file").files) docs.push(...documents(await f.text(), f.name));
  if (!docs.length) throw new Error("there is nothing to add: paste a text, or choose a file");
  $("add-progress").hidden = false;
  $("add-progress").value = 0;
  const refused = [];
  try {
    const done = await api.load(state.collection, docs.map((d) => JSON.stringify(d)).join("\n"), (p) => {
      if (p.error) refused.push(`line ${p.line}: ${p.error.message}`);
      $("add-progress").value = p.line / docs.length;
      $("add-status").textContent = `${count(p.upserted)} of ${count(docs.length)} stored`;
    });
    $("add-status").textContent = `${counted(done.upserted, "document")} stored and searchable` + (refused.length ? `; refused: ${refused.slice(0, 3).join("; ")}${refused.length > 3 ? `; and ${refused.length - 3} more` : ""}` : "");
    if (!refused.length) {
      $("paste").value = "";
      $("file").value = "";
    }
  } finally {
    $("add-progress").hidden = true;
  }
  await state.refresh();
  await page(state, "");
}

/** The documents of a pasted text or a file: objects of JSON, a line each or in a list, or paragraphs. */
export function documents(text, name) {
  const objects = jsonDocuments(text.trim());
  if (objects) return objects.map((d, i) => typeof d === "string" ? { id: `${name}#${i + 1}`, text: d } : { id: `${name}#${i + 1}`, ...d });
  return text.split(/\n\s*\n/).map((p) => p.trim()).filter(Boolean).map((p, i) => ({ id: `${name}#${i + 1}`, text: p }));
}

function jsonDocuments(text) {
  if (!/^[[{]/.test(text)) return null;
  try {
    const one = JSON.parse(text);
    return Array.isArray(one) ? one : one.documents ?? [one];
  } catch { /* several lines, or no JSON */ }
  try {
    return text.split("\n").filter((l) => l.trim()).map((l) => JSON.parse(l));
  } catch {
    return null;
  }
}

async function page(state, cursor) {
  const got = await api.list(state.collection, { limit: 20, cursor, filter: $("list-filter").value.trim() });
  next = got.next_cursor ?? "";
  $("list-next").disabled = !next;
  noteAttributes(got.documents.map((d) => d.attributes));
  $("documents").replaceChildren(...got.documents.map((d) => row(state, d)));
  if (!got.documents.length) $("documents").append(h("li", {}, next ? "None on this page; the next one may have some." : "No documents."));
}

function row(state, d) {
  const gone = async () => {
    await api.remove(state.collection, d.id);
    element.remove();
    await state.refresh();
  };
  const text = d.text ?? "";
  const element = h("li", {},
    h("div", { class: "head" }, h("b", {}, d.id), h("span", { class: "caption" }, d.tokens ? counted(d.tokens, "token") : ""),
      h("button", { type: "button", class: "link", "aria-label": `Delete ${d.id}`, onclick: (ev) => confirmed(ev.target, () => state.try(gone)) }, "Delete")),
    text ? h("div", {}, text.length > 280 ? text.slice(0, 280) + "…" : text) : null,
    h("div", { class: "chips" }, Object.entries(d.attributes ?? {}).map(([k, v]) => h("span", { class: "chip" }, `${k}: ${typeof v === "string" ? v : JSON.stringify(v)}`))));
  return element;
}

// What cannot be undone is asked for twice, on the same button.
function confirmed(button, f) {
  if (button.dataset.sure) return f();
  button.dataset.sure = "1";
  button.textContent = "Really delete?";
  button.addEventListener("blur", () => {
    delete button.dataset.sure;
    button.textContent = "Delete";
  }, { once: true });
}
