"""Steps over servers that take and give text."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ets.dialogue import mapped
from ets.engines.server.model_card import Kind, ModelCard
from ets.policy.answer_end import holds_answer
from ets.policy.completion import Completion
from ets.policy.prompt import PolicyPrompt
from ets.policy.server_logprobs import certainty_of
from ets.policy.step_ends import StepEnds
from ets.policy.step_reader import finished_step
from ets.step import Finish, Prefix, Step

_ALL_TOKENS: dict[Kind, dict[str, Any]] = {
    # Without these it samples as the checkpoint's generation config wants it. Servers that are not
    # known may refuse what they do not know.
    "sglang": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
}
_HEADING = re.compile(r"(?:^|\n)\W*(?:the\s+)?(?:final\s+)?answer\W*\Z", re.IGNORECASE)
_MARKERS = ("answer is", "answer:", "\\boxed{")
"""What an answer may stand behind on the last line, in lower case and without asterisks."""


class TextSteps:
    """Writes requests for the next step as text, and reads steps from texts."""

    def __init__(self, prompt: PolicyPrompt, server: ModelCard) -> None:
        self._prompt = prompt
        self._server = server
        tokenizer = prompt.tokenizer
        adds_bos = tokenizer.encode("a")[:1] == [tokenizer.bos_token_id]
        # The server's tokenizer will write it, and the template has written it.
        self._bos = str(tokenizer.bos_token) if adds_bos else ""

    def request(self, prefix: Prefix, seed: int) -> dict[str, Any]:
        """What to ask for, beside the model and the number of tokens."""
        options = self._prompt.options
        return {
            "prompt": self.text(prefix),
            "seed": seed,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "stop": list(self._prompt.texts_that_stop(prefix)),
            **({"logprobs": options.top_logprobs} if options.top_logprobs else {}),
            **_ALL_TOKENS.get(self._server.kind, {}),
        }

    def text(self, prefix: Prefix) -> str:
        """A partial solution as the server has read and written it.

        Its texts are joined, since what ids decode to can depend on what stands before them. The
        server would read control tokens in them: those get a space of no width into them.
        """
        posed = mapped(prefix.posed, self._harmless)
        start = self._prompt.text(posed).removeprefix(self._bos)
        written = "".join(step.text for step in prefix.steps)
        thoughts = len(written) - len("".join(step.answer_text for step in prefix.steps))
        return start + written[:thoughts] + self._harmless(written[thoughts:])

    def _harmless(self, text: str) -> str:
        for control in self._prompt.control_texts:
            if control in text:
                text = text.replace(control, f"{control[0]}\u200b{control[1:]}")
        return text

    def step(self, completion: Completion, prefix: Prefix, max_tokens: int) -> Step:
        """The step that a text makes: with what ended it, and with ids of our own."""
        text, finish = self._ended(completion, prefix)
        ids = self._prompt.encode(text)
        if not ids:
            finish = "context" if completion.finish == "length" else "end"
        elif finish == "length":
            finish = self._prompt.full_finish(prefix, max_tokens)
        sent = completion.prompt_tokens
        step = finished_step(
            self._prompt,
            prefix,
            text,
            ids,
            finish,
            thinking=self._thinking(prefix, text),
            prompt_tokens=len(prefix.token_ids) if sent is None else sent,
            cached_tokens=completion.cached_tokens,
            certainty=certainty_of(
                completion.logprobs,
                self._prompt.options.top_logprobs,
                len(self._prompt.tokenizer),
                self._server,
                tokens=min(1, len(ids)),
            ),
        )
        if self._prompt.rule.kind == "delimiter" or len(text) >= len(completion.text):
            return step
        behind = len(self._prompt.encode(completion.text)) - len(ids)
        return replace(step, dropped_tokens=max(0, behind))

    def _ended(self, completion: Completion, prefix: Prefix) -> tuple[str, Finish]:
        """The text with what ended it, and why it ended."""
        if self._prompt.rule.kind != "delimiter":
            return self._ended_by_rule(completion, prefix)
        text, stops = completion.text, self._prompt.texts_that_stop(prefix)
        hidden = completion.finish == "stop" and not completion.says_stop
        thinking = self._thinking(prefix, text)
        found = self._prompt.find_stop(text, thinking)
        if found is not None:
            end, which = found
            step = text[:end]
            if hidden and which == 0 and _HEADING.search(step) and step != text:
                return text, "end"  # the answer stands behind its heading
            return step, "step" if which == 0 else "end"
        if completion.finish == "length":
            return text, "length"
        if completion.stopped_by in stops:
            stop = str(completion.stopped_by)
            return text + stop, "step" if stop == stops[0] else "end"
        if not hidden or not text or self._gives_answer(text[thinking:], prefix):
            return text, "end"
        return text + stops[0], "step"

    def _ended_by_rule(self, completion: Completion, prefix: Prefix) -> tuple[str, Finish]:
        """The same where steps are no paragraphs: a server knows of no end but the solution's."""
        text = completion.text
        found = StepEnds(self._prompt, prefix).find(text)
        if found is not None:
            return text[: found[0]], found[1]
        if completion.finish == "length":
            return text, "length"
        stop = completion.stopped_by
        put_back = stop if isinstance(stop, str) and stop in self._prompt.options.stop else ""
        return text + put_back, "end"

    def _gives_answer(self, text: str, prefix: Prefix) -> bool:
        """Whether a text whose end is not known ends the solution."""
        if holds_answer(text, self._prompt.answer_markers):
            return True
        before = prefix.steps[-1].text if prefix.steps else ""
        last = text.strip().rpartition("\n")[2]
        last = last.lower().replace("*", "")
        return holds_answer(last, _MARKERS) or bool(_HEADING.search(before))

    def _thinking(self, prefix: Prefix, text: str) -> int:
        thoughts = self._prompt.thoughts(prefix)
        return 0 if thoughts is None else thoughts.length(text)
