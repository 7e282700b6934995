"""A run on the disk: its configuration, and one line for each finished search."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ets.bench.dataset import fingerprint
from ets.bench.kept_file import SCRATCH, parse_object, read_bytes, refuse_link, write_whole
from ets.bench.packed_tree import tree_name, unpack_tree
from ets.bench.surroundings import surroundings
from ets.dialogue import Dialogue, parted
from ets.errors import InputError
from ets.extras import needs
from ets.problems.problem import Problem
from ets.shown.redaction import redacted, without_secrets
from ets.tree_search.search import TreeSearch

_RUN, _ROWS, _TREES, _LOCK = "run.json", "rows.jsonl", "trees", ".lock"
_PROBLEMS = "problems.jsonl"
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
_FORMAT = 1
Key = tuple[str, int, str | int]
"""Of a search: the cell's label, the seed, the problem's key."""


class RunFolder:
    """A folder that holds all that a report of a benchmark needs.

    A row is one line, written at once and flushed to the disk; what a killed process left of a
    line or a tree is cleared away when the folder is opened to be written. `open` gives one process
    at a time the right to write; reading needs none.

    Raises `InputError` for a folder that is no run, or of another version.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._config = self._read_config()
        self.may_write = False
        """Whether it was opened to be written, on a disk that can be."""
        self._size = 0
        """Of the rows that are written."""

    @property
    def config_file(self) -> Path:
        """Where `config` is written."""
        return self.path / _RUN

    @property
    def rows_file(self) -> Path:
        """Where the rows are written, one a line."""
        return self.path / _ROWS

    def tree_file(self, row: Mapping[str, Any]) -> Path:
        """Where the tree of a row is written."""
        return self.path / _TREES / tree_name(row)

    @property
    def config(self) -> Mapping[str, Any]:
        """What `run.json` says: `configuration`, `dataset`, `versions`, `machine`, `command`."""
        return self._config

    @classmethod
    @contextmanager
    def open(
        cls,
        path: str | os.PathLike[str],
        configuration: Mapping[str, Any],
        dataset: Mapping[str, Any],
    ) -> Iterator[RunFolder]:
        """Make the folder, or go on in one of the same configuration, alone.

        Where the disk cannot be written, a run that is there is opened without `may_write`.

        # Errors
        `InputError` if it is of another configuration, with the differences, if another process
        writes into it, or if it holds other things or links; `MissingExtraError` without
        `filelock`.
        """
        folder = Path(path)
        if folder.is_dir() and not (folder / _RUN).exists():
            strangers = [f.name for f in folder.iterdir() if not f.name.startswith(".")]
            if strangers:
                raise InputError(f"{folder} is no run folder: it holds {min(strangers)}")
        folder.mkdir(parents=True, exist_ok=True)
        for name in (_RUN, _ROWS, _PROBLEMS, _LOCK):
            refuse_link(folder / name)
        with _alone(folder) as may_write:
            said = redacted({"configuration": configuration, "dataset": dataset})
            wanted = json.loads(json.dumps(said))
            if not (folder / _RUN).exists():
                if not may_write:
                    raise InputError(f"{folder} cannot be written into")
                whole = {"format": _FORMAT, **wanted, **surroundings()}
                write_whole(folder / _RUN, json.dumps(whole, ensure_ascii=False, indent=1).encode())
            run = cls(folder)
            _compare(folder, run._config, wanted)
            if may_write:
                run._clear_what_a_kill_left()
            run.may_write = may_write
            yield run

    def add(self, row: Mapping[str, Any], tree: bytes | None = None) -> None:
        """Write one row, and before it its tree; both are on the disk when this returns.

        # Errors
        `InputError` if the rows were deleted or changed since they were opened; `OSError` if the
        disk does not take them.
        """
        if tree is not None:
            (self.path / _TREES).mkdir(exist_ok=True)
            write_whole(self.tree_file(row), tree)
        line = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
        # The last look at a link, which may have come since the folder was opened.
        refuse_link(self.rows_file)
        descriptor = os.open(self.rows_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            if os.fstat(descriptor).st_size != self._size:
                raise InputError(
                    f"{self.rows_file} was deleted or changed while this run wrote it; the same "
                    "command searches anew what is missing"
                )
            data = line.encode("utf-8", "surrogatepass")  # as JSON is read from bytes
            self._size += len(data)
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def tree(self, row: Mapping[str, Any]) -> TreeSearch | None:
        """The tree of a row; None where it was not kept.

        # Errors
        `InputError` for a file that is no tree.
        """
        data = read_bytes(self.tree_file(row))
        return None if data is None else unpack_tree(data, str(self.tree_file(row)))

    def has_tree(self, row: Mapping[str, Any]) -> bool:
        """Whether the tree of a row was kept."""
        return self.tree_file(row).exists()

    def rows(self) -> list[dict[str, Any]]:
        """All rows, in the order in which they were finished; half a line at the end is no row.

        # Errors
        `InputError` for a line that is no row, or a search that is there twice.
        """
        rows = []
        seen: set[Key] = set()
        lines = (read_bytes(self.rows_file) or b"").split(b"\n")
        for number, line in enumerate(lines[:-1], start=1):  # behind the last one is no whole line
            where = f"{self.rows_file}:{number}"
            row = parse_object(line, where, "is no row of a run")
            for name, kinds in (("cell", (str,)), ("seed", (int,)), ("id", (str, int))):
                if type(row.get(name)) not in kinds:
                    raise InputError(f"{where} is no row of a run: {name} is {row.get(name)!r:.80}")
            key = key_of(row)
            if key in seen:
                raise InputError(f"{where} is there twice: {' '.join(map(str, key))}")
            seen.add(key)
            rows.append(row)
        return rows

    def keep_problems(self, problems: Iterable[Problem]) -> None:
        """Write the problems themselves, once: the same data set again, `problems.jsonl`.

        # Errors
        As `problems`, where they are there already.
        """
        problems = list(problems)
        if problems and not self.problems() and self.may_write:
            rows = ({"id": p.key, "problem": p.given, "answer": p.expected} for p in problems)
            lines = (json.dumps(row, allow_nan=False) + "\n" for row in rows)
            write_whole(self.path / _PROBLEMS, "".join(lines).encode())

    def problems(self) -> list[Problem]:
        """The problems, in the order of the data set; none where an older version wrote the run.

        # Errors
        `InputError` for a line that is no problem, and for other problems than those of the run.
        """
        file = self.path / _PROBLEMS
        found = []
        data = read_bytes(file)
        for number, line in enumerate((data or b"").split(b"\n")[:-1], start=1):
            where = f"{file}:{number}"
            row = parse_object(line, where, "is no problem of a run")
            given, answer, key = (row.get(name) for name in ("problem", "answer", "id"))
            if not isinstance(given, str | list) or not isinstance(answer, str | None):
                raise InputError(f"{where} is no problem of a run: it lacks a text")
            if type(key) not in (str, int):
                raise InputError(f"{where} is no problem of a run: id is {key!r:.80}")
            posed = given if isinstance(given, str) else Dialogue.of(f"{where}: problem", given)
            before, text = parted(posed)
            found.append(Problem(text, answer, key, before))
        if data is not None and fingerprint(found) != self._config["dataset"]["sha256"]:
            raise InputError(
                f"{file} does not hold the problems that the run is of, by the sha256 in {_RUN}: "
                "delete it, and ets bench writes it anew"
            )
        return found

    def _read_config(self) -> dict[str, Any]:
        file = self.path / _RUN
        data = read_bytes(file)
        if data is None:
            raise InputError(f"{self.path} is no run folder: it has no {_RUN}")
        # Runs of older versions kept what they were given.
        config: dict[str, Any] = redacted(parse_object(data, str(file), "cannot be read as a run"))
        version = config.get("format")
        if type(version) is int and version != _FORMAT:
            raise InputError(f"{self.path} is a run of format {version}, not {_FORMAT}")
        if type(version) is not int:
            raise InputError(f"{file} cannot be read as a run: format must be {_FORMAT}")
        for name in ("configuration", "dataset"):
            if not isinstance(config.get(name), dict):
                raise InputError(f"{file} cannot be read as a run: {name} must be an object")
        dataset = config["dataset"]
        if type(dataset.get("problems")) is not int or not isinstance(dataset.get("sha256"), str):
            raise InputError(
                f"{file} cannot be read as a run: dataset must hold problems and sha256"
            )
        return config

    def _clear_what_a_kill_left(self) -> None:
        for folder in (self.path, self.path / _TREES):
            for scratch in folder.glob(f".*{SCRATCH}"):
                scratch.unlink()
        data = read_bytes(self.rows_file) or b""
        self._size = data.rfind(b"\n") + 1
        if self._size < len(data):
            os.truncate(self.rows_file, self._size)


def key_of(row: Mapping[str, Any]) -> Key:
    """Which search a row is of."""
    return (str(row["cell"]), int(row["seed"]), row["id"])


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Keep other processes from writing; whether there is anything to write, which a folder that
    cannot be written has not."""
    with needs("filelock", "bench"):
        from filelock import FileLock, Timeout
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(f"another process writes into {folder}") from error
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _compare(folder: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    found = {name: there.get(name) for name in wanted}
    there_and_here = list(differences(without_secrets(found), without_secrets(wanted)))
    if there_and_here:
        shown = "; ".join(f"{key} is {a} there, {b} here" for key, a, b in there_and_here[:5])
        more = f" and {len(there_and_here) - 5} more" if len(there_and_here) > 5 else ""
        raise InputError(f"{folder} is a run of another configuration: {shown}{more}")


def differences(a: Any, b: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Where two JSON-able values differ: the keys down to there with dots between them, what one
    has as JSON, what the other has; `null` where one has nothing, which an empty table is too."""
    if all(value is None or isinstance(value, dict) for value in (a, b)):
        a, b = a or {}, b or {}
        for key in [*a, *(k for k in b if k not in a)]:
            inner = key if path in ("", "configuration") else f"{path}.{key}"
            yield from differences(a.get(key), b.get(key), inner)
    elif a != b:
        yield path, json.dumps(a), json.dumps(b)
