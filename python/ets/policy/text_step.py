"""Steps over servers that take and give text."""

from __future__ import annotations

from typing import Any

from ets.policy.answer_end import holds_answer
from ets.policy.completion import Completion
from ets.policy.prompt import PolicyPrompt
from ets.server import Kind
from ets.step import Finish, Prefix, Step

_ALL_TOKENS: dict[Kind, dict[str, Any]] = {
    # Without these the first samples as the checkpoint's generation config wants it, the second
    # from the 40 likeliest tokens. Servers that are not known may refuse what they do not know.
    "sglang": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
    "llama.cpp": {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0},
}
_LLAMA_SEEDS = (1 << 32) - 1
"""llama.cpp takes seeds below this; this one stands for none."""


class TextSteps:
    """Writes requests for the next step as text, and reads steps from texts."""

    def __init__(self, prompt: PolicyPrompt, kind: Kind) -> None:
        self._prompt = prompt
        self._kind = kind
        tokenizer = prompt.tokenizer
        adds_bos = tokenizer.encode("a")[:1] == [tokenizer.bos_token_id]
        # The server's tokenizer will write it, and the template has written it.
        self._bos = str(tokenizer.bos_token) if adds_bos else ""

    def request(self, prefix: Prefix, seed: int) -> dict[str, Any]:
        """What to ask for, beside the model and the number of tokens."""
        options = self._prompt.options
        return {
            "prompt": self.text(prefix),
            "seed": seed % _LLAMA_SEEDS if self._kind == "llama.cpp" else seed,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "stop": list(self._prompt.stop_texts),
            **_ALL_TOKENS.get(self._kind, {}),
        }

    def text(self, prefix: Prefix) -> str:
        """A partial solution as the server has read and written it.

        Its texts are joined, since what ids decode to can depend on what stands before them.
        """
        start = self._prompt.text(prefix.problem).removeprefix(self._bos)
        return start + "".join(step.text for step in prefix.steps)

    def step(self, completion: Completion, prefix: Prefix, max_tokens: int) -> Step:
        """The step that a text makes: with what ended it, and with ids of our own."""
        text, finish = self._ended(completion)
        ids = self._prompt.encode(text)
        if not ids:
            finish = "end"
        elif holds_answer(text, self._prompt.answer_markers, cut=finish == "length"):
            finish = "answer"
        elif finish == "length" and self._prompt.exhausts(prefix, max_tokens):
            finish = "context"
        sent = completion.prompt_tokens
        return Step(
            text=text,
            token_ids=ids,
            finish=finish,
            prompt_tokens=len(prefix.token_ids) if sent is None else sent,
            cached_tokens=completion.cached_tokens,
        )

    def _ended(self, completion: Completion) -> tuple[str, Finish]:
        """The text with what ended it, and why it ended."""
        text, stops = completion.text, self._prompt.stop_texts
        found = [(at, stop) for stop in stops if (at := text.find(stop)) >= 0]
        if found:
            at, stop = min(found)
            return text[: at + len(stop)], self._reason(stop)
        if completion.finish == "length":
            return text, "length"
        if completion.stopped_by in stops:
            stop = str(completion.stopped_by)
            return text + stop, self._reason(stop)
        answered = holds_answer(text, self._prompt.answer_markers)
        if completion.says_stop or answered or not text:
            return text, "end"
        return text + stops[0], "step"

    def _reason(self, stop: str) -> Finish:
        return "step" if stop == self._prompt.stop_texts[0] else "end"
