"""One selection: what the strategy decided, checked, and the KV tokens that it comes to."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from ets._core import Selection, rebase_weights
from ets.checks import integer, shown
from ets.errors import InputError
from ets.strategy.base import Decision, Strategy, View
from ets.tree.events import Pruned
from ets.tree.frontier import Frontier
from ets.tree.kv_record import KVStep, Timing


def check_strategy(strategy: object) -> None:
    """Refuse what is no strategy, with `InputError`."""
    if not isinstance(strategy, Strategy) or isinstance(strategy, type):
        raise InputError(
            "strategy must have width, needs_embeddings and decide (see ets.strategy.Strategy), "
            f"got {shown(strategy)}"
        )


def check_kv_budget(strategy: Strategy, budget: object) -> int | None:
    """`budget`, None or an integer >= 1, for a strategy that keeps to it; else `InputError`."""
    if budget is None:
        return None
    tokens = integer("kv_budget", budget, 1, ", or None")
    if not getattr(strategy, "obeys_kv_budget", False):
        raise InputError(
            f"kv_budget goes with a strategy that prunes to it (ETS, MPTS), got {shown(strategy)} "
            f"with kv_budget={tokens}"
        )
    return tokens


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A decision that makes sense, and its records."""

    asks: list[tuple[int, int]]
    """[k]: node and continuations, >= 1, in the order in which they are asked for."""
    kept: list[bool]
    """[n]: which candidates are continued."""
    clusters: list[int] | None
    """[n]: cluster labels, where the strategy clustered."""
    pruned: Pruned
    kv: KVStep
    timing: Timing


def decide(strategy: Strategy, view: View, frontier: Frontier) -> Outcome:
    """Let the strategy choose, and change nothing. `frontier` is that of the view's candidates.

    Raises what the strategy raises, and `InputError` for a decision that makes no sense or that
    exceeds the KV budget.
    """
    start = perf_counter_ns()
    decision = strategy.decide(view)
    took = (perf_counter_ns() - start) / 1e3
    if not isinstance(decision, Decision):
        raise InputError(f"the strategy's decide must return a Decision, got {shown(decision)}")
    ids = view.nodes
    order, counts = _check_decision(decision, len(ids))
    kept = np.zeros(len(ids), dtype=np.bool_)
    kept[order[counts > 0]] = True
    rebase = decision.rebase
    if rebase is None:
        rebase = rebase_weights(
            view.rewards(getattr(strategy, "reward", "last")),
            view.width,
            getattr(strategy, "temperature", 0.2),
        )
    kv = KVStep(
        depth=view.depth,
        width=view.width,
        candidates=len(ids),
        kept=int(kept.sum()),
        kv_before=frontier.kv_tokens(np.ones(len(ids), dtype=np.bool_)),
        kv_after=frontier.kv_tokens(kept),
        kv_rebase=frontier.kv_tokens(rebase > 0),
        kv_budget=view.kv_budget,
    )
    if view.kv_budget is not None and kv.kv_after > view.kv_budget:
        raise InputError(
            f"the strategy must keep at most kv_budget = {view.kv_budget} KV tokens, "
            f"got {kv.kv_after} from {strategy!r}"
        )
    selection = decision.selection
    return Outcome(
        asks=[
            (int(ids[position]), count)
            for position, count in zip(order.tolist(), counts.tolist(), strict=True)
            if count
        ],
        kept=kept.tolist(),
        clusters=None if decision.clusters is None else decision.clusters.tolist(),
        pruned=Pruned(
            view.depth,
            tuple(ids[kept].tolist()),
            tuple(ids[~kept].tolist()),
            decision.clusters_found,
            None if selection is None else _finite(selection.objective),
            None if selection is None else _finite(selection.bound),
            None if selection is None else selection.optimal,
        ),
        kv=kv,
        timing=Timing(view.depth, decision.cluster_us, decision.select_us, took),
    )


def _check_decision(decision: Decision, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The order and counts of a decision over `n` candidates; `InputError` if they are wrong."""
    order, counts = _array("order", decision.order), _array("counts", decision.counts)
    for name, array in (("order", order), ("counts", counts)):
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise InputError(
                f"the strategy's {name} must be a 1-dimensional array of integers, "
                f"got {array.dtype} of shape {array.shape}"
            )
    if len(order) != len(counts):
        raise InputError(
            "the strategy's order and counts must have the same length, "
            f"got {len(order)} and {len(counts)}"
        )
    for name, array, low, high in (("order", order, 0, n), ("counts", counts, 0, 2**32 + 1)):
        bad = np.flatnonzero((array < low) | (array >= high))
        if len(bad):
            raise InputError(
                f"the strategy's {name}[{bad[0]}] must lie in [{low}, {high}), got {array[bad[0]]}"
            )
    for name, extra in (("clusters", decision.clusters), ("rebase", decision.rebase)):
        if extra is None:
            continue
        if not isinstance(extra, np.ndarray) or extra.dtype.kind not in "iu":
            raise InputError(
                f"the strategy's {name} must be an array of integers or None, got {shown(extra)}"
            )
        if extra.shape != (n,):
            raise InputError(
                f"the strategy's {name} must have one entry for each of the {n} candidates, "
                f"got shape {extra.shape}"
            )
    if decision.selection is not None and not isinstance(decision.selection, Selection):
        raise InputError(
            f"the strategy's selection must be an ets.Selection or None, got "
            f"{shown(decision.selection)}"
        )
    return order, counts


def _array(name: str, value: object) -> NDArray[np.int64]:
    try:
        return np.asarray(value)
    except ValueError:  # lists of several lengths
        raise InputError(
            f"the strategy's {name} must be a 1-dimensional array of integers, got {shown(value)}"
        ) from None


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
