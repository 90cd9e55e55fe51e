// What can go wrong. Every answer of the server that is no success is a ServerError with a
// stable word, its kind (docs/api.md):
//
//     try { await notes.get("cat"); }
//     catch (e) { if (!(e instanceof ServerError && e.kind === "not_found")) throw e; }

/** The words of the server. */
export const KINDS = [
  "bad_request", "slow_body", "unsupported_type", "unsupported_encoding",
  "unauthorized", "forbidden", "host", "cross_origin",
  "not_found", "collection_not_found", "model_not_found", "no_route",
  "collection_exists", "model_mismatch", "moved", "in_use", "bulk_open", "idempotency_conflict", "snapshot_exists", "too_old",
  "too_large", "answer_too_large",
  "invalid", "bad_search", "bad_filter", "bad_vectors", "bad_vector", "dimension", "no_vectors", "no_model", "no_text",
  "overloaded", "busy", "encoder_busy", "shutting_down", "read_only", "closed",
  "timeout", "not_visible", "disk_full", "internal", "corruption",
] as const;

export type Kind = (typeof KINDS)[number];

/** The base of every error of this package. */
export class ColbertDBError extends Error {
  constructor(message?: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** An argument that cannot be sent; nothing was sent. */
export class InputError extends ColbertDBError {}

/** No answer came: the server is not there, or the connection broke. A write may have been
 * made. */
export class TransportError extends ColbertDBError {}

/** An answer that is none of colbertdb's. */
export class AnswerError extends ColbertDBError {}

/** An answer that is no success. */
export class ServerError extends ColbertDBError {
  constructor(
    message: string,
    /** Of HTTP. */
    readonly status: number,
    /** The stable word; a later server may have others. */
    readonly kind: Kind | (string & {}),
    /** Names the request in the server's log. */
    readonly requestId?: string,
    /** Seconds after which the server asks to try again. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }

  /** The server has done nothing of the request: it can be sent again. */
  get untouched(): boolean {
    return ["overloaded", "busy", "encoder_busy", "shutting_down"].includes(this.kind);
  }
}

/** A load that ended before its end, at a document, counted from 0 among those given. What
 * came before it is stored, and the load can be repeated as a whole. */
export class LoadError extends ColbertDBError {
  constructor(
    readonly document: number,
    readonly stored: number,
    override readonly cause: ColbertDBError,
  ) {
    super(`document ${document}: ${cause.message}`, { cause });
  }
}

/** The error of an answer's body. */
export function errorOf(status: number, text: string, headers: Headers): ServerError {
  const after = Number(headers.get("retry-after") ?? NaN);
  const retryAfter = Number.isFinite(after) ? after : undefined;
  const id = headers.get("x-request-id") ?? undefined;
  try {
    const told = JSON.parse(text);
    if (typeof told.message === "string") return new ServerError(told.message, status, String(told.error_type ?? ""), id, retryAfter);
  } catch {
    // not the server's
  }
  return new ServerError(`HTTP ${status}: ${text.slice(0, 200)}`, status, "", id, retryAfter);
}
