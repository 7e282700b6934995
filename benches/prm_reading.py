"""How a PRM that is a language model is read on vLLM: the last hidden state, or a sampled token.

    python benches/prm_reading.py --model PATH [--siblings 48] [--rounds 3]

Each round scores siblings over a long shared prefix with a language model as a judge (the format
`judge`): by pooling, where the engine gives the last token's hidden state and the head is applied
here, as `ets.prm.vllm` does; by pooling without the prefix cache; and by generating one token among
the judge's words, whose log-probabilities vLLM returns.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

from ets.engines.vllm.engine import VLLMEngine, rendered
from ets.prm.formats import load_format
from ets.prm.vllm import VLLMPRM
from ets.step import Prefix, Step

PROBLEM = "Mia has 20 marbles. Eva has 2 more marbles than Mia. How many marbles do both have?"
SHARED = "Eva has 2 more marbles than Mia, who has 20, so Eva has 20 + 2 = 22 marbles."


def siblings(count: int, round_number: int) -> list[Prefix]:
    """Solutions that differ in their last step only."""
    shared = [Step(f"{SHARED} Thought {round_number}.{k}.", (), "step") for k in range(12)]
    return [
        Prefix(PROBLEM, 0, (), (*shared, Step(f"Both have 20 + 22 = {k} marbles.", (), "step")))
        for k in range(count)
    ]


class SampledToken:
    """Generates one token among the words of yes and no."""

    def __init__(self, path: str) -> None:
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        form: Any = load_format(path, "judge", {})
        self.form = form
        self.good = form._good
        words = [*form._good, *form._bad]
        self.engine = VLLMEngine(
            path,
            defaults={
                "runner": "generate",
                "skip_tokenizer_init": True,
                "logprobs_mode": "processed_logprobs",
            },
            options={},
        )
        self.params: Callable[[], Any] = lambda: SamplingParams(
            max_tokens=1,
            temperature=0.0,
            allowed_token_ids=words,
            logprobs=len(words),
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    async def score(self, prefix: Prefix) -> tuple[float, int]:
        """Reward and cached tokens."""
        ids = self.form.ids(prefix)
        reply = await self.engine.run(
            lambda llm, request_id: llm.generate(
                rendered(ids), self.params(), request_id=request_id
            )
        )
        chances = reply.output.outputs[0].logprobs[0]
        reward = sum(math.exp(chances[token].logprob) for token in self.good if token in chances)
        return reward, int(reply.output.num_cached_tokens or 0)


async def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--siblings", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    prm = VLLMPRM(given.model, format="judge")
    sampled = SampledToken(given.model)
    await prm.ready()
    await sampled.engine.ready()

    async def pooled(prefix: Prefix) -> tuple[float, int]:
        score = await prm.score(prefix)
        return score.reward, score.cached_tokens

    ways = {
        "last hidden state": pooled,
        "the same, in full": pooled,
        "sampled token": sampled.score,
    }
    milliseconds: dict[str, list[float]] = {name: [] for name in ways}
    cached: dict[str, int] = {}
    largest: dict[str, float] = dict.fromkeys(ways, 0.0)
    for turn in range(given.rounds + 1):  # the first is for what only the first request costs
        prefixes = siblings(given.siblings, turn)
        rewards: dict[str, list[float]] = {}
        for name, score in ways.items():
            prm.incremental = "full" not in name
            await score(prefixes[0])  # the parent's work
            begin = time.perf_counter()
            found = await asyncio.gather(*map(score, prefixes))
            if turn:
                milliseconds[name].append(1e3 * (time.perf_counter() - begin) / len(prefixes))
            cached[name] = sum(tokens for _, tokens in found) // len(found)
            rewards[name] = [reward for reward, _ in found]
        for name in ways:
            gaps = (
                abs(a - b) for a, b in zip(rewards[name], rewards["the same, in full"], strict=True)
            )
            largest[name] = max(largest[name], *gaps)
    tokens = len(prm.format.ids(siblings(1, 0)[0]) or ())
    print(f"{given.siblings} siblings of {tokens} tokens each, medians of {given.rounds} rounds\n")
    print("| read by | ms a score | tokens from the cache | largest difference from full |")
    print("| --- | --- | --- | --- |")
    for name in ways:
        print(
            f"| {name} | {statistics.median(milliseconds[name]):.1f} | {cached[name]} | "
            f"{largest[name]:.1g} |"
        )
    await prm.aclose()
    await sampled.engine.aclose()


if __name__ == "__main__":
    asyncio.run(main())
