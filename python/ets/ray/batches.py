"""Batch inference over a Ray Dataset: rows with problems in, the same rows with answers out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ets.checks import check_text, checked_count, shown
from ets.errors import InputError
from ets.rollout.result import SearchResult
from ets.search.search import Search

_COLUMNS: Mapping[str, type] = {
    "answer": object,
    "score": np.float64,
    "votes": object,
    "policy_tokens": np.int64,
    "prm_tokens": np.int64,
    "kv_before": np.int64,
    "kv_after": np.int64,
    "end": object,
    "note": object,
}


class BatchSearch:
    """A class for `ray.data.Dataset.map_batches`, whose actors each load a policy and a PRM.

    Batches are dicts of arrays (`batch_format="numpy"`, the default). All columns are kept, and
    these are added, one value a row:

    | column | of the search | dtype |
    | --- | --- | --- |
    | `answer` | the answer, None where there is none | object |
    | `score` | its share of the votes' weight, in [0, 1] | float64 |
    | `votes` | the votes as a JSON text, best first | object |
    | `policy_tokens`, `prm_tokens` | tokens sampled, and read by the PRM | int64 |
    | `kv_before`, `kv_after` | KV tokens before and after selection, summed over steps | int64 |
    | `end` | why the search ended, as `SearchResult.end` | object |
    | `note` | why there is no answer, else None | object |

    A row without a problem (null) has the answer None, the score 0, no votes, no tokens, the end
    `no_problem`, and a note that says so.

    # Errors
    Those of `ets.Search`.

    Parameters
    ----------
    column
        That of the problems, which are texts or null.
    prefix
        Before the names of the new columns, for a dataset that has some of them.
    concurrency
        Problems of a batch that are searched side by side, as in `ets.Search.map`.
    arguments
        Those of `ets.Search`; they must pickle.
    """

    def __init__(
        self,
        *,
        column: str = "problem",
        prefix: str = "",
        concurrency: int | Literal["auto"] = 8,
        **arguments: Any,
    ) -> None:
        check_text("column", column)
        check_text("prefix", prefix)
        if concurrency != "auto":
            concurrency = checked_count("concurrency", concurrency, note=", or 'auto'")
        self._column = column
        self._names = {name: f"{prefix}{name}" for name in _COLUMNS}
        self._concurrency: int | Literal["auto"] = concurrency
        self._search = Search(**arguments)

    def __call__(self, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The batch with the columns added.

        # Errors
        `InputError` where there is no such column, one of the new ones is there already, or a
        problem is no text; those of the engines.
        """
        if self._column not in batch:
            raise InputError(
                f"column must be one of the batch, {', '.join(batch)}, got {self._column!r}"
            )
        for name in self._names.values():
            if name in batch:
                raise InputError(f"prefix must be set: the batch has a column {name!r} already")
        given = [_problem(at, value) for at, value in enumerate(batch[self._column].tolist())]
        problems = [problem for problem in given if problem is not None]
        results = self._search.map(problems, concurrency=self._concurrency)
        rows = [_NONE if problem is None else _row(next(results)) for problem in given]
        found: dict[str, NDArray[Any]] = {
            name: np.array([row[of] for row in rows], _COLUMNS[of])
            for of, name in self._names.items()
        }
        return {**batch, **found}


_NONE: Mapping[str, Any] = {
    "answer": None,
    "score": 0.0,
    "votes": "[]",
    "policy_tokens": 0,
    "prm_tokens": 0,
    "kv_before": 0,
    "kv_after": 0,
    "end": "no_problem",
    "note": "the row has no problem",
}


def _problem(at: int, value: object) -> str | None:
    """None also for the not-a-number that a column of nothing but nulls may be made of."""
    if value is None or value != value:
        return None
    if not isinstance(value, str):
        raise InputError(f"row {at} of the batch: the problem must be a text, got {shown(value)}")
    return value


def _row(result: SearchResult) -> Mapping[str, Any]:
    return {
        "answer": result.answer,
        "score": result.score,
        "votes": json.dumps([asdict(vote) for vote in result.votes], ensure_ascii=False),
        "policy_tokens": result.usage.policy_tokens,
        "prm_tokens": result.usage.prm_tokens,
        "kv_before": result.kv.before.sum,
        "kv_after": result.kv.after.sum,
        "end": result.end,
        "note": result.note,
    }
