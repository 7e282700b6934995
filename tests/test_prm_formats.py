"""Every PRM format on transformers against a plain computation; what is refused, and how."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from checkpoints import make_llama_policy, make_qwen2_prm
from ets.errors import EngineError, InputError
from ets.prm.checkpoint import Checkpoint
from ets.prm.formats import FORMATS, find_format, load_format
from ets.prm.transformers import TransformersPRM
from ets.step import Prefix, Score, Step
from models_page import hold_difference
from prm_cases import CASES, PARTS, Case, make_llemma

PROBLEM = "Tom has 3 apples and buys 4 more. How many apples does Tom have?"
SOLUTIONS = [
    ["Tom has 3 apples."],
    ["Tom has 3 apples.", "Tom buys 4 more - so he has 3 + 4 = 7."],
    ["Tom has 3 apples.", "Tom buys 4 more - so he has 3 + 4 = 8."],
    ["Ann has 5 pears.\nZoë 🙂 has none.", "So", "Yes! No... ки?", "The answer is 9."],
]


def prefix_of(problem: str, steps: list[str]) -> Prefix:
    return Prefix(problem, 0, (), tuple(Step(f"{text}\n\n", (1,), "step") for text in steps))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for case in CASES:
        made[case.format] = tmp_path_factory.mktemp(case.format) / case.folder
        made[case.format].mkdir()
        case.make(made[case.format])
    return made


async def scores(prm: TransformersPRM, solutions: list[list[str]]) -> list[Score]:
    found = await asyncio.gather(*(prm.score(prefix_of(PROBLEM, s)) for s in solutions))
    return list(found)


def rewards(folder: Path, solutions: list[list[str]] = SOLUTIONS, **options: Any) -> list[float]:
    async def run() -> list[float]:
        prm = TransformersPRM(folder, device="cpu", **options)
        found = await scores(prm, solutions)
        await prm.aclose()
        return [score.reward for score in found]

    return asyncio.run(run())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.format)
def test_scores_are_those_of_a_plain_computation(case: Case, folders: dict[str, Path]) -> None:
    folder = folders[case.format]
    expected = [case.plain(folder, PROBLEM, steps) for steps in PARTS]
    assert max(expected) - min(expected) > 0.02, "these solutions cannot tell formats apart"
    found = rewards(folder, PARTS, **case.options)
    hold_difference(found, expected, case.format, "transformers")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.format)
def test_steps_that_are_no_paragraphs_are_steps_like_others(
    case: Case, folders: dict[str, Path]
) -> None:
    """Cut inside words and lines: each gets what the format puts around a step, once."""
    texts = ["Tom has 3 ap", "ples. Tom buys", " ", "4 more.\n\n3 + 4 = 7.", " So"]
    folder = folders[case.format]
    lines = ["Tom has 3 ap\nples. Tom buys\n 4 more.\n\n3 + 4 = 7.\n So"]
    plain = lines if case.format == "skywork" else [t.strip() for t in texts if t.strip()]
    prefix = Prefix(PROBLEM, 0, (), tuple(Step(text, (1,), "step") for text in texts))

    async def run() -> float:
        prm = TransformersPRM(folder, device="cpu", **case.options)
        score = await prm.score(prefix)
        await prm.aclose()
        return score.reward

    assert asyncio.run(run()) == pytest.approx(case.plain(folder, PROBLEM, plain), abs=1e-5)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.format)
def test_incremental_is_full(case: Case, folders: dict[str, Path]) -> None:
    folder = folders[case.format]
    full = rewards(folder, cache_tokens=0, **case.options)

    async def one_by_one() -> None:
        prm = TransformersPRM(folder, device="cpu", **case.options)
        read: list[int] = []
        for k, steps in enumerate(SOLUTIONS):
            score = await prm.score(prefix_of(PROBLEM, steps))
            assert score.reward == pytest.approx(full[k], abs=1e-5)
            read.append(score.prompt_tokens)
            if k in (1, 2):
                first = prm.format.parts(prefix_of(PROBLEM, SOLUTIONS[0]))
                assert first is not None
                # All of the first step's, but for a question that only the last step is asked.
                assert score.cached_tokens == sum(map(len, first[:2]))
        await prm.aclose()

    asyncio.run(one_by_one())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.format)
def test_a_longer_solution_begins_as_the_shorter_one(case: Case, folders: dict[str, Path]) -> None:
    form = load_format(str(folders[case.format]), case.options.get("format"), {})
    steps = SOLUTIONS[3]
    known: list[tuple[int, ...]] = []
    for k in range(1, len(steps) + 1):
        parts = form.parts(prefix_of(PROBLEM, steps[:k]))
        assert parts is not None
        assert all(parts)
        assert form.ids(prefix_of(PROBLEM, steps[:k])) == sum(parts, ())
        assert parts[: len(known)] == known
        known = parts[: k + 1]
    blank = prefix_of(PROBLEM, [steps[0], " ", ""])
    assert form.parts(blank) == form.parts(prefix_of(PROBLEM, steps[:1]))
    assert form.parts(prefix_of(PROBLEM, ["", " \n"])) is None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.format)
def test_formats_are_recognised(case: Case, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = folders[case.format]
    if case.format == "judge":
        with pytest.raises(EngineError, match=r"no PRM of a known format.*format=NAME"):
            find_format(Checkpoint(str(folder)))
    else:
        assert find_format(Checkpoint(str(folder))) is FORMATS[case.format]
    by_config = case.format in ("qwen", "skywork")
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    if by_config:
        assert find_format(Checkpoint(str(other))) is FORMATS[case.format]
        return
    with pytest.raises(EngineError) as refused:
        find_format(Checkpoint(str(other)))
    message = str(refused.value)
    assert "\n" not in message
    assert all(name in message for name in FORMATS)
    assert "a policy is none at all" in message
    assert load_format(str(other), case.format, {}).name == case.format


def test_an_unknown_format_lists_the_known_ones(folders: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=r"unknown PRM format 'qwen3'; known are qwen \(.*judge"):
        TransformersPRM(folders["qwen"], format="qwen3")


@pytest.mark.parametrize(
    ("checkpoint", "form", "message"),
    [
        ("judge", "qwen", "no qwen PRM: its tokenizer has no token <extra_0>"),
        ("rlhflow", "math-shepherd", "no math-shepherd PRM: its tokenizer has no token ки"),
        ("math-shepherd", "skywork", "lack v_head.summary.weight"),
        ("judge", "skywork", "no skywork PRM: its tokenizer has no bos_token"),
        ("math-shepherd", "rlhflow", "has no chat template"),
        ("rlhflow", "skywork", "lack v_head.summary.weight"),
        ("qwen", "judge", "it cannot be asked"),
        ("qwen", "rlhflow", "lack lm_head.weight"),
    ],
)
def test_a_forced_format_that_does_not_fit(
    checkpoint: str, form: str, message: str, folders: dict[str, Path]
) -> None:
    with pytest.raises(EngineError) as refused:
        TransformersPRM(folders[checkpoint], format=form, device="cpu")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_options_of_a_format(folders: dict[str, Path]) -> None:
    assert rewards(folders["llemma"], after_problem="") != rewards(folders["llemma"])
    other = rewards(folders["judge"], format="judge", question="Right?", yes="yes", no="no")
    assert other != rewards(folders["judge"], format="judge")
    with pytest.raises(InputError, match=r"unknown option 'question' .* rlhflow; its options are"):
        TransformersPRM(folders["rlhflow"], question="Right?")
    with pytest.raises(InputError, match="yes and no must be other words"):
        TransformersPRM(folders["judge"], format="judge", yes="no")
    with pytest.raises(InputError, match="question must not be empty"):
        TransformersPRM(folders["judge"], format="judge", question=" ")
    with pytest.raises(EngineError, match=r"none of .*Aubergine"):
        TransformersPRM(folders["judge"], format="judge", yes="Aubergine")


def test_a_policy_may_write_step_numbers_and_tags_itself(folders: dict[str, Path]) -> None:
    form = load_format(str(folders["math-shepherd"]), None, {})
    plain = form.ids(prefix_of(PROBLEM, ["Tom has 3.", "So 7."]))
    written = ["Step 1: Tom has 3. ки", "Step 2: So 7. ки"]
    assert form.ids(prefix_of(PROBLEM, written)) == plain
    assert form.ids(prefix_of(PROBLEM, ["Step 2: Tom has 3.", "So 7."])) != plain


def test_a_llemma_head_of_all_rows(tmp_path: Path) -> None:
    folder = tmp_path / "llemma-prm"
    folder.mkdir()
    make_llemma(folder, rows=None)
    plain = next(case.plain for case in CASES if case.format == "llemma")
    expected = [plain(folder, PROBLEM, steps) for steps in SOLUTIONS]
    assert rewards(folder) == pytest.approx(expected, abs=1e-5)


def test_a_template_that_cannot_be_read_turn_by_turn(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "Llama3.1-8B-PRM-Mistral-Data"
    shutil.copytree(folders["rlhflow"], folder)
    template = folder / "chat_template.jinja"
    text = template.read_text()
    template.write_text(text.replace("{% if add", "{% if messages|length > 1 and add"))
    with pytest.raises(EngineError, match=r"does not stand where the assistant's turn begins"):
        TransformersPRM(folder)
    template.write_text(text + "{{ raise_exception('no such role') }}")
    with pytest.raises(EngineError, match=r"refuses the messages \(user\): no such role"):
        TransformersPRM(folder)


def test_logits_that_the_head_alone_does_not_show(folders: dict[str, Path], tmp_path: Path) -> None:
    import json

    folder = tmp_path / "capped"
    shutil.copytree(folders["judge"], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"final_logit_softcapping": 30.0}))
    with pytest.raises(EngineError, match="changes its logits"):
        TransformersPRM(folder, format="judge")


def test_too_long_for_the_model(folders: dict[str, Path]) -> None:
    form = load_format(str(folders["qwen"]), None, {}, max_length=30)
    with pytest.raises(EngineError, match=r"solution of \d+ tokens .* at most 30 tokens"):
        form.ids(prefix_of(PROBLEM, SOLUTIONS[1]))


def test_a_policy_given_as_prm(tmp_path: Path) -> None:
    policy = make_llama_policy(tmp_path / "policy")
    with pytest.raises(EngineError, match=r"LlamaForCausalLM\) is no PRM of a known format"):
        TransformersPRM(policy)


def test_a_prm_without_its_template_or_tag(tmp_path: Path) -> None:
    folder = make_qwen2_prm(tmp_path)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(EngineError, match="has no chat template"):
        TransformersPRM(folder)
