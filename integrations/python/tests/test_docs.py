"""The programs of the documentation run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from colbertdb import local

REPOSITORY = Path(__file__).resolve().parents[3]

FENCED = re.compile(r"```python\n(.*?)```", re.S)


@pytest.mark.filterwarnings("ignore:the server has no model")
@pytest.mark.parametrize("page", ["docs/integrations.md", "integrations/python/README.md"])
def test_programs(page: str, tmp_path: Path, server: local.Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each page's programs run one after the other, as a reader would, in one namespace
    and a server of their own."""
    for needed in ("langchain_core", "llama_index.core"):
        pytest.importorskip(needed)
    programs = FENCED.findall((REPOSITORY / page).read_text())
    assert programs
    monkeypatch.chdir(tmp_path)
    with local.Server(tmp_path / "db") as own:
        monkeypatch.setenv(local.URL, own.url)
        scope: dict[str, object] = {"__name__": "__main__"}
        for i, program in enumerate(programs):
            exec(compile(program.replace("http://127.0.0.1:8080", own.url), f"{page}:{i}", "exec"), scope)
    assert "cat" in capsys.readouterr().out.lower()


def test_the_example(tmp_path: Path, server: local.Server) -> None:
    """examples/search_folder.py, with a server of its own."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("The cat sleeps on the warm windowsill.\n\nIncome tax returns are due in May.\n")
    env = {k: v for k, v in os.environ.items() if k not in (local.URL, local.KEY)}
    example = REPOSITORY / "integrations/python/examples/search_folder.py"
    done = subprocess.run(
        [sys.executable, example, "notes", "where does the kitten rest?"], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 passages") and done.stdout.index("a.md#0") < done.stdout.index("a.md#1")
