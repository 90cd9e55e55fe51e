import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { AnswerError, Client, ColbertDBError, InputError, KINDS, LoadError, ServerError, TransportError, type Filter, type NewDocument } from "../src/index.js";
import { Server, command, maxSim, passages, random, repository } from "./server.js";

/** A check that an error of the server is of a kind. */
const kind = (want: string) => (e: unknown) => {
  assert(e instanceof ServerError, String(e));
  assert.equal(e.kind, want, e.message);
  assert(e.status >= 400 && e.requestId && e.message);
  return true;
};

/** Scores that are as good as equal. */
function close(got: number[], want: number[], by = 2e-3): void {
  assert.equal(got.length, want.length);
  got.forEach((x, i) => assert(Math.abs(x - want[i]!) <= by, `${got} and ${want}`));
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const item of items) out.push(item);
  return out;
}

describe("against a server", { skip: command ? false : "COLBERTDB_BIN names no command" }, () => {
  let server: Server, db: Client;
  before(async () => {
    server = await Server.start();
    db = new Client(server.url + "/");
    await db.ready();
  });
  after(() => server.stop());

  test("vectors, there and back", async () => {
    const vectors = random(7);
    const documents = new Map(Array.from({ length: 300 }, (_, i) => [`d${i}`, vectors(1 + (i % 17), 64)]));
    const c = await db.createCollection("vectors", { dim: 64, retain_raw: true });
    const { seq } = await c.upsert([...documents].map(([id, vectors]) => ({ id, vectors })));
    const one = (await c.get("d20", { vectors: true })).vectors!;
    assert.deepEqual(one.shape, [4, 64]);
    close([...one.data], documents.get("d20")!.flat(), 1e-3);
    const queries = Array.from({ length: 260 }, () => vectors(6, 64)); // more than one request
    const results = await c.searchBatch(queries, { k: 5, exact: true, min_seq: seq });
    assert.equal(results.length, 260);
    for (const [i, r] of results.slice(0, 20).entries()) {
      const want = maxSim(queries[i]!, documents).slice(0, 5);
      close(r.hits.map((h) => h.score), want.map(([, s]) => s));
      assert(r.exhaustive && r.applied_seq >= seq);
    }
    const same = await c.search({ data: Float32Array.from(queries[0]!.flat()), shape: [6, 64] }, { k: 5, exact: true });
    assert.deepEqual(same.hits, results[0]!.hits);
    assert.deepEqual((await all(c.scroll({ limit: 70 }))).map((d) => d.id).sort(), [...documents.keys()].sort());
    assert((await all(c.scroll({ limit: 90, vectors: true }))).every((d) => d.vectors!.shape[0] === documents.get(d.id)!.length));
  });

  test("text", async () => {
    const some = await passages();
    const c = await db.createCollection("text");
    await c.upsert(some.map(({ id, text, section }, n) => ({ id, text, attributes: { section, n } })));
    const last = some.at(-1)!;
    const r = await c.search(last.text, { k: 3, filter: { and: [{ eq: { section: last.section } }, { gte: { n: 5 } }] }, include: ["text", "highlights"] });
    assert.equal(r.hits[0]!.id, last.id);
    assert.equal(r.hits[0]!.text, last.text);
    assert(r.hits[0]!.highlights!.length > 0);
    const forms: Filter[] = ['section = "2"', { eq: { section: "2" } }];
    const want = some.filter((p) => p.section === "2").map((p) => p.id).sort();
    for (const filter of forms) {
      assert.deepEqual((await c.search("patent", { filter, k: 1000 })).hits.map((h) => h.id).sort(), want);
      assert.deepEqual((await all(c.scroll({ filter, limit: 2 }))).map((d) => d.id).sort(), want);
    }
    assert(!(await c.search({ document_id: last.id })).hits.some((h) => h.id === last.id));
    const mixed = await c.searchBatch(["patent", { query: { document_id: last.id }, k: 2 }, { query: "trademarks", mode: "bm25" }], { k: 4 });
    assert.deepEqual(mixed.slice(0, 2).map((m) => m.hits.length), [4, 2]);
    assert.match(mixed[2]!.hits[0]!.text!, /rademark/);
    // Vectors with their weights search as the text does.
    const q = await db.encodeQueries(["patent license"]);
    const [byText, byVectors] = [await c.search("patent license", { exact: true }), await c.search(q.vectors[0]!, { weights: q.weights[0]!, exact: true })];
    close(byVectors.hits.map((h) => h.score), byText.hits.map((h) => h.score));
    const documents = await db.encodeDocuments(some.map((p) => p.text));
    assert.equal(documents.vectors.length, some.length);
    assert.equal(documents.tokens, documents.vectors.reduce((sum, v) => sum + v.shape[0], 0));
    assert.equal(documents.model, (await db.models())[0]!.id);
    const ranked = await db.rerank(some[7]!.text, some.map((p) => p.text), { topN: 3 });
    assert.deepEqual([ranked.length, ranked[0]!.index, ranked[0]!.document], [3, 7, some[7]!.text]);
  });

  test("writes", async () => {
    const c = await db.createCollection("writes", { dim: 8 });
    const doc = (id: string, tokens = 1): NewDocument => ({ id, vectors: random(1)(tokens, 8), attributes: { tokens } });
    const first = await c.upsert([doc("a/b.é"), doc("..x", 3)], { idempotencyKey: "k1" });
    assert.equal(first.upserted, 2);
    await c.upsert([doc("a/b.é", 2)]);
    assert.deepEqual(await c.upsert([doc("a/b.é"), doc("..x", 3)], { idempotencyKey: "k1" }), first);
    assert.equal((await c.get("a/b.é")).tokens, 2);
    assert.equal((await c.get("..x")).tokens, 3);
    await assert.rejects(c.upsert([doc("x")], { idempotencyKey: "k1" }), kind("idempotency_conflict"));
    assert.equal((await c.delete({ filter: "tokens = 3" })).deleted, 1);
    assert.equal((await c.delete(["a/b.é", "none"])).deleted, 1);
    await c.upsert([doc("y")]);
    assert.equal((await c.purge(["y"])).deleted, 1);
    assert.equal((await c.info()).documents, 0);
    await db.setAlias("another", "writes");
    assert.equal((await db.aliases())["another"], "writes");
    await db.collection("another").upsert([doc("z")]);
    assert.equal((await c.index({ paths: ["tokens"] })).indexes[0]!.path, "tokens");
    assert.deepEqual((await c.dropIndex({ paths: ["tokens"] })).indexes, []);
    await c.compact();
    assert.equal((await c.stats()).documents, 1);
    await db.dropAlias("another");
    await db.dropCollection("writes");
    assert(!(await db.collections()).some((i) => i.name === "writes"));
  });

  test("errors", async () => {
    const c = await db.createCollection("errors", { dim: 8 });
    await assert.rejects(db.collection("none").info(), kind("collection_not_found"));
    await assert.rejects(c.get("none"), kind("not_found"));
    await assert.rejects(db.createCollection("errors", { dim: 16 }), kind("collection_exists"));
    await assert.rejects(c.upsert([{ id: "a", vectors: [[1, 2]] }]), kind("dimension"));
    await assert.rejects(c.upsert([{ id: "a", text: "t" }]), kind("no_model"));
    await assert.rejects(c.search([new Float32Array(8).fill(1)], { filter: "a =" }), (e) => e instanceof ServerError && e.status >= 400);
    await assert.rejects(async () => c.upsert([{ id: "", text: "t" }]), InputError);
    await assert.rejects(c.get(".."), InputError); // URLs take it for the folder above, however it is escaped
    await assert.rejects(async () => c.search([]), InputError);
    await assert.rejects(async () => c.search([[1], [1, 2]]), InputError);
    await assert.rejects(new Client("http://127.0.0.1:1", { retries: 0 }).ready(), TransportError);
    await assert.rejects(c.info({ signal: AbortSignal.abort() }), { name: "AbortError" });
  });

  test("keys", async () => {
    const dir = mkdtempSync(join(tmpdir(), "colbertdb-js-"));
    const [key, line] = execFileSync(command, ["key", "reader", "--scope", "ro"], { encoding: "utf8" }).split("\n");
    writeFileSync(join(dir, "keys"), line + "\n");
    const closed = await Server.start("--model", "fake:32", "--keys", join(dir, "keys"));
    try {
      await assert.rejects(new Client(closed.url).collections(), kind("unauthorized"));
      const reader = new Client(closed.url, { key: key! });
      assert.deepEqual(await reader.collections(), []);
      await assert.rejects(reader.createCollection("c"), kind("forbidden"));
    } finally {
      await closed.stop();
      rmSync(dir, { recursive: true });
    }
  });

  test("a load", async () => {
    const c = await db.createCollection("load", { dim: 8 });
    const v = random(2);
    const seen: number[] = [];
    async function* given(): AsyncGenerator<NewDocument> {
      for (let i = 0; i < 600; i++) yield { id: `d${i}`, vectors: v(2, 8) };
    }
    const got = await c.load(given(), { onProgress: (p) => seen.push(p.stored) });
    assert.deepEqual([got.stored, got.refused, (await c.info()).documents, seen], [600, 0, 600, [256, 512, 600]]);
    // What cannot be stored is told, or ends the load.
    const documents: NewDocument[] = Array.from({ length: 300 }, (_, i) => ({ id: `e${i}`, vectors: v(1, 8) }));
    documents[100] = { id: "e100", vectors: v(1, 16) };
    documents[280] = { id: "" };
    const refused: [number, string][] = [];
    assert.equal((await c.load(documents, { onRefused: (place, e) => refused.push([place, e.name]) })).stored, 298);
    assert.deepEqual(refused, [[280, "InputError"], [100, "ServerError"]].sort((a, b) => (a[0] as number) - (b[0] as number)));
    const other = await db.createCollection("load2", { dim: 8 });
    await assert.rejects(other.load(documents), (e) => e instanceof LoadError && e.document === 100 && e.stored === 100 && e.cause instanceof ServerError);
    assert.equal((await other.info()).documents, 100);
    await assert.rejects(db.collection("none").load(documents), (e) => e instanceof LoadError && kind("collection_not_found")(e.cause));
  });
});

