"""The options of a search on the command line, and what every command takes."""

from __future__ import annotations

from typing import Annotated

import typer

from ets.answer import Aggregation, VoteMethod
from ets.cli.declared import Declared, of_search, option
from ets.cli.values import number_or_auto, read_pairs, with_breaks
from ets.policy.limits import PRMThinking
from ets.rollout.options import RequestOrder
from ets.strategy.registry import StrategyName
from ets.tree.nodes import Reward

_ENGINES, _SEARCH, _BUDGETS = "Engines", "Search", "Budgets"
_ANSWER, _OUTPUT = "Answer", "Output"


# --- what a search is told: by name, as typer shows them ------------------------------------------

ENGINES = {
    "policy": of_search("policy", _ENGINES),
    "prm": of_search(
        "prm", _ENGINES, default="demo; beside another policy than demo none, a plain majority vote"
    ),
    "embedder": of_search("embedder", _ENGINES),
    "preset": Declared(
        Annotated[
            str | None,
            option(
                _ENGINES,
                "Prompt, delimiter and limits as published for a policy: a name that ets presets "
                "lists, or auto, by the policy's model. What is given beside it wins.",
                metavar="NAME|auto",
            ),
        ]
    ),
}
"""Which models."""

ENGINE_OPTIONS = {
    "policy_option": Declared(
        Annotated[
            list[str] | None,
            option(
                _ENGINES,
                "Anything else that the policy's backend takes; may be given again.",
                metavar="KEY=VALUE",
            ),
        ],
        "policy_options",
        "*",
        read_pairs,
    ),
    "prm_option": Declared(
        Annotated[list[str] | None, option(_ENGINES, "The same for the PRM.", metavar="KEY=VALUE")],
        "prm_options",
        "*",
        read_pairs,
    ),
    "embedder_option": Declared(
        Annotated[
            list[str] | None, option(_ENGINES, "The same for the embedder.", metavar="KEY=VALUE")
        ],
        "embedder_options",
        "*",
        read_pairs,
    ),
}
"""What their backends take."""

WORKERS = {
    "workers": Declared(
        Annotated[
            int | None,
            option(
                _ENGINES,
                "Processes that each load the engines, on devices of their own; problems are "
                "spread over them. \\[default: none, the engines are in this process]",
            ),
        ],
        "workers",
        "count",
    ),
    "ray": Declared(
        Annotated[
            str | None,
            option(
                _ENGINES,
                "Workers are actors of this Ray cluster; auto: the one that this machine is in.",
                metavar="ADDRESS",
            ),
        ],
        "workers",
    ),
    "worker_option": Declared(
        Annotated[
            list[str] | None,
            option(
                _ENGINES,
                "Anything else that ets.Workers takes, or with --ray ets.ray.RayWorkers: "
                "num_gpus=1, say; may be given again.",
                metavar="KEY=VALUE",
            ),
        ],
        "workers",
        "*",
        read_pairs,
    ),
}
"""Where the engines are, if not in this process."""

SAMPLING = {
    "temperature": Declared(
        Annotated[float | None, option(_ENGINES, "Of the policy's samples. \\[default: 1.0]")],
        "policy_options",
    ),
    "step": Declared(
        Annotated[
            str | None,
            option(
                _ENGINES,
                "What ends a step: delimiter, tokens:N, sentences or regex:PATTERN. "
                "\\[default: delimiter]",
            ),
        ],
        "policy_options",
    ),
    "delimiter": Declared(
        Annotated[
            str | None,
            option(
                _ENGINES,
                "What ends a step unless --step says otherwise; \\n is a line break. "
                "\\[default: \\n\\n, a blank line]",
            ),
        ],
        "policy_options",
        read=with_breaks,
    ),
    "system_prompt": Declared(
        Annotated[str | None, option(_ENGINES, "In place of the model's own.")], "policy_options"
    ),
}
"""Options of policies that have a flag of their own."""

