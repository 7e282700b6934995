"""A PRM of any known format that runs in this process on `transformers`."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from ets.batcher import Batch, Batcher, Ticket
from ets.checks import check_flag, checked_count, path_text
from ets.device_start import one_start
from ets.errors import EngineError, InputError
from ets.extras import needs
from ets.kv_space import KVSpace, cache_space
from ets.loading import (
    check_loaded,
    keyword_names,
    loading,
    need_torch,
    one_line,
    pick_device,
    pick_dtype,
    positive,
)
from ets.pickled import Unpicklable
from ets.prm.formats import PRMFormat, format_options, load_format
from ets.source import Source
from ets.step import Prefix, Score

if TYPE_CHECKING:
    import torch

    from ets.slots import Tokens


class TransformersPRM(Unpicklable):
    """Scores steps with a checkpoint of a known format: a backbone, and a head read at one token.

    Only the tokens that its recent calls have not seen are computed.

    Parameters
    ----------
    path
        A checkpoint folder or a hub name.
    device, dtype
        By default a GPU in bfloat16 where there is one, else the CPU in float32.
    max_batch, prefill_tokens
        Solutions, and tokens with padding, in one pass.
    cache_tokens
        Tokens of recent solutions whose keys and values are kept between calls; 0 for none.
    max_length
        Lowers the context length that the checkpoint states.
    revision
        A branch, a tag or a commit of a checkpoint on the hub.
    trust_remote_code
        Whether code that comes with the checkpoint may run, for models that transformers does not
        know.
    incremental
        False reads every solution from its first token, for comparison. May be changed at any time.
    format
        How the PRM is read, a name of `ets.prm.formats.FORMATS`; by default what its config and
        name say.
    options
        What the format takes, such as the `system_prompt` of `qwen`.

    A step without text scores as the solution before it, and 0 if nothing has been written.

    # Errors
    `MissingExtraError` without torch, `EngineError` if the model cannot be loaded or is of no known
    format, or not of the one that was asked for, `InputError` for a bad option.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        max_batch: int = 64,
        prefill_tokens: int = 8192,
        cache_tokens: int = 32768,
        max_length: int | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        incremental: bool = True,
        format: str | None = None,  # noqa: A002  what users call it
        **options: Any,
    ) -> None:
        need_torch()
        positive(max_batch=max_batch, prefill_tokens=prefill_tokens)
        cache_tokens = checked_count("cache_tokens", cache_tokens, 0)
        if max_length is not None:
            positive(max_length=max_length)
        self._name = path_text("path", path)
        check_flag("incremental", incremental)
        self._cache_tokens = cache_tokens
        self.incremental = incremental
        picked = pick_device(device)
        precision = pick_dtype(dtype, picked)
        source = Source.of(
            self._name, {"revision": revision, "trust_remote_code": trust_remote_code}
        )
        self._format = load_format(source, format, options, max_length=max_length)
        if options:
            known = (*keyword_names(type(self)), *format_options(type(self._format)))
            raise InputError(
                f"unknown option {min(options)!r} of a transformers PRM of the format "
                f"{self._format.name}; its options are {', '.join(known)}"
            )
        from ets.slots import SlotModel

        with one_start(cpu=picked.type == "cpu"):
            self._head = self._format.head().to(picked, precision)
            backbone = _load_backbone(self._format, picked, precision)
        self._model = SlotModel(
            backbone,
            max_length=self._format.max_length,
            max_rows=max_batch,
            cache_tokens=cache_tokens,
            name=self._name,
        )
        self._prefill_tokens = prefill_tokens
        self._batcher: Batcher[Tokens, Score] = Batcher(self._run, name=f"PRM {self._name!r}")

    @property
    def format(self) -> PRMFormat:
        """How this PRM turns a solution into ids, and where it is read."""
        return self._format

    async def kv_space(self) -> KVSpace:
        """The tokens whose keys and values are kept between calls: `cache_tokens`.

        # Errors
        `InputError` if that is 0.
        """
        return cache_space(self._cache_tokens, self._name)

    async def score(self, prefix: Prefix) -> Score:
        """The reward in [0, 1] of `prefix`'s last step, given everything before it."""
        from ets.slots import Tokens

        parts = await self._format.read(prefix)
        if parts is None:
            return Score(0.0)
        ids: list[int] = []
        cuts = []
        for part in parts:
            ids.extend(part)
            cuts.append(len(ids))
        if not self.incremental:
            cuts = cuts[-1:]
        return await self._batcher.submit(Tokens(tuple(ids), tuple(cuts)))

    async def forget_prefixes(self) -> None:
        """Have what is asked once nothing is running compute every prefix anew."""
        self._model.forget_prefixes()

    async def aclose(self) -> None:
        """Stop the worker; calls that still wait get an `EngineError`."""
        await self._batcher.aclose()

    def _run(self, batch: Batch[Tokens, Score]) -> None:
        """Score everything that waits, equal solutions once."""
        import torch

        waiting: dict[Tokens, list[Ticket[Tokens, Score]]] = {}
        tickets = batch.take()
        self._model.begin()
        for ticket in tickets:
            waiting.setdefault(ticket.item, []).append(ticket)
        with torch.inference_mode():
            charged = self._share(list(waiting))
            for group in self._passes(list(waiting)):
                live = [seq for seq in group if not all(t.aborted for t in waiting[seq])]
                if not live:
                    continue
                states, known = self._model.extend(live, first=0)
                self._model.prefixes.trim()
                rewards = self._head(states).tolist()
                for seq, reward, cached in zip(live, rewards, known, strict=True):
                    cached = max(0, cached - charged.get(seq, 0))
                    self._answer(waiting[seq], reward, len(seq.ids), cached)

    def _share(self, sequences: list[Tokens]) -> dict[Tokens, int]:
        """Compute what several sequences begin with, and nobody has read yet, once.

        Returns the tokens that this cost, each charged to the first sequence that needs them.
        """
        from ets.slots import Tokens

        charged: dict[Tokens, int] = {}
        for level in range(max((len(seq.cuts) for seq in sequences), default=0) - 1):
            heads: dict[Tokens, list[Tokens]] = {}
            for seq in sequences:
                if level < len(seq.cuts) - 1:
                    head = Tokens(seq.ids[: seq.cuts[level]], seq.cuts[: level + 1])
                    heads.setdefault(head, []).append(seq)
            todo = [head for head, users in heads.items() if len(users) > 1]
            todo = [h for h in todo if len(self._model.prefixes.find(h.ids, h.cuts)) <= level]
            for group in self._passes(todo):
                _, known = self._model.extend(group, first=0)
                for head, cached in zip(group, known, strict=True):
                    first = heads[head][0]
                    charged[first] = charged.get(first, 0) + len(head.ids) - cached
        return charged

    def _passes(self, sequences: list[Tokens]) -> list[list[Tokens]]:
        """Sequences in groups that one pass takes, by the number of tokens that are new."""
        from ets.slots import chunks

        find = self._model.prefixes.find
        widths = [
            len(seq.ids) - sum(len(s.ids) for s in find(seq.ids, seq.cuts[:-1]))
            for seq in sequences
        ]
        groups = chunks(widths, max_rows=self._model.max_rows, max_tokens=self._prefill_tokens)
        return [[sequences[i] for i in group] for group in groups]

    def _answer(
        self, tickets: list[Ticket[Tokens, Score]], reward: float, total: int, cached: int
    ) -> None:
        if not 0 <= reward <= 1:  # NaN too
            error = EngineError(f"PRM {self._name!r} gave the reward {reward}, not in [0, 1]")
            for ticket in tickets:
                ticket.fail(error)
            return
        for ticket in tickets:
            ticket.resolve(Score(reward, prompt_tokens=total, cached_tokens=cached))
            cached = total  # who asked for the same was answered from this one's work


