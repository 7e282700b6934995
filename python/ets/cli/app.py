"""The commands."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from ets.cli import options
from ets.cli.bench.commands import bench, replay, report, tune
from ets.cli.output import open_output
from ets.cli.problems import read_problems
from ets.cli.setup import (
    WAY_OUT,
    Setup,
    given,
    merged,
    number_or_auto,
    parse_options,
)
from ets.presets import with_preset

app = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ets-search {metadata.version('ets-search')}")
        raise typer.Exit


@app.callback()
def ets(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Search for an answer with a policy LM, a process reward model and a tree that prunes itself.

    Try [bold]ets demo[/bold] first: it needs no download.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def solve(
    problem: options.Problem,
    config: options.Config = None,
    policy: options.Policy = None,
    prm: options.PRM = None,
    embedder: options.Embedder = None,
    preset: options.Preset = None,
    temperature: options.Temperature = None,
    delimiter: options.Delimiter = None,
    system_prompt: options.SystemPrompt = None,
    policy_option: options.PolicyOption = None,
    prm_option: options.PRMOption = None,
    embedder_option: options.EmbedderOption = None,
    strategy: options.Strategy = None,
    width: options.Width = None,
    lambda_b: options.LambdaB = None,
    lambda_d: options.LambdaD = None,
    reward: options.LeafReward = None,
    seed: options.Seed = None,
    max_step_tokens: options.MaxStepTokens = None,
    max_tokens: options.MaxTokens = None,
    max_depth: options.MaxDepth = None,
    prm_thinking: options.ReadsThoughts = None,
    budget_tokens: options.BudgetTokens = None,
    budget_seconds: options.BudgetSeconds = None,
    budget_prm_calls: options.BudgetPRMCalls = None,
    kv_budget: options.KVBudget = None,
    vote: options.Vote = None,
    score: options.Score = None,
    answer_pattern: options.AnswerPattern = None,
    concurrency: options.Concurrency = "8",
    tree: options.Tree = None,
    as_json: options.AsJSON = False,
    debug: options.Debug = False,
) -> None:
    """Search for the answer to a problem, or to each problem of a file."""
    from ets.cli.solve import check_page, solve_many, solve_one

    setup = Setup.make(
        config,
        given(
            policy=policy,
            prm=prm,
            embedder=embedder,
            preset=preset,
            seed=seed,
            max_step_tokens=max_step_tokens,
            max_tokens=max_tokens,
            max_depth=max_depth,
            prm_thinking=prm_thinking,
            vote=vote,
            score=score,
            answer_pattern=answer_pattern,
            kv_budget=None if kv_budget is None else number_or_auto("--kv-budget", kv_budget),
        ),
        strategy=given(
            name=strategy,
            width=width,
            lambda_b=lambda_b,
            lambda_d=lambda_d,
            reward=reward,
        ),
        budget=given(tokens=budget_tokens, seconds=budget_seconds, prm_calls=budget_prm_calls),
        policy_options={
            **parse_options("--policy-option", policy_option),
            **given(
                temperature=temperature,
                delimiter=None if delimiter is None else delimiter.replace("\\n", "\n"),
                system_prompt=system_prompt,
            ),
        },
        prm_options=parse_options("--prm-option", prm_option),
        embedder_options=parse_options("--embedder-option", embedder_option),
    )
    at_once = number_or_auto("--concurrency", concurrency)
    problems, many = read_problems(problem)
    page = None if tree is None else check_page(tree, many)
    with open_output(as_json=as_json, debug=debug) as output:
        if setup.prm_is_missing:
            output.note(WAY_OUT)
        if many:
            solve_many(setup, problems, at_once, output)
        else:
            solve_one(setup, problems[0], output, page)


for command in (bench, replay, report, tune):
    app.command()(command)


@app.command()
def demo(
    width: Annotated[int, typer.Option(help="Solutions to complete for each problem.")] = 16,
    seed: Annotated[int, typer.Option(help="The same seed gives the same searches.")] = 0,
    debug: options.Debug = False,
) -> None:
    """Search six problems with the bundled pair of models, ETS beside REBASE."""
    from ets.cli.demo import run_demo

    with open_output(as_json=False, debug=debug) as output:
        run_demo(width, seed, output)


@app.command()
def doctor(
    config: options.Config = None,
    policy: Annotated[
        str | None, typer.Option(help="The policy to examine, as in solve.", show_default=False)
    ] = None,
    prm: Annotated[
        str | None, typer.Option(help="The PRM to examine, as in solve.", show_default=False)
    ] = None,
    preset: options.Preset = None,
    policy_option: options.PolicyOption = None,
    prm_option: options.PRMOption = None,
    width: Annotated[
        int | None, typer.Option(min=1, help="The width that is planned. \\[default: 16]")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of one solution. \\[default: 1024]")
    ] = None,
    gpu_memory: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Divide a GPU of so many GiB among the engines; where this machine has none of "
            "that size, that is all: nothing is loaded. \\[default: the GPU that is here]",
            show_default=False,
            metavar="GIB",
        ),
    ] = None,
    known: Annotated[
        bool,
        typer.Option("--known", help="Hold the PRM against the scores of its authors' example."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for each report, as it comes.")
    ] = False,
    debug: options.Debug = False,
) -> int:
    """Load a policy and a PRM, try them on a small problem, and say what is wrong.

    Exits with 1 if something is. Without options it examines the bundled pair. On a GPU it says
    first how its memory is divided.
    """
    from ets.cli.doctor import run_doctor

    said = merged(
        config,
        given(policy=policy, prm=prm, preset=preset, max_tokens=max_tokens),
        strategy=given(width=width),
        policy_options=parse_options("--policy-option", policy_option),
        prm_options=parse_options("--prm-option", prm_option),
    )
    with open_output(as_json=as_json, debug=debug) as output:
        return run_doctor(with_preset(said), output, gpu_gib=gpu_memory, known=known)


@app.command()
def presets(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for each preset.")
    ] = False,
) -> None:
    """List the presets: prompts, delimiters and limits as published, by the policy's model."""
    from ets.cli.presets import list_presets

    with open_output(as_json=as_json, debug=False) as output:
        list_presets(output)
