"""An hour in the life of searches: started, cancelled, closed, interrupted, forked, dropped.

`python benches/soak.py --seconds 3600 --seed 0`. Engines are scripted here, so that thousands of
searches pass, but for the bundled pair, which joins in where torch is installed. Every result that
comes is held against that of an undisturbed run; between the rounds threads, descriptors and memory
are counted. Exit status 1 if a result was wrong, something leaked, or a round hung.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import gc
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ets
import ets.demo
from ets.engines.kv_space import KVSpace
from ets.policy import load_policy
from ets.prm import load_prm
from ets.rollout.result import Answered
from ets.step import Prefix, Score, Step
from ets.strategy.base import Strategy

HANG = 180.0
"""Seconds after which a round is a hang."""
GROWTH = 50.0
"""MB that allocators may keep above what they had at first."""
STRATEGIES: tuple[Strategy, ...] = (
    ets.REBASE(width=6),
    ets.ETS(width=8),
    ets.BeamSearch(width=8),
    ets.DVTS(width=8),
    ets.BestOfN(width=4),
)
PROBLEMS = [f"problem {k}" for k in range(24)]
TOLD = [str(problem["problem"]) for problem in ets.demo.problems()[:4]]
ODD = (ValueError, ets.EngineError, SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration)


class ScriptedPolicy:
    """Steps that are a function of the seed; fails once in a while if it is told to."""

    def __init__(self, failing: random.Random | None = None) -> None:
        self.failing = failing

    async def kv_space(self) -> KVSpace:
        """Room for some problems at once."""
        return KVSpace(tokens=4000, block_size=16)

    def start(self, problem: str) -> Prefix:
        """A prompt of five tokens."""
        return Prefix(problem=problem, prompt_tokens=5, token_ids=(1, 2, 3, 4, 5))

    async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
        """A thought, or an answer."""
        draw = random.Random(seed)
        await asyncio.sleep(draw.random() * 0.003)
        if self.failing is not None and self.failing.random() < 0.02:
            raise self.failing.choice(ODD)("on purpose")
        ids = tuple(draw.randrange(100) for _ in range(draw.randrange(1, 12)))
        if len(prefix.steps) >= 2 and draw.random() < 0.5:
            return Step(f"The answer is {draw.randrange(3)}.", ids, "answer")
        return Step(f"thought {draw.randrange(6)}\n\n", ids, "step")

    async def aclose(self) -> None:
        """Nothing to free."""


class ScriptedPRM:
    """Rewards that depend on the ids of the last step alone."""

    async def score(self, prefix: Prefix) -> Score:
        """Of the last step."""
        await asyncio.sleep(0)
        return Score((sum(prefix.steps[-1].token_ids) % 101) / 101)

    async def aclose(self) -> None:
        """Nothing to free."""


def function_prm(problem: str, steps: list[str]) -> float:
    """The same for every step, in a thread."""
    time.sleep(0.001)
    return 0.5


class Soak:
    """The rounds, what they found, and what was counted between them."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.rounds: Counter[str] = Counter()
        self.compared = 0
        self.ended_early = 0
        self.wrong: list[str] = []
        self.policy, self.prm = ScriptedPolicy(), ScriptedPRM()
        self.right: dict[tuple[int, str], tuple[Any, ...]] = {}
        for which, strategy in enumerate(STRATEGIES):
            with ets.Search(self.policy, self.prm, strategy) as search:
                for result in search.map(PROBLEMS):
                    self.right[which, str(result.problem)] = outcome(result)

    def search(self, **options: Any) -> tuple[int, ets.Search]:
        """One of the strategies at random."""
        which = self.draw.randrange(len(STRATEGIES))
        given = {"policy": self.policy, "prm": self.prm, **options}
        return which, ets.Search(strategy=STRATEGIES[which], **given)

    def check(self, which: int, result: ets.SearchResult) -> None:
        """Hold a result against the undisturbed one."""
        self.compared += 1
        if outcome(result) != self.right[which, str(result.problem)]:
            self.wrong.append(f"{STRATEGIES[which]!r} on {result.problem!r}")

    # -- the rounds --------------------------------------------------------------------------------

    def solve(self) -> None:
        """One problem after the other."""
        which, search = self.search()
        with search:
            for problem in self.draw.sample(PROBLEMS, 3):
                self.check(which, search.solve(problem))

    def map_and_leave(self) -> None:
        """Several problems side by side, of which some are not waited for."""
        which, search = self.search()
        wanted = self.draw.randrange(len(PROBLEMS))
        with search, search.map(PROBLEMS, concurrency=self.draw.randrange(1, 12)) as results:
            for _ in range(wanted):
                self.check(which, next(results))

    def stream_closed_elsewhere(self) -> None:
        """A stream that another thread closes."""
        which, search = self.search()
        with search:
            stream = search.stream(self.draw.choice(PROBLEMS))
            after = self.draw.random() * 0.05
            closing = threading.Timer(after, stream.close)
            closing.start()
            for event in stream:
                if isinstance(event, Answered):
                    self.check(which, event.result)
            closing.join()

    def cancel(self) -> None:
        """Asynchronous callers, half of whom are cancelled."""
        which, search = self.search()

        async def main() -> None:
            async with search:
                tasks = [asyncio.create_task(search.asolve(p)) for p in PROBLEMS[:12]]
                await asyncio.sleep(self.draw.random() * 0.05)
                for task in self.draw.sample(tasks, 6):
                    task.cancel()
                for end in await asyncio.gather(*tasks, return_exceptions=True):
                    self._take(which, end, asyncio.CancelledError)

        asyncio.run(main())

    def close_under_callers(self) -> None:
        """Closed while threads solve."""
        which, search = self.search()

        def call() -> None:
            try:
                for problem in PROBLEMS:
                    self.check(which, search.solve(problem))
            except ets.EngineError:
                self.ended_early += 1

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(self.draw.random() * 0.1)
        search.close()
        for thread in threads:
            thread.join()

    def drop(self) -> None:
        """Left amid its work, without a word."""
        which, search = self.search()
        self.check(which, next(search.map(PROBLEMS)))

    def interrupt(self) -> None:
        """Ctrl-C."""
        which, search = self.search()
        after = self.draw.random() * 0.1
        timer = threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()  # it may fire before this returns, where the machine is busy
            with search:
                while True:
                    self.check(which, search.solve(self.draw.choice(PROBLEMS)))
        except KeyboardInterrupt:
            self.ended_early += 1
        timer.join()

    def fork(self) -> None:
        """A child that is told that the parent's search is not for it, and makes its own."""
        which, search = self.search()
        with search:
            self.check(which, search.solve(PROBLEMS[0]))
            child = os.fork()
            if child == 0:
                os._exit(self._child(which, search))
            _, status = os.waitpid(child, 0)
            if status:
                self.wrong.append(f"a forked child ended with status {status}")
            self.check(which, search.solve(PROBLEMS[1]))

    def _child(self, which: int, search: ets.Search) -> int:
        signal.alarm(60)
        try:
            search.solve(PROBLEMS[0])
        except ets.EngineError:
            with ets.Search(self.policy, self.prm, STRATEGIES[which]) as mine:
                return int(outcome(mine.solve(PROBLEMS[0])) != self.right[which, PROBLEMS[0]])
        return 2

    def fail(self) -> None:
        """Engines that raise whatever there is; what comes through is right."""
        which, search = self.search(
            policy=ScriptedPolicy(failing=random.Random(self.draw.random()))
        )
        with search:
            for problem in self.draw.sample(PROBLEMS, 4):
                self._try(which, search, problem)

    def _try(self, which: int, search: ets.Search, problem: str) -> None:
        try:
            self.check(which, search.solve(problem))
        except (ValueError, RuntimeError):
            self.ended_early += 1

    def budget(self) -> None:
        """Time that runs out, with a PRM in threads."""
        _, search = self.search(
            prm=function_prm, budget=ets.Budget(seconds=self.draw.random() * 0.05)
        )
        with search:
            for problem in self.draw.sample(PROBLEMS, 3):
                search.solve(problem)

    def share(self) -> None:
        """Two searches on one engine, by its KV cache."""
        with self._sharing(8) as one, self._sharing(4) as other:

            async def main() -> None:
                await asyncio.gather(*(s.asolve(p) for p in PROBLEMS[:6] for s in (one, other)))

            asyncio.run(main())

    def _sharing(self, width: int) -> ets.Search:
        return ets.Search(
            self.policy, self.prm, ets.ETS(width=width), kv_budget="auto", max_tokens=300
        )

    def model(self) -> None:
        """A model in this process, which several searches use and leave amid a batch."""
        with ets.Search(*self.pair, ets.REBASE(width=4)) as search:
            stream = search.map(TOLD, concurrency=3)
            for _ in range(self.draw.randrange(len(TOLD) + 1)):
                result = next(stream)
                self.compared += 1
                if outcome(result) != self.told[result.problem]:
                    self.wrong.append(f"the bundled pair on {result.problem!r}")

    def load_model(self) -> bool:
        """Load the bundled pair, where it can be loaded, and solve its problems undisturbed."""
        try:
            self.pair = (load_policy("demo"), load_prm("demo"))
        except ets.errors.MissingExtraError as error:
            print(f"without the bundled pair: {error}")
            return False
        with ets.Search(*self.pair, ets.REBASE(width=4)) as search:
            self.told = {result.problem: outcome(result) for result in search.map(TOLD)}
        return True

    def _take(self, which: int, end: Any, *expected: type[BaseException]) -> None:
        if isinstance(end, ets.SearchResult):
            self.check(which, end)
        elif isinstance(end, expected):
            self.ended_early += 1
        else:
            raise end


