"""Loading a checkpoint's tokenizer so that it writes the ids the model was trained on."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ets.checkpoint.sentencepiece_model import SentencePieceModel
from ets.checkpoint.source import Source
from ets.errors import EngineError
from ets.extras import needs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_GENERIC = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""Class names that say: tokenizer.json is the whole truth."""

_FILES = ("tokenizer_config.json", "tokenizer.json", "tokenizer.model")
_PROBES = (
    "Tom has 12 apples and buys 305 more. How many apples does Tom have?",
    "Step 1: 3 + 4 = 7.\n\nThe answer is \\boxed{7}.\n",
    "Zoë zahlt 5 €; 東京 🙂  two  spaces",
)


_SPACES = (
    "a  b",
    "  two",
    "3.  One\n   - indented   x ",
    "x\ny\n\nz",
    "\tTab",
    "▁x▁▁y",
    "Step 1: go ки\nStep 2: do ки",
)
"""Where tokenizers made of a SentencePiece model go wrong."""


def load_tokenizer(checkpoint: str | Source) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a checkpoint (a folder, a hub name, a `Source`) and prove it right.

    `AutoTokenizer` picks a class by the model's type: beside `model_type: qwen2` it replaces a
    word-level tokenizer by Qwen's byte-level one, whose ids are wrong and still decode well.
    So `tokenizer.json` wins here: where it exists, the loaded tokenizer must encode like it. Where
    there is a `tokenizer.model` instead, it must encode like the sentencepiece library, or is
    repaired so that it does.

    # Errors
    `EngineError` if there is none, if it has code of its own that is not trusted, or if none of the
    classes encodes as the file does.
    """
    with needs("transformers", "torch"):
        from transformers import AutoTokenizer, PreTrainedTokenizerFast
    loaders: list[Any] = [AutoTokenizer, PreTrainedTokenizerFast]
    source = Source.of(checkpoint).of_tokenizer
    if _declared_class(source) in _GENERIC:
        loaders.reverse()
    reference = _reference(source)
    failures: list[str] = []
    for loader in loaders:
        try:
            tokenizer: PreTrainedTokenizerBase = loader.from_pretrained(
                source.path,
                trust_remote_code=source.trust_remote_code,
                **source.where(*_FILES),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
            if _wants_trust(error):
                raise _untrusted("tokenizer", source) from error
            failures.append(f"{loader.__name__}: {error}")
            continue
        if reference is None:
            return _proven(source, tokenizer)
        wrong = _first_difference(tokenizer, reference)
        if wrong is None:
            return tokenizer
        failures.append(f"{type(tokenizer).__name__} encodes {wrong!r} unlike tokenizer.json")
    raise EngineError(
        f"no usable tokenizer in {source.name!r}: "
        + "; ".join(" ".join(f.split()) for f in failures)
    )


def end_ids(
    checkpoint: str | Source, tokenizer: PreTrainedTokenizerBase, config: Any
) -> frozenset[int]:
    """The ids that end a sequence: those of the generation config, the model and the tokenizer."""
    from transformers import GenerationConfig

    source = Source.of(checkpoint)
    found: set[int] = set()
    stated = [getattr(config, "eos_token_id", None), tokenizer.eos_token_id]
    with contextlib.suppress(OSError):  # a checkpoint need not have one
        where = source.where("generation_config.json")
        stated.append(GenerationConfig.from_pretrained(source.path, **where).eos_token_id)
    for ids in stated:
        found.update([ids] if isinstance(ids, int) else ids or [])
    return frozenset(found)


def load_config(checkpoint: str | Source) -> Any:
    """A checkpoint's config, or an `EngineError` of one line."""
    with needs("transformers", "torch"):
        from transformers import AutoConfig
    source = Source.of(checkpoint)
    if source.name.startswith((".", "/", "~")) and not Path(source.path).is_dir():
        raise EngineError(f"there is no checkpoint folder {source.name!r}")
    try:
        return AutoConfig.from_pretrained(
            source.path, trust_remote_code=source.trust_remote_code, **source.where("config.json")
        )
    except (  # code of the checkpoint's own may fail in any of these
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ImportError,
        SyntaxError,
    ) as error:
        if _wants_trust(error):
            raise _untrusted("config", source) from error
        version = "" if source.revision is None else f" at revision {source.revision!r}"
        reason = str(error).strip().splitlines()[0]
        raise EngineError(
            f"no model configuration in {source.name!r}{version}: {reason}"
        ) from error


def _wants_trust(error: Exception) -> bool:
    return "trust_remote_code" in str(error)


def _untrusted(what: str, source: Source) -> EngineError:
    return EngineError(
        f"the {what} of {source.name!r} needs code that comes with the checkpoint: read it, and "
        "give trust_remote_code=true if you trust it"
    )


def _declared_class(source: Source) -> str | None:
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    try:
        declared = get_tokenizer_config(source.path, **source.where(*_FILES)).get("tokenizer_class")
    except (OSError, ValueError):
        return None
    return declared if isinstance(declared, str) else None


def _file(source: Source, file: str) -> str | None:
    try:
        return source.file(file)
    except EngineError:
        return None


def _proven(source: Source, tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint without tokenizer.json, as its SentencePiece model has it."""
    path = _file(source, "tokenizer.model")
    if path is None or not tokenizer.is_fast:  # a slow one asks the model itself
        return tokenizer
    model = SentencePieceModel(Path(path))
    added = tokenizer.get_added_vocab().values()  # cut out of the text before the model sees it
    probes = (*_PROBES, *_SPACES, model.words(256, without=added))
    if _differs(tokenizer, model, probes) is not None:
        model.repair(tokenizer)
        if (probe := _differs(tokenizer, model, probes)) is not None:
            ids = tokenizer.encode(probe, add_special_tokens=False)
            raise EngineError(
                f"{type(tokenizer).__name__} encodes {probe[:60]!r} unlike tokenizer.model in "
                f"{source.name!r}: as {tokenizer.convert_ids_to_tokens(ids)[:12]}, not "
                f"{model.pieces(probe)[:12]}; a tokenizer.json beside it would settle it"
            )
    return tokenizer


def _differs(
    tokenizer: PreTrainedTokenizerBase, model: SentencePieceModel, probes: Sequence[str]
) -> str | None:
    for probe in probes:
        if list(tokenizer.encode(probe, add_special_tokens=False)) != model.encode(probe):
            return probe
    return None


def _reference(source: Source) -> Any | None:
    """`tokenizer.json` as the tokenizers library reads it by itself; None if there is none."""
    from tokenizers import Tokenizer

    path = _file(source, "tokenizer.json")
    if path is None:
        return None
    reference = Tokenizer.from_file(path)
    reference.no_truncation()
    reference.no_padding()
    return reference


def _first_difference(tokenizer: PreTrainedTokenizerBase, reference: Any) -> str | None:
    """The first probe that the two encode differently."""
    size = reference.get_vocab_size()
    ids = range(0, size, max(1, size // 64))
    words = reference.decode(list(ids), skip_special_tokens=True)  # text of its own vocabulary
    for probe in (*_PROBES, words):
        theirs = reference.encode(probe, add_special_tokens=False).ids
        if list(tokenizer.encode(probe, add_special_tokens=False)) != theirs:
            return probe[:60]
    return None
