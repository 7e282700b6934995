"""What a policy on a chat server asks for, the same for all samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ets.checks import (
    check_choice,
    check_flag,
    check_int,
    check_number,
    check_text,
    iterated,
    shown,
)
from ets.dialogue import Posed, mapped, parted
from ets.engines.server.model_card import Kind
from ets.errors import InputError

TokenLimit = Literal["max_tokens", "max_completion_tokens"]
Tools: TypeAlias = str | Sequence[Mapping[str, Any]]
ResponseFormat: TypeAlias = str | Mapping[str, Any]

_OURS = (
    *("model", "messages", "n", "stream", "stream_options", "seed", "max_tokens", "temperature"),
    *("max_completion_tokens", "top_p", "stop", "logprobs", "top_logprobs", "tools"),
    *("tool_choice", "parallel_tool_calls", "response_format"),
)
"""Fields of a request that have options, or meanings, of their own."""
_CHOICES = ("auto", "none", "required")
_FORMATS = ("text", "json_object")
_ALL_TOKENS: dict[Kind, dict[str, Any]] = {
    # What a request leaves open these take from the checkpoint's generation config, or from their
    # own command line. Servers that are not known may refuse what they do not know.
    "vllm": {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0},
    "sglang": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
    "llama.cpp": {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0},
}
_LLAMA_SEEDS = (1 << 32) - 1
"""llama.cpp takes seeds below this; this one stands for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """How a chat server is asked.

    # Errors
    `InputError` for a value of another type or out of range, and for a file that is no JSON.
    """

    temperature: float | None = 1.0
    """None: it is not sent, for models that refuse any; the server's default holds."""
    top_p: float | None = 1.0
    """The same."""
    top_logprobs: int = 0
    """Of how many of the likeliest tokens the log-probabilities are asked for at each token, for
    `Step.certainty`; 0: none. A PRM `policy` asks for 20 unless this says otherwise."""
    vocabulary: int = 131_072
    """Tokens of the model's vocabulary, over which entropy and self-certainty spread what is left
    of the likeliest. A server does not tell it; from 10^4 on it hardly matters."""
    seed_bits: int = 63
    """Bits of the seeds that are sent; 31 for servers that take small ones only, 0 for those that
    refuse a seed: none is sent then, and the same search may find something else."""
    token_limit: TokenLimit | None = None
    """The name under which the limit of an answer's tokens is sent; None: `max_tokens`, and the
    other one from when the server asks for that."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer; servers leave them out. One text stands for a list of one."""
    delimiter: str = "\n\n"
    """The text behind which an answer is parted into the steps that a PRM reads."""
    system_prompt: str | None = None
    user_template: str = "{problem}"
    """The user message; `{problem}` stands for the problem."""
    tools: Tools | None = None
    """As the API takes them, or a JSON file with them."""
    tool_choice: str | Mapping[str, Any] | None = None
    """`auto`, `none`, `required` or the object that names a tool."""
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    """As the API takes it, the same in a JSON file, or `json_object`."""
    extra_body: Mapping[str, Any] | None = None
    """Further fields of the request, such as `top_k` or `reasoning_effort`."""

    def __post_init__(self) -> None:
        for name in ("temperature", "top_p"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), ">= 0, or None", lambda value: value >= 0)
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"top_p must lie in (0, 1], got {self.top_p}")
        check_int("top_logprobs", self.top_logprobs, 0, 1 << 20)
        check_int("vocabulary", self.vocabulary, 2, 1 << 30)
        check_int("seed_bits", self.seed_bits, 0, 63)
        if self.token_limit is not None:
            check_choice("token_limit", self.token_limit, TokenLimit)
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(iterated("stop", self.stop))
        for text in stop:
            check_text("stop", text)
        self._become("stop", stop)
        for name in ("delimiter", "user_template"):
            check_text(name, getattr(self, name))
        if not self.delimiter:
            raise InputError("delimiter must not be empty, got ''")
        if "{problem}" not in self.user_template:
            raise InputError(
                f"user_template must hold '{{problem}}', got {shown(self.user_template)}"
            )
        if self.system_prompt is not None:
            check_text("system_prompt", self.system_prompt, ", or None")
        self._check_structure()

    def messages(self, posed: Posed) -> list[dict[str, str]]:
        """What a problem, or a dialogue that ends in one, is sent as.

        A system message of a dialogue takes the place of `system_prompt`.
        """
        before, problem = parted(mapped(posed, _encodable))
        sent = [{"role": turn.role, "content": turn.content} for turn in before]
        if self.system_prompt is not None and not any(turn.role == "system" for turn in before):
            sent.insert(0, {"role": "system", "content": self.system_prompt})
        user = self.user_template.replace("{problem}", problem)
        return [*sent, {"role": "user", "content": user}]

    def request(self, kind: Kind) -> dict[str, Any]:
        """The fields of a request that are the same for all samples, for a server of a kind."""
        logprobs = {"logprobs": True, "top_logprobs": self.top_logprobs}
        fields = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "stop": list(self.stop) or None,
            "tools": self.tools,
            "tool_choice": self.tool_choice,
            "parallel_tool_calls": self.parallel_tool_calls,
            "response_format": self.response_format,
            **(logprobs if self.top_logprobs else {}),
            **_ALL_TOKENS.get(kind, {}),
        }
        said = {name: value for name, value in fields.items() if value is not None}
        return {**said, **(self.extra_body or {})}

    def seed(self, seed: int, kind: Kind) -> dict[str, int]:
        """The field with a sample's seed, as far as the server takes one."""
        if not self.seed_bits:
            return {}
        below = 1 << self.seed_bits
        return {"seed": seed % (min(below, _LLAMA_SEEDS) if kind == "llama.cpp" else below)}

    def _check_structure(self) -> None:
        tools, form = self.tools, self.response_format
        if tools is not None:
            tools = _from_file("tools", tools) if isinstance(tools, str) else tools
            right = isinstance(tools, list | tuple) and all(isinstance(t, Mapping) for t in tools)
            if not right or not tools:
                raise InputError(
                    f"tools must be a list of the API's tool objects, or a JSON file with one, got "
                    f"{shown(tools)}"
                )
            self._become("tools", _plain("tools", list(tools)))
        choice = self.tool_choice
        if choice is not None and not (choice in _CHOICES or isinstance(choice, Mapping)):
            raise InputError(
                f"tool_choice must be one of {list(_CHOICES)} or the object that names a tool, got "
                f"{shown(choice)}"
            )
        if self.parallel_tool_calls is not None:
            check_flag("parallel_tool_calls", self.parallel_tool_calls)
        for name in ("tool_choice", "parallel_tool_calls"):
            if getattr(self, name) is not None and tools is None:
                raise InputError(f"{name} needs tools, got none")
        if form is not None:
            if isinstance(form, str):
                form = {"type": form} if form in _FORMATS else _from_file("response_format", form)
            if not isinstance(form, Mapping) or not isinstance(form.get("type"), str):
                raise InputError(
                    "response_format must be the API's object with a type, a JSON file with one, "
                    f"or 'json_object', got {shown(form)}"
                )
            self._become("response_format", _plain("response_format", form))
        if choice is not None:
            self._become("tool_choice", _plain("tool_choice", choice))
        self._check_extra_body()

    def _check_extra_body(self) -> None:
        extra = self.extra_body
        if extra is None:
            return
        if not isinstance(extra, Mapping) or not all(isinstance(name, str) for name in extra):
            raise InputError(
                f"extra_body must be a table of a request's fields, got {shown(extra)}"
            )
        if taken := [name for name in extra if name in _OURS]:
            raise InputError(
                f"extra_body must not hold {taken[0]!r}, which the policy sets; the fields that it "
                f"sets are {', '.join(_OURS)}"
            )
        self._become("extra_body", _plain("extra_body", extra))

    def _become(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _encodable(text: str) -> str:
    """A text that UTF-8 can hold: half a character becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _from_file(name: str, path: str) -> Any:
    try:
        return json.loads(Path(path).expanduser().read_text("utf-8"))
    except OSError as error:
        raise InputError(
            f"{name} must be given as objects or as a JSON file that can be read, got {path!r}: "
            f"{error.strerror or error}"
        ) from error
    except (ValueError, RecursionError) as error:  # of bytes that are no UTF-8 too
        raise InputError(f"{name}: the file {path!r} is no JSON ({error})") from error


def _plain(name: str, value: Any) -> Any:
    """A copy in JSON's own types.

    # Errors
    `InputError` for what JSON cannot hold.
    """
    try:
        return json.loads(json.dumps(_listed(value), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{name} must hold what JSON can ({error})") from error


def _listed(value: Any) -> Any:
    """With dicts for all mappings."""
    if isinstance(value, Mapping):
        return {key: _listed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_listed(item) for item in value]
    return value
