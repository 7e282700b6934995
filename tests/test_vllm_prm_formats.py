"""Every PRM format on real vLLM engines against a plain computation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from ets.errors import EngineError
from ets.loop.thread import LoopThread
from ets.prm.vllm import VLLMPRM
from ets.step import Prefix, Score, Step
from models_page import hold_difference
from on_vllm import BLOCK
from prm_cases import CASES, PARTS, PROBLEM, SOLUTIONS, Case, Steps

pytestmark = pytest.mark.vllm
ELSEWHERE = ("qwen", "skywork")  # test_vllm.py runs the one, vLLM does not run the other
ON_VLLM = [case for case in CASES if case.format not in ELSEWHERE]
Engines = dict[str, tuple[VLLMPRM, Path]]


@pytest.fixture(scope="module")
def engines(engine_loop: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """One engine per format; they start at the same time."""
    made: Engines = {}
    for case in ON_VLLM:
        folder = tmp_path_factory.mktemp(case.format) / case.folder
        folder.mkdir()
        case.make(folder)
        prm = VLLMPRM(folder, gpu_memory_utilization=0.1, **case.options)
        made[case.format] = (prm, folder)
    for prm, _ in made.values():
        engine_loop.run(prm.ready)
    yield made
    for prm, _ in made.values():
        engine_loop.run(prm.aclose)


def prefix_of(steps: list[str]) -> Prefix:
    return Prefix(PROBLEM, 0, (), tuple(Step(f"{text}\n\n", (1,), "step") for text in steps))


async def together(prm: VLLMPRM, solutions: list[Steps] = SOLUTIONS) -> list[Score]:
    return list(await asyncio.gather(*(prm.score(prefix_of(steps)) for steps in solutions)))


@pytest.mark.rare
@pytest.mark.parametrize("case", ON_VLLM, ids=lambda case: case.format)
def test_scores_are_those_of_a_plain_computation(
    case: Case, engines: Engines, engine_loop: LoopThread
) -> None:
    prm, folder = engines[case.format]
    expected = [case.plain(folder, PROBLEM, steps) for steps in PARTS]
    assert max(expected) - min(expected) > 0.02, "these solutions cannot tell formats apart"
    found = [score.reward for score in engine_loop.run(together, prm, PARTS)]
    hold_difference(found, expected, case.format, "vllm")


@pytest.mark.rare
@pytest.mark.parametrize("case", ON_VLLM, ids=lambda case: case.format)
def test_incremental_is_full(case: Case, engines: Engines, engine_loop: LoopThread) -> None:
    prm, _ = engines[case.format]
    first = prm.format.parts(prefix_of(SOLUTIONS[0]))
    assert first is not None
    known = sum(map(len, first[:2])) // BLOCK * BLOCK
    assert known >= BLOCK, "the problem is too short for this test"
    engine_loop.run(prm.score, prefix_of(SOLUTIONS[0]))
    incremental = engine_loop.run(together, prm)
    assert [score.cached_tokens >= known for score in incremental[1:3]] == [True, True]
    prm.incremental = False
    try:
        full = engine_loop.run(together, prm)
    finally:
        prm.incremental = True
    assert [score.cached_tokens for score in full] == [0] * len(full)
    assert [s.reward for s in full] == pytest.approx([s.reward for s in incremental], abs=1e-4)


def test_skywork_needs_transformers(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.format == "skywork")
    case.make(tmp_path)
    with pytest.raises(EngineError, match=r"\(skywork\) cannot run: .* use transformers:PATH"):
        VLLMPRM(tmp_path)
