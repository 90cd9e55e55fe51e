import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { Server, command, repository } from "./server.js";

const run = promisify(execFile);

/** Each program of a page is a file of its own, as a reader would have it; within the
 * package, where its name and LangChain's are found. */
for (const page of ["integrations/js/README.md", "docs/integrations.md"]) {
  test(`the programs of ${page}`, { skip: command ? false : "COLBERTDB_BIN names no command" }, async () => {
    const programs = [...readFileSync(join(repository, page), "utf8").matchAll(/```js\n(.*?)```/gs)].map((m) => m[1]!);
    assert(programs.length > 0);
    const server = await Server.start();
    const dir = join(import.meta.dirname, `programs-${page.length}`);
    mkdirSync(dir, { recursive: true });
    try {
      for (const [i, program] of programs.entries()) {
        const file = join(dir, `${i}.mjs`);
        writeFileSync(file, program.replaceAll("http://127.0.0.1:8080", server.url));
        const { stdout } = await run(process.execPath, [file]);
        assert.notEqual(stdout, "", program);
      }
    } finally {
      await server.stop();
      rmSync(dir, { recursive: true });
    }
  });
}

test("examples/search-folder.mjs", { skip: command ? false : "COLBERTDB_BIN names no command" }, async () => {
  const server = await Server.start();
  const notes = mkdtempSync(join(tmpdir(), "colbertdb-js-"));
  try {
    writeFileSync(join(notes, "a.md"), "The cat sleeps on the warm windowsill.\n\nIncome tax returns are due in May.\n");
    const example = join(repository, "integrations/js/examples/search-folder.mjs");
    const { stdout } = await run(process.execPath, [example, notes, "where does the kitten rest?"], { env: { ...process.env, COLBERTDB_URL: server.url } });
    assert.match(stdout, /^2 passages\n\n\? where.*\n1 .*a\.md#0\n[^]*\n2 .*a\.md#1\n/);
  } finally {
    await server.stop();
    rmSync(notes, { recursive: true });
  }
});
