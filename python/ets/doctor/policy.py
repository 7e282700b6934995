"""A policy examined: its prompt, its samples, its speed, its KV cache."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ets.doctor.chat import examine_chat
from ets.doctor.exam import PROBLEM, RIGHT
from ets.doctor.report import Report, Shown, pieces
from ets.engines.kv_space import HasKVSpace, KVSpace
from ets.engines.protocols import Policy
from ets.engines.vllm.load import EngineLoad
from ets.errors import EngineError, InputError
from ets.policy.chat import ChatPolicy
from ets.policy.prompt import PolicyPrompt
from ets.policy.step_rule import StepRule
from ets.step import Prefix, Step

_SAMPLES = 16
_STEP_TOKENS = 96
_SHOWN_SAMPLES = 3


@runtime_checkable
class HasPrompt(Protocol):
    """A policy whose prompt can be looked at."""

    @property
    def prompt(self) -> PolicyPrompt:
        """How it turns problems into ids and ids into steps."""
        ...


@dataclass(frozen=True, slots=True)
class Load:
    """The search that is planned."""

    width: int
    max_tokens: int


async def examine_policy(policy: Policy, name: str, load: Load) -> Report:
    """Sample steps of a small problem and look at what the policy reads and writes."""
    report = Report("policy", name)
    try:
        if isinstance(policy, ChatPolicy):
            await examine_chat(policy, report, max_tokens=load.max_tokens)
            return report
        root = policy.start(PROBLEM)
        if isinstance(policy, HasPrompt):
            _show_prompt(policy.prompt, root, report)
            _check_prompt(policy.prompt, root, report)
        await _sample(policy, root, report)
        if isinstance(policy, HasKVSpace):
            _fit(await policy.kv_space(), root, load, report)
        else:
            report.find("note", "how much KV cache its engine has is not known here")
        if (at_once := EngineLoad.of(policy)) is not None:
            _show_load(at_once, load, report)
    except (EngineError, InputError) as error:
        report.find("bad", str(error))
    return report


def compare_prompts(policy: Policy, report: Report, first: Prefix | None) -> Prefix | None:
    """Hold what one of several replicas reads against `first`, what the first one read."""
    try:
        root = policy.start(PROBLEM)
    except (EngineError, InputError):  # which the report tells already
        return first
    if first is not None and root.token_ids != first.token_ids:
        report.find(
            "bad",
            "it reads the problem as other tokens than the first address",
            "replicas must be the same model, with the same prompt",
        )
    return first or root


def _show_load(at_once: EngineLoad, load: Load, report: Report) -> None:
    report.facts["at once"] = str(at_once)
    if load.width > at_once.max_num_seqs:
        report.find(
            "note",
            f"width {load.width} queues: a step of one problem has {load.width} samples, and the "
            f"engine works on {at_once.max_num_seqs} at once",
            f"max_num_seqs={load.width}, or more for several problems at a time",
        )


def third_step(prompt: PolicyPrompt, root: Prefix) -> Prefix:
    """The solution after two right steps: what the third step's request sends."""
    prefix = root
    for text in RIGHT[:2]:
        ended = text + prompt.options.delimiter
        prefix = prefix.extend(Step(ended, prompt.encode(ended), "step"))
    return prefix


def _show_prompt(prompt: PolicyPrompt, root: Prefix, report: Report) -> None:
    after = third_step(prompt, root)
    steps = [step.token_ids for step in after.steps]
    tokenizer = prompt.tokenizer
    report.shown.append(
        Shown(
            "for the third step the policy reads the prompt and two steps",
            pieces([root.token_ids, *steps], tokenizer.decode),
        )
    )
    report.facts["context"] = f"{prompt.max_length} tokens"
    ends = ", ".join(repr(tokenizer.decode([token])) for token in sorted(prompt.end_ids))
    ended = prompt.rule.in_words(prompt.options.delimiter)
    report.facts["a step ends"] = f"{ended}; the solution at {ends}"


def _check_prompt(prompt: PolicyPrompt, root: Prefix, report: Report) -> None:
    tokenizer, ids = prompt.tokenizer, root.token_ids
    bos = tokenizer.bos_token_id
    if bos is not None and ids[:2] == (bos, bos):
        report.find(
            "bad",
            f"the prompt begins with {tokenizer.bos_token!r} twice",
            "the chat template and the tokenizer both write it: give a chat_template without it",
        )
    if not (prompt.options.chat_template or tokenizer.chat_template):
        report.find(
            "note",
            "it has no chat template: the problem is continued as plain text",
            "an instruct model needs its own: give chat_template or another checkpoint",
        )
        return
    _check_continuation(prompt, report)


