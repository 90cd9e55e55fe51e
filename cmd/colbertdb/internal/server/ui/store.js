// The store: its collections with their health, segments and merges, and latency.

import * as api from "./api.js";
import { $, count, counted, h, size, svg } from "./dom.js";
import { legend, showServer } from "./latency.js";

export function setUp(state) {
  $("create-form").addEventListener("submit", (ev) => {
    ev.preventDefault();
    state.try(async () => {
      const config = { profile: $("new-profile").value };
      if ($("new-model").value) config.model = $("new-model").value;
      await api.create($("new-name").value, config);
      await state.refresh($("new-name").value);
      $("new-name").value = "";
      await show(state);
    });
  });
}

export async function show(state) {
  const models = (await api.models()).data;
  $("new-model").replaceChildren(...models.map((m) => h("option", { value: m.id, selected: m.default }, m.id)));
  const stats = await Promise.all(state.collections.map((c) => api.stats(c.name)));
  const shown = new Set([...$("collections").querySelectorAll("li")].filter((e) => e.querySelector("details")?.open).map((e) => e.dataset.name));
  $("collections").replaceChildren(...stats.map((s) => collection(state, s, shown.size ? shown.has(s.name) : s.name === state.collection)));
  if (!stats.length) $("collections").append(h("li", {}, "No collection yet."));
  try {
    showServer(await api.metrics());
  } catch (err) {
    if (err.status !== 403) throw err;
    $("server-latency").replaceChildren(h("p", { class: "status" }, "The key in use may not read /metrics."));
  }
}

/** What is worth knowing of a collection, worst first: pairs of class and words. */
export function health(s) {
  const out = [];
  if (s.reindex_of) out.push(["warn", `a reindex of ${s.reindex_of} is not finished`]);
  if (s.debt.StaleSegments) out.push(["warn", `${counted(s.debt.StaleSegments, "segment")} of an older codebook`]);
  if (s.debt.Merges) out.push(["warn", `${counted(s.debt.Merges, "merge")} due, ${size(s.debt.BytesDue)}`]);
  if (s.documents && s.deleted > s.documents / 4) out.push(["warn", `${count(s.deleted)} deleted documents wait for a merge`]);
  if (s.recall && !s.recall.reached) out.push(["warn", "recall is below its target"]);
  return out.length ? out : [["good", "healthy"]];
}

function collection(state, s, open) {
  const compact = h("button", {
    type: "button", onclick: () => state.try(async () => {
      compact.disabled = true;
      compact.textContent = "Compacting…";
      try {
        await api.compact(s.name);
      } finally {
        compact.disabled = false;
        compact.textContent = "Compact";
      }
      await state.refresh();
      await show(state);
    }),
  }, "Compact");
  return h("li", { "data-name": s.name },
    h("div", { class: "head" }, h("b", {}, s.name), health(s).map(([c, text]) => h("span", { class: `chip ${c}` }, text)), h("span", { class: "caption" }, description(s))),
    h("details", { open }, h("summary", { class: "caption" }, "Segments and merges"),
      h("div", { class: "picture" }, h("div", {}, tiers(s)), h("div", {}, columns(s), recall(s), live(s), indexes(s))),
      h("div", { class: "row" }, compact, s.debt.DeletedBytes ? h("span", { class: "caption" }, `deleted documents take about ${size(s.debt.DeletedBytes)}`) : null)));
}

const description = (s) => [
  counted(s.documents, "document"), counted(s.tokens, "token"), size(s.bytes) + (s.bytes_per_token ? `, ${Math.round(s.bytes_per_token)} bytes a token` : ""),
  `profile ${s.profile}`, `${s.dim} dimensions`, s.model ? s.model.Name ?? s.model.name : "vectors only",
].join(" · ");

// The tiers of segments, smallest above: four of one become one of the next. What
// is in memory comes first.
function tiers(s) {
  const rows = [...(s.tiers ?? [])].sort((a, b) => a.Tier - b.Tier);
  const width = 420, step = 44, left = 96, high = 24;
  const across = Math.max(4, ...rows.map((t) => t.Segments));
  const w = (width - left) / across;
  const g = svg("svg", { viewBox: `0 0 ${width} ${step * rows.length + 30}`, width, role: "img", "aria-label": `${counted(s.segments, "segment")} in ${counted(rows.length, "tier")}` });
  const line = (y, label, detail) => g.append(svg("text", { x: 0, y: y + 11 }, label), svg("text", { x: 0, y: y + 24 }, detail));
  line(0, "in memory", counted(s.buffered, "document"));
  g.append(svg("rect", { class: s.buffered ? "buffer" : "slot", x: left + 2, y: 2, width: w - 6, height: high - 4, rx: 3 }));
  rows.forEach((t, i) => {
    const y = step * (i + 1);
    line(y, `tier ${t.Tier}: ${t.Segments}`, size(t.Bytes));
    for (let n = 0; n < Math.max(t.Segments, 4); n++) {
      g.append(svg("rect", { class: n < t.Segments ? "segment" : "slot", x: left + n * w + 2, y: y + 2, width: Math.max(1, w - 6), height: high - 4, rx: 3 },
        svg("title", {}, n < t.Segments ? `about ${size(t.Bytes / t.Segments)}, ${count(Math.round(t.Documents / t.Segments))} documents` : "room: four segments of a tier become one of the next")));
    }
  });
  return [g, h("p", { class: "caption" }, rows.length ? "Four segments of a tier become one of the next." : "No segment yet: everything is in memory and in the log.")];
}

function columns(s) {
  const all = (s.columns ?? []).filter((c) => c.Bytes);
  const sum = all.reduce((n, c) => n + c.Bytes, 0);
  if (!sum) return null;
  return [h("div", { class: "caption" }, `Where ${size(sum)} are`),
    h("div", { class: "stack" }, all.map((c, i) => h("i", { class: `s${Math.min(5, i)}`, "--width": `${100 * c.Bytes / sum}%`, title: `${columnName(c.Name)}: ${size(c.Bytes)}` }))),
    legend(all.map((c, i) => [`s${Math.min(5, i)}`, `${columnName(c.Name)} ${size(c.Bytes)}${c.Pinned >= c.Bytes ? ", in memory" : ""}`]))];
}

const columnName = (name) => /^[abc]$/.test(name) ? `plane ${name.toUpperCase()}` : name;

function recall(s) {
  if (!s.recall) return h("p", { class: "caption" }, s.cells ? "Recall was not measured yet." : "Every search is exact.");
  return h("table", {}, h("tr", {}, ["effort", "candidate recall@10", "recall@10"].map((c) => h("th", {}, c))),
    s.recall.efforts.map((e) => h("tr", {}, [e.effort, e.candidate_recall?.toFixed(3), e.recall?.toFixed(3)].map((c) => h("td", {}, c ?? "")))));
}

const live = (s) => s.live_recall?.length ? h("p", { class: "caption" }, "Live searches, repeated exactly: " + s.live_recall.map((l) =>
  `${l.recall == null ? "candidate recall" : "recall"}@${l.k} ${l.candidate_recall.toFixed(3)} of ${count(l.samples)}`).join(", ")) : null;

const indexes = (s) => s.attribute_indexes?.length ? h("p", { class: "caption" }, "Indexed attributes: " + s.attribute_indexes.map((x) => `${x.path}${x.indexed < x.segments ? ` (${x.indexed} of ${x.segments} segments)` : ""}`).join(", ")) : null;
