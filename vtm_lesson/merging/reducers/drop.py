"""Dropping tokens by chance or by a score: the simplest reducer, and the control for every merge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..merge import Merge
from ..partition import sample
from ..strategies import Context, needed
from .places import last_before


@dataclass(frozen=True)
class Drop:
    """Keep n - R tokens, and let the others take weight 0.

    signal: "chance" keeps a random choice; "motion", "saliency" or "oracle" sample by that score, as the strategies
    motion, learnable and oracle do; "attention" samples in proportion to the attention received. temperature: of
    motion, saliency and attention (of its logarithm); by default those strategies' own, and 1.
    A dropped token belongs to the group of the last kept token before it (the first kept one, where there is none), so
    that it can be drawn and unmerged; it counts nothing in the average, and in no size.
    """

    signal: Literal["chance", "motion", "saliency", "oracle", "attention"] = "chance"
    temperature: float | None = None

    source = "control; random dropping: UniPruneBench (2511.02650, 2025)"
    cost = "0"

    def __post_init__(self) -> None:
        if self.signal not in ("chance", "motion", "saliency", "oracle", "attention"):
            raise ValueError(
                f'signal is {self.signal!r}; it is "chance", "motion", "saliency", "oracle" or "attention".'
            )

    def __call__(self, context: Context) -> Merge:
        keeps = torch.zeros_like(context.size, dtype=torch.bool).scatter(1, self._kept(context), True)
        return Merge.of(last_before(keeps), dropped=~keeps, n_out=context.n_keep)

    def _kept(self, context: Context) -> Tensor:
        """(B, n - R), ascending."""
        if self.signal == "chance":
            return sample(torch.zeros_like(context.size), context.gamma, context.generator, context.n_keep)
        score: Tensor = needed(context, self.signal, f"dropping by {self.signal}")
        if self.signal == "oracle":  # chance decides among equals
            return sample(1000 * score, context.gamma, context.generator, context.n_keep)
        if self.signal == "attention":
            score = score.clamp(min=torch.finfo(score.dtype).tiny).log()
        default = 6.0 if self.signal == "saliency" else 1.0
        return context.draw(score, default if self.temperature is None else self.temperature, context.n_keep)

    @staticmethod
    def flops(n: int, n_targets: int, dim: int) -> int:
        """Nothing is matched."""
        return 0
