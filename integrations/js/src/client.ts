import { InputError } from "./errors.js";
import { HTTP, escape, type Call, type CallOptions, type ClientOptions } from "./http.js";
import { Load, type LoadOptions } from "./load.js";
import type { components } from "./openapi.js";
import type {
  CollectionConfig, CollectionInfo, CollectionStats, Deleted, Document, Encoded, Filter, Indexes, Model, NewDocument, Page, Progress, Purged,
  Query, Ranked, Search, SearchOptions, SearchResult, Upserted,
} from "./types.js";
import { fromBase64, isVectors, vectorsOf, wire } from "./vectors.js";

type Schemas = components["schemas"];

/** A write. */
export interface WriteOptions extends CallOptions {
  /** Makes a repetition of the same write, also by another process, do nothing. Default: a
   * new one, so that the write is sent again when its answer was lost. */
  idempotencyKey?: string;
}

/** Which documents to read. */
export interface PageOptions extends CallOptions {
  cursor?: string | undefined;
  limit?: number;
  filter?: Filter;
  vectors?: boolean;
  include?: ("text" | "attributes")[];
}

/** The most searches that a server takes in one request, by default. */
const BATCH = 256;

/** A server. */
export class Client {
  readonly url: string;
  /** @internal */
  readonly http: HTTP;

  constructor(url = "http://127.0.0.1:8080", options: ClientOptions = {}) {
    this.http = new HTTP(url, options);
    this.url = this.http.url;
  }

  /** Resolves when the server takes requests, and rejects where it does not. */
  async ready(o: CallOptions = {}): Promise<void> {
    await this.http.send({ method: "GET", path: "/readyz", again: true, ...o });
  }

  /** Every collection that the key may see. */
  async collections(o: CallOptions = {}): Promise<CollectionInfo[]> {
    return (await this.http.send<Schemas["Collections"]>({ method: "GET", path: "/v1/collections", again: true, ...o })).collections;
  }

  /** Creates a collection, or opens the one of that name when its configuration is equal.
   * Without `model` and `dim` it has the server's default model; with `dim` alone it takes
   * vectors. */
  async createCollection(name: string, config: CollectionConfig = {}, o: CallOptions = {}): Promise<Collection> {
    await this.http.send({ method: "PUT", path: `/v1/collections/${escape(name)}`, json: config, again: true, ...o });
    return this.collection(name);
  }

  /** A collection by its name or an alias. Asks the server nothing yet. */
  collection(name: string): Collection {
    return new Collection(this, name);
  }

  /** Removes a collection with its documents. */
  async dropCollection(name: string, o: CallOptions = {}): Promise<void> {
    await this.http.send({ method: "DELETE", path: `/v1/collections/${escape(name)}`, ...o });
  }

  /** The collection that each alias leads to. */
  async aliases(o: CallOptions = {}): Promise<Record<string, string>> {
    const told = await this.http.send<Schemas["Aliases"]>({ method: "GET", path: "/v1/aliases", again: true, ...o });
    return Object.fromEntries(told.aliases.map((a) => [a.name, a.collection]));
  }

  /** Makes a name lead to a collection. */
  async setAlias(name: string, collection: string, o: CallOptions = {}): Promise<void> {
    const json: Schemas["SetAlias"] = { collection };
    await this.http.send({ method: "PUT", path: `/v1/aliases/${escape(name)}`, json, again: true, ...o });
  }

  /** Removes an alias; the collection stays. */
  async dropAlias(name: string, o: CallOptions = {}): Promise<void> {
    await this.http.send({ method: "DELETE", path: `/v1/aliases/${escape(name)}`, ...o });
  }

  /** The server's models. */
  async models(o: CallOptions = {}): Promise<Model[]> {
    return (await this.http.send<Schemas["Models"]>({ method: "GET", path: "/v1/models", again: true, ...o })).data;
  }

  /** Token vectors of queries. */
  encodeQueries(texts: string[], o: CallOptions & { model?: string } = {}): Promise<Encoded> {
    return this.encode(texts, "query", o);
  }

