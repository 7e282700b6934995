"""Make the runs of docs/results.md: `make results`; goes on where it was stopped.

`ets tune` first, on the dev split; then every strategy on the test split, at the price that was
chosen for the width beside the published one; then the exact step checker, blurred, in the PRM's
place. Options behind the folder go to all of them: `--workers 14 --policy-option dtype=float32`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ets.config import read_toml

TUNED = (4, 16, 64)
"""Widths; a larger one takes what was chosen for the largest."""
PUBLISHED = 1.0
EVERY = "best-of-n,beam,dvts,particle,dora,rebase,ets-kv,ets"
FEW = "best-of-n,rebase,ets-kv,ets"
TESTS = {
    64: ["--problems", "300", "--seeds", "0,1,2", "--strategies", EVERY],
    16: ["--problems", "300", "--seeds", "0,1,2", "--strategies", EVERY],
    4: ["--problems", "300", "--seeds", "0,1,2", "--strategies", EVERY],
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
    widths = ",".join(map(str, TUNED))
    split = ["--split", "dev", "--problems", "200", "--lambda-b", "0.5,0.75,1,1.5,2"]
    yield "tune", ["tune", *split, "--widths", widths]
    for width, options in TESTS.items():
        prices = sorted({PUBLISHED, tuned_price(folder / "tune", width)})
        given = ["--widths", str(width), "--lambda-b", ",".join(map(str, prices))]
        yield f"width-{width}", ["bench", *given, *options]
    for auroc in AUROCS:
        given = ["--prm", f"demo-checker?auroc={auroc}", "--widths", "16", "--problems", "150"]
        yield f"checker-{auroc}", ["bench", *given, "--strategies", FEW]


def tuned_price(tune: Path, width: int) -> float:
    """The `lambda_b` that was chosen; the published one where no pruning stayed within the loss."""
    file = tune / f"width-{min(width, max(TUNED))}.toml"
    chosen = read_toml(str(file))["strategy"]
    return float(chosen.get("lambda_b", PUBLISHED))


if __name__ == "__main__":
    main()
