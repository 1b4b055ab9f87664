"""Dropping tokens: the simplest reducer, and the control for every merge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..merge import Merge
from ..strategies import Context


@dataclass(frozen=True)
class Drop:
    """Keep n - R tokens, and let the others take weight 0.

    signal: "chance" keeps a random choice; "motion", "saliency" or "oracle" sample by that score, as the strategies of
    these names do. A dropped token belongs to the group of the last kept token before it (the first kept one, where
    there is none), so that it can be drawn and unmerged; it counts nothing in the average, and in no size.
    """

    signal: Literal["chance", "motion", "saliency", "oracle"] = "chance"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.signal not in ("chance", "motion", "saliency", "oracle"):
            raise ValueError(f'signal is {self.signal!r}; it is "chance", "motion", "saliency" or "oracle".')

    def __call__(self, context: Context) -> Merge:
        kept = context.draw(self._score(context), self.temperature, context.n_keep)
        keeps = torch.zeros_like(context.size, dtype=torch.bool).scatter(1, kept, True)
        order = torch.arange(context.n, device=kept.device).expand_as(keeps)
        into = torch.where(keeps, order, -1).cummax(1).values
        return Merge.of(torch.where(into < 0, kept[:, :1], into), dropped=~keeps, n_out=context.n_keep)

    def _score(self, context: Context) -> Tensor:
        if self.signal == "chance":
            return torch.zeros_like(context.size)
        score: Tensor | None = getattr(context, self.signal)
        if score is None:
            raise ValueError(f"dropping by {self.signal} needs it: this network was not given, or learns, none.")
        return 1000 * score if self.signal == "oracle" else score

    @staticmethod
    def flops(n: int, n_targets: int, dim: int) -> int:
        """Nothing is matched."""
        return 0
