"""PRMs on real vLLM servers: a row per step tag, a hidden state, a whole search."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ets
from ets import demo
from ets.doctor import Load, examine
from ets.loop.thread import LoopThread
from ets.step import Prefix, Score, Step
from models_page import hold_difference
from on_vllm import BLOCK
from plain_demo import plain_score, trained_on
from prm_cases import PARTS, PROBLEM, SOLUTIONS, encode, make_math_shepherd, plain_math_shepherd
from vllm_server import VLLMServer, vllm_server

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")

from ets.prm.pooling import PoolingPRM

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


def prefix_of(steps: list[str]) -> Prefix:
    return Prefix(PROBLEM, 0, (), tuple(Step(f"{text}\n\n", (1,), "step") for text in steps))


async def together(prm: PoolingPRM, prefixes: list[Prefix]) -> list[Score]:
    return list(await asyncio.gather(*map(prm.score, prefixes)))


def counted(server: VLLMServer, name: str) -> int:
    """A counter of the engine's, such as the tokens that were found in its cache."""
    found = re.search(rf"^vllm:{name}\{{.*\}} (\S+)$", server.get("/metrics"), re.MULTILINE)
    assert found
    return int(float(found[1]))


# --- the demo PRM: a row per step tag -------------------------------------------------------------


@pytest.fixture(scope="module")
def rows_server() -> Iterator[VLLMServer]:
    (tag,) = encode(demo.prm_path(), "<extra_0>")
    config = f'{{"tok_pooling_type": "STEP", "step_tag_id": {tag}}}'
    with vllm_server(
        demo.prm_path(), "--runner", "pooling", "--pooler-config", config, name="prm"
    ) as started:
        yield started


@pytest.fixture(scope="module")
def rows_prm(rows_server: VLLMServer, engine_loop: LoopThread) -> Iterator[PoolingPRM]:
    made = PoolingPRM("prm", rows_server.url)
    yield made
    engine_loop.run(made.aclose)


def test_rows_are_those_of_a_plain_computation(
    rows_prm: PoolingPRM, engine_loop: LoopThread
) -> None:
    prefixes = trained_on() + [prefix_of(steps) for steps in SOLUTIONS]
    expected = [plain_score(prefix) for prefix in prefixes]
    assert max(expected) - min(expected) > 0.5, "these solutions cannot tell tokens apart"
    found = engine_loop.run(together, rows_prm, prefixes)
    hold_difference([score.reward for score in found], expected, "qwen", "pooling")
    assert {score.cached_tokens for score in found} == {0}


def test_rows_are_read_in_full(
    rows_prm: PoolingPRM, rows_server: VLLMServer, engine_loop: LoopThread
) -> None:
    """As the docs say: a request cannot ask for the cache. If this fails, use it."""
    before = counted(rows_server, "prefix_cache_hits_total")
    for _ in range(2):
        engine_loop.run(rows_prm.score, prefix_of(SOLUTIONS[3]))
    assert counted(rows_server, "prefix_cache_hits_total") == before


def test_a_model_that_returns_no_states_as_a_judge(
    rows_server: VLLMServer, shepherd: Path, engine_loop: LoopThread
) -> None:
    prm = PoolingPRM("prm", rows_server.url, checkpoint=shepherd)
    with pytest.raises(ets.EngineError, match=r"refuses /pooling with 400.* --convert embed"):
        engine_loop.run(prm.score, prefix_of(SOLUTIONS[0]))
    engine_loop.run(prm.aclose)


def test_the_doctor_examines_it(rows_server: VLLMServer) -> None:
    name = f"pooling:prm@{rows_server.url}"
    (report,) = asyncio.run(
        examine(None, name, policy_options={}, prm_options={}, load=Load(16, 1024))
    )
    assert report.healthy, report.findings
    assert report.facts["format"].startswith("qwen")
    assert report.shown[0].tokens > 20


def test_a_search_over_the_server(rows_server: VLLMServer) -> None:
    problem = demo.problems()[2]
    with ets.Search(
        policy="demo",
        prm=f"pooling:prm@{rows_server.url}",
        strategy=ets.ETS(width=16),
        max_depth=10,
    ) as search:
        result = search.solve(str(problem["problem"]))
    assert result.answer == str(problem["answer"])
    assert len(result.trajectories) == 16
    rewards = [reward for found in result.trajectories for reward in found.rewards]
    assert max(rewards) - min(rewards) > 0.1
    assert result.usage.prm_calls > 16
    assert result.usage.prm_tokens > 0


# --- Math-Shepherd: a hidden state ----------------------------------------------------------------


@pytest.fixture(scope="module")
def shepherd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pooling") / "math-shepherd-mistral-7b-prm"
    folder.mkdir()
    make_math_shepherd(folder)
    return folder


@pytest.mark.rare
def test_states_are_those_of_a_plain_computation(shepherd: Path, engine_loop: LoopThread) -> None:
    expected = [plain_math_shepherd(shepherd, PROBLEM, steps) for steps in PARTS]
    assert max(expected) - min(expected) > 0.02, "these solutions cannot tell formats apart"
    prefixes = [prefix_of(steps) for steps in PARTS]
    # Started as bare as can be: requests themselves ask for states that are not normalised.
    with vllm_server(shepherd, "--runner", "pooling", "--convert", "embed", name="prm") as server:
        prm = PoolingPRM("prm", server.url)
        found = engine_loop.run(together, prm, prefixes)
        hold_difference([score.reward for score in found], expected, "math-shepherd", "pooling")

        before = counted(server, "prefix_cache_hits_total")
        again = engine_loop.run(together, prm, prefixes)
        assert [score.reward for score in again] == pytest.approx(expected, abs=1e-4)
        assert counted(server, "prefix_cache_hits_total") >= before + BLOCK

        wrong = PoolingPRM("prm", server.url, checkpoint=demo.prm_path())
        with pytest.raises(ets.EngineError, match=r"refuses /pooling with 400.*--runner pooling$"):
            engine_loop.run(wrong.score, prefixes[0])
        for made in (prm, wrong):
            engine_loop.run(made.aclose)
