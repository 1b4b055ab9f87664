"""Dropping tokens: the simplest reducer, and the control for every merge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..merge import Merge
from ..partition import sample
from ..strategies import Context


@dataclass(frozen=True)
class Drop:
    """Keep n - R tokens, and let the others take weight 0.

    signal: "chance" keeps a random choice; "motion", "saliency" or "oracle" sample by that score, as the strategies
    motion, learnable and oracle do. temperature: of motion and saliency; by default those strategies' own.
    A dropped token belongs to the group of the last kept token before it (the first kept one, where there is none), so
    that it can be drawn and unmerged; it counts nothing in the average, and in no size.
    """

    signal: Literal["chance", "motion", "saliency", "oracle"] = "chance"
    temperature: float | None = None

    def __post_init__(self) -> None:
        if self.signal not in ("chance", "motion", "saliency", "oracle"):
            raise ValueError(f'signal is {self.signal!r}; it is "chance", "motion", "saliency" or "oracle".')

    def __call__(self, context: Context) -> Merge:
        kept = self._kept(context)
        keeps = torch.zeros_like(context.size, dtype=torch.bool).scatter(1, kept, True)
        order = torch.arange(context.n, device=kept.device).expand_as(keeps)
        into = torch.where(keeps, order, -1).cummax(1).values
        return Merge.of(torch.where(into < 0, kept[:, :1], into), dropped=~keeps, n_out=context.n_keep)

    def _kept(self, context: Context) -> Tensor:
        """(B, n - R), ascending."""
        score = torch.zeros_like(context.size) if self.signal == "chance" else getattr(context, self.signal)
        if score is None:
            raise ValueError(f"dropping by {self.signal} needs it: this network was not given, or learns, none.")
        if self.signal in ("chance", "oracle"):  # chance decides, for the oracle among equals
            return sample(1000 * score, context.gamma, context.generator, context.n_keep)
        default = 6.0 if self.signal == "saliency" else 1.0
        return context.draw(score, default if self.temperature is None else self.temperature, context.n_keep)

    @staticmethod
    def flops(n: int, n_targets: int, dim: int) -> int:
        """Nothing is matched."""
        return 0
