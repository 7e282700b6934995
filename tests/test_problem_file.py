"""Files of problems in every dress that they come in: each is read right, or refused by name."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ets.bench.dataset import load_dataset
from ets.cli.problems import read_problems
from ets.errors import InputError
from ets.problems.file import FILES

ROWS: list[dict[str, Any]] = [
    {"problem": "What is 1+1?", "answer": "2"},
    {"problem": "Two\nlines?", "answer": 3},
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
READ = [("What is 1+1?", "2"), ("Two\nlines?", "3")]

TEXTS = {
    "lines": LINES,
    "byte order mark": "\ufeff" + LINES,
    "carriage returns and blank lines": "\r\n" + LINES.replace("\n", "\r\n\r\n"),
    "no line feed at the end": LINES.rstrip("\n"),
    "a list": json.dumps(ROWS),
    "a list for people": json.dumps(ROWS, indent=2),
}


def loaded(path: Path) -> list[tuple[str, str | None]]:
    """What both readers make of a file, which must be the same."""
    problems = load_dataset(str(path))
    shown, many = read_problems(str(path))
    assert many
    assert [(p.text, p.expected) for p in shown] == [(p.text, p.expected) for p in problems]
    return [(p.text, p.expected) for p in problems]


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> tuple[list[str], bool]:
    """What comes of standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
    problems, many = read_problems("-")
    return [problem.text for problem in problems], many


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("suffix", [f for f in FILES if f != ".parquet"] + [".JSONL", ".Json.GZ"])
def test_every_dress_is_read(tmp_path: Path, text: str, suffix: str) -> None:
    data = text.encode()
    path = tmp_path / f"problems{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.lower().endswith(".gz") else data)
    assert loaded(path) == READ


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_and_from_standard_input(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert piped(monkeypatch, text.encode()) == ([text for text, _ in READ], True)


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_only_line_feeds_end_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, separator: str
) -> None:
    # JSON allows none of the ASCII ones in a text; behind an escape they are all the same.
    raw = separator if separator > "\x1f" else json.dumps(separator)[1:-1]
    lines = f'{{"problem": "a{raw}b", "answer": "2"}}\n' * 2
    path = tmp_path / "p.ndjson"
    path.write_text(lines, "utf-8")
    assert loaded(path) == [(f"a{separator}b", "2")] * 2
    assert piped(monkeypatch, lines.encode()) == ([f"a{separator}b"] * 2, True)


@pytest.mark.parametrize(
    "text",
    ["What is {1, 2}?", "[1, 2] is a list. How long is it?", "{x : x > 0} is what?", "{ a }"],
)
def test_a_problem_may_begin_with_a_bracket(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert piped(monkeypatch, text.encode()) == ([text], False)


BROKEN = {
    "a broken first line": ('{"problem": "a", "answer": }\n' + LINES, ":1: not a JSON object"),
    "a broken last line": (LINES + '{"problem"', ":3: not a JSON object"),
    "a comma behind": (LINES.replace("\n", ",\n"), ":1: not a JSON object"),
    "nested": ('{"problem": ' + "[" * 200_000 + "}", "nested too deeply|not a JSON object"),
    "a number in a list": ('[{"problem": "a", "answer": 1}, 7]', r"\[1\] must be an object"),
    "no row": ("[]", "holds no problems"),
    "NaN": ('{"problem": "a", "answer": NaN}', "finite number, got nan"),
    "infinity": ('{"problem": "a", "answer": -Infinity}', "finite number, got -inf"),
    "a list": ('{"problem": "a", "answer": ["2", "3"]}', r"got list \['2', '3'\]"),
    "a boolean": ('{"problem": "a", "answer": true}', "got bool True"),
    "an object": ('{"problem": "a", "answer": {"x": 1}}', "got dict"),
    "messages": (
        '{"problem": [{"role": "user"}], "answer": 1}',
        r"messages\[0\].content must be a text, got None",
    ),
    "a row of numbers": ('{"problem": 7, "answer": 1}', "with a text or messages, got int 7"),
    "a surrogate": (r'{"problem": "a\ud800", "answer": 1}', "text that UTF-8 can hold"),
    "one in the key": (r'{"problem": "a", "answer": 1, "id": "\ud800"}', "the key must be a text"),
    "other columns": ('{"frage": "a", "antwort": 1}', ":1: no field .*; there are frage, antwort"),
    "comma-separated values": ("problem,answer\r\nWhat is 1+1?,2\r\n", ":1: not a JSON object"),
    "one in the answer": (
        r'{"problem": "a", "answer": "\ud800"}',
        "the answer must be a text that UTF-8",
    ),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_read_is_refused_by_file_and_row(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text(text, "utf-8")
    for read in (load_dataset, read_problems):
        with pytest.raises(InputError, match=message) as error:
            read(str(path))
        assert "problems.jsonl" in str(error.value)
        assert len(str(error.value).splitlines()) == 1


def test_bytes_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "latin.jsonl"
    data = LINES.encode() + '{"problem": "café", "answer": 1}'.encode("latin-1")
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"latin\.jsonl:3: must be text in UTF-8, got .* 0xe9"):
        load_dataset(str(path))
    with pytest.raises(InputError, match="standard input:3: must be text in UTF-8"):
        piped(monkeypatch, data)


def test_a_gzip_file_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(gzip.compress(LINES.encode())[:-9])
    with pytest.raises(InputError, match=r"p\.jsonl\.gz: not a whole gzip file"):
        load_dataset(str(path))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"answer": None, "target": "2"}, "2"),
        ({"answer": ["7"]}, "7"),
        ({"answer": 123456789012345678901234567890}, "123456789012345678901234567890"),
        ({"answer": 2.5}, "2.5"),
        ({"answer": "Tom has 2.\n#### 2"}, "2"),
    ],
)
def test_an_answer_is_read_as_text(tmp_path: Path, row: dict[str, Any], expected: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"problem": "a", **row}))
    assert loaded(path) == [("a", expected)]


