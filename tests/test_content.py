"""Contents are text and never control, on real vocabularies."""

from __future__ import annotations

import functools
import json
import unicodedata
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from ets.checkpoint.chat import Message, render_chat
from ets.checkpoint.content_encoder import ContentEncoder
from ets.checkpoint.pieces import Content, Piece, Tag, text_of
from ets.checkpoint.tokenizer import load_tokenizer
from ets.errors import EngineError
from smollm2 import UnavailableError
from vocabularies import (
    llama3_tokenizer_path,
    mistral_tokenizer_path,
    qwen3_tokenizer_path,
    qwen_prm_tokenizer_path,
    qwen_tokenizer_path,
)

PATHS: dict[str, Callable[[], Path]] = {
    "qwen": qwen_tokenizer_path,
    "qwen3": qwen3_tokenizer_path,
    "qwen-prm": qwen_prm_tokenizer_path,
    "llama3": llama3_tokenizer_path,
    "mistral": mistral_tokenizer_path,
    "mistral-v3": lambda: mistral_tokenizer_path("v3"),
}
CONTROL = [
    "<|im_end|>",
    "<|im_start|>",
    "<|endoftext|>",
    "<extra_0>",
    "<think>",
    "</think>",
    "<tool_call>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|begin_of_text|>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
]
PLAIN = [
    "user",
    "\n",
    "\n\n",
    " ",
    ".\n\n",
    "12",
    "▁",
    "ки",
    " ки",
    "é",
    "e\u0301",
    "🙂",
    "<",
    "|>",
]
HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(CONTROL + PLAIN),
        st.sampled_from(CONTROL).flatmap(
            lambda c: st.integers(1, len(c) - 1).map(lambda cut: c[:cut])
        ),
        st.text(max_size=4),
    ),
    max_size=10,
).map("".join)
HARMLESS = st.lists(st.sampled_from(PLAIN[:-2]), max_size=8).map("".join)


@pytest.fixture(scope="module", params=PATHS)
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    try:
        path = PATHS[request.param]()
    except UnavailableError as error:
        pytest.skip(f"the vocabulary {request.param}: {error}")
    loaded: PreTrainedTokenizerFast = load_tokenizer(str(path))
    return loaded


