"""A chat server examined: what of the API it, and its model, can do."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import Any

from ets.answer import extract_answer
from ets.doctor.exam import PROBLEM
from ets.doctor.report import Report
from ets.errors import EngineError
from ets.policy.chat import ChatPolicy
from ets.policy.chat_answer import ChatAnswer

_SAMPLES = 8
_SHOWN = 2
_PROBE_TOKENS = 64
_TOOL = {
    "type": "function",
    "function": {
        "name": "report_number",
        "description": "Report the number that answers the question.",
        "parameters": {
            "type": "object",
            "properties": {"number": {"type": "integer"}},
            "required": ["number"],
        },
    },
}
_SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "number",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"answer": {"type": "integer"}},
            "required": ["answer"],
            "additionalProperties": False,
        },
    },
}


async def examine_chat(policy: ChatPolicy, report: Report, *, max_tokens: int) -> None:
    """Whole answers to a small problem, then a request for each thing that not all servers can.

    # Errors
    `EngineError` where the server does not answer at all.
    """
    report.facts["writes"] = "whole answers: only best-of-n takes it, with any of the votes"
    report.facts["context"] = (
        "not said" if policy.max_length is None else f"{policy.max_length} tokens"
    )
    await _samples(policy, report, max_tokens)
    await _seeds(policy, report)
    await _logprobs(policy, report)
    await _tools(policy, report)
    await _formats(policy, report)


async def _samples(policy: ChatPolicy, report: Report, max_tokens: int) -> None:
    await policy.ask(PROBLEM, max_tokens=_PROBE_TOKENS, seed=0)  # what only the first request costs
    begin = time.perf_counter()
    asked = (policy.ask(PROBLEM, max_tokens=max_tokens, seed=at) for at in range(_SAMPLES))
    answers = await asyncio.gather(*asked)
    seconds = time.perf_counter() - begin
    counted = [a.written_tokens for a in answers if a.written_tokens is not None]
    if len(counted) < len(answers):
        report.find(
            "bad",
            "it does not count its tokens (usage): they count as 0",
            "a budget of tokens never ends, and no figure of tokens or KV means anything",
        )
    else:
        report.facts["speed"] = f"{sum(counted) / seconds:.0f} tokens/s, {_SAMPLES} answers at once"
    ends = Counter(answer.finish for answer in answers)
    texts = [answer.text for answer in answers]
    found = sum(extract_answer(text) is not None for text in texts)
    report.facts["answers"] = (
        f"{len(set(texts))} of {_SAMPLES} different; they end as "
        f"{', '.join(f'{end} {n}' for end, n in ends.most_common())}"
    )
    for at, text in enumerate(texts[:_SHOWN], 1):
        report.facts[f"sample {at}"] = repr(text)
    if ends["length"] * 2 > _SAMPLES:
        report.find(
            "bad",
            f"{ends['length']} of {_SAMPLES} answers are cut at {max_tokens} tokens, and vote not",
            "raise max_tokens",
        )
    elif found:
        report.find("good", f"{found} of {_SAMPLES} answers hold one that can vote")
    else:
        report.find(
            "bad",
            f"none of {_SAMPLES} answers holds one that can vote",
            "give a system_prompt that says how the answer is to be given, or answer_pattern",
        )
    if len(set(texts)) == 1:
        report.find("bad", "all samples are the same", "raise the temperature")


async def _seeds(policy: ChatPolicy, report: Report) -> None:
    """Whether one seed gives one answer, and others others."""
    if not policy.options.seed_bits:
        report.find(
            "note", "no seed is sent (seed_bits=0): a search finds something else each time"
        )
        return
    first, again, other = [
        (await policy.ask(PROBLEM, max_tokens=_PROBE_TOKENS, seed=seed)).text
        for seed in (11, 11, 12)
    ]
    if first == again:
        told = "" if first != other else ", and so did another seed"
        report.find("good", f"the same seed gave the same answer{told}")
    else:
        report.find("note", "the same seed gave another answer: searches cannot be repeated")


async def _logprobs(policy: ChatPolicy, report: Report) -> None:
    """Whether the PRM `policy` has anything to read."""
    top = policy.options.top_logprobs or 20
    answer = await _tried(policy, logprobs=True, top_logprobs=top)
    given = None if isinstance(answer, str) else answer.logprobs
    if given is not None and given.sampled:
        most = max(map(len, given.top), default=0)
        report.find("good", f"it gives log-probabilities, of {most} tokens in each place")
        return
    why = answer if isinstance(answer, str) else "they are not in its answers"
    report.find("note", f"it gives no log-probabilities ({why}): the PRM policy cannot read it")


async def _tools(policy: ChatPolicy, report: Report) -> None:
    choice = {"type": "function", "function": {"name": "report_number"}}
    answer = await _tried(policy, tools=[_TOOL], tool_choice=choice)
    if isinstance(answer, str):
        report.find("note", f"it takes no tools ({answer})")
    elif answer.tool_calls:
        report.find("good", f"it calls tools: {extract_answer(answer.text)}")
    else:
        report.find("note", "it took a tool, and its model did not call it")


async def _formats(policy: ChatPolicy, report: Report) -> None:
    answer = await _tried(policy, response_format=_SCHEMA)
    if isinstance(answer, str):
        report.find("note", f"it takes no response_format of a JSON schema ({answer})")
    elif _holds(answer.content):
        report.find("good", f"it keeps to a JSON schema: {answer.content.strip()}")
    else:
        report.find("note", "it took a JSON schema, and its answer does not keep to it")


def _holds(content: str) -> bool:
    try:
        value = json.loads(content)
    except ValueError:
        return False
    return isinstance(value, dict) and list(value) == ["answer"] and type(value["answer"]) is int


async def _tried(policy: ChatPolicy, **more: Any) -> ChatAnswer | str:
    """The answer to a request with these fields, or why there is none."""
    try:
        return await policy.ask(PROBLEM, max_tokens=_PROBE_TOKENS, seed=1, **more)
    except EngineError as error:
        return str(error)
