"""Many replicas behind one search: what they add, what placing costs, what affinity is worth.

    python benches/fleet.py [--width 4 | --servers | --many 100000]

Without an option: workers whose scripted engines answer every request after the same time, 1 to 8
of them with 64 problems each in flight; problems per minute beside those of one, and processor time
of this process for each node.

With `--many`: so many problems through `map` over two workers, and this process's memory meanwhile.

With `--servers`: the bundled policy on vLLM servers on this CPU. The share of prompt tokens that
came from a prefix cache, with one server, with two and a problem on each, and with two over which
requests are scattered in turn, as a balancer by queues does.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import ets
from ets import demo
from ets.engines.protocols import Policy
from ets.policy.openai import OpenAIPolicy
from ets.step import Prefix, Score, Step
from policy_server import PolicyServer, served

LATENCY = 2.0
"""Seconds for a step: what an engine takes that works on a thousand requests at once."""
EACH = 64
"""Problems in flight on a replica."""


@dataclass(frozen=True)
class Latent:
    """Steps that follow from the seed, each after so many seconds; solutions of five steps."""

    seconds: float = LATENCY

    def start(self, problem: str) -> Prefix:
        return Prefix(problem=problem, prompt_tokens=100, token_ids=tuple(range(100)))

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        await asyncio.sleep(self.seconds)
        number = random.Random(seed).randrange(1000)
        ids = tuple(range(number, number + 30))
        if len(prefix.steps) == 4:
            return Step(f"The answer is {number % 7}.", ids, "answer", prompt_tokens=100)
        return Step(f"thought {number}\n\n", ids, "step", prompt_tokens=100)

    async def aclose(self) -> None:
        pass


class InstantPRM:
    """Rewards that follow from the ids."""

    async def score(self, prefix: Prefix) -> Score:
        return Score(prefix.token_ids[-1] % 101 / 101)

    async def aclose(self) -> None:
        pass


class Scattered:
    """Policies asked in turn, whoever asks."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._policies = policies
        self._turns = itertools.cycle(policies)

    def start(self, problem: str) -> Prefix:
        return self._policies[0].start(problem)

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        return await next(self._turns).sample(prefix, seed=seed, max_tokens=max_tokens)

    async def aclose(self) -> None:
        pass


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--width", type=int, default=4)
    parser.add_argument("--servers", action="store_true")
    parser.add_argument("--many", type=int, metavar="PROBLEMS")
    given = parser.parse_args()
    if given.servers:
        affinity()
    elif given.many is not None:
        memory(given.many)
    else:
        scaling(given.width)


def scaling(width: int) -> None:
    """Workers that only wait."""
    print("| workers | problems | problems a minute | of linear | us of this process a node |")
    print("| --- | --- | --- | --- | --- |")
    one = None
    for count in (1, 2, 4, 8):
        problems = [f"problem {i}" for i in range(2 * EACH * count)]
        with ets.Search(
            Latent(), InstantPRM(), ets.REBASE(width=width), workers=ets.Workers(count)
        ) as search:
            # Each worker has loaded its engines, and knows this search.
            list(search.map(problems[:count], concurrency=count))
            begin, cpu = time.perf_counter(), time.process_time()
            results = list(search.map(problems, concurrency=EACH * count, ordered=False))
            seconds, used = time.perf_counter() - begin, time.process_time() - cpu
        nodes = sum(len(result.tree.nodes) - 1 for result in results)
        rate = len(problems) / seconds * 60
        one = one or rate
        print(
            f"| {count} | {len(problems)} | {rate:,.0f} | {rate / one / count:.3f} "
            f"| {used / nodes * 1e6:.0f} |",
            flush=True,
        )


def memory(problems: int) -> None:
    """What is resident of this process, as results come and go."""
    print("| problems done | MB of this process |\n| --- | --- |")
    texts = (f"problem {i}" for i in range(problems))
    with ets.Search(
        Latent(seconds=0.0), InstantPRM(), ets.REBASE(width=2), workers=ets.Workers(2)
    ) as search:
        for done, _ in enumerate(search.map(texts, concurrency=32), 1):
            if done % (problems // 10) == 0:
                print(f"| {done:,} | {resident_mb():.1f} |", flush=True)


def resident_mb() -> float:
    """Of this process, now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def affinity() -> None:
    """One server, two, and two by turns."""
    os.environ.setdefault("VLLM_SERVER_DEV_MODE", "1")  # or the cache cannot be emptied
    texts = [str(problem["problem"]) for problem in demo.problems()[:24]]
    print("| policy | prompt tokens from cache | problems a minute |\n| --- | --- | --- |")
    with ExitStack() as stack:
        servers = [stack.enter_context(served(demo.policy_path(), "demo")) for _ in range(2)]
        policies = [policy_of(server) for server in servers]
        for name, given in (
            ("one server", policies[:1]),
            ("two, a problem on one", policies),
            ("two, requests in turn", [Scattered(policies)]),
        ):
            for server in servers:
                server.forget()
            with ets.Search(given, "demo", ets.REBASE(width=16)) as search:
                begin = time.perf_counter()
                results = list(search.map(texts, concurrency=8))
                seconds = time.perf_counter() - begin
            cached = sum(result.usage.policy_cached_tokens for result in results)
            read = sum(result.usage.policy_prompt_tokens for result in results)
            rate = len(texts) / seconds * 60
            print(f"| {name} | {cached / read:.1%} | {rate:.0f} |", flush=True)


def policy_of(server: PolicyServer) -> OpenAIPolicy:
    """The bundled policy behind a server."""
    return OpenAIPolicy(server.model, server.url, tokenizer=demo.policy_path())


if __name__ == "__main__":
    main()
