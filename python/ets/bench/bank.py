"""The sample bank: what models said before, so that strategies share what they both ask for.

A search's seeds come from the problem and the path of a node, so two strategies that visit the same
node ask for the same samples. With a bank they get the very same ones: their comparison is paired,
and a sweep samples only what is new.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from ets.errors import EngineError, InputError
from ets.redaction import without_secrets

_FORMAT = 1
_LOOK_EVERY = 256
"""Writes between two looks at the size."""
_WAIT_SECONDS = 60.0
"""For another process that writes."""


class SampleBank:
    """Answers by key in one SQLite file, which several processes may use at once.

    Beyond `max_bytes` the oldest answers are dropped. With `read_only` nothing is written.

    Safe to use from several threads.

    # Errors
    `InputError` for a file that is no bank, a bank of another version, or a read-only one that is
    not there; `EngineError` where the file cannot be read or written later.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, read_only: bool = False, max_bytes: int = 4 << 30
    ) -> None:
        self.path = Path(path).expanduser()
        self.read_only = read_only
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._writes = 0
        if read_only and not self.path.is_file():
            raise InputError(f"there is no sample bank {os.fspath(path)!r} to read")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = self._open()
        except sqlite3.Error as error:
            raise InputError(f"{self.path} cannot be used as a sample bank: {error}") from error

    def get(self, key: bytes) -> Any:
        """The answer of a key, or None."""
        with self._guarded():
            row = self._connection.execute(
                "SELECT answer FROM answers WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, key: bytes, answer: Any) -> None:
        """Keep an answer, JSON-able; the first one of a key stays."""
        if self.read_only:
            return
        text = json.dumps(answer, allow_nan=False)
        with self._guarded():
            self._connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", (key, text))
            self._writes += 1
            if self._writes % _LOOK_EVERY == 0:
                self._shrink()

    def __len__(self) -> int:
        with self._guarded():
            return int(self._connection.execute("SELECT COUNT(*) FROM answers").fetchone()[0])

    def __enter__(self) -> SampleBank:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={'ro' if self.read_only else 'rwc'}",
            uri=True,
            timeout=_WAIT_SECONDS,
            isolation_level=None,  # every statement is a transaction
            check_same_thread=False,
        )
        try:
            if not self.read_only:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table
                connection.execute("PRAGMA journal_mode = WAL")  # readers and a writer at once
                # A power cut may lose the last answers; they are sampled again.
                connection.execute("PRAGMA synchronous = OFF")
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            empty = not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
            if empty and not self.read_only:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, answer TEXT)"
                )
                connection.execute(f"PRAGMA user_version = {_FORMAT}")
            elif version != _FORMAT and not self._being_made(connection):
                raise InputError(f"{self.path} is no sample bank of format {_FORMAT}")
        except BaseException:
            connection.close()
            raise
        return connection

    @staticmethod
    def _being_made(connection: sqlite3.Connection) -> bool:
        """Whether another process has made the table and not yet written the version."""
        columns = connection.execute("PRAGMA table_info(answers)").fetchall()
        return [column[1] for column in columns] == ["key", "answer"]

    def _shrink(self) -> None:
        """Drop the oldest answers until a tenth of the bound is free."""
        size = self._bytes()
        if size <= self._max_bytes:
            return
        count = int(self._connection.execute("SELECT COUNT(*) FROM answers").fetchone()[0])
        share = 1 - 0.9 * self._max_bytes / size
        self._connection.execute(
            "DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers ORDER BY rowid LIMIT ?)",
            (max(1, int(count * share)),),
        )
        self._connection.execute("PRAGMA incremental_vacuum").fetchall()

    def _bytes(self) -> int:
        pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
        return int(pages) * int(self._connection.execute("PRAGMA page_size").fetchone()[0])

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except sqlite3.Error as error:
            raise EngineError(f"the sample bank {self.path} failed: {error}") from error


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
    said = [metadata.version("ets-search"), backend, path, query, dict(options), files]
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
