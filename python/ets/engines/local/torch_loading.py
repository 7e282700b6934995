"""What the torch backends share: device, precision, quiet loading and one-line errors."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ets.checkpoint.source import Source
from ets.checks import shown
from ets.engines.device_start import one_start
from ets.errors import EngineError, InputError
from ets.extras import needs
from ets.fork_lock import ForkLock
from ets.shown.log import Log

if TYPE_CHECKING:
    import torch

_LOADS = ForkLock()
_LOG = Log("ets.transformers")
_DTYPES = ("float32", "bfloat16", "float16", "float64")
_SMALL_BYTES = 1 << 30
"""A checkpoint below it loads before one could read that it does."""


def need_torch() -> None:
    """Import what every torch backend loads anyway, so that what is missing or broken is named.

    # Errors
    `MissingExtraError`, `BrokenExtraError`.
    """
    for module in ("torch", "transformers", "safetensors"):
        with needs(module, "torch"):
            import_module(module)


def pick_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, or a GPU where there is one.

    # Errors
    `InputError` if there is no such device here.
    """
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not isinstance(device, str | torch.device):
        raise InputError(f"device must be a name such as 'cuda:0', got {shown(device)}")
    try:
        picked = torch.device(device)
        with one_start(cpu=picked.type == "cpu"):  # the first touch makes a context there
            torch.empty(1, device=picked)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"device {str(device)!r} cannot be used: {reason}") from error
    return picked


def pick_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """The precision asked for; by default float32 on the CPU and bfloat16 elsewhere.

    # Errors
    `InputError` if it is no floating-point type that we run.
    """
    import torch

    if dtype is None:
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    known = isinstance(dtype, str | torch.dtype)
    name = str(dtype).removeprefix("torch.") if known else ""
    if name not in _DTYPES:
        raise InputError(f"dtype must be one of {', '.join(_DTYPES)}, got {shown(dtype)}")
    picked: torch.dtype = getattr(torch, name)
    return picked


@contextmanager
def one_load(source: Source) -> Iterator[None]:
    """Inside, transformers loads a checkpoint; the log says so, and how long it took.

    One at a time: transformers patches its own classes while it loads, and two loads that end in
    another order than they began leave the patch behind, after which no tied weights are found.
    """
    with _LOADS, _told(source), _without_report(source.path):
        yield


def check_loaded(model: Any, dtype: torch.dtype, what: str) -> None:
    """Check that transformers has loaded a model as it was asked to: what it does not know by the
    name that is used here, it ignores.

    # Errors
    `EngineError`.
    """
    attention = getattr(model.config, "_attn_implementation", "sdpa")
    for part, found, asked in (("dtype", model.dtype, dtype), ("attention", attention, "sdpa")):
        if found != asked:
            raise EngineError(f"cannot load {what}: its {part} is {found}, not {asked} as asked")


@contextmanager
def _told(source: Source) -> Iterator[None]:
    size = source.weights_bytes()
    known = "" if size is None else f" ({size / 1e9:.1f} GB)"
    level = logging.DEBUG if size is not None and size < _SMALL_BYTES else logging.INFO
    first = "downloading and " if source.to_download else ""
    begin = time.perf_counter()
    _LOG.log(level, "%s: %sloading the model%s", source.name, first, known)
    yield
    _LOG.log(level, "%s: loaded in %.1f s", source.name, time.perf_counter() - begin)


@contextmanager
def _without_report(name: str) -> Iterator[None]:
    """Keep quiet what transformers says of the weights, since it is read as data.

    Its bar stays where `name` is no folder, as the switch turns off those of downloads too.
    """
    from transformers.utils import logging as of_transformers

    logger = logging.getLogger("transformers")
    level = logger.level
    bars = os.path.isdir(name) and of_transformers.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    if bars:
        of_transformers.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            of_transformers.enable_progress_bar()


def one_line(error: BaseException) -> str:
    """An error's type and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
