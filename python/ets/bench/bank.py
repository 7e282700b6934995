"""The sample bank: what models said before, so that strategies share what they both ask for.

A search's seeds come from the problem and the path of a node, so two strategies that visit the same
node ask for the same samples. With a bank they get the very same ones: their comparison is paired,
and a sweep samples only what is new.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
import threading
from array import array
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ets._core import __version__
from ets.bench.bank_file import fold_journal, journal_bound, make_room, open_bank, write
from ets.errors import EngineError, InputError
from ets.pickled import Unpicklable
from ets.shown.redaction import without_secrets

T = TypeVar("T")


class SampleBank(Unpicklable):
    """Answers by key in one SQLite file, which several processes may use at once.

    Beyond `max_bytes`, which the file and its journal share, the oldest answers are dropped; one
    that is larger by itself is not kept. With `read_only` nothing is written.

    Safe to use from several threads. Reads and writes have a thread each, in which `find` and
    `keep` wait: another process that writes stops neither an event loop nor who only reads.

    # Errors
    `InputError` for a file that is no bank, a bank of another version, or a read-only one that is
    not there; `EngineError` where the file cannot be read or written later.
    """

    _pickle_instead = "pickle its path, and open it in each process"

    def __init__(
        self, path: str | os.PathLike[str], *, read_only: bool = False, max_bytes: int = 4 << 30
    ) -> None:
        self.path = Path(path).expanduser()
        self.read_only = read_only
        self._journal = journal_bound(max_bytes)
        self._most = max_bytes - self._journal
        self._closing = False
        if read_only and not self.path.is_file():
            raise InputError(f"there is no sample bank {os.fspath(path)!r} to read")
        with ExitStack() as stack:
            try:
                self._reader = _Worker(open_bank(self.path, read_only=read_only), "read")
                stack.callback(self._reader.close)
                self._writer = self._reader
                if not read_only:
                    self._writer = _Worker(open_bank(self.path, read_only=False), "write")
            except (sqlite3.Error, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                raise InputError(
                    f"{self.path} cannot be used as a sample bank: {reason}"
                ) from error
            stack.pop_all()

    def get(self, key: bytes) -> Any:
        """The answer of a key, or None."""
        with self._guarded(self._reader):
            query = "SELECT answer FROM answers WHERE key = ?"
            rows = self._reader.connection.execute(query, (key,)).fetchall()
        try:
            return json.loads(rows[0][0]) if rows else None
        except (ValueError, TypeError, RecursionError) as error:
            raise EngineError(
                f"the sample bank {self.path} holds an answer that is none"
            ) from error

    def put(self, key: bytes, answer: Any) -> None:
        """Keep an answer, JSON-able; the first one of a key stays."""
        if self.read_only:
            return
        text = json.dumps(answer, allow_nan=False)
        connection = self._writer.connection

        def change() -> None:
            if make_room(connection, len(text) + len(key), self._most):
                connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", (key, text))

        with self._guarded(self._writer):
            write(connection, change, lambda: self._closing)
            fold_journal(connection, self.path, self._journal)

    async def find(self, key: bytes) -> Any:
        """`get`, waited for without holding up the event loop."""
        return await self._reader.run(self.get, key)

    async def keep(self, key: bytes, answer: Any) -> None:
        """`put`, waited for without holding up the event loop; where the wait is given up, the
        answer is kept or not."""
        await self._writer.run(self.put, key, answer)

    def __len__(self) -> int:
        with self._guarded(self._reader):
            count = self._reader.connection.execute("SELECT COUNT(*) FROM answers").fetchall()
        return int(count[0][0])

    def __enter__(self) -> SampleBank:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; what waits for another process to write is given up."""
        self._closing = True
        self._reader.close()
        self._writer.close()

    @contextmanager
    def _guarded(self, worker: _Worker) -> Iterator[None]:
        try:
            with worker.lock:
                yield
        except (sqlite3.Error, OSError) as error:
            raise EngineError(f"the sample bank {self.path} failed: {error}") from error


class _Worker:
    """A connection, a thread of its own, and a lock for other threads that use it."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self.connection = connection
        self.lock = threading.Lock()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=f"ets-bank-{name}")

    async def run(self, call: Callable[..., T], *given: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *given)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        with self.lock:
            self.connection.close()


def identity(name: str, options: Mapping[str, Any]) -> bytes:
    """What tells a model from others: its name, its options and, of a folder, its files.

    Of a folder's files name, size and time of change count, so that weights trained anew are
    another model; of the package its version, which writes the prompts. Secrets do not count.
    """
    name, options = without_secrets(name), without_secrets(options)
    backend, _, path = name.partition("?")[0].partition(":")
    folder = Path(path).expanduser()
    files = []
    if path and folder.is_dir():
        path = str(folder.resolve())
        stats = ((file.name, file.stat()) for file in sorted(folder.iterdir()))
        files = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
    query = name.partition("?")[2]
    said = [__version__, backend, path, query, dict(options), files]
    return digest(b"model", json.dumps(said, sort_keys=True).encode())


def digest(*parts: bytes) -> bytes:
    """A key: the parts, each with its length in front, hashed."""
    made = hashlib.sha256()
    for part in parts:
        made.update(len(part).to_bytes(8, "little"))
        made.update(part)
    return made.digest()


def of_ids(ids: tuple[int, ...]) -> bytes:
    """Token ids as bytes."""
    return array("q", ids).tobytes()
