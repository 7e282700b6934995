"""What the torch backends share: device, precision, quiet loading and one-line errors."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ets.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    import torch

_DTYPES = ("float32", "bfloat16", "float16", "float64")


def need_torch() -> None:
    """Check that the `torch` extra is there."""
    for module in ("torch", "transformers", "safetensors"):
        if find_spec(module) is None:
            raise MissingExtraError(module, "torch")


def pick_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, or a GPU where there is one.

    # Errors
    `InputError` if there is no such device here.
    """
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
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
    name = str(dtype).removeprefix("torch.")
    if name not in _DTYPES:
        raise InputError(f"dtype must be one of {', '.join(_DTYPES)}, got {dtype!r}")
    picked: torch.dtype = getattr(torch, name)
    return picked


@contextmanager
def without_load_report() -> Iterator[None]:
    """Keep quiet what transformers logs of weights while it loads some: it is read as data."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def one_line(error: BaseException) -> str:
    """An error's type and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def keyword_names(kind: type) -> tuple[str, ...]:
    """The names of a constructor's keyword-only arguments."""
    parameters = inspect.signature(kind).parameters.values()
    return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)


def positive(**values: Any) -> None:
    """Check that options are positive integers."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"{name} must be a positive integer, got {value!r}")
