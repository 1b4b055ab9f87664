"""Keep some frames, and drop the others: what every film player does, and a control that is hard to beat."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..merge import Merge
from ..strategies import Context
from .places import kept_where


@dataclass(frozen=True)
class Frames:
    """Keep M frames, evenly spaced: of F frames those at floor((j + 0.5) F / M), j = 0 to M - 1.

    M is the least number of frames that holds the budget of n - R tokens. Where they hold more, tokens are left out of
    them, evenly: of h tokens in order of time those at floor((i + 0.5) h / (n - R)) stay. Frames without a token, which
    earlier merges emptied, are not counted. A dropped token belongs to the group of the last kept one at its place.

    average: the dropped count in that group's average. It fails on what is short: an event between two kept frames.
    """

    average: bool = False

    source = "uniform frame sampling, a control"
    cost = "0"

    def __call__(self, context: Context) -> Merge:
        frame, count = context.frame, context.n_keep
        rank = (frame.diff(dim=1, prepend=frame[:, :1]) > 0).cumsum(1)  # tokens come in order of time
        frames = rank[:, -1:] + 1
        chosen = torch.ones_like(frame, dtype=torch.bool)
        for m in range(context.frames, 0, -1):  # the least that suffices is what is written last
            # Frame f is floor((j + 0.5) F / m) for some j where that j, the first with (j + 0.5) F / m >= f, exists.
            j = ((2 * rank * m + frames - 1) // frames) // 2
            taken = ((2 * j + 1) * frames // (2 * m) == rank) & (j < m)
            enough = taken.sum(1, keepdim=True) >= count
            chosen = torch.where(enough & (m <= frames), taken, chosen)
        held = chosen.sum(1, keepdim=True)
        slot = torch.arange(count, device=frame.device).expand(len(frame), -1)
        nth = (2 * slot + 1) * held // (2 * count)
        first = (~chosen).byte().argsort(dim=1, stable=True)  # the chosen tokens' places, in order of time
        keeps = torch.zeros_like(chosen).scatter(1, first.gather(1, nth), True)
        return kept_where(keeps, context, self.average, count)

    @staticmethod
    def flops(n: int, n_targets: int, dim: int) -> int:
        """Nothing is matched."""
        return 0
