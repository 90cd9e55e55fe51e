/**
 * Client of colbertdb, a multi-vector (ColBERT) database. It needs fetch, and nothing else.
 *
 * @module
 */
export { Client, Collection, type PageOptions, type WriteOptions } from "./client.js";
export * from "./errors.js";
export type { CallOptions, ClientOptions } from "./http.js";
export type { LoadOptions } from "./load.js";
export type * from "./types.js";
export type { Vectors, VectorsLike } from "./vectors.js";
