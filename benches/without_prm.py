"""Searches without a trained PRM beside REBASE with one, and beside sampling and voting.

    python benches/without_prm.py FOLDER [--split fresh] [--problems 100] [--width 16] [--seeds 0]

The bundled pair; every row in a run folder of its own, so that it goes on where it was stopped, and
one sample bank for all of them. `--table` only reads what is there. The verdict `logprob` and its
scale were chosen on the split dev; `fresh` is for showing what that is worth.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from fresh import accuracy, keyed, less_kv, lines, points, shared
from kept_searches import Key, Rows

CELLS: dict[str, tuple[str, str]] = {
    "rebase, trained PRM": ("rebase", "demo"),
    "majority": ("best-of-n", "none"),
    "rebase, logprob": ("rebase", "policy"),
    "rebase, logprob by map": ("rebase", "policy?scale=map"),
    "rebase, self-certainty": ("rebase", "policy?score=self-certainty"),
    "rebase, lowest group of the path": ("rebase", "policy?score=lowest-group&of=path"),
    "vote weighted by logprob of the path": ("best-of-n", "policy?of=path&scale=map"),
    "rebase, critiques of the bundled policy": ("rebase", "generative:demo?critique_tokens=32"),
    "rebase, trained PRM at the end only": ("rebase", "outcome:demo"),
    "rebase, the same, logprob before it": ("rebase", "outcome:demo?steps=policy%3Fscale=map"),
    "rebase, the truth at the end only": ("rebase", "outcome:demo-checker?auroc=1.0"),
}


def main() -> None:
    """Run the grid, or go on with it, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="fresh")
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--table", action="store_true")
    given, more = parser.parse_known_args()
    for at, (strategy, prm) in () if given.table else enumerate(CELLS.values()):
        grid = ["--split", given.split, "--problems", str(given.problems), "--no-trees"]
        grid += ["--seeds", given.seeds, "--widths", str(given.width), "--strategies", strategy]
        grid += ["--prm", prm, "--bank", str(given.folder / "bank.sqlite")]
        command = [sys.executable, "-m", "ets", "bench", str(given.folder / f"run-{at}")]
        subprocess.run([*command, *grid, *more], check=True)
    found = {name: keyed(lines(given.folder, f"run-{at}")) for at, name in enumerate(CELLS)}
    found = {name: rows for name, rows in found.items() if rows}
    print_table(found)


def print_table(found: dict[str, Rows]) -> None:
    """As Markdown: each beside the first row and beside `majority`, on the same problems."""
    base, majority = found[next(iter(CELLS))], found["majority"]
    print(
        "| search | right (95%) | points to REBASE with the PRM (95%) | points to majority (95%) "
        "| policy tokens | PRM tokens | KV, times less than REBASE with the PRM (95%) |\n"
        + "| --- " * 7
        + "|"
    )
    for name, rows in found.items():
        keys = shared(rows, base)
        print(
            f"| {name} | {accuracy(keys, rows)} "
            f"| {points(keys, rows, base)} | {points(shared(rows, majority), rows, majority)} "
            f"| {mean_usage(keys, rows, 'policy_tokens'):,.0f} "
            f"| {mean_usage(keys, rows, 'prm_tokens'):,.0f} | {less_kv(keys, rows, base)} |"
        )


def mean_usage(keys: list[Key], rows: Rows, name: str) -> float:
    """Tokens of a search, on average."""
    return sum(float(rows[key]["usage"][name]) for key in keys) / len(keys)


if __name__ == "__main__":
    main()
