"""Drop in early blocks, merge with the norm kept in late ones: ToFu."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ..merge import Merge
from ..strategies import STRATEGIES, Context, Strategy
from .bipartite import Bipartite


@dataclass(frozen=True)
class NormPreserving(Bipartite):
    """Match as ToMe; early blocks drop the R matched sources, late ones average with the largest norm of the group.

    The average of unlike vectors is shorter than they are. MLERP gives it their largest norm back: y = (m / |m|)
    max |x_i|, m the mean (ToFu, Kim et al., WACV 2024). Where a block is far from linear, what it makes of an average
    says little of the tokens in it; early blocks are, and so they drop the sources and leave targets as they are.

    partition: the strategy that chooses the targets. early: the share of the blocks that drop, the first half by
    default; the paper decides it by a measurement. Where the depth is not known, all merge. It fails where a group's
    tokens cancel: m is nearly 0 then, and its direction chance, at full length.
    """

    partition: Strategy = STRATEGIES["uniform"]
    early: float = 0.5

    source = "ToFu (2312.01026, WACV 2024), MLERP"
    linear = False

    def __post_init__(self) -> None:
        if not 0 <= self.early <= 1:
            raise ValueError(f"early is {self.early}; it is a share of the blocks, from 0 to 1.")

    def __call__(self, context: Context) -> Merge:
        merge = super().__call__(context)
        if context.depth is None or context.depth[0] >= self.early * context.depth[1]:
            return replace(merge, norm=True)
        return replace(merge, dropped=merge.into != torch.arange(context.n, device=context.device))
