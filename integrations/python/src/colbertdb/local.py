"""A server of one's own: the ``colbertdb`` command, started for this process.

For programs that want a store in a folder, as with an embedded database::

    with colbertdb.local.Server("my.db") as server:
        notes = server.client().create_collection("notes")

The command is the one that COLBERTDB_BIN names, else the one on PATH. It listens on a
port of loopback, and ends with this process.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from .client import Client
from .errors import ColbertDBError

#: What connect reads: the server to use instead of starting one, its key, the command.
URL, KEY, BIN = "COLBERTDB_URL", "COLBERTDB_KEY", "COLBERTDB_BIN"


class LocalServerError(ColbertDBError):
    """The server could not be started, or ended by itself."""


def command() -> str:
    """The path of the colbertdb command."""
    found = os.environ.get(BIN) or shutil.which("colbertdb")
    if not found:
        raise LocalServerError(
            f"no colbertdb command on PATH: install it (go install github.com/colbertdb-go/colbertdb/cmd/colbertdb@latest), "
            f"name it in {BIN}, or name a server in {URL}"
        )
    return found


class Server:
    """A running server over the store in the folder ``db``, which is made where it is
    not there. ``model`` is its default one (colbertdb serve --model; default: the
    built-in one), ``models`` are further ones, ``flags`` more of its flags."""

    def __init__(
        self, db: str | os.PathLike[str], *, model: str | None = None, models: Sequence[str] = (), flags: Sequence[str] = ()
    ) -> None:
        self.db = Path(db)
        self.db.parent.mkdir(parents=True, exist_ok=True)
        args = [command(), "serve", "--quiet", "--db", str(self.db), "--listen", "127.0.0.1:0", *flags]
        args += ["--model", model] if model else []
        args += [f"--models={m}" for m in models]
        self._owner = os.getpid()
        self._stderr = tempfile.TemporaryFile()
        self._process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._stderr)
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()  # when it listens; at the end of the process: nothing
        if "://" not in line:
            self.stop()
            raise LocalServerError(f"the server did not start: {self.log().strip() or line or 'it said nothing'}")
        self.url = line[line.index("http") :].strip()
        atexit.register(self.stop)

    def client(self, *, key: str | None = None) -> Client:
        """A client of the server."""
        return Client(self.url, key=key)

    def log(self) -> str:
        """What the server wrote to standard error."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def stop(self) -> None:
        """Ends the server, after the requests that run; what was acknowledged is on disk."""
        if os.getpid() != self._owner:  # in a fork: the server is the other's
            return
        atexit.unregister(self.stop)
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


_servers: dict[Path, Server] = {}
_lock = threading.Lock()


def connect(db: str | os.PathLike[str], *, models: Sequence[str] = ()) -> Client:
    """A client of the server that COLBERTDB_URL names, with the key COLBERTDB_KEY, else
    of one for the folder ``db``, started with the first call and used by all of this
    process."""
    if url := os.environ.get(URL):
        return Client(url, key=os.environ.get(KEY))
    path = Path(db).absolute()
    with _lock:
        server = _servers.get(path)
        if server is None or server._process.poll() is not None:
            server = _servers[path] = Server(path, models=models)
    return server.client()
