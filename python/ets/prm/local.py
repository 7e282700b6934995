"""What the PRMs have in common whose model runs in this process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from ets.checks import check_flag
from ets.engines.kv_space import KVSpace, cache_space
from ets.engines.local.batcher import Batch, Batcher, Ticket
from ets.engines.local.kv_rows import KVRows, Tokens, chunks
from ets.engines.local.options import LocalOptions
from ets.errors import EngineError
from ets.pickled import Unpicklable
from ets.prm.formats import PRMFormat
from ets.step import Prefix, Score


class LocalPRM(Unpicklable, ABC):
    """Scores steps with a backbone over rows of KV, read at one token.

    Only the tokens that its recent calls have not seen are computed.
    """

    def __init__(
        self,
        rows: KVRows,
        form: PRMFormat,
        *,
        limits: LocalOptions,
        incremental: bool,
        name: str,
    ) -> None:
        check_flag("incremental", incremental)
        self.incremental = incremental
        self._model = rows
        self._format = form
        self._prefill_tokens = limits.prefill_tokens
        self._cache_tokens = limits.cache_tokens
        self._name = name
        self._batcher: Batcher[Tokens, Score] = Batcher(self._run, name=f"PRM {name!r}")

    @abstractmethod
    def _rewards(self, states: Any) -> list[float]:
        """The head: from each solution's last hidden state to its reward."""

    @property
    def format(self) -> PRMFormat:
        """How this PRM turns a solution into ids, and where it is read."""
        return self._format

    async def kv_space(self) -> KVSpace:
        """The tokens whose keys and values are kept between calls: `cache_tokens`.

        # Errors
        `InputError` if that is 0.
        """
        return cache_space(self._cache_tokens, self._name)

    async def score(self, prefix: Prefix) -> Score:
        """The reward in [0, 1] of `prefix`'s last step, given everything before it."""
        parts = await self._format.read(prefix)
        if parts is None:
            return Score(0.0)
        ids: list[int] = []
        cuts = []
        for part in parts:
            ids.extend(part)
            cuts.append(len(ids))
        if not self.incremental:
            cuts = cuts[-1:]
        return await self._batcher.submit(Tokens(tuple(ids), tuple(cuts)))

    async def forget_prefixes(self) -> None:
        """Have what is asked once nothing is running compute every prefix anew."""
        self._model.forget_prefixes()

    async def aclose(self) -> None:
        """Stop the worker; calls that still wait get an `EngineError`."""
        await self._batcher.aclose()

    def _run(self, batch: Batch[Tokens, Score]) -> None:
        """Score everything that waits, equal solutions once."""
        waiting: dict[Tokens, list[Ticket[Tokens, Score]]] = {}
        tickets = batch.take()
        self._model.begin()
        for ticket in tickets:
            waiting.setdefault(ticket.item, []).append(ticket)
        with self._model.computing():
            charged = self._share(list(waiting))
            for group in self._passes(list(waiting)):
                live = [seq for seq in group if not all(t.aborted for t in waiting[seq])]
                if not live:
                    continue
                states, known = self._model.extend(live, first=0)
                self._model.prefixes.trim()
                rewards = self._rewards(states)
                for seq, reward, cached in zip(live, rewards, known, strict=True):
                    cached = max(0, cached - charged.get(seq, 0))
                    self._answer(waiting[seq], reward, len(seq.ids), cached)

    def _share(self, sequences: list[Tokens]) -> dict[Tokens, int]:
        """Compute what several sequences begin with, and nobody has read yet, once.

        Returns the tokens that this cost, each charged to the first sequence that needs them.
        """
        charged: dict[Tokens, int] = {}
        for level in range(max((len(seq.cuts) for seq in sequences), default=0) - 1):
            heads: dict[Tokens, list[Tokens]] = {}
            for seq in sequences:
                if level < len(seq.cuts) - 1:
                    head = Tokens(seq.ids[: seq.cuts[level]], seq.cuts[: level + 1])
                    heads.setdefault(head, []).append(seq)
            todo = [head for head, users in heads.items() if len(users) > 1]
            todo = [h for h in todo if len(self._model.prefixes.find(h.ids, h.cuts)) <= level]
            for group in self._passes(todo):
                _, known = self._model.extend(group, first=0)
                for head, cached in zip(group, known, strict=True):
                    first = heads[head][0]
                    charged[first] = charged.get(first, 0) + len(head.ids) - cached
        return charged

    def _passes(self, sequences: list[Tokens]) -> list[list[Tokens]]:
        """Sequences in groups that one pass takes, by the number of tokens that are new."""
        find = self._model.prefixes.find
        widths = [
            len(seq.ids) - sum(len(s.ids) for s in find(seq.ids, seq.cuts[:-1]))
            for seq in sequences
        ]
        groups = chunks(widths, max_rows=self._model.max_rows, max_tokens=self._prefill_tokens)
        return [[sequences[i] for i in group] for group in groups]

    def _answer(
        self, tickets: list[Ticket[Tokens, Score]], reward: float, total: int, cached: int
    ) -> None:
        if not 0 <= reward <= 1:  # NaN too
            error = EngineError(f"PRM {self._name!r} gave the reward {reward}, not in [0, 1]")
            for ticket in tickets:
                ticket.fail(error)
            return
        for ticket in tickets:
            ticket.resolve(Score(reward, prompt_tokens=total, cached_tokens=cached))
            cached = total  # who asked for the same was answered from this one's work
