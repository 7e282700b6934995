"""The commands about benchmarks: run, tune, replay, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import typer

from ets.cli import options
from ets.cli.bench import choice_options
from ets.cli.bench import options as bench_options
from ets.cli.declared import GRID_TABLE, Said, takes
from ets.cli.output import open_output
from ets.cli.setup import make_grid
from ets.errors import InputError

TRIED: Mapping[str, Sequence[Any]] = MappingProxyType(
    {"strategies": ("best-of-n", "dvts", "rebase", "mpts"), "widths": (4, 16)}
)
"""What `ets tune --by` searches unless told otherwise."""


@takes(**bench_options.GRID, **options.ENGINES, **options.ENGINE_OPTIONS, **options.UNTIL)
def bench(
    run: bench_options.Run,
    *,
    config: bench_options.BenchConfig = None,
    said: Said,
    dry_run: bench_options.DryRun = False,
    as_json: options.AsJSON = False,
    debug: options.Debug = False,
) -> None:
    """Compare strategies over a data set; killed at any moment, the same command goes on."""
    from ets.cli.bench.dry_run import run_dry
    from ets.cli.bench.run import run_bench

    grid = make_grid(config, said)
    with open_output(as_json=as_json, debug=debug) as output:
        if not dry_run:
            run_bench(grid, Path(run), output)
            return
        status = run_dry(grid, output)
    raise typer.Exit(status)


@takes(**bench_options.REPLAY)
def replay(
    run: bench_options.Run,
    said: Said,
    embedder: bench_options.ReplayEmbedder = None,
    out: bench_options.ReplayOut = None,
    as_json: options.AsJSON = False,
    debug: options.Debug = False,
) -> None:
    """Decide a run's recorded searches anew under other settings, without a model."""
    from ets.cli.bench.replay import run_replay

    settings = said.get(GRID_TABLE, {})
    with open_output(as_json=as_json, debug=debug) as output:
        run_replay(Path(run), settings, embedder, None if out is None else Path(out), output)


def report(
    run: bench_options.Runs,
    out: bench_options.ReportOut = None,
    loss: bench_options.ReportLoss = 0.2,
    trees: bench_options.ReportTrees = "wrong",
    most_trees: bench_options.MostTrees = None,
    as_json: options.AsJSON = False,
    debug: options.Debug = False,
) -> None:
    """Write a run as a page, with figures and every problem; or two runs side by side."""
    from ets.cli.bench.report import run_report

    with open_output(as_json=as_json, debug=debug) as output:
        run_report(
            [Path(folder) for folder in run],
            None if out is None else Path(out),
            loss / 100,
            trees,
            most_trees,
            output,
        )


@takes(**bench_options.TUNE, **options.ENGINES, **options.ENGINE_OPTIONS, **options.UNTIL)
def tune(
    run: choice_options.TunedRuns,
    *,
    config: bench_options.BenchConfig = None,
    said: Said,
    by: choice_options.By = None,
    at_most: choice_options.AtMost = None,
    within: choice_options.Within = None,
    prm_weight: choice_options.PRMWeight = None,
    loss: choice_options.Loss = None,
    as_json: options.AsJSON = False,
    debug: options.Debug = False,
) -> None:
    """Choose what to run: with [bold]--by[/bold] of everything, else how strongly ETS prunes.

    With --by, --at-most or --within: of strategies, settings, widths and votes, sampling and voting
    among them, the cheapest that is as good as the best, or the best that can be paid. It reads
    finished runs of [bold]ets bench[/bold] over the same problems, or searches what the options
    say. Without: the least KV at REBASE's accuracy, less a stated loss. Use problems that no result
    is reported of later. The choice is written into the run folder as a file for [bold]ets solve
    --config[/bold].
    """
    from ets.bench.equal_accuracy import LOSS
    from ets.bench.tune import LAMBDAS
    from ets.cli.bench.recommend import asked_limit, run_recommend
    from ets.cli.bench.tune import run_tune

    limit = asked_limit(by, at_most, within, prm_weight)
    folders = [Path(folder) for folder in run]
    if limit is not None:
        if loss is not None:
            raise InputError("--loss is that of ETS against REBASE: say --within with --by")
        searches = bool(said) or config is not None
        grid = make_grid(config, said, **TRIED) if searches else None
        with open_output(as_json=as_json, debug=debug) as output:
            run_recommend(grid, folders, limit, output)
        return
    if len(folders) > 1:
        raise InputError(f"RUN must be one folder without --by, got {len(folders)}")
    table = said.get(GRID_TABLE, {})
    if "strategies" in table:
        raise InputError("--strategies needs --by: without it REBASE and ETS are searched")
    said = {**said, GRID_TABLE: {**table, "strategies": ["rebase", "ets"]}}
    grid = make_grid(config, said, lambda_b=LAMBDAS)
    with open_output(as_json=as_json, debug=debug) as output:
        run_tune(grid, folders[0], LOSS if loss is None else loss / 100, output)
