"""Match on an embedding that is learned for matching: DTEM, as it runs after training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from ..merge import Merge
from ..strategies import STRATEGIES, Context, Strategy
from .bipartite import Bipartite


@dataclass(frozen=True)
class Decoupled(Bipartite):
    """Choose targets and match, as ToMe, but by the cosines of an embedding of the keys.

    partition: the strategy that chooses the targets; it sees the embedding as keys, too. embed: from keys (B, n, D) to
    embeddings (B, n, d), a trained `torch.nn.Linear(D, d)`, say; d may be much smaller than D, and matching is cheaper
    by as much. None: the keys themselves, which is the bipartite reducer.

    DTEM (Lee and Hong, NeurIPS 2024) trains the embedding by a soft merge. A match has no gradient: here it is taken as
    it is, and its parameters belong to no network; train and save them yourself. It fails where tokens that look alike
    to the embedding differ in what the task needs: nothing but its training keeps them apart.
    """

    partition: Strategy = STRATEGIES["uniform"]
    embed: Callable[[Tensor], Tensor] | None = None

    source = "DTEM (2412.10569, NeurIPS 2024), evaluation"

    def __call__(self, context: Context) -> Merge:
        keys = context.keys if self.embed is None else self.embed(context.keys)
        if not isinstance(keys, Tensor) or keys.dim() != 3 or keys.shape[:2] != context.keys.shape[:2]:
            given = tuple(keys.shape) if isinstance(keys, Tensor) else type(keys).__name__
            raise ValueError(f"embed returned {given} for keys {tuple(context.keys.shape)}; it returns (B, n, d).")
        embedded = replace(context, keys=keys)
        merge = super().__call__(embedded)
        context.targets = embedded.targets
        return merge
