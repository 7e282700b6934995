"""`ets report`: a run, or two of them, as a page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ets.bench.equal_accuracy import describe
from ets.bench.run_folder import RunFolder
from ets.cli.output import Output
from ets.errors import InputError
from ets.report.bench_page import bench_page
from ets.report.columns import points, points_interval, times
from ets.report.compare_page import compare_page, run_names
from ets.report.trees import TreeChoice, choose_trees


def run_report(
    folders: list[Path],
    out: Path | None,
    loss: float,
    trees: TreeChoice,
    most_trees: int | None,
    output: Output,
) -> None:
    """Write the page of one run, or of two side by side, and say in short what is in it.

    # Errors
    `InputError` for more than two runs, or an output folder that is a file.
    """
    if len(folders) > 2:
        raise InputError(f"RUN must be one run or two to compare, got {len(folders)}")
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out must name a folder, {out} is a file")
    runs = [RunFolder(folder) for folder in folders]
    if len(runs) == 1:
        _report_one(runs[0], out or runs[0].path / "report", loss, trees, most_trees, output)
    else:
        _report_two(runs[0], runs[1], out, output)


def _report_one(
    run: RunFolder,
    out: Path,
    loss: float,
    trees: TreeChoice,
    most_trees: int | None,
    output: Output,
) -> None:
    chosen = choose_trees(run, trees, most=most_trees)
    page = bench_page(run, loss=loss, trees=chosen.links, trees_note=chosen.note)
    chosen.write(out)
    path = page.write(out)
    if output.as_json:
        output.json(
            {
                "report": str(path),
                "figures": [f"{drawing.name}.png" for drawing in page.drawings],
                "trees": len(chosen.rows),
                "equal_accuracy": [
                    {
                        "strategy": claim.strategy,
                        "width": claim.width,
                        "cell": None if claim.line is None else claim.line.cell.label,
                        "kv_ratio": None if claim.reduction is None else asdict(claim.reduction),
                        "accuracy_is_borne": claim.accuracy_is_borne,
                        "reduction_is_borne": claim.reduction_is_borne,
                    }
                    for claim in page.claims
                ],
            }
        )
        return
    said = [*map(describe, page.claims), chosen.note, str(path)]
    output.console.print("\n".join(filter(None, said)), soft_wrap=True, markup=False)


def _report_two(first: RunFolder, second: RunFolder, out: Path | None, output: Output) -> None:
    page = compare_page(first, second)
    names = run_names(first, second)
    folder = out or second.path / f"report-against-{names[0].replace('/', '-')}"
    path = page.write(folder)
    if output.as_json:
        for pair in page.comparison.pairs:
            said = {k: v for k, v in asdict(pair).items() if k not in ("cell", "flips")}
            output.json({"cell": pair.cell.label, **said, "flips": len(pair.flips)})
        return
    for pair in page.comparison.pairs:
        searches = pair.problems * pair.seeds
        text = (
            f"{pair.cell.label}: {points(pair.difference)} points "
            f"({points_interval(pair.difference)}), p {pair.p_value:.2g}, "
            f"KV {times(pair.kv_ratio)}, {len(pair.flips)} of {searches} searches flipped"
        )
        output.console.print(text, soft_wrap=True, markup=False)
    output.console.print(str(path), soft_wrap=True, markup=False)
