"""Interrupts: selections and clusterings end when they are told to, with what they have by then.

The selection here takes hours to prove, so that a test in which nobody is heard ends by the time
limit of its process alone.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import ets
from ets._core import Interrupt, Selection, generate_instance
from ets.strategy import REBASE
from ets.strategy.base import Decision, View
from ets.tree.events import Pruned
from scripted_search import script, search
from selection_oracle import check, generated

PATIENCE = 60.0
"""Seconds after which a test gives up on what should have ended."""


def endless() -> dict[str, Any]:
    made = generate_instance(4096, 20, "independent", None, 1)
    arrays = {name: made[name] for name in ("parents", "leaves", "weights", "clusters")}
    return {**arrays, "node_tokens": made["tokens"]}


def select(interrupt: Interrupt | None) -> Selection:
    return ets.select_leaves(**endless(), lambda_b=30.0, lambda_d=6.0, interrupt=interrupt)


# -- calls of the core -----------------------------------------------------------------------------


def test_a_running_selection_ends_with_the_best_so_far() -> None:
    problem = generated(4096, 20, "independent", None, 1, 30.0, 6.0)
    interrupt = ets.tree_search.Interrupt()
    assert not interrupt.is_set()
    assert repr(interrupt) == "<Interrupt: not set>"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(select, interrupt)
        with pytest.raises(TimeoutError):
            running.result(0.3)
        interrupt.set()
        found = running.result(PATIENCE)
    assert interrupt.is_set()
    assert repr(interrupt) == "<Interrupt: set>"
    assert not found.optimal
    assert found.objective < found.bound
    check(problem, found, proven=False)


@pytest.mark.parametrize("solver", ["exact", "milp"])
def test_one_that_is_set_ends_calls_to_come(solver: Any) -> None:
    problem = generated(256, 12, "independent", None, 1, 6.0, 4.0)
    interrupt = ets.tree_search.Interrupt()
    interrupt.set()
    found = ets.select_leaves(
        problem.parents, problem.leaves, problem.weights, problem.clusters,
        lambda_b=6.0, lambda_d=4.0, node_tokens=problem.node_tokens, solver=solver,
        interrupt=interrupt,
    )  # fmt: skip
    assert not found.optimal
    check(problem, found, proven=False)


def test_one_that_is_not_set_changes_nothing() -> None:
    problem = generated(256, 12, "independent", None, 1, 6.0, 4.0)
    tree = ets.Tree(int(problem.node_tokens[0]))
    tree.extend(problem.parents[1:], problem.node_tokens[1:])
    rows = np.random.default_rng(0).standard_normal((200, 3))
    settings: list[dict[str, Any]] = [{}, {"interrupt": ets.tree_search.Interrupt()}]
    plain, watched = (
        (
            tree.select(problem.leaves, problem.weights, problem.clusters, lambda_b=6.0,
                        lambda_d=4.0, **more).keep.tolist(),
            ets.cluster_steps(rows, 0.2, **more).tolist(),
        )
        for more in settings
    )  # fmt: skip
    assert plain == watched


def test_a_clustering_ends_with_parts_of_its_groups() -> None:
    angles = np.linspace(0, np.pi, 3000)
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    whole = ets.cluster_steps(rows, 0.05)
    interrupt = ets.tree_search.Interrupt()
    interrupt.set()
    parts = ets.cluster_steps(rows, 0.05, interrupt=interrupt)
    assert parts.max() > whole.max()
    for label in range(int(parts.max()) + 1):
        assert len(set(whole[parts == label].tolist())) == 1


@pytest.mark.parametrize("wrong", [True, 1, "x", threading.Event(), ets.tree_search.Interrupt])
def test_what_is_no_interrupt_is_refused(wrong: Any) -> None:
    tree = ets.Tree(1)
    leaves, ones = tree.extend(np.zeros(2, np.int64), np.ones(2, np.int64)), np.ones(2)
    calls: list[Callable[[], object]] = [
        lambda: tree.select(leaves, ones, lambda_b=1.0, interrupt=wrong),
        lambda: ets.select_leaves(tree.parents, leaves, ones, lambda_b=1.0, interrupt=wrong),
        lambda: ets.cluster_steps(np.ones((2, 2)), interrupt=wrong),
    ]
    for call in calls:
        with pytest.raises(
            ets.InputError, match=r"^interrupt is .*: it must be an ets.tree_search.Interrupt$"
        ):
            call()


# -- Ctrl-C ----------------------------------------------------------------------------------------

HEAD = """
    import _thread, signal, threading
    import ets
    from test_interrupt import endless, select