/** A fetch that answers as it is told to. */
function script(...answers: (Response | Error)[]): { sent: Request[]; fetch: typeof fetch } {
  const sent: Request[] = [];
  return {
    sent,
    fetch: async (url, init) => {
      sent.push(new Request(url as string, init));
      const next = answers.shift();
      if (next instanceof Error || next === undefined) throw next ?? new Error("one too many");
      return next;
    },
  };
}

const refusal = (error_type: string, status: number, headers: Record<string, string> = {}) =>
  Response.json({ message: "m", error_type, code: status }, { status, headers });

test("a write is sent again with its key, one without is not", async () => {
  let s = script(new TypeError("fetch failed"), refusal("overloaded", 429, { "retry-after": "0" }), Response.json({ seq: 1, upserted: 1 }));
  const c = new Client("http://h", { retryWait: 1, fetch: s.fetch }).collection("c");
  assert.equal((await c.upsert([{ id: "a", text: "t" }])).seq, 1);
  assert.equal(s.sent.length, 3);
  const keys = new Set(s.sent.map((r) => r.headers.get("idempotency-key")));
  assert(keys.size === 1 && !keys.has(null));
  s = script(new TypeError("fetch failed"));
  await assert.rejects(new Client("http://h", { retryWait: 1, fetch: s.fetch }).dropCollection("c"), TransportError);
  s = script(refusal("internal", 500));
  await assert.rejects(new Client("http://h", { retryWait: 1, fetch: s.fetch }).ready(), (e) => e instanceof ServerError && e.kind === "internal");
  s = script(...Array.from({ length: 5 }, () => refusal("busy", 429)));
  await assert.rejects(new Client("http://h", { retryWait: 1, fetch: s.fetch }).dropCollection("c"), (e) => e instanceof ServerError && e.untouched);
  assert.equal(s.sent.length, 5);
  s = script(new Response("<html>"));
  await assert.rejects(new Client("http://h", { fetch: s.fetch }).ready(), AnswerError);
});

