// The requests of the console, all of them. The paths are those of openapi.json.

export const paths = {
  ready: "/readyz",
  metrics: "/metrics",
  models: "/v1/models",
  collections: "/v1/collections",
  collection: "/v1/collections/{c}",
  stats: "/v1/collections/{c}/stats",
  compact: "/v1/collections/{c}/compact",
  documents: "/v1/collections/{c}/documents",
  document: "/v1/collections/{c}/documents/{id}",
  search: "/v1/collections/{c}/search",
};

const root = new URL("..", import.meta.url);

/** An answer that is no success, with the server's words. */
export class Failure extends Error {
  constructor(status, body) {
    super(body?.message ?? `the server answered ${status}`);
    this.status = status;
    this.kind = body?.error_type ?? "";
  }
}

// What is called for a key when the server wants one; it resolves to a new one.
let askForKey = async () => "";
let asked = null; // while somebody is being asked
export function onKeyNeeded(f) { askForKey = f; }

const key = {
  get: () => sessionStorage.getItem("colbertdb-key") ?? "",
  set: (v) => sessionStorage.setItem("colbertdb-key", v),
};

function address(name, names = {}, query = {}) {
  const path = paths[name].replace(/\{(\w+)\}/g, (_, n) => encodeURIComponent(names[n]));
  const url = new URL(path.slice(1), root);
  for (const [k, v] of Object.entries(query)) if (v !== "" && v != null) url.searchParams.set(k, v);
  return url;
}

async function send(method, url, { body, type = "application/json" } = {}) {
  for (;;) {
    const headers = {}, used = key.get();
    if (body !== undefined) headers["Content-Type"] = type;
    if (used) headers.Authorization = `Bearer ${used}`;
    const resp = await fetch(url, { method, headers, body, cache: "no-store", redirect: "error" });
    if (resp.ok) return resp;
    const failure = new Failure(resp.status, await resp.json().catch(() => null));
    if (resp.status !== 401) throw failure;
    if (key.get() !== used) continue; // another request was given one meanwhile
    const given = await (asked ??= askForKey().finally(() => { asked = null; }));
    if (!given) throw failure;
    key.set(given);
  }
}

const json = async (...args) => {
  const resp = await send(...args);
  return resp.status === 204 ? null : resp.json();
};

export const ready = () => json("GET", address("ready"));
export const metrics = async () => (await send("GET", address("metrics"))).text();
export const models = () => json("GET", address("models"));
export const collections = () => json("GET", address("collections"));
export const stats = (c) => json("GET", address("stats", { c }));
export const create = (c, config) => json("PUT", address("collection", { c }), { body: JSON.stringify(config) });
export const compact = (c) => json("POST", address("compact", { c }));
export const search = (c, body) => json("POST", address("search", { c }), { body: JSON.stringify(body) });
export const list = (c, query) => json("GET", address("documents", { c }, query));
export const remove = (c, id) => json("DELETE", address("document", { c, id }));

/** Stores documents, a line of JSON each, and tells of every line of progress. */
export async function load(c, lines, onProgress) {
  const resp = await send("POST", address("documents", { c }, { on_error: "skip" }), { body: lines, type: "application/x-ndjson" });
  const reader = resp.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", last = null;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const line of parts.filter(Boolean)) onProgress(last = JSON.parse(line));
  }
  if (!last?.done) throw new Error(last?.error?.message ?? "the load was cut off; it can be repeated as it is");
  return last;
}
