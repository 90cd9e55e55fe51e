// Searches and their hits.

import * as api from "./api.js";
import { $, counted, count, h, pieces, time } from "./dom.js";
import { addConditions, conditions, noteAttributes } from "./filter.js";
import { showSearches } from "./latency.js";
import { maxsim } from "./maxsim.js";

let running = 0; // the last search that was sent; answers to others are late

export function setUp(state) {
  addConditions();
  $("search-form").addEventListener("submit", (ev) => {
    ev.preventDefault();
    state.try(() => search(state.collection));
  });
  $("query-kind").addEventListener("change", () => {
    $("mode").disabled = $("query-kind").value !== "text"; // likeness is MaxSim
    $("query").focus();
  });
  document.addEventListener("keydown", (ev) => {
    if (ev.key === "/" && !ev.ctrlKey && !ev.metaKey && !ev.altKey && !/^(INPUT|TEXTAREA|SELECT)$/.test(ev.target.tagName)) {
      ev.preventDefault();
      state.go("search");
      $("query").focus();
    }
  });
}

export function clear() {
  running++;
  $("hits").replaceChildren();
  $("search-status").textContent = "";
}

async function search(collection) {
  const query = $("query").value;
  if (!query.trim()) return;
  if (!collection) throw new Error("there is no collection yet: make one in the view Store");
  const kind = $("query-kind").value;
  const body = {
    [kind]: query, k: Number($("k").value) || 10, effort: $("effort").value, explain: true,
    include: ["text", "attributes", "highlights"],
  };
  if (!$("mode").disabled) body.mode = $("mode").value;
  if (conditions()) body.filter = conditions();
  const mine = ++running;
  $("search-status").textContent = "Searching…";
  const sent = performance.now();
  let found;
  try {
    found = await api.search(collection, body);
  } catch (err) {
    if (mine === running) clear();
    throw err;
  }
  if (mine !== running) return;
  showSearches(found, (performance.now() - sent) * 1000);
  $("search-status").textContent = summary(found);
  noteAttributes(found.hits.map((hit) => hit.attributes));
  $("hits").replaceChildren(...found.hits.map((hit) => hitElement(hit, body.mode)));
}

function summary(found) {
  const parts = [
    `${counted(found.hits.length, "hit")} of ${counted(found.documents, "document")} in ${time(found.took_us)}`,
    found.exhaustive ? "every document was compared" : `${count(found.candidates)} candidates, ${count(found.scored)} scored in full`,
  ];
  const f = found.filter;
  if (f) parts.push(`filter leaves ${count(f.matches)}` + (f.scanned ? `, read the attributes of ${count(f.scanned)}: an index would spare that` : ""));
  return parts.join(" · ");
}

// What the score of a mode is.
const scores = {
  bm25: (hit) => ["BM25", hit.score.toFixed(3)],
  hybrid: (hit) => ["MaxSim and BM25, fused", hit.score.toFixed(3)],
};
const maxSimScore = (hit) => ["MaxSim, and the mean similarity of the query's tokens", `${hit.score.toFixed(3)} · mean ${hit.score_norm.toFixed(3)}`];

function hitElement(hit, mode) {
  const text = hit.text ?? "";
  const best = Math.max(...(hit.highlights ?? []).map((m) => m.weight), 0.01);
  const lit = pieces(text, hit.highlights ?? []).map((p) => p.span
    ? h("mark", { "--strength": `${Math.round(15 + 75 * p.span.weight / best)}%`, title: `similarity ${p.span.weight.toFixed(2)}` }, p.text)
    : p.text);
  const [title, score] = (scores[mode] ?? maxSimScore)(hit);
  const more = hit.explain?.length ? h("button", { type: "button", class: "link", "aria-expanded": "false" }, "MaxSim") : null;
  const element = h("li", { class: "hit" },
    h("header", {},
      h("span", { class: "rank" }, `${hit.rank}.`), h("span", { class: "id" }, hit.id),
      h("span", { class: "score", title }, score)),
    text ? h("p", { class: "text" }, lit) : null,
    h("div", { class: "tools" }, h("div", { class: "chips" }, (hit.terms ?? []).map(termChip), Object.entries(hit.attributes ?? {}).map(([k, v]) => h("span", { class: "chip" }, `${k}: ${typeof v === "string" ? v : JSON.stringify(v)}`))), more));
  let view = null;
  more?.addEventListener("click", () => {
    view ??= element.appendChild(maxsim(hit));
    const shown = more.getAttribute("aria-expanded") !== "true";
    more.setAttribute("aria-expanded", String(shown));
    view.hidden = !shown;
  });
  return element;
}

const termChip = (t) => h("span", { class: "chip term", title: `${count(t.count)} × here` }, `${t.term} ${t.score.toFixed(2)}`);
