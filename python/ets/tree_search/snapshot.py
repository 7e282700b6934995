"""Saving and loading a `TreeSearch`: its whole state as JSON-able values."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ets._core import Tree
from ets.checks import integer
from ets.errors import InputError
from ets.strategy import strategy_from_dict, strategy_to_dict
from ets.tree.events import event_from_dict, event_to_dict, values
from ets.tree.frontier import Frontier
from ets.tree.kv_record import KVRecord, KVStep
from ets.tree.nodes import Nodes
from ets.tree.seeds import child_seed, root_seed
from ets.tree_search.asks import Child, Pending
from ets.tree_search.saved_columns import CHECKED, check_columns, check_whole

if TYPE_CHECKING:
    from ets.strategy.base import Strategy
    from ets.tree_search.search import TreeSearch

FORMAT = "ets.TreeSearch"
VERSION = 3

_COLUMNS = ("parent", "index", "tokens", "reward", "finished", "cut", "text", "cluster", "fate")
_FIELDS = (
    "format",
    "version",
    "strategy",
    "prompt_tokens",
    "seed",
    "max_tokens",
    "max_depth",
    "kv_budget",
    "remaining",
    "end",
    "nodes",
    "requested",
    "levels",
    "completed",
    "asks",
    "told",
    "candidates",
    "events",
    "kv",
)
_CHILD = ("parent", "index", "tokens", "reward", "finished", "cut", "embedding", "text")


def save(search: TreeSearch) -> dict[str, Any]:
    """Describe a search. What follows from the rest (seeds, depths, paths) is not stored."""
    nodes = search.nodes
    return {
        "format": FORMAT,
        "version": VERSION,
        "strategy": strategy_to_dict(search.strategy),
        "prompt_tokens": search.prompt_tokens,
        "seed": search.seed,
        "max_tokens": search.max_tokens,
        "max_depth": search.max_depth,
        "kv_budget": search.kv_budget,
        "remaining": search.remaining,
        "end": search.end,
        "nodes": {name: list(getattr(nodes, name)) for name in _COLUMNS},
        "requested": list(nodes.requested),
        "levels": [len(level) for level in nodes.levels],
        "completed": [[done.node, done.cut] for done in search.trajectories],
        "asks": [[ask.node, ask.indices[0], ask.n] for ask in search._pending.asks],
        # Sorted, so that the text does not depend on the order of arrival.
        "told": [
            {
                "parent": parent,
                "index": index,
                "tokens": child.tokens,
                "reward": child.reward,
                "finished": child.finished,
                "cut": child.cut,
                "embedding": _pack(child.embedding),
                "text": child.text,
            }
            for (parent, index), child in sorted(
                search._pending.told.items(), key=lambda item: item[0]
            )
        ],
        "candidates": [[node, _pack(search._embeddings.get(node))] for node in search._candidates],
        "events": [event_to_dict(event) for event in search.events],
        "kv": [values(step) for step in search.kv],
    }


def load(kind: type[TreeSearch], data: Any, strategy: Strategy | None) -> TreeSearch:
    """Rebuild a search. `InputError` where `data` is not what `save` gives."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"not a saved TreeSearch: format must be {FORMAT!r}")
    if data.get("version") == 2:
        data = _with_cuts(data)
    if data.get("version") != VERSION:
        raise InputError(
            f"version of the saved TreeSearch must be {VERSION}, got {data.get('version')!r}: "
            "it was saved by another version of ets"
        )
    same_keys("the saved TreeSearch", data, _FIELDS)
    same_keys("nodes", data["nodes"], _COLUMNS)
    for name in ("prompt_tokens", "seed", "max_tokens", "max_depth", "remaining"):
        integer(name, data[name], None)
    try:
        return _rebuild(kind, data, strategy)
    except InputError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"the saved TreeSearch is damaged: {error!r}") from error


