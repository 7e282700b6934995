"""The sampling loop: rows join while others decode, and leave as soon as their step is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ets.certainty import Certainty
from ets.engines.local.batcher import Batch, Ticket
from ets.engines.local.kv_rows import KVRows, Tokens, chunks
from ets.errors import EngineError
from ets.policy.prompt import PolicyPrompt
from ets.policy.step_reader import StepReader
from ets.step import Prefix, Step

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Request:
    """One step to be sampled."""

    prefix: Prefix
    seed: int
    max_tokens: int


@dataclass(slots=True)
class _Row:
    """A request while it decodes: row i of the batch sits in row i of the model's KV."""

    ticket: Ticket[Request, Step]
    reader: StepReader
    uniforms: NDArray[np.float64]
    """The random number of each token."""
    pending: int
    """The last token, whose KV the next pass writes."""
    length: int
    """Tokens in the row's KV."""
    cached_tokens: int
    logprobs: list[tuple[np.float32, NDArray[np.float32]]] = field(default_factory=list)
    """Of the tokens so far and of the likeliest in their places, where these are asked for."""


class Decoder:
    """Serves sampling requests with one model.

    The state of a prefix is computed once, up to its last token; every sample of it then starts
    with a copy, and that last token is its first pass.
    """

    def __init__(
        self, model: KVRows, prompt: PolicyPrompt, *, prefill_tokens: int, name: str
    ) -> None:
        self._model = model
        self._prompt = prompt
        self._prefill_tokens = prefill_tokens
        self._name = name
        self._vocabulary = 0

    def run(self, batch: Batch[Request, Step]) -> None:
        """Sample until no request is left, taking in new ones between passes."""
        with self._model.computing():
            self._serve(batch)

    def _serve(self, batch: Batch[Request, Step]) -> None:
        rows: list[_Row] = []
        while not batch.closing:
            for i in reversed(range(len(rows))):
                if rows[i].ticket.aborted:
                    self._leave(rows, i)
            if len(rows) < self._model.max_rows:
                tickets = batch.take(self._model.max_rows - len(rows))
                if not rows:
                    self._model.begin()
                self._join(rows, tickets)
            if not rows:
                return
            self._pass(rows)

    def _join(self, rows: list[_Row], tickets: Sequence[Ticket[Request, Step]]) -> None:
        """Give new requests a row each, their prefix computed."""
        fresh: list[_Row] = []
        for ticket in tickets:
            prefix, limit = ticket.item.prefix, ticket.item.max_tokens
            reader = StepReader(self._prompt, prefix, limit)
            if reader.done:  # the context is full
                ticket.resolve(reader.step(prompt_tokens=len(prefix.token_ids)))
                continue
            rng = np.random.Generator(np.random.PCG64(ticket.item.seed))
            uniforms = rng.random(self._prompt.room(prefix, limit))
            length = len(prefix.token_ids) - 1
            fresh.append(_Row(ticket, reader, uniforms, prefix.token_ids[-1], length, length))
        if not fresh:
            return
        model = self._model
        self._prefill(fresh, first=len(rows))
        model.reserve(len(rows) + len(fresh), max(row.length + len(row.uniforms) for row in fresh))
        for row in fresh:
            known = _known(row.ticket.item.prefix)
            model.load(len(rows), model.prefixes.find(known.ids, known.cuts))
            rows.append(row)
        model.prefixes.trim()

    def _prefill(self, fresh: Sequence[_Row], *, first: int) -> None:
        """Bring every prefix into the cache, and count what was there already."""
        model = self._model
        todo: dict[tuple[int, ...], tuple[Tokens, _Row]] = {}
        widths = []
        for row in fresh:
            known = _known(row.ticket.item.prefix)
            cached = sum(len(s.ids) for s in model.prefixes.find(known.ids, known.cuts))
            if cached < len(known.ids) and known.ids not in todo:
                todo[known.ids] = (known, row)
                widths.append(len(known.ids) - cached)
                row.cached_tokens = cached
        wanted = list(todo.values())
        for group in chunks(
            widths, max_rows=model.max_rows - first, max_tokens=self._prefill_tokens
        ):
            model.extend([wanted[i][0] for i in group], first=first)

    def _pass(self, rows: list[_Row]) -> None:
        """One token for every row."""
        logits = self._model.forward(
            [(row.pending,) for row in rows], [row.length for row in rows], first=0
        )
        options = self._prompt.options
        try:
            tokens = self._model.draw(
                logits,
                [float(row.uniforms[len(row.reader.ids)]) for row in rows],
                temperature=options.temperature,
                top_p=options.top_p,
            )
        except ValueError as error:
            raise EngineError(f"policy {self._name!r}: {error}") from error
        if options.top_logprobs:
            found = self._model.logprobs(logits, tokens, options.top_logprobs)
            for row, of_token, of_likeliest in zip(rows, *found, strict=True):
                row.logprobs.append((of_token, of_likeliest))
            self._vocabulary = logits.shape[-1]
        for row, token in zip(rows, tokens, strict=True):
            row.pending = token
            row.length += 1
            row.reader.push(token)
        for i in reversed(range(len(rows))):
            if rows[i].reader.done:
                self._finish(rows[i], i)
                self._leave(rows, i)

    def _finish(self, row: _Row, i: int) -> None:
        """Answer the caller, and keep the step's state for the samples that will follow it."""
        prefix = row.ticket.item.prefix
        step = row.reader.step(
            prompt_tokens=len(prefix.token_ids),
            cached_tokens=row.cached_tokens,
            certainty=self._certainty(row),
        )
        row.ticket.resolve(step)
        if step.finished:
            return
        known, model = _known(prefix), self._model
        path = model.prefixes.find(known.ids, known.cuts)
        if sum(len(s.ids) for s in path) == len(known.ids):  # else it was trimmed meanwhile
            child = _known(prefix.extend(step))
            parent = path[-1] if path else None
            model.store(i, parent, child.ids, len(known.ids), len(child.ids))
            model.prefixes.trim()

    def _certainty(self, row: _Row) -> Certainty | None:
        if not row.logprobs:
            return None
        sampled, likeliest = zip(*row.logprobs, strict=True)
        return Certainty.of(sampled, np.stack(likeliest), self._vocabulary)

    def _leave(self, rows: list[_Row], i: int) -> None:
        """Free row `i`: the last row takes its place."""
        last = rows.pop()
        if i < len(rows):
            self._model.move(len(rows), i, last.length)
            rows[i] = last


def _known(prefix: Prefix) -> Tokens:
    """All but the last token, cut before the last token of each part: what is computed ahead."""
    cuts = []
    end = prefix.prompt_tokens
    for step in prefix.steps:
        cuts.append(end - 1)
        end += len(step.token_ids)
    cuts.append(end - 1)
    distinct = [cut for cut in dict.fromkeys(cuts) if cut > 0]
    return Tokens(prefix.token_ids[:-1], tuple(distinct))
