"""The commands about benchmarks: run, tune, replay, report."""

from __future__ import annotations

from pathlib import Path

import typer

from ets.cli import options
from ets.cli.bench import options as bench_options
from ets.cli.output import open_output
from ets.cli.setup import given, make_grid, parse_list, parse_options, parse_sweep


def bench(
    run: bench_options.Run,
    config: bench_options.BenchConfig = None,
    dataset: bench_options.Dataset = None,
    split: bench_options.Split = None,
    problems: bench_options.Problems = None,
    skip: bench_options.Skip = None,
    strategies: bench_options.Strategies = None,
    widths: bench_options.Widths = None,
    seeds: bench_options.Seeds = None,
    lambda_b: bench_options.LambdasB = None,
    lambda_d: bench_options.LambdasD = None,
    sweep: bench_options.Sweep = None,
    policy: options.Policy = None,
    prm: options.PRM = None,
    embedder: options.Embedder = None,
    preset: options.Preset = None,
    policy_option: options.PolicyOption = None,
    prm_option: options.PRMOption = None,
    embedder_option: options.EmbedderOption = None,
    concurrency: bench_options.BenchConcurrency = None,
    workers: bench_options.Workers = None,
    trees: bench_options.Trees = None,
    bank: bench_options.Bank = None,
    dry_run: bench_options.DryRun = False,
    as_json: options.AsJSON = False,
    debug: options.Debug = False,
) -> None:
    """Compare strategies over a data set; killed at any moment, the same command goes on."""
    from ets.cli.bench.dry_run import run_dry
    from ets.cli.bench.run import run_bench

    grid = make_grid(
        config,
        given(
            dataset=dataset,
            split=split,
            problems=problems,
            skip=skip,
            strategies=parse_list("--strategies", strategies, str),
            widths=parse_list("--widths", widths, int),
            seeds=parse_list("--seeds", seeds, int),
            lambda_b=parse_list("--lambda-b", lambda_b, float),
            lambda_d=parse_list("--lambda-d", lambda_d, float),
            sweep=parse_sweep("--sweep", sweep),
            concurrency=concurrency,
            workers=workers,
            trees=trees,
            bank=bank,
        ),
        given(policy=policy, prm=prm, embedder=embedder, preset=preset),
        policy_options=parse_options("--policy-option", policy_option),
        prm_options=parse_options("--prm-option", prm_option),
        embedder_options=parse_options("--embedder-option", embedder_option),
    )
    with open_output(as_json=as_json, debug=debug) as output:
        if not dry_run:
            run_bench(grid, Path(run), output)
            return
        status = run_dry(grid, output)
    raise typer.Exit(status)


def replay(
    run: bench_options.Run,
    strategies: bench_options.ReplayStrategies = None,
    widths: bench_options.Widths = None,
    lambda_b: bench_options.LambdasB = None,
    lambda_d: bench_options.LambdasD = None,
    sweep: bench_options.Sweep = None,
    embedder: bench_options.ReplayEmbedder = None,
    bank: bench_options.ReplayBank = None,
    out: bench_options.ReplayOut = None,
    as_json: options.AsJSON = False,
    debug: options.Debug = False,
) -> None:
    """Decide a run's recorded searches anew under other settings, without a model."""
    from ets.cli.bench.replay import run_replay

    settings = given(
        strategies=parse_list("--strategies", strategies, str),
        widths=parse_list("--widths", widths, int),
        lambda_b=parse_list("--lambda-b", lambda_b, float),
        lambda_d=parse_list("--lambda-d", lambda_d, float),
        sweep=parse_sweep("--sweep", sweep),
        bank=bank,
    )
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


def tune(
    run: bench_options.Run,
    config: bench_options.BenchConfig = None,
    dataset: bench_options.Dataset = None,
    split: bench_options.Split = None,
    problems: bench_options.Problems = None,
    skip: bench_options.Skip = None,
    widths: bench_options.Widths = None,
    seeds: bench_options.Seeds = None,
    lambda_b: bench_options.LambdasToTry = None,
    lambda_d: bench_options.LambdasD = None,
    sweep: bench_options.Sweep = None,
    loss: bench_options.Loss = 0.2,
    policy: options.Policy = None,
    prm: options.PRM = None,
    embedder: options.Embedder = None,
    preset: options.Preset = None,
    policy_option: options.PolicyOption = None,
    prm_option: options.PRMOption = None,
    embedder_option: options.EmbedderOption = None,
    concurrency: bench_options.BenchConcurrency = None,
    workers: bench_options.Workers = None,
    trees: bench_options.Trees = None,
    bank: bench_options.Bank = None,
    as_json: options.AsJSON = False,
    debug: options.Debug = False,
) -> None:
    """Choose how strongly ETS prunes: the least KV at REBASE's accuracy, less a stated loss.

    Use problems that no result is reported of later. The choice is written into the run folder as
    a file for [bold]ets solve --config[/bold].
    """
    from ets.bench.tune import LAMBDAS
    from ets.cli.bench.tune import run_tune

    grid = make_grid(
        config,
        {
            "strategies": ["rebase", "ets"],
            **given(
                dataset=dataset,
                split=split,
                problems=problems,
                skip=skip,
                widths=parse_list("--widths", widths, int),
                seeds=parse_list("--seeds", seeds, int),
                lambda_b=parse_list("--lambda-b", lambda_b, float),
                lambda_d=parse_list("--lambda-d", lambda_d, float),
                sweep=parse_sweep("--sweep", sweep),
                concurrency=concurrency,
                workers=workers,
                trees=trees,
                bank=bank,
            ),
        },
        given(policy=policy, prm=prm, embedder=embedder, preset=preset),
        policy_options=parse_options("--policy-option", policy_option),
        prm_options=parse_options("--prm-option", prm_option),
        embedder_options=parse_options("--embedder-option", embedder_option),
        lambda_b=LAMBDAS,
    )
    with open_output(as_json=as_json, debug=debug) as output:
        run_tune(grid, Path(run), loss / 100, output)
