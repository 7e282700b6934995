"""What each strategy decides: small frozen dataclasses, one a file."""

from ets.strategy.base import Decision, Strategy, View
from ets.strategy.beam_search import BeamSearch
from ets.strategy.best_of_n import BestOfN
from ets.strategy.dora import DORA
from ets.strategy.dvts import DVTS
from ets.strategy.ets import ETS
from ets.strategy.mpts import MPTS
from ets.strategy.particle_filter import ParticleFilter
from ets.strategy.rebase import REBASE
from ets.strategy.registry import strategy_by_name, strategy_from_dict, strategy_to_dict

__all__ = [
    "DORA",
    "DVTS",
    "ETS",
    "MPTS",
    "REBASE",
    "BeamSearch",
    "BestOfN",
    "Decision",
    "ParticleFilter",
    "Strategy",
    "View",
    "strategy_by_name",
    "strategy_from_dict",
    "strategy_to_dict",
]
