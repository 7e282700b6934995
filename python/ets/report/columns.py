"""The columns of a page's tables of cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ets.bench.statistics import Interval
from ets.bench.summary import Line

ABSENT = "–"


def _no_interval(line: Line) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, what it says, and how a line fills it."""

    title: str
    hint: str
    text: Callable[[Line], str]
    value: Callable[[Line], float | str]
    """What it is sorted by; empty where nothing is known."""
    interval: Callable[[Line], str] = _no_interval
    term: str = ""
    """How the hint is headed where it is also told below the table; empty: it is not."""


@dataclass(frozen=True, slots=True)
class Group:
    """Columns with one heading above them."""

    title: str
    columns: Sequence[Column]


def accuracy_groups() -> list[Group]:
    """Accuracy, the comparison with REBASE, KV tokens."""
    return [
        Group(
            "accuracy",
            [
                Column(
                    "right",
                    "share of problems answered right, seeds averaged; Wilson's interval over the "
                    "problems",
                    lambda line: f"{line.accuracy.value:.1%}",
                    lambda line: line.accuracy.value,
                    lambda line: f"{100 * line.accuracy.low:.1f} to {100 * line.accuracy.high:.1f}",
                    term="right",
                ),
                Column(
                    "less REBASE's",
                    "points of accuracy to REBASE at the same width, on the problems and seeds of "
                    "both; a paired bootstrap's interval",
                    lambda line: points(line.against),
                    lambda line: _value(line.against),
                    lambda line: points_interval(line.against),
                    term="less REBASE's",
                ),
                Column(
                    "p",
                    "McNemar's exact test against REBASE, first seed",
                    lambda line: ABSENT if line.p_value is None else f"{line.p_value:.2g}",
                    lambda line: "" if line.p_value is None else line.p_value,
                    term="p",
                ),
                _share(
                    "solvable",
                    "share of searches in which a completed trajectory is right, whether it wins "
                    "or not",
                    lambda line: line.solvable,
                ),
                _number("problems", "searched with every seed", lambda line: line.problems),
            ],
        ),
        Group(
            "KV tokens before selection",
            [
                _number("sum", "summed over the steps of a search", lambda line: line.kv_before),
                _number("mean", "mean over the steps", lambda line: line.kv_before_mean),
                _number("peak", "the most at a step", lambda line: line.kv_before_peak),
                Column(
                    "reduction",
                    "REBASE's KV before selection divided by this one's, at the same width: the "
                    "paper's figure; a paired bootstrap's interval",
                    lambda line: times(line.kv_ratio),
                    lambda line: _value(line.kv_ratio),
                    lambda line: "" if line.against is None else times_interval(line.kv_ratio),
                    term="reduction",
                ),
            ],
        ),
        Group(
            "KV tokens kept",
            [
                _number("sum", "summed over the steps of a search", lambda line: line.kv_after),
                _number("mean", "mean over the steps", lambda line: line.kv_mean),
                _number("peak", "the most at a step", lambda line: line.kv_peak),
            ],
        ),
    ]


def work_groups() -> list[Group]:
    """Tokens, calls, and where the time of a search goes."""
    return [
        Group(
            "tokens",
            [
                _number("policy", "sampled", lambda line: line.policy_tokens),
                _number(
                    "PRM",
                    "read by the PRM and not taken from its cache",
                    lambda line: line.prm_tokens,
                    term="PRM tokens",
                ),
            ],
        ),
        Group(
            "calls",
            [
                _number("samples", "calls of the policy", lambda line: line.policy_calls),
                _number("scorings", "calls of the PRM", lambda line: line.prm_calls),
                _share(
                    "from the bank",
                    "share of samples and scorings that came from the sample bank; times then say "
                    "nothing of an engine",
                    lambda line: line.banked,
                ),
            ],
        ),
        Group(
            "wall time of a search",
            [
                Column(
                    "seconds",
                    "wall time, with the other searches in flight beside it",
                    lambda line: f"{line.seconds:.2f}",
                    lambda line: line.seconds,
                ),
                _share(
                    "policy",
                    "of that, the time in which a sample was in flight",
                    lambda line: line.policy_share,
                    term="policy, PRM",
                    told="shares of the wall time in which a sample, or a scoring, was in flight; "
                    "both may be at once",
                ),
                _share(
                    "PRM",
                    "of that, the time in which a scoring was in flight",
                    lambda line: line.prm_share,
                ),
                _share(
                    "selection", "of that, the pruner's", lambda line: line.select_share, digits=2
                ),
                _share(
                    "clustering",
                    "of that, the clustering's",
                    lambda line: line.cluster_share,
                    digits=2,
                ),
            ],
        ),
    ]


def points(difference: Interval | None) -> str:
    """A difference of shares in percentage points."""
    return ABSENT if difference is None else signed(100 * difference.value)


def points_interval(difference: Interval | None) -> str:
    """Its interval."""
    if difference is None:
        return ""
    return f"{signed(100 * difference.low)} to {signed(100 * difference.high)}"


def signed(value: float) -> str:
    """With one decimal and its sign, a true minus, so that columns align; 0 has none."""
    text = f"{value:+.1f}".replace("-", "−")
    return "0.0" if text[1:] == "0.0" else text


def times(ratio: Interval | None) -> str:
    """A ratio."""
    return ABSENT if ratio is None else f"{ratio.value:.2f}×"


def times_interval(ratio: Interval | None) -> str:
    """Its interval."""
    return "" if ratio is None else f"{ratio.low:.2f} to {ratio.high:.2f}"


def _value(interval: Interval | None) -> float | str:
    return "" if interval is None else interval.value


def _number(title: str, hint: str, of: Callable[[Line], float], *, term: str = "") -> Column:
    return Column(title, hint, lambda line: f"{of(line):,.0f}", of, term=term)


def _share(
    title: str,
    hint: str,
    of: Callable[[Line], float | None],
    *,
    digits: int = 0,
    term: str = "",
    told: str = "",
) -> Column:
    def text(line: Line) -> str:
        share = of(line)
        return ABSENT if share is None else f"{share:.{digits}%}"

    def value(line: Line) -> float | str:
        share = of(line)
        return "" if share is None else share

    return Column(title, told or hint, text, value, term=term)
