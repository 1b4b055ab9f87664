"""Sources count by how sharply they look: vid-TLDR."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..merge import Merge
from ..strategies import STRATEGIES, Context, Strategy, needed, signals
from .bipartite import Bipartite


@dataclass(frozen=True)
class Sharpness(Bipartite):
    """Match as ToMe; a merged source counts by the sharpness of its attention, and nothing below the mean.

    Sharpness is the negative entropy of a token's row of attention, e_i = sum_j A_ij log A_ij: high where a token looks
    at few others, as those of the foreground do (vid-TLDR, Choi et al., CVPR 2024, eqs. 5 to 11). Less its mean, over
    what the largest is then, at least 0: these are the weights of sources; targets have 1. Averages by size multiply
    both by the token's size. Sizes go on counting patches, here; the paper's become sums of weights.

    partition: the strategy that chooses the targets. A map that is the same everywhere says nothing, and all weigh 1.
    It fails where sharp attention is not the foreground's: the paper trusts it in the first blocks only.
    """

    partition: Strategy = STRATEGIES["uniform"]

    source = "vid-TLDR (2403.13347, CVPR 2024), eqs. 5 to 11"

    @property
    def signal(self) -> tuple[str, ...]:
        """The entropy of attention, and what its strategy needs."""
        return ("entropy", *signals(Bipartite(self.partition)))

    def __call__(self, context: Context) -> Merge:
        sharpness = needed(context, "entropy", "merging by sharpness")
        merge = super().__call__(context)
        moved = merge.into != torch.arange(context.n, device=context.device)
        return replace(merge, weight=torch.where(moved, weights(sharpness), 1))


def weights(sharpness: Tensor) -> Tensor:
    """(B, n) -> (B, n), from 0, at the mean and below it, to 1. A scale from 0 to 1 beforehand would cancel out."""
    above = (sharpness - sharpness.mean(1, keepdim=True)).clamp(min=0)
    most = above.amax(1, keepdim=True)
    return torch.where(most > 0, above / torch.where(most > 0, most, 1), 1)
