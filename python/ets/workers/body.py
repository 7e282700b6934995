"""What a worker does: it loads engines once, and searches problems for whoever sends them."""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Literal

from ets.answer.tally import Tally
from ets.dialogue import Posed
from ets.engines.vllm.load import EngineLoad
from ets.errors import EngineError, EngineLostError, InputError
from ets.rollout.belongings import Belongings
from ets.rollout.carried import Carried
from ets.rollout.course import Course
from ets.rollout.options import SearchOptions
from ets.rollout.rollout import Rollout
from ets.rollout.site import LocalSite, Rules
from ets.rollout.stay import Progress
from ets.workers.load import Load
from ets.workers.messages import Done, Left, Sent, Stepped

_SHARE = 0.1
"""The most of a worker's time that packing trees for its owner may take."""


class WorkerBody:
    """The engines of a worker, and the searches that its owner has opened.

    Its coroutines and generators run on `loop`. Whoever carries calls here sees to it that they
    reach them by name, and that what they return, yield and raise gets back.

    # Errors
    Those of `load`.
    """

    def __init__(self, load: Load) -> None:
        self._has = Belongings()
        self.loop = self._has.loop
        try:
            self.engines = load(self._has.engines)
        except BaseException:
            self._has.close_quietly()
            raise
        self._sites: dict[int, LocalSite] = {}
        self._auto: dict[int, Callable[[], int]] = {}

    async def ready(self) -> None:
        """Wait for engines that start in the background."""
        await self.engines.started()

    async def forget_prefixes(self) -> None:
        """As `Engines.forget_prefixes`."""
        await self.engines.forget_prefixes()

    async def loads(self) -> dict[str, EngineLoad]:
        """As `Engines.loads`."""
        return self.engines.loads()

    async def open(self, key: int, options: SearchOptions) -> Tally:
        """Take problems of a search with these options from now on, on the engines that are here.

        Returns how their votes are counted.

        # Errors
        `InputError` where the strategy needs an embedder and there is none.
        """
        embedder = self.engines.embedder
        needs = options.strategy.needs_embeddings
        if needs and embedder is None:
            raise InputError(
                f"strategy {options.strategy!r} needs an embedder, the worker has none"
            )
        engines = self.engines if needs else replace(self.engines, embedder=None)
        rules = Rules.of(options, [engines])
        self._sites[key] = LocalSite(engines, rules, self._has)
        return rules.tally

    async def shut(self, key: int) -> None:
        """Forget a search."""
        self._sites.pop(key, None)
        self._auto.pop(key, None)

    async def kv_space(self, key: int) -> int | None:
        """Tokens of the KV cache, where a search has asked the engine."""
        return self._site(key).kv_space

    async def at_once(self, key: int, concurrency: int | Literal["auto"]) -> int:
        """How many problems of a search may be in flight.

        # Errors
        As `KVBudgets.at_once`.
        """
        limit = await self._site(key).at_once(concurrency)
        if concurrency == "auto":
            self._auto[key] = limit
        return limit()

    async def search(
        self, key: int, name: str, posed: Posed, carried: bytes | None, every_step: bool
    ) -> AsyncGenerator[Sent, None]:
        """Search a problem to its end, or as far as these engines go.

        `name` is what errors call this worker. `carried` is a problem that was begun elsewhere.
        With `every_step` it is packed after each step, otherwise as often as costs little.

        # Errors
        Those of the engines, but for their loss, which `Left` tells.
        """
        site = self._site(key)
        course: Course[Rollout] = Course(
            posed, None if carried is None else Carried.unpacked(carried)
        )
        stay = _Stay(name, every_step)
        async with aclosing(site.search(course, stay, lambda tree: None)) as events:
            async for _ in events:
                while stay.sent:
                    yield stay.sent.popleft()
        while stay.sent:
            yield stay.sent.popleft()
        rollout = course.searched
        if rollout is None or rollout.tree.end is None:
            words = " ".join(str(stay.lost or "it was left").split())
            begun = course.carried if rollout is None else rollout.carried()
            yield Left(b"" if begun is None else begun.packed(), words)
            return
        result = await site.result(course)
        limit = self._auto.get(key)
        yield Done(
            pickle.dumps(result, pickle.HIGHEST_PROTOCOL), None if limit is None else limit()
        )

    def _site(self, key: int) -> LocalSite:
        site = self._sites.get(key)
        if site is None:
            raise EngineLostError("the worker was started again meanwhile")
        return site

    def close(self) -> None:
        """Abort what runs, and close the engines.

        # Errors
        As those of `Belongings.close`.
        """
        self._has.close(self._has.engines)


class _Stay:
    """A problem's time in this worker, told to its owner."""

    def __init__(self, name: str, every_step: bool) -> None:
        self.name = name
        self.sent: deque[Sent] = deque()
        self.lost: EngineError | None = None
        self._every_step = every_step
        self._rollout: Rollout | None = None
        self._packed_at = 0.0
        self._packing = 0.0

    def holds(self, progress: Progress) -> None:
        if isinstance(progress, Rollout):
            self._rollout = progress

    def can_end(self) -> bool:
        """Its owner finds another one, or sends it here again."""
        return True

    def should_end(self) -> bool:
        return False

    def lose(self, error: EngineError) -> EngineError:
        self.lost = error
        return error

    def answered(self, begin: float, tokens: int) -> None:
        rollout = self._rollout
        if rollout is None:
            return
        self.sent.append(
            Stepped(
                carried=self._carried(rollout),
                tokens=tokens,
                depth=rollout.depth,
                kv_tokens=rollout.kv_tokens,
                answered=bool(rollout.tree.trajectories),
            )
        )

    def _carried(self, rollout: Rollout) -> bytes | None:
        begin = time.monotonic()
        if not self._every_step and begin - self._packed_at < self._packing / _SHARE:
            return None
        packed = rollout.carried().packed()
        self._packed_at = time.monotonic()
        self._packing = self._packed_at - begin
        return packed