def _check_continuation(prompt: PolicyPrompt, report: Report) -> None:
    """Whether an answer that goes on reads as the template writes a finished one."""
    begun = prompt.text(PROBLEM)
    answer = RIGHT[0]
    messages = [
        {"role": "user", "content": prompt.options.user_template.replace("{problem}", PROBLEM)},
        {"role": "assistant", "content": prompt.options.answer_start + answer},
    ]
    if prompt.options.system_prompt is not None:
        messages.insert(0, {"role": "system", "content": prompt.options.system_prompt})
    whole = str(
        prompt.tokenizer.apply_chat_template(
            messages,
            chat_template=prompt.options.chat_template,
            tokenize=False,
            date_string="26 Jul 2024",
        )
    )
    if whole.startswith(begun + answer):
        report.find("good", "its chat template can be continued in the middle of an answer")
        return
    same = next(
        (i for i, (a, b) in enumerate(zip(begun, whole, strict=False)) if a != b), len(begun)
    )
    report.find(
        "note",
        f"its chat template begins an answer with {begun[same:]!r}, but writes a finished one as "
        f"{whole[same : same + 60]!r}",
        "steps continue the first; continue_final_message=true continues the second",
    )


async def _sample(policy: Policy, root: Prefix, report: Report) -> None:
    await policy.sample(root, seed=0, max_tokens=4)  # what only the first request costs
    rule = policy.prompt.rule if isinstance(policy, HasPrompt) else StepRule()
    most = max(_STEP_TOKENS, rule.tokens or 0)
    begin = time.perf_counter()
    steps = await asyncio.gather(
        *(policy.sample(root, seed=i, max_tokens=most) for i in range(_SAMPLES))
    )
    seconds = time.perf_counter() - begin
    tokens = sum(len(step.token_ids) for step in steps)
    report.facts["speed"] = f"{tokens / seconds:.0f} tokens/s, {_SAMPLES} samples at once"
    ends = Counter(step.finish for step in steps)
    report.facts["first steps"] = (
        f"{tokens / _SAMPLES:.0f} tokens each, {len({step.text for step in steps})} of {_SAMPLES} "
        f"different; they end as {', '.join(f'{end} {n}' for end, n in ends.most_common())}"
    )
    for step in steps[:_SHOWN_SAMPLES]:
        report.facts[f"sample {steps.index(step) + 1}"] = repr(step.text)
    _check_samples(list(steps), rule, report)


def _check_samples(steps: list[Step], rule: StepRule, report: Report) -> None:
    ends = Counter(step.finish for step in steps)
    by_delimiter = rule.kind == "delimiter"
    where = "at the delimiter" if by_delimiter else rule.in_words("")
    wanted = f"another step than {rule.kind}"
    if by_delimiter:
        wanted = "the delimiter that this model puts between its steps"
    if not any(step.text.strip() for step in steps):
        report.find("bad", f"none of {len(steps)} samples holds any text")
    elif ends["length"] == len(steps):
        report.find(
            "bad",
            f"none of {len(steps)} samples ended within {_STEP_TOKENS} tokens: steps would be cut "
            "at max_step_tokens",
            f"give {wanted}",
        )
    elif ends["step"] == 0:
        report.find(
            "note",
            f"none of {len(steps)} samples ended {where}: each solution is one step, and a search "
            "has nothing to choose from",
            f"give {wanted}, or a system_prompt that asks for steps",
        )
    else:
        report.find("good", f"{ends['step']} of {len(steps)} first steps end {where}")
    if len({step.text for step in steps}) == 1:
        report.find("bad", "all samples are the same", "raise the temperature")


def _fit(space: KVSpace, root: Prefix, load: Load, report: Report) -> None:
    report.facts["KV cache"] = f"{space.tokens} tokens in blocks of {space.block_size}"
    shared = space.rounded(root.prompt_tokens)
    fits = max(0, space.tokens - shared) // space.rounded(load.max_tokens)
    said = (
        f"its KV cache holds {fits} solutions of {load.max_tokens} tokens at once that share no "
        "more than the prompt"
    )
    if fits >= load.width:
        problems = max(1, space.tokens // (shared + load.width * space.rounded(load.max_tokens)))
        at_once = "1 problem" if problems == 1 else f"{problems} problems"
        report.find("good", f"{said}: width {load.width} fits, {at_once} at a time")
    else:
        report.find(
            "note",
            f"{said}: width {load.width} fits only as far as solutions share steps or end early",
            "kv_budget='auto' keeps the search within the cache",
        )
