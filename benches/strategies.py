"""Every strategy on the bundled pair's test problems: the table in docs/results.md.

Each strategy searches the same problems with the same seed. One line per finished problem goes to
the run folder, so a run that dies goes on where it stopped. Majority, best-of-N and weighted
majority are three votes over the same N independent samples.

    python benches/strategies.py --problems 240 --width 16 --run .cache/strategies
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import ets
from ets import demo
from ets.answer import same_answer, vote
from ets.strategy import Strategy

VOTES = ("majority", "weighted", "best")


def strategies(width: int) -> dict[str, Strategy]:
    return {
        "sampling": ets.BestOfN(width=width),
        "beam search": ets.BeamSearch(width=width),
        "DVTS": ets.DVTS(width=width),
        "REBASE": ets.REBASE(width=width),
        "ETS-KV": ets.ETS(width=width, lambda_d=0.0),
        "ETS": ets.ETS(width=width),
    }


def finished(file: Path) -> dict[str, dict[str, object]]:
    """The rows of an earlier run; a last line cut short by a kill is dropped."""
    rows = {}
    if file.exists():
        kept = [line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
        file.write_text("".join(kept))
        rows = {row["id"]: row for row in map(json.loads, kept)}
    return rows


def run(
    args: argparse.Namespace, name: str, strategy: Strategy, todo: list[dict[str, object]]
) -> None:
    args.run.mkdir(parents=True, exist_ok=True)
    file = args.run / f"{name.replace(' ', '-')}.jsonl"
    done = finished(file)
    todo = [problem for problem in todo if problem["id"] not in done]
    if not todo:
        return
    settings = {"policy": args.policy, "prm": args.prm, "seed": args.seed}
    begin = time.perf_counter()
    with ets.Search(strategy=strategy, **settings) as search, file.open("a") as out:
        results = search.map([str(p["problem"]) for p in todo], concurrency=args.concurrency)
        for problem, result in zip(todo, results, strict=True):
            solutions = result.trajectories
            out.write(json.dumps(row(problem, result, solutions)) + "\n")
            out.flush()
            print(f"{name}: {problem['id']} {time.perf_counter() - begin:.0f} s", flush=True)
    with (args.run / "seconds.jsonl").open("a") as out:
        spent = {"name": name, "problems": len(todo), "seconds": time.perf_counter() - begin}
        out.write(json.dumps(spent) + "\n")


def row(
    problem: dict[str, object], result: ets.SearchResult, solutions: Iterable[ets.Solution]
) -> dict[str, object]:
    answers = [solution.answer for solution in solutions]
    scores = [solution.score for solution in solutions]
    winners = {how: next(iter(vote(answers, scores, how)), None) for how in VOTES}
    truth = str(problem["answer"])
    return {
        "id": problem["id"],
        "steps": problem["steps"],
        "right": {
            how: winner is not None and same_answer(winner.answer, truth)
            for how, winner in winners.items()
        },
        "kv_before": result.kv.before.sum,
        "kv_after": result.kv.after.sum,
        "kv_peak": result.kv.after.peak,
        "policy_tokens": result.usage.policy_tokens,
        "prm_tokens": result.usage.prm_tokens - result.usage.prm_cached_tokens,
    }


def wilson(right: int, total: int) -> tuple[float, float]:
    """Wilson's 95% score interval of a proportion."""
    z = 1.959964
    share = right / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * np.sqrt(share * (1 - share) / total + z * z / (4 * total**2))
    return centre - half, centre + half


def paired(difference: NDArray[np.float64], draws: int = 20_000) -> tuple[float, float]:
    """A paired bootstrap's 95% interval of the mean difference, problems resampled."""
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(difference), (draws, len(difference)))
    low, high = np.quantile(difference[picks].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def report(args: argparse.Namespace, names: Iterable[str], chosen: list[dict[str, object]]) -> str:
    rows = {name: finished(args.run / f"{name.replace(' ', '-')}.jsonl") for name in names}
    spent: dict[str, tuple[int, float]] = {}
    for line in (args.run / "seconds.jsonl").read_text().splitlines():
        entry = json.loads(line)
        count, seconds = spent.get(entry["name"], (0, 0.0))
        spent[entry["name"]] = (count + entry["problems"], seconds + entry["seconds"])
    ids = [problem["id"] for problem in chosen]

    def column(name: str, key: str) -> NDArray[np.float64]:
        return np.array([float(rows[name][i][key]) for i in ids])

    def right(name: str, how: str) -> NDArray[np.float64]:
        return np.array([float(rows[name][i]["right"][how]) for i in ids])

    majority = right("sampling", "majority")
    rebase_kv = column("REBASE", "kv_after").mean()
    table = [
        "| strategy | vote | right | 95% interval | against majority (paired 95%) "
        "| KV before | KV kept | to REBASE's | policy tokens | PRM tokens | s |",
        "| --- " * 11 + "|",
    ]
    entries = [("sampling", how) for how in VOTES]
    entries += [(name, "weighted") for name in rows if name != "sampling"]
    for name, how in entries:
        hits = right(name, how)
        low, high = wilson(int(hits.sum()), len(hits))
        gain = paired(hits - majority)
        kv = column(name, "kv_after").mean()
        count, seconds = spent[name]
        cells = [
            name,
            how,
            f"{100 * hits.mean():.1f}%",
            f"{100 * low:.1f} to {100 * high:.1f}",
            f"{100 * (hits - majority).mean():+.1f} ({100 * gain[0]:+.1f} to {100 * gain[1]:+.1f})",
            f"{column(name, 'kv_before').mean():.0f}",
            f"{kv:.0f}",
            f"{100 * (kv / rebase_kv - 1):+.0f}%",
            f"{column(name, 'policy_tokens').mean():.0f}",
            f"{column(name, 'prm_tokens').mean():.0f}",
            f"{seconds / count:.2f}",
        ]
        table.append("| " + " | ".join(cells) + " |")
    return "\n".join(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=240)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--policy", default="demo")
    parser.add_argument("--prm", default="demo")
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--run", type=Path, default=Path(".cache/strategies"))
    parser.add_argument("--only", nargs="*", help="strategies to run; all by default")
    args = parser.parse_args()
    chosen = demo.problems()[: args.problems]  # their lengths alternate
    table = strategies(args.width)
    for name in args.only or table:
        run(args, name, table[name], chosen)
    if not args.only:
        print(report(args, table, chosen))
        print(
            f"{len(chosen)} problems, width {args.width}, seed {args.seed}, "
            f"{os.cpu_count()} cores, {platform.machine()}, ets {ets.__version__}"
        )


if __name__ == "__main__":
    main()
