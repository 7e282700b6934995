"""The commands and their options."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from importlib import metadata
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from ets.answer import Aggregation, VoteMethod
from ets.budget import Budget
from ets.cli.output import open_output
from ets.cli.problems import read_problems
from ets.cli.setup import (
    NO_PRM,
    WAY_OUT,
    Setup,
    StrategyName,
    make_strategy,
    number_or_auto,
    parse_options,
)
from ets.errors import EngineError, MissingExtraError
from ets.nodes import Reward

INTERRUPTED, FAILED, BROKEN_PIPE, TERMINATED = 130, 2, 141, 143

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_ENGINES, _SEARCH, _ANSWER, _OUTPUT = "Engines", "Search", "Answer", "Output"
_BUDGETS = "Budgets"

Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        help="Show a trace on errors, and what the engines print.",
        rich_help_panel=_OUTPUT,
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ets-search {metadata.version('ets-search')}")
        raise typer.Exit


@app.callback()
def ets(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Search for an answer with a policy LM, a process reward model and a tree that prunes itself.

    Try [bold]ets demo[/bold] first: it needs no download.
    """


@app.command()
def solve(
    problem: Annotated[
        str,
        typer.Argument(
            help="The problem; [bold]-[/bold] reads it from standard input; a name that ends in "
            "[bold].jsonl[/bold] is a file with a field 'problem' or 'question' on each line (and "
            "'answer', where it is known).",
            show_default=False,
        ),
    ],
    policy: Annotated[
        str,
        typer.Option(
            help="The model that writes the steps: demo, transformers:PATH, vllm:PATH or "
            "openai:MODEL@URL.",
            rich_help_panel=_ENGINES,
        ),
    ] = "demo",
    prm: Annotated[
        str | None,
        typer.Option(
            help="The model that scores them: demo, transformers:PATH, vllm:PATH, "
            "pooling:MODEL@URL or none. With the demo policy the demo PRM; with another policy "
            "none, a plain majority vote.",
            rich_help_panel=_ENGINES,
            show_default=False,
        ),
    ] = None,
    embedder: Annotated[
        str,
        typer.Option(
            help="What finds steps that mean the same: lexical, demo, policy, "
            "sentence-transformers:NAME or vllm:NAME.",
            rich_help_panel=_ENGINES,
        ),
    ] = "lexical",
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Of the policy's samples. \\[default: 1.0]",
            rich_help_panel=_ENGINES,
            show_default=False,
        ),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(
            help="What ends a step; \\n is a line break. \\[default: \\n\\n, a blank line]",
            rich_help_panel=_ENGINES,
            show_default=False,
        ),
    ] = None,
    system_prompt: Annotated[
        str | None,
        typer.Option(help="In place of the model's own.", rich_help_panel=_ENGINES),
    ] = None,
    policy_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Anything else that the policy's backend takes; may be given again.",
            rich_help_panel=_ENGINES,
        ),
    ] = None,
    prm_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="The same for the PRM.", rich_help_panel=_ENGINES),
    ] = None,
    embedder_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="The same for the embedder.", rich_help_panel=_ENGINES
        ),
    ] = None,
    strategy: Annotated[
        StrategyName | None,
        typer.Option(
            help="How the tree is searched. \\[default: ets; best-of-n without a PRM]",
            rich_help_panel=_SEARCH,
            show_default=False,
        ),
    ] = None,
    width: Annotated[
        int, typer.Option(help="Solutions to complete.", rich_help_panel=_SEARCH)
    ] = 16,
    lambda_b: Annotated[
        float | None,
        typer.Option(
            help="ETS: the price of KV cache; 0 prunes nothing. \\[default: 1.0]",
            rich_help_panel=_SEARCH,
            show_default=False,
        ),
    ] = None,
    lambda_d: Annotated[
        float | None,
        typer.Option(
            help="ETS: the worth of diversity. \\[default: as published for the width]",
            rich_help_panel=_SEARCH,
            show_default=False,
        ),
    ] = None,
    reward: Annotated[
        Reward | None,
        typer.Option(
            help="How a leaf's reward comes from its path. \\[default: last]",
            rich_help_panel=_SEARCH,
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="The same seed gives the same search.", rich_help_panel=_SEARCH)
    ] = 0,
    max_step_tokens: Annotated[
        int, typer.Option(help="Tokens of one step.", rich_help_panel=_SEARCH)
    ] = 256,
    max_tokens: Annotated[
        int, typer.Option(help="Tokens of one solution.", rich_help_panel=_SEARCH)
    ] = 1024,
    max_depth: Annotated[
        int, typer.Option(help="Steps of one solution.", rich_help_panel=_SEARCH)
    ] = 25,
    budget_tokens: Annotated[
        int | None,
        typer.Option(
            help="End a problem's search when the policy has sampled that many tokens.",
            rich_help_panel=_BUDGETS,
        ),
    ] = None,
    budget_seconds: Annotated[
        float | None,
        typer.Option(help="The same by wall time.", rich_help_panel=_BUDGETS),
    ] = None,
    budget_prm_calls: Annotated[
        int | None,
        typer.Option(help="The same by steps that the PRM scores.", rich_help_panel=_BUDGETS),
    ] = None,
    kv_budget: Annotated[
        str | None,
        typer.Option(
            metavar="TOKENS|auto",
            help="ETS: the most KV tokens a tree may keep; auto: its part of the engine's cache.",
            rich_help_panel=_BUDGETS,
        ),
    ] = None,
    vote: Annotated[
        VoteMethod,
        typer.Option(help="How the solutions vote for an answer.", rich_help_panel=_ANSWER),
    ] = "weighted",
    score: Annotated[
        Aggregation,
        typer.Option(
            help="How a solution's weight comes from its rewards.", rich_help_panel=_ANSWER
        ),
    ] = "last",
    answer_pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="Finds the answer (its group 1) in a solution, in place of the usual rules.",
            rich_help_panel=_ANSWER,
        ),
    ] = None,
    concurrency: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Problems of a file searched at once; auto: as many as fit into the KV cache.",
            rich_help_panel=_OUTPUT,
        ),
    ] = "8",
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object for each problem and nothing else on standard output.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Search for the answer to a problem, or to each problem of a file."""
    from ets.cli.solve import solve_many, solve_one

    unscored = prm == NO_PRM or (prm is None and policy.partition("?")[0] != "demo")
    default = StrategyName.best_of_n if unscored else StrategyName.ets
    setup = Setup(
        policy=policy,
        prm=NO_PRM if unscored else prm or "demo",
        embedder=embedder,
        strategy=make_strategy(
            strategy or default, width, lambda_b=lambda_b, lambda_d=lambda_d, reward=reward
        ),
        seed=seed,
        policy_options={
            **parse_options("--policy-option", policy_option or []),
            **_given(
                temperature=temperature,
                delimiter=None if delimiter is None else delimiter.replace("\\n", "\n"),
                system_prompt=system_prompt,
            ),
        },
        prm_options=parse_options("--prm-option", prm_option or []),
        embedder_options=parse_options("--embedder-option", embedder_option or []),
        max_step_tokens=max_step_tokens,
        max_tokens=max_tokens,
        max_depth=max_depth,
        vote=vote,
        score=score,
        answer_pattern=answer_pattern,
        budget=Budget(tokens=budget_tokens, seconds=budget_seconds, prm_calls=budget_prm_calls),
        kv_budget=None if kv_budget is None else number_or_auto("--kv-budget", kv_budget),
    )
    at_once = number_or_auto("--concurrency", concurrency)
    problems, many = read_problems(problem)
    with open_output(as_json=as_json, debug=debug) as output:
        if unscored and prm is None:
            output.note(WAY_OUT)
        if many:
            solve_many(setup, problems, at_once, output)
        else:
            solve_one(setup, problems[0], output)


@app.command()
def demo(
    width: Annotated[int, typer.Option(help="Solutions to complete for each problem.")] = 16,
    seed: Annotated[int, typer.Option(help="The same seed gives the same searches.")] = 0,
    debug: Debug = False,
) -> None:
    """Search six problems with the bundled pair of models, ETS beside REBASE."""
    from ets.cli.demo import run_demo

    with open_output(as_json=False, debug=debug) as output:
        run_demo(width, seed, output)


@app.command()
def doctor(
    policy: Annotated[
        str | None, typer.Option(help="The policy to examine, as in solve.", show_default=False)
    ] = None,
    prm: Annotated[
        str | None, typer.Option(help="The PRM to examine, as in solve.", show_default=False)
    ] = None,
    policy_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="What the policy's backend takes; again for more."),
    ] = None,
    prm_option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="The same for the PRM.")
    ] = None,
    width: Annotated[int, typer.Option(min=1, help="The width that is planned.")] = 16,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of one solution.")] = 1024,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for each model.")
    ] = False,
    debug: Debug = False,
) -> int:
    """Load a policy and a PRM, try them on a small problem, and say what is wrong.

    Exits with 1 if something is. Without options it examines the bundled pair.
    """
    from ets.cli.doctor import run_doctor
    from ets.doctor import Load

    if policy is None and prm is None:
        policy, prm = "demo", "demo"
    with open_output(as_json=as_json, debug=debug) as output:
        return run_doctor(
            policy,
            prm,
            policy_options=parse_options("--policy-option", policy_option or []),
            prm_options=parse_options("--prm-option", prm_option or []),
            load=Load(width, max_tokens),
            output=output,
        )


def _given(**options: Any) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def main() -> NoReturn:
    """Run the command line and exit: 0 well, 2 an error in one line, 130 interrupted."""
    signal.signal(signal.SIGTERM, _terminate)
    code = _run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _broken_pipe()
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    debug = "--debug" in arguments
    try:
        code = typer.main.get_command(app).main(
            args=arguments, prog_name="ets", standalone_mode=False
        )
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return _broken_pipe()
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - the last resort; a Rust panic is no Exception
        if debug:
            traceback.print_exc()
        else:
            sys.stderr.write(f"ets: {_one_line(error)}\n")
        return FAILED


def _one_line(error: BaseException) -> str:
    """An error in one line: its message where it was made to be read, else its type too."""
    if hasattr(error, "format_message"):  # a usage error of typer's
        return " ".join(error.format_message().split())
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or ''}: {error.strerror}".removeprefix(": ")
    if text and isinstance(error, ValueError | EngineError | MissingExtraError):
        return text
    return f"{type(error).__name__}: {text} (--debug shows the trace)".replace(":  (", " (")


def _broken_pipe() -> int:
    """Whoever read our output is gone: leave quietly."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return BROKEN_PIPE


def _terminate(signum: int, frame: FrameType | None) -> None:
    """Leave through the `with` blocks, so that engines stop their processes."""
    raise SystemExit(TERMINATED)
