"""The commands."""

from __future__ import annotations

from typing import Annotated

import typer

from ets._core import __version__
from ets.cli import options
from ets.cli.bench.commands import bench, replay, report, tune
from ets.cli.declared import Said, takes
from ets.cli.output import open_output
from ets.cli.problems import read_problems
from ets.cli.setup import WAY_OUT, Setup, merged
from ets.cli.values import number_or_auto
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
        typer.echo(f"ets-search {__version__}")
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
@takes(
    **options.ENGINES,
    **options.SAMPLING,
    **options.ENGINE_OPTIONS,
    **options.WORKERS,
    **options.STRATEGY,
    **options.SEARCH,
    **options.BUDGETS,
    **options.UNTIL,
    **options.ANSWER,
)
def solve(
    problem: options.Problem,
    *,
    config: options.Config = None,
    said: Said,
    concurrency: options.Concurrency = "8",
    tree: options.Tree = None,
    as_json: options.AsJSON = False,
    debug: options.Debug = False,
) -> None:
    """Search for the answer to a problem, or to each problem of a file."""
    from ets.cli.solve import check_page, solve_many, solve_one

    setup = Setup.make(config, said)
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


@app.command()
@takes(
    **options.ENGINES,
    **options.SAMPLING,
    **options.ENGINE_OPTIONS,
    **options.WORKERS,
    **options.STRATEGY,
    **options.SEARCH,
    **options.BUDGETS,
    **options.ANSWER,
)
def serve(
    *,
    config: options.Config = None,
    said: Said,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="The port; 0: one that is free.", min=0, max=65535)
    ] = 8000,
    grace: Annotated[
        float, typer.Option(help="Seconds that running searches have to end at SIGTERM.", min=0)
    ] = 30.0,
    api_key_file: Annotated[
        str | None,
        typer.Option(
            help="Lines of a name and a key; whoever asks has to have one of them. "
            "\\[default: everybody may ask]",
            show_default=False,
            metavar="FILE",
        ),
    ] = None,
    exit_when_lost: Annotated[
        bool,
        typer.Option(
            "--exit-when-lost", help="End when an engine is lost, for a supervisor to start anew."
        ),
    ] = False,
    debug: options.Debug = False,
) -> None:
    """Serve searches behind OpenAI's protocol: chat completions, responses, events of the tree."""
    from ets.cli.serve import run_serve

    with open_output(as_json=False, debug=debug) as output:
        run_serve(
            config,
            said,
            output,
            host=host,
            port=port,
            grace=grace,
            keys=api_key_file,
            exit_when_lost=exit_when_lost,
        )


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
@takes(
    policy=options.ENGINES["policy"],
    prm=options.ENGINES["prm"],
    preset=options.ENGINES["preset"],
    policy_option=options.ENGINE_OPTIONS["policy_option"],
    prm_option=options.ENGINE_OPTIONS["prm_option"],
    width=options.STRATEGY["width"],
    max_tokens=options.SEARCH["max_tokens"],
)
def doctor(
    *,
    config: options.Config = None,
    said: Said,
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

    arguments = with_preset(merged(config, said))
    with open_output(as_json=as_json, debug=debug) as output:
        return run_doctor(arguments, output, gpu_gib=gpu_memory, known=known)


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
