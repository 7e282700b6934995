"""What goes wrong on the command line: one line, the right one, and no trace."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_process import (
    ETS,
    Run,
    assert_fails_in_one_line,
    run_process,
    served_commands,
)

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """`run(*arguments, text="")`: a command line over scripted engines, in a process of its own."""
    with served_commands(tmp_path_factory.mktemp("streams")) as run:
        yield run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["solve", ""], ["problem is empty"]),
        (["solve", "x", "--width", "0"], ["width", "0"]),
        (["solve", "x", "--width", "many"], ["--width", "integer"]),
        (
            ["solve", "x", "--strategy", "rebase", "--lambda-d", "1"],
            ["lambda_d", "rebase", "width, temperature, reward"],
        ),
        (["solve", "x", "--strategy", "ets-kv", "--lambda-d", "1"], ["lambda_d", "ets-kv"]),
        (["solve", "x", "--nonsense"], ["--nonsense"]),
        (["solve", "x", "--policy-option", "nonsense"], ["--policy-option", "KEY=VALUE"]),
        (["solve", "x", "--concurrency", "0"], ["--concurrency", "'0'"]),
        (["solve", "x", "--kv-budget", "some"], ["--kv-budget", "auto", "'some'"]),
        (["solve", "x", "--kv-budget", "auto"], ["'auto' needs a policy"]),
        (["solve", "x", "--kv-budget", "9", "--strategy", "rebase"], ["kv_budget", "REBASE"]),
        (["solve", "x", "--budget-tokens", "0"], ["budget.tokens", "0"]),
        (["solve", "x", "--budget-seconds", "-1"], ["budget.seconds", "-1"]),
        (["solve", "missing.jsonl"], ["missing.jsonl", "No such file"]),
        (["solve", "x", "--policy", "broken"], ["the engine died of old age"]),
        (["nonsense"], ["nonsense"]),
    ],
)
def test_errors_are_one_line(run: Run, arguments: list[str], words: list[str]) -> None:
    done = run(*arguments)
    if "broken" in arguments:  # a note on the missing PRM comes before it
        done.stderr = "".join(done.stderr.splitlines(keepends=True)[1:])
    assert_fails_in_one_line(done, *words)


def test_unknown_engine_is_one_line() -> None:
    done = run_process(ETS, "solve", "x", "--policy", "nonsense:x", "--prm", "demo")
    assert_fails_in_one_line(done, "nonsense:x", "transformers:PATH")


LOST = "ets: the server has gone; the result is of the solutions so far"


def test_a_lost_engine_leaves_the_answer_so_far(run: Run) -> None:
    arguments = ("solve", "How many?", "--policy", "lost", "--prm", "x", "--width", "8")
    shown = run(*arguments)
    assert shown.returncode == 2
    assert shown.stderr.splitlines()[-1] == LOST
    assert re.search(r"^ended +early: an engine was lost *$", shown.stdout, re.MULTILINE)
    done = run(*arguments, "--json")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == LOST
    record = json.loads(done.stdout)
    assert (record["end"], record["lost"]) == ("engine_lost", "the server has gone")
    assert 0 < len(record["trajectories"]) < 8
    assert f"Answer  {record['answer']} " in shown.stdout


def test_a_lost_engine_among_many_problems(run: Run, tmp_path: Path) -> None:
    """Each has its answer so far; the sum and the error come behind them."""
    problems = tmp_path / "problems.jsonl"
    problems.write_text('{"problem": "How many?"}\n{"problem": "How much?"}\n')
    arguments = ("solve", str(problems), "--policy", "lost", "--prm", "x", "--width", "8")
    shown = run(*arguments)
    assert shown.returncode == 2
    assert shown.stderr.splitlines()[-1] == LOST
    assert "How many?" in shown.stdout
    assert "How much?" in shown.stdout
    done = run(*arguments, "--json")
    assert done.returncode == 2
    assert [json.loads(line)["end"] for line in done.stdout.splitlines()] == ["engine_lost"] * 2


def test_an_engine_lost_before_any_answer_is_an_error(run: Run) -> None:
    done = run("solve", "How many?", "--policy", "gone", "--prm", "x")
    assert_fails_in_one_line(done, "ets: the server has gone\n")


def test_debug_shows_the_trace(run: Run) -> None:
    done = run("solve", "x", "--policy", "broken", "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    "lines", ["{}", '{"problem": 3}', "[1]", "not json", '{"problem": " "}', ""]
)
def test_bad_jsonl_names_the_line(run: Run, tmp_path: Path, lines: str) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text('{"problem": "fine"}\n' + lines if lines else "")
    assert_fails_in_one_line(run("solve", str(path)), "problems.jsonl" + (":2" if lines else ""))


def test_a_place_for_the_tree_is_judged_before_the_search(run: Run, tmp_path: Path) -> None:
    """The policy `broken` would say so if it were asked."""
    problems = tmp_path / "problems.jsonl"
    problems.write_text('{"problem": "two plus two?"}\n')
    broken = ("solve", "--policy", "broken", "--tree")
    absent = tmp_path / "absent" / "tree.html"
    for arguments, words in (
        ([str(tmp_path / "tree.html"), str(problems)], ["--tree goes with one problem"]),
        ([str(absent), "two plus two?"], ["--tree must name a file", str(absent)]),
        ([str(tmp_path), "two plus two?"], ["--tree must name a file", "is a folder"]),
    ):
        assert_fails_in_one_line(run(*broken, *arguments), *words)


def test_a_tree_that_cannot_be_written_does_not_cost_the_answer(run: Run) -> None:
    done = run("solve", "--width", "4", "--tree", "/dev/full", "--json", "two plus two?")
    assert done.returncode == 2
    assert "No space left" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "answer" in json.loads(done.stdout)


def test_a_file_that_is_wrong_or_missing_is_one_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    path.write_text("wdth = 3")
    for command in (["solve", "x"], ["doctor"]):
        assert_fails_in_one_line(run(*command, "--config", str(path)), "unknown key 'wdth'")
    absent = run("solve", "x", "--config", str(tmp_path / "absent.toml"))
    assert_fails_in_one_line(absent, "absent.toml", "No such file")


def test_transformers_without_torch_names_the_extra() -> None:
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "sys.argv = ['ets', 'solve', 'What?', '--policy', 'demo?backend=transformers']\n"
        "from ets.cli.main import main\n"
        "main()\n"
    )
    done = run_process([sys.executable, "-c", code])
    assert_fails_in_one_line(done, "pip install 'ets-search[torch]'")


def test_an_endless_configuration_is_refused(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "long.toml"
    file.write_bytes(b"# long\n" * (1 << 18))
    done = run("solve", "What?", "--config", str(file))
    assert_fails_in_one_line(done, "long.toml", "not a TOML file: it is longer than 1048576 bytes")