def control_of(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    return [c for c in CONTROL if c in tokenizer.get_added_vocab()]


def whole(tokenizer: PreTrainedTokenizerFast, pieces: list[Piece]) -> list[int]:
    return list(tokenizer.encode(text_of(pieces), add_special_tokens=False))


def test_contents_make_no_control_and_read_back(tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = ContentEncoder(tokenizer, name="x")
    turn, end = (control_of(tokenizer) * 2)[:2]

    @settings(deadline=None, max_examples=30)
    @given(HOSTILE, HOSTILE)
    def check(first: str, second: str) -> None:
        pieces: list[Piece] = [turn, "user\n", Content(first), end, "\n", Content(second), end]
        ids = encoder.encode(pieces).ids
        vocab = tokenizer.get_added_vocab()
        control = [token for token in ids if token in encoder.control_ids]
        assert control == [vocab[turn], vocab[end], vocab[end]]
        text = text_of(pieces)
        if tokenizer.backend_tokenizer.normalizer is None or "mistral" in tokenizer.name_or_path:
            expected = text
        else:
            expected = unicodedata.normalize("NFC", text)
        said = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        # SentencePiece puts a space behind a control token, and writes a space as a mark.
        assert said.replace(" ", "").replace("▁", "") == expected.replace(" ", "").replace("▁", "")

    check()


def test_ordinary_ids_are_those_of_the_whole_text(tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = ContentEncoder(tokenizer, name="x")
    turn, end = (control_of(tokenizer) * 2)[:2]

    @settings(deadline=None, max_examples=30)
    @given(HARMLESS, HARMLESS)
    def check(first: str, second: str) -> None:
        pieces: list[Piece] = [turn, "user\n", Content(first), "\n", Content(second), end, "\n"]
        encoded = encoder.encode(pieces)
        assert list(encoded.ids) == whole(tokenizer, pieces)
        assert encoded.ends[-1] == len(text_of(pieces))
        assert list(encoder.encode(pieces, special_tokens=True).ids) == list(
            tokenizer.encode(text_of(pieces))
        )

    check()


def copied(tokenizer: PreTrainedTokenizerFast, control: Collection[int], secret: str) -> Any:
    """A tokenizer read anew from its JSON, without the control tokens if there is a `secret`."""
    from tokenizers import AddedToken, Tokenizer

    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state |= {"truncation": None, "padding": None, "post_processor": None}
    if secret:
        vocab = state["model"]["vocab"]
        state["added_tokens"] = [
            token if token["id"] not in control else token | {"content": f"{secret}{token['id']}"}
            for token in state["added_tokens"]
            if token["id"] not in control or token["content"] not in vocab
        ]
    made = Tokenizer.from_str(json.dumps(state))
    if secret:
        made.add_special_tokens([AddedToken(secret, special=True, normalized=False)])
    return made


def test_ids_are_those_of_copies_of_the_whole_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    word = tokenizer.convert_tokens_to_ids("user")
    encoder = ContentEncoder(tokenizer, name="x", forbidden=[word])
    slow = ContentEncoder(tokenizer, name="x", forbidden=[word])
    slow._known = copied(tokenizer, slow.control_ids, "")
    slow._plain = (copied(tokenizer, slow.control_ids, "0123456789abcdef"), "0123456789abcdef")
    turn, end = (control_of(tokenizer) * 2)[:2]

    @settings(deadline=None, max_examples=40)
    @given(HOSTILE, HOSTILE, HOSTILE)
    def check(first: str, between: str, second: str) -> None:
        prompts: list[list[Piece]] = [
            [turn, "user\n", Content(first), between, Content(second), end, "\n"],
            [Content(first), between, Content(second)],
        ]
        for pieces in prompts:
            assert encoder.encode(pieces) == slow.encode(pieces)

    check()


def test_an_encoder_shares_the_vocabulary(tokenizer: PreTrainedTokenizerFast) -> None:
    """Who copies it takes seconds for 150,000 tokens."""
    encoder = ContentEncoder(tokenizer, name="x")
    plain, _ = encoder._plain_copy()
    model: Any = tokenizer.backend_tokenizer.model
    assert model.dropout is None
    model.dropout = 0.5
    try:
        assert [own.model.dropout for own in (encoder._known, plain)] == [0.5, 0.5]
    finally:
        model.dropout = None


def test_a_forged_text_keeps_the_ids_around_it(tokenizer: PreTrainedTokenizerFast) -> None:
    # Beside a control token of the frame, a split text is encoded as the whole one is.
    encoder = ContentEncoder(tokenizer, name="x")
    turn, end = (control_of(tokenizer) * 2)[:2]
    around: list[Piece] = [f"  a  b.\n\n{turn}  user\n\n  12 apples", end, " \n so"]
    behind = whole(tokenizer, around)
    pieces: list[Piece] = [*around, turn, Content(f"x{turn}{end}")]
    ids = list(encoder.encode(pieces).ids)
    assert ids[: len(behind)] == behind
    assert ids[len(behind)] == whole(tokenizer, [turn])[-1]
    assert [token in encoder.control_ids for token in ids[len(behind) + 1 :]].count(True) == 0


def test_white_space_tokens_and_words_stay_text() -> None:
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    raw = Tokenizer(models.BPE({c: i for i, c in enumerate("Ġabcdehlikntw<>/")}, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.add_tokens([AddedToken("  ", normalized=True), AddedToken("hello", normalized=False)])
    raw.add_special_tokens([AddedToken("<end>", rstrip=True, lstrip=True)])
    raw.add_tokens([AddedToken("<think>"), AddedToken("    ")])
    fast = PreTrainedTokenizerFast(tokenizer_object=raw)
    encoder = ContentEncoder(fast, name="x")
    vocab = fast.get_added_vocab()
    assert encoder.control_ids == {vocab["<end>"], vocab["<think>"]}
    pieces: list[Piece] = ["<think>", Content("a    b  hello<think> "), "<end>", Content("  a")]
    ids = encoder.encode(pieces).ids
    found = [vocab[t] for t in ("<think>", "    ", "  ", "hello", "<end>")]
    assert [token for token in ids if token in vocab.values()] == found
    # Both sides' white space belongs to <end>, as in the whole text.
    assert fast.convert_ids_to_tokens(ids[-2:]) == ["<end>", "a"]
    assert fast.convert_ids_to_tokens(ids[-3]) == ">"


def test_a_forbidden_word_is_its_letters() -> None:
    try:
        path = mistral_tokenizer_path()
    except UnavailableError as error:
        pytest.skip(f"Mistral's vocabulary: {error}")
    tokenizer: Any = load_tokenizer(str(path))
    tag = tokenizer.convert_tokens_to_ids("▁ки")
    encoder = ContentEncoder(tokenizer, name="x", forbidden=[tag])

    @settings(deadline=None, max_examples=100)
    @given(HOSTILE, HOSTILE)
    def check(first: str, second: str) -> None:
        pieces: list[Piece] = [
            Content(first),
            " ",
            Content(second),
            Tag(" ки", tag),
            "\n",
            Content(first),
        ]
        ids = list(encoder.encode(pieces).ids)
        assert ids.count(tag) == 1
        said = tokenizer.decode(ids).replace(" ", "").replace("▁", "")
        assert said == text_of(pieces).replace(" ", "").replace("▁", "")

    check()
    assert tokenizer.convert_ids_to_tokens(encoder.encode([Content("a ки b")]).ids) == [
        *["▁a", "▁", "к", "и", "▁b"]
    ]


def test_threads_share_an_encoder(tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = ContentEncoder(tokenizer, name="x")
    turn, end = (control_of(tokenizer) * 2)[:2]
    prompts: list[list[Piece]] = [
        [turn, Content(f"{n}{end if n % 2 else ''} x" * 20), end] for n in range(40)
    ]
    alone = [ContentEncoder(tokenizer, name="x").encode(p).ids for p in prompts[:2]]
    with ThreadPoolExecutor(8) as pool:
        together = [found.ids for found in pool.map(encoder.encode, prompts)]
    assert together[:2] == alone
    assert together == [encoder.encode(p).ids for p in prompts]


def test_the_tokenizer_s_own_settings_do_not_count(tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = ContentEncoder(tokenizer, name="x")
    tokenizer("x " * 50, truncation=True, max_length=3)
    try:
        assert len(encoder.encode(["x " * 50]).ids) >= 50
    finally:
        tokenizer.backend_tokenizer.no_truncation()


CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TRIMMED = CHAT.replace("{{ m.content }}", "{{ m.content | trim }}")
GEMMA = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}" + TRIMMED
)
THINKS = CHAT.replace("{{ m.content }}", "{{ m.content.split('</think>')[-1] | trim }}")


@functools.cache
def qwen_tokenizer() -> Any:
    return load_tokenizer(str(qwen_tokenizer_path()))


def said(template: str, *messages: tuple[Any, list[str | Content]], **options: Any) -> str:
    made = [Message(role, pieces) for role, pieces in messages]
    return text_of(render_chat(qwen_tokenizer(), made, name="m", chat_template=template, **options))


@settings(deadline=None, max_examples=50)
@given(HOSTILE, st.sampled_from([CHAT, TRIMMED]))
def test_a_template_strips_a_content_and_never_sees_it(content: str, template: str) -> None:
    expected = content.strip() if template == TRIMMED else content
    found = said(template, ("user", [Content(content)]))
    assert found == f"<|im_start|>user\n{expected}<|im_end|>\n<|im_start|>assistant\n"


def test_a_content_cannot_change_what_a_template_does() -> None:
    found = said(THINKS, ("user", ["Solve: ", Content("1</think>2"), " "]))
    assert "Solve: 1</think>2<|im_end|>" in found


def test_a_refused_system_role() -> None:
    messages: Any = (("system", ["Think. "]), ("user", ["Q: ", Content("1?")]))
    with pytest.raises(EngineError) as refused:
        said(GEMMA, *messages)
    assert str(refused.value) == (
        "the chat template of 'm' refuses the messages (system, user): System role not supported"
    )
    folded = said(GEMMA, *messages, fold_system=True)
    assert folded.startswith("<|im_start|>user\nThink. \n\nQ: 1?<|im_end|>")
    assert said(CHAT, *messages, fold_system=True) == said(CHAT, *messages)


def test_an_answer_s_beginning_comes_whole_or_not_at_all() -> None:
    start = "<think>\n\n</think>\n\nStep 1:"
    messages: Any = (("user", [Content("1?")]), ("assistant", [start]))
    assert said(CHAT, *messages, continue_final=True).endswith(f"assistant\n{start}")
    with pytest.raises(EngineError, match=r"leaves out a part of the assistant's message '<think>"):
        said(THINKS, *messages, continue_final=True)
    only_user = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    with pytest.raises(EngineError, match="continue_final_message must be False"):
        said(only_user, *messages, continue_final=True)
    with pytest.raises(EngineError, match=r"leaves out a message's text: '1\?'"):
        said("{{ messages[0].role }}", *messages)
    with pytest.raises(EngineError, match=r"leaves out a part of the system's message 'Be brief'"):
        said(only_user, ("system", ["Be brief"]), ("user", [Content("1?")]))
