"""What every policy backend shares: from a problem to prompt ids, and where a step ends."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ets.answer.thoughts import PAIRS
from ets.checkpoint.chat import Message, cuts_thoughts, render_chat
from ets.checkpoint.content_encoder import Encoder, content_encoder
from ets.checkpoint.pieces import Content, Piece, text_of
from ets.checkpoint.source import Source
from ets.checkpoint.tokenizer import end_ids, load_config, load_tokenizer
from ets.checks import check_text, integer
from ets.dialogue import Dialogue, Posed, Turn, parted
from ets.errors import EngineError, InputError
from ets.fork_lock import ForkLock
from ets.policy.answer_end import ANSWER_MARKERS, BOX_MARKERS
from ets.policy.base import PolicyOptions
from ets.policy.step_rule import StepRule
from ets.policy.stops import EngineStops
from ets.policy.thinking import Thinking, Thoughts
from ets.step import Finish, Prefix, Step

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_NO_LIMIT = 1 << 30


class PolicyPrompt:
    """The policy's side of the text: prompt, tokenizer, and where a step ends.

    A step ends after the token that completes the delimiter, a stop text or the token limit, and
    before an end-of-sequence id. The delimiter and a stop text stay in the step: its ids are those
    that were sampled and its text is their decoding, so what a token holds beyond the delimiter
    stays too. A delimiter at the very start makes an empty step; that is a step like others.
    `PolicyOptions.step` puts another rule in the delimiter's place.

    Safe to use from several threads.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        options: PolicyOptions,
        *,
        end_ids: frozenset[int],
        max_length: int,
        name: str = "policy",
    ) -> None:
        self.tokenizer = tokenizer
        self.options = options
        self.end_ids = end_ids
        """Ids that end the sequence; never part of a step."""
        self.max_length = max_length
        """Tokens of prompt and solution together that the model can read."""
        self.rule = StepRule.read(options.step)
        """What ends a step."""
        self.stop_texts: tuple[str, ...] = (options.delimiter, *options.stop)
        """The texts that end a step, the first where the rule says so; they stay in it."""
        default = options.answer_markers == ANSWER_MARKERS
        self.answer_markers = (
            BOX_MARKERS if default and self._has_template() else options.answer_markers
        )
        """What ends a solution beside the end of the sequence (`ets.policy.answer_end`)."""
        self._name = name
        self._lock = ForkLock()  # fast tokenizers are not safe against each other's settings
        self._last_chars = frozenset(text[-1] for text in self.stop_texts if text) | {"\ufffd"}
        self._may_stop: dict[int, bool] = {}
        if not all(options.stop):
            raise InputError(f"stop must not hold an empty text, got {options.stop!r}")

    @classmethod
    def load(
        cls,
        checkpoint: str | Source,
        options: PolicyOptions | None = None,
        *,
        max_length: int | None = None,
    ) -> PolicyPrompt:
        """Read tokenizer, end-of-sequence ids and context length of a checkpoint.

        `max_length` can only lower the context length that the checkpoint states.
        """
        source = Source.of(checkpoint)
        config = load_config(source)
        text = config.get_text_config()
        limit = getattr(text, "max_position_embeddings", None) or _NO_LIMIT
        tokenizer = load_tokenizer(source)
        return cls(
            tokenizer,
            options or PolicyOptions(),
            end_ids=end_ids(source, tokenizer, text),
            max_length=min(limit, max_length or limit),
            name=source.name,
        )

    def start(self, problem: str) -> Prefix:
        """The empty solution of a problem.

        # Errors
        `InputError` if the problem is empty, or leaves the model no room for a single token.
        """
        check_text("problem", problem)
        if not problem.strip():
            raise InputError("problem must not be empty")
        return self._root(problem)

    def start_dialogue(self, dialogue: Dialogue) -> Prefix:
        """The empty solution of a problem that ends a dialogue.

        All messages go into the chat template as they are, but for the thoughts of earlier replies
        where the template leaves those out. The problem is put into
        `user_template`, as one alone is; a system message takes the place of `system_prompt`.
        Where the template refuses or leaves out a system message, that becomes the beginning of
        the user's first message, with a blank line behind it.

        # Errors
        As those of `start`; `InputError` for messages that the template refuses or leaves out, and
        for any but a system message where there is no template.
        """
        if any(turn.role != "system" for turn in dialogue.before) and not self._has_template():
            raise InputError(
                f"messages before the problem need a chat template, and {self._name!r} has none: "
                "give it chat_template, or a system message and the problem only"
            )
        try:
            return self._root(dialogue)
        except EngineError as error:  # which follows from the messages
            raise InputError(str(error)) from error

    def _root(self, posed: Posed) -> Prefix:
        ids = self._encode(posed)
        if len(ids) >= self.max_length:
            raise InputError(
                f"problem of {len(ids)} tokens with its prompt leaves no room for a step: "
                f"{self._name!r} reads at most {self.max_length} tokens"
            )
        before, problem = parted(posed)
        return Prefix(problem=problem, prompt_tokens=len(ids), token_ids=tuple(ids), before=before)

    def text(self, posed: Posed) -> str:
        """The prompt as text.

        Without a chat template (neither the tokenizer's nor the options') it is the system prompt,
        if there is one, a blank line, the user message and `answer_start`, as plain text.

        # Errors
        `EngineError` of one line if the chat template refuses the messages, or leaves out what is
        to be continued.
        """
        return text_of(self._pieces(posed))

    def room(self, prefix: Prefix, max_tokens: int) -> int:
        """How many tokens the next step may have: `max_tokens`, those of the rule, or what the
        context leaves."""
        most = self._most(integer("max_tokens", max_tokens, 1))
        return max(0, min(most, self.max_length - len(prefix.token_ids)))

    def full_finish(self, prefix: Prefix, max_tokens: int) -> Finish:
        """What a step is that has as many tokens as `room` says."""
        if self.max_length - len(prefix.token_ids) <= self._most(max_tokens):
            return "context"
        return "length" if self.rule.tokens is None or self.rule.tokens > max_tokens else "step"

    def _most(self, max_tokens: int) -> int:
        return max_tokens if self.rule.tokens is None else min(max_tokens, self.rule.tokens)

    def find_stop(self, text: str, thinking: int) -> tuple[int, int] | None:
        """Where a step of this text ends, behind the first of `stop_texts`, and which that is.

        The first `thinking` characters are thought: of what ends a step there, only the delimiter
        counts, and that only where steps are `paragraphs` there. Behind them the delimiter counts
        where it is the rule.
        """
        first = 0 if self._thinks_in_paragraphs else thinking
        last = len(text) if self.rule.kind == "delimiter" else thinking
        found = [
            (at, i)
            for i, stop in enumerate(self.stop_texts)
            if (at := text.find(stop, thinking) if i else text.find(stop, first, last)) >= 0
        ]
        if not found:
            return None
        at, i = min(found)
        return at + len(self.stop_texts[i]), i

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a step's ids, special tokens left out, but for the tags of thoughts."""
        kept = self._kept_ids
        if kept.isdisjoint(ids):
            return self._decode(ids)
        parts: list[list[int]] = [[]]
        for token in ids:
            if token in kept:
                parts += [[token], []]
            else:
                parts[-1].append(token)
        return "".join(
            self.tokenizer.convert_ids_to_tokens(part[0]) if i % 2 else self._decode(part)
            for i, part in enumerate(parts)
        )

    def _decode(self, ids: Sequence[int]) -> str:
        with self._lock:
            text = self.tokenizer.decode(
                list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        return str(text)

    def encode(self, text: str) -> tuple[int, ...]:
        """The ids of a step's text, for backends whose engine gives no ids; none is control."""
        return self._encoder.encode([Content(text)]).ids

    def reread(self, prefix: Prefix, text: str) -> Step:
        """The step behind `prefix` that has this text, and did not end the solution."""
        thoughts = self.thoughts(prefix)
        thinking = 0 if thoughts is None else thoughts.length(text)
        return Step(text, self.encode(text), "step", thinking=thinking)

    def may_stop(self, token: int) -> bool:
        """Whether a token can complete the delimiter or a stop text: a cheap, safe screen."""
        known = self._may_stop.get(token)
        if known is None:
            # Twice, since decoders drop the space in front of a text's first token.
            known = not self._last_chars.isdisjoint(self.decode((token, token)))
            self._may_stop[token] = known
        return known

    @property
    def _thinks_in_paragraphs(self) -> bool:
        return self.options.thinking_step == "paragraphs" and self.rule.kind != "tokens"

    @cached_property
    def engine_stops(self) -> EngineStops:
        """What to tell an engine that stops by itself; found when first asked for."""
        if self.rule.kind != "delimiter":
            return EngineStops(tuple(sorted(self.end_ids)), self.options.stop)
        with self._lock:
            return EngineStops.of(self.tokenizer, self.options, self.end_ids)

    def stops(self, prefix: Prefix) -> EngineStops:
        """The same for the step behind `prefix`: thoughts end where their block does."""
        if self.thoughts(prefix) is None:
            return self.engine_stops
        return EngineStops(tuple(sorted(self.end_ids)), self.texts_that_stop(prefix))

    def texts_that_stop(self, prefix: Prefix) -> tuple[str, ...]:
        """The same for an engine that sees text only.

        By another rule than the delimiter's they end solutions only; among thoughts whoever reads
        them ends the step.
        """
        by_delimiter = self.rule.kind == "delimiter"
        if self.thinking is None or self.thoughts(prefix) is None:
            return self.stop_texts if by_delimiter else self.options.stop
        if not by_delimiter:
            return ()
        delimiter = self.options.delimiter
        return (delimiter,) if self._thinks_in_paragraphs else (self.thinking.close + delimiter,)

    @cached_property
    def thinking(self) -> Thinking | None:
        """How the policy thinks before it answers; None where it does not."""
        template = self.options.chat_template or self.tokenizer.chat_template
        return Thinking.find(
            self.tokenizer,
            self.options.thinking,
            template=str(template) if template else None,
            behind=self._behind_problem(),
        )

    def _behind_problem(self) -> str:
        pieces = self._pieces("1")
        last = max(i for i, piece in enumerate(pieces) if isinstance(piece, Content))
        return text_of(pieces[last + 1 :])

    @property
    def own_tokens(self) -> int:
        """Tokens of a prompt beside its problem: system message, examples, turns.

        # Errors
        `EngineError` as `text`.
        """
        return len(self._encode("1"))

    def thoughts(self, prefix: Prefix) -> Thoughts | None:
        """How much of the step behind `prefix` is thought; None where nothing can be."""
        return None if self.thinking is None else self.thinking.behind(prefix)

    @cached_property
    def control_texts(self) -> tuple[str, ...]:
        """What a server that is sent text would read as control tokens, the longest first."""
        ids = sorted(self._encoder.control_ids)
        texts = {str(self.tokenizer.convert_ids_to_tokens(token)) for token in ids}
        return tuple(sorted(texts, key=lambda text: (-len(text), text)))

    @property
    def keeps_special_tokens(self) -> bool:
        """Whether a step's text shows special tokens: the tags of thoughts, where they are some."""
        return bool(self._kept_ids)

    @cached_property
    def _kept_ids(self) -> frozenset[int]:
        return frozenset() if self.thinking is None else self.thinking.special_ids

    def _pieces(self, posed: Posed) -> list[Piece]:
        """The prompt, with messages as what they are: text in which nothing is control."""
        options = self.options
        before, problem = parted(posed)
        lead, *behind = options.user_template.split("{problem}")
        user: list[str | Content] = [lead]
        for text in behind:
            user += [Content(problem), text]
        given = bool(before) and before[0].role == "system"
        system = [] if given or options.system_prompt is None else [options.system_prompt]
        if not self._has_template():
            plain: list[Piece] = ["".join(f"{text}\n\n" for text in system)]
            for turn in before:
                plain += [Content(turn.content), "\n\n"]
            return [*plain, *user, options.answer_start]
        messages = [Message("system", [text]) for text in system]
        messages += [Message(turn.role, self._said(turn)) for turn in before]
        messages.append(Message("user", user))
        if options.continue_final_message:
            messages.append(Message("assistant", [options.answer_start]))
        pieces = render_chat(
            self.tokenizer,
            messages,
            name=self._name,
            chat_template=options.chat_template,
            continue_final=options.continue_final_message,
            fold_system=given,
            # Qwen3's template has this switch; others do not look at it.
            switches={}
            if options.thinking is None
            else {"enable_thinking": bool(options.thinking)},
        )
        return pieces if options.continue_final_message else [*pieces, options.answer_start]

    def _said(self, turn: Turn) -> list[str | Content]:
        if turn.role == "assistant":
            for close in self._cut_at:
                _, tag, answer = turn.content.rpartition(close)
                if tag:  # which the template sees, and takes out with what it strips there
                    return [tag, Content(answer)]
        return [Content(turn.content)]

    @cached_property
    def _cut_at(self) -> list[str]:
        """The tags behind which the template lets an earlier reply begin."""
        own = self.options.thinking
        return [
            tags[1]
            for tags in (*((own,) if isinstance(own, tuple) else ()), *PAIRS)
            if cuts_thoughts(
                self.tokenizer, tags, name=self._name, chat_template=self.options.chat_template
            )
        ]

    def _has_template(self) -> bool:
        return bool(self.options.chat_template or self.tokenizer.chat_template)

    def _encode(self, posed: Posed) -> list[int]:
        # A template writes the special tokens itself.
        encoded = self._encoder.encode(self._pieces(posed), special_tokens=not self._has_template())
        return list(encoded.ids)

    @cached_property
    def _encoder(self) -> Encoder:
        return content_encoder(self.tokenizer, name=self._name)
