"""Loading what is to be examined, and what to do where that fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ets.checkpoint.source import Source
from ets.doctor.report import Report
from ets.embed import load_embedder
from ets.engines.name import EngineName
from ets.engines.protocols import PRM, Embedder, Policy
from ets.errors import BrokenExtraError, EngineError, InputError, MissingExtraError
from ets.policy import load_policy
from ets.prm import load_prm
from ets.prm.checkpoint import Checkpoint
from ets.prm.formats import find_format

WITH_CHECKPOINT = ("transformers", "vllm")
"""Backends whose names end in a checkpoint."""
_SERVER = "python -m vllm.entrypoints.openai.api_server --model MODEL"


def load_as_policy(name: str, options: Mapping[str, Any]) -> Policy | Report:
    """The policy of a name, or the report that says why there is none."""
    try:
        return load_policy(name, **options)
    except (EngineError, MissingExtraError, ValueError, TypeError) as error:
        return _failed(Report("policy", name), error, options)


def load_as_prm(
    name: str, options: Mapping[str, Any], policy: Policy | None = None
) -> PRM | Report:
    """The PRM of a name, maybe one that `policy` writes, or the report why there is none."""
    try:
        return load_prm(name, policy=policy, **options)
    except (EngineError, MissingExtraError, ValueError, TypeError) as error:
        return _failed(Report("PRM", name), error, options)


def load_as_embedder(
    name: str, policy: Policy | None, options: Mapping[str, Any]
) -> Embedder | Report:
    """The embedder of a name, maybe one of the policy's model, or why there is none."""
    try:
        return load_embedder(name, policy=policy, **options)
    except (EngineError, MissingExtraError, ValueError, TypeError) as error:
        return _failed(Report("embedder", name), error, options)


def what_it_is(report: Report, options: Mapping[str, Any]) -> str:
    """Whether the checkpoint behind a name belongs to the other part; empty where it does not."""
    try:
        checkpoint = _checkpoint(report, options)
    except InputError:  # which the report tells already
        return ""
    if checkpoint is None:
        return ""
    try:
        kind = find_format(checkpoint)
    except EngineError:
        forced = "format" in options or "format=" in report.name
        if report.part == "PRM" and not forced and checkpoint.is_lm:
            return (
                "this is a language model: give it as --policy; a PRM whose name does not say so "
                "needs --prm-option format=NAME, an instruct model that is to judge format=judge"
            )
        return ""
    return f"this is a PRM ({kind.name}): give it as --prm" if report.part == "policy" else ""


def _failed(report: Report, error: Exception, options: Mapping[str, Any]) -> Report:
    report.find("bad", " ".join(str(error).split()), _what_to_do(report, error, options))
    return report


def _what_to_do(report: Report, error: Exception, options: Mapping[str, Any]) -> str:
    text = str(error)
    if isinstance(error, MissingExtraError | BrokenExtraError):
        return ""
    if "cannot reach" in text or "did not answer" in text:
        return f"start the server, or correct the address; vLLM's is started by `{_SERVER}`"
    if "no checkpoint folder" in text or "no model configuration" in text:
        return (
            "give the folder of a checkpoint, which holds config.json, or a name on the hub, which "
            "needs the network unless it is in the local cache"
        )
    return what_it_is(report, options)


def _checkpoint(report: Report, options: Mapping[str, Any]) -> Checkpoint | None:
    engine = EngineName.parse(report.part, report.name, options)
    if engine.backend not in WITH_CHECKPOINT or not engine.path:
        return None
    return Checkpoint(Source.of(engine.path, engine.options))
