"""The command line, as real processes."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import ets
from cli_process import (
    ETS,
    STRICT,
    Run,
    assert_fails_in_one_line,
    run_process,
    served_commands,
)
from ets.cli.app import app
from ets.policy.base import PolicyOptions
from ets.policy.limits import PLAIN, THINKING
from ets.rollout.until import SEARCHES
from ets.strategy.registry import STRATEGIES, strategy_by_name

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """`run(*arguments, text="")`: a command line over scripted engines, in a process of its own."""
    with served_commands(tmp_path_factory.mktemp("streams")) as run:
        yield run


def test_help_says_all() -> None:
    done = run_process(ETS, "solve", "--help")
    assert done.returncode == 0, done.stderr
    for option in (
        *("--policy", "--prm", "--embedder", "--strategy", "--width", "--lambda-b", "--lambda-d"),
        *("--budget-tokens", "--budget-seconds", "--budget-prm-calls", "--kv-budget"),
        *("--seed", "--concurrency", "--max-step-tokens", "--max-tokens", "--delimiter", "--json"),
        "--step ",
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
        said = stated.pop(name).replace("; N of", "; no less than N of")
        plain, _, counted = said.partition("; no less than ")
        assert plain == f"{usual[i]}; {thinking[i]} if the policy thinks"
        assert counted.endswith('N of step="tokens:N"') == (name != "max_tokens")
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
    assert search["engine_timeout"].default is None
    assert stated.pop("engine_timeout") == "none, they are waited for"
    assert search["workers"].default is None
    assert stated.pop("workers") == "none, the engines are in this process"
    assert stated.pop("until_most") == f"best-of-n: the width; else {SEARCHES}"
    assert stated.pop("step") == PolicyOptions().step
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


@pytest.mark.parametrize(
    "engine", ["demo", pytest.param("demo?backend=transformers", marks=pytest.mark.slow)]
)
def test_solve_says_nothing_beside_the_result(engine: str) -> None:
    if engine != "demo":
        pytest.importorskip("torch")
    pair = ["--policy", engine, "--prm", engine]
    command = ["solve", "--width", "4", "Tom has 3 apples.", *pair]
    done = run_process([*STRICT, "-m", "ets"], *command)
    assert (done.returncode, done.stderr) == (0, "")


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
