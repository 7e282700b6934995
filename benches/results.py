"""Make the runs of docs/results.md: `make results`; goes on where it was stopped.

`ets tune` first, on the dev split; then every strategy on the test split, at the price that was
chosen for the width beside the published one; then the same for ETS with finer clusters; then the
exact step checker, blurred, in the PRM's place. Options behind the folder go to all of them:
`--workers 14 --policy-option dtype=float32`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ets.search.toml import read_toml

TUNED = (4, 16, 64)
"""Widths; a larger one takes what was chosen for the largest."""
PUBLISHED = 1.0
FINE = 64
"""The width at which finer clusters are tried, with higher prices and worths."""
FINER = ["--lambda-b", "2,3,4", "--lambda-d", "1.4,3", "--sweep", "cluster_threshold=0.0005"]
STRONG = ["--lambda-b", "4", "--lambda-d", "1.4", "--sweep", "cluster_threshold=0.0005"]
"""The one of them that saves the paper's 1.8x."""
EVERY = "best-of-n,beam,dvts,particle,dora,rebase,ets-kv,ets"
FEW = "best-of-n,rebase,ets-kv,ets"
THREE_SEEDS = ["--problems", "300", "--seeds", "0,1,2"]
TESTS = {
    64: [*THREE_SEEDS, "--strategies", EVERY],
    16: [*THREE_SEEDS, "--strategies", EVERY],
    4: [*THREE_SEEDS, "--strategies", EVERY],
    256: ["--problems", "100", "--seeds", "0", "--strategies", FEW],
}
"""By width, what matters most first."""
AUROCS = ("0.80", "0.90", "0.97")


def main() -> None:
    """Make one run after the other."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    given, options = parser.parse_known_args()
    for name, command in runs(given.folder):
        print(f"== {name}", flush=True)
        words = [sys.executable, "-m", "ets", command[0], str(given.folder / name), *command[1:]]
        subprocess.run([*words, *options], check=True)


def runs(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Name and `ets` command of each run; what was tuned is read once it is there."""
    dev = ["tune", "--split", "dev", "--problems", "200"]
    widths = ",".join(map(str, TUNED))
    yield "tune", [*dev, "--widths", widths, "--lambda-b", "0.5,0.75,1,1.5,2"]
    for width, options in TESTS.items():
        chosen = chosen_options(folder / "tune", min(width, max(TUNED)))
        prices = sorted({PUBLISHED, chosen.get("lambda_b", PUBLISHED)})
        given = ["--widths", str(width), "--lambda-b", ",".join(map(str, prices))]
        yield f"width-{width}", ["bench", *given, *options]
    yield "tune-fine", [*dev, "--widths", str(FINE), *FINER]
    given = ["--widths", str(FINE), *THREE_SEEDS]
    yield f"width-{FINE}-fine", ["bench", *given, *fine(folder / "tune-fine")]
    one_seed = ["--widths", str(FINE), "--problems", "300", "--strategies", "rebase,ets"]
    yield f"width-{FINE}-strong", ["bench", *one_seed, *STRONG]
    for auroc in AUROCS:
        given = ["--prm", f"demo-checker?auroc={auroc}", "--widths", "16", "--problems", "150"]
        yield f"checker-{auroc}", ["bench", *given, "--strategies", FEW]


def fine(tune: Path) -> list[str]:
    """The setting that was chosen with finer clusters, beside REBASE; that alone if it was."""
    chosen = chosen_options(tune, FINE)
    if "lambda_b" not in chosen:
        return ["--strategies", "rebase"]
    lambdas = ["--lambda-b", str(chosen["lambda_b"]), "--lambda-d", str(chosen["lambda_d"])]
    sweep = f"cluster_threshold={chosen['cluster_threshold']}"
    return ["--strategies", "rebase,ets", *lambdas, "--sweep", sweep]


def chosen_options(tune: Path, width: int) -> dict[str, Any]:
    """The strategy that `ets tune` chose; REBASE where no pruning stayed within the loss."""
    chosen: dict[str, Any] = read_toml(str(tune / f"width-{width}.toml"))["strategy"]
    return chosen


if __name__ == "__main__":
    main()
