"""What PRMs read is tokenised once, and long texts beside the event loop, with the same ids."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ets.checkpoint.content_encoder import ContentEncoder
from ets.prm.formats import PRMFormat, joined, load_format
from ets.prm.formats import kept_parts as kept_parts_module
from ets.prm.formats.kept_parts import KeptParts, Parts, Section
from ets.step import Prefix, Step
from prm_tokenizers import LLAMA_TEMPLATE, byte_level_kind, sentencepiece_kind

SPECIALS = ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>")
STEPS = [f"Tom has {k} apples and Ann buys 14 pears.\nSo 3 + 4 = 7." for k in range(48)]
HOSTILE = [
    *("ки", " ки", "ки\n", "\n", "\n\n", " ", "  ", "Step 2:", "3 + 4 = 7.", "+", "é", "▁", "🙂"),
    *("<|eot_id|>", "<|eot", "_id|>", "<", "<s>", "</s>", "<|start_header_id|>", "\t", "\r"),
]
text = st.lists(st.sampled_from(HOSTILE), max_size=4).map("".join)


def prefix(problem: str, steps: list[str]) -> Prefix:
    return Prefix(problem, 0, (), tuple(Step(step, (1,), "step") for step in steps))


def llama_kind(folder: Path, template: str = LLAMA_TEMPLATE) -> Any:
    return byte_level_kind(
        folder, specials=SPECIALS, bos=SPECIALS[0], eos=SPECIALS[1], template=template
    )


MAKERS: dict[str, Callable[[Path], Any]] = {
    "math-shepherd": sentencepiece_kind,
    "llemma": sentencepiece_kind,
    "rlhflow": llama_kind,
    "judge": llama_kind,
}


@pytest.fixture(scope="module", params=list(MAKERS))
def form(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PRMFormat:
    return made(request.param, tmp_path_factory.mktemp(request.param), MAKERS[request.param])


def made(kind: str, folder: Path, maker: Callable[[Path], Any]) -> PRMFormat:
    maker(folder)
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    shape = {"max_position_embeddings": 1 << 16}
    (folder / "config.json").write_text(json.dumps(config | shape))
    return load_format(str(folder), kind, {})


class Tokenised:
    """Counts the characters that are tokenised, and remembers in which threads."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.characters = 0
        self.threads: set[int] = set()
        encoding = ContentEncoder._encoding

        def counted(encoder: ContentEncoder, text: str) -> Any:
            self.characters += len(text)
            self.threads.add(threading.get_ident())
            return encoding(encoder, text)

        patch.setattr(ContentEncoder, "_encoding", counted)


def whole(form: PRMFormat, problem: str, steps: list[str]) -> Parts:
    """Tokenised as one text."""
    if form.name == "judge":
        return form._encode_section((0, problem, *steps)) or []
    return form._encode_whole(problem, steps)


@settings(deadline=None, max_examples=150)
@given(problem=text, steps=st.lists(text, min_size=1, max_size=5))
def test_the_ids_are_those_of_the_whole_text(
    form: PRMFormat, problem: str, steps: list[str]
) -> None:
    for n in range(1, len(steps) + 1):
        read = form.parts(prefix(problem, steps[:n]))
        said = [step for text in steps[:n] if (step := text.strip())]
        assert read == (whole(form, problem, said) if said else None)


@pytest.mark.parametrize("form", ["math-shepherd", "llemma", "rlhflow"], indirect=True)
def test_each_step_is_tokenised_once(form: PRMFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    form.parts(prefix("Who?", STEPS))  # what a format finds out of its template
    steps = [f"{step} It is." for step in STEPS]
    tokenised = Tokenised(monkeypatch)
    whole(form, "How many?", steps)
    once, tokenised.characters = tokenised.characters, 0
    for n in range(1, len(steps) + 1):
        form.parts(prefix("How many?", steps[:n]))
    assert tokenised.characters < 1.1 * once


def test_what_is_long_is_tokenised_beside_the_event_loop(
    form: PRMFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenised = Tokenised(monkeypatch)
    long = prefix("Why?", [f"{step} We see it." for step in STEPS])
    short = prefix("Why?", ["It is seen at once."])
    read = asyncio.run(form.read(long))
    assert tokenised.threads
    assert threading.get_ident() not in tokenised.threads
    assert read == form.parts(long)
    tokenised.threads.clear()
    assert asyncio.run(form.read(short)) == form.parts(short)
    assert tokenised.threads <= {threading.get_ident()}
    assert asyncio.run(form.read(prefix("Why?", [" "]))) is None


def test_a_vocabulary_with_line_breaks_is_not_cut(tmp_path: Path) -> None:
    """A full stop takes the line break behind it: the ids of the whole text, as before."""
    form = made("llemma", tmp_path, lambda folder: with_tag(folder))
    steps = ["It is 3.", "So it is 7.\n", "The answer is 7."]
    assert form._sections("How many?", steps, ()) == [(1, "How many?", *steps)]
    assert form.parts(prefix("How many?", steps)) == form._encode_whole(
        "How many?", [step.strip() for step in steps]
    )


def with_tag(folder: Path) -> None:
    """A byte-level tokenizer that has ки as a token."""
    tokenizer = llama_kind(folder)
    tokenizer.add_tokens([" ки"])
    tokenizer.save_pretrained(str(folder))


def test_a_template_that_counts_its_turns_is_not_cut(tmp_path: Path) -> None:
    count = "{{ m.content | trim }}{{ '!' * (loop.length // 4) }}"
    counting = LLAMA_TEMPLATE.replace("{{ m.content | trim }}", count)
    form = made("rlhflow", tmp_path, lambda folder: llama_kind(folder, counting))
    for steps in (STEPS[:1], STEPS[:2], STEPS[:3]):
        assert joined(form.parts(prefix("How many?", steps))) == joined(
            form._encode_whole("How many?", steps)
        )


def test_no_more_ids_are_kept_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[Section] = []

    def encode(section: Section) -> Parts | None:
        encoded.append(section)
        return None if section == ("bad",) else [tuple(range(100))]

    monkeypatch.setattr(kept_parts_module, "_MOST_IDS", 1000)
    kept = KeptParts(encode)
    for k in range(20):
        kept.of((f"{k}",))
    assert kept.missing([("19",), ("0",)]) == 1
    kept.of(("19",))
    assert len(encoded) == 20
    assert kept.of(("bad",)) is None
    assert kept.missing([("19",), ("bad",)]) == 5