test("what waits to be sent again can be ended", async () => {
  const s = script(refusal("busy", 429, { "retry-after": "3600" }));
  const gone = new AbortController();
  const call = new Client("http://h", { fetch: s.fetch }).ready({ signal: gone.signal });
  setTimeout(() => gone.abort(), 5);
  await assert.rejects(call, { name: "AbortError" });
});

test("a load that was cut off says so", async () => {
  const s = script(new Response('{"line":1,"upserted":1,"failed":0,"seq":1}\n'));
  await assert.rejects(new Client("http://h", { fetch: s.fetch }).collection("c").load([{ id: "a" }, { id: "b" }]), (e) => {
    assert(e instanceof LoadError && e.cause instanceof AnswerError && e.stored === 1 && e instanceof ColbertDBError && e.name === "LoadError");
    return true;
  });
});

test("the words of errors are the documentation's", () => {
  const page = readFileSync(join(repository, "docs/api.md"), "utf8");
  const section = page.slice(page.indexOf("| status |"), page.indexOf("## For clients of other servers"));
  const words = [...section.matchAll(/^\| [\d, ]+ \|(.*)\|$/gm)].flatMap((row) => [...row[1]!.matchAll(/`([a-z_]+)`/g)].map((m) => m[1]!));
  assert(words.length > 30);
  // Others are newer than this package, or too rare to be documented.
  assert(KINDS.filter((w) => words.includes(w)).length > 30);
});
