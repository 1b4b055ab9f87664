"""Merging above a threshold: how many tokens are left depends on the film."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .. import partition as P
from ..matching import nearest
from ..merge import Merge
from ..strategies import Context, Strategy, pick
from ..tiled import TILE, others


def every_gamma_th(context: Context) -> torch.Tensor:
    """Uniform targets (VTM eqs. 1-2)."""
    return P.uniform(context.n, context.gamma, device=context.device)


@dataclass(frozen=True)
class Threshold:
    """Merge every source whose most similar target has a cosine above a threshold, and no other.

    above: the threshold, from -1 to 1. partition: the strategy that chooses the targets. Between T and n tokens are
    left, more where a film changes and fewer where it stands still; R is not looked at.
    """

    above: float = 0.9
    partition: Strategy = every_gamma_th

    ragged = True
    knob = ("above", -1.0, 1.0)
    source = "course; thresholds: ATM (2505.15160, 2025)"
    cost = "2 T (n - T) D"

    def __post_init__(self) -> None:
        if not -1 <= self.above <= 1:
            raise ValueError(f"above is {self.above}; it is a cosine, from -1 to 1.")

    def __call__(self, context: Context) -> Merge:
        targets = context.targets = pick(self.partition, context)
        sources = others(targets, context.n)
        best, similarity = nearest(context.keys, targets, sources)
        order = torch.arange(context.n, device=targets.device).expand(len(targets), -1)
        into = torch.where(similarity > self.above, targets.gather(1, best), sources)
        return Merge.of(order.scatter(1, sources, into))

    @staticmethod
    def flops(n: int, n_targets: int, dim: int) -> int:
        """Of the product of all sources with all targets."""
        return 2 * n_targets * (n - n_targets) * dim

    @staticmethod
    def memory(n: int, n_targets: int, dim: int) -> int:
        """The tile of scores, and the unit keys of the targets."""
        return 4 * (min(TILE["cpu"], n_targets * (n - n_targets)) + n_targets * dim)