def _rebuild(kind: type[TreeSearch], data: dict[str, Any], strategy: Strategy | None) -> TreeSearch:
    search = kind.__new__(kind)
    search.strategy = strategy_from_dict(data["strategy"]) if strategy is None else strategy
    search.prompt_tokens = data["prompt_tokens"]
    search.seed = data["seed"]
    search.max_tokens = data["max_tokens"]
    search.max_depth = data["max_depth"]
    search.kv_budget = data["kv_budget"]
    search.interrupt = None
    search.remaining = data["remaining"]
    search.end = data["end"]
    search.tree = Tree(search.prompt_tokens)
    search.nodes = nodes = Nodes(search.prompt_tokens, root_seed(search.seed))
    columns = data["nodes"]
    check_columns("nodes", columns)
    check_whole("requested", data["requested"], 0)
    rows = zip(*(columns[name] for name in _COLUMNS[:7]), strict=True)
    next(rows)  # the root is there already
    for parent, index, tokens, reward, finished, cut, text in rows:
        if not 0 <= parent < len(nodes):
            raise InputError(f"parent of node {len(nodes)} must be an earlier node, got {parent}")
        seed = child_seed(nodes.seed[parent], index)
        nodes.add(parent, index, seed, tokens, reward, finished, cut, text)
    search.tree.extend(
        np.array(nodes.parent[1:], dtype=np.int64), np.array(nodes.tokens[1:], dtype=np.int64)
    )
    nodes.cluster = list(columns["cluster"])
    nodes.fate = list(columns["fate"])
    nodes.requested = list(data["requested"])
    if {len(nodes.cluster), len(nodes.fate), len(nodes.requested)} != {len(nodes)}:
        raise InputError(f"every column must have {len(nodes)} entries, one a node")
    if sum(data["levels"]) != len(nodes) or data["levels"][0] != 1:
        raise InputError(f"levels must sum to the {len(nodes)} nodes and start with 1")
    start, nodes.levels = 0, []
    for size in data["levels"]:
        nodes.levels.append(range(start, start + size))
        start += size
    if nodes.depth != [depth for depth, level in enumerate(nodes.levels) for _ in level]:
        raise InputError("levels must be the nodes at each depth, and depths must not descend")
    check_whole("node of completed", [node for node, _ in data["completed"]], 0)
    search.trajectories = [search.trajectory(node, cut) for node, cut in data["completed"]]
    search.events = [event_from_dict(event) for event in data["events"]]
    search.kv = KVRecord([KVStep(**step) for step in data["kv"]])
    search.timings = []
    search._pending = pending = Pending()
    for node, first, count in data["asks"]:
        check_whole("asks", [node, first, count], 0)
        if first + count > nodes.requested[node]:
            raise InputError(
                f"asks of node {node} must be among its {nodes.requested[node]} continuations, "
                f"got {count} from {first} on"
            )
        pending.want(node, nodes.seed[node], first, count)
    told = {}
    for saved in data["told"]:
        same_keys("told", saved, _CHILD)
    check_columns("told", {name: [saved[name] for saved in data["told"]] for name in CHECKED})
    for saved in data["told"]:
        told[saved["parent"], saved["index"]] = Child(
            **{**saved, "embedding": _unpack(saved["embedding"])}
        )
    pending.take(told)
    search._candidates = [node for node, _ in data["candidates"]]
    # Of the candidates, or of those that are continued; each once, though it may be asked again.
    growing = dict.fromkeys([*search._candidates, *(ask.node for ask in pending.asks)])
    search._frontier = Frontier(search.tree, list(growing))
    vectors = {node: _unpack(packed) for node, packed in data["candidates"]}
    search._embeddings = {node: v for node, v in vectors.items() if v is not None}
    return search


def _with_cuts(data: dict[str, Any]) -> dict[str, Any]:
    """A search that was saved before engines' limits cut solutions: none did."""
    nodes, told = data.get("nodes"), data.get("told")
    if not isinstance(nodes, dict) or not isinstance(told, list):
        return data
    return {
        **data,
        "version": VERSION,
        "nodes": {**nodes, "cut": [None] * len(nodes.get("parent", ()))},
        "told": [{**child, "cut": None} for child in told],
    }


def _pack(vector: NDArray[np.float32] | None) -> str | None:
    """The bytes of a little-endian float32 vector, in base 64: exact."""
    return None if vector is None else b64encode(vector.astype("<f4").tobytes()).decode("ascii")


def _unpack(packed: str | None) -> NDArray[np.float32] | None:
    if packed is None:
        return None
    vector = np.frombuffer(b64decode(packed, validate=True), dtype="<f4").astype(np.float32)
    vector.flags.writeable = False
    return vector


def same_keys(what: str, data: Any, keys: tuple[str, ...]) -> None:
    """Refuse what is no mapping with just these keys, with `InputError`."""
    if not isinstance(data, dict):
        raise InputError(f"{what} must be a mapping, got {type(data).__name__}")
    if unknown := sorted(data.keys() - set(keys)):
        raise InputError(f"{what} has unknown fields {unknown}")
    if missing := [key for key in keys if key not in data]:
        raise InputError(f"{what} lacks the fields {missing}")
