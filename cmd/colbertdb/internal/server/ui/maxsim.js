// MaxSim, seen: the score is a sum over the query's tokens, each of which counts by
// the document token that is most similar to it.

import { h, pieces, roving } from "./dom.js";

/** The view of one hit, whose explain lists the matches. */
export function maxsim(hit) {
  const matches = hit.explain ?? [];
  const worth = matches.map((m) => m.similarity * m.weight);
  const most = Math.max(...worth, 1e-9);

  // The tokens of the passage that were matched, with what they add to the score.
  const heat = new Map(); // by document token
  matches.forEach((m, i) => {
    const t = heat.get(m.document_token) ?? { start: m.start ?? 0, end: m.end ?? 0, sum: 0, by: [] };
    t.sum += worth[i];
    t.by.push(i);
    heat.set(m.document_token, t);
  });
  const hottest = Math.max(...[...heat.values()].map((t) => t.sum), 1e-9);

  const inPassage = new Map(); // element by document token
  const passage = h("p", { class: "passage" }, pieces(hit.text ?? "", [...heat].map(([token, t]) => ({ ...t, token }))).map((p) => {
    if (!p.span) return p.text;
    const e = h("span", {
      class: "token", "--strength": `${Math.round(8 + 92 * Math.max(0, p.span.sum) / hottest)}%`,
      title: `${p.span.sum.toFixed(3)} by ${p.span.by.map((i) => matches[i].query_token ?? `query token ${i}`).join(", ")}`,
    }, p.text);
    inPassage.set(p.span.token, e);
    return e;
  }));

  const rows = matches.map((m, i) => {
    const text = matched(hit.text, m);
    return h("button", { type: "button", "aria-label": `${m.query_token ?? `token ${i}`} matched ${text}, adds ${worth[i].toFixed(3)}` },
      h("span", { class: "name" }, m.query_token ?? `token ${i}`),
      h("span", { class: "bar" }, h("i", { "--width": `${Math.max(0, 100 * worth[i] / most)}%` }), h("span", { class: "found" }, text)),
      h("span", { class: "share", title: `similarity ${m.similarity.toFixed(3)} × weight ${m.weight.toFixed(3)}` }, worth[i].toFixed(3)));
  });
  const light = (token) => {
    matches.forEach((m, i) => rows[i].classList.toggle("lit", m.document_token === token));
    for (const [t, e] of inPassage) e.classList.toggle("lit", t === token);
  };
  matches.forEach((m, i) => {
    for (const ev of ["focus", "pointerenter", "click"]) rows[i].addEventListener(ev, () => light(m.document_token));
  });
  for (const [token, e] of inPassage) for (const ev of ["pointerenter", "click"]) e.addEventListener(ev, () => light(token));
  roving(rows);

  return h("div", { class: "maxsim" },
    h("div", {}, h("h3", {}, "Query token → its match → what it adds"), h("div", { class: "tokens" }, rows)),
    h("div", {}, h("h3", {}, "Where in the passage"),
      hit.text ? passage : h("p", { class: "status" }, "The document was stored without a text."),
      h("p", { class: "scale" }, "adds little", h("i"), `most: ${hottest.toFixed(2)} of ${hit.score.toFixed(2)}`)));
}

function matched(text, m) {
  const found = text && m.end ? pieces(text, [{ start: m.start ?? 0, end: m.end }]).find((p) => p.span) : null;
  return found ? found.text : `token ${m.document_token}, no word`;
}
