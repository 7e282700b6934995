"""What the search itself costs a node: engines that answer at once, from a recording.

    python benches/loop_overhead.py [--width 256] [--depth 10] [--problems 4] [--profile]

The recording is made up from seeds: steps of ten tokens, rewards, and embeddings of 384 dimensions,
all made before the clock starts, so that what is timed is asking, waiting, telling, clustering,
selecting and voting.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ets
from ets.step import Prefix, Score, Step

DIMENSIONS = 384
MEANINGS = 64


class RecordedPolicy:
    """A step for each seed, from a table; the last depth answers."""

    def __init__(self, depth: int) -> None:
        self._last = depth - 1
        self._steps = [Step(f"step {i}\n\n", tuple(range(i, i + 10)), "step") for i in range(997)]
        self._answers = [Step(f"The answer is {i}.", (i, 1, 2), "answer") for i in range(7)]

    def start(self, problem: str) -> Prefix:
        return Prefix(problem, 100, tuple(range(100)))

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        table = self._answers if len(prefix.steps) == self._last else self._steps
        return table[seed % len(table)]

    async def aclose(self) -> None:
        pass


class RecordedPRM:
    """A reward for each first token of the last step."""

    def __init__(self) -> None:
        self._rewards = np.random.default_rng(0).random(997).tolist()

    async def score(self, prefix: Prefix) -> Score:
        return Score(self._rewards[prefix.steps[-1].token_ids[0]])

    async def aclose(self) -> None:
        pass


class RecordedEmbedder:
    """One of some meanings, slightly reworded, for each text."""

    def __init__(self) -> None:
        draw = np.random.default_rng(1)
        meanings = draw.normal(size=(MEANINGS, DIMENSIONS))
        self._vectors: dict[str, NDArray[np.float32]] = {
            f"step {i}\n\n": (meanings[i % MEANINGS] + 0.05 * draw.normal(size=DIMENSIONS)).astype(
                np.float32
            )
            for i in range(997)
        }

    async def embed(self, text: str) -> NDArray[np.float32]:
        return self._vectors[text]

    async def aclose(self) -> None:
        pass


class RecordedInstantEmbedder(RecordedEmbedder):
    """The same, for which nobody has to wait."""

    def vector(self, text: str) -> NDArray[np.float32]:
        return self._vectors[text]


def measure(strategy: Any, embedder: Any, depth: int, problems: int) -> dict[str, float]:
    """Microseconds a node, medians over problems; and what of it is clustering and selection."""
    engines: dict[str, Any] = {
        "policy": RecordedPolicy(depth),
        "prm": RecordedPRM(),
        "embedder": embedder,
    }
    rows = []
    with ets.Search(strategy=strategy, max_depth=depth + 1, **engines) as search:
        search.solve("warm up")
        for number in range(problems):
            begin = time.perf_counter()
            result = search.solve(f"problem {number}")
            seconds = time.perf_counter() - begin
            nodes = len(result.tree.nodes) - 1
            decide = sum(timing.decide_us for timing in result.tree.timings)
            rows.append((seconds * 1e6 / nodes, decide / nodes, nodes))
    return {
        "us_per_node": statistics.median(row[0] for row in rows),
        "of_which_deciding_us": statistics.median(row[1] for row in rows),
        "nodes": statistics.median(row[2] for row in rows),
    }


def main() -> None:
    """Measure each strategy and write `build/loop_overhead.json`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--depth", type=int, default=10)
    parser.add_argument("--problems", type=int, default=8)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    ready = RecordedInstantEmbedder()
    rows: dict[str, tuple[Any, RecordedEmbedder]] = {
        "ETS": (ets.ETS(width=options.width), ready),
        "ETS, embeddings awaited": (ets.ETS(width=options.width), RecordedEmbedder()),
        "ETS-KV": (ets.ETS(width=options.width, lambda_d=0.0), ready),
        "REBASE": (ets.REBASE(width=options.width), ready),
    }
    report = {}
    for name, (strategy, embedder) in rows.items():
        report[name] = measure(strategy, embedder, options.depth, options.problems)
        print(name, json.dumps(report[name]))
    if options.profile:
        _profile(*rows["ETS"], options.depth)
    path = Path("build/loop_overhead.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"width": options.width, "depth": options.depth, **report}))


def _profile(strategy: Any, embedder: Any, depth: int) -> None:
    """Where the time of the event loop's thread goes."""
    profile = cProfile.Profile()
    search = ets.Search(
        policy=RecordedPolicy(depth),
        prm=RecordedPRM(),
        embedder=embedder,
        strategy=strategy,
        max_depth=depth + 1,
    )

    async def run() -> None:
        profile.enable()
        for number in range(4):
            await search._solver.solve(f"problem {number}")
        profile.disable()

    search._loop.run(run)
    search.close()
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
