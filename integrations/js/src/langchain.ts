/**
 * A retriever for LangChain.js.
 *
 * @module
 */
import type { CallbackManagerForRetrieverRun } from "@langchain/core/callbacks/manager";
import { Document } from "@langchain/core/documents";
import { BaseRetriever, type BaseRetrieverInput } from "@langchain/core/retrievers";

import type { Collection } from "./client.js";
import type { LoadOptions } from "./load.js";
import type { Filter, Hit, SearchOptions } from "./types.js";

export interface ColbertDBRetrieverInput extends BaseRetrieverInput {
  collection: Collection;
  /** How many documents. Default: 10. */
  k?: number;
  filter?: Filter;
  /** Leaves out documents of a lower `relevance_score`, by bm25 and hybrid of a lower score. */
  scoreThreshold?: number;
  /** Further options of a search, such as mode and effort. */
  searchOptions?: SearchOptions;
}

/** Finds documents of a collection by late interaction, or by another mode. Their `metadata`
 * are the attributes, and `score` and `relevance_score` besides: MaxSim, and the mean
 * similarity of the query's tokens. */
export class ColbertDBRetriever extends BaseRetriever<Record<string, unknown>> {
  static override lc_name(): string {
    return "ColbertDBRetriever";
  }

  lc_namespace = ["colbertdb", "retrievers"];

  readonly collection: Collection;
  private readonly options: SearchOptions;
  private readonly scoreThreshold: number;

  constructor({ collection, k = 10, filter, scoreThreshold = -Infinity, searchOptions = {}, ...fields }: ColbertDBRetrieverInput) {
    super(fields);
    this.collection = collection;
    this.options = { k, ...(filter === undefined ? {} : { filter }), ...searchOptions };
    this.scoreThreshold = scoreThreshold;
  }

  /** Stores LangChain's documents, however many, and returns their ids: their own, or new ones. */
  async addDocuments(documents: Document[], o: LoadOptions = {}): Promise<string[]> {
    const ids = documents.map((d) => d.id ?? crypto.randomUUID());
    await this.collection.load(
      documents.map((d, i) => ({ id: ids[i] as string, text: d.pageContent, attributes: d.metadata })),
      o,
    );
    return ids;
  }

  override async _getRelevantDocuments(query: string, _run?: CallbackManagerForRetrieverRun): Promise<Document<Record<string, unknown>>[]> {
    const words = this.options.mode === "bm25" || this.options.mode === "hybrid";
    const relevance = (h: Hit) => (words ? h.score : h.score_norm);
    const { hits } = await this.collection.search(query, this.options);
    return hits
      .filter((h) => relevance(h) >= this.scoreThreshold)
      .map(
        (h) =>
          new Document({ id: h.id, pageContent: h.text ?? "", metadata: { ...h.attributes, score: h.score, relevance_score: relevance(h) } }),
      );
  }
}
