"""`ets tune`: how strongly to prune."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ets.bench.grid import Grid
from ets.bench.kept_file import write_whole
from ets.bench.tune import as_toml, choose, describe, toml_writer
from ets.cli.bench.run import print_lines, run_grid
from ets.cli.output import Output


def run_tune(grid: Grid, folder: Path, loss: float, output: Output) -> None:
    """Search what is missing in the folder, choose at each width, write a file for each."""
    toml_writer()
    rows = run_grid(grid, folder, output)
    choices = choose(grid, rows, loss=loss)
    for choice in choices:
        file = folder / f"width-{choice.width}.toml"
        write_whole(file, as_toml(grid, choice).encode())
        if output.as_json:
            cell, ratio = choice.chosen.cell, choice.chosen.kv_ratio
            output.json(
                {
                    "width": choice.width,
                    "strategy": {"name": cell.name, **dict(cell.options)},
                    "accuracy": asdict(choice.chosen.accuracy),
                    "kv_ratio": None if ratio is None else asdict(ratio),
                    "confidence": choice.confidence,
                    "file": str(file),
                }
            )
            continue
        print_lines([choice.baseline, *choice.tried], output)
        output.console.print(f"\n{describe(choice)}\n{file}\n", soft_wrap=True, markup=False)
