"""What `ets serve` costs by itself, and problems per minute beside `Search.map`.

    python benches/serve.py
    python benches/serve.py --policy vllm:PATH --prm vllm:PATH --problems 200

The first part has engines that answer at once with what the bundled pair answered before. A child
process asks, 16 requests at a time; CPU time of this process, all threads, is compared with that
of `map` over the same problems. What is left is the server's, and a line through several widths
divides it into a part for each request and one for each node of the tree. The second part has real
engines: problems per minute of 64 requests at once beside `map` with 64 in flight, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

import ets
from ets import demo
from ets.serve.configurations import Served
from ets.serve.server import Server, listening
from ets.serve.service import Service
from ets.serve.settings import Settings
from recorded import Recording, Replay

AT_ONCE = 16


async def ask_all(url: str, bodies: Sequence[dict[str, Any]], at_once: int) -> None:
    """Ask for all, so many at once; every answer must be one."""
    import httpx

    waiting = iter(bodies)
    limits = httpx.Limits(max_connections=at_once)
    async with httpx.AsyncClient(timeout=None, trust_env=False, limits=limits) as client:

        async def ask() -> None:
            for body in waiting:
                answer = await client.post(f"{url}/v1/chat/completions", json=body)
                answer.raise_for_status()
                if body.get("stream") and "[DONE]" not in answer.text:
                    raise RuntimeError("a stream without its end")

        await asyncio.gather(*(ask() for _ in range(at_once)))


class Asking:
    """A child process that asks what it is told."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, __file__, "--client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, url: str, bodies: Sequence[dict[str, Any]], at_once: int) -> None:
        """Returns when all are answered."""
        if self._child.stdin is None or self._child.stdout is None:
            raise RuntimeError("the child has no pipes")
        self._child.stdin.write(json.dumps([url, bodies, at_once]) + "\n")
        self._child.stdin.flush()
        if self._child.stdout.readline().strip() != "done":
            raise RuntimeError("the client failed")

    def close(self) -> None:
        """End the child."""
        self._child.terminate()
        self._child.wait()


def client() -> None:
    """What the child does."""
    for line in sys.stdin:
        url, bodies, at_once = json.loads(line)
        asyncio.run(ask_all(url, bodies, at_once))
        print("done", flush=True)


@contextmanager
def served(arguments: dict[str, Any], width: int, at_once: int) -> Iterator[str]:
    """A server in a thread of this process."""
    searches = {"ets": {"strategy": {"name": "ets", "width": width}}}
    service = Service.of(Served.of(arguments, searches, Settings(concurrency=at_once)))
    socket = listening("127.0.0.1", 0)
    server = Server(service, port=socket.getsockname()[1], grace=0.0)
    thread = threading.Thread(target=server.run, args=([socket],))
    thread.start()
    while service.desk.limit is None:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{server.config.port}"
    finally:
        server.should_exit = True
        thread.join()
        socket.close()


def bodies_of(problems: Sequence[str], **more: Any) -> list[dict[str, Any]]:
    """Requests for them."""
    return [{"messages": [{"role": "user", "content": problem}], **more} for problem in problems]


def mapped(search: ets.Search, problems: Sequence[str]) -> list[ets.SearchResult]:
    """The same without a server."""
    return list(search.map(problems, concurrency=AT_ONCE))


def own_cost(problems: list[str], widths: Sequence[int], rounds: int, asking: Asking) -> None:
    """The first part."""
    points = []
    print(f"{'width':>5} {'nodes':>6} {'map':>9} {'served':>9} {'streamed':>9}  CPU ms a problem")
    for width in widths:
        strategy = ets.ETS(width=width)
        with ets.Search(strategy=strategy) as search:
            site: Any = search.replicas[0].site
            recording = Recording(site.engines.policy, site.engines.prm)
            with ets.Search(policy=recording, prm=recording, strategy=strategy) as recorded:
                found = list(recorded.map(problems))
        nodes = statistics.mean(len(result.tree.nodes) - 1 for result in found)
        replay = Replay(recording)
        costs: dict[str, list[float]] = {"map": [], "served": [], "streamed": []}
        with (
            ets.Search(policy=replay, prm=replay, strategy=strategy) as search,
            served({"policy": replay, "prm": replay}, width, AT_ONCE) as url,
        ):
            ways: dict[str, Callable[[], object]] = {
                "map": partial(mapped, search, problems),
                "served": partial(asking.ask, url, bodies_of(problems), AT_ONCE),
                "streamed": partial(asking.ask, url, bodies_of(problems, stream=True), AT_ONCE),
            }
            for number in range(rounds + 1):
                for name, way in ways.items():
                    begin = time.process_time()
                    way()
                    if number:  # the first is to get warm
                        costs[name].append((time.process_time() - begin) / len(problems) * 1e3)
        best = {name: min(values) for name, values in costs.items()}
        points.append((nodes, best["served"] - best["map"], best["streamed"] - best["map"]))
        print(
            f"{width:5d} {nodes:6.0f} {best['map']:9.2f} {best['served']:9.2f}"
            f" {best['streamed']:9.2f}"
        )
    sizes = np.array([point[0] for point in points])
    for name, column in (("a request", 1), ("a stream", 2)):
        costs_of = np.array([point[column] for point in points])
        each, fixed = np.polyfit(sizes, costs_of, 1)
        print(f"{name}: {fixed:.2f} ms, and {each * 1e3:.1f} us a node")


def per_minute(problems: list[str], options: argparse.Namespace, asking: Asking) -> None:
    """The second part."""
    engines: dict[str, Any] = {"policy": options.policy, "prm": options.prm}
    strategy = ets.ETS(width=options.width)
    rates: dict[str, list[float]] = {"map": [], "served": []}
    with ets.Search(strategy=strategy, **engines) as search:
        site: Any = search.replicas[0].site
        shared = {"policy": site.engines.policy, "prm": site.engines.prm}
        with served(shared, options.width, options.concurrency) as url:
            for number in range(options.rounds + 1):
                for name in ("map", "served"):
                    begin = time.perf_counter()
                    if name == "map":
                        list(search.map(problems, concurrency=options.concurrency))
                    else:
                        asking.ask(url, bodies_of(problems), options.concurrency)
                    if number:
                        rates[name].append(len(problems) * 60 / (time.perf_counter() - begin))
    median = {name: statistics.median(values) for name, values in rates.items()}
    print(
        f"{options.policy}, width {options.width}, {options.concurrency} at once: "
        f"map {median['map']:.0f}, served {median['served']:.0f} problems a minute, "
        f"{median['served'] / median['map']:.3f} of it"
    )


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--policy", default="demo")
    parser.add_argument("--prm", default="demo")
    parser.add_argument("--width", type=int, default=4, help="of the second part")
    parser.add_argument("--problems", type=int, default=64, help="of the second part")
    parser.add_argument("--concurrency", type=int, default=64, help="of the second part")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("cost", "rate"))
    parser.add_argument("--client", action="store_true", help="be the child that asks")
    options = parser.parse_args()
    if options.client:
        client()
        return
    problems = [str(problem["problem"]) for problem in demo.problems()]
    asking = Asking()
    try:
        if options.only != "rate":
            own_cost(problems[:32], (1, 4, 16, 48), options.rounds, asking)
        if options.only != "cost":
            per_minute(problems[: options.problems], options, asking)
    finally:
        asking.close()


if __name__ == "__main__":
    main()
