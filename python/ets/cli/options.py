"""The options of the commands: what each is called, and what its help says."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from ets.answer import Aggregation, VoteMethod
from ets.nodes import Reward
from ets.strategy_names import StrategyName

_ENGINES, _SEARCH, _BUDGETS = "Engines", "Search", "Budgets"
_ANSWER, _OUTPUT = "Answer", "Output"


def _option(panel: str, text: str, *flags: str, **more: Any) -> Any:
    """An option that says in its help what holds without it, and is None then."""
    more.setdefault("show_default", False)
    return typer.Option(*flags, help=text, rich_help_panel=panel, **more)


Problem = Annotated[
    str,
    typer.Argument(
        help="The problem; [bold]-[/bold] reads it from standard input; a name that ends in "
        "[bold].jsonl[/bold] is a file with a field 'problem' or 'question' on each line (and "
        "'answer', where it is known).",
        show_default=False,
    ),
]

# --- engines ------------------------------------------------------------------------------------

Config = Annotated[
    str | None,
    _option(
        _ENGINES,
        "A TOML file with the arguments of ets.Search; what is given beside it wins.",
        metavar="FILE",
    ),
]
Policy = Annotated[
    str | None,
    _option(
        _ENGINES,
        "The model that writes the steps: demo, transformers:PATH, vllm:PATH or openai:MODEL@URL. "
        "\\[default: demo]",
    ),
]
PRM = Annotated[
    str | None,
    _option(
        _ENGINES,
        "The model that scores them: demo, transformers:PATH, vllm:PATH, pooling:MODEL@URL or "
        "none. With the demo policy the demo PRM; with another policy none, a plain majority vote.",
    ),
]
Embedder = Annotated[
    str | None,
    _option(
        _ENGINES,
        "What finds steps that mean the same: lexical, demo, policy, sentence-transformers:NAME "
        "or vllm:NAME. \\[default: lexical]",
    ),
]
Temperature = Annotated[
    float | None, _option(_ENGINES, "Of the policy's samples. \\[default: 1.0]")
]
Delimiter = Annotated[
    str | None,
    _option(
        _ENGINES,
        "What ends a step; \\n is a line break. \\[default: \\n\\n, a blank line]",
    ),
]
SystemPrompt = Annotated[str | None, _option(_ENGINES, "In place of the model's own.")]
PolicyOption = Annotated[
    list[str] | None,
    _option(
        _ENGINES,
        "Anything else that the policy's backend takes; may be given again.",
        metavar="KEY=VALUE",
    ),
]
PRMOption = Annotated[
    list[str] | None, _option(_ENGINES, "The same for the PRM.", metavar="KEY=VALUE")
]
EmbedderOption = Annotated[
    list[str] | None, _option(_ENGINES, "The same for the embedder.", metavar="KEY=VALUE")
]

# --- search -------------------------------------------------------------------------------------

Strategy = Annotated[
    StrategyName | None,
    _option(_SEARCH, "How the tree is searched. \\[default: ets; best-of-n without a PRM]"),
]
Width = Annotated[int | None, _option(_SEARCH, "Solutions to complete. \\[default: 16]")]
LambdaB = Annotated[
    float | None,
    _option(_SEARCH, "ETS: the price of KV cache; 0 prunes nothing. \\[default: 1.0]"),
]
LambdaD = Annotated[
    float | None,
    _option(_SEARCH, "ETS: the worth of diversity. \\[default: as published for the width]"),
]
LeafReward = Annotated[
    Reward | None,
    _option(_SEARCH, "How a leaf's reward comes from its path. \\[default: last]", "--reward"),
]
Seed = Annotated[
    int | None, _option(_SEARCH, "The same seed gives the same search. \\[default: 0]")
]
MaxStepTokens = Annotated[int | None, _option(_SEARCH, "Tokens of one step. \\[default: 256]")]
MaxTokens = Annotated[int | None, _option(_SEARCH, "Tokens of one solution. \\[default: 1024]")]
MaxDepth = Annotated[int | None, _option(_SEARCH, "Steps of one solution. \\[default: 25]")]

# --- budgets ------------------------------------------------------------------------------------

BudgetTokens = Annotated[
    int | None,
    _option(_BUDGETS, "End a problem's search when the policy has sampled that many tokens."),
]
BudgetSeconds = Annotated[float | None, _option(_BUDGETS, "The same by wall time.")]
BudgetPRMCalls = Annotated[int | None, _option(_BUDGETS, "The same by steps that the PRM scores.")]
KVBudget = Annotated[
    str | None,
    _option(
        _BUDGETS,
        "ETS: the most KV tokens a tree may keep; auto: its part of the engine's cache.",
        metavar="TOKENS|auto",
    ),
]

# --- answer and output --------------------------------------------------------------------------

Tree = Annotated[
    str | None,
    _option(_ANSWER, "Write the tree as a page to look at.", "--tree", metavar="FILE.html"),
]
Vote = Annotated[
    VoteMethod | None,
    _option(_ANSWER, "How the solutions vote for an answer. \\[default: weighted]"),
]
Score = Annotated[
    Aggregation | None,
    _option(_ANSWER, "How a solution's weight comes from its rewards. \\[default: last]"),
]
AnswerPattern = Annotated[
    str | None,
    _option(
        _ANSWER,
        "Finds the answer (its group 1) in a solution, in place of the usual rules.",
        metavar="REGEX",
    ),
]
Concurrency = Annotated[
    str,
    _option(
        _OUTPUT,
        "Problems of a file searched at once; auto: as many as fit into the KV cache. "
        "\\[default: 8]",
        metavar="N|auto",
    ),
]
AsJSON = Annotated[
    bool,
    _option(
        _OUTPUT,
        "Print one JSON object for each problem and nothing else on standard output.",
        "--json",
    ),
]
Debug = Annotated[
    bool, _option(_OUTPUT, "Show a trace on errors, and what the engines print.", "--debug")
]

# --- benchmarks ---------------------------------------------------------------------------------

_GRID = "Grid"

Run = Annotated[str, typer.Argument(help="The run folder; made, or gone on with.")]
BenchConfig = Annotated[
    str | None,
    _option(
        _GRID,
        "A TOML file with these options and, in its table \\[search], the arguments of ets.Search; "
        "what is given beside it wins.",
        "--config",
        metavar="FILE",
    ),
]
Dataset = Annotated[
    str | None,
    _option(
        _GRID,
        "demo, math500, gsm8k, aime24, aime25, amc23, a .jsonl or .parquet file, or hf:NAME. "
        "\\[default: demo]",
    ),
]
Split = Annotated[
    str | None,
    _option(_GRID, "Of demo (test or dev) or of the hub. \\[default: the usual one, or test]"),
]
Problems = Annotated[int | None, _option(_GRID, "How many problems. \\[default: all]")]
Skip = Annotated[int | None, _option(_GRID, "Problems left out at the start. \\[default: 0]")]
Strategies = Annotated[
    str | None,
    _option(
        _GRID,
        "Names with commas between them. \\[default: best-of-n,rebase,ets-kv,ets]",
        metavar="NAME,...",
    ),
]
Widths = Annotated[
    str | None, _option(_GRID, "Solutions to complete. \\[default: 16]", metavar="N,...")
]
Seeds = Annotated[
    str | None, _option(_GRID, "Each strategy once with each. \\[default: 0]", metavar="N,...")
]
LambdasB = Annotated[
    str | None,
    _option(_GRID, "ets, ets-kv: prices of KV. \\[default: 1.0]", "--lambda-b", metavar="X,..."),
]
Bank = Annotated[
    str | None,
    _option(
        _GRID,
        "A file that keeps what the models say, so that no strategy asks twice.",
        metavar="FILE",
    ),
]
LambdasToTry = Annotated[
    str | None,
    _option(
        _GRID,
        "Prices of KV to try. \\[default: 0.25,0.5,0.75,1,1.25,1.5,2]",
        "--lambda-b",
        metavar="X,...",
    ),
]
Loss = Annotated[
    float, _option(_GRID, "Points of accuracy that may be lost to REBASE. \\[default: 0.2]")
]
LambdasD = Annotated[
    str | None,
    _option(
        _GRID,
        "ets: worths of diversity. \\[default: as published for the width]",
        "--lambda-d",
        metavar="X,...",
    ),
]
BenchConcurrency = Annotated[
    int | None, _option(_GRID, "Problems in flight. \\[default: 8]", "--concurrency")
]
Trees = Annotated[
    bool | None,
    _option(_GRID, "Keep the trees in the run folder. \\[default: keep]", "--trees/--no-trees"),
]
DryRun = Annotated[
    bool,
    _option(_GRID, "Only try the engines, show prompts and estimate the cost.", "--dry-run"),
]
ReplayStrategies = Annotated[
    str | None,
    _option(
        _GRID,
        "Names with commas between them. \\[default: those of the run]",
        "--strategies",
        "--strategy",
    ),
]
ReplayEmbedder = Annotated[
    str | None, _option(_GRID, "lexical, where the run's own is a model.", "--embedder")
]
ReplayBank = Annotated[
    str | None,
    _option(
        _GRID,
        "The run's sample bank, which holds the vectors of an embedder that is a model; read only.",
        "--bank",
        metavar="FILE",
    ),
]
ReplayOut = Annotated[
    str | None, _option(_GRID, "A run folder for what comes of it.", "--out", metavar="FOLDER")
]
Workers = Annotated[
    int | None, _option(_GRID, "Processes, each with its own engines. \\[default: 1]", "--workers")
]

# --- reports ------------------------------------------------------------------------------------

_REPORT = "Report"

Runs = Annotated[
    list[str], typer.Argument(help="A run folder; two, and the second is compared with the first.")
]
ReportOut = Annotated[
    str | None,
    _option(
        _REPORT,
        "Where report.html and its figures go. \\[default: RUN/report]",
        "--out",
        metavar="FOLDER",
    ),
]
ReportLoss = Annotated[
    float,
    _option(
        _REPORT, "Points of accuracy to REBASE that count as equal. \\[default: 0.2]", "--loss"
    ),
]
ReportTrees = Annotated[
    Literal["all", "wrong", "none"],
    _option(
        _REPORT,
        "Which trees get a page: those of all searches, of the problems that some search got "
        "wrong, or none. \\[default: wrong]",
        "--trees",
    ),
]
MostTrees = Annotated[
    int | None,
    _option(_REPORT, "Pages of trees at most. \\[default: 500 of wrong, no limit of all]"),
]
