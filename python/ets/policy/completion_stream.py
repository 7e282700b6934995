"""A server's answer at `/v1/completions` while it comes, for steps whose end no server knows."""

from __future__ import annotations

import json
from typing import Any

from ets.errors import EngineError
from ets.policy.prompt import PolicyPrompt
from ets.policy.step_ends import StepEnds
from ets.policy.step_reader import StepWatch
from ets.step import Prefix

_BROKEN = "\ufffd"
_OF_LAST = ("finish_reason", "stop_reason", "matched_stop")


class CompletionStream:
    """Puts the parts of a completion together, and says when they hold the step.

    It is found by the ids where the server sends them, else by the text.
    """

    def __init__(self, prompt: PolicyPrompt, prefix: Prefix, max_tokens: int) -> None:
        self._watch = StepWatch(prompt, prefix, max_tokens)
        self._ends = StepEnds(prompt, prefix)
        self._choice: dict[str, Any] = {"text": "", "finish_reason": None}
        self._body: dict[str, Any] = {"choices": [self._choice]}
        self._ids: list[int] = []
        self._enough = False
        self._broken: Any = None

    def has_enough(self, event: Any) -> bool:
        """Take the next part; True where the step ends in it.

        What is no part of a completion is left for `answer` to refuse.
        """
        try:
            self._take(event)
        except (TypeError, ValueError, AttributeError):
            self._broken = event
            return True
        self._enough = self._choice["finish_reason"] is None and self._holds_step()
        return self._enough

    def answer(self) -> str:
        """The completion as a server would have given it at once: one that stopped there."""
        if self._broken is not None:
            return json.dumps(self._broken)
        if self._enough:
            self._choice["finish_reason"] = "stop"
            self._choice.pop("stop_reason", None)
        return json.dumps(self._body)

    def _take(self, event: Any) -> None:
        self._body["usage"] = event.get("usage") or self._body.get("usage")
        if not event.get("choices"):
            return  # the last one may hold the usage alone
        (choice, *_), more = event["choices"], event.get("__verbose") or {}
        self._choice["text"] += choice.get("text") or ""
        self._choice.update({key: choice[key] for key in _OF_LAST if choice.get(key) is not None})
        if "stop_reason" in choice:  # which says by being there that the server tells
            self._choice.setdefault("stop_reason", None)
        self._join_logprobs(choice.get("logprobs"))
        if "token_ids" in choice:
            self._ids += map(int, choice["token_ids"] or ())
            self._choice["token_ids"] = self._ids
        elif "tokens" in more:  # llama.cpp
            self._ids += map(int, more["tokens"] or ())
            self._body["__verbose"] = {**more, "tokens": self._ids}

    def _holds_step(self) -> bool:
        if self._ids:
            return self._watch.sees(self._ids)
        try:
            return self._ends.find(self._choice["text"].rstrip(_BROKEN)) is not None
        except EngineError:  # whoever reads the step raises it
            return True

    def _join_logprobs(self, said: Any) -> None:
        """The lists of a part behind those of the parts before."""
        if said is None:
            return
        known = self._choice.setdefault("logprobs", {})
        for key, values in said.items():
            if isinstance(values, list):
                known[key] = known.get(key, []) + values
