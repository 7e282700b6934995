"""The options of the commands about benchmarks, each declared once."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ets.cli.declared import GRID_TABLE, Declared, option
from ets.cli.values import list_of, read_pairs, read_sweep

_GRID = "Grid"

Run = Annotated[str, typer.Argument(help="The run folder; made, or gone on with.")]
BenchConfig = Annotated[
    str | None,
    option(
        _GRID,
        "A TOML file with these options and, in its table \\[search], the arguments of ets.Search; "
        "what is given beside it wins.",
        "--config",
        metavar="FILE",
    ),
]
DryRun = Annotated[
    bool,
    option(_GRID, "Only try the engines, show prompts and estimate the cost.", "--dry-run"),
]
ReplayOut = Annotated[
    str | None, option(_GRID, "A run folder for what comes of it.", "--out", metavar="FOLDER")
]
ReplayEmbedder = Annotated[
    str | None, option(_GRID, "lexical, where the run's own is a model.", "--embedder")
]

GRID = {
    "dataset": Declared(
        Annotated[
            str | None,
            option(
                _GRID,
                "demo, math500, gsm8k, aime24, aime25, amc23, a JSONL or Parquet file, or hf:NAME. "
                "\\[default: demo]",
            ),
        ],
        GRID_TABLE,
    ),
    "split": Declared(
        Annotated[
            str | None,
            option(
                _GRID, "Of demo (test, dev, fresh) or the hub. \\[default: the usual one, or test]"
            ),
        ],
        GRID_TABLE,
    ),
    "problems": Declared(
        Annotated[int | None, option(_GRID, "How many problems. \\[default: all]")], GRID_TABLE
    ),
    "skip": Declared(
        Annotated[int | None, option(_GRID, "Problems left out at the start. \\[default: 0]")],
        GRID_TABLE,
    ),
    "strategies": Declared(
        Annotated[
            str | None,
            option(
                _GRID,
                "Names with commas between them. \\[default: best-of-n,rebase,ets-kv,ets]",
                metavar="NAME,...",
            ),
        ],
        GRID_TABLE,
        read=list_of(str),
    ),
    "widths": Declared(
        Annotated[
            str | None, option(_GRID, "Solutions to complete. \\[default: 16]", metavar="N,...")
        ],
        GRID_TABLE,
        read=list_of(int),
    ),
    "seeds": Declared(
        Annotated[
            str | None,
            option(_GRID, "Each strategy once with each. \\[default: 0]", metavar="N,..."),
        ],
        GRID_TABLE,
        read=list_of(int),
    ),
    "lambda_b": Declared(
        Annotated[
            str | None,
            option(
                _GRID,
                "ets, ets-kv, mpts: prices of KV. \\[default: 1.0; mpts: 2.0]",
                metavar="X,...",
            ),
        ],
        GRID_TABLE,
        read=list_of(float),
    ),
    "lambda_d": Declared(
        Annotated[
            str | None,
            option(
                _GRID,
                "ets: worths of diversity. \\[default: as published for the width]",
                metavar="X,...",
            ),
        ],
        GRID_TABLE,
        read=list_of(float),
    ),
    "sweep": Declared(
        Annotated[
            list[str] | None,
            option(
                _GRID,
                "Values of another option, for the strategies that have it, but rebase: "
                "cluster_threshold=0.01,0.05; may be given again.",
                metavar="KEY=V,...",
            ),
        ],
        GRID_TABLE,
        read=read_sweep,
    ),
    "concurrency": Declared(
        Annotated[int | None, option(_GRID, "Problems in flight, on each worker. \\[default: 8]")],
        GRID_TABLE,
    ),
    "workers": Declared(
        Annotated[
            int | None, option(_GRID, "Processes, each with its own engines. \\[default: 1]")
        ],
        GRID_TABLE,
    ),
    "ray": Declared(
        Annotated[
            str | None,
            option(
                _GRID,
                "The workers are actors of this Ray cluster; auto: the one that this machine is "
                "in.",
                metavar="ADDRESS",
            ),
        ],
        GRID_TABLE,
    ),
    "worker_option": Declared(
        Annotated[
            list[str] | None,
            option(
                _GRID,
                "Anything else that ets.Workers takes, or with --ray ets.ray.RayWorkers: "
                "num_gpus=1, say; may be given again.",
                metavar="KEY=VALUE",
            ),
        ],
        GRID_TABLE,
        "worker_options",
        read_pairs,
    ),
    "trees": Declared(
        Annotated[
            bool | None,
            option(
                _GRID,
                "Keep the trees in the run folder. \\[default: keep, without --until-error]",
                "--trees/--no-trees",
            ),
        ],
        GRID_TABLE,
    ),
    "shared_tokens": Declared(
        Annotated[
            int | None,
            option(
                _GRID,
                "Tokens that all problems of a strategy and seed may sample together, more for "
                "those where votes are worth most; with --until-error.",
            ),
        ],
        GRID_TABLE,
    ),
    "bank": Declared(
        Annotated[
            str | None,
            option(
                _GRID,
                "A file that keeps what the models say, so that no strategy asks twice.",
                metavar="FILE",
            ),
        ],
        GRID_TABLE,
    ),
}
"""Of `ets bench`: the keys of a grid."""
TUNE = {
    **GRID,
    "strategies": Declared(
        Annotated[
            str | None,
            option(
                _GRID,
                "With --by: names with commas between them. "
                "\\[default: best-of-n,dvts,rebase,mpts]",
                metavar="NAME,...",
            ),
        ],
        GRID_TABLE,
        read=list_of(str),
    ),
    "widths": Declared(
        Annotated[
            str | None,
            option(
                _GRID,
                "Solutions to complete. \\[default: 16; with --by 4,16]",
                metavar="N,...",
            ),
        ],
        GRID_TABLE,
        read=list_of(int),
    ),
    "lambda_b": Declared(
        Annotated[
            str | None,
            option(
                _GRID,
                "Prices of KV to try. \\[default: 0.25,0.5,0.75,1,1.25,1.5,2; with --by the "
                "strategy's own]",
                metavar="X,...",
            ),
        ],
        GRID_TABLE,
        read=list_of(float),
    ),
}
"""Of `ets tune`, which has defaults of its own."""
REPLAY = {
    "strategies": Declared(
        Annotated[
            str | None,
            option(
                _GRID,
                "Names with commas between them. \\[default: those of the run]",
                "--strategies",
                "--strategy",
            ),
        ],
        GRID_TABLE,
        read=list_of(str),
    ),
    **{name: GRID[name] for name in ("widths", "lambda_b", "lambda_d", "sweep")},
    "bank": Declared(
        Annotated[
            str | None,
            option(
                _GRID,
                "The run's sample bank, which holds the vectors of an embedder that is a model; "
                "read only.",
                metavar="FILE",
            ),
        ],
        GRID_TABLE,
    ),
}
"""Of `ets replay`: what is decided anew."""

# --- reports ------------------------------------------------------------------------------------

_REPORT = "Report"

Runs = Annotated[
    list[str], typer.Argument(help="A run folder; two, and the second is compared with the first.")
]
ReportOut = Annotated[
    str | None,
    option(
        _REPORT,
        "Where report.html and its figures go. \\[default: RUN/report]",
        "--out",
        metavar="FOLDER",
    ),
]
ReportLoss = Annotated[
    float,
    option(_REPORT, "Points of accuracy to REBASE that count as equal. \\[default: 0.2]", "--loss"),
]
ReportTrees = Annotated[
    Literal["all", "wrong", "none"],
    option(
        _REPORT,
        "Which trees get a page: those of all searches, of the problems that some search got "
        "wrong, or none. \\[default: wrong]",
        "--trees",
    ),
]
MostTrees = Annotated[
    int | None,
    option(_REPORT, "Pages of trees at most. \\[default: 500 of wrong, no limit of all]"),
]
