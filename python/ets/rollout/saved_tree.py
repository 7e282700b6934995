"""Partial solutions of a tree that was not grown here: of its texts, as the policy reads them."""

from __future__ import annotations

from dataclasses import replace

from ets.engines.protocols import Policy, Rereads
from ets.errors import InputError
from ets.loop.engine_call import name_of
from ets.step import Prefix
from ets.tree_search.search import TreeSearch


def prefixes_of(tree: TreeSearch, root: Prefix, policy: Policy) -> dict[int, Prefix]:
    """The root's and those of the nodes that the tree asks to continue, by node.

    # Errors
    As those of `prefix_of`.
    """
    known = {0: root}
    for ask in tree.ask():
        prefix_of(ask.node, tree, known, policy)
    return known


def prefix_of(node: int, tree: TreeSearch, known: dict[int, Prefix], policy: Policy) -> Prefix:
    """The partial solution that ends in `node`, from the nearest node above that is `known`.

    What is found on the way is known from then on.

    # Errors
    `InputError` where a text is missing, and where the policy cannot read texts again
    (`ets.engines.Rereads`).
    """
    path = []
    while node not in known:
        path.append(node)
        node = tree.nodes.parent[node]
    prefix = known[node]
    for below in reversed(path):
        text = tree.nodes.text[below]
        if text is None:
            raise InputError(f"tree: node {below} has no text, so nothing can follow it")
        if not isinstance(policy, Rereads):
            raise InputError(
                f"policy must have reread(prefix, text) to go on with a saved tree, got "
                f"{name_of(policy)}"
            )
        step = policy.reread(prefix, text)
        if (certainty := tree.nodes.certainty[below]) is not None:
            step = replace(step, certainty=certainty)
        prefix = known[below] = prefix.extend(step)
    return prefix
