// Bulk loads: one request after another, each lines (NDJSON) that the server stores as one
// group; so memory is bounded, progress is of what is durable, and a request whose
// connection broke is sent again: documents of equal ids replace one another.

import { AnswerError, ColbertDBError, InputError, LoadError, ServerError } from "./errors.js";
import type { Call, CallOptions, HTTP } from "./http.js";
import type { components } from "./openapi.js";
import type { NewDocument, Progress } from "./types.js";

/** A group ends after so many documents or characters: those of the server's own. */
const GROUP_DOCUMENTS = 256;
const GROUP_SIZE = 4 << 20;

export interface LoadOptions extends CallOptions {
  /** Is told each document that cannot be stored, by its place among those given, and the
   * load goes on. Default: the first ends it. */
  onRefused?: (place: number, error: ColbertDBError) => void;
  /** Is told how far the load is. */
  onProgress?: (progress: Progress) => void;
}

type Line = components["schemas"]["Progress"];

export class Load {
  progress: Progress = { stored: 0, refused: 0, seq: 0 };
  private lines: string[] = [];
  private places: number[] = [];
  private size = 0;

  constructor(
    private readonly http: HTTP,
    private readonly path: string,
    private readonly options: LoadOptions,
  ) {}

  /** Stores all documents of an iterable. `write` makes a document's JSON. */
  async run(documents: Iterable<NewDocument> | AsyncIterable<NewDocument>, write: (d: NewDocument) => unknown): Promise<Progress> {
    let place = 0;
    for await (const d of documents) {
      let line: string;
      try {
        line = JSON.stringify(write(d)) + "\n";
      } catch (e) {
        await this.flush();
        this.refuse(place++, e instanceof InputError ? e : new InputError(String(e)));
        continue;
      }
      if (this.size + line.length > GROUP_SIZE) await this.flush();
      this.lines.push(line);
      this.places.push(place++);
      this.size += line.length;
      if (this.lines.length >= GROUP_DOCUMENTS) await this.flush();
    }
    await this.flush();
    return this.progress;
  }

  private async flush(): Promise<void> {
    if (this.lines.length === 0) return;
    const places = this.places;
    const call: Call = {
      method: "POST",
      path: `${this.path}?on_error=${this.options.onRefused ? "skip" : "stop"}`,
      lines: this.lines.join(""),
      again: true,
      signal: this.options.signal,
    };
    this.lines = [];
    this.places = [];
    this.size = 0;
    let text: string;
    try {
      text = await this.http.text(call);
    } catch (e) {
      throw e instanceof ColbertDBError ? new LoadError(places[0] ?? 0, this.progress.stored, e) : e;
    }
    this.read(text, places);
    this.options.onProgress?.(this.progress);
  }

  /** Reads the lines of an answer. */
  private read(text: string, places: number[]): void {
    const before = this.progress;
    let done = false;
    for (const line of text.split("\n").filter(Boolean)) {
      const told = JSON.parse(line) as Line;
      done = told.done ?? false;
      this.progress = { stored: before.stored + told.upserted, refused: before.refused + told.failed, seq: Math.max(before.seq, told.seq) };
      if (!told.error) continue;
      const place = places[told.line - 1] ?? 0;
      const e = new ServerError(told.error.message, told.error.code, told.error.error_type, told.error.request_id);
      if (!this.options.onRefused || ![400, 413, 422].includes(e.status)) throw new LoadError(place, this.progress.stored, e);
      this.options.onRefused(place, e);
    }
    if (!done) throw new LoadError(places[0] ?? 0, this.progress.stored, new AnswerError("the answer to the load was cut off"));
  }

  private refuse(place: number, e: InputError): void {
    if (!this.options.onRefused) throw new LoadError(place, this.progress.stored, e);
    this.progress = { ...this.progress, refused: this.progress.refused + 1 };
    this.options.onRefused(place, e);
  }
}
