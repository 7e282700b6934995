"""How a policy is prompted and sampled, on whichever backend."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from ets.checks import (
    check_choice,
    check_flag,
    check_int,
    check_number,
    check_text,
    iterated,
    keyword_names,
    shown,
)
from ets.errors import InputError
from ets.policy.answer_end import ANSWER_MARKERS
from ets.policy.step_rule import StepRule
from ets.policy.thinking import ThinkingStep, check_thinking


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOptions:
    """How a policy is prompted and sampled; the same for every backend."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_logprobs: int = 0
    """Of how many of the likeliest tokens the log-probabilities are asked for at each token, for
    `Step.certainty`; 0: none. A PRM `policy` asks for 20 unless this says otherwise."""
    step: str = "delimiter"
    """What ends a step: `delimiter`; `tokens:N`, that many of them; `sentences`, the end of one;
    `regex:PATTERN`, the first match of a regular expression."""
    delimiter: str = "\n\n"
    """The text that ends a step, where `step` does not say otherwise; it stays part of the step. It
    ends paragraphs whatever `step` says: one that holds an answer is the solution's last."""
    stop: tuple[str, ...] = ()
    """Further texts that end the whole solution; one text stands for a list of one."""
    system_prompt: str | None = None
    """None: no system message, so the chat template's own default holds."""
    user_template: str = "{problem}"
    """The user message; `{problem}` stands for the problem."""
    chat_template: str | None = None
    """A Jinja template in place of the tokenizer's own."""
    answer_start: str = ""
    """What the answer begins with, such as `Step 1:`: part of the prompt, so not of any step, and
    the PRM does not see it."""
    continue_final_message: bool = False
    """Whether the prompt ends in an assistant's message left open, where the template puts
    `answer_start`, instead of in the template's generation prompt. The two differ where a template
    lets thinking begin, as those of reasoning models do."""
    answer_markers: tuple[str, ...] = ANSWER_MARKERS
    """A step that holds one of these with an answer behind it ends the solution. Those by default
    are for plain text: with a chat template only a box counts, and the end of the sequence."""

    thinking: bool | tuple[str, str] | None = None
    """Whether the policy thinks in a block before it answers, or the two tags of that block; None:
    as its chat template and vocabulary say (`ets.policy.thinking`). A template that has a switch
    for it (`enable_thinking`) is told."""
    thinking_step: ThinkingStep = "tokens"
    """What a step inside the block is: `tokens`, as many as a step may have, or `paragraphs`, which
    end at the delimiter. Where `step` is `tokens:N`, thoughts have such steps too."""

    def __post_init__(self) -> None:
        StepRule.read(self.step)
        check_choice("thinking_step", self.thinking_step, ThinkingStep)
        object.__setattr__(self, "thinking", check_thinking(self.thinking))
        check_int("top_logprobs", self.top_logprobs, 0, 1 << 20)
        check_number("temperature", self.temperature, ">= 0", lambda value: value >= 0)
        check_number("top_p", self.top_p, "in (0, 1]", math.isfinite)
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p must lie in (0, 1], got {self.top_p}")
        for name in ("delimiter", "user_template", "answer_start"):
            check_text(name, getattr(self, name))
        for name in ("system_prompt", "chat_template"):
            if getattr(self, name) is not None:
                check_text(name, getattr(self, name), ", or None")
        check_flag("continue_final_message", self.continue_final_message)
        for name in ("stop", "answer_markers"):
            texts = getattr(self, name)
            texts = (texts,) if isinstance(texts, str) else tuple(iterated(name, texts))
            if not all(isinstance(text, str) for text in texts):
                raise InputError(f"{name} must be texts, got {shown(list(texts))}")
            for text in texts:
                check_text(name, text)
            object.__setattr__(self, name, texts)
        if not self.delimiter:
            raise InputError("delimiter must not be empty, got ''")
        if "{problem}" not in self.user_template:
            raise InputError(
                f"user_template must hold '{{problem}}', got {shown(self.user_template)}"
            )


def prompt_options(kind: type, backend: str, options: dict[str, Any]) -> PolicyOptions:
    """The options of prompting and sampling, for a backend's constructor that has taken its own.

    # Errors
    `InputError` for what is neither.
    """
    known = [field.name for field in fields(PolicyOptions)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(
            f"unknown option {unknown[0]!r} of {backend}; its options are "
            f"{', '.join((*keyword_names(kind), *known))}"
        )
    return PolicyOptions(**options)