  /** Token vectors of documents, which are encoded on a side of their own. */
  encodeDocuments(texts: string[], o: CallOptions & { model?: string } = {}): Promise<Encoded> {
    return this.encode(texts, "document", o);
  }

  private async encode(texts: string[], side: "query" | "document", { model, ...o }: CallOptions & { model?: string }): Promise<Encoded> {
    const json: Schemas["EmbedRequest"] = { input: texts, input_type: side, embedding_type: "base64", ...(model ? { model } : {}) };
    const told = await this.http.send<Schemas["MultiVectors"]>({ method: "POST", path: "/v1/multi-vector", json, again: true, ...o });
    const data = [...told.data].sort((a, b) => a.index - b.index);
    return {
      vectors: data.map((d) => fromBase64(d.embeddings as string[])),
      weights: data.map((d) => d.weights),
      model: told.model,
      tokens: told.usage.total_tokens,
    };
  }

  /** Documents that are stored nowhere, best first. */
  async rerank(query: string, documents: string[], { topN, model, ...o }: CallOptions & { topN?: number; model?: string } = {}): Promise<Ranked[]> {
    const json: Schemas["RerankRequest"] = {
      query,
      documents,
      return_documents: false,
      ...(topN === undefined ? {} : { top_n: topN }),
      ...(model ? { model } : {}),
    };
    const told = await this.http.send<Schemas["Reranked"]>({ method: "POST", path: "/v1/rerank", json, again: true, ...o });
    return told.results.map((r) => ({ index: r.index, score: r.relevance_score, document: documents[r.index] ?? "" }));
  }
}

/** A collection of a server. */
export class Collection {
  constructor(
    readonly client: Client,
    readonly name: string,
  ) {}

  private send<T>(method: Call["method"], rest: string, call: Omit<Call, "method" | "path">): Promise<T> {
    return this.client.http.send<T>({ method, path: `/v1/collections/${escape(this.name)}${rest}`, ...call });
  }

  /** What the server tells of it. */
  info(o: CallOptions = {}): Promise<CollectionInfo> {
    return this.send("GET", "", { again: true, ...o });
  }

  /** Sizes, columns, debts and indexes. */
  stats(o: CallOptions = {}): Promise<CollectionStats> {
    return this.send("GET", "/stats", { again: true, ...o });
  }

  /** Stores up to 1,000 documents in one step: on disk and seen by every later search when
   * it resolves. */
  upsert(documents: NewDocument[], { idempotencyKey, ...o }: WriteOptions = {}): Promise<Upserted> {
    const json: Schemas["Upsert"] = { documents: documents.map(document) };
    return this.send("POST", "/documents", { json, key: idempotencyKey ?? crypto.randomUUID(), again: true, ...o });
  }

  /** Stores any number of documents, read as they are sent. It is not one step: what was
   * stored before a LoadError stays, and the load can be repeated as a whole. */
  load(documents: Iterable<NewDocument> | AsyncIterable<NewDocument>, o: LoadOptions = {}): Promise<Progress> {
    return new Load(this.client.http, `/v1/collections/${escape(this.name)}/documents`, o).run(documents, document);
  }

  /** A document; rejects with not_found where there is none. */
  async get(id: string, { vectors, ...o }: CallOptions & { vectors?: boolean } = {}): Promise<Document> {
    if (["", ".", ".."].includes(id)) throw new InputError(`the id ${JSON.stringify(id)} cannot stand in a URL: find the document by page or search`);
    const told = await this.send<Schemas["Document"]>("GET", `/documents/${escape(id)}${vectors ? "?vectors=true" : ""}`, { again: true, ...o });
    return read(told);
  }

  /** Removes documents, by ids or by a filter, in one step. */
  delete(which: string[] | { filter: Filter }, { idempotencyKey, ...o }: WriteOptions = {}): Promise<Deleted> {
    const json: Schemas["Delete"] = Array.isArray(which) ? { ids: which } : which;
    return this.send("POST", "/documents:delete", { json, key: idempotencyKey ?? crypto.randomUUID(), again: true, ...o });
  }

