// The server that the tests talk to: the real command, with the built-in model.
// COLBERTDB_BIN names it; scripts/integrations-js.sh builds it.

import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

export const repository = resolve(import.meta.dirname, "../../../..");
export const command = process.env["COLBERTDB_BIN"] ?? "";

export class Server {
  private constructor(
    readonly url: string,
    private readonly child: ChildProcess,
    private readonly dir: string,
  ) {}

  static async start(...flags: string[]): Promise<Server> {
    const dir = await mkdtemp(join(tmpdir(), "colbertdb-js-"));
    const child = spawn(command, ["serve", "--quiet", "--db", join(dir, "db"), "--listen", "127.0.0.1:0", ...flags], { stdio: ["ignore", "pipe", "inherit"] });
    for await (const line of createInterface({ input: child.stdout! })) {
      return new Server(line.slice(line.indexOf("http")).trim(), child, dir);
    }
    throw new Error("the server did not start");
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGTERM");
    await ended;
    await rm(this.dir, { recursive: true });
  }
}

/** The paragraphs of the licence: real text that is always there and never changes. */
export async function passages(): Promise<{ id: string; text: string; section: string }[]> {
  const out: { id: string; text: string; section: string }[] = [];
  let section = "0";
  for (const [i, paragraph] of (await readFile(join(repository, "LICENSE"), "utf8")).split("\n\n").entries()) {
    const text = paragraph.trim().replace(/\s+/g, " ");
    section = /^(\d)\. /.exec(text)?.[1] ?? section;
    if (text.length > 80) out.push({ id: `${section}/${i}`, text, section });
  }
  return out;
}

/** Random unit vectors, the same for each seed. */
export function random(seed: number): (tokens: number, dimensions: number) => number[][] {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  return (tokens, dimensions) =>
    Array.from({ length: tokens }, () => {
      const row = Array.from({ length: dimensions }, next);
      const length = Math.hypot(...row);
      return row.map((x) => Math.fround(x / length));
    });
}

/** MaxSim of a query with each document, best first: the oracle. */
export function maxSim(query: number[][], documents: Map<string, number[][]>): [id: string, score: number][] {
  const dot = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
  const score = (d: number[][]) => query.reduce((sum, q) => sum + Math.max(...d.map((t) => dot(q, t))), 0);
  return [...documents].map(([id, d]): [string, number] => [id, score(d)]).sort((a, b) => b[1] - a[1]);
}
