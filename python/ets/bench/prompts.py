"""The prompts of a benchmark's problems, before it is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

from ets.checkpoint.source import Source
from ets.dialogue import Dialogue, transcript
from ets.doctor.loading import WITH_CHECKPOINT
from ets.doctor.policy import HasPrompt
from ets.doctor.report import Report
from ets.engines.name import EngineName
from ets.engines.protocols import Policy
from ets.errors import EngineError, InputError, MissingExtraError
from ets.policy.base import PolicyOptions
from ets.policy.prompt import PolicyPrompt
from ets.problems.problem import Problem

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class PromptShown:
    """What the policy is given of one problem."""

    key: str | int | None
    text: str
    tokens: int | None
    """None where the tokenizer could not be loaded, or the policy refuses the prompt."""


def first_prompts(
    writer: Policy | Report,
    name: str,
    options: Mapping[str, Any],
    problems: Sequence[Problem],
    report: Report,
) -> tuple[tuple[PromptShown, ...], str | None]:
    """The first prompts as the policy reads them, or as plain messages and the reason for it.

    Prompts of any problem that leave no room for an answer are added to `report`.
    """
    first = problems[:_SHOWN]
    try:
        prompt = writer.prompt if isinstance(writer, HasPrompt) else _tokenizer_of(name, options)
    except (EngineError, MissingExtraError, ValueError, TypeError) as error:
        why = " ".join(str(error).split())
        return tuple(PromptShown(p.key, _message(name, options, p), None) for p in first), why
    sizes = [_size(prompt, problem) for problem in problems]
    refused = [
        f"problem {problem.key}: {size}"
        for problem, size in zip(problems, sizes, strict=True)
        if isinstance(size, str)
    ]
    if refused:
        report.find("bad", f"{len(refused)} of {len(problems)} prompts are refused; {refused[0]}")
    return tuple(
        PromptShown(p.key, _message(name, options, p), None)
        if isinstance(size, str)
        else PromptShown(p.key, prompt.text(p.posed), size)
        for p, size in zip(first, sizes, strict=False)
    ), None


def _size(prompt: PolicyPrompt, problem: Problem) -> int | str:
    """The prompt's tokens, or why it is refused."""
    try:
        posed = problem.posed
        root = prompt.start(posed) if isinstance(posed, str) else prompt.start_dialogue(posed)
        return root.prompt_tokens
    except InputError as error:
        return str(error)


def _tokenizer_of(name: str, options: Mapping[str, Any]) -> PolicyPrompt:
    """The prompt of a policy that could not be loaded: its tokenizer may be there all the same."""
    engine = EngineName.parse("policy", name, options)
    if engine.backend not in WITH_CHECKPOINT or not engine.path:
        raise InputError(f"the tokenizer of {name!r} is not at hand")
    known = {f.name for f in fields(PolicyOptions)}
    chosen = {key: value for key, value in engine.options.items() if key in known}
    return PolicyPrompt.load(Source.of(engine.path, engine.options), PolicyOptions(**chosen))


def _message(name: str, options: Mapping[str, Any], problem: Problem) -> str:
    """The messages that a chat template would be given."""
    with suppress(InputError):  # a name that is none; what is wrong with it is in the report
        options = EngineName.parse("policy", name, options).options
    system = options.get("system_prompt")
    user = str(options.get("user_template", "{problem}")).replace("{problem}", problem.text)
    if problem.before:
        return transcript(Dialogue(problem.before, user))
    return user if system is None else f"{system}\n\n{user}"
