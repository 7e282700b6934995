"""Answers of `/v1/chat/completions`, at once or as they become certain."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from ets.rollout.result import SearchResult
from ets.serve.certain import Certainty, certain_of, shown_part
from ets.serve.chat import (
    AssistantMessage,
    ChatAnswer,
    ChatChoice,
    ChatChunk,
    ChatRequest,
    ChatUsage,
    ChunkChoice,
    Delta,
)
from ets.serve.extension import Found
from ets.serve.refusal import Refusal
from ets.serve.running import RunningSearch
from ets.serve.solutions import Chosen, chosen
from ets.serve.sse import event


def solutions_of(running: RunningSearch, result: SearchResult, asked: ChatRequest) -> list[Chosen]:
    """What of a result is answered."""
    certain = "" if result.trajectories else certain_of(running.events, result.tree.nodes)
    return chosen(result, certain, asked.n or 1, asked.stops)


def chat_answer(running: RunningSearch, result: SearchResult, asked: ChatRequest) -> ChatAnswer:
    """The whole answer."""
    solutions = solutions_of(running, result, asked)
    return ChatAnswer(
        id=_id(running),
        created=running.created,
        model=running.model,
        choices=[
            ChatChoice(
                index=at,
                message=AssistantMessage(content=solution.text),
                finish_reason=solution.finish,
            )
            for at, solution in enumerate(solutions)
        ],
        usage=ChatUsage.counted(result, solutions),
        ets=Found.of(running.key, result, asked.ets),
    )


async def chat_chunks(running: RunningSearch, asked: ChatRequest) -> AsyncGenerator[str, None]:
    """The answer's events: text of the first solution as it becomes certain, the rest at the end.

    An error is an event too, the last one.
    """
    stops, shown = asked.stops, ""
    certainty = Certainty()
    yield _chunk(running, ChunkChoice(index=0, delta=Delta(role="assistant", content="")))
    async for happened in running.follow():
        if asked.ets.events:
            yield event(running.told(happened), happened.kind)
        if running.tree is None or not certainty.take(happened, running.tree.nodes):
            continue
        certain = shown_part(certainty.text, stops, over=False)
        if len(certain) > len(shown):
            yield _chunk(running, ChunkChoice(index=0, delta=Delta(content=certain[len(shown) :])))
            shown = certain
    try:
        result = await running.outcome()
    except Refusal as refusal:
        yield event(refusal.answer.model_dump())
        return
    solutions = chosen(result, certainty.text, asked.n or 1, stops)
    for at, solution in enumerate(solutions):
        rest = solution.text[len(shown) :] if at == 0 else solution.text
        if at:
            yield _chunk(running, ChunkChoice(index=at, delta=Delta(role="assistant", content="")))
        if rest:
            yield _chunk(running, ChunkChoice(index=at, delta=Delta(content=rest)))
    for at, solution in enumerate(solutions):
        last = ChunkChoice(index=at, delta=Delta(), finish_reason=solution.finish)
        found = Found.of(running.key, result, asked.ets) if at == len(solutions) - 1 else None
        yield _chunk(running, last, found=found)
    if asked.stream_options is not None and asked.stream_options.include_usage:
        yield _chunk(running, None, usage=ChatUsage.counted(result, solutions))
    yield event("[DONE]")


def _id(running: RunningSearch) -> str:
    return f"chatcmpl-{running.key.removeprefix('search-')}"


def _chunk(
    running: RunningSearch,
    choice: ChunkChoice | None,
    *,
    usage: ChatUsage | None = None,
    found: Found | None = None,
) -> str:
    chunk = ChatChunk(
        id=_id(running),
        created=running.created,
        model=running.model,
        choices=[] if choice is None else [choice],
        usage=usage,
        ets=found,
    )
    return event(chunk.model_dump_json(exclude_none=True))
