// Loads the text files of a folder, a passage a paragraph, and answers questions:
//
//     colbertdb serve --db my.db
//     node search-folder.mjs ~/notes "where does the kitten rest?"
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";

import { Client } from "colbertdb";

async function* paragraphs(folder) {
  for (const name of (await readdir(folder, { recursive: true })).sort()) {
    if (!/\.(md|txt)$/.test(name)) continue;
    for (const [i, text] of (await readFile(join(folder, name), "utf8")).split("\n\n").entries()) {
      if (text.trim()) yield { id: `${name}#${i}`, text: text.trim(), attributes: { file: name } };
    }
  }
}

const [folder, ...questions] = process.argv.slice(2);
const collection = await new Client(process.env.COLBERTDB_URL).createCollection("folder");
const { stored } = await collection.load(paragraphs(folder), { onProgress: (p) => console.error(`${p.stored} stored`) });
console.log(`${stored} passages`);
for (const [i, { hits }] of (await collection.searchBatch(questions, { k: 3 })).entries()) {
  console.log(`\n? ${questions[i]}`);
  for (const hit of hits) console.log(`${hit.rank}  ${hit.score.toFixed(2)}  ${hit.id}\n   ${hit.text.replace(/\s+/g, " ").slice(0, 200)}`);
}
