"""A PRM that writes: a critique of the solution so far, then a verdict."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from ets.checks import check_flag, check_number, check_positive
from ets.engines.name import one_server
from ets.engines.protocols import Policy
from ets.engines.start import start
from ets.engines.values import awaitable, checked_root, checked_step
from ets.engines.whole_answers import writes_whole_answers
from ets.errors import ContextError, EngineError, InputError
from ets.loop.workers import Threads
from ets.pickled import Unpicklable
from ets.policy import load_policy
from ets.prm.critique_form import CritiqueForm, form_of
from ets.shown.redaction import redacted
from ets.step import Prefix, Score, Step

_VERDICT_TOKENS = 8
"""What a critic may say behind the question for its verdict."""
_VERDICT_ROOM = 64
"""Tokens of a context for that, and for the texts around it."""
_CRITIQUE_TOKENS = 1024
_TEMPERATURE = 0.7
"""Of several critiques; one alone is greedy."""
_OF_FORM = tuple(field.name for field in fields(CritiqueForm))


@dataclass(frozen=True, slots=True)
class Critique:
    """What a critic wrote."""

    text: str
    reward: float | None
    """None where it holds no verdict."""
    read: int
    """Tokens of its requests' prompts."""
    cached: int
    """Of those, from the engine's prefix cache."""
    written: int
    """Tokens sampled."""


@dataclass(slots=True)
class _Asked:
    """The critiques of one solution, and how many wait for them."""

    task: asyncio.Task[tuple[Critique, ...]]
    waiting: int = 0


