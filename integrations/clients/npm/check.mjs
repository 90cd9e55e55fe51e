// Reranks with two clients from npm against the server at COLBERTDB_URL, and prints
// what they found as one JSON object. The test compares it.
import { CohereClient, CohereClientV2 } from "cohere-ai";
import { CohereRerank } from "@langchain/cohere";
import { Document } from "@langchain/core/documents";

const { url, key, query, documents } = JSON.parse(process.argv[2]);
const out = {};

const v2 = await new CohereClientV2({ token: key, environment: url }).rerank({ model: "rerank-v3.5", query, documents, topN: 2 });
out.v2 = v2.results.map((r) => [r.index, r.relevanceScore]);

const client = new CohereClient({ token: key, environment: url });
const v1 = await client.rerank({ query, documents: documents.map((text) => ({ text })), topN: 2, returnDocuments: true });
out.v1 = v1.results.map((r) => [r.index, r.relevanceScore]);
out.texts = v1.results.map((r) => r.document.text);

const langchain = new CohereRerank({ client, model: "rerank-english-v3.0", topN: 2 });
const ranked = await langchain.compressDocuments(documents.map((pageContent) => new Document({ pageContent })), query);
out.langchain = ranked.map((d) => d.pageContent);

try {
  await new CohereClientV2({ token: "wrong", environment: url, maxRetries: 0 }).rerank({ model: "m", query, documents });
} catch (e) {
  out.refused = e.statusCode;
}
console.log(JSON.stringify(out));
