"""Searches over the batches of a Ray Dataset: the rows, as they come and go. Ray is not needed."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest

import ets
from ets import demo
from ets.errors import InputError
from ets.ray import BatchSearch, RayWorkers
from worker_cases import STRATEGY

ROWS = demo.problems()[:5]
NEW = ["answer", "score", "votes", "policy_tokens", "prm_tokens"]
NEW += ["kv_before", "kv_after", "end", "note"]


def batch(*problems: object) -> dict[str, Any]:
    return {"problem": np.array(problems, object), "id": np.arange(len(problems))}


def test_rows_get_what_a_search_finds() -> None:
    problems = [row["problem"] for row in ROWS]
    with ets.Search(strategy=STRATEGY) as alone:
        expected = list(alone.map(problems))
    found = BatchSearch(strategy=STRATEGY, concurrency=3)(batch(*problems))
    assert list(found) == ["problem", "id", *NEW]
    assert found["problem"].tolist() == problems
    assert found["id"].tolist() == list(range(5))
    for at, result in enumerate(expected):
        row = {name: found[name][at] for name in NEW}
        assert row["answer"] == result.answer
        assert row["score"] == result.score
        assert json.loads(row["votes"]) == result.to_dict()["votes"]
        assert row["policy_tokens"] == result.usage.policy_tokens
        assert row["prm_tokens"] == result.usage.prm_tokens
        assert (row["kv_before"], row["kv_after"]) == (result.kv.before.sum, result.kv.after.sum)
        assert (row["end"], row["note"]) == (result.end, result.note)
    kinds = {name: found[name].dtype.kind for name in NEW}
    assert kinds == dict(zip(NEW, "OfOiiiiOO", strict=True))


@pytest.mark.parametrize("null", [None, float("nan")])
def test_a_row_without_a_problem_stays_one(null: object) -> None:
    problem = ROWS[0]["problem"]
    found = BatchSearch(strategy=STRATEGY)(batch(null, problem, null))
    assert found["answer"].tolist() == [None, found["answer"][1], None]
    assert isinstance(found["answer"][1], str)
    assert found["end"].tolist()[::2] == ["no_problem"] * 2
    assert found["note"].tolist() == ["the row has no problem", None, "the row has no problem"]
    assert found["votes"][0] == "[]"
    assert found["score"][0] == found["policy_tokens"][0] == found["kv_before"][0] == 0


def test_batches_of_nothing() -> None:
    search = BatchSearch(strategy=STRATEGY)
    found = search(batch())
    assert [len(found[name]) for name in found] == [0] * (2 + len(NEW))
    assert found["score"].dtype == np.float64
    assert found["policy_tokens"].dtype == np.int64
    assert search({"problem": np.array([np.nan, np.nan])})["answer"].tolist() == [None, None]


def test_a_search_without_an_answer_says_why() -> None:
    found = BatchSearch(strategy=STRATEGY, max_tokens=5)(batch(ROWS[0]["problem"]))
    assert found["answer"].tolist() == [None]
    assert found["score"].tolist() == [0.0]
    assert "max_tokens" in found["note"][0]


def test_columns_have_names_of_ones_own() -> None:
    rows = {"question": np.array([ROWS[0]["problem"]]), "answer": np.array(["42"])}
    with pytest.raises(InputError, match="prefix must be set: the batch has a column 'answer'"):
        BatchSearch(column="question", strategy=STRATEGY)(rows)
    found = BatchSearch(column="question", prefix="ets_", strategy=STRATEGY)(rows)
    assert found["answer"].tolist() == ["42"]
    assert list(found)[2:] == [f"ets_{name}" for name in NEW]


def test_what_is_no_problem_is_refused() -> None:
    search = BatchSearch(strategy=STRATEGY)
    with pytest.raises(InputError, match="column must be one of the batch, text, got 'problem'"):
        search({"text": np.array(["a"])})
    with pytest.raises(InputError, match=r"^row 1 of the batch: the problem must be a text, got 3"):
        search(batch("a", 3))
    with pytest.raises(InputError, match="concurrency must be at least 1"):
        BatchSearch(concurrency=0)
    with pytest.raises(InputError, match="column must be a text"):
        BatchSearch(column=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="widht"):
        BatchSearch(widht=3)


def test_workers_are_options_that_pickle_and_are_checked() -> None:
    fleet = RayWorkers(2, address="auto", num_gpus=0.5, resources={"big": 1})
    assert pickle.loads(pickle.dumps(fleet)) == fleet
    cases: list[tuple[dict[str, Any], str]] = [
        ({"count": 0}, "count must be at least 1"),
        ({"address": 3}, "address must be a text"),
        ({"num_cpus": -1}, "num_cpus must be >= 0, got -1"),
        ({"num_gpus": "1"}, "num_gpus must be a number >= 0, got '1'"),
        ({"resources": [1]}, "resources must be a mapping"),
        ({"resources": {"big": -1}}, r"resources\['big'\] must be >= 0"),
        ({"runtime_env": "x"}, "runtime_env must be a mapping"),
        ({"autoscales": 1}, "autoscales must be True or False"),
        ({"hang_seconds": 0}, "hang_seconds must be > 0"),
        ({"start_seconds": 0}, "start_seconds must be > 0"),
        ({"start_seconds": None}, "start_seconds must be a number > 0"),
        ({"restarts": -1}, "restarts must be at least 0"),
    ]
    for arguments, words in cases:
        with pytest.raises(InputError, match=words):
            RayWorkers(**({"count": 1} | arguments))