  /** Erases documents from every file of the server's store. */
  purge(ids: string[], o: CallOptions = {}): Promise<Purged> {
    return this.send("POST", "/documents:purge", { json: { ids }, ...o });
  }

  /** Documents some at a time. A page may be shorter than `limit`. */
  async page({ cursor, limit, filter, vectors, include, ...o }: PageOptions = {}): Promise<Page> {
    const q = new URLSearchParams();
    if (cursor) q.set("cursor", cursor);
    if (limit !== undefined) q.set("limit", String(limit));
    if (filter !== undefined) q.set("filter", typeof filter === "string" ? filter : JSON.stringify(filter));
    if (vectors) q.set("vectors", "true");
    if (include) q.set("include", include.join(","));
    const told = await this.send<Schemas["Page"]>("GET", `/documents?${q}`, { again: true, ...o });
    return { ...told, documents: told.documents.map(read) };
  }

  /** Every document, page by page: each page as it is at its own moment. */
  async *scroll(o: Omit<PageOptions, "cursor"> = {}): AsyncGenerator<Document, void, undefined> {
    for (let cursor: string | undefined; ; ) {
      const p = await this.page({ ...o, cursor });
      yield* p.documents;
      if (!(cursor = p.next_cursor)) return;
    }
  }

  /** The documents nearest to a text, to token vectors, or to a stored document. */
  search(query: Query, { signal, ...options }: SearchOptions & CallOptions = {}): Promise<SearchResult> {
    return this.send("POST", "/search", { json: searchBody({ query, ...options }), again: true, signal });
  }

  /** Several searches, in few requests. Options are of all of them; a search has its own
   * besides. */
  async searchBatch(searches: (Query | Search)[], { signal, ...options }: SearchOptions & CallOptions = {}): Promise<SearchResult[]> {
    const bodies = searches.map((s) => searchBody({ ...options, ...(isSearch(s) ? s : { query: s }) }));
    const out: SearchResult[] = [];
    for (let i = 0; i < bodies.length; i += BATCH) {
      const json: Schemas["SearchBatch"] = { searches: bodies.slice(i, i + BATCH) };
      out.push(...(await this.send<Schemas["SearchBatchResult"]>("POST", "/search:batch", { json, again: true, signal })).results);
    }
    return out;
  }

  /** Declares indexes of attributes, or of text; resolves when every segment has them. */
  index(what: Schemas["Paths"], o: CallOptions = {}): Promise<Indexes> {
    return this.send("POST", "/indexes", { json: what, again: true, ...o });
  }

  /** Removes indexes. */
  dropIndex(what: Schemas["Paths"], o: CallOptions = {}): Promise<Indexes> {
    return this.send("DELETE", "/indexes", { json: what, ...o });
  }

  /** Merges the collection's segments into as few as the limits allow. */
  compact(o: CallOptions = {}): Promise<CollectionInfo> {
    return this.send("POST", "/compact", o);
  }
}

/** A document as it is sent. */
function document({ vectors, ...rest }: NewDocument): Schemas["NewDocument"] {
  if (typeof rest.id !== "string" || rest.id === "") throw new InputError(`document ${JSON.stringify(rest.id)}: the id must be a string that is not empty`);
  return vectors === undefined ? rest : { ...rest, ...wire(vectors, `document ${JSON.stringify(rest.id)}`) };
}

/** A document as it came. */
function read({ vectors, ...rest }: Schemas["Document"]): Document {
  return vectors === undefined ? rest : { ...rest, vectors: vectorsOf(vectors) };
}

function isSearch(s: Query | Search): s is Search {
  return typeof s === "object" && !isVectors(s) && "query" in s;
}

/** A search as it is sent. */
function searchBody({ query, ...options }: Search): Schemas["Search"] {
  const rest = options as Omit<Schemas["Search"], "text"> & { text?: string };
  if (typeof query === "string") {
    if (rest.text !== undefined) throw new InputError("the query is a text, and text is given besides");
    return { ...rest, text: query };
  }
  return isVectors(query) ? { ...rest, ...wire(query, "query") } : { ...rest, document_id: query.document_id };
}
