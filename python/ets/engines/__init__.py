"""What runs models, and what one of your own must offer.

A policy, PRM or embedder of your own is any object with the protocol's methods; steps, prefixes and
scores are what flows between them.
"""

from ets.certainty import Certainty
from ets.dialogue import Dialogue, Turn
from ets.engines.kv_space import HasKVSpace, KVSpace
from ets.engines.protocols import (
    PRM,
    Embedder,
    HasEmbedder,
    InstantEmbedder,
    JudgesSteps,
    Policy,
    Rereads,
    TakesDialogues,
    TellsLoss,
)
from ets.engines.whole_answers import WritesWholeAnswers
from ets.step import Prefix, Score, Step

__all__ = [
    "PRM",
    "Certainty",
    "Dialogue",
    "Embedder",
    "HasEmbedder",
    "HasKVSpace",
    "InstantEmbedder",
    "JudgesSteps",
    "KVSpace",
    "Policy",
    "Prefix",
    "Rereads",
    "Score",
    "Step",
    "TakesDialogues",
    "TellsLoss",
    "Turn",
    "WritesWholeAnswers",
]
