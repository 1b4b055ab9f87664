"""Merge what is alike in space, coarse squares first, then what is alike in time: spatio-temporal quadtrees."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..merge import Merge
from ..strategies import Context
from .places import before, unit_keys


@dataclass(frozen=True)
class Quadtree:
    """A square of tokens whose parts all look like their mean becomes one; then nodes join the one a frame before.

    STTM (2507.07990, ICCV 2025). Each frame is a pyramid of means over 2 x 2 children, `levels` high (of an odd side
    the first row or column stands alone). From the top, a node stays whole if the cosine of every child with it is at
    least `above`; if not, its children are looked at. Then a node joins the node at its place one frame before, which
    contains it or is contained in it, if their cosine is at least `time` (None: as `above`); of several, the first of
    these in the frame. Chains follow. Means are over children, not over area. A node's token is its first.

    Two levels are the paper's on 14 x 14 tokens. After earlier merges a node has the children that are still there, and
    "one frame before" is the last token at a place. It fails by its chains: neighbours are alike, their ends need not.
    """

    above: float = 0.85
    time: float | None = None
    levels: int = 2

    ragged = True
    knob = ("above", -1.0, 1.0)
    source = "STTM (2507.07990, ICCV 2025)"
    cost = "about 4.5 n D"

    def __post_init__(self) -> None:
        for name, value in (("above", self.above), ("time", self.time)):
            if value is not None and not -1 <= value <= 1:
                raise ValueError(f"{name} is {value}; it is a cosine, from -1 to 1.")
        if self.levels < 0:
            raise ValueError(f"levels is {self.levels}; it is 0 or more: 0 merges in time only.")

    def __call__(self, context: Context) -> Merge:
        node, mean = self._nodes(context)
        order = torch.arange(context.n, device=node.device).expand_as(node)
        earlier = before(context)
        there = node.gather(1, earlier.clamp(min=0))  # the node at this place one frame before, by its first token
        alike = _cosine(mean, mean.gather(1, there[..., None].expand_as(mean)))
        least = self.above if self.time is None else self.time
        # Of a node's partners the first: each of its tokens offers the one at its place.
        offer = torch.where((earlier >= 0) & (alike >= least), there, context.n)
        partner = torch.full_like(node, context.n).scatter_reduce(1, node, offer, "amin").gather(1, node)
        into = torch.where(partner < context.n, partner, node)
        into = torch.where(node == order, into, node)
        for _ in range(max(1, context.frames).bit_length() + 1):  # chains: from link to link, twice as far each time
            into = into.gather(1, into)
        return Merge.of(into)

    def _nodes(self, context: Context) -> tuple[Tensor, Tensor]:
        """The first token of the node that each token is in, (B, n); and the node's mean of unit keys, (B, n, D)."""
        frame = context.frame - context.frame.amin(1, keepdim=True)
        unit = unit_keys(context)
        row, column, height, width = context.row, context.column, context.height, context.width
        node = torch.arange(context.n, device=row.device).expand_as(row)
        chosen, mean, level = node, unit, unit
        for _ in range(self.levels):
            row, column = (row + height % 2) // 2, (column + width % 2) // 2
            height, width = (height + 1) // 2, (width + 1) // 2
            square = (frame * height + row) * width + column
            extent = context.frames * height * width
            # A child is counted once, at its first token.
            is_child = node == torch.arange(context.n, device=row.device)
            count = unit.new_zeros(len(unit), extent).scatter_add(1, square, is_child.to(unit.dtype))
            index = square[..., None].expand_as(unit)
            total = unit.new_zeros(len(unit), extent, unit.shape[-1]).scatter_add(1, index, level * is_child[..., None])
            parent = (total / count.clamp(min=1)[..., None]).gather(1, index)
            fits = (_cosine(level, parent) >= self.above).to(torch.uint8)
            whole = fits.new_ones(len(unit), extent).scatter_reduce(1, square, fits, "amin").gather(1, square) > 0
            start = torch.full_like(count, context.n, dtype=torch.int64).scatter_reduce(1, square, node, "amin")
            node, level = start.gather(1, square), parent
            chosen = torch.where(whole, node, chosen)
            mean = torch.where(whole[..., None], level, mean)
        return chosen, mean

    @staticmethod
    def flops(n: int, n_targets: int, dim: int) -> int:
        """Of one dot product a token on every level, and one in time: n, n / 4 and n of them with two levels."""
        return 2 * (2 * n + n // 4) * dim

    @staticmethod
    def memory(n: int, n_targets: int, dim: int) -> int:
        """The unit keys, and the means of every token's node on this level, the one below and the one that stays."""
        return 16 * n * dim


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """Along the last axis; 0 where one is zero."""
    lengths = torch.linalg.vector_norm(a, dim=-1) * torch.linalg.vector_norm(b, dim=-1)
    cosine: Tensor = (a * b).sum(-1) / lengths.clamp(min=torch.finfo(a.dtype).tiny)
    return cosine