def outcome(result: ets.SearchResult) -> tuple[Any, ...]:
    """All of a result that must not change."""
    return hash(result.tree.to_json()), result.answer, tuple(map(str, result.votes))


def kinds(soak: Soak) -> list[Callable[[], None]]:
    """The rounds that this system can run."""
    rounds = [
        soak.solve,
        soak.map_and_leave,
        soak.stream_closed_elsewhere,
        soak.cancel,
        soak.close_under_callers,
        soak.drop,
        soak.interrupt,
        soak.fail,
        soak.budget,
        soak.share,
    ]
    if hasattr(os, "fork"):
        rounds.append(soak.fork)
    if soak.load_model():
        rounds.append(soak.model)
    return rounds


def counted() -> tuple[int, int, float]:
    """Threads, descriptors, MB resident; once what was dropped has gone."""
    gc.collect()
    fds = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if fds else 0
    return threading.active_count(), fds, pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def settled(limit: tuple[int, int]) -> tuple[int, int, float]:
    """`counted`, when threads and descriptors have come down to `limit`, or after ten seconds."""
    deadline = time.monotonic() + 10
    while True:
        now = counted()
        if (now[0] <= limit[0] and now[1] <= limit[1]) or time.monotonic() > deadline:
            return now
        time.sleep(0.05)


