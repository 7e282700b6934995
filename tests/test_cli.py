"""The command line, as real processes."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import ets
from cli_process import (
    ENVIRONMENT,
    ETS,
    SCRIPTED,
    STRICT,
    Done,
    Run,
    assert_fails_in_one_line,
    run_process,
)
from ets.cli.app import app
from ets.policy.base import PolicyOptions
from ets.policy.limits import PLAIN, THINKING
from ets.strategy.registry import STRATEGIES, strategy_by_name

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """`run(*arguments, text="")`: a command line over scripted engines, in a process of its own.

    The processes are forks of one that has imported everything, which saves seconds each.
    """
    folder = tmp_path_factory.mktemp("streams")
    with subprocess.Popen(
        [*SCRIPTED, "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as server:

        def run(*arguments: str, text: str = "") -> Done:
            files = [folder / name for name in ("in", "out", "err")]
            for file, content in zip(files, (text, "", ""), strict=True):
                file.write_text(content)
            request = {"arguments": arguments, "files": [str(file) for file in files]}
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(json.dumps(request) + "\n")
            server.stdin.flush()
            code = int(server.stdout.readline())
            return Done(arguments, code, files[1].read_text(), files[2].read_text())

        yield run
        assert server.stdin is not None
        server.stdin.close()


def test_help_says_all() -> None:
    done = run_process(ETS, "solve", "--help")
    assert done.returncode == 0, done.stderr
    for option in (
        *("--policy", "--prm", "--embedder", "--strategy", "--width", "--lambda-b", "--lambda-d"),
        *("--budget-tokens", "--budget-seconds", "--budget-prm-calls", "--kv-budget"),
        *("--seed", "--concurrency", "--max-step-tokens", "--max-tokens", "--delimiter", "--json"),
    ):
        assert option in done.stdout
    assert "ets-kv" in done.stdout
    for line in done.stdout.splitlines():
        assert len(line) <= 100


def test_module_help_and_version() -> None:
    done = run_process(ETS, "--help")
    assert done.returncode == 0
    assert "solve" in done.stdout
    assert "demo" in done.stdout
    version = run_process(ETS, "--version")
    assert re.fullmatch(r"ets-search \d+\.\d+\.\d+\S*\n", version.stdout)


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


def test_solve_prints_answer_votes_kv_tokens_and_time(run: Run) -> None:
    done = run("solve", "How many?")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no terminal, no live view
    assert re.search(r"^Answer {2}[012] ", done.stdout, re.MULTILINE)
    assert re.search(r"tokens kept over \d+ steps; REBASE would have kept", done.stdout)
    assert "sampled in" in done.stdout
    assert "time" in done.stdout


def test_every_strategy_runs(run: Run) -> None:
    answers = {}
    for name in STRATEGIES:
        done = run("solve", "How many?", "--strategy", name, "--width", "4", "--json")
        assert done.returncode == 0, done.stderr
        answers[name] = json.loads(done.stdout)
    assert all(record["trajectories"] for record in answers.values())


def test_the_tree_is_written_as_a_page(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "a tree.html"
    done = run("solve", "--width", "4", "--tree", str(page), "two </title> plus two?")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"The tree: {page}\n")
    text = page.read_text("utf-8")
    assert '"strategy":"ETS"' in text  # not that which shows it live
    assert "two &lt;/title&gt; plus two?" in text
    page.unlink()
    done = run("solve", "--width", "4", "--tree", str(page), "--json", "two plus two?")
    assert json.loads(done.stdout)["problem"] == "two plus two?"
    assert page.exists()


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


def test_json_is_alone_on_standard_output(run: Run) -> None:
    done = run("solve", "How many?", "--policy", "stdout", "--prm", "x", "--json", "--width", "4")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert "an engine talks" in done.stderr
    for key in ("problem", "answer", "score", "votes", "trajectories", "usage", "kv"):
        assert key in record


CONFIG = """
max_depth = 7
[strategy]
name = "ets-kv"
width = 5
lambda_b = 0.5
[budget]
tokens = 100000
"""


def test_what_is_given_wins_over_a_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    path.write_text(CONFIG)

    def solve(*arguments: str) -> dict[str, Any]:
        done = run("solve", "x", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        record: dict[str, Any] = json.loads(done.stdout)
        record["usage"].pop("seconds")
        return record

    from_file = solve("--config", str(path))
    flags = ("--max-depth", "7", "--strategy", "ets-kv", "--lambda-b", "0.5")
    assert from_file["votes"] == solve(*flags, "--width", "5")["votes"]
    assert sum(vote["count"] for vote in from_file["votes"]) == 5
    wider = solve("--config", str(path), "--width", "9")
    assert wider["votes"] == solve(*flags, "--width", "9")["votes"]
    # Of the file's strategy only the width is left: rebase has no lambda_b.
    other = solve("--config", str(path), "--strategy", "rebase")
    assert (
        other["votes"] == solve("--max-depth", "7", "--strategy", "rebase", "--width", "5")["votes"]
    )


def test_a_file_that_is_wrong_or_missing_is_one_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    path.write_text("wdth = 3")
    for command in (["solve", "x"], ["doctor"]):
        assert_fails_in_one_line(run(*command, "--config", str(path)), "unknown key 'wdth'")
    absent = run("solve", "x", "--config", str(tmp_path / "absent.toml"))
    assert_fails_in_one_line(absent, "absent.toml", "No such file")


def test_the_help_states_the_defaults_of_search() -> None:
    command: Any = typer.main.get_command(app)
    shown = command.commands["solve"].params
    helps = {option.name: option.help for option in shown if option.name != "problem"}
    stated = {
        name: match[1]
        for name, text in helps.items()
        if (match := re.search(r"\\\[default: (.*)\]$", text))
    }
    search = inspect.signature(ets.Search).parameters
    for name in ("policy", "embedder", "seed", "straggler", "request_order"):
        assert stated.pop(name) == str(search[name].default)
    assert stated.pop("prm").startswith(f"{search['prm'].default}; ")
    usual, thinking = PLAIN, THINKING
    for i, name in enumerate(("max_step_tokens", "max_tokens", "max_depth")):
        assert search[name].default is None
        assert stated.pop(name) == f"{usual[i]}; {thinking[i]} if the policy thinks"
    assert stated.pop("prm_thinking") == "read, if the PRM's context holds them"
    for name in ("vote", "score"):
        assert stated.pop(name) == search[name].default
    assert stated.pop("answer_pattern") == "the usual rules"
    strategy = strategy_by_name("ets")
    assert isinstance(strategy, ets.ETS)
    assert stated.pop("width") == str(strategy.width)
    ours = strategy_by_name("mpts")
    assert isinstance(ours, ets.MPTS)
    assert stated.pop("lambda_b") == f"{strategy.lambda_b}; MPTS: {ours.lambda_b}"
    assert stated.pop("reward") == strategy.reward
    assert stated.pop("temperature") == str(PolicyOptions().temperature)
    assert PolicyOptions().delimiter == "\n\n"
    assert set(stated) == {"delimiter", "strategy", "lambda_d", "concurrency"}


def test_same_seed_same_search(run: Run) -> None:
    records = []
    for seed in ("1", "1", "2"):
        record = json.loads(run("solve", "How many?", "--json", "--seed", seed).stdout)
        del record["usage"]
        records.append(record)
    assert records[0] == records[1]
    assert records[0] != records[2]


def test_a_budget_ends_a_search_and_is_named(run: Run) -> None:
    done = run("solve", "How many?", "--budget-prm-calls", "20")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^ended +by the prm budget *$", done.stdout, re.MULTILINE)
    record = json.loads(run("solve", "How many?", "--budget-prm-calls", "20", "--json").stdout)
    assert (record["end"], record["usage"]["prm_calls"]) == ("prm_budget", 20)
    kept = json.loads(run("solve", "How many?", "--kv-budget", "1200", "--json").stdout)
    assert kept["kv"]["after"]["peak"] <= 1200


def test_without_prm_it_says_what_holds(run: Run) -> None:
    done = run("solve", "How many?", "--policy", "other")
    assert done.returncode == 0
    assert "majority" in done.stderr
    assert "--prm vllm:PATH" in done.stderr
    assert run("solve", "How many?", "--policy", "other", "--prm", "none").stderr == ""


ROWS = [
    {"problem": "one", "answer": "1", "id": "first"},
    {"question": "two", "answer": "so it is\n#### 2"},
    {"question": "three"},
]


def test_jsonl_from_a_file_and_from_standard_input(run: Run, tmp_path: Path) -> None:
    text = "\n\n".join(json.dumps(row) for row in ROWS)
    path = tmp_path / "problems.jsonl"
    path.write_text(text)
    from_file = run("solve", str(path), "--json", "--concurrency", "2")
    assert from_file.returncode == 0, from_file.stderr
    records = [json.loads(line) for line in from_file.stdout.splitlines()]
    assert [record["problem"] for record in records] == ["one", "two", "three"]
    assert [record["number"] for record in records] == [1, 2, 3]
    assert records[0]["id"] == "first"
    assert records[1]["expected"] == "2"
    assert records[1]["right"] == (records[1]["answer"] == "2")
    assert "right" not in records[2]
    piped = [
        json.loads(line) for line in run("solve", "-", "--json", text=text).stdout.split("\n")[:3]
    ]
    for a, b in zip(records, piped, strict=True):
        assert (a["answer"], a["votes"], a["kv"]) == (b["answer"], b["votes"], b["kv"])
    human = run("solve", str(path))
    assert "solved" in human.stdout
    assert re.search(r"right +\d of 2", human.stdout)


def test_problem_from_standard_input(run: Run) -> None:
    done = run("solve", "-", "--json", text="How many?\nTell me.\n")
    assert json.loads(done.stdout)["problem"] == "How many?\nTell me."
    assert_fails_in_one_line(run("solve", "-", text=" \n"), "standard input is empty")


def test_ets_alone_shows_its_help() -> None:
    done = run_process(ETS)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: ets [OPTIONS] COMMAND" in done.stdout


def test_ets_demo_compares_ets_and_rebase() -> None:
    """Six problems, side by side, and what to type next."""
    from ets import demo

    if not (demo.policy_path() / "model.safetensors").exists():
        pytest.skip("the bundled pair is not trained yet")
    done = run_process([*STRICT, "-m", "ets"], "demo")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert sum(bool(re.match(r" *[3-8] +\d+ ", line)) for line in lines) == 6
    assert "Beside REBASE, ETS kept" in done.stdout
    assert "ets solve" in done.stdout


@pytest.mark.parametrize("engine", ["demo", "demo?backend=transformers"])
def test_solve_says_nothing_beside_the_result(engine: str) -> None:
    if engine != "demo":
        pytest.importorskip("torch")
    pair = ["--policy", engine, "--prm", engine]
    command = ["solve", "--width", "4", "Tom has 3 apples.", *pair]
    done = run_process([*STRICT, "-m", "ets"], *command)
    assert (done.returncode, done.stderr) == (0, "")


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


def test_solutions_that_were_cut_are_said_with_what_to_raise(run: Run, tmp_path: Path) -> None:
    one = run("solve", "--max-depth", "1", "What?")
    assert one.returncode == 0
    assert "No answer" in one.stdout
    assert "solutions were cut, by max_depth: raise max_depth" in one.stdout
    problems = tmp_path / "problems.jsonl"
    problems.write_text('{"problem": "What?"}\n{"problem": "Why?"}\n')
    many = run("solve", "--max-depth", "1", str(problems))
    assert "in 2 of 2 searches" in many.stdout
    assert "raise max_depth" in many.stdout
    record = json.loads(run("solve", "--max-depth", "1", "--json", "What?").stdout)
    assert record["answer"] is None
    assert "raise max_depth" in record["note"]
    assert {solution["cut"] for solution in record["trajectories"]} == {"max_depth"}


def test_an_endless_configuration_is_refused(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "long.toml"
    file.write_bytes(b"# long\n" * (1 << 18))
    done = run("solve", "What?", "--config", str(file))
    assert_fails_in_one_line(done, "long.toml", "not a TOML file: it is longer than 1048576 bytes")
