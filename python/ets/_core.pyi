# Types of the Rust extension, checked by stubtest; the docstrings live in rust/python*.rs.
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Held",
    "InputError",
    "Interrupt",
    "Selection",
    "SolverError",
    "Tree",
    "__version__",
    "_restore_contracted",
    "_restore_held",
    "_restore_selection",
    "_restore_tree",
    "beam_weights",
    "cluster_steps",
    "dora_weights",
    "dvts_weights",
    "generate_instance",
    "particle_weights",
    "rebase_weights",
    "select_leaves",
]

__version__: str

class InputError(ValueError): ...
class SolverError(RuntimeError): ...

def rebase_weights(
    rewards: NDArray[np.float64], width: int, temperature: float = 0.2
) -> NDArray[np.int64]: ...
def beam_weights(
    rewards: NDArray[np.float64], width: int, keep: int | None = None
) -> NDArray[np.int64]: ...
def dvts_weights(
    rewards: NDArray[np.float64], subtrees: NDArray[np.int64], shares: NDArray[np.int64]
) -> NDArray[np.int64]: ...
def particle_weights(
    rewards: NDArray[np.float64],
    width: int,
    temperature: float = 1.0,
    *,
    seed: int,
    method: Literal["multinomial", "systematic"] = "multinomial",
) -> NDArray[np.int64]: ...
def dora_weights(
    rewards: NDArray[np.float64],
    embeddings: NDArray[np.float32] | NDArray[np.float64],
    width: int,
    temperature: float = 0.1,
    similarity_temperature: float = 0.01,
) -> NDArray[np.int64]: ...
def cluster_steps(
    embeddings: NDArray[np.float32] | NDArray[np.float64],
    threshold: float = 0.05,
    *,
    interrupt: Interrupt | None = None,
) -> NDArray[np.int64]: ...
def generate_instance(
    width: int,
    depth: int,
    clusters: Literal["inherited", "independent", "few", "distinct", "one"] = "inherited",
    pruned: tuple[float, float] | None = None,
    seed: int = 0,
) -> dict[str, NDArray[Any]]: ...
def select_leaves(
    parents: NDArray[np.int64],
    leaves: NDArray[np.int64],
    weights: NDArray[np.float64],
    clusters: NDArray[np.int64] | None = None,
    *,
    lambda_b: float,
    lambda_d: float = 0.0,
    lambda_r: float = 1.0,
    cluster_worth: NDArray[np.float64] | None = None,
    rho: float = 0.0,
    node_costs: NDArray[np.float64] | None = None,
    node_tokens: NDArray[np.int64] | None = None,
    kv_budget: int | None = None,
    solver: Literal["auto", "exact", "milp"] = "auto",
    time_limit: float | None = None,
    interrupt: Interrupt | None = None,
) -> Selection: ...

@final
class Interrupt:
    def __new__(cls) -> Interrupt: ...
    def set(self) -> None: ...
    def is_set(self) -> bool: ...

@final
class Selection:
    @property
    def keep(self) -> NDArray[np.bool_]: ...
    @property
    def objective(self) -> float: ...
    @property
    def bound(self) -> float: ...
    @property
    def optimal(self) -> bool: ...
    @property
    def nodes_kept(self) -> int: ...
    @property
    def tokens_kept(self) -> int | None: ...
    @property
    def stats(self) -> dict[str, Any]: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Tree:
    def __new__(cls, prompt_tokens: int) -> Tree: ...
    def add(self, parent: int, tokens: int) -> int: ...
    def extend(
        self, parents: NDArray[np.int64], tokens: NDArray[np.int64]
    ) -> NDArray[np.int64]: ...
    def __len__(self) -> int: ...
    @property
    def parents(self) -> NDArray[np.int64]: ...
    @property
    def tokens(self) -> NDArray[np.int64]: ...
    @property
    def depths(self) -> NDArray[np.int64]: ...
    def path(self, node: int) -> list[int]: ...
    def kv_tokens(self, leaves: NDArray[np.int64]) -> int: ...
    def held(self, leaves: NDArray[np.int64]) -> Held: ...
    def contracted(self, leaves: NDArray[np.int64]) -> tuple[Tree, NDArray[np.int64]]: ...
    def select(
        self,
        leaves: NDArray[np.int64],
        weights: NDArray[np.float64],
        clusters: NDArray[np.int64] | None = None,
        *,
        lambda_b: float,
        lambda_d: float = 0.0,
        lambda_r: float = 1.0,
        cluster_worth: NDArray[np.float64] | None = None,
        rho: float = 0.0,
        node_cost: Literal["uniform", "tokens"] = "uniform",
        kv_budget: int | None = None,
        solver: Literal["auto", "exact", "milp"] = "auto",
        time_limit: float | None = None,
        interrupt: Interrupt | None = None,
    ) -> Selection: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Held:
    def add(self, leaves: NDArray[np.int64]) -> int: ...
    @property
    def tokens(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]
    def __reduce__(self) -> tuple[Any, ...]: ...

# What pickles call: a version, and what `__reduce__` put behind it.
def _restore_tree(*state: Any) -> Tree: ...
def _restore_contracted(*state: Any) -> Tree: ...
def _restore_held(*state: Any) -> Held: ...
def _restore_selection(*state: Any) -> Selection: ...
