"""The doctor on pairs that are right, swapped, unknown, missing or down, as a user meets them."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from checkpoints import make_llama_policy, make_qwen2_prm
from conftest import DEMO
from ets.doctor import Load, Report, examine
from ets.doctor.exam import FIRST_WRONG, PROBLEM, RIGHT, WRONG, solution
from ets.doctor.policy import compare_prompts, examine_policy
from ets.doctor.prm import examine_prm
from ets.policy import load_policy
from ets.prm import load_prm
from ets.step import Prefix, Score, Step
from prm_cases import make_judge, make_math_shepherd
from scripted_engines import ScriptedPolicy

POLICY, PRM = f"transformers:{DEMO / 'policy'}", f"transformers:{DEMO / 'prm'}"


def reports(
    policy: str | None = None, prm: str | None = None, load: Load | None = None, **options: Any
) -> list[Report]:
    return asyncio.run(
        examine(policy, prm, policy_options={}, prm_options=options, load=load or Load(16, 1024))
    )


def findings(report: Report, level: str) -> str:
    return " | ".join(f"{f.text} -> {f.help}" for f in report.findings if f.level == level)


def ets_doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ets", "doctor", *arguments],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "PYTHONUTF8": "1"},
    )


def test_the_bundled_pair_is_well() -> None:
    done = ets_doctor()
    assert done.returncode == 0, done.stderr
    assert "✗" not in done.stdout
    for words in (
        "16 of 16 first steps end at the delimiter",
        "the right second step scores 0.957, the wrong one 0.000",
        "incremental scores are within",
        "tokens/s read",
        "width 16 fits",
        "  ◀ 0.9153, read at id 4",
    ):
        assert words in done.stdout
    assert done.stdout.count("◀") == len(RIGHT)


def test_what_is_shown_is_what_is_read() -> None:
    policy = load_policy("demo")
    prm: Any = load_prm("demo")
    one = asyncio.run(examine_policy(policy, "demo", Load(16, 1024)))
    two = asyncio.run(examine_prm(prm, "demo"))
    (shown,) = one.shown
    root = policy.start(PROBLEM)
    assert shown.pieces[0].ids == root.token_ids
    assert shown.pieces[0].text.count(PROBLEM) == 1
    assert [piece.text for piece in shown.pieces[1:]] == [f"{text}\n\n" for text in RIGHT[:2]]
    (shown,) = two.shown
    ids = tuple(token for piece in shown.pieces for token in piece.ids)
    assert ids == prm.format.ids(solution(RIGHT))
    for k, piece in enumerate(shown.pieces):
        assert (piece.reward is None) == (k == 0)
        if piece.reward is not None:
            score = asyncio.run(_score(solution(RIGHT[:k])))
            assert piece.reward == pytest.approx(score.reward, abs=1e-6)
    asyncio.run(policy.aclose())
    asyncio.run(prm.aclose())


async def _score(prefix: Prefix) -> Score:
    prm = load_prm("demo")
    score = await prm.score(prefix)
    await prm.aclose()
    return score


def test_a_swapped_pair() -> None:
    policy, prm = reports(PRM, POLICY)
    assert not policy.healthy
    assert "this is a PRM (qwen): give it as --prm" in findings(policy, "bad")
    assert not prm.healthy
    bad = findings(prm, "bad")
    assert "(LlamaForCausalLM) is no PRM of a known format" in bad
    assert "this is a language model: give it as --policy" in bad
    assert "math-shepherd" in bad


def test_a_prm_that_is_a_language_model_given_as_policy(tmp_path: Path) -> None:
    folder = tmp_path / "math-shepherd-mistral-7b-prm"
    folder.mkdir()
    make_math_shepherd(folder)
    (policy,) = reports(policy=f"transformers:{folder}")
    assert "this is a PRM (math-shepherd)" in findings(policy, "bad")
    (prm,) = reports(prm=f"transformers:{folder}")
    assert prm.facts["format"].startswith("math-shepherd")
    assert sum(piece.reward is not None for piece in prm.shown[0].pieces) == len(RIGHT)


def test_a_prm_of_an_unknown_type(tmp_path: Path) -> None:
    folder = make_qwen2_prm(tmp_path)
    config = folder / "config.json"
    text = config.read_text().replace("Qwen2ForProcessRewardModel", "Qwen9ForRewards")
    config.write_text(text)
    (prm,) = reports(prm=f"transformers:{folder}")
    bad = findings(prm, "bad")
    assert "(Qwen9ForRewards) is no PRM of a known format" in bad
    assert "known are qwen" in bad
    (forced,) = reports(prm=f"transformers:{folder}?format=qwen")
    assert forced.facts["format"].startswith("qwen")


def test_a_judge_is_asked_about_the_last_step_only(tmp_path: Path) -> None:
    make_judge(tmp_path)
    (prm,) = reports(prm=f"transformers:{tmp_path}", format="judge")
    marked = [piece for piece in prm.shown[0].pieces if piece.reward is not None]
    assert len(marked) == 1
    assert marked[0].text.endswith("<|im_start|>assistant\n")


@pytest.mark.slow
def test_paths_that_are_not_there(tmp_path: Path) -> None:
    done = ets_doctor("--policy", f"transformers:{tmp_path}/no", "--prm", f"vllm:{tmp_path}/no")
    assert done.returncode == 1
    assert done.stdout.count("there is no checkpoint folder") == 2
    assert done.stdout.count("give the folder of a checkpoint, which holds config.json") == 2
    assert "Traceback" not in done.stdout + done.stderr


def test_a_server_that_is_down() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        (policy,) = reports(policy=f"openai:model@{url}")
    bad = findings(policy, "bad")
    assert f"cannot reach the server at {url}" in bad
    assert "start the server, or correct the address" in bad


def test_each_of_several_addresses_has_a_report() -> None:
    urls = [f"http://127.0.0.1:{port}/v1" for port in (9, 10)]  # where nobody serves
    found = reports(f"openai:model@{','.join(urls)}", f"pooling:prm@{','.join(urls)}")
    assert [report.part for report in found] == ["policy", "policy", "PRM", "PRM"]
    for report, url in zip(found, urls * 2, strict=True):
        assert f"cannot reach the server at {url}" in findings(report, "bad")


def test_replicas_that_read_a_problem_otherwise() -> None:
    class Other(ScriptedPolicy):
        def start(self, problem: str) -> Prefix:
            return Prefix(problem=problem, prompt_tokens=2, token_ids=(1, 2))

    found = []
    root = None
    for policy in (ScriptedPolicy(), ScriptedPolicy(), Other()):
        report = Report("policy", "demo")
        root = compare_prompts(policy, report, root)
        found.append(findings(report, "bad"))
    assert found[:2] == ["", ""]
    assert "other tokens than the first address" in found[2]


def test_names_and_options_that_are_unknown() -> None:
    policy, prm = reports("demos", "demo?colour=red")
    assert "policy must be demo, transformers:PATH" in findings(policy, "bad")
    assert "unknown option 'colour'" in findings(prm, "bad")


def test_json_has_a_line_for_each_model() -> None:
    done = ets_doctor("--json", "--prm", "demo", "--policy", "none:x")
    assert done.returncode == 1
    policy, prm = map(json.loads, done.stdout.splitlines())
    assert (policy["part"], policy["healthy"]) == ("policy", False)
    assert (prm["part"], prm["healthy"]) == ("PRM", True)
    assert prm["shown"][0]["pieces"][1]["reward"] == pytest.approx(0.9153, abs=1e-3)


def test_a_width_that_does_not_fit() -> None:
    (policy,) = reports("demo", load=Load(64, 1024))
    assert "width 64 fits only as far as solutions share steps" in findings(policy, "note")
    assert policy.healthy


@pytest.mark.parametrize(
    ("steps", "level", "words"),
    [
        ([Step("on and on", (1,) * 96, "length")], "bad", "steps would be cut at max_step_tokens"),
        ([Step("The answer is 1.", (1,), "answer")], "note", "each solution is one step"),
        ([Step(" \n\n", (1,), "step")], "bad", "none of 16 samples holds any text"),
        ([Step("same\n\n", (1,), "step")], "bad", "all samples are the same"),
        (
            [Step("one\n\n", (1,), "step"), Step("two\n\n", (1,), "step")],
            "good",
            "16 of 16 first steps end at the delimiter",
        ),
    ],
)
def test_samples_that_say_what_is_wrong(steps: list[Step], level: str, words: str) -> None:
    class Scripted:
        def start(self, problem: str) -> Prefix:
            return Prefix(problem, 1, (1,))

        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            return steps[seed % len(steps)]

        async def aclose(self) -> None:
            pass

    report = asyncio.run(examine_policy(Scripted(), "scripted", Load(4, 100)))
    assert words in findings(report, level)


def test_a_template_that_writes_answers_otherwise_than_it_begins_them(tmp_path: Path) -> None:
    folder = make_llama_policy(tmp_path)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|assistant|>{%", "<|assistant|>Hm: {%"))
    (policy,) = reports(f"transformers:{folder}")
    note = findings(policy, "note")
    assert "its chat template begins an answer with 'Hm: '" in note
    assert "continue_final_message" in note


@pytest.mark.parametrize(
    ("right", "wrong", "level", "words"),
    [
        (0.2, 0.8, "bad", "it cannot tell them apart"),
        (0.5, 0.5, "bad", "it cannot tell them apart"),
        (0.52, 0.5, "note", "it hardly tells them apart"),
        (0.9, 0.1, "good", "the right second step scores 0.900, the wrong one 0.100"),
    ],
)
def test_rewards_that_make_no_sense(right: float, wrong: float, level: str, words: str) -> None:
    def judge(problem: str, steps: list[str]) -> float:
        return wrong if steps[-1] == WRONG[FIRST_WRONG] else right

    report = asyncio.run(examine_prm(load_prm(judge), "a function"))
    assert words in findings(report, level)
    assert report.healthy == (level != "bad")


def test_a_cache_that_changes_scores() -> None:
    class Scripted:
        incremental = True

        async def score(self, prefix: Prefix) -> Score:
            bad = prefix.steps[-1].text.strip() == WRONG[FIRST_WRONG]
            return Score(0.1 if bad else 0.9 if self.incremental else 0.8, prompt_tokens=9)

        async def aclose(self) -> None:
            pass

    prm = Scripted()
    report = asyncio.run(examine_prm(prm, "scripted"))
    assert "its prefix cache gives other results" in findings(report, "bad")
    assert prm.incremental
