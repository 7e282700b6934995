"""Critics on real vLLM engines, in this process and on a server, beside one on transformers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from certainty_cases import PROBLEM
from ets import demo
from ets.loop.thread import LoopThread
from ets.prm import load_prm
from ets.prm.generative import GenerativePRM
from ets.step import Prefix, Score, Step
from vllm_server import VLLMServer

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
FORMS = (
    "form=thinkprm&critique_tokens=48",
    # The tiny policy knows no verdict; these are words that it does write.
    "ask=&end=%0A%0A&critique_tokens=48&yes=answer&no=marbles",
)
TEXTS = (("Ben has 9 coins.",), ("Ben has 9 coins.", "9 plus 6 is 15."), ("So 3 + 4 = 8.",))
SOLUTIONS = [
    Prefix(PROBLEM, 0, (), tuple(Step(f"{text}\n\n", (1,), "step") for text in texts))
    for texts in TEXTS
]


async def judged(critic: str, forms: Sequence[str] = FORMS) -> list[tuple[Score, list[str]]]:
    found = []
    for form in forms:
        prm = load_prm(f"generative:{critic}?{form}")
        assert isinstance(prm, GenerativePRM)
        try:
            scores = await asyncio.gather(*map(prm.score, SOLUTIONS))
            found += [(s, await prm.critiques(p)) for s, p in zip(scores, SOLUTIONS, strict=True)]
        finally:
            await prm.aclose()
    return found


@pytest.fixture(scope="module")
def on_transformers(engine_loop: LoopThread) -> list[tuple[Score, list[str]]]:
    return engine_loop.run(judged, f"transformers:{demo.policy_path()}")


def test_critiques_in_this_process_are_those_of_transformers(
    on_transformers: list[tuple[Score, list[str]]], engine_loop: LoopThread
) -> None:
    """Of the form that reads log-probabilities; each takes an engine of its own."""
    found = engine_loop.run(judged, f"vllm:{demo.policy_path()}", FORMS[1:])
    assert_equal_critiques(found, on_transformers[len(SOLUTIONS) :])


def test_critiques_of_a_server_are_those_of_transformers(
    tiny_server: VLLMServer,
    on_transformers: list[tuple[Score, list[str]]],
    engine_loop: LoopThread,
) -> None:
    pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")
    found = engine_loop.run(judged, f"openai:tiny@{tiny_server.url}")
    assert_equal_critiques(found, on_transformers)
    assert len({round(wanted.reward, 3) for wanted, _ in on_transformers}) == 4


def assert_equal_critiques(
    found: list[tuple[Score, list[str]]], expected: list[tuple[Score, list[str]]]
) -> None:
    assert [texts for _, texts in found] == [texts for _, texts in expected]
    for (score, _), (wanted, _) in zip(found, expected, strict=True):
        assert score.reward == pytest.approx(wanted.reward, abs=1e-3)
        assert score.prompt_tokens == wanted.prompt_tokens > 0
        assert score.written_tokens == wanted.written_tokens > 0