class GenerativePRM(Unpicklable):
    """Scores a step by what a language model writes about it.

    Parameters
    ----------
    critic
        The policy that writes; this package's own, since its `prompt` encodes what it is made to
        say.
    form
        How it is asked and its verdict read.
    critiques
        Of each solution, by different seeds; the reward is the mean of their verdicts.
    critique_tokens
        The most that one critique may have, its verdict not counted.
    unsure
        The verdict of a critique that holds none: one that was cut, or says something else.
    cache
        Solutions whose verdicts are kept, the latest: those of equal texts are asked once.
    owns
        Whether `aclose` ends the critic.

    A step without text scores as the solution before it, and 0 if nothing has been written. A
    critique follows from the texts and its number alone, as far as its engine repeats itself.
    `Score.written_tokens` are those of all critiques.

    # Errors
    `InputError` for a bad value, or a critic that is none of ours.
    """

    def __init__(
        self,
        critic: Policy,
        form: CritiqueForm,
        *,
        critiques: int = 1,
        critique_tokens: int = _CRITIQUE_TOKENS,
        unsure: float = 0.5,
        cache: int = 4096,
        owns: bool = True,
    ) -> None:
        check_positive(critiques=critiques, critique_tokens=critique_tokens, cache=cache)
        check_number("unsure", unsure, "in [0, 1]", lambda value: 0 <= value <= 1)
        check_flag("owns", owns)
        if not callable(getattr(critic, "reread", None)) or not hasattr(critic, "prompt"):
            raise InputError(
                f"critic must be a policy of this package, got {type(critic).__name__}: what a "
                "critique begins and goes on with is encoded by its prompt"
            )
        self._critic: Any = critic
        self.form = form
        self._critiques = critiques
        self._critique_tokens = critique_tokens
        self._unsure = float(unsure)
        self._cache = cache
        self._owns = owns
        self._known: OrderedDict[bytes, _Asked] = OrderedDict()
        self._prompts = Threads("ets-critic", 1)

    async def score(self, prefix: Prefix) -> Score:
        """The mean verdict on the solution so far.

        # Errors
        `ContextError` where the solution leaves the critic no room, those of the critic.
        """
        steps = [text for step in prefix.steps if (text := step.text.strip())]
        if not steps:
            return Score(0.0)
        asked_before = self._key(prefix, steps) in self._known
        written = await self._of(prefix, steps)
        rewards = [self._unsure if c.reward is None else c.reward for c in written]
        read = sum(critique.read for critique in written)
        return Score(
            sum(rewards) / len(rewards),
            prompt_tokens=read,
            # Who asks for the same is answered from this one's work.
            cached_tokens=read if asked_before else sum(critique.cached for critique in written),
            written_tokens=0 if asked_before else sum(critique.written for critique in written),
        )

    async def critiques(self, prefix: Prefix) -> list[str]:
        """What was, or is now, written about the solution so far."""
        steps = [text for step in prefix.steps if (text := step.text.strip())]
        return [critique.text for critique in await self._of(prefix, steps)] if steps else []

    async def aclose(self) -> None:
        """End the critic, where it is this one's."""
        self._prompts.close()
        if self._owns:
            await self._critic.aclose()

    async def _of(self, prefix: Prefix, steps: list[str]) -> tuple[Critique, ...]:
        """The critiques, of whoever asked for them first; each waiter may be cancelled alone."""
        key, loop = self._key(prefix, steps), asyncio.get_running_loop()
        asked = self._known.get(key)
        if asked is None or not (asked.task.done() or asked.task.get_loop() is loop):
            asked = _Asked(loop.create_task(self._write(prefix, steps, key)))
            self._known[key] = asked
        self._known.move_to_end(key)
        if len(self._known) > self._cache and next(iter(self._known.values())).task.done():
            self._known.popitem(last=False)
        if asked.task.done():
            return asked.task.result()
        asked.waiting += 1
        try:
            return await asyncio.shield(asked.task)
        except BaseException:  # cancelled, or failed: the next one tries again
            if asked.waiting == 1 or asked.task.done():
                asked.task.cancel()
                if self._known.get(key) is asked:
                    del self._known[key]
            raise
        finally:
            asked.waiting -= 1

    async def _write(self, prefix: Prefix, steps: list[str], key: bytes) -> tuple[Critique, ...]:
        before: list[str] = []
        if self.form.turns:
            earlier = [await self._of(prefix, steps[:count]) for count in range(1, len(steps))]
            before = [critiques[0].text for critiques in earlier]
        posed = self.form.posed(prefix.problem, steps, before)
        try:
            root = checked_root(await self._prompts.run(start, self._critic, posed), self._critic)
        except InputError as error:
            raise ContextError(f"the generative PRM cannot read the solution: {error}") from error
        seeds = [
            int.from_bytes(hashlib.sha256(key + at.to_bytes(4, "little")).digest()[:7], "little")
            for at in range(self._critiques)
        ]
        number = len(steps)
        return tuple(await asyncio.gather(*(self._one(root, number, seed) for seed in seeds)))

    async def _one(self, root: Prefix, number: int, seed: int) -> Critique:
        """One critique: written to its end, then asked for a verdict that it has not given."""
        form = self.form
        steps: list[Step] = []
        prefix = self._made(root, form.start.replace("{number}", str(number)))
        left = self._critique_tokens
        while left > 0:
            step = await self._sample(prefix, seed + len(steps), left)
            steps.append(step)
            prefix, left = prefix.extend(step), left - max(1, len(step.token_ids))
            over = step.finish in ("end", "context") or not step.token_ids
            if over or form.end in self._text(root, prefix):
                break
        text = self._text(root, prefix)
        if form.ask and form.find(text) is None and (not steps or steps[-1].finish != "context"):
            if not text.endswith(form.ask):
                prefix = self._made(prefix, f"\n{form.ask}")
            for _ in range(2):  # the first may be white space alone
                step = await self._sample(prefix, seed + len(steps), _VERDICT_TOKENS)
                steps.append(step)
                prefix = prefix.extend(step)
                if step.finish in ("end", "context") or form.find(self._text(root, prefix)):
                    break
        return Critique(
            text=self._text(root, prefix),
            reward=self._reward(prefix),
            read=sum(step.prompt_tokens for step in steps),
            cached=sum(step.cached_tokens for step in steps),
            written=sum(len(step.token_ids) + step.dropped_tokens for step in steps),
        )

    async def _sample(self, prefix: Prefix, seed: int, tokens: int) -> Step:
        asked = self._critic.sample(prefix, seed=seed, max_tokens=tokens)
        return checked_step(await awaitable(asked, self._critic, "sample"), self._critic)

    def _made(self, prefix: Prefix, text: str) -> Prefix:
        """What the critic is made to say."""
        return prefix.extend(self._critic.reread(prefix, text)) if text else prefix

    def _text(self, root: Prefix, prefix: Prefix) -> str:
        return "".join(step.text for step in prefix.steps[len(root.steps) :])

    def _reward(self, prefix: Prefix) -> float | None:
        text = "".join(step.text for step in prefix.steps)
        found = self.form.find(text)
        if found is None:
            return None
        yes, first, last = found
        if not self.form.probability:
            return float(yes)
        share = self._share(prefix, first, last)
        return share if yes else 1.0 - share

    def _share(self, prefix: Prefix, first: int, last: int) -> float:
        """The probability of the tokens that make the characters `first` to `last`."""
        begin, logprob = 0, 0.0
        for step in prefix.steps:
            end = begin + len(step.text)
            if begin < last and first < end and step.certainty is not None:
                logprobs = step.certainty.of_tokens("logprob")
                if len(logprobs) != len(step.token_ids):
                    raise EngineError(
                        f"the generative PRM's engine gave {len(logprobs)} log-probabilities for "
                        f"{len(step.token_ids)} tokens: it needs probability=false"
                    )
                counts = range(len(step.token_ids) + 1)
                cut = partial(self._letters, step)
                # Halving, since a critique may have a thousand tokens, and each cut is a decoding.
                low = max(0, bisect_right(counts, first - begin, key=cut) - 1)
                high = bisect_left(counts, last - begin, key=cut)
                logprob += float(logprobs[low:high].sum())
            elif begin < last and first < end and step.token_ids:
                raise EngineError(
                    "the generative PRM reads the probability of its verdict, and its engine gives "
                    "no log-probabilities: load it with top_logprobs=1, or probability=false"
                )
            begin = end
        return math.exp(min(0.0, logprob))

    def _letters(self, step: Step, count: int) -> int:
        """Of the text of a step's first tokens."""
        return len(self._critic.prompt.decode(step.token_ids[:count]))

    def _key(self, prefix: Prefix, steps: list[str]) -> bytes:
        said = [[turn.role, turn.content] for turn in prefix.before]
        text = json.dumps([said, prefix.problem, steps])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def load_generative(path: str, options: dict[str, Any], policy: object = None) -> GenerativePRM:
    """The generative PRM `generative:NAME`, where `NAME` is a policy's name, or `policy` for the
    search's own.

    Options are those of the form, of `GenerativePRM`, and of the policy.

    # Errors
    Those of the policy; `InputError` where `policy` is meant and not given, or given options.
    """
    if writes_whole_answers(policy if path == "policy" else path):
        raise InputError(
            f"the critic of generative:{redacted(path)} must be a policy that continues texts: a "
            "chat server cannot be made to go on to a verdict; openai:MODEL@URL asks "
            "/v1/completions"
        )
    of_form = {name: options.pop(name) for name in _OF_FORM if name in options}
    form = form_of(options.pop("form", "instruct"), of_form)
    own = ("critiques", "critique_tokens", "unsure", "cache")
    mine = {name: options.pop(name) for name in own if name in options}
    if path == "policy":
        if options:
            raise InputError(
                f"generative:policy writes as the policy does, it has no option {min(options)!r}"
            )
        if not isinstance(policy, Policy):
            raise InputError("the PRM 'generative:policy' needs the search's policy beside it")
        return GenerativePRM(policy, form, **mine, owns=False)
    several = mine.get("critiques", 1) != 1
    if "max_tokens" in options:  # of the solutions, for an engine that has to know its context
        options["max_tokens"] += mine.get("critique_tokens", _CRITIQUE_TOKENS) + _VERDICT_ROOM
    critic = load_policy(
        one_server("prm", path),
        **{
            "delimiter": form.end,
            "answer_markers": (),
            "thinking": False,
            "top_logprobs": int(form.probability),
            "temperature": _TEMPERATURE if several else 0.0,
            **options,
        },
    )
    return GenerativePRM(critic, form, **mine)
