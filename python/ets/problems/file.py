"""Files of problems: JSON lines, JSON lists and Parquet, read as rows."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ets.errors import InputError
from ets.extras import needs

TEXT_FILES = (".jsonl", ".ndjson", ".json")
PARQUET = ".parquet"
FILES = (*TEXT_FILES, *(suffix + ".gz" for suffix in TEXT_FILES), PARQUET)
"""How the names of files end that can be read, in letters of either case."""

Row = tuple[str, Mapping[str, Any]]
"""Where it stands, for errors, and what it holds."""


def is_file_of_problems(name: str) -> bool:
    """Whether a name ends as that of a file that can be read."""
    return name.lower().endswith(FILES)


def rows_of_file(name: str) -> Iterator[Row]:
    """The rows of a file of `FILES`, one at a time.

    # Errors
    `InputError` that names file and row, for what is no row or no text in UTF-8, or for a file that
    is damaged; `OSError` if it cannot be read; `MissingExtraError` for Parquet without `pyarrow`.
    """
    path = Path(name).expanduser()
    if name.lower().endswith(PARQUET):
        return _rows_of_parquet(path)
    data = path.read_bytes()
    if name.lower().endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path}: not a whole gzip file: {error}") from error
    return rows_of_json(text_of(data, str(path)), str(path))


def text_of(data: bytes, name: str) -> str:
    """Text in UTF-8, with or without a byte order mark.

    # Errors
    `InputError` that names the line where it is none.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        raise InputError(
            f"{name}:{line}: must be text in UTF-8, got the byte 0x{byte:02x}"
        ) from error


def rows_of_json(text: str, name: str) -> Iterator[Row]:
    """The rows of JSON lines, of one list of objects, or of one object over several lines.

    Only line feeds end a line: U+2028 and its like may stand in a text.
    """
    if text.lstrip().startswith("["):
        rows = _parsed(text, name)
        yield from ((f"{name}[{at}]", _row(row, f"{name}[{at}]")) for at, row in enumerate(rows))
        return
    lines = [(f"{name}:{n}", line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) > 1 and lines[0][1].strip() == "{":  # printed for people to read
        yield name, _row(_parsed(text, name), name)
        return
    for where, line in lines:
        yield where, _row(_parsed(line, where), where)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise InputError(f"{where}: JSON that is nested too deeply to be read") from error
    except ValueError as error:
        raise InputError(f"{where}: not a JSON object: {error}") from error


def _row(row: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(row, Mapping):
        raise InputError(f"{where} must be an object with fields, got {str(row)[:60]}")
    return row


def _rows_of_parquet(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:  # first: a file that is not there needs no package
        with needs("pyarrow", "bench"):
            import pyarrow
            from pyarrow import parquet
        try:
            batches: Iterable[Any] = parquet.ParquetFile(file).iter_batches()
            rows = [row for batch in batches for row in batch.to_pylist()]
        except (pyarrow.ArrowException, OSError) as error:
            raise InputError(f"{path}: not a whole Parquet file: {error}") from error
    yield from ((f"{path}[{at}]", row) for at, row in enumerate(rows))
