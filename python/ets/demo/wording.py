"""The words: every way to put an event into a problem and a step into a solution.

All wordings of a step mean the same, so that clustering by meaning has something to find, and
the set of all of them is finite, so that a step is right exactly if it is one of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from ets.demo.chain import RELATIONS, Step

_EVENTS: dict[str, tuple[str, ...]] = {
    "gain": ("{p} {verb} {n} more {i}.", "Then {p} {verb} {n} {i}."),
    "lose": ("{p} {verb} {n} {i}.", "Then {p} {verb} {n} of the {i}."),
    "times": ("{p} {multiplies} the {i}.", "Then {p} {multiplies} the {i}."),
    "split": (
        "{p} splits the {i} into {n} equal piles and keeps one.",
        "Then {p} keeps one of {n} equal piles of {i}.",
    ),
    "half": ("{p} keeps half of the {i}.", "Then {p} gives half of the {i} away."),
    "bags": ("{p} buys {v} bags of {n} {i}.", "Then {p} buys {v} bags with {n} {i} each."),
    "more": ("{p} has {n} more {i} than {s}.",),
    "fewer": ("{p} has {n} fewer {i} than {s}.",),
    "many": ("{p} has {n} times as many {i} as {s}.",),
    "half_many": ("{p} has half as many {i} as {s}.",),
    "transfer": (
        "{s} gives all the {i} to {p}, who had {n}.",
        "{p} had {n} {i} and gets all the {i} of {s}.",
    ),
}
_OPENINGS = ("{p} has {v} {i}.", "At first {p} has {v} {i}.")
_QUESTIONS = ("How many {i} does {p} have now?", "How many {i} does {p} have in the end?")

_OWN = (
    "{p} has {v} {i} and {e}: {eq}.",
    "{p} {e} and had {v} before. {eq}.",
    "Now {p} {e}. {eq} {i}.",
    "From {v} {i}, {p} {e}, so {eq}.",
    "Then {p} {e} and has {r} {i}, as {eq}.",
)
_RELATION = (
    "{s} has {v} {i} and {p} has {e}: {eq}.",
    "{p} has {e}. {eq}, so {p} has {r} {i}.",
    "Now {p} has {e}. {eq} {i}.",
    "As {s} has {v} {i}, {p} has {e}: {eq}.",
    "Then {p} has {r} {i}, {e}, as {eq}.",
)
_STEPS: dict[str, tuple[str, ...]] = {
    "bags": (
        "{p} buys {v} bags of {n} {i}: {eq}.",
        "Each bag has {n} {i} and {p} buys {v}: {eq}.",
        "There are {v} bags of {n} {i}. {eq} more.",
        "Now {p} buys {v} bags. {eq} {i}.",
        "With {n} {i} in each, {v} bags are {r}, as {eq}.",
    ),
    "transfer": (
        "{s} gives all {v} {i} to {p}, who had {n}: {eq}.",
        "{p} had {n} {i} and gets {v} from {s}: {eq}.",
        "Now {p} gets {v} {i} from {s}. {eq}.",
        "With {n} before, {p} gets {v} from {s}, so {eq} {i}.",
        "Then {p} has {r} {i}, {v} from {s} and {n} before, as {eq}.",
    ),
}
_PHRASES: dict[str, tuple[str, ...]] = {
    "times": ("{multiplies} them", "{multiplies} that"),
    "split": ("keeps one of {n} piles", "splits them by {n}"),
    "half": ("keeps half", "gives half away"),
    "more": ("{n} more than {s}",),
    "fewer": ("{n} fewer than {s}",),
    "many": ("{n} times as many as {s}",),
    "half_many": ("half as many as {s}", "half of what {s} has"),
}
_EQUATIONS: dict[str, tuple[str, ...]] = {
    "+": ("{v} + {n} = {r}", "{n} + {v} = {r}", "{v} plus {n} is {r}", "{n} plus {v} is {r}"),
    "-": ("{v} - {n} = {r}", "{v} minus {n} is {r}", "{v} less {n} is {r}"),
    "*": ("{v} * {n} = {r}", "{n} * {v} = {r}", "{v} times {n} is {r}", "{n} times {v} is {r}"),
    "/": ("{v} / {n} = {r}", "{v} divided by {n} is {r}", "{v} over {n} is {r}"),
}
ANSWER = " The answer is {r}."
STEP_END = "\n\n"


def problem_text(rng: random.Random, start: int, steps: tuple[Step, ...]) -> str:
    """Put a chain of events into words, each sentence in one of its wordings."""
    first = steps[0]
    owner = first.source if first.kind in RELATIONS else first.person
    sentences = [rng.choice(_OPENINGS).format(p=owner, v=start, i=first.item)]
    told = False
    for step in steps:
        # The bags were told with the step before; adding them up is a step but no event.
        if not told:
            sentences.append(rng.choice(_EVENTS[step.kind]).format(**_slots(step)))
        told = step.kind == "bags"
    last = steps[-1]
    sentences.append(rng.choice(_QUESTIONS).format(p=last.person, i=last.item))
    return " ".join(sentences)


def wordings(step: Step) -> list[str]:
    """Return every wording of a step, in a fixed order."""
    return list(_wordings(step))


def word_step(rng: random.Random, step: Step) -> str:
    """Put a step into one of its wordings, drawn at random."""
    slots = _slots(step)
    phrase = rng.choice(_phrases(step)).format(**slots)
    equation = rng.choice(_EQUATIONS[step.op]).format(**slots)
    return rng.choice(_frames(step)).format(e=phrase, eq=equation, **slots) + _ending(step)


def all_templates() -> list[str]:
    """Return every template there is, for the vocabulary."""
    groups = [_OPENINGS, _QUESTIONS, _OWN, _RELATION, (ANSWER,)]
    for table in (_EVENTS, _STEPS, _PHRASES, _EQUATIONS):
        groups.extend(table.values())
    return [template for group in groups for template in group]


def _wordings(step: Step) -> Iterator[str]:
    slots, ending = _slots(step), _ending(step)
    phrases = [phrase.format(**slots) for phrase in _phrases(step)]
    equations = [equation.format(**slots) for equation in _EQUATIONS[step.op]]
    for frame in _frames(step):
        for phrase in phrases if "{e}" in frame else phrases[:1]:
            for equation in equations:
                yield frame.format(e=phrase, eq=equation, **slots) + ending


def _slots(step: Step) -> dict[str, str | int]:
    return {
        "p": step.person, "s": step.source, "i": step.item, "verb": step.verb,
        "v": step.left, "n": step.right, "r": step.result,
        "multiplies": "doubles" if step.right == 2 else "triples",
    }  # fmt: skip


def _frames(step: Step) -> tuple[str, ...]:
    return _STEPS.get(step.kind) or (_RELATION if step.kind in RELATIONS else _OWN)


def _phrases(step: Step) -> tuple[str, ...]:
    if step.kind == "gain":
        verbs = dict.fromkeys((step.verb, "gets"))
        return tuple(f"{verb} {{n}}{more}" for verb in verbs for more in ("", " more"))
    if step.kind == "lose":
        return tuple(f"{verb} {{n}}" for verb in dict.fromkeys((step.verb, "loses")))
    return _PHRASES.get(step.kind, ("",))


def _ending(step: Step) -> str:
    return ANSWER.format(r=step.result) if step.final else ""