def test_a_file_of_another_kind_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "problems.txt"
    path.write_text("What is 1+1?")
    with pytest.raises(InputError, match=r"problems\.txt is a file; those that end in \.jsonl"):
        read_problems(str(path))
    with pytest.raises(InputError, match=r"is no file; .* and - is standard input"):
        read_problems(str(tmp_path))
    reading, writing = os.pipe()  # what a shell makes of <(command)
    try:
        with pytest.raises(InputError, match=f"/dev/fd/{reading} is no file"):
            read_problems(f"/dev/fd/{reading}")
    finally:
        os.close(reading)
        os.close(writing)
    assert read_problems("Is 3/4 more than 0.5?")[0][0].text == "Is 3/4 more than 0.5?"


# -- Parquet ---------------------------------------------------------------------------------------


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pyarrow = pytest.importorskip("pyarrow", reason="the extra [bench] is not installed")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def test_parquet_is_read_as_lines_are(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [*ROWS[:1], {"problem": "b", "answer": "5"}]
    assert loaded(write_parquet(tmp_path / "p.PARQUET", rows)) == [READ[0], ("b", "5")]
    decimals = [{"problem": "a", "answer": Decimal("1.50")}]
    assert loaded(write_parquet(tmp_path / "d.parquet", decimals)) == [("a", "1.50")]


@pytest.mark.parametrize("name", ["t*", "t?st", "[a-z]est", "{a,b}", "**"])
def test_a_name_is_no_pattern(tmp_path: Path, name: str) -> None:
    write_parquet(tmp_path / "test.parquet", ROWS[:1])
    write_parquet(tmp_path / "a.parquet", ROWS[:1])
    path = write_parquet(tmp_path / f"{name}.parquet", [{"problem": "mine", "answer": "1"}])
    assert loaded(path) == [("mine", "1")]
    path.unlink()
    with pytest.raises(FileNotFoundError):
        load_dataset(str(path))


def test_damaged_and_empty_parquet(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "p.parquet", ROWS[:1])
    whole = path.read_bytes()
    for data in (b"", b"PAR1", whole[: len(whole) // 2], whole[:-8] + b"12345678"):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"p\.parquet: not a whole Parquet file"):
            load_dataset(str(path))
    pyarrow = pytest.importorskip("pyarrow", reason="the extra [bench] is not installed")
    from pyarrow import parquet

    nothing = pyarrow.array([], pyarrow.string())
    parquet.write_table(pyarrow.table({"problem": nothing, "answer": nothing}), path)
    with pytest.raises(InputError, match=r"p\.parquet holds no problems"):
        load_dataset(str(path))
