"""Answers of `/v1/responses`, at once or as they become certain."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator
from typing import Any

from ets.rollout.result import SearchResult
from ets.serve.certain import Certainty, certain_of
from ets.serve.extension import Found
from ets.serve.refusal import Refusal
from ets.serve.responses import (
    Incomplete,
    OutputMessage,
    OutputText,
    ResponsesAnswer,
    ResponsesRequest,
    ResponsesUsage,
)
from ets.serve.running import RunningSearch
from ets.serve.sampling import Sampling
from ets.serve.solutions import Chosen, chosen
from ets.serve.sse import event


def responses_answer(
    running: RunningSearch, result: SearchResult, asked: ResponsesRequest, sampling: Sampling
) -> ResponsesAnswer:
    """The whole answer."""
    certain = "" if result.trajectories else certain_of(running.events, result.tree.nodes)
    (solution,) = chosen(result, certain, 1, ())
    return _finished(running, result, solution, asked, sampling)


async def responses_events(
    running: RunningSearch, asked: ResponsesRequest, sampling: Sampling
) -> AsyncGenerator[str, None]:
    """The answer's events: its text as it becomes certain, the rest at the end."""
    numbers = itertools.count()

    def told(kind: str, **more: Any) -> str:
        return event({"type": kind, "sequence_number": next(numbers), **more}, kind)

    key = running.key.removeprefix("search-")
    item = {"item_id": f"msg_{key}", "output_index": 0, "content_index": 0}
    begun = _response(running, asked, sampling).model_dump()
    yield told("response.created", response=begun)
    yield told("response.in_progress", response=begun)
    message = OutputMessage(id=f"msg_{key}", status="in_progress", content=[])
    yield told("response.output_item.added", output_index=0, item=message.model_dump())
    part = OutputText(text="").model_dump()
    yield told("response.content_part.added", **item, part=part)
    certainty, shown = Certainty(), ""
    async for happened in running.follow():
        if asked.ets.events:
            yield told(f"ets.{happened.kind}", **{"ets": running.told(happened)})
        if running.tree is not None and certainty.take(happened, running.tree.nodes):
            new = certainty.text[len(shown) :]
            shown = certainty.text
            yield told("response.output_text.delta", **item, delta=new, logprobs=[])
    try:
        result = await running.outcome()
    except Refusal as refusal:
        error = refusal.answer.error
        yield told("error", code=error.code, message=error.message, param=error.param)
        return
    (solution,) = chosen(result, certainty.text, 1, ())
    if rest := solution.text[len(shown) :]:
        yield told("response.output_text.delta", **item, delta=rest, logprobs=[])
    answer = _finished(running, result, solution, asked, sampling)
    (output,) = answer.output
    yield told("response.output_text.done", **item, text=solution.text, logprobs=[])
    yield told("response.content_part.done", **item, part=output.content[0].model_dump())
    yield told("response.output_item.done", output_index=0, item=output.model_dump())
    yield told(f"response.{answer.status}", response=answer.model_dump())


def _response(
    running: RunningSearch, asked: ResponsesRequest, sampling: Sampling
) -> ResponsesAnswer:
    return ResponsesAnswer(
        id=f"resp_{running.key.removeprefix('search-')}",
        created_at=running.created,
        status="in_progress",
        model=running.model,
        output=[],
        instructions=asked.instructions,
        max_output_tokens=asked.max_output_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
    )


def _finished(
    running: RunningSearch,
    result: SearchResult,
    solution: Chosen,
    asked: ResponsesRequest,
    sampling: Sampling,
) -> ResponsesAnswer:
    answer = _response(running, asked, sampling)
    answer.status = "completed" if solution.finish == "stop" else "incomplete"
    answer.incomplete_details = None if solution.finish == "stop" else Incomplete()
    answer.output = [
        OutputMessage(
            id=f"msg_{running.key.removeprefix('search-')}",
            status=answer.status,
            content=[OutputText(text=solution.text)],
        )
    ]
    answer.usage = ResponsesUsage.counted(result, solution)
    answer.ets = Found.of(running.key, result, asked.ets)
    return answer
