"""What both backends share for PRMs of the Qwen2.5-Math-PRM form: from a prefix to token ids."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from ets.errors import EngineError
from ets.step import Prefix
from ets.tokenizer import load_config, load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STEP_TAG = "<extra_0>"
SYSTEM_PROMPT = "Please reason step by step, and put your final answer within \\boxed{}."
ARCHITECTURES = ("Qwen2ForProcessRewardModel",)
"""The checkpoints that are read in this form."""

_CACHED_TEXTS = 1 << 14
_NO_LIMIT = 1 << 30


class QwenPRMPrompt:
    """Chat prompt, then each step's stripped text and the tag at which the model speaks of it.

    Prompt and steps are encoded apart, each once; the tag is a token of its own, so this gives the
    ids of the whole text, and a longer solution's ids extend a shorter one's.
    Steps without text are left out: such a step scores as the solution before it.

    Safe to use from several threads.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
        system_prompt: str | None = SYSTEM_PROMPT,
        name: str = "PRM",
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self._name = name
        self._system_prompt = system_prompt
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[bool, str], tuple[int, ...]] = OrderedDict()
        tag = tokenizer.encode(STEP_TAG, add_special_tokens=False)
        if len(tag) != 1:
            raise EngineError(
                f"{name!r} is no PRM of this form: its tokenizer has no token {STEP_TAG}"
            )
        if not tokenizer.chat_template:
            raise EngineError(f"the tokenizer of {name!r} has no chat template")
        self.tag_id: int = tag[0]
        """Id of the step tag, from the PRM's own tokenizer."""

    @classmethod
    def load(
        cls,
        name: str,
        *,
        max_length: int | None = None,
        system_prompt: str | None = SYSTEM_PROMPT,
    ) -> QwenPRMPrompt:
        """Read tokenizer and context length of a checkpoint, and check that it is of this form.

        # Errors
        `EngineError` for an architecture that is not known, naming those that are.
        """
        config = load_config(name)
        found = tuple(config.architectures or ())
        if not set(found) & set(ARCHITECTURES):
            raise EngineError(
                f"{name!r} is no PRM of a known form: architectures "
                f"{list(found)}, known are {list(ARCHITECTURES)}"
            )
        limit = getattr(config, "max_position_embeddings", None) or _NO_LIMIT
        return cls(
            load_tokenizer(name),
            max_length=min(limit, max_length or limit),
            system_prompt=system_prompt,
            name=name,
        )

    def ids(self, prefix: Prefix) -> tuple[int, ...] | None:
        """What the PRM reads; its verdict on the last step stands at the last id, the tag.

        None if no step holds any text: there is nothing to judge, the reward is 0.

        # Errors
        `EngineError` if the solution is longer than the model's context.
        """
        parts = self.parts(prefix)
        return None if parts is None else tuple(token for part in parts for token in part)

    def parts(self, prefix: Prefix) -> list[tuple[int, ...]] | None:
        """The same, in parts: the prompt, then each step that holds text, with its tag."""
        steps = [text for step in prefix.steps if (text := step.text.strip())]
        if not steps:
            return None
        parts = [self.prompt_ids(prefix.problem), *(self.step_ids(text) for text in steps)]
        length = sum(map(len, parts))
        if length > self.max_length:
            raise EngineError(
                f"a solution of {length} tokens is too long for {self._name!r}, "
                f"which reads at most {self.max_length} tokens"
            )
        return parts

    def prompt_ids(self, problem: str) -> tuple[int, ...]:
        """The ids up to the first step."""
        return self._cached(True, problem)

    def step_ids(self, text: str) -> tuple[int, ...]:
        """The ids of one step's stripped text and its tag."""
        return self._cached(False, text)

    def _cached(self, is_problem: bool, text: str) -> tuple[int, ...]:
        key = (is_problem, text)
        with self._lock:
            ids = self._cache.get(key)
            if ids is None:
                ids = self._encode_prompt(text) if is_problem else self._encode_step(text)
                self._cache[key] = ids
                if len(self._cache) > _CACHED_TEXTS:
                    self._cache.popitem(last=False)
            else:
                self._cache.move_to_end(key)
            return ids

    def _encode_prompt(self, problem: str) -> tuple[int, ...]:
        messages = [{"role": "user", "content": problem}]
        if self._system_prompt is not None:
            messages.insert(0, {"role": "system", "content": self._system_prompt})
        text = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
        return tuple(self.tokenizer.encode(str(text), add_special_tokens=False))

    def _encode_step(self, text: str) -> tuple[int, ...]:
        return (*self.tokenizer.encode(text.strip(), add_special_tokens=False), self.tag_id)
