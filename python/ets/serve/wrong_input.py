"""What is wrong with a request, in one line that names the field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ets.serve.refusal import Refusal

_OF_UNION = re.compile(r"str|int|float|bool|constrained-.*|literal\[.*|function-.*|list\[.*|.*\W.*")
"""What pydantic puts into a place to say which kind of a union it tried."""


def wrong_input(errors: Sequence[Mapping[str, Any]]) -> Refusal:
    """The refusal of a request with these errors of pydantic's."""
    # Of a union's errors the one that came furthest is of the kind that was meant.
    error = max(errors, key=lambda error: len(error["loc"]))
    if error["type"] == "json_invalid":
        why = error.get("ctx", {}).get("error", "")
        return Refusal(400, f"the body must be JSON: {why}", code="invalid_json")
    field = _field(error["loc"])
    if error["type"] == "missing" and not field:
        return Refusal(400, "a body is needed, as JSON", code="invalid_json")
    empty = error["type"] == "too_long" and error["ctx"]["max_length"] == 0
    if error["type"] in ("extra_forbidden", "none_required") or empty:
        return Refusal(400, f"{field} is not supported", param=field, code="unsupported_parameter")
    message = error["msg"][:1].lower() + error["msg"][1:]
    return Refusal(400, f"{field or 'the body'}: {message}", param=field, code="invalid_value")


def _field(place: Sequence[int | str]) -> str | None:
    """`messages[0].content`; None for the body as a whole."""
    field = ""
    for part in place[1:]:
        if isinstance(part, int):
            field += f"[{part}]"
        elif not _OF_UNION.fullmatch(part):
            field += f".{part}"
    return field.removeprefix(".") or None
