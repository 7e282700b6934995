"""The life of a search: closing, dropping, ending, forking, and engines that break the rules."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import textwrap
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ets
from scripted_engines import ScriptedPolicy, ScriptedPRM
from scripted_search import script, search, until

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
    # In an interpreter of its own: what other tests have left to end opens and closes files too.
    done = script("""
    import gc, os, threading
    from scripted_search import PROBLEMS

    def count():
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    def drop(midway):
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
    until(lambda: all(now <= then for now, then in zip(count(), before)))
    """)
    assert done.returncode == 0, done.stderr


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
