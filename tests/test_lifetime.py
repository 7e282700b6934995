"""The life of a search: closing, dropping, ending, forking, and engines that break the rules."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import queue
import signal
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ets
from ets.step import Prefix, Score, Step
from scripted_engines import ScriptedEmbedder, ScriptedPolicy, ScriptedPRM
from scripted_search import PROBLEMS, Stuck, outcome, script, search, until

LINUX = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")


# -- closing ---------------------------------------------------------------------------------------


def test_every_call_is_refused_once_it_is_closed() -> None:
    s = search()
    waiting = s.stream("p")
    s.close()
    calls: dict[str, Callable[[], object]] = {
        "solve": lambda: s.solve("p"),
        "asolve": lambda: asyncio.run(s.asolve("p")),
        "map": lambda: list(s.map(["p"])),
        "stream": lambda: list(s.stream("p")),
        "a stream made before": lambda: list(waiting),
    }
    for call in calls.values():
        with pytest.raises(ets.EngineError, match="the search is closed"):
            call()
    waiting.close()


@pytest.mark.parametrize("round_", range(20))
def test_closing_answers_all_who_call_meanwhile(round_: int) -> None:
    s = search(ets.REBASE(width=1), max_depth=1)
    ends: list[str] = []

    def call_for_ever() -> None:
        try:
            while True:
                s.solve("p")
        except ets.EngineError as error:
            ends.append(str(error))

    threads = [threading.Thread(target=call_for_ever, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(round_ / 2000)
    s.close()
    for thread in threads:
        thread.join(30)
    assert len(ends) == 4
    assert all("closed" in end for end in ends)


def test_async_with_closes_without_blocking_the_callers_loop() -> None:
    class SlowToClose(ScriptedPolicy):
        async def aclose(self) -> None:
            await asyncio.sleep(0.3)
            await super().aclose()

    policy = SlowToClose()

    async def main() -> int:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0.01)
                beats += 1

        async with search(policy=policy) as s:
            s._owned.append(policy)
            assert (await s.asolve("p")).answer is not None
            beating = asyncio.create_task(beat())
            before = beats
        beating.cancel()
        return beats - before

    assert asyncio.run(main()) > 3
    assert policy.closed == 1


def test_one_engine_that_fails_to_close_leaves_no_other_open() -> None:
    class Failing(ScriptedPRM):
        async def aclose(self) -> None:
            raise RuntimeError("it would not close")

    policy, prm = ScriptedPolicy(), Failing()
    s = search(policy=policy, prm=prm)
    s._owned += [policy, prm]
    with pytest.raises(RuntimeError, match="it would not close"):
        s.close()
    assert policy.closed == 1
    s.close()


# -- dropping, and the end of the interpreter ------------------------------------------------------


@LINUX
def test_dropped_searches_leave_neither_threads_nor_descriptors() -> None:
    def count() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    def drop(midway: bool) -> None:
        policy = Stuck("stuck")
        s = search(policy=policy)
        if midway:
            events, results = s.stream("stuck"), s.map(PROBLEMS)
            next(events)
            next(results)
            until(lambda: policy.running >= 8)
        else:
            s.solve("p")

    drop(midway=True)
    gc.collect()
    before = count()
    for k in range(30):
        drop(midway=k % 2 == 0)
    gc.collect()
    until(lambda: all(now <= then for now, then in zip(count(), before, strict=True)))


def test_engines_that_a_dropped_search_has_loaded_are_closed() -> None:
    policy = ScriptedPolicy()
    s = search(policy=policy)
    s._owned.append(policy)
    gone = weakref.ref(s)
    del s
    gc.collect()
    assert gone() is None
    until(lambda: policy.closed == 1)


def test_a_batchers_thread_keeps_no_model() -> None:
    from ets.engines.local.batcher import Batch, Batcher

    class Model:
        def __init__(self) -> None:
            self.batcher: Batcher[int, int] = Batcher(self.run, name="model")

        def run(self, batch: Batch[int, int]) -> None:
            for ticket in batch.take():
                ticket.resolve(ticket.item + 1)

    model = Model()
    assert asyncio.run(model.batcher.submit(1)) == 2
    thread, gone = model.batcher._thread, weakref.ref(model)
    del model
    until(lambda: gc.collect() >= 0 and gone() is None)  # its thread has just now answered
    assert thread is not None
    thread.join(30)
    assert not thread.is_alive()


PROGRAMS = {
    "idle": """
        s = search()
        s.solve("p")
        """,
    "sampling": """
        policy = Stuck()
        s = search(policy=policy)
        events = s.stream("p")
        next(events)
        until(lambda: policy.running == 8)
        """,
    "mapping": """
        s = search()
        results = s.map(f"p{k}" for k in range(10**6))
        next(results)
        """,
    "a source that never goes on": """
        import threading

        def source():
            yield "p"
            waits.set()
            threading.Event().wait()

        waits = threading.Event()
        s = search()
        results = s.map(source())
        next(results)
        assert waits.wait(60)
        """,
    "a function that never returns": """
        import threading

        def judge(problem, steps):
            begun.set()
            threading.Event().wait()

        begun = threading.Event()
        s = search(prm=judge)
        events = s.stream("p")
        next(events)
        assert begun.wait(60)
        """,
}


@pytest.mark.parametrize("doing", PROGRAMS)
def test_a_program_ends_without_close(doing: str) -> None:
    done = script(textwrap.dedent(PROGRAMS[doing]) + "print('its last line')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "its last line\n", "")


@pytest.mark.parametrize(
    "engine", ["demo", pytest.param("demo?backend=transformers", marks=pytest.mark.slow)]
)
def test_a_program_ends_though_a_model_computes(engine: str) -> None:
    if engine != "demo":
        pytest.importorskip("torch", reason="torch is not installed (the extra 'torch' brings it)")
    done = script(
        f"""
        from ets import demo
        s = ets.Search("{engine}", "{engine}", ets.REBASE(width=4))
        results = s.map((p["problem"] for p in demo.problems()), concurrency=4)
        next(results)
        print('its last line')
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "its last line\n", "")


