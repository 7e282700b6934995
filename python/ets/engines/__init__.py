"""What runs models, and what one of your own must offer.

A policy, PRM or embedder of your own is any object with the protocol's methods; steps, prefixes and
scores are what flows between them.
"""

from ets.dialogue import Dialogue, Turn
from ets.engines.kv_space import HasKVSpace, KVSpace
from ets.engines.protocols import (
    PRM,
    Embedder,
    HasEmbedder,
    InstantEmbedder,
    Policy,
    Rereads,
    TakesDialogues,
)
from ets.step import Prefix, Score, Step

__all__ = [
    "PRM",
    "Dialogue",
    "Embedder",
    "HasEmbedder",
    "HasKVSpace",
    "InstantEmbedder",
    "KVSpace",
    "Policy",
    "Prefix",
    "Rereads",
    "Score",
    "Step",
    "TakesDialogues",
    "Turn",
]
