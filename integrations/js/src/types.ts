// What is sent and what comes back. The types are those of the server's OpenAPI document,
// from which src/openapi.ts is generated: a field that the server does not have does not
// compile. Names are the server's, as docs/api.md has them.

import type { components } from "./openapi.js";
import type { Vectors, VectorsLike } from "./vectors.js";

type Schemas = components["schemas"];

/** Conditions on attributes: `year >= 2020 and lang = "en"`, or `{gte: {year: 2020}}`. */
export type Filter = string | Record<string, unknown>;

export type CollectionConfig = Schemas["CollectionConfig"];
export type CollectionInfo = Schemas["Collection"];
export type CollectionStats = Schemas["CollectionStats"];
export type Indexes = Schemas["Indexes"];
export type Upserted = Schemas["UpsertResult"];
export type Deleted = Schemas["DeleteResult"];
export type Purged = Schemas["PurgeResult"];
export type Hit = Schemas["Hit"];
export type SearchResult = Schemas["SearchResult"];
export type Model = Schemas["ModelObject"];

/** The fields of a request that carry vectors, which the client writes. */
type VectorFields = "vectors" | "vectors_f16_b64" | "vectors_f32_b64" | "vectors_npy_b64" | "shape";

/** A document to store: with text, token vectors or both. Text alone is encoded by the
 * collection's model. */
export type NewDocument = Omit<Schemas["NewDocument"], VectorFields | "id"> & { id: string; vectors?: VectorsLike };

/** A stored document; `vectors` where they were asked for. */
export type Document = Omit<Schemas["Document"], "vectors"> & { vectors?: Vectors };

/** Documents in the order of their last upsert; `next_cursor` is absent with the last page. */
export type Page = Omit<Schemas["Page"], "documents"> & { documents: Document[] };

/** How a search is made, beside its query. `text` besides vectors: for the modes that
 * need words. */
export type SearchOptions = Omit<Schemas["Search"], VectorFields | "filter" | "document_id"> & { filter?: Filter | undefined };

/** A query: a text, token vectors, or the id of a document to find others like it. */
export type Query = string | VectorsLike | { document_id: string };

/** A search of a batch. */
export type Search = SearchOptions & { query: Query };

/** Token vectors of texts. `weights` are those of a query's vectors, where the model weighs
 * them: a search for the vectors with these weights is one for the text. */
export interface Encoded {
  vectors: Vectors[];
  weights: (number[] | undefined)[];
  model: string;
  tokens: number;
}

/** A reranked document: `index` is its place among those given, `score` 0 to 1. */
export interface Ranked {
  index: number;
  score: number;
  document: string;
}

/** How far a load is: what is counted here is durable and searchable. */
export interface Progress {
  stored: number;
  refused: number;
  seq: number;
}