"""


def test_ctrl_c_ends_a_plain_call() -> None:
    ran = script(HEAD + """
    for _ in range(2):
        threading.Timer(0.3, _thread.interrupt_main).start()
        try:
            select(None)
        except KeyboardInterrupt:
            print("interrupted")
    """)  # fmt: skip
    assert ran.stdout == "interrupted\n" * 2, ran.stderr


def test_a_handler_runs_in_the_midst_and_may_select_itself() -> None:
    ran = script(HEAD + """
    interrupt = ets.tree_search.Interrupt()
    seen = []

    def handler(*_):
        seen.append(ets.select_leaves(**endless(), lambda_b=0.0).optimal)
        if len(seen) == 2:
            interrupt.set()
        else:
            threading.Timer(0.1, _thread.interrupt_main).start()

    signal.signal(signal.SIGINT, handler)
    threading.Timer(0.3, _thread.interrupt_main).start()
    print(select(interrupt).optimal, seen)
    """)  # fmt: skip
    assert ran.stdout == "False [True, True]\n", ran.stderr


def test_another_thread_does_not_see_signals() -> None:
    ran = script(HEAD + """
    interrupt, ends = ets.tree_search.Interrupt(), []
    thread = threading.Thread(target=lambda: ends.append(select(interrupt).optimal))
    thread.start()
    try:
        _thread.interrupt_main()
        thread.join(30)
    except KeyboardInterrupt:
        print("in the main thread", thread.is_alive())
    interrupt.set()
    thread.join()
    print(ends)
    """)  # fmt: skip
    assert ran.stdout == "in the main thread True\n[False]\n", ran.stderr


# -- a search --------------------------------------------------------------------------------------


@dataclass
class Endless:
    """REBASE, whose second decision begins with a selection that takes hours."""

    width: int = 8
    needs_embeddings: bool = False
    begun: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    optimal: list[bool] = field(default_factory=list)

    def decide(self, view: View) -> Decision:
        if view.depth == 1:
            self.begun.set()
            self.optimal.append(select(view.interrupt).optimal)
            self.ended.set()
        return REBASE(width=self.width).decide(view)


def test_closing_a_search_ends_its_selection() -> None:
    strategy = Endless()
    s = search(strategy)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(s.solve, "p")
        assert strategy.begun.wait(PATIENCE)
        s.close()
        with pytest.raises(ets.EngineError, match="the search was closed during a call"):
            waiting.result(PATIENCE)
        assert strategy.ended.wait(PATIENCE)
    assert strategy.optimal == [False]


def test_cancelling_asolve_ends_its_selection() -> None:
    strategy = Endless()

    async def cancel() -> None:
        with search(strategy) as s:
            solving = asyncio.create_task(s.asolve("p"))
            assert await asyncio.to_thread(strategy.begun.wait, PATIENCE)
            solving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await solving
            assert await asyncio.to_thread(strategy.ended.wait, PATIENCE)

    asyncio.run(cancel())
    assert strategy.optimal == [False]


def test_closing_a_stream_ends_its_selection() -> None:
    strategy = Endless()
    with search(strategy) as s, s.stream("p") as stream:
        next(stream)
        assert strategy.begun.wait(PATIENCE)
        stream.close()
        assert strategy.ended.wait(PATIENCE)
    assert strategy.optimal == [False]


def test_ctrl_c_in_solve_ends_its_selection() -> None:
    ran = script("""
    import _thread, threading
    from test_interrupt import Endless

    strategy = Endless()

    def interrupt():
        strategy.begun.wait()
        _thread.interrupt_main()

    threading.Thread(target=interrupt).start()
    with search(strategy) as s:
        try:
            s.solve("p")
        except KeyboardInterrupt:
            print("interrupted", strategy.ended.wait(60), strategy.optimal)
    """)  # fmt: skip
    assert ran.stdout == "interrupted True [False]\n", ran.stderr


def test_the_time_budget_ends_a_selection_and_the_answer_stays() -> None:
    for seconds in (1.0, 4.0, 16.0, 64.0):  # on a slow machine the time is over before it begins
        strategy = Endless()
        with search(strategy, budget=ets.Budget(seconds=seconds)) as s:
            result = s.solve("p")
        assert result.end == "time_budget"
        if strategy.begun.is_set():
            break
    assert strategy.ended.wait(PATIENCE)
    assert strategy.optimal == [False]


def test_ets_gives_the_interrupt_to_what_it_calls() -> None:
    """Set beforehand, it leaves every leaf a cluster of its own, and the selection unproven."""
    rng = np.random.default_rng(0)

    def decided(interrupt: Interrupt | None) -> tuple[int, bool | None]:
        tree = ets.TreeSearch(ets.ETS(width=64, solver="milp"), 10)
        tree.interrupt = interrupt
        # No two are equal: those are one row, which is in one cluster before anything is looked at.
        near = [np.array([1.0, index * 1e-4], dtype=np.float32) for index in range(64)]
        tree.tell(
            ets.Child(parent=ask.node, index=index, tokens=5, reward=float(rng.random()),
                      finished=False, text=f"step {index}", embedding=near[index])
            for ask in tree.ask() for index in ask.indices
        )  # fmt: skip
        pruned = [event for event in tree.events if isinstance(event, Pruned)][-1]
        return pruned.clusters, pruned.optimal

    assert decided(None) == (1, True)
    interrupt = ets.tree_search.Interrupt()
    interrupt.set()
    assert decided(interrupt) == (64, False)
