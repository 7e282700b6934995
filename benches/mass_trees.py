"""Trees as mass-preserving tree search grows them, for benches and tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import ets

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

TEMPERATURE = 0.2


@dataclass(frozen=True)
class MassTree:
    """A tree of `m` nodes whose newest layer of `n` candidates waits for a selection."""

    parents: Ints  # [m], -1 for the root
    leaves: Ints  # [n]
    weights: Floats  # [n], REBASE counts
    clusters: Ints  # [n], 0 to K - 1
    masses: Floats  # [K], the weights of each cluster's candidates, summed
    tokens: Ints  # [m]


def mass_tree(
    width: int, depth: int, texts: int, lambda_b: float, rho: float, seed: int
) -> MassTree:
    """Grows `depth` layers of `width` candidates and selects by mass after each but the last.

    A step is one of `texts` texts, the first half as frequent as all others together and so on;
    two of the same text below texts that are the same are the same state, so that siblings often
    share a cluster. A state's reward is its parent's state's plus normal noise of standard
    deviation 0.15, clamped to [0, 1].
    """
    rng = np.random.default_rng(seed)
    parents, tokens = np.array([-1]), np.array([150])
    frequency = 0.5 ** np.arange(1, texts + 1)
    frequency /= frequency.sum()
    kept, counts = np.zeros(1, dtype=np.int64), np.array([width])
    states, rewards = np.zeros(1, dtype=np.int64), np.array([0.5])
    for step in range(depth):
        above = np.repeat(np.arange(len(kept)), counts)
        leaves = len(parents) + np.arange(width)
        parents = np.append(parents, kept[above])
        tokens = np.append(tokens, rng.integers(5, 61, width))
        spelled = states[above] * texts + rng.choice(texts, width, p=frequency)
        spelled, first, clusters = np.unique(spelled, return_index=True, return_inverse=True)
        noise = rng.normal(0, 0.15, len(spelled))
        of_state = np.clip(rewards[above][first] + noise, 0, 1)
        weights = ets.rebase_weights(of_state[clusters], width, TEMPERATURE).astype(np.float64)
        masses: Floats = np.bincount(clusters, weights).astype(np.float64)
        tree = MassTree(parents, leaves, weights, clusters, masses, tokens)
        if step + 1 < depth:
            keep = select_by_mass(tree, lambda_b, rho, time_limit=1.0).keep
            kept, states, rewards = leaves[keep], clusters[keep], of_state[clusters[keep]]
            counts = handed_out(width, masses, states)
    return tree


def select_by_mass(
    tree: MassTree, lambda_b: float, rho: float, time_limit: float | None = None
) -> ets.Selection:
    """The selection of mass-preserving tree search."""
    return ets.select_leaves(
        tree.parents,
        tree.leaves,
        tree.weights,
        tree.clusters,
        lambda_b=lambda_b,
        lambda_d=1.0,
        lambda_r=0.001,
        cluster_worth=tree.masses,
        rho=rho,
        time_limit=time_limit,
    )


def handed_out(width: int, masses: Floats, clusters: Ints) -> Ints:
    """Continuations of the candidates kept, in proportion to their clusters' masses, [k]."""
    members = np.bincount(clusters, minlength=len(masses))
    parts = masses[clusters] / members[clusters]
    if not parts.any():
        parts = np.ones(len(clusters))
    parts = parts * (width / parts.sum())
    counts: Ints = np.floor(parts).astype(np.int64)
    counts[np.argsort(counts - parts, kind="stable")[: width - int(counts.sum())]] += 1
    return counts