def _load_backbone(form: PRMFormat, device: torch.device, dtype: torch.dtype) -> Any:
    """The model without its head, every weight accounted for."""
    with needs("transformers", "torch"):
        from transformers import CONFIG_MAPPING, AutoModel

    source = form.checkpoint.source
    name = source.name
    # Where transformers has a class only heads need code of their own, and ours is here.
    known = form.checkpoint.config.model_type in CONFIG_MAPPING
    try:
        with loading(source):
            loaded: Any = AutoModel.from_pretrained(
                source.path,
                dtype=dtype,
                attn_implementation="sdpa",
                output_loading_info=True,
                trust_remote_code=source.trust_remote_code and not known,
                **source.where("config.json"),
            )
    except Exception as error:
        raise EngineError(f"cannot load the PRM {name!r}: {one_line(error)}") from error
    model, report = loaded
    check_loaded(model, dtype, f"the PRM {name!r}")
    lacking = sorted(report["missing_keys"])
    beyond = sorted(set(report["unexpected_keys"]) - form.head_weights)
    for what, keys in (("lack", lacking), ("hold more than a model of its kind has:", beyond)):
        if keys:
            raise EngineError(
                f"cannot load the PRM {name!r}: its weights {what} {keys[0]} ({len(keys)} in all)"
            )
    return model.to(device).eval()