@LINUX
def test_without_descriptors_it_says_so_and_with_them_it_works() -> None:
    done = script(
        """
        import os, resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        try:
            search()
        except ets.EngineError as error:
            print(error)
        for descriptor in held:
            os.close(descriptor)
        with search() as s:
            print(s.solve("p").answer is not None)
        """
    )
    assert done.returncode == 0, done.stderr
    told, works = done.stdout.splitlines()
    assert "the search could not be made: [Errno 24]" in told
    assert works == "True"


# -- interrupts amid the beginning and the end -----------------------------------------------------


class InterruptedEnd(ScriptedPolicy):
    """Ctrl-C comes while it closes, which it does not."""

    def __init__(self) -> None:
        super().__init__(slow=False)

    async def aclose(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()


def test_an_interrupt_of_the_end_ends_the_thread_all_the_same() -> None:
    policy = InterruptedEnd()
    s = search(policy=policy)
    s._owned.append(policy)
    thread = s._loop._thread
    with pytest.raises(KeyboardInterrupt):
        s.close()
    until(lambda: not thread.is_alive())
    s.close()


def test_an_interrupt_of_the_beginning_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        started.append(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search()
    until(lambda: not any(thread.is_alive() for thread in started))
    assert started


# -- forks -----------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_after_a_fork_the_search_says_so_and_a_new_one_works() -> None:
    done = script(
        """
        import os, signal, asyncio
        s = search()
        s.solve("p")
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            for call in (lambda: s.solve("p"), lambda: asyncio.run(s.asolve("p"))):
                try:
                    call()
                except ets.EngineError as error:
                    print("told:", error)
            with search() as mine:
                print(mine.solve("p").answer is not None)
            s.close()
            sys.stdout.flush()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(s.solve("p").answer is not None)
        """
    )
    assert done.returncode == 0, done.stderr
    *told, child, parent = done.stdout.splitlines()
    assert (child, parent) == ("True", "True")
    assert len(told) == 2
    assert all("the process that this one was forked from" in line for line in told)


# -- interrupts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocked", ["prm", "decision"])
def test_an_interrupt_does_not_wait_for_what_blocks(blocked: str) -> None:
    """Told by order: the function is still blocked when the interrupt has arrived."""
    begun, go_on = threading.Event(), threading.Event()

    def block(problem: str, steps: list[str]) -> float:
        begun.set()
        go_on.wait(60)
        return 0.5

    class Slow(ets.REBASE):
        def decide(self, view: Any) -> Any:
            if view.depth == 1:
                block("", [])
            return super().decide(view)

    s = search(Slow(width=2), prm=block if blocked == "prm" else None)

    def interrupt() -> None:
        begun.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        s.solve("p")
    assert not go_on.is_set()
    s.close()
    assert not go_on.is_set()
    go_on.set()


# -- streams and maps ------------------------------------------------------------------------------


def test_what_is_decided_is_told_before_its_samples_are_back() -> None:
    policy = Stuck()
    with search(policy=policy) as s:
        events = s.stream("p")
        first = [next(events), next(events)]
        assert [event.kind for event in first] == ["pruned", "expanded"]
        until(lambda: policy.running == 8)
        assert events.tree is not None
        assert events.tree.events == first
        events.close()
        assert policy.running == 0
        assert list(events) == []


def test_a_stream_is_closed_from_another_thread() -> None:
    policy = Stuck()
    with search(policy=policy) as s:
        events = s.stream("p")
        read: list[Any] = []
        reader = threading.Thread(target=lambda: read.extend(events), daemon=True)
        reader.start()
        until(lambda: policy.running == 8 and len(read) == 2)
        events.close()
        reader.join(30)
        assert not reader.is_alive()
        assert len(read) == 2
        assert policy.running == 0


def test_a_cancelled_reader_is_cancelled_and_may_close() -> None:
    policy = Stuck()

    async def main() -> None:
        async with search(policy=policy) as s:
            events = s.stream("p")

            async def use() -> None:
                try:
                    async for _ in events:
                        pass
                finally:
                    await events.aclose()

            task = asyncio.create_task(use())
            await asyncio.to_thread(until, lambda: policy.running == 8)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert policy.running == 0
            async with s.stream("q") as other:
                assert (await anext(other)).kind == "pruned"

    asyncio.run(main())


def test_a_source_may_wait_for_a_result() -> None:
    told: queue.Queue[str] = queue.Queue()

    def source() -> Iterator[str]:
        yield "first"
        yield "after " + told.get(timeout=60)

    seen = []
    with search() as s:
        for result in s.map(source(), concurrency=8):
            seen.append(result.problem)
            told.put(result.problem)
    assert seen == ["first", "after first"]


def test_an_error_of_the_source_comes_behind_the_results() -> None:
    def source() -> Iterator[str]:
        yield from PROBLEMS[:3]
        raise OSError("the file ended")

    got: list[str] = []
    with search() as s, pytest.raises(OSError, match="the file ended"):
        got.extend(result.problem for result in s.map(source(), concurrency=8))
    assert got == PROBLEMS[:3]


@pytest.mark.parametrize(
    ("error", "message"),
    [(SystemExit(3), "source raised SystemExit: 3"), (KeyboardInterrupt(), "KeyboardInterrupt")],
)
def test_a_source_that_raises_no_exception(error: BaseException, message: str) -> None:
    def source() -> Iterator[str]:
        yield "p"
        raise error

    with search() as s:
        results = s.map(source())
        assert next(results).problem == "p"
        with pytest.raises(ets.EngineError, match=message):
            next(results)
        assert s.solve("p").answer is not None


def test_a_source_is_read_in_one_thread() -> None:
    threads = set()

    def source() -> Iterator[str]:
        for problem in PROBLEMS:
            threads.add(threading.get_ident())
            yield problem

    with search() as s:
        list(s.map(source(), concurrency=3))
    assert len(threads) == 1


@pytest.mark.parametrize("wrong", [None, 3, b"p", "lone \udc80"])
def test_a_problem_that_is_no_text_is_named(wrong: Any) -> None:
    with search() as s:
        with pytest.raises(ets.InputError, match="problem must be a text"):
            s.solve(wrong)
        results = s.map(["p", wrong, "q"], concurrency=1)
        assert next(results).problem == "p"
        with pytest.raises(ets.InputError, match=r"problems\[1\] must be a text"):
            next(results)


def test_failures_that_nobody_reads_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Down(ScriptedPolicy):
        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            raise ets.EngineError("the engine is down")

    with search(policy=Down()) as s, pytest.raises(ets.EngineError, match="is down"):
        list(s.map(PROBLEMS))
    gc.collect()
    assert caplog.records == []


# -- engines that break the rules ------------------------------------------------------------------

ODD = [
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    StopIteration(3),
    StopAsyncIteration(3),
    BaseException("odd"),
    asyncio.CancelledError(),
]


AWAITED = ("policy", "prm", "embedder")


@pytest.mark.parametrize(
    ("where", "error"),
    [(where, error) for where in AWAITED for error in ODD]
    + [(where, error) for where in ("start", "function", "strategy") for error in ODD[:-1]],
    ids=repr,
)
def test_what_is_no_exception_becomes_an_error_of_the_engine(
    where: str, error: BaseException
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    async def afail(*_: Any, **__: Any) -> Any:
        raise error

    policy, prm, embedder = ScriptedPolicy(), ScriptedPRM(), ScriptedEmbedder()
    strategy = _Failing(fail) if where == "strategy" else ets.ETS(width=4)
    if where == "start":
        policy.start = fail  # type: ignore[method-assign]
    elif where == "policy":
        policy.sample = afail  # type: ignore[method-assign]
    elif where == "prm":
        prm.score = afail  # type: ignore[method-assign]
    elif where == "embedder":
        embedder.embed = afail  # type: ignore[method-assign]
    judge = fail if where == "function" else prm
    told = pytest.raises(ets.EngineError, match=rf"raised {type(error).__name__}")
    with search(strategy, policy=policy, prm=judge, embedder=embedder) as s, told:
        s.solve("p")


class _Failing:
    width = 4
    needs_embeddings = False

    def __init__(self, decide: Callable[..., Any]) -> None:
        self.decide = decide


def test_an_engine_that_calls_its_own_search_is_told() -> None:
    def judge(problem: str, steps: list[str]) -> float:
        return s.solve("another").score

    class Judge(ScriptedPRM):
        async def score(self, prefix: Prefix) -> Score:
            return Score((await s.asolve("another")).score)

    for prm in (judge, Judge()):
        with search(prm=prm) as s, pytest.raises(ets.EngineError, match="called the search"):
            s.solve("p")


def test_an_engine_may_use_another_search() -> None:
    with search() as inner:

        def judge(problem: str, steps: list[str]) -> float:
            return inner.solve(steps[-1]).score

        with search(ets.REBASE(width=2), prm=judge) as outer:
            assert outer.solve("p").trajectories


def test_a_sample_that_swallows_its_cancellation_is_an_error_of_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ets.loop.call

    monkeypatch.setattr(ets.loop.call.cancel, "__defaults__", (0.2,))
    go_on = threading.Event()

    class Stubborn(ScriptedPolicy):
        async def sample(self, prefix: Prefix, *, seed: int, max_tokens: int) -> Step:
            while not go_on.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.05)
            return Step("", (), "end")

    s = search(policy=Stubborn(), budget=ets.Budget(seconds=0.1))
    with pytest.raises(ets.EngineError, match="does not end when it is cancelled"):
        s.solve("p")
    s.close()
    assert not go_on.is_set()
    go_on.set()


def test_a_function_that_never_returns_holds_up_neither_answer_nor_close() -> None:
    go_on = threading.Event()

    def judge(problem: str, steps: list[str]) -> float:
        go_on.wait(100)
        return 0.5

    s = search(prm=judge, budget=ets.Budget(seconds=0.2))
    assert s.solve("p").end == "time_budget"
    s.close()
    assert not go_on.is_set()
    go_on.set()


# -- work beside the loop --------------------------------------------------------------------------


def test_functions_run_side_by_side_and_beside_decisions() -> None:
    """All 64 calls must be inside at once for any to return."""
    together = threading.Barrier(64, timeout=60)

    def judge(problem: str, steps: list[str]) -> float:
        together.wait()
        return 0.5

    with search(ets.BeamSearch(width=64, beam=8), prm=judge, max_depth=1) as s:
        assert len(s.solve("p").trajectories) == 64


def test_an_asynchronous_function_is_a_prm() -> None:
    async def judge(problem: str, steps: list[str]) -> float:
        await asyncio.sleep(0)
        return 0.25

    class Called:
        async def __call__(self, problem: str, steps: list[str]) -> float:
            return await judge(problem, steps)

    for function in (judge, Called()):
        with search(prm=function) as s:
            assert set(s.solve("p").tree.nodes.reward[1:]) == {0.25}


def test_two_searches_on_one_engine_share_its_cache_and_asolve_keeps_the_limit() -> None:
    from test_kv_share import CachedPolicy, auto

    policy = CachedPolicy(4 * 60)
    with auto(policy) as one, auto(policy) as other:

        async def main() -> list[Any]:
            return await asyncio.gather(
                *(s.asolve(problem) for problem in PROBLEMS for s in (one, other))
            )

        results = asyncio.run(main())
    assert policy.most_problems <= 2
    assert len(results) == 24
    with search(policy=ScriptedPolicy()) as plain:
        assert outcome(plain.solve("p"))
