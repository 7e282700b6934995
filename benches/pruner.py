"""Leaf selection and clustering beside PuLP + CBC, HiGHS and scipy: same instances, one thread.

    python benches/pruner.py
    python benches/pruner.py --quick --out build/quick.json

Prints the tables, and writes every single time to a JSON file and a plot beside it. A solver's time
for an instance is its fastest of several calls (one, where calls are slow), building its model
included; the calls go round the instances. The time of the slow solvers and of clustering is
processor time, subprocesses included: on an idle machine that is the time on the clock, and on a
busy one it does not flatter us. The slow solvers get fewer of the instances; a ratio is of two
times for one instance.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF
from typing import Any, TypeVar

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

import ets
import peers
from mass_trees import mass_tree, select_by_mass

WIDTHS = (16, 64, 256, 1024, 4096)

# Instances of 96 that each solver gets at each of these widths.
CASES = {
    "ets": (96, 96, 96, 96, 96),
    "HiGHS": (96, 96, 96, 32, 12),
    "PuLP + CBC": (96, 96, 48, 16, 8),
}

EMBEDDINGS = {"meanings": peers.meanings, "repeated": peers.repeated, "one component": peers.arc}

# Seconds that ets may take with a KV budget, and by mass.
TIME_LIMIT = 1.0

T = TypeVar("T")
A = TypeVar("A")
Row = dict[str, Any]


def wall() -> float:
    return time.perf_counter()


def processor() -> float:
    """Seconds of processor time that this process and its finished children had."""
    here, below = (resource.getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN))
    return here.ru_utime + here.ru_stime + below.ru_utime + below.ru_stime


def measure(
    call: Callable[[A], T],
    arguments: Sequence[A],
    rounds: int,
    clock: Callable[[], float] = processor,
) -> tuple[list[float], list[T]]:
    """Microseconds of each argument's fastest call, and its answers; each argument gets one call a
    round, until it has had 0.3 s."""
    best, spent = [float("inf")] * len(arguments), [0.0] * len(arguments)
    answers: list[T] = []
    for turn in range(rounds):
        for i, argument in enumerate(arguments):
            if turn > 0 and spent[i] > 0.3:
                continue
            started = clock()
            answer = call(argument)
            took = clock() - started
            best[i], spent[i] = min(best[i], took * 1e6), spent[i] + took
            if turn == 0:
                answers.append(answer)
    return best, answers


def selection(widths: Sequence[int], quick: bool, console: Console) -> list[Row]:
    """One row for each width and solver."""
    rows: list[Row] = []
    for width in widths:
        pool = peers.published_pool(width, 4 if quick else 24)
        mine: list[float] = []
        optima: list[float] = []
        for name, solve in peers.SELECTORS.items():
            count = min(len(pool), CASES[name][WIDTHS.index(width)])
            if quick and name != "ets":
                count = min(count, 16 if width <= 256 else 3)
            # At random, for every order has its rhythm: lambda_d repeats every four cases.
            chosen = np.sort(np.random.default_rng(0).permutation(len(pool))[:count]).tolist()
            console.print(f"width {width}, {name}: {count} instances", style="dim")
            cases = [pool[i] for i in chosen]
            ours = name == "ets"
            times, keeps = measure(solve, cases, 15 if ours else 3, wall if ours else processor)
            values = [peers.objective(c, keep) for c, keep in zip(cases, keeps, strict=True)]
            if name == "ets":
                mine, optima = times, values
            gaps = [
                abs(value - optima[i]) / max(abs(optima[i]), 1e-9)
                for i, value in zip(chosen, values, strict=True)
            ]
            ratios = [took / mine[i] for i, took in zip(chosen, times, strict=True)]
            row = {"width": width, "solver": name, "instances": chosen, "microseconds": times}
            rows.append(row | {"ratios": ratios, "largest_gap": max(gaps)})
    return rows


def budgets(quick: bool, console: Console) -> list[Row]:
    """One row for each budget, as a fraction of the tokens that the optimum holds without one."""
    rows: list[Row] = []
    pool = peers.published_pool(256, 4 if quick else 24)
    for fraction in (0.3, 0.6, 0.9):
        cases = peers.with_budgets(pool, fraction)
        chosen = np.random.default_rng(0).permutation(len(cases))[: 4 if quick else 24].tolist()
        console.print(f"width 256, KV budget {fraction}: {len(cases)} instances", style="dim")
        mine, answers = measure(lambda c: peers.ours(c, TIME_LIMIT), cases, 5, wall)
        theirs, keeps = measure(peers.highs_or_none, [cases[i] for i in chosen], 1)
        gaps = [
            abs(answers[i].objective - peers.objective(cases[i], keep))
            / max(abs(answers[i].objective), 1e-9)
            for i, keep in zip(chosen, keeps, strict=True)
            if keep is not None and answers[i].optimal
        ]
        row = {
            "budget": fraction,
            "ets": mine,
            "HiGHS": theirs,
            "largest_gap": max(gaps, default=0),
        }
        proven = {"proven": [answer.optimal for answer in answers], "instances": chosen}
        rows.append(row | proven | {"proven_HiGHS": [keep is not None for keep in keeps]})
    return rows


def strict(quick: bool, console: Console) -> list[Row]:
    """One row for each width: lambdas far above those that the tree was grown with."""
    rows: list[Row] = []
    for width in (256, 512):
        cases = peers.strict_pool(width, 2 if quick else 12)
        console.print(f"width {width}, strict lambdas: {len(cases)} instances", style="dim")
        mine, answers = measure(partial(peers.ours, time_limit=peers.HIGHS_SECONDS), cases, 3)
        theirs, keeps = measure(peers.highs_or_none, cases, 1)
        gaps = [
            abs(answer.objective - peers.objective(case, keep)) / abs(answer.objective)
            for case, answer, keep in zip(cases, answers, keeps, strict=True)
            if keep is not None and answer.optimal
        ]
        row = {"width": width, "ets": mine, "HiGHS": theirs, "largest_gap": max(gaps, default=0)}
        proven = {"proven": [answer.optimal for answer in answers]}
        proven["proven_HiGHS"] = [keep is not None for keep in keeps]
        rows.append(row | proven | {"ratios": [b / a for a, b in zip(mine, theirs, strict=True)]})
    return rows


def masses(quick: bool, console: Console) -> list[Row]:
    """One row for each rho and width: the rule of mass-preserving search on trees that it grew."""
    rows: list[Row] = []
    for rho in (0.5, 0.0):
        for width in (64, 256) if quick else (64, 256, 1024):
            console.print(f"width {width}, masses, rho {rho:g}", style="dim")
            trees = [
                mass_tree(width, 2 + i % 7, (4, 12)[i // 7 % 2], 2.0, rho, i)
                for i in range(6 if quick else 24)
            ]
            call = partial(select_by_mass, lambda_b=2.0, rho=rho, time_limit=TIME_LIMIT)
            times, answers = measure(call, trees, 15, wall)
            proven = [answer.optimal for answer in answers]
            rows.append({"rho": rho, "width": width, "microseconds": times, "proven": proven})
    return rows


def call_overhead(widths: Sequence[int], quick: bool) -> list[Row]:
    """What a call from Python takes beyond the time inside Rust that it reports itself."""
    rows: list[Row] = []
    for width in widths:
        pool = peers.published_pool(width, 4 if quick else 24)
        best = [(float("inf"), 0.0)] * len(pool)
        for _ in range(15):
            for i, case in enumerate(pool):
                started = time.perf_counter()
                answer = peers.ours(case)
                took = (time.perf_counter() - started) * 1e6
                best[i] = min(best[i], (took, float(answer.stats["microseconds"])))
        inside = [rust for _, rust in best]
        rows.append(
            {"width": width, "inside": inside, "beyond": [whole - rust for whole, rust in best]}
        )
    return rows


def clustering(quick: bool, console: Console) -> list[Row]:
    rows: list[Row] = []
    for width in (256, 1024) if quick else (256, 1024, 4096):
        for name, make in EMBEDDINGS.items():
            console.print(f"width {width}, clustering: {name}", style="dim")
            steps = [make(width, seed) for seed in range(3)]
            mine, labels = measure(ets.cluster_steps, steps, 7)
            theirs, expected = measure(peers.scipy_clusters, steps, 3)
            same = all(map(peers.same_partition, labels, expected))
            row = {"width": width, "kind": name, "ets": mine, "scipy": theirs, "equal": same}
            rows.append(row | {"ratios": [b / a for a, b in zip(mine, theirs, strict=True)]})
    return rows


def show(microseconds: float) -> str:
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{microseconds / size:.3g} {unit}"
    return f"{microseconds:.3g} us"


def table(title: str, head: Sequence[str], body: Sequence[Sequence[str]]) -> Table:
    made = Table(title=title, title_justify="left")
    for name in head:
        made.add_column(name, justify="left" if name in ("solver", "embeddings") else "right")
    for line in body:
        made.add_row(*line)
    return made


def report(found: Row, console: Console) -> None:
    body = []
    for row in found["selection"]:
        times, ratios = row["microseconds"], row["ratios"]
        mine = row["solver"] == "ets"
        body.append(
            [
                str(row["width"]), row["solver"], str(len(times)),
                show(float(np.median(times))), show(max(times)),
                "" if mine else f"{np.median(ratios):,.0f}", "" if mine else f"{min(ratios):,.0f}",
            ]
        )  # fmt: skip
    head = ["width", "solver", "instances", "median", "worst", "times ets: median", "least"]
    console.print(table("Leaf selection, build and solve", head, body))
    body = [
        [str(row["budget"]), str(len(row["ets"])), show(float(np.median(row["ets"]))),
         show(max(row["ets"])), f"{np.mean(row['proven']):.0%}",
         str(len(row["HiGHS"])), show(float(np.median(row["HiGHS"]))), show(max(row["HiGHS"])),
         f"{np.mean(row['proven_HiGHS']):.0%}"]
        for row in found["budgets"]
    ]  # fmt: skip
    head = ["KV budget", "instances", "ets", "worst", f"proven in {TIME_LIMIT:g} s"]
    head += ["instances", "HiGHS", "worst", f"proven in {peers.HIGHS_SECONDS:g} s"]
    console.print(table("Leaf selection at width 256 under a budget (medians)", head, body))
    body = [
        [str(row["width"]), str(len(row["ets"])), show(float(np.median(row["ets"]))),
         show(max(row["ets"])), show(float(np.median(row["HiGHS"]))), show(max(row["HiGHS"])),
         f"{np.median(row['ratios']):.1f}", f"{min(row['ratios']):.1f}",
         f"{np.mean(np.array(row['ratios']) >= 10):.0%}",
         f"{np.mean(row['proven']):.0%}, {np.mean(row['proven_HiGHS']):.0%}"]
        for row in found["strict"]
    ]  # fmt: skip
    head = ["width", "instances", "ets", "worst", "HiGHS", "worst", "times ets: median", "least"]
    head += ["10 and more", f"proven in {peers.HIGHS_SECONDS:g} s"]
    console.print(table("Leaf selection at lambdas (4, 2) and (8, 6) (medians)", head, body))
    body = [
        [f"{row['rho']:g}", str(row["width"]), str(len(row["proven"])),
         show(float(np.median(row["microseconds"]))),
         show(float(np.quantile(row["microseconds"], 0.95, method="higher"))),
         show(max(row["microseconds"])), f"{np.mean(row['proven']):.0%}"]
        for row in found["masses"]
    ]  # fmt: skip
    head = ["rho", "width", "instances", "median", "95%", "worst", f"proven in {TIME_LIMIT:g} s"]
    console.print(table("Leaf selection by mass, lambda_b 2", head, body))
    compared = found["selection"] + found["budgets"] + found["strict"]
    gap = max(row["largest_gap"] for row in compared)
    verdict = "agree" if gap <= 1e-6 else "DISAGREE"
    console.print(f"The optima {verdict}: largest relative difference {gap:.1e}.\n")
    body = [
        [str(row["width"]), row["kind"], show(float(np.median(row["ets"]))),
         show(float(np.median(row["scipy"]))), f"{np.median(row['ratios']):,.1f}",
         "equal" if row["equal"] else "DIFFERENT"]
        for row in found["clustering"]
    ]  # fmt: skip
    head = ["width", "embeddings", "ets", "scipy", "times ets", "partitions"]
    console.print(table("Clustering, 384 dimensions, cut at 0.05 (medians of 3)", head, body))
    for row in found["call"]:
        inside, beyond = np.median(row["inside"]), np.median(row["beyond"])
        console.print(
            f"width {row['width']}: {show(float(inside))} inside Rust, the call from Python "
            f"{show(float(beyond))} more (medians; worst {show(max(row['beyond']))})"
        )


def plot(found: Row, file: Path) -> None:
    figure = Figure(figsize=(9, 4))
    left, right = figure.subplots(1, 2, sharey=True)
    for name in peers.SELECTORS:
        rows = [row for row in found["selection"] if row["solver"] == name]
        x = [row["width"] for row in rows]
        left.plot(x, [np.median(row["microseconds"]) for row in rows], marker="o", label=name)
    for kind, style in zip(EMBEDDINGS, ("-", ":", "--"), strict=True):
        rows = [row for row in found["clustering"] if row["kind"] == kind]
        for name, colour in (("ets", "C0"), ("scipy", "C3")):
            y = [np.median(row[name]) for row in rows]
            x = [row["width"] for row in rows]
            right.plot(x, y, style, marker="o", color=colour, label=f"{name}, {kind}")
    for axes, title in ((left, "leaf selection"), (right, "clustering")):
        axes.set(xscale="log", yscale="log", xlabel="width", title=title)
        axes.set_xticks(WIDTHS, [str(width) for width in WIDTHS], minor=False)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend()
    left.set_ylabel("median microseconds, one thread")
    figure.tight_layout()
    figure.savefig(file, dpi=150)


def machine() -> str:
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ] if Path("/proc/cpuinfo").exists() else []  # fmt: skip
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("build/pruner.json"), help="JSON file")
    parser.add_argument("--quick", action="store_true", help="few instances, widths up to 1024")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    console = Console(width=100)
    widths = WIDTHS[:-1] if args.quick else WIDTHS
    found: Row = {
        "command": shlex.join(["python", *sys.argv]),
        "machine": machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("ets-search", "pulp", "highspy", "scipy")},
        "selection": selection(widths, args.quick, console),
        "budgets": budgets(args.quick, console),
        "strict": strict(args.quick, console),
        "masses": masses(args.quick, console),
        "clustering": clustering(args.quick, console),
        "call": call_overhead(widths, args.quick),
    }
    report(found, console)
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    console.print(f"\n{found['machine']}, one thread; {versions}")
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    plot(found, args.out.with_suffix(".png"))
    console.print(f"Wrote {args.out} and {args.out.with_suffix('.png')}")


if __name__ == "__main__":
    main()
