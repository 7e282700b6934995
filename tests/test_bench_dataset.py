"""Data sets: files, fields, hostile rows, the real ones where they lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ets.bench.dataset import fingerprint, load_dataset
from ets.errors import EngineError, InputError
from ets.problems.problem import Fields

SHARED = Path(__file__).parents[2] / "shared" / "data"


def write(path: Path, *rows: Any) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_the_bundled_problems() -> None:
    problems = load_dataset("demo")
    assert len(problems) == 500
    assert (problems[0].key, problems[0].expected) == ("test-000", "28")
    assert len({problem.key for problem in problems}) == 500


def test_usual_fields_and_fields_that_are_named(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.jsonl",
        {"question": " How many? ", "answer": "so\n#### 1,200", "id": "x"},
        {"problem": "And now?", "answer": 3.5},
        {"input": "Then?", "target": "\\boxed{7}"},
    )
    found = [(p.text, p.expected, p.key) for p in load_dataset(file)]
    assert found == [("How many?", "1200", "x"), ("And now?", "3.5", 1), ("Then?", "7", 2)]
    named = write(tmp_path / "b.jsonl", {"q": "Why?", "a": "because", "n": 9, "answer": "no"})
    (problem,) = load_dataset(named, fields=Fields("q", "a", "n"))
    assert (problem.text, problem.expected, problem.key) == ("Why?", "because", 9)


def test_parquet_is_read_as_lines_are(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra [bench] is not installed")
    path = tmp_path / "a.parquet"
    datasets.Dataset.from_dict({"problem": ["1 + 1?"], "answer": ["2"]}).to_parquet(path)
    (problem,) = load_dataset(str(path))
    assert (problem.text, problem.expected, problem.key) == ("1 + 1?", "2", 0)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "holds no problems"),
        ([{"problem": " ", "answer": "1"}], r"a\.jsonl:1 is empty"),
        ([{"problem": "x"}], r"a\.jsonl:1 has no answer; its fields are problem"),
        ([{"answer": "1"}], r"a\.jsonl:1: no field problem or question or input"),
        ([[1]], r"a\.jsonl\[0\] must be an object with fields, got 1"),
        ([{"problem": "x", "answer": True}], "the answer must be a text, .* got bool True"),
        (
            [{"problem": "x", "answer": 1, "id": 5}, {"problem": "y", "answer": 1, "id": 5}],
            r"a\.jsonl:2 has the key 5, as a row before it",
        ),
    ],
)
def test_rows_that_are_no_problems(tmp_path: Path, rows: list[Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_dataset(write(tmp_path / "a.jsonl", *rows))


def test_names_and_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dataset must be demo, math500, .* got 'math50'"):
        load_dataset("math50")
    for name in ("absent.jsonl", "absent.parquet"):
        with pytest.raises(FileNotFoundError):
            load_dataset(str(tmp_path / name))
    (tmp_path / "bad.jsonl").write_text('{"problem": "x", "answer": "1"}\n{"prob')
    with pytest.raises(InputError, match=r"bad\.jsonl:2: not a JSON object"):
        load_dataset(str(tmp_path / "bad.jsonl"))
    with pytest.raises(InputError, match=r"no field solution; there are problem, answer"):
        load_dataset(
            write(tmp_path / "a.jsonl", {"problem": "x", "answer": "1"}),
            fields=Fields(answer="solution"),
        )


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra [bench] is not installed")

    def offline(*names: Any, **options: Any) -> None:
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(EngineError, match=r"cannot load the data set 'HuggingFaceH4/MATH-500': no"):
        load_dataset("math500")


def test_fingerprints_tell_data_sets_apart(tmp_path: Path) -> None:
    one = load_dataset(write(tmp_path / "a.jsonl", {"problem": "x", "answer": "1"}))
    other = load_dataset(write(tmp_path / "b.jsonl", {"problem": "x", "answer": "2"}))
    assert fingerprint(one) == fingerprint(list(one)) != fingerprint(other)


@pytest.mark.parametrize(
    ("file", "count", "expected"),
    [
        ("math500_test.jsonl", 500, "\\left( 3, \\frac{\\pi}{2} \\right)"),
        ("gsm8k_test.jsonl", 1319, "18"),
        ("mawps_singleop.jsonl", None, "14.0"),
        ("mawps_addsub.jsonl", None, "43.0"),
        ("mawps_multiarith.jsonl", None, "39"),
    ],
)
def test_real_data_sets(file: str, count: int | None, expected: str) -> None:
    if not (SHARED / file).exists():
        pytest.skip("shared/data is not here")
    problems = load_dataset(str(SHARED / file))
    assert problems[0].expected == expected
    assert count is None or len(problems) == count
