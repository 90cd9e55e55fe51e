"""Prints the documents that a fast-plaid or next-plaid index keeps in metadata.db.

    python3 scripts/interop/metadata.py INDEX > documents.jsonl
    colbertdb import INDEX --documents documents.jsonl

A line a document: its number as "_id", its columns as they are called there ("text" is
the text, the others become attributes). Every layout of both packages is read:
next-plaid's later ones keep long columns in a table of their own. Needs nothing but
Python.
"""

import json
import pathlib
import sqlite3
import sys


def rows(index):
    path = pathlib.Path(index, "metadata.db").resolve(strict=True)
    db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    db.row_factory = sqlite3.Row
    tables = {r[0] for r in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    source = "METADATA"
    if "METADATA_CONTENT" in tables:
        source += " LEFT JOIN METADATA_CONTENT USING (_content_id_)"
    for row in db.execute(f"SELECT * FROM {source} ORDER BY _subset_"):
        row = dict(row)
        number = row.pop("_subset_")
        row.pop("_content_id_", None)
        row.pop("_id", None)  # import would take it for the number
        yield number, {k: v for k, v in row.items() if v is not None and not isinstance(v, bytes)}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for number, row in rows(sys.argv[1]):
        print(json.dumps({"_id": str(number)} | row, ensure_ascii=False))


if __name__ == "__main__":
    main()
