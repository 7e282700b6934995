"""The SQLite file of a sample bank: made, told from files of others, held to its bound."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from ets.errors import InputError

WAIT_SECONDS = 60.0
"""For another process that writes."""
_LOOK_MS = 200
"""How long a wait for it is deaf to a bank that closes."""
_FORMAT = 1
_APPLICATION = 0x45545342
"""`ETSB`: what tells a bank from the databases of other programs; banks made before it have 0."""
_TABLE = "CREATE TABLE answers (key BLOB PRIMARY KEY, answer TEXT)"
_LARGEST_JOURNAL = 4 << 20
_EMPTY_PAGES = 4
"""Of a bank without answers."""


def open_bank(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """A connection to the bank at `path`, which is made unless `read_only`.

    Nothing is written into a file before it is known to be a bank, or empty.

    # Errors
    `InputError` for a file that is no bank or of another format; `sqlite3.Error` and `OSError` for
    one that cannot be opened.
    """
    if path.exists() and not read_only:
        connection = _connect(path, "mode=ro")
        try:
            _is_empty(path, connection)
        finally:
            connection.close()
    if not read_only:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _opened(path, "mode=rwc")
    # What reads beside a writer keeps a file of locks, which has no place on a disk that cannot be
    # written; there is no writer there either.
    alone = not os.access(path.parent, os.W_OK) and not journal(path).exists()
    return _opened(path, "immutable=1" if alone else "mode=ro")


def write(
    connection: sqlite3.Connection, change: Callable[[], None], given_up: Callable[[], bool]
) -> None:
    """Make a change in one transaction, when no other process writes.

    # Errors
    `sqlite3.OperationalError` if another one has not ended after a minute, or `given_up` says so.
    """
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or given_up() or time.monotonic() > until:
                raise
    try:
        change()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def make_room(connection: sqlite3.Connection, need: int, most: int) -> bool:
    """Drop the oldest answers, within a transaction, until `need` bytes more fit into `most`.

    A tenth of `most` is freed at once, so that not every write has to drop something. False where
    `need` is more than `most` can hold.
    """
    page = _number(connection, "PRAGMA page_size")
    need += 2 * page  # which are split for it, or hold its key
    if _used(connection, page) + need <= most:
        return True
    if need + _EMPTY_PAGES * page > most:
        return False
    target = most - need - most // 10
    while (excess := _used(connection, page) - target) > 0:
        last, found = 0, 0
        oldest = connection.execute("SELECT rowid, length(answer) FROM answers ORDER BY rowid")
        # Half of it, and again: a page is free once all that it holds is dropped.
        while found <= excess // 2 and (row := oldest.fetchone()) is not None:
            last = row[0]
            found += row[1]
        oldest.close()
        if not last:
            break
        connection.execute("DELETE FROM answers WHERE rowid <= ?", (last,))
    # Python ends this statement at the first page; a file that was within the bound needs none.
    while page * _number(connection, "PRAGMA page_count") > most and _free(connection):
        connection.execute("PRAGMA incremental_vacuum")
    return _used(connection, page) + need <= most


def journal_bound(max_bytes: int) -> int:
    """Bytes of a bank's bound that are its journal's."""
    return min(_LARGEST_JOURNAL, max_bytes // 4)


def journal(path: Path) -> Path:
    """What was written and is not in the file itself yet."""
    return path.with_name(f"{path.name}-wal")


def fold_journal(connection: sqlite3.Connection, path: Path, most: int) -> None:
    """Take the journal into the file where it is longer than `most`, unless someone reads in it:
    then the next write tries again."""
    if journal(path).stat().st_size > most:
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.execute(f"PRAGMA busy_timeout = {_LOOK_MS}")


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    connection = _connect(path, mode)
    try:
        if mode == "mode=rwc":
            if _is_empty(path, connection):
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table
            connection.execute("PRAGMA journal_mode = WAL")  # readers and a writer at once
            # A power cut may lose the last answers, which are sampled again, and nothing else. A
            # write takes 40 us so; 27 with OFF, which may lose the whole bank, 234 with FULL.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")  # `fold_journal` does it
        if _is_empty(path, connection):
            if mode != "mode=rwc":
                raise InputError(f"{path} is no sample bank: it is empty")
            write(connection, lambda: _make(path, connection), lambda: False)
        connection.execute(f"PRAGMA busy_timeout = {_LOOK_MS}")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=WAIT_SECONDS,
        isolation_level=None,  # every statement is a transaction, unless it is in one
        check_same_thread=False,
    )


def _make(path: Path, connection: sqlite3.Connection) -> None:
    if _is_empty(path, connection):  # still: another process may have been first
        connection.execute(_TABLE)
        connection.execute(f"PRAGMA user_version = {_FORMAT}")
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")


def _is_empty(path: Path, connection: sqlite3.Connection) -> bool:
    """Whether nothing is in the file yet; `InputError` if something is that is no bank."""
    application = _number(connection, "PRAGMA application_id")
    version = _number(connection, "PRAGMA user_version")
    tables = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL").fetchall()
    if not (tables or version or application):
        return True
    ours = application == _APPLICATION or (application == 0 and tables == [("answers", _TABLE)])
    # One that an older version was making when it was killed has no version.
    if ours and version != _FORMAT and (application or version):
        raise InputError(f"{path} is a sample bank of format {version}, not {_FORMAT}")
    if not ours or tables != [("answers", _TABLE)]:
        raise InputError(f"{path} is no sample bank of format {_FORMAT}: other things are in it")
    return False


def _used(connection: sqlite3.Connection, page: int) -> int:
    return page * (_number(connection, "PRAGMA page_count") - _free(connection))


def _free(connection: sqlite3.Connection) -> int:
    return _number(connection, "PRAGMA freelist_count")


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])
