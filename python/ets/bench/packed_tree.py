"""The tree of a finished search as a file's bytes."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import Any

from ets.errors import InputError
from ets.tree_search.search import TreeSearch


def pack_tree(tree: TreeSearch) -> bytes:
    """The search as compressed JSON; equal searches give equal bytes."""
    return gzip.compress(tree.to_json().encode(), compresslevel=6, mtime=0)


def unpack_tree(data: bytes, where: str) -> TreeSearch:
    """The search that `pack_tree` packed; `where` stands in front of an error.

    # Errors
    `InputError` for other bytes.
    """
    try:
        return TreeSearch.from_json(gzip.decompress(data).decode())
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{where} is no packed tree: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise InputError(f"{where} is no packed tree: it is nested too deeply") from error


def tree_name(row: Mapping[str, Any]) -> str:
    """The file of a row's tree: any key of a problem makes a name that any system takes."""
    key = json.dumps([row["cell"], row["seed"], row["id"]]).encode()
    return f"{hashlib.sha256(key).hexdigest()[:24]}.json.gz"
