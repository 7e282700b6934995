"""The instance generator from Python: the arrays that it hands over, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import ets
from ets import _core
from selection_oracle import KINDS, Kind


@pytest.mark.parametrize("clusters", KINDS)
@pytest.mark.parametrize("pruned", [None, (1.0, 1.4)])
def test_instances_fit_select_leaves(clusters: Kind, pruned: tuple[float, float] | None) -> None:
    made = _core.generate_instance(24, 5, clusters, pruned, 7)
    again = _core.generate_instance(24, 5, clusters, pruned, 7)
    assert all(np.array_equal(made[name], again[name]) for name in made)
    assert made["parents"].shape == made["tokens"].shape == (1 + 24 * 5,)
    assert made["weights"].sum() == 24
    selection = ets.select_leaves(
        made["parents"],
        made["leaves"],
        made["weights"],
        made["clusters"],
        lambda_b=1.0,
        lambda_d=1.4,
        node_tokens=made["tokens"],
    )
    assert selection.optimal
    assert 0 < selection.keep.sum() <= 24


def test_another_seed_makes_another_instance() -> None:
    one, other = (_core.generate_instance(24, 5, seed=seed) for seed in (1, 2))
    assert not np.array_equal(one["rewards"], other["rewards"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width is 0: it must be between 1 and 65536"),
        ({"width": -3}, "width is -3: it must be at least 0"),
        ({"depth": 257}, "depth is 257: it must be between 1 and 256"),
        ({"clusters": "many"}, "clusters is 'many': it must be "),
        ({"pruned": 1.0}, "pruned: it must be None or two floats, lambda_b and lambda_d"),
        ({"pruned": (1.0, float("nan"))}, "lambda_d is NaN"),
        ({"seed": -1}, "seed is -1: it must be at least 0"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ets.InputError) as caught:
        _core.generate_instance(**{"width": 8, "depth": 2} | arguments)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)
