"""Width that adapts, beside one width for all problems: votes until the answer is certain.

    python benches/adaptive_width.py FOLDER [--split test] [--problems 50] [--seeds 0]

The bundled pair; every row in a run folder of its own, so that it goes on where it was stopped, and
one sample bank for all of them. `--table` only reads what is there, `--only N,N` runs these rows
alone. The shared budget is what majority votes of 16 took.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from fresh import accuracy, keyed, less_kv, lines, points, shared
from kept_searches import Rows
from without_prm import mean_usage

EVEN = "majority of 16"
CERTAIN = ["--until-error", "0.05"]
ONE_BUDGET = ["--shared-tokens", "EVEN"]
NO_PRM = ["--prm", "none"]


def strategy(name: str, width: int, *more: str) -> list[str]:
    """Options of `ets bench` for one cell."""
    return ["--strategies", name, "--widths", str(width), *more]


CELLS: dict[str, list[str]] = {
    "REBASE 16, PRM": strategy("rebase", 16),
    EVEN: strategy("best-of-n", 16, *NO_PRM),
    "majority of 64": strategy("best-of-n", 64, *NO_PRM),
    "majority until certain, at most 64": strategy("best-of-n", 64, *NO_PRM, *CERTAIN),
    "the same at an error of 0.2": strategy("best-of-n", 64, *NO_PRM, "--until-error", "0.2"),
    "majority, the budget of 16 each shared": strategy(
        "best-of-n", 64, *NO_PRM, *CERTAIN, *ONE_BUDGET
    ),
    "weighted by the PRM until certain, at most 64": strategy("best-of-n", 64, *CERTAIN),
    "REBASE 4, PRM": strategy("rebase", 4),
    "REBASE 4 until certain, PRM, at most 16": strategy("rebase", 4, *CERTAIN),
    "particles 16, PRM": strategy("particle", 16),
    "the same annealed by ESS": strategy("particle", 16, "--sweep", "annealing=ess"),
    "the same annealed by entropy": strategy("particle", 16, "--sweep", "annealing=entropy"),
}


def main() -> None:
    """Run the rows, or go on with them, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--problems", type=int, default=50)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--only", default=",".join(map(str, range(len(CELLS)))))
    parser.add_argument("--table", action="store_true")
    given, more = parser.parse_known_args()
    for at in () if given.table else map(int, given.only.split(",")):
        name, cell = [*CELLS.items()][at]
        print(f"== {at} {name}", flush=True)
        grid = ["--split", given.split, "--problems", str(given.problems), "--no-trees"]
        grid += ["--seeds", given.seeds, "--bank", str(given.folder / "bank.sqlite")]
        tokens = str(spent(given.folder)) if "EVEN" in cell else ""
        grid += [tokens if option == "EVEN" else option for option in cell]
        command = [sys.executable, "-m", "ets", "bench", str(given.folder / f"run-{at}")]
        subprocess.run([*command, *grid, *more], check=True)
    print_table({name: rows_of(given.folder, at) for at, name in enumerate(CELLS)})


def rows_of(folder: Path, at: int) -> Rows:
    """The searches of a row of the table, by seed and problem."""
    return keyed(lines(folder, f"run-{at}"))


def spent(folder: Path) -> int:
    """Tokens that the majority of 16 has sampled, of all problems, for each seed."""
    rows = rows_of(folder, [*CELLS].index(EVEN))
    seeds = {seed for seed, _ in rows}
    return int(sum(row["usage"]["policy_tokens"] for row in rows.values()) // max(1, len(seeds)))


def print_table(found: dict[str, Rows]) -> None:
    """As Markdown: each beside REBASE 16 and beside the majority of 64, on the same problems."""
    names = [*CELLS]
    base, most = found[names[0]], found[names[2]]
    print(
        "| search | right (95%) | points to REBASE 16 (95%) | points to a majority of 64 (95%) "
        "| policy tokens | PRM tokens | KV, times less (95%) | solutions | certain |\n"
        + "| --- " * 9
        + "|"
    )
    for name, rows in found.items():
        keys = shared(rows, base)
        if not keys:
            continue
        mine = [rows[key] for key in keys]
        solutions = sum(len(row["tokens"]) for row in mine) / len(mine)
        certain = sum(row["end"] == "certain" for row in mine) / len(mine)
        print(
            f"| {name} | {accuracy(keys, rows)} "
            f"| {points(keys, rows, base)} | {points(shared(rows, most), rows, most)} "
            f"| {mean_usage(keys, rows, 'policy_tokens'):,.0f} "
            f"| {mean_usage(keys, rows, 'prm_tokens'):,.0f} | {less_kv(keys, rows, base)} "
            f"| {solutions:.1f} | {f'{certain:.0%}' if 'searches' in mine[0] else ''} |"
        )


if __name__ == "__main__":
    main()
