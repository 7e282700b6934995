"""Data sets of problems whose answers are known: presets, files, and the hub."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ets.errors import EngineError, InputError
from ets.extras import needs
from ets.problems.file import FILES, Row, is_file_of_problems, rows_of_file
from ets.problems.problem import Fields, Problem


@dataclass(frozen=True, slots=True)
class _OnHub:
    """Where a public data set lies, and which of its fields count."""

    name: str
    split: str
    config: str | None
    fields: Fields


PRESETS: Mapping[str, _OnHub] = {
    "math500": _OnHub("HuggingFaceH4/MATH-500", "test", None, Fields("problem", "answer")),
    "gsm8k": _OnHub("openai/gsm8k", "test", "main", Fields("question", "answer")),
    "aime24": _OnHub("HuggingFaceH4/aime_2024", "train", None, Fields("problem", "answer")),
    "aime25": _OnHub("math-ai/aime25", "test", None, Fields("problem", "answer")),
    "amc23": _OnHub("math-ai/amc23", "test", None, Fields("question", "answer")),
}


def load_dataset(
    name: str, *, split: str | None = None, fields: Fields | None = None
) -> list[Problem]:
    """All problems of a data set, each with an answer and a key of its own.

    `demo` (the bundled problems, split `test`, `dev` or `fresh`), a preset (`math500`, `gsm8k`,
    `aime24`, `aime25`, `amc23`, from the hub), a file (`.jsonl`, `.ndjson` or `.json`, also with
    `.gz`, or `.parquet`), or `hf:NAME` of the hub, whose `split` is `test` unless given. Rows
    without a key are numbered from 0.

    # Errors
    `InputError` for an unknown name, a row without a problem or an answer, or a key that comes
    twice, and for damaged files; `OSError` for a file that cannot be read; `MissingExtraError`
    without `datasets`, for the hub and Parquet; `EngineError` if the hub does not give it.
    """
    usual = fields or Fields()
    if name == "demo":
        from ets import demo
        from ets.demo.splits import split_rows

        # As shipped, so that results and package cannot part.
        shipped = demo.problems() if split in (None, "test") else split_rows(split)
        return _checked(_numbered(shipped, name), usual, name)
    if split is not None and is_file_of_problems(name):
        raise InputError(
            f"split goes with demo and data sets of the hub, got {split!r} with {name}"
        )
    if is_file_of_problems(name):
        return _checked(rows_of_file(name), usual, name)
    if preset := PRESETS.get(name):
        rows = _load(preset.name, preset.config, split=split or preset.split)
        return _checked(_numbered(rows, name), fields or preset.fields, name)
    if name.startswith("hf:") and len(name) > 3:
        return _checked(_numbered(_load(name[3:], split=split or "test"), name), usual, name)
    raise InputError(
        f"dataset must be demo, {', '.join(PRESETS)}, a file ({', '.join(FILES)}) or hf:NAME, "
        f"got {name!r}"
    )


def fingerprint(problems: Iterable[Problem]) -> str:
    """A digest of keys, texts and answers: two runs with the same one had the same problems."""
    digest = hashlib.sha256()
    for problem in problems:
        digest.update(json.dumps([problem.key, problem.given, problem.expected]).encode())
    return digest.hexdigest()


def _numbered(rows: Iterable[Any], name: str) -> Iterable[Row]:
    return ((f"{name}[{number}]", row) for number, row in enumerate(rows))


def _load(*names: str | None, **options: Any) -> Iterable[Any]:
    with needs("datasets", "bench"):
        import datasets
    try:
        rows: Iterable[Any] = datasets.load_dataset(*names, **options)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise EngineError(
            f"cannot load the data set {names[0]!r}: {reason}; a .jsonl or .parquet file of it "
            "needs no network"
        ) from error
    return rows


def _checked(rows: Iterable[Row], fields: Fields, name: str) -> list[Problem]:
    problems: list[Problem] = []
    seen: set[str | int] = set()
    for number, (where, row) in enumerate(rows):
        problem = fields.read(row, where)
        key = number if problem.key is None else problem.key
        if problem.expected is None:
            raise InputError(f"{where} has no answer; its fields are {', '.join(row)}")
        if key in seen:
            raise InputError(f"{where} has the key {key!r}, as a row before it")
        seen.add(key)
        problems.append(replace(problem, key=key))
    if not problems:
        raise InputError(f"{name} holds no problems")
    return problems
