// Sends requests, again where that is safe.

import { AnswerError, ColbertDBError, ServerError, TransportError, errorOf } from "./errors.js";

/** How a server is used. */
export interface ClientOptions {
  /** One of `colbertdb key`. */
  key?: string;
  /** How often a request is sent again that the server did not begin because it was busy or
   * shutting down, and one whose connection broke, where it changes nothing or carries an
   * idempotency key. Default: 4. */
  retries?: number;
  /** Milliseconds before the first repetition, twice as long each time, and no sooner than
   * the server asks. Default: 100. */
  retryWait?: number;
  /** Sends the requests. Default: the global fetch. */
  fetch?: typeof fetch;
}

/** Options of every call. */
export interface CallOptions {
  /** Ends the call, also while it waits to be sent again. */
  signal?: AbortSignal | undefined;
}

/** One request. */
export interface Call extends CallOptions {
  method: "GET" | "POST" | "PUT" | "DELETE";
  path: string;
  json?: unknown;
  lines?: string;
  key?: string | undefined;
  /** May be sent twice: it changes nothing, or carries an idempotency key. */
  again?: boolean;
}

export class HTTP {
  readonly url: string;

  constructor(
    url: string,
    private readonly options: ClientOptions,
  ) {
    this.url = url.replace(/\/+$/, "");
  }

  /** The answer's JSON, undefined where it has none. */
  async send<T>(call: Call): Promise<T> {
    const text = await this.text(call);
    if (text === "") return undefined as T;
    try {
      return JSON.parse(text) as T;
    } catch {
      throw new AnswerError(`the server's answer cannot be read: ${text.slice(0, 200)}`);
    }
  }

  /** The answer's text. */
  async text(call: Call): Promise<string> {
    const { retries = 4, retryWait = 100 } = this.options;
    for (let tries = 1; ; tries++) {
      try {
        return await this.once(call);
      } catch (e) {
        if (tries > retries || !(e instanceof ColbertDBError)) throw e;
        let wait = Math.min(retryWait * 2 ** (tries - 1), 30_000) * (0.8 + 0.4 * Math.random());
        if (e instanceof ServerError && e.untouched) wait = Math.max(wait, 1000 * (e.retryAfter ?? 0));
        else if (!(e instanceof TransportError && call.again)) throw e;
        await sleep(wait, call.signal);
      }
    }
  }

  private async once(call: Call): Promise<string> {
    const headers: Record<string, string> = {};
    if (this.options.key) headers["authorization"] = `Bearer ${this.options.key}`;
    if (call.key) headers["idempotency-key"] = call.key;
    if (call.lines !== undefined) headers["content-type"] = "application/x-ndjson";
    else if (call.json !== undefined) headers["content-type"] = "application/json";
    const body = call.lines ?? (call.json === undefined ? null : JSON.stringify(call.json));
    let status: number, text: string, got: Headers;
    try {
      const answer = await (this.options.fetch ?? fetch)(this.url + call.path, { method: call.method, headers, body, signal: call.signal ?? null });
      status = answer.status;
      got = answer.headers;
      text = await answer.text();
    } catch (e) {
      if (call.signal?.aborted) throw call.signal.reason;
      const cause = e instanceof Error && e.cause instanceof Error ? e.cause.message : e;
      throw new TransportError(`no answer from the server: ${cause}`, { cause: e });
    }
    if (status >= 300) throw errorOf(status, text, got);
    return text;
  }
}

function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** One part of a path of any name. Dots are escaped too: two of them lead elsewhere. */
export function escape(name: string): string {
  return Array.from(new TextEncoder().encode(name), (c) => {
    const s = String.fromCharCode(c);
    return /[A-Za-z0-9_-]/.test(s) ? s : "%" + c.toString(16).toUpperCase().padStart(2, "0");
  }).join("");
}
