"""`ets.Search` beside the particle filtering and the beam search of its-hub, in one run.

    python benches/beside_its_hub.py                  # the bundled pair on the CPU
    python benches/beside_its_hub.py --problems 64 --width 16 --concurrency 8 --rounds 3
    python benches/beside_its_hub.py --server http://127.0.0.1:8000/v1 --model NAME

Both sample from one vLLM server over HTTP and ask one PRM engine, which this process starts. In
the rows "its-hub, as documented" the PRM reads whole solutions, as its-hub's own does; in all
others it reads new steps only, which is kinder to its-hub than what its users get. What the policy
did is read from the server's counters, the same for both; nobody else may use the server. Caches
are emptied between rows. Writes `build/its_hub.json` and prints a table.

Not called `its_hub.py`: a script's folder comes first on the path, and the package is `its_hub`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import time
from collections.abc import Callable
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

import ets
from ets import demo
from ets.answer import same_answer
from ets.loop.thread import LoopThread
from ets.policy import load_policy
from ets.prm.vllm import VLLMPRM
from its_hub_search import BEAM_WIDTH, ItsHubSearch, Kind
from policy_server import PolicyServer, served

Answers = list[Any]
Run = Callable[[list[str], int], Answers]
"""Problems and a seed to answers, in which an error stands for a search that failed."""

_SUMS = (
    *("seconds", "cpu_seconds", "problems", "right", "failed"),
    *("samples", "policy_tokens", "cached_tokens"),
)


class Bench:
    """Two engines, the problems, and the rows so far."""

    def __init__(self, options: argparse.Namespace, server: PolicyServer) -> None:
        self.server = server
        self.loop = LoopThread("its-hub")
        self.prm = VLLMPRM(options.prm)
        self.limits = {"max_step_tokens": options.max_step_tokens, "max_depth": options.max_depth}
        self.policy = load_policy(f"openai:{server.model}@{server.url}")
        self.problems = demo.problems()[: options.problems]
        self.rows: dict[tuple[str, int], dict[str, Any]] = {}

    def measure(self, loop: str, at_once: int, seed: int, run: Run) -> None:
        """Time `run` over all problems, and add what it took to the row of this loop."""
        self.loop.run(self._empty)
        before, cpu, begin = self.server.counted(), cpu_seconds(), time.perf_counter()
        answers = run([str(problem["problem"]) for problem in self.problems], seed)
        seconds, cpu, after = (
            time.perf_counter() - begin,
            cpu_seconds() - cpu,
            self.server.counted(),
        )
        took = {key: after[key] - before[key] for key in after}
        now = {
            "seconds": seconds,
            "cpu_seconds": cpu,
            "problems": len(answers),
            "right": sum(
                isinstance(answer, str) and same_answer(answer, str(problem["answer"]))
                for answer, problem in zip(answers, self.problems, strict=True)
            ),
            "failed": sum(isinstance(answer, BaseException) for answer in answers),
            "samples": took["requests"],
            "policy_tokens": took["tokens"],
            "cached_tokens": took["cached_tokens"],
        }
        row = self.rows.setdefault((loop, at_once), dict.fromkeys(_SUMS, 0))
        row |= {key: row[key] + now[key] for key in _SUMS}
        print(json.dumps({"loop": loop, "at_once": at_once, "seed": seed, **now}), flush=True)

    async def _empty(self) -> None:
        """Forget all that the engines have cached."""
        await asyncio.to_thread(self.server.forget)
        await self.prm.engine.forget_prefixes()


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = Path(demo.__file__).parent
    parser.add_argument("--policy", default=folder / "policy", help="checkpoint to serve")
    parser.add_argument("--server", help="base URL of a server that runs already")
    parser.add_argument("--model", default="policy", help="the policy's name on the server")
    parser.add_argument("--prm", default=folder / "prm")
    parser.add_argument("--problems", type=int, default=24)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=1)
    # What its-hub's documentation takes for both algorithms.
    parser.add_argument("--aggregation", choices=("prod", "last", "min", "mean"), default="prod")
    parser.add_argument("--max-step-tokens", type=int, default=256)
    parser.add_argument("--max-depth", type=int, default=25)
    options = parser.parse_args()
    os.environ.setdefault("VLLM_SERVER_DEV_MODE", "1")  # or the cache cannot be emptied
    running = nullcontext(PolicyServer(options.server, options.model))
    with running if options.server else served(options.policy, options.model) as server:
        bench = Bench(options, server)
        try:
            run_all(bench, options)
        finally:
            bench.loop.run(bench.policy.aclose)
            bench.loop.run(bench.prm.aclose)


def run_all(bench: Bench, options: argparse.Namespace) -> None:
    """Every loop, one problem at a time and many, as many rounds as wanted."""
    width, many = options.width, options.concurrency

    def its_hub(kind: Kind, at_once: int, *, incremental: bool = True) -> Run:
        search = ItsHubSearch(
            bench.server, bench.prm, width=width, how=options.aggregation, **bench.limits
        )

        def run(problems: list[str], seed: int) -> Answers:
            random.seed(seed)
            bench.prm.incremental = incremental
            return bench.loop.run(search.answers, kind, problems, at_once=at_once)

        return run

    def searched(strategy: Any, at_once: int) -> Run:
        def run(problems: list[str], seed: int) -> Answers:
            bench.prm.incremental = True
            with ets.Search(bench.policy, bench.prm, strategy, seed=seed, **bench.limits) as search:
                return [result.answer for result in search.map(problems, concurrency=at_once)]

        return run

    kinds: tuple[Kind, ...] = ("particle filtering", "beam search")
    strategies = {
        "ETS": ets.ETS(width=width),
        "REBASE": ets.REBASE(width=width),
        "beam search": ets.BeamSearch(width=width, beam=BEAM_WIDTH),
    }
    loops: list[tuple[str, int, Run]] = [
        *((f"its-hub, as documented, {k}", 1, its_hub(k, 1, incremental=False)) for k in kinds),
        *((f"its-hub, {k}", n, its_hub(k, n)) for k in kinds for n in (1, many)),
        *(
            (f"ets.Search, {name}", n, searched(strategy, n))
            for name, strategy in strategies.items()
            for n in (1, many)
        ),
    ]
    warm = [str(problem["problem"]) for problem in demo.problems()[-2:]]
    for run in (its_hub("beam search", 2), searched(strategies["ETS"], 2)):
        run(warm, 0)
    for seed in range(options.rounds):
        for loop, at_once, run in loops:
            bench.measure(loop, at_once, seed, run)
    path = Path("build/its_hub.json")
    path.parent.mkdir(exist_ok=True)
    about = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("its_hub", "ets-search")},
        "width": width,
        "rounds": options.rounds,
    }
    rows = [{"loop": loop, "at_once": n, **row} for (loop, n), row in bench.rows.items()]
    path.write_text(json.dumps({**about, "rows": rows}, indent=1))
    print(table(rows))


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown; ratios are to the first row."""
    lines = [
        "| loop | at once | problems/min | ratio | CPU s a problem | right | samples "
        "| policy tokens |",
        "| --- " * 8 + "|",
    ]
    speeds = [60 * row["problems"] / row["seconds"] for row in rows]
    lines += [
        f"| {row['loop']} | {row['at_once']} | {speed:.1f} | {speed / speeds[0]:.2f} "
        f"| {row['cpu_seconds'] / row['problems']:.2f} "
        f"| {row['right']} of {row['problems']}{_failed(row)} | {row['samples']} "
        f"| {row['policy_tokens']} |"
        for row, speed in zip(rows, speeds, strict=True)
    ]
    return "\n".join(lines)


def cpu_seconds() -> float:
    """CPU time of this process and all that it started; a busy machine hardly changes it."""
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return float(sum(time.user + time.system for time in times))


def _failed(row: dict[str, Any]) -> str:
    return f" ({row['failed']} failed)" if row["failed"] else ""


if __name__ == "__main__":
    main()
