"""The doctor's plan of a GPU, its pages as they come, and PRMs held against known scores."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ets.cli.doctor import run_doctor
from ets.cli.output import Output
from ets.cli.waiting import Waiting
from ets.doctor import Engines, Load, Report, examinations, examine_memory
from ets.doctor.exam import PROBLEM, solution
from ets.doctor.known import KnownAnswer, all_known, check_known, known_answers
from ets.memory import Engine
from ets.prm import load_prm
from ets.prm.formats import load_format
from model_configs import BY_NAME
from test_doctor import ets_doctor, findings
from test_presets import vocabulary

GIB = 1 << 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("configs")
    for name in ("Qwen2.5-Math-1.5B-Instruct", "Qwen2.5-Math-PRM-7B", "Llama-3.1-8B-Instruct"):
        BY_NAME[name].write(made)
    return made


def plan(folder: Path, *more: str, gib: str = "24") -> subprocess.CompletedProcess[str]:
    return ets_doctor(
        *("--gpu-memory", gib, "--width", "64"),
        *("--policy", f"vllm:{folder}/Qwen2.5-Math-1.5B-Instruct"),
        *("--prm", f"vllm:{folder}/Qwen2.5-Math-PRM-7B", *more),
    )


@pytest.fixture(scope="module")
def planned(folder: Path) -> subprocess.CompletedProcess[str]:
    return plan(folder)


def test_a_plan_of_configs_alone(planned: subprocess.CompletedProcess[str]) -> None:
    done = planned
    assert done.returncode == 0, done.stderr
    for words in (
        "memory a GPU of 24 GiB",
        "13.19 GiB weights",
        "gpu_memory_utilization=0.2196",
        "width 64 fits only as far as solutions share steps or end early",
        "quantization=fp8 for the PRM (84 solutions)",
        "device_ids=[1] for the PRM",
    ):
        assert words in done.stdout
    assert "loading" not in done.stderr, "nothing is loaded"


@pytest.mark.slow
def test_a_plan_that_does_not_fit_says_what_would(folder: Path) -> None:
    done = plan(folder, gib="16")
    assert done.returncode == 1
    assert "it does not fit: weights and what is needed beside them come to 20.09" in done.stdout
    assert "quantization=fp8 for both (15 solutions)" in done.stdout


@pytest.mark.slow
def test_a_plan_as_json(folder: Path) -> None:
    done = plan(folder, "--json", "--max-tokens", "2048", gib="80")
    (report,) = map(json.loads, done.stdout.splitlines())
    assert (report["part"], report["healthy"]) == ("memory", True)
    assert [finding["level"] for finding in report["findings"]] == ["good"]
    assert list(report["facts"]) == ["policy", "PRM", "left free"]


@pytest.mark.slow
def test_a_gpu_without_engines() -> None:
    done = ets_doctor("--gpu-memory", "24")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--gpu-memory divides a GPU among vllm:PATH and transformers:PATH" in done.stderr


def test_a_config_that_is_not_there(tmp_path: Path) -> None:
    done = ets_doctor("--gpu-memory", "24", "--policy", f"vllm:{tmp_path}/no", "--prm", "none")
    assert done.returncode == 1
    assert "there is no checkpoint folder" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_every_way_that_helps_holds_more_than_the_plan(folder: Path) -> None:
    engines = Engines(
        Engine(f"vllm:{folder}/Llama-3.1-8B-Instruct?tensor_parallel_size=1"),
        Engine(f"vllm:{folder}/Qwen2.5-Math-PRM-7B"),
        Engine(),
    )
    (report,) = examine_memory(engines, 24 * GIB, Load(16, 1024))
    assert not report.healthy
    assert "tensor_parallel_size=2 for both, on two GPUs" in findings(report, "bad")
    (alone,) = examine_memory(
        Engines(engines.policy, Engine("none"), Engine()), 24 * GIB, Load(16, 1024)
    )
    assert "its KV cache holds" in findings(alone, "note") + findings(alone, "good")
    (tiny,) = examine_memory(engines, GIB, Load(16, 1024))
    assert "a smaller PRM or policy, or a larger GPU" in findings(tiny, "bad")
    apart = engines.changed(policy={"device_ids": [0]}, prm={"device_ids": [1]})
    assert len(examine_memory(apart, 24 * GIB, Load(16, 1024))) == 2


def test_reports_come_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    async def first() -> tuple[Report, list[str]]:
        found = examinations("demo", "demo", policy_options={}, prm_options={}, load=Load(4, 100))
        report = await anext(found)
        said = [record.getMessage() for record in caplog.records]
        await found.aclose()
        return report, said

    with caplog.at_level(logging.INFO, logger="ets"):
        report, said = asyncio.run(first())
    assert report.part == "policy"
    assert said == [
        "loading the policy demo",
        "loading the PRM demo",
        "trying the policy demo",
    ], "the PRM is not tried before the policy's page is out"


def test_what_goes_on_is_a_line_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger = logging.getLogger("ets")
    before = (logger.level, list(logger.handlers))
    with Waiting(Output(io.StringIO(), as_json=False)):
        logging.getLogger("ets.vllm").info("compiling %d\ngraphs", 3)
        logging.getLogger("ets.vllm").debug("too much")
    assert (logger.level, logger.handlers) == before
    assert capsys.readouterr().err == "[0 s] compiling 3 graphs\n"


def test_pages_are_written_before_the_next_engine_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stdout = io.StringIO()
    seen: list[str] = []

    async def examine_prm(prm: object, name: str, *, known: bool) -> Report:
        seen.append(stdout.getvalue())
        return Report("PRM", name)

    monkeypatch.setattr("ets.doctor.examine_prm", examine_prm)
    assert run_doctor({}, Output(stdout, as_json=True)) == 0
    (before,) = seen
    assert json.loads(before)["part"] == "policy"
    assert len(stdout.getvalue().splitlines()) == 2


def check(name: str, known: list[KnownAnswer] | None = None) -> Report:
    async def run() -> Report:
        prm = load_prm("demo")
        report = Report("PRM", name)
        try:
            await check_known(prm, name, report, known)
        finally:
            await prm.aclose()
        return report

    return asyncio.run(run())


def test_the_bundled_prm_has_its_known_scores() -> None:
    report = check("demo")
    assert [finding.level for finding in report.findings] == ["good", "good"]


def test_one_wrong_score_is_found() -> None:
    right = known_answers("demo")[0]
    assert right.problem == PROBLEM
    wrong = replace(right, scores=(right.scores[0], right.scores[1] - 0.01, right.scores[2]))
    report = check("demo", [wrong])
    assert not report.healthy
    assert "off by at most 0.0100 at step 2, more than 0.002" in findings(report, "bad")


def test_another_text_is_found() -> None:
    right = known_answers("demo")[0]
    steps = (right.steps[0], right.steps[1].replace("3 * 2 = 6", "3 + 2 = 5"), right.steps[2])
    assert not check("demo", [replace(right, steps=steps)]).healthy


def test_a_model_of_which_nothing_is_known() -> None:
    (finding,) = check("vllm:some/other-prm").findings
    assert finding.level == "note"
    assert "no scores of vllm:some/other-prm are known; they are of qwen2.5-math" in finding.text


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("demo", 2),
        ("demo?dtype=float32", 2),
        ("vllm:Qwen/Qwen2.5-Math-PRM-7B", 1),
        ("transformers:/models/Qwen2.5-Math-PRM-7B/?incremental=false", 1),
        ("pooling:Qwen/Qwen2.5-Math-PRM-7B@http://host:8000", 1),
        ("vllm:peiyi9979/math-shepherd-mistral-7b-prm", 2),
        ("vllm:Qwen/Qwen2.5-Math-PRM-72B", 0),
    ],
)
def test_known_scores_are_found_by_name(name: str, count: int) -> None:
    assert len(known_answers(name)) == count


def test_the_table_has_a_score_for_every_step() -> None:
    for known in all_known():
        assert len(known.scores) == len(known.steps)
        assert all(0 <= score <= 1 for score in known.scores)
        assert 0 < known.tolerance <= 0.05


def test_the_command_checks_known_scores() -> None:
    done = ets_doctor("--prm", "demo", "--known")
    assert done.returncode == 0
    assert done.stdout.count("known scores (measured for this table, float64)") == 2


def test_qwens_card_is_sent_word_for_word(tmp_path: Path) -> None:
    """As the card has it: the whole conversation through the template, read at each tag."""
    from transformers import PreTrainedTokenizerFast

    import vocabularies

    facts = BY_NAME["Qwen2.5-Math-PRM-7B"]
    path = facts.write(tmp_path)
    for file in vocabulary(vocabularies.qwen_prm_tokenizer_path).iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    (known,) = known_answers(f"vllm:{path}")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(path)
    system = "Please reason step by step, and put your final answer within \\boxed{}."
    text = (
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{known.problem}<|im_end|>\n"
        f"<|im_start|>assistant\n{'<extra_0>'.join(known.steps)}<extra_0>"
    )
    form = load_format(str(path), None, {})
    assert form.name == "qwen"
    ids = form.ids(solution(known.steps, problem=known.problem))
    assert ids is not None
    assert list(ids) == tokenizer.encode(text, add_special_tokens=False)
    assert ids.count(tokenizer.convert_tokens_to_ids("<extra_0>")) == len(known.scores)


def test_shepherds_card_is_sent_word_for_word(tmp_path: Path) -> None:
    import vocabularies
    from ets.checkpoint.sentencepiece_model import SentencePieceModel

    path = BY_NAME["math-shepherd-mistral-7b-prm"].write(tmp_path)
    for file in vocabulary(vocabularies.mistral_tokenizer_path).iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    tokenizer = SentencePieceModel(path / "tokenizer.model")
    form = load_format(str(path), None, {})
    for known in known_answers(f"vllm:{path}"):
        output = "\n".join(f"Step {k}: {step} ки" for k, step in enumerate(known.steps, 1))
        ids = form.ids(solution(known.steps, problem=known.problem))
        assert ids is not None
        assert list(ids) == [1, *tokenizer.encode(f"{known.problem} {output}")]
        assert ids.count(12902) == len(known.scores)


def test_the_plan_in_the_docs_is_what_is_printed(
    planned: subprocess.CompletedProcess[str],
) -> None:
    text = (Path(__file__).parents[1] / "docs" / "memory.md").read_text("utf-8")
    printed = [line for line in planned.stdout.splitlines() if line.startswith(("  ", "! "))]
    assert len(printed) == 5
    for line in printed:
        assert line.rstrip() in text
