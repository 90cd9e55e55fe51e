"""The server that the tests talk to: the real command, with the built-in model.

COLBERTDB_BIN names the command; scripts/integrations-python.sh builds it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import colbertdb
from colbertdb import local

REPOSITORY = Path(__file__).resolve().parents[3]
#: Real text and judgements (BEIR's SciFact); beside the repository, not in it.
SCIFACT = REPOSITORY.parent / "shared" / "data" / "scifact"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Server]:
    if not os.environ.get(local.BIN) and not shutil.which("colbertdb"):
        pytest.skip(f"no colbertdb command: name one in {local.BIN}")
    with local.Server(tmp_path_factory.mktemp("store") / "db") as s:
        yield s


@pytest.fixture(scope="session")
def db(server: local.Server) -> Iterator[colbertdb.Client]:
    with server.client() as c:
        yield c


@pytest.fixture()
def name(request: pytest.FixtureRequest) -> str:
    """A name for a collection of this test."""
    return "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[:60].strip("-")


@pytest.fixture(scope="session")
def passages() -> list[dict[str, str]]:
    """The paragraphs of the licence: real text that is always there and never changes."""
    out = []
    section = "0"
    for i, paragraph in enumerate((REPOSITORY / "LICENSE").read_text().split("\n\n")):
        text = " ".join(paragraph.split())
        if head := re.match(r"(\d)\. ", text):
            section = head[1]
        if len(text) > 80:
            out.append({"id": f"{section}/{i}", "text": text, "section": section})
    assert len(out) > 20
    return out


@pytest.fixture(scope="session")
def beir() -> Callable[[str, int], list[dict[str, str]]]:
    """Lines of a BEIR file of SciFact."""

    def read(file: str, most: int) -> list[dict[str, str]]:
        path = SCIFACT / file
        if not path.exists():
            pytest.skip(f"no {path}")
        with path.open() as f:
            return [json.loads(line) for line, _ in zip(f, range(most))]

    return read
