"""The search of one problem as a state machine: it asks for expansions and is told results."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ets._core import Interrupt, Tree
from ets.answer.tally import Tally
from ets.checks import checked_count, integer, iterated, shown
from ets.errors import InputError
from ets.strategy.base import Strategy, View, stack
from ets.tree.events import Ended, Event, Expanded, Finished, Scored
from ets.tree.frontier import Frontier
from ets.tree.kv_record import KVRecord, Timing
from ets.tree.nodes import Nodes
from ets.tree.seeds import root_seed
from ets.tree.trajectory import Cut, Trajectory
from ets.tree_page.page import tree_frame
from ets.tree_search.asks import Ask, Child, Key, OpenStep, check_comparable
from ets.tree_search.saved import Saved
from ets.tree_search.selection import check_kv_budget, check_strategy, decide


@runtime_checkable
class KVLimit(Protocol):
    """What says, before each selection anew, how many KV tokens it may keep."""

    def tokens(self, tree: TreeSearch, /) -> int:
        """Of the selection that `tree` is about to make, >= 1."""
        ...


class TreeSearch(Saved):
    """The tree search of one problem, for engines of your own: no I/O, nothing awaited.

    ```python
    search = ets.TreeSearch(ets.ETS(width=16), prompt_tokens=87)
    while asks := search.ask():
        search.tell(children)
    search.trajectories
    ```

    Children are buffered until all that a step asked for are told. Only then do they become nodes,
    in the order of the asks, so that ids, and all that follows, do not depend on the order of
    arrival. Then trajectories that are finished or cut, by `max_tokens`, `max_depth` or an engine's
    limit (`Child.cut`), are completed, each lowering the remaining width by one, and the strategy
    decides what comes next.

    Raises `InputError` for settings out of range. If a strategy raises (a pruner's `SolverError`,
    say), the children told stay told and `ask` tries the decision again.

    Parameters
    ----------
    strategy
        One of `ets.strategy`, or an object with the `Strategy` protocol.
    prompt_tokens
        Tokens of the prompt, the root's; they count in the KV record, not against `max_tokens`.
    seed
        Of every sample's seed; `ets.tree.seeds.problem_seed` makes one for each problem of a run.
    max_tokens
        A trajectory's tokens, >= 1, at which it is cut; the prompt's do not count.
    max_depth
        A trajectory's steps, >= 1, at which it is cut.
    kv_budget
        The most KV tokens that a selection may keep, >= 1; None: no limit. See the attribute. Or
        an object that is asked before each selection (`KVLimit`).
    skip
        Continuations of the root, >= 0, that are another search's with the same seed: the first
        one here is the one behind them.
    """

    def __init__(
        self,
        strategy: Strategy,
        prompt_tokens: int,
        *,
        seed: int = 0,
        max_tokens: int = 1024,
        max_depth: int = 25,
        kv_budget: int | KVLimit | None = None,
        skip: int = 0,
    ) -> None:
        self.strategy = strategy
        self.prompt_tokens = integer("prompt_tokens", prompt_tokens, 0)
        self.seed = integer("seed", seed, None)
        self.max_tokens = checked_count("max_tokens", max_tokens)
        self.max_depth = checked_count("max_depth", max_depth)
        check_strategy(strategy)
        self.kv_budget = kv_budget
        self.tree = Tree(self.prompt_tokens)
        """The arena: parents, tokens, paths, KV tokens. Do not add to it."""
        self.nodes = Nodes(self.prompt_tokens, root_seed(self.seed))
        """What is known of every node, index = id."""
        self.nodes.requested[0] = checked_count("skip", skip, 0)
        self.remaining = integer("strategy.width", strategy.width, 1)
        """The width less the trajectories completed; below 0 where a strategy overshot."""
        self.trajectories: list[Trajectory] = []
        """The completed ones, in the order of their last nodes' ids."""
        self.events: list[Event] = []
        """All that happened, in order; a step's events appear when the step is complete."""
        self.kv = KVRecord()
        self.timings: list[Timing] = []
        """One a selection made by this object; neither saved nor compared."""
        self.end: str | None = None
        """Why the search is over: `width_used_up`, `max_depth` (it cut the last candidates),
        `no_candidates`, `none_kept` (the strategy kept none), `kv_budget` (not one candidate fits
        in it), or what `stop` was given."""
        self.interrupt: Interrupt | None = None
        """What ends a selection that `tell` or `ask` makes, with the best leaves so far; a driver's
        to set, neither saved nor compared."""
        self._open_step = OpenStep()
        self._candidates: list[int] = [0]
        self._frontier = Frontier(self.tree, self._candidates)  # of the last candidates that were
        self._embeddings: dict[int, NDArray[np.float32]] = {}  # of the candidates
        self._decide()

    @property
    def kv_budget(self) -> int | None:
        """The most KV tokens that a selection may keep: those of the candidates continued and of
        all above them, the prompt's included, each once. None: no limit.

        A driver may change it at any time, to a `KVLimit` too; the next selection goes by it. Where
        not even the cheapest candidate fits, the search ends. Raises `InputError` for what is no
        integer >= 1, and for a strategy that does not prune to a budget (those of ours other than
        `ETS`).
        """
        return self._kv_budget

    @kv_budget.setter
    def kv_budget(self, budget: int | KVLimit | None) -> None:
        limit = budget if isinstance(budget, KVLimit) else None
        # Of a limit the number is not known yet; the strategy must be one that keeps to it.
        checked = check_kv_budget(self.strategy, budget if limit is None else 1)
        self._kv_budget = checked if limit is None else None
        self._kv_limit = limit

    def ask(self) -> list[Ask]:
        """What is still wanted of the current step, best leaf first; empty when the search is over.

        Calling it again changes nothing.
        """
        if not self._open_step.asks and self.end is None:
            self._decide()
        return self._open_step.still_wanted()

    def needs_embedding(self, parent: int, tokens: int, finished: bool) -> bool:
        """Whether such a child must bring an embedding: the strategy clusters, and the child will
        neither finish nor be cut."""
        return (
            self.strategy.needs_embeddings
            and self._cut(parent, tokens, finished) is None
            and not finished
        )

    def tell(self, children: Iterable[Child]) -> None:
        """Take any part of what was asked for, in any order; the last part completes the step.

        Raises `InputError`, and takes none of them, where a child was not asked for or was told
        already, where tokens, reward or embedding are not as `Child` says, and where embeddings are
        missing. A child without an embedding but with a text may share the embedding of one with
        the same text; where all texts are equal none is needed.
        """
        children = iterated("children", children)
        if self.end is not None and (children := list(children)):
            raise InputError(f"children[0]: nothing is asked for, the search is over ({self.end})")
        accepted = self._open_step.check(children, self.needs_embedding)
        complete = 0 < len(accepted) == self._open_step.missing
        if complete:
            self._check_comparable({**self._open_step.told, **accepted})
        self._open_step.take(accepted)
        if complete:
            self._complete()

    def close_step(self) -> int:
        """Give up what of this step was not told, and go on with what was; returns how many.

        For samples that failed or that are not worth waiting for. They become no nodes and use no
        width. What an engine then answers for them must not be told.
        """
        given_up = self._open_step.missing
        if given_up:
            self._check_comparable(self._open_step.told)
            self._complete()
        return given_up

    def stop(self, reason: str) -> None:
        """End the search now, with the trajectories completed so far; `end` becomes `reason`.

        What was told of an incomplete step counts: it becomes nodes, of which those that are
        finished or cut are completed trajectories. Nothing is selected any more. Does nothing when
        the search is over. Raises `InputError` for a reason that is no text or empty.
        """
        if not isinstance(reason, str) or not reason:
            raise InputError(f"reason must be a text that says why, got {shown(reason)}")
        if self.end is not None:
            return
        if self._open_step.told:
            self._grow()
        self._finish(reason)

    @property
    def depth(self) -> int:
        """The depth of the newest nodes; 0 before the first step is complete."""
        return len(self.nodes.levels) - 1

    def trajectory(self, node: int, cut: Cut | None) -> Trajectory:
        """The path to `node` as a trajectory, completed or not."""
        return self.nodes.trajectory(node, cut)

    def __repr__(self) -> str:
        return (
            f"<TreeSearch {self.strategy!r}: {len(self.nodes)} nodes, depth {self.depth}, "
            f"{len(self.trajectories)} completed, {self.end or 'not over'}>"
        )

    def _repr_html_(self) -> str:
        """The tree in a notebook; votes are weighed as `ets.Search` does unless told otherwise."""
        return tree_frame(self, Tally().count(self.trajectories))

    # -- a step is complete ------------------------------------------------------------------------

    def _check_comparable(self, told: dict[Key, Child]) -> None:
        if self.strategy.needs_embeddings:
            check_comparable(
                {
                    key: child
                    for key, child in told.items()
                    if child.cut is None
                    and self.needs_embedding(child.parent, child.tokens, child.finished)
                }
            )

    def _cut(self, parent: int, tokens: int, finished: bool) -> Cut | None:
        """The limit that a child of `parent` runs into."""
        if finished:
            return None
        if self.nodes.total[parent] + tokens >= self.max_tokens:
            return "max_tokens"
        return "max_depth" if self.nodes.depth[parent] + 1 >= self.max_depth else None

    def _complete(self) -> None:
        """Turn the buffered children into nodes, complete trajectories, and decide."""
        done = self._grow()
        if any(event.cut == "max_depth" for event in done):  # it cuts all that have not finished
            self._finish("max_depth")
        elif self.remaining <= 0:
            self._finish("width_used_up")
        elif not self._candidates:
            self._finish("no_candidates")
        else:
            self._decide()

    def _grow(self) -> list[Finished]:
        """Turn the buffered children into nodes, and complete trajectories; the others become the
        candidates."""
        nodes, step = self.nodes, len(self.nodes.levels)
        told, self._open_step = self._open_step.in_order(), OpenStep()
        self._candidates, self._embeddings = [], {}
        start = len(nodes)
        done: list[Finished] = []
        if told:
            self.tree.extend(
                np.array([parent for parent, _, _, _ in told], dtype=np.int64),
                np.array([child.tokens for _, _, _, child in told], dtype=np.int64),
            )
        for parent, index, seed, child in told:
            cut = child.cut or self._cut(parent, child.tokens, child.finished)
            node = nodes.add(
                parent,
                index,
                seed,
                child.tokens,
                child.reward,
                child.finished,
                child.cut,
                child.text,
                child.certainty,
            )
            if child.finished or cut is not None:
                nodes.fate[node] = "done"
                self.trajectories.append(self.trajectory(node, cut))
                done.append(Finished(step, node, cut))
                continue
            self._candidates.append(node)
            if child.embedding is not None:
                self._embeddings[node] = child.embedding
        new = range(start, len(nodes))
        nodes.levels.append(new)
        self._frontier = self._frontier.grow(
            self._candidates,
            [nodes.parent[node] for node in self._candidates],
            [nodes.tokens[node] for node in self._candidates],
        )
        self.events.append(
            Scored(
                step,
                tuple(new),
                tuple(nodes.parent[start:]),
                tuple(nodes.reward[start:]),
                tuple(nodes.tokens[start:]),
            )
        )
        self.events += done
        self.remaining -= len(done)
        return done

    def _decide(self) -> None:
        """Let the strategy choose among the candidates, and ask for what it wants."""
        nodes, step = self.nodes, self.depth
        if self._kv_limit is not None:
            self._kv_budget = check_kv_budget(self.strategy, self._kv_limit.tokens(self))
        if self.kv_budget is not None:
            cheapest = min(nodes.total[node] for node in self._candidates)
            if self.prompt_tokens + cheapest > self.kv_budget:
                self._finish("kv_budget")
                return
        ids = np.array(self._candidates, dtype=np.int64)
        ids.flags.writeable = False
        view = View(
            nodes=ids,
            depth=step,
            width=self.remaining,
            tree=self.tree,
            columns=nodes,
            completed=tuple(done.node for done in self.trajectories),
            lookup=partial(stack, self._candidates, self._embeddings, nodes.text),
            max_depth=self.max_depth,
            kv_budget=self.kv_budget,
            interrupt=self.interrupt,
            frontier=self._frontier,
        )
        outcome = decide(self.strategy, view, self._frontier)
        # Nothing below raises: from here on the decision is taken.
        self.kv.steps.append(outcome.kv)
        self.timings.append(outcome.timing)
        self.events.append(outcome.pruned)
        for node, keep in zip(self._candidates, outcome.kept, strict=True):
            nodes.fate[node] = "kept" if keep else "pruned"
        if outcome.clusters is not None:
            for node, label in zip(self._candidates, outcome.clusters, strict=True):
                nodes.cluster[node] = label
        self._candidates, self._embeddings = [], {}
        for node, count in outcome.asks:
            self._open_step.want(node, nodes.seed[node], nodes.requested[node], count)
            nodes.requested[node] += count
        if asks := self._open_step.asks:
            wanted = tuple(ask.node for ask in asks)
            self.events.append(Expanded(step, wanted, tuple(ask.n for ask in asks)))
        else:
            self._finish("none_kept")

    def _finish(self, reason: str) -> None:
        for node in self._candidates:
            self.nodes.fate[node] = "left"
        self._candidates, self._embeddings = [], {}
        self._open_step = OpenStep()
        self.end = reason
        self.events.append(Ended(self.depth, reason))


__all__ = ["Ask", "Child", "Event", "Trajectory", "TreeSearch"]
