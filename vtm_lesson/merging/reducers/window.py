"""Merge tokens into an anchor frame, each within a small window round its place."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..merge import Merge
from ..strategies import Context
from .places import by_frame, cosine, unit_keys


@dataclass(frozen=True)
class Window:
    """Every token joins its most similar one in a 3 x 3 window of the anchor frame, if the cosine is above a threshold.

    After TTF (2605.07355, 2026), whose abstract leaves open which frames are anchors, and whether tokens are averaged:
    here the first frame of every run of `run` frames is the anchor (after earlier merges, the first with a token), and
    groups are averaged. Of equals the same place goes first, then the upper and the left one. Tokens that find nobody
    stay.

    above: the threshold, from -1 to 1. side: of the window, odd. It fails on motion of more than a patch in a run.
    """

    above: float = 0.7
    run: int = 8
    side: int = 3

    ragged = True
    knob = ("above", -1.0, 1.0)
    source = "TTF (2605.07355, 2026), abstract"
    cost = "18 n D"

    def __post_init__(self) -> None:
        if not -1 <= self.above <= 1:
            raise ValueError(f"above is {self.above}; it is a cosine, from -1 to 1.")
        if self.run < 1 or self.side < 1 or self.side % 2 == 0:
            raise ValueError(f"run is {self.run}, side {self.side}; both are 1 or more, and side is odd.")

    def __call__(self, context: Context) -> Merge:
        frame, table = by_frame(context)
        unit, run = unit_keys(context), frame // self.run
        # The first frame of the run that has a token.
        anchor = torch.full_like(frame, context.frames).scatter_reduce(1, run, frame, "amin").gather(1, run)
        order = torch.arange(context.n, device=frame.device).expand_as(frame)
        into, best = order, torch.full_like(unit[..., 0], self.above)
        reach = self.side // 2
        steps = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
        for y, x in sorted(steps, key=lambda step: step != (0, 0)):
            row, column = context.row + y, context.column + x
            inside = (row >= 0) & (row < context.height) & (column >= 0) & (column < context.width)
            place = (anchor * context.height + row) * context.width + column
            other = table.flatten(1).gather(1, torch.where(inside, place, 0))
            other = torch.where(inside, other, -1)
            similarity = cosine(unit, other)
            better = (other >= 0) & (similarity > best) & (frame > anchor)
            into, best = torch.where(better, other, into), torch.where(better, similarity, best)
        return Merge.of(into)

    @staticmethod
    def flops(n: int, n_targets: int, dim: int) -> int:
        """Of nine dot products a token, in a window of three by three."""
        return 18 * n * dim

    @staticmethod
    def memory(n: int, n_targets: int, dim: int) -> int:
        """The unit keys, and those of one step of the window."""
        return 8 * n * dim
