// Latency: of the searches of this page, by stage, and of the server as /metrics
// tells it.

import { $, count, h, svg, time } from "./dom.js";

const kept = 40;
const searches = []; // of this page, oldest first
const stageNames = []; // in the order in which they were met
const stageClass = (name) => {
  if (!stageNames.includes(name)) stageNames.push(name);
  return `s${Math.min(5, stageNames.indexOf(name))}`;
};

/** Adds a search to the chart. */
export function showSearches(found, roundTrip) {
  searches.push({ took: found.took, us: found.took_us, roundTrip });
  if (searches.length > kept) searches.shift();
  const width = 480, height = 72, top = 14, bar = width / kept;
  const most = Math.max(...searches.map((s) => s.us), 1);
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height + top}`, width, role: "img", "aria-label": `The last search took ${time(found.took_us)}; the longest ${time(most)}` },
    svg("line", { class: "grid-line", x1: 0, x2: width, y1: top, y2: top }), svg("text", { x: 0, y: top - 4 }, time(most)));
  searches.forEach((s, i) => {
    let y = height + top;
    const x = i * bar;
    const stages = [...s.took, { stage: "other", us: Math.max(0, s.us - s.took.reduce((sum, t) => sum + t.us, 0)) }];
    for (const t of stages) {
      const high = height * t.us / most;
      y -= high;
      chart.append(svg("rect", { class: t.stage === "other" ? "s5" : stageClass(t.stage), x: x + 1, y, width: bar - 2, height: high },
        svg("title", {}, `${t.stage}: ${time(t.us)} of ${time(s.us)}; ${time(s.roundTrip)} until the answer was here`)));
    }
  });
  const last = Object.fromEntries(found.took.map((t) => [t.stage, t.us]));
  $("latency-chart").replaceChildren(chart, legend(stageNames.map((name) => [stageClass(name), last[name] == null ? name : `${name} ${time(last[name])}`])));
  $("latency").hidden = false;
}

export const legend = (entries) => h("div", { class: "legend" }, entries.map(([c, text]) => h("span", {}, h("i", { class: c }), text)));

/** Draws the histogram of the server's searches and a table of its routes, from the text of /metrics. */
export function showServer(text) {
  const all = histograms(text);
  const out = [];
  const s = all.get("colbertdb_search_seconds");
  if (s?.count) {
    out.push(h("p", { class: "caption" }, `${count(s.count)} searches: half within ${time(quantile(s, .5))}, 99 of 100 within ${time(quantile(s, .99))}`), bars(s));
  }
  const rows = [...all].filter(([name, x]) => name.startsWith("colbertdb_search_stage_seconds") && x.count).map(([name, x]) => [label(name, "stage"), x]);
  if (rows.length) {
    out.push(h("table", {}, h("tr", {}, ["stage", "times", "half within", "99 % within", "mean"].map((c) => h("th", {}, c))),
      rows.map(([name, x]) => h("tr", {}, [name, count(x.count), time(quantile(x, .5)), time(quantile(x, .99)), time(1e6 * x.sum / x.count)].map((c) => h("td", {}, c))))));
  }
  if (!out.length) out.push(h("p", { class: "status" }, "No search yet."));
  $("server-latency").replaceChildren(...out);
}

function bars(x) {
  const used = x.buckets.map(([le, n], i) => ({ le, n: n - (i ? x.buckets[i - 1][1] : 0) }));
  const from = Math.max(0, used.findIndex((b) => b.n) - 1), to = used.findLastIndex((b) => b.n) + 1;
  const shown = used.slice(from, to + 1);
  const most = Math.max(...shown.map((b) => b.n)), width = 480, height = 60, w = Math.min(40, width / shown.length);
  const g = svg("svg", { viewBox: `0 0 ${width} ${height + 16}`, width, role: "img", "aria-label": "Histogram of the times of searches" });
  shown.forEach((b, i) => {
    const high = height * b.n / most;
    g.append(svg("rect", { class: "s0", x: i * w + 1, y: height - high, width: w - 2, height: high }, svg("title", {}, `${count(b.n)} within ${time(b.le * 1e6)}`)));
    if (i % Math.ceil(shown.length / 8) === 0) g.append(svg("text", { x: i * w, y: height + 13 }, Number.isFinite(b.le) ? time(b.le * 1e6) : "more"));
  });
  return g;
}

// Reads the histograms of the text form of Prometheus, by name and labels.
function histograms(text) {
  const out = new Map();
  for (const line of text.split("\n")) {
    const m = /^(\w+?)_(bucket|sum|count)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!m) continue;
    const labels = (m[3] ?? "").split(/,(?=\w+=)/).filter((l) => l && !l.startsWith("le=")).join(",");
    const name = labels ? `${m[1]}{${labels}}` : m[1];
    const x = out.get(name) ?? { buckets: [], sum: 0, count: 0 };
    if (m[2] === "bucket") x.buckets.push([Number(/le="([^"]*)"/.exec(m[3])[1].replace("+Inf", "Infinity")), Number(m[4])]);
    else x[m[2]] = Number(m[4]);
    out.set(name, x);
  }
  return out;
}

const label = (name, key) => new RegExp(`${key}="([^"]*)"`).exec(name)?.[1] ?? "";

// The upper bound of the bucket that a share of all lies within, in microseconds.
function quantile(x, share) {
  const b = x.buckets.find(([, n]) => n >= share * x.count);
  return 1e6 * (b && Number.isFinite(b[0]) ? b[0] : x.sum);
}
