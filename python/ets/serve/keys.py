"""API keys: who may ask."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path

from ets.checks import path_text
from ets.errors import InputError
from ets.serve.refusal import Refusal

OWNER = "ets.owner"
"""Where the name of a request's key stands in its scope."""


class Keys:
    """Keys by name; none at all: everybody may ask.

    Only digests are kept, and each is compared with each in constant time, so that neither the
    process's memory nor the time of an answer tells a key.
    """

    def __init__(self, keys: Mapping[str, str] | None = None) -> None:
        self._digests = {name: _digest(key) for name, key in (keys or {}).items()}

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Keys:
        """A file of lines `NAME KEY`, with `#` before remarks.

        # Errors
        `InputError` that names the line, and never a key; `OSError`.
        """
        name = path_text("path", path)
        keys: dict[str, str] = {}
        for number, line in enumerate(Path(name).read_text("utf-8").splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) != 2:
                raise InputError(f"{name}, line {number}: must be a name and a key")
            if words[0] in keys:
                raise InputError(f"{name}, line {number}: the name {words[0]!r} is there twice")
            keys[words[0]] = words[1]
        if not keys:
            raise InputError(f"{name}: holds no key; a line of it is a name and a key")
        return cls(keys)

    def name_of(self, authorization: str | None) -> str | None:
        """The name of the key in a header `Authorization: Bearer KEY`; None where none is needed.

        # Errors
        `Refusal` 401.
        """
        if not self._digests:
            return None
        kind, _, given = (authorization or "").partition(" ")
        digest = _digest(given.strip())
        found = [name for name, own in self._digests.items() if hmac.compare_digest(own, digest)]
        if kind.lower() != "bearer" or not found:
            raise Refusal(
                401, "an API key is needed: Authorization: Bearer KEY", code="invalid_api_key"
            )
        return found[0]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
