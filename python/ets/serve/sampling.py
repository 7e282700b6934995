"""How the policy samples, which is settled when it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ets.engines.name import EngineName
from ets.policy.base import PolicyOptions
from ets.serve.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Sampling:
    """Temperature and top_p of the policy; None: its own matter."""

    temperature: float | None
    top_p: float | None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Sampling:
        """Of a policy by name, with these arguments of a `Search`."""
        policy = arguments.get("policy", "demo")
        if not isinstance(policy, str):
            return cls(None, None)
        options = EngineName.parse("policy", policy, arguments.get("policy_options") or {}).options
        usual = PolicyOptions()
        return cls(options.get("temperature", usual.temperature), options.get("top_p", usual.top_p))

    def check(self, temperature: float | None, top_p: float | None) -> None:
        """Refuse a request that wants another.

        # Errors
        `Refusal` 400.
        """
        for field, wanted in (("temperature", temperature), ("top_p", top_p)):
            own = getattr(self, field)
            if wanted is not None and wanted != own:
                has = "the policy's own" if own is None else f"{own:g}, which the policy has here"
                raise Refusal(
                    400,
                    f"{field} must be {has}, or left out, got {wanted:g}: it is set when the "
                    "server starts",
                    param=field,
                    code="unsupported_value",
                )