STRATEGY = {
    "strategy": Declared(
        Annotated[
            StrategyName | None,
            option(_SEARCH, "How the tree is searched. \\[default: ets; best-of-n without a PRM]"),
        ],
        "strategy",
        "name",
    ),
    "width": Declared(
        Annotated[int | None, option(_SEARCH, "Solutions to complete. \\[default: 16]")], "strategy"
    ),
    "lambda_b": Declared(
        Annotated[
            float | None,
            option(
                _SEARCH,
                "ETS, MPTS: the price of KV cache; 0 prunes nothing. \\[default: 1.0; MPTS: 2.0]",
            ),
        ],
        "strategy",
    ),
    "lambda_d": Declared(
        Annotated[
            float | None,
            option(_SEARCH, "ETS: the worth of diversity. \\[default: as published for the width]"),
        ],
        "strategy",
    ),
    "reward": Declared(
        Annotated[
            Reward | None,
            option(_SEARCH, "How a leaf's reward comes from its path. \\[default: last]"),
        ],
        "strategy",
    ),
}

SEARCH = {
    "seed": of_search("seed", _SEARCH, int),
    "max_step_tokens": of_search("max_step_tokens", _SEARCH, int),
    "max_tokens": of_search("max_tokens", _SEARCH, int),
    "max_depth": of_search("max_depth", _SEARCH, int),
    "prm_thinking": of_search("prm_thinking", _SEARCH, PRMThinking),
    "straggler": of_search("straggler", _SEARCH, float),
    "engine_timeout": of_search("engine_timeout", _SEARCH, float),
    "request_order": of_search("request_order", _SEARCH, RequestOrder),
}

BUDGETS = {
    "budget_tokens": Declared(
        Annotated[
            int | None,
            option(
                _BUDGETS, "End a problem's search when the policy has sampled that many tokens."
            ),
        ],
        "budget",
        "tokens",
    ),
    "budget_seconds": Declared(
        Annotated[float | None, option(_BUDGETS, "The same by wall time.")], "budget", "seconds"
    ),
    "budget_prm_calls": Declared(
        Annotated[int | None, option(_BUDGETS, "The same by steps that the PRM scores.")],
        "budget",
        "prm_calls",
    ),
    "kv_budget": of_search("kv_budget", _BUDGETS, read=number_or_auto, metavar="TOKENS|auto"),
}

UNTIL = {
    "until_error": Declared(
        Annotated[
            float | None,
            option(
                _BUDGETS,
                "Ask for votes, samples of best-of-n or searches of another strategy, until one "
                "answer is the likeliest, but for that error: 0.05, say.",
            ),
        ],
        "until",
        "error",
    ),
    "until_most": Declared(
        Annotated[
            int | None,
            option(_BUDGETS, "Votes at most. \\[default: best-of-n: the width; else 16]"),
        ],
        "until",
        "most",
    ),
}
"""When a problem has votes enough."""

ANSWER = {
    "vote": of_search("vote", _ANSWER, VoteMethod),
    "score": of_search("score", _ANSWER, Aggregation),
    "answer_pattern": of_search("answer_pattern", _ANSWER, metavar="REGEX"),
}

# --- what is no setting of a search ---------------------------------------------------------------

Problem = Annotated[
    str,
    typer.Argument(
        help="The problem; [bold]-[/bold] reads it from standard input; a name that ends in "
        "[bold].jsonl[/bold] is a file with a field 'problem' or 'question' on each line (and "
        "'answer', where it is known).",
        show_default=False,
    ),
]
Config = Annotated[
    str | None,
    option(
        _ENGINES,
        "A TOML file with the arguments of ets.Search; what is given beside it wins.",
        metavar="FILE",
    ),
]
Tree = Annotated[
    str | None,
    option(_ANSWER, "Write the tree as a page to look at.", "--tree", metavar="FILE.html"),
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
