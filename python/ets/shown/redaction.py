"""Secrets taken out of what is kept, shown or compared: keys, tokens, passwords.

What is a secret is told by its name (`api_key`, `hf_token`, `Authorization`) and, in a URL, by its
place before the `@`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar
from urllib.parse import quote, unquote

T = TypeVar("T")
MARK = "***"
"""What stands where a secret was."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_PARTS = ("secret", "passw", "passphrase", "credential", "authorization")
_SECRET_WORDS = ("auth", "authorisation", "bearer", "cookie", "pwd")
_SECRET_ENDS = ("key", "token")
_PLURAL = re.compile(r"(?:api|access|auth|bearer|private|hf|hub)(?:keys|tokens)$")
_OF_A_TOKENIZER = (
    *("bos", "eos", "pad", "unk", "sep", "cls", "mask", "step", "stop", "end", "start", "begin"),
    *("good", "bad", "special", "image", "separator"),
)
"""What stands before `token` where that is a piece of text."""
_COLUMNS = "fields"
"""A grid's table of column names, in which `key` is one of them."""
_USER = re.compile(
    r"(?<=://)(?:[^\s/?#]*@"
    # A password with a bare / ? or # in it: what follows the colon is no port.
    r"|[^\s/?#@:]+:(?!\d*(?:[/?#\s'\"),;]|$))[^\s@]*@)"
    r"|(?<=%3A%2F%2F)(?:(?!%2F)[^\s&/?#])*%40",
    re.IGNORECASE,
)
_PAIR = re.compile(
    r"(?P<quote>['\"])(?P<key>[\w-]+)=(?P<all>.*?)(?P=quote)"
    r"|(?P<name>[\w-]+)(?P<sign>=|['\"]\s*:\s*)(?!VALUE\b)"
    r"(?P<value>'[^']*'|\"[^\"]*\"|[^\s&;,)}\]'\"]+)"
)
"""In a sentence; `KEY=VALUE` itself is how our errors speak of options."""
_HEADER = re.compile(r"(?i)\b(authorization\s*:\s*(?:\w+\s+)?|bearer\s+)(?=\S*[\d._-])[^\s'\",;]+")
_FLAG = re.compile(r"(--?[A-Za-z][\w-]*)(?:=(.*))?", re.DOTALL)
_KEY_VALUE = re.compile(r"([\w-]+)=(.*)", re.DOTALL)


def names_a_secret(name: str) -> bool:
    """Whether what an option, a field or a header of this name holds is nobody else's business."""
    words: list[str] = [word.lower() for word in _WORDS.findall(name)]
    joined = "".join(words)
    if not words:
        return False
    if any(part in joined for part in _SECRET_PARTS) or _PLURAL.search(joined) is not None:
        return True
    if any(word in _SECRET_WORDS for word in words):
        return True
    if words[-1] == "token" and len(words) > 1 and words[-2] in _OF_A_TOKENIZER:
        return False
    return words[-1].endswith(_SECRET_ENDS) or words[-1] == "pass"


def redacted(value: T) -> T:
    """A JSON-able value, engine names and URLs among it, with `***` for each secret in it."""
    cleaned: T = _Cleaner(MARK).value(value)
    return cleaned


def redacted_repr(record: Any) -> str:
    """The `repr` of a dataclass, with `***` for each secret in its fields."""
    table = redacted({field.name: getattr(record, field.name) for field in fields(record)})
    said = ", ".join(f"{name}={value!r}" for name, value in table.items())
    return f"{type(record).__qualname__}({said})"


def without_secrets(value: T) -> T:
    """The same without a trace of them: alike for two values that differ in secrets alone."""
    cleaned: T = _Cleaner(None).value(value)
    return cleaned


def redacted_command(arguments: Sequence[str]) -> list[str]:
    """A command line, with `***` for each secret in it."""
    cleaner = _Cleaner(MARK)
    shown = []
    is_secret = False
    for argument in arguments:
        shown.append(MARK if is_secret else cleaner.argument(argument))
        flag = None if is_secret else _FLAG.fullmatch(argument)
        is_secret = flag is not None and flag[2] is None and names_a_secret(flag[1])
    return shown


def redacted_text(text: str) -> str:
    """A sentence, such as an error's, with `***` for each secret that it quotes."""
    return _HEADER.sub(rf"\g<1>{MARK}", _PAIR.sub(_hidden, _USER.sub(f"{MARK}@", text)))


def _hidden(pair: re.Match[str]) -> str:
    quote_, key = pair["quote"], pair["key"]
    if quote_ is not None:
        inner = MARK if names_a_secret(key) else redacted_text(pair["all"])
        return f"{quote_}{key}={inner}{quote_}"
    if not names_a_secret(pair["name"]):
        return pair[0]
    around = pair["value"][0] if pair["value"][0] in "'\"" else ""
    return f"{pair['name']}{pair['sign']}{around}{MARK}{around}"


@dataclass(frozen=True, slots=True)
class _Cleaner:
    """Puts a mark where a secret was, or, without one, leaves nothing."""

    mark: str | None

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.name(value)
        if isinstance(value, Mapping):
            return self._table(value)
        if isinstance(value, list | tuple):
            return type(value)(self.value(item) for item in value)
        return value

    def name(self, text: str) -> str:
        """An engine's name, a URL or any other text, `?KEY=VALUE&KEY=VALUE` behind it."""
        head, mark, query = text.partition("?")
        user = "" if self.mark is None else f"{self.mark}@"
        if "://" in head:
            text = _USER.sub(user, text)
            head, mark, query = text.partition("?")
        pairs = [] if not mark else [self._pair(pair) for pair in query.split("&")]
        kept = "&".join(pair for pair in pairs if pair is not None)
        return head + mark + kept if kept or not pairs or pairs == [""] else head

    def argument(self, argument: str) -> str:
        """One argument of a command line by itself."""
        flag = _FLAG.fullmatch(argument)
        if flag is not None and flag[2] is not None:
            said = MARK if names_a_secret(flag[1]) else self.argument(flag[2])
            return f"{flag[1]}={said}"
        if _KEY_VALUE.fullmatch(argument):
            return self._pair(argument) or ""
        return self.name(argument)

    def _table(self, table: Mapping[str, Any]) -> dict[str, Any]:
        kept = {}
        for key, value in table.items():
            if not names_a_secret(str(key)) or isinstance(value, bool):
                kept[key] = value if key == _COLUMNS else self.value(value)
            elif self.mark is not None:
                kept[key] = value if value in (None, "") else self.mark
        return kept

    def _pair(self, pair: str) -> str | None:
        key, sign, said = pair.partition("=")
        if not sign:
            return pair
        if names_a_secret(unquote(key)):
            return None if self.mark is None else f"{key}={self.mark}"
        plain = unquote(said)
        read = _read(plain)
        cleaned = self.value(read)
        if cleaned == read:
            return pair
        text = cleaned if isinstance(cleaned, str) else json.dumps(cleaned, ensure_ascii=False)
        return f"{key}={quote(text, safe=_AS_IT_IS) if plain != said else text}"


_AS_IT_IS = " !\"'()*+,-./:;<=>?@[]_{|}~"


def _read(text: str) -> Any:
    """As `ets.engines.name.read_value`, of a text that may be anything."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
