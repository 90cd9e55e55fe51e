import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Document } from "@langchain/core/documents";
import { StringOutputParser } from "@langchain/core/output_parsers";
import { RunnableLambda, RunnablePassthrough, RunnableSequence } from "@langchain/core/runnables";

import { Client, ServerError } from "../src/index.js";
import { ColbertDBRetriever } from "../src/langchain.js";
import { Server, command, passages } from "./server.js";

describe("LangChain.js", { skip: command ? false : "COLBERTDB_BIN names no command" }, () => {
  let server: Server, retriever: ColbertDBRetriever, some: Awaited<ReturnType<typeof passages>>;
  before(async () => {
    server = await Server.start();
    some = await passages();
    retriever = new ColbertDBRetriever({ collection: await new Client(server.url).createCollection("langchain"), k: 3 });
    const given = some.map(({ id, text, section }) => new Document({ id, pageContent: text, metadata: { section } }));
    assert.deepEqual(await retriever.addDocuments(given), some.map((p) => p.id));
  });
  after(() => server.stop());

  test("documents", async () => {
    const { text, section } = some[5]!;
    const { hits } = await retriever.collection.search(text, { k: 3 });
    const got = await retriever.invoke(text);
    assert.deepEqual(
      got.map((d) => [d.id, d.pageContent, d.metadata["score"], d.metadata["relevance_score"]]),
      hits.map((h) => [h.id, h.text, h.score, h.score_norm]),
    );
    assert.deepEqual([got[0]!.pageContent, got[0]!.metadata["section"]], [text, section]);
    const batch = await retriever.batch([text, "patents"]);
    assert.deepEqual(batch[0]!.map((d) => d.id), got.map((d) => d.id));
  });

  test("filters, thresholds and modes", async () => {
    const { collection } = retriever;
    const last = some.at(-1)!;
    const filtered = await new ColbertDBRetriever({ collection, filter: { eq: { section: last.section } } }).invoke(some[5]!.text);
    assert(filtered.length > 0 && filtered.every((d) => d.metadata["section"] === last.section));
    const [best] = await retriever.invoke(some[5]!.text);
    const above = await new ColbertDBRetriever({ collection, scoreThreshold: best!.metadata["relevance_score"] as number }).invoke(some[5]!.text);
    assert.deepEqual(above.map((d) => d.id), [best!.id]);
    const [word] = await new ColbertDBRetriever({ collection, searchOptions: { mode: "bm25" } }).invoke("trademarks");
    assert.match(word!.pageContent, /rademark/);
    assert.equal(word!.metadata["relevance_score"], word!.metadata["score"]);
    await assert.rejects(new ColbertDBRetriever({ collection, filter: "section =" }).invoke("x"), (e) => e instanceof ServerError && e.kind === "bad_filter");
  });

  test("ids are made where there are none", async () => {
    const collection = await new Client(server.url).createCollection("ids");
    const r = new ColbertDBRetriever({ collection, k: 1 });
    const ids = await r.addDocuments([new Document({ pageContent: "A lamp of brass." }), new Document({ pageContent: "A quiet harbour." })]);
    assert.equal(new Set(ids).size, 2);
    assert.equal((await r.invoke("lamp"))[0]!.id, ids[0]);
  });

  test("in a chain", async () => {
    const chain = RunnableSequence.from([
      { context: retriever.pipe((documents: Document[]) => documents[0]!.pageContent), question: new RunnablePassthrough<string>() },
      RunnableLambda.from(({ context, question }: { context: string; question: string }) => `${question} ${context}`),
      new StringOutputParser(),
    ]);
    assert.match(await chain.invoke("trademarks"), /rademark/);
  });
});
