"""The options of the commands: what each is called, and what its help says."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ets.answer import Aggregation, VoteMethod
from ets.policy.limits import PRMThinking
from ets.strategy.registry import StrategyName
from ets.tree.nodes import Reward

_ENGINES, _SEARCH, _BUDGETS = "Engines", "Search", "Budgets"
_ANSWER, _OUTPUT = "Answer", "Output"


def option(panel: str, text: str, *flags: str, **more: Any) -> Any:
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
    option(
        _ENGINES,
        "A TOML file with the arguments of ets.Search; what is given beside it wins.",
        metavar="FILE",
    ),
]
Policy = Annotated[
    str | None,
    option(
        _ENGINES,
        "The model that writes the steps: demo, transformers:PATH, vllm:PATH or openai:MODEL@URL. "
        "\\[default: demo]",
    ),
]
PRM = Annotated[
    str | None,
    option(
        _ENGINES,
        "The model that scores them: demo, transformers:PATH, vllm:PATH, pooling:MODEL@URL or "
        "none. With the demo policy the demo PRM; with another policy none, a plain majority vote.",
    ),
]
Embedder = Annotated[
    str | None,
    option(
        _ENGINES,
        "What finds steps that mean the same: lexical, demo, policy, sentence-transformers:NAME "
        "or vllm:NAME. \\[default: lexical]",
    ),
]
Preset = Annotated[
    str | None,
    option(
        _ENGINES,
        "Prompt, delimiter and limits as published for a policy: a name that ets presets lists, or "
        "auto, by the policy's model. What is given beside it wins.",
        metavar="NAME|auto",
    ),
]
Temperature = Annotated[float | None, option(_ENGINES, "Of the policy's samples. \\[default: 1.0]")]
Delimiter = Annotated[
    str | None,
    option(
        _ENGINES,
        "What ends a step; \\n is a line break. \\[default: \\n\\n, a blank line]",
    ),
]
SystemPrompt = Annotated[str | None, option(_ENGINES, "In place of the model's own.")]
PolicyOption = Annotated[
    list[str] | None,
    option(
        _ENGINES,
        "Anything else that the policy's backend takes; may be given again.",
        metavar="KEY=VALUE",
    ),
]
PRMOption = Annotated[
    list[str] | None, option(_ENGINES, "The same for the PRM.", metavar="KEY=VALUE")
]
EmbedderOption = Annotated[
    list[str] | None, option(_ENGINES, "The same for the embedder.", metavar="KEY=VALUE")
]

# --- search -------------------------------------------------------------------------------------

Strategy = Annotated[
    StrategyName | None,
    option(_SEARCH, "How the tree is searched. \\[default: ets; best-of-n without a PRM]"),
]
Width = Annotated[int | None, option(_SEARCH, "Solutions to complete. \\[default: 16]")]
LambdaB = Annotated[
    float | None,
    option(_SEARCH, "ETS: the price of KV cache; 0 prunes nothing. \\[default: 1.0]"),
]
LambdaD = Annotated[
    float | None,
    option(_SEARCH, "ETS: the worth of diversity. \\[default: as published for the width]"),
]
LeafReward = Annotated[
    Reward | None,
    option(_SEARCH, "How a leaf's reward comes from its path. \\[default: last]", "--reward"),
]
Seed = Annotated[int | None, option(_SEARCH, "The same seed gives the same search. \\[default: 0]")]
MaxStepTokens = Annotated[
    int | None, option(_SEARCH, "Tokens of one step. \\[default: 256; 512 if the policy thinks]")
]
MaxTokens = Annotated[
    int | None,
    option(_SEARCH, "Tokens of one solution. \\[default: 1024; 32768 if the policy thinks]"),
]
MaxDepth = Annotated[
    int | None, option(_SEARCH, "Steps of one solution. \\[default: 25; 128 if the policy thinks]")
]
ReadsThoughts = Annotated[
    PRMThinking | None,
    option(
        _SEARCH,
        "If the PRM is given a policy's thoughts. \\[default: read, if its context holds them]",
        "--prm-thinking",
    ),
]

# --- budgets ------------------------------------------------------------------------------------

BudgetTokens = Annotated[
    int | None,
    option(_BUDGETS, "End a problem's search when the policy has sampled that many tokens."),
]
BudgetSeconds = Annotated[float | None, option(_BUDGETS, "The same by wall time.")]
BudgetPRMCalls = Annotated[int | None, option(_BUDGETS, "The same by steps that the PRM scores.")]
KVBudget = Annotated[
    str | None,
    option(
        _BUDGETS,
        "ETS: the most KV tokens a tree may keep; auto: its part of the engine's cache.",
        metavar="TOKENS|auto",
    ),
]

# --- answer and output --------------------------------------------------------------------------

Tree = Annotated[
    str | None,
    option(_ANSWER, "Write the tree as a page to look at.", "--tree", metavar="FILE.html"),
]
Vote = Annotated[
    VoteMethod | None,
    option(_ANSWER, "How the solutions vote for an answer. \\[default: weighted]"),
]
Score = Annotated[
    Aggregation | None,
    option(_ANSWER, "How a solution's weight comes from its rewards. \\[default: last]"),
]
AnswerPattern = Annotated[
    str | None,
    option(
        _ANSWER,
        "Finds the answer (its group 1) in a solution, in place of the usual rules.",
        metavar="REGEX",
    ),
]
Concurrency = Annotated[
    str,
    option(
        _OUTPUT,
        "Problems of a file searched at once; auto: as many as fit into the KV cache. "
        "\\[default: 8]",
        metavar="N|auto",
    ),
]
AsJSON = Annotated[
    bool,
    option(
        _OUTPUT,
        "Print one JSON object for each problem and nothing else on standard output.",
        "--json",
    ),
]
Debug = Annotated[
    bool, option(_OUTPUT, "Show a trace on errors, and what the engines print.", "--debug")
]
