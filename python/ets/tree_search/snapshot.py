"""Saving and loading a `TreeSearch`: its whole state as JSON-able values."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ets._core import Tree
from ets.certainty import Certainty
from ets.checks import integer
from ets.errors import InputError
from ets.strategy import Strategy, strategy_from_dict, strategy_to_dict
from ets.tree.events import event_from_dict, event_to_dict, values
from ets.tree.frontier import Frontier
from ets.tree.kv_record import KVRecord, KVStep
from ets.tree.nodes import Nodes
from ets.tree.seeds import child_seed, root_seed
from ets.tree_search.asks import Child, OpenStep
from ets.tree_search.saved_columns import CHECKED, check_columns, check_whole
from ets.tree_search.selection import check_kv_budget
from ets.tree_search.state import State

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


def save(state: State) -> dict[str, Any]:
    """Describe a search. What follows from the rest (seeds, depths, paths) is not stored."""
    nodes = state.nodes
    return {
        "format": FORMAT,
        "version": VERSION,
        "strategy": strategy_to_dict(state.strategy),
        "prompt_tokens": state.prompt_tokens,
        "seed": state.seed,
        "max_tokens": state.max_tokens,
        "max_depth": state.max_depth,
        "kv_budget": state.kv_budget,
        "remaining": state.remaining,
        "end": state.end,
        "nodes": {
            **{name: list(getattr(nodes, name)) for name in _COLUMNS},
            **_certain("certainty", nodes.certainty),
        },
        "requested": list(nodes.requested),
        "levels": [len(level) for level in nodes.levels],
        "completed": [[done.node, done.cut] for done in state.trajectories],
        "asks": [[ask.node, ask.indices[0], ask.n] for ask in state.open_step.asks],
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
                **({} if child.certainty is None else {"certainty": _text(child.certainty)}),
            }
            for (parent, index), child in sorted(
                state.open_step.told.items(), key=lambda item: item[0]
            )
        ],
        "candidates": [[node, _pack(state.embeddings.get(node))] for node in state.candidates],
        "events": [event_to_dict(event) for event in state.events],
        "kv": [values(step) for step in state.kv],
    }


def load(data: Any, strategy: Strategy | None) -> State:
    """Rebuild a search's state. `InputError` where `data` is not what `save` gives."""
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
    same_keys("nodes", data["nodes"], _COLUMNS, ("certainty",))
    for name in ("prompt_tokens", "seed", "max_tokens", "max_depth", "remaining"):
        integer(name, data[name], None)
    try:
        return _rebuild(
            data, strategy_from_dict(data["strategy"]) if strategy is None else strategy
        )
    except InputError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"the saved TreeSearch is damaged: {error!r}") from error


def _rebuild(data: dict[str, Any], strategy: Strategy) -> State:
    tree = Tree(data["prompt_tokens"])
    nodes = Nodes(data["prompt_tokens"], root_seed(data["seed"]))
    columns = data["nodes"]
    check_columns("nodes", columns)
    check_whole("requested", data["requested"], 0)
    said = _certainties(
        "nodes.certainty", columns.get("certainty", [None] * len(columns["parent"]))
    )
    rows = zip(*(columns[name] for name in _COLUMNS[:7]), said, strict=True)
    next(rows)  # the root is there already
    for parent, index, tokens, reward, finished, cut, text, certainty in rows:
        if not 0 <= parent < len(nodes):
            raise InputError(f"parent of node {len(nodes)} must be an earlier node, got {parent}")
        seed = child_seed(nodes.seed[parent], index)
        nodes.add(parent, index, seed, tokens, reward, finished, cut, text, certainty)
    tree.extend(
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
    open_step = OpenStep()
    for node, first, count in data["asks"]:
        check_whole("asks", [node, first, count], 0)
        if first + count > nodes.requested[node]:
            raise InputError(
                f"asks of node {node} must be among its {nodes.requested[node]} continuations, "
                f"got {count} from {first} on"
            )
        open_step.want(node, nodes.seed[node], first, count)
    told = {}
    for saved in data["told"]:
        same_keys("told", saved, _CHILD, ("certainty",))
    check_columns("told", {name: [saved[name] for saved in data["told"]] for name in CHECKED})
    of_told = _certainties("told.certainty", [saved.get("certainty") for saved in data["told"]])
    for saved, certainty in zip(data["told"], of_told, strict=True):
        told[saved["parent"], saved["index"]] = Child(
            **{**saved, "embedding": _unpack(saved["embedding"]), "certainty": certainty}
        )
    open_step.take(told)
    candidates = [node for node, _ in data["candidates"]]
    # Each once, though it may be asked again.
    growing = dict.fromkeys([*candidates, *(ask.node for ask in open_step.asks)])
    vectors = {node: _unpack(packed) for node, packed in data["candidates"]}
    return State(
        strategy=strategy,
        prompt_tokens=data["prompt_tokens"],
        seed=data["seed"],
        max_tokens=data["max_tokens"],
        max_depth=data["max_depth"],
        kv_budget=check_kv_budget(strategy, data["kv_budget"]),
        remaining=data["remaining"],
        end=data["end"],
        tree=tree,
        nodes=nodes,
        trajectories=[nodes.trajectory(node, cut) for node, cut in data["completed"]],
        events=[event_from_dict(event) for event in data["events"]],
        kv=KVRecord([KVStep(**step) for step in data["kv"]]),
        open_step=open_step,
        candidates=candidates,
        frontier=Frontier(tree, list(growing)),
        embeddings={node: v for node, v in vectors.items() if v is not None},
    )


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


def _certain(name: str, column: Sequence[Certainty | None]) -> dict[str, Any]:
    """The column, if there is anything in it: most policies are not asked."""
    if all(entry is None for entry in column):
        return {}
    return {name: [None if entry is None else _text(entry) for entry in column]}


def _text(certainty: Certainty) -> str:
    return b64encode(certainty.packed).decode("ascii")


def _certainties(name: str, column: list[str | None]) -> list[Certainty | None]:
    return [_certainty(f"{name}[{at}]", packed) for at, packed in enumerate(column)]


def _certainty(name: str, packed: str | None) -> Certainty | None:
    try:
        return None if packed is None else Certainty(b64decode(packed, validate=True))
    except (InputError, ValueError, TypeError) as error:
        raise InputError(f"{name} must be packed numbers or null: {error}") from error


def _unpack(packed: str | None) -> NDArray[np.float32] | None:
    if packed is None:
        return None
    vector = np.frombuffer(b64decode(packed, validate=True), dtype="<f4").astype(np.float32)
    vector.flags.writeable = False
    return vector


def same_keys(what: str, data: Any, keys: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    """Refuse what is no mapping with just these keys, with `InputError`."""
    if not isinstance(data, dict):
        raise InputError(f"{what} must be a mapping, got {type(data).__name__}")
    if unknown := sorted(data.keys() - {*keys, *optional}):
        raise InputError(f"{what} has unknown fields {unknown}")
    if missing := [key for key in keys if key not in data]:
        raise InputError(f"{what} lacks the fields {missing}")
