"""Loads the text files of a folder, a passage a paragraph, and answers questions:

    python search_folder.py ~/notes "where does the kitten rest?"

The server is the one of COLBERTDB_URL, else one that is started for the store
"search_folder.db" here.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from colbertdb import Document, local


def paragraphs(folder: Path) -> Iterator[Document]:
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".md", ".txt")):
        for i, text in enumerate(path.read_text(errors="replace").split("\n\n")):
            if text.strip():
                name = path.relative_to(folder).as_posix()
                yield Document(f"{name}#{i}", text.strip(), attributes={"file": name})


def main(folder: str, *questions: str) -> None:
    with local.connect("search_folder.db") as db:
        collection = db.create_collection("folder")
        done = collection.load(paragraphs(Path(folder)), progress=True)
        print(f"{done.stored} passages, of which {done.truncated} are longer than the model's window")
        for question, result in zip(questions, collection.search_batch(questions, k=3)):
            print(f"\n? {question}")
            for hit in result:
                print(f"{hit.rank}  {hit.score:6.2f}  {hit.id}\n   {' '.join(hit.text.split())[:200]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
