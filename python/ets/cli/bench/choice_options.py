"""The options of `ets tune` that say what is to be chosen."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ets.cli.declared import option

_CHOICE = "Choice"
TunedRuns = Annotated[
    list[str],
    typer.Argument(
        help="The run folder; made, or gone on with. With --by also several, which are read."
    ),
]
By = Annotated[
    Literal["tokens", "kv", "seconds"] | None,
    option(
        _CHOICE,
        "Choose between everything, by what it costs: sampled and read tokens, KV tokens before "
        "selection, or busy seconds. \\[default: tokens, with one of the next three]",
        "--by",
    ),
]
AtMost = Annotated[
    float | None,
    option(_CHOICE, "What a problem may cost: the best that costs no more.", metavar="COST"),
]
Within = Annotated[
    float | None,
    option(
        _CHOICE,
        "The cheapest within so many points of the best. \\[default: 1; with --at-most 0]",
        metavar="POINTS",
    ),
]
PRMWeight = Annotated[
    str | None,
    option(
        _CHOICE,
        "By tokens: what a token of the PRM costs against a sampled one, the ratio of the models' "
        "parameters, say; measured: that of the run's seconds a token. \\[default: 1]",
        metavar="W|measured",
    ),
]
Loss = Annotated[
    float | None,
    option(_CHOICE, "Without --by: points of accuracy that ETS may lose. \\[default: 0.2]"),
]
