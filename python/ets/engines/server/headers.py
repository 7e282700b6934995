"""Headers of requests to a server."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from ets.checks import shown
from ets.dialogue import Posed
from ets.errors import InputError
from ets.shown.redaction import MARK, names_a_secret

_SESSION, _RANK = "X-Session-ID", "X-data-parallel-rank"
_NAME, _VALUE = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII), re.compile(r"[ -~\t]*")


def headers_of(problem: Posed, ranks: int) -> dict[str, str]:
    """Which requests belong together; they tell nothing of the problem's text."""
    said = problem if isinstance(problem, str) else json.dumps(problem.messages)
    digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
    rank = {_RANK: str(int(digest, 16) % ranks)} if ranks > 1 else {}
    return {_SESSION: digest[:32], **rank}


def checked_headers(headers: object) -> dict[str, str]:
    """Those that a user gave.

    # Errors
    `InputError` for what is no table of them; it shows no secret.
    """
    if not isinstance(headers, Mapping):
        raise InputError(f"headers must be a table of names and texts, got {shown(headers)}")
    for name, said in headers.items():
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            raise InputError(f"headers must have names of HTTP headers, got {shown(name)}")
        if not isinstance(said, str) or _VALUE.fullmatch(said) is None:
            got = MARK if names_a_secret(name) else shown(said)
            raise InputError(f"headers[{name!r}] must be a text of one line in ASCII, got {got}")
    return dict(headers)