def looks(seconds: float) -> Iterator[float]:
    """The seconds gone by, until they are used up."""
    begin = time.monotonic()
    while (gone := time.monotonic() - begin) < seconds:
        yield gone


def main() -> int:
    """Soak, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    # A program that a shell has put into the background is not told of interrupts otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.dump_traceback_later(HANG, exit=True)
    soak = Soak(arguments.seed)
    rounds = kinds(soak)
    for each in rounds:  # what is loaded at the first use is no leak
        each()
    first = settled((1, 0))
    print(f"warm: {first[0]} threads, {first[1]} descriptors, {first[2]:.1f} MB", flush=True)
    most, told = first, 0.0
    for gone in looks(arguments.seconds):
        faulthandler.dump_traceback_later(HANG, exit=True)
        each = soak.draw.choice(rounds)
        each()
        soak.rounds[each.__name__] += 1
        if gone - told >= 60:
            told = gone
            now = settled(first[:2])
            most = (max(most[0], now[0]), max(most[1], now[1]), max(most[2], now[2]))
            print(
                f"{gone:6.0f} s: {soak.rounds.total()} rounds, {soak.compared} results, "
                f"{len(soak.wrong)} wrong, threads {most[0]}, descriptors {most[1]}, "
                f"{most[2]:.1f} MB",
                flush=True,
            )
    faulthandler.cancel_dump_traceback_later()
    last = settled(first[:2])
    print(", ".join(f"{name} {count}" for name, count in soak.rounds.most_common()))
    print(f"{soak.ended_early} calls ended early, as they should")
    print(f"wrong: {soak.wrong[:5] or 'none'}")
    print(f"last: {last[0]} threads, {last[1]} descriptors, {last[2]:.1f} MB")
    leaked = last[0] > first[0] or last[1] > first[1] or last[2] > first[2] + GROWTH
    return int(bool(soak.wrong) or leaked)


if __name__ == "__main__":
    sys.exit(main())
