"""What the doctor says of chat servers, scripted ones."""

from __future__ import annotations

from typing import Any

import pytest

from chat_cases import called, chatting, said
from ets.doctor.chat import examine_chat
from ets.doctor.report import Report
from scripted_http import Reply, run

pytest.importorskip("openai", reason="openai is not installed (the extra 'openai' brings it)")

from ets.policy.chat import ChatPolicy

OK = said()


def examined(policy: ChatPolicy) -> Report:
    report = Report("policy", "chat")
    run(policy, lambda: examine_chat(policy, report, max_tokens=64))
    return report


def test_the_doctor_says_what_a_server_can() -> None:
    async def able(body: dict[str, Any]) -> Reply:
        more: dict[str, Any] = {}
        if body.get("logprobs"):
            token = {"token": "7", "logprob": -0.5, "top_logprobs": [{"logprob": -0.5}] * 5}
            more["logprobs"] = {"content": [token]}
        if "tools" in body:
            calls = [called("report_number", '{"number": 28}')]
            return said(None, "tool_calls", message={"tool_calls": calls}, **more)
        content = '{"answer": 28}' if "response_format" in body else f"It is {body['seed'] % 9}."
        return said(content, **more)

    with chatting(able) as (_, policy):
        report = examined(policy)
    assert report.healthy
    good = [finding.text for finding in report.findings if finding.level == "good"]
    assert good == [
        "8 of 8 answers hold one that can vote",
        "the same seed gave the same answer",
        "it gives log-probabilities, of 5 tokens in each place",
        'it calls tools: [{"arguments":{"number":28},"name":"report_number"}]',
        'it keeps to a JSON schema: {"answer": 28}',
    ]


def test_the_doctor_says_what_it_cannot() -> None:
    count = 0

    async def plain(body: dict[str, Any]) -> Reply:
        nonlocal count
        count += 1
        for name in ("tools", "response_format"):
            if name in body:
                return Reply({"error": {"message": f"unknown field {name}"}}, status=400)
        return said(f"Who knows, {'abcdefghijklmnopqrstuvwxyz'[count % 26]}", usage=None)

    with chatting(plain, max_retries=0) as (_, policy):
        report = examined(policy)
    assert not report.healthy
    found = "\n".join(f"{finding.level}: {finding.text}" for finding in report.findings)
    for words in (
        "bad: it does not count its tokens",
        "bad: none of 8 answers holds one that can vote",
        "note: the same seed gave another answer",
        "note: it gives no log-probabilities (they are not in its answers)",
        "note: it takes no tools (the server at",
        "note: it takes no response_format of a JSON schema",
    ):
        assert words in found
