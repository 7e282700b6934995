"""Process reward models: the models that score the steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ets.checks import shown
from ets.engines.name import EngineName, bundled_backend, one_server
from ets.engines.protocols import PRM
from ets.errors import InputError
from ets.prm.function import FunctionPRM
from ets.prm.outcome import OutcomePRM, check_rule
from ets.shown.redaction import redacted


def load_prm(
    prm: str | PRM | Callable[[str, list[str]], float], *, policy: object = None, **options: Any
) -> PRM:
    """The PRM that a name stands for, a function as a PRM, or the object itself.

    Names: `demo` (the bundled one, on numpy alone, or on torch as `demo?backend=transformers`),
    `transformers:PATH`, `vllm:PATH`, `pooling:MODEL@URL` for a model on a vLLM server, `policy`,
    how certain the policy was of its own steps (`ets.prm.policy`), `generative:NAME`, a language
    model that writes critiques, `NAME` being a policy's or `policy`, the one that is given here
    (`ets.prm.generative`), `outcome:NAME`, another PRM that is asked at the end only
    (`ets.prm.OutcomePRM`), `none`, for which every step is worth the same, and
    `demo-checker?auroc=X`, which knows the truth of the bundled problems. How a model is read
    follows from its config and name, or from the option `format` (see `ets.prm.formats`). `options`
    go to the backend's constructor; they may also stand in the name: `vllm:PATH?format=judge`.

    Raises `InputError` for an unknown name or an option given twice, `MissingExtraError` where the
    backend's package is not installed, `EngineError` where the model cannot be loaded, is of no
    known format, or its server cannot be reached.
    """
    if not isinstance(prm, str):
        if options:
            raise InputError(f"prm_options go with a PRM given by name, got {sorted(options)}")
        if isinstance(prm, PRM) and not isinstance(prm, type):
            return prm
        if callable(prm) and not isinstance(prm, type):
            return FunctionPRM(prm)
        raise InputError(
            "prm must be a name, a function f(problem, steps), or an object with score and "
            f"aclose, got {shown(prm)}"
        )
    name = EngineName.parse("prm", one_server("prm", prm), options)
    path, options = name.path, name.options
    match name.backend:
        case "demo" if not path:
            from ets import demo

            if bundled_backend("prm", options) == "numpy":
                from ets.prm.bundled import BundledPRM

                return BundledPRM(demo.prm_path(), **options)
            from ets.prm.transformers import TransformersPRM

            # In fp32 the make-up of a batch shows in a reward's sixth decimal; a model this small
            # can afford not to have it show at all.
            return TransformersPRM(demo.prm_path(), **{"dtype": "float64", **options})
        case "none" if not path:
            if options:
                raise InputError(f"the PRM none takes no options, got {sorted(options)}")
            return FunctionPRM(_every_step_alike)
        case "policy" if not path:
            from ets.prm.policy import PolicyPRM

            return PolicyPRM(**name.only("PRM", PolicyPRM))
        case "generative" if path:
            from ets.prm.generative import load_generative

            return load_generative(path, options, policy)
        case "outcome" if path:
            steps = options.pop("steps", None)
            rule = {name: options.pop(name) for name in ("between", "weight") if name in options}
            check_rule(**rule)  # before an engine is loaded that nobody would close
            outcome = load_prm(path, policy=policy, **options)
            by_step = None if steps is None else load_prm(steps, policy=policy)
            return OutcomePRM(outcome, steps=by_step, **rule)
        case "demo-checker" if not path:
            from ets.demo.blurred_checker import BlurredChecker

            return BlurredChecker(**name.only("PRM", BlurredChecker))
        case "transformers" if path:
            from ets.prm.transformers import TransformersPRM

            return TransformersPRM(path, **options)
        case "vllm" if path:
            from ets.prm.vllm import VLLMPRM

            return VLLMPRM(path, **options)
        case "pooling" if "@" in path:
            from ets.prm.pooling import PoolingPRM

            model, url = name.on_server()
            return PoolingPRM(model, url, **options)
    raise InputError(
        "prm must be demo, transformers:PATH, vllm:PATH, pooling:MODEL@URL, policy, "
        f"generative:NAME, outcome:NAME or none, got {shown(redacted(prm))}"
    )


def _every_step_alike(problem: str, steps: list[str]) -> float:
    return 1.0


__all__ = ["OutcomePRM", "load_prm"]
