"""`ets bench --dry-run`: nothing is searched or written, what would be is said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ets.bench.dry_run import ASSUMED_TOKENS, Plan, costs, dry_run, spread
from ets.bench.grid import Grid
from ets.cli.setup import make_grid
from ets.problems.problem import Problem
from ets.strategy.registry import STRATEGIES
from run_cases import write_problems

ROOT = Path(__file__).parents[1]
QWEN = ROOT / "benches" / "qwen_math500.toml"


def dry(cwd: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ets", "bench", "run", "--dry-run", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert not (cwd / "run").exists()
    assert "Traceback" not in done.stderr
    return done


def searched(policy: int, prm: int, cached: int, peak: int) -> Any:
    usage = SimpleNamespace(policy_tokens=policy, prm_tokens=prm, prm_cached_tokens=cached)
    return SimpleNamespace(usage=usage, kv=SimpleNamespace(before=SimpleNamespace(peak=peak)))


def test_the_probe_is_spread_over_the_problems() -> None:
    problems = [Problem(str(k)) for k in range(500)]
    assert [problem.text for problem in spread(problems)] == ["0", "125", "250", "375"]
    assert spread(problems[:3]) == problems[:3]
    assert spread([]) == []


def test_costs_by_hand() -> None:
    grid = Grid(strategies=("rebase", "ets"), widths=(8, 4), lambda_b=(1.0, 2.0), seeds=(0, 1))
    probe = [searched(100, 50, 10, 60), searched(300, 70, 30, 100)]
    wide, narrow = costs(grid, 10, probe, 3.0)
    # 10 problems, rebase and two prices of ets, two seeds.
    assert (narrow.width, narrow.searches, wide.searches) == (4, 60, 60)
    assert (narrow.policy_tokens, wide.policy_tokens) == (60 * 200, 60 * 400)
    assert (narrow.prm_tokens, narrow.kv_tokens, wide.kv_tokens) == (60 * 40, 80, 160)
    assert (narrow.seconds, wide.seconds) == (60 * 1.5, 60 * 3.0)


def test_costs_without_engines_are_assumed_and_time_is_not_known() -> None:
    [cost] = costs(Grid(strategies=("ets",), widths=(16,)), 5, [], 0.0)
    assert cost.policy_tokens == cost.prm_tokens == 5 * 16 * ASSUMED_TOKENS
    assert cost.kv_tokens == 16 * ASSUMED_TOKENS
    assert cost.seconds is None


def test_the_bundled_pair(tmp_path: Path) -> None:
    done = dry(tmp_path, "--problems", "5", "--widths", "4", "--strategies", "rebase")
    assert done.returncode == 0, done.stderr
    assert "the right second step scores" in done.stdout
    assert done.stdout.count("<|user|>") >= 3 + 2  # three prompts, and those of the doctor
    assert "problem test-002, " in done.stdout
    assert "5 problems x 1 setting of strategies x 1 seed; data set demo" in done.stdout
    assert "Measured on 4 searches by REBASE at width 4" in done.stdout


def test_the_plan_as_json(tmp_path: Path) -> None:
    done = dry(tmp_path, "--problems", "5", "--widths", "4,8", "--json")
    [plan] = [json.loads(line) for line in done.stdout.splitlines()]
    assert plan["ready"] is True
    assert plan["probed"] == 4
    assert [cost["width"] for cost in plan["costs"]] == [4, 8]
    assert all(cost["seconds"] > 0 for cost in plan["costs"])
    assert [shown["key"] for shown in plan["prompts"]] == ["test-000", "test-001", "test-002"]


@pytest.mark.slow
def test_the_configuration_for_qwen_offline(tmp_path: Path) -> None:
    """No weights, no hub: it says so in one line each, and does the rest."""
    problems = write_problems(tmp_path / "problems.jsonl", 4)
    done = dry(tmp_path, "--config", str(QWEN), "--dataset", str(problems))
    assert done.returncode == 1
    for model in ("Qwen/Qwen2.5-Math-1.5B-Instruct", "Qwen/Qwen2.5-Math-PRM-7B"):
        assert f"no model configuration in '{model}'" in done.stdout
    assert "As plain messages, without chat template: no model configuration" in done.stdout
    prompt = "Please reason step by step, and put your final answer within \\boxed{}.\n\nProblem 0?"
    assert prompt in done.stdout
    assert "Assumed, not measured" in done.stdout
    assert "not known" in done.stdout


def test_a_data_set_that_is_not_there(tmp_path: Path) -> None:
    done = dry(tmp_path, "--dataset", "absent.jsonl", "--widths", "4", "--prm", "none")
    assert done.returncode == 1
    assert "absent.jsonl" in done.stdout
    assert "One problem, as the data set is not there, x" in done.stdout


def test_the_configuration_for_qwen_names_every_strategy() -> None:
    grid = make_grid(str(QWEN), {})
    assert set(grid.strategies) == set(STRATEGIES)
    assert grid.dataset == "math500"


def test_a_wrong_option_of_the_policy_is_said_and_the_rest_is_done(tmp_path: Path) -> None:
    done = dry(tmp_path, "--problems", "3", "--widths", "4", "--policy-option", "nonsense=1")
    assert done.returncode == 1
    assert "nonsense" in done.stdout
    assert "As plain messages, without chat template: the tokenizer of 'demo'" in done.stdout
    assert "Assumed, not measured" in done.stdout


def small(strategy: str, **search: Any) -> Plan:
    """The plan of a grid of the bundled policy."""
    said = {"policy": "demo", **search}
    return dry_run(Grid(problems=1, widths=(2,), strategies=(strategy,), search=said))


def test_no_prm_is_nothing_wrong() -> None:
    plan = small("best-of-n", prm="none")
    assert plan.ready
    assert [finding.level for finding in plan.reports[1].findings] == ["note"]
    assert plan.probed == 1


def test_the_embedder_is_tried_where_a_strategy_embeds() -> None:
    tried = small("ets", embedder="policy")
    assert tried.ready
    assert [report.part for report in tried.reports] == ["policy", "PRM", "embedder"]
    assert tried.reports[2].findings[0].text.startswith("a step is alike by")
    absent = "sentence-transformers:/nowhere"
    plan = small("ets", embedder=absent)
    assert not plan.ready
    assert [report.healthy for report in plan.reports] == [True, True, False]
    assert small("rebase", embedder=absent).ready, "no strategy embeds"


def test_the_policys_own_embedder_without_the_policy() -> None:
    plan = small("ets", policy="transformers:/nowhere", prm="demo", embedder="policy")
    assert [report.healthy for report in plan.reports] == [False, True, True]
    assert "could not be loaded" in plan.reports[2].findings[0].text


def test_prompts_that_a_policy_refuses_are_counted(tmp_path: Path) -> None:
    """Of all problems, not of the three that are shown: one would end a run after hours."""
    texts = ["Mia has 2 marbles. How many marbles does Mia have now?"] * 4
    texts.append("Mia has 2 marbles. " * 2000)
    rows = [{"id": k, "problem": text, "answer": "2"} for k, text in enumerate(texts)]
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    plan = dry_run(Grid(dataset=str(file), widths=(2,), strategies=("rebase",)))
    assert not plan.ready
    findings = [finding.text for finding in plan.reports[0].findings]
    assert any(text.startswith("1 of 5 prompts are refused; problem 4: ") for text in findings)
    assert [shown.key for shown in plan.prompts] == [0, 1, 2]


@pytest.mark.parametrize("options", [("--strategies", "best"), ("--widths", "0")])
def test_a_wrong_grid_is_refused_before_anything_is_loaded(
    tmp_path: Path, options: tuple[str, str]
) -> None:
    done = dry(tmp_path, *options)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
