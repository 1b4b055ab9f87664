"""Random targets, one in every cell of every frame: the reducer of image generation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..matching import match
from ..merge import Merge, where_true
from ..strategies import Context
from ..tiled import TILE


@dataclass(frozen=True)
class Cells:
    """Cut every frame into cells, take one random token of each as target, merge the R sources most similar to one.

    height, width: sides of a cell, in patches; 2 x 2 as in ToMeSD (Bolya and Hoffman, CVPR workshops 2023). Cells
    that the border cuts off have no target: their tokens are all sources.

    R can be no more than n - T. Where the budget asks for more, cells grow: one patch wider, then one higher, by turns,
    up to a whole frame, then over more and more frames, until there are no more targets than tokens to keep. After a
    first merge some cells are empty, and have no target; every item has cells of its own size.

    ToMeSD draws once for the whole batch; here every item has its own draw. With `top` and out of training there is no
    chance: the first token of a cell is its target. It fails where a cell holds two things: one of them has no target.
    """

    height: int = 2
    width: int = 2

    source = "ToMeSD (2303.17604, CVPR workshops 2023)"
    cost = "at most 2 T (n - T) D"

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise ValueError(f"the cell is {self.height} x {self.width}; sides are 1 patch or more.")

    def __call__(self, context: Context) -> Merge:
        is_target = self._choose(context)
        count = is_target.sum(1)
        into = torch.arange(context.n, device=context.device).repeat(len(count), 1)
        for t in count.unique().tolist():  # items with equally many targets together
            item = (count == t).nonzero()[:, 0]
            into[item] = match(context.keys[item], where_true(is_target[item], t), context.n_merge).into
        return Merge.of(into, n_out=context.n_keep)

    def _choose(self, c: Context) -> Tensor:
        """(B, n) bool: one token of every whole cell, with the smallest cells that leave enough sources."""
        rank = torch.arange(c.n, device=c.device).expand(len(c.keys), -1)
        if c.training or not c.top:
            noise = torch.rand(rank.shape, generator=c.generator, device=c.device)
            rank = noise.argsort(1).argsort(1)  # a shuffle: no two alike
        frame = c.frame - c.frame.amin(1, keepdim=True)
        chosen, found = torch.zeros_like(rank, dtype=torch.bool), torch.zeros_like(rank[:, :1], dtype=torch.bool)
        for deep, high, wide in self._sizes(c, int(frame.max()) + 1):
            rows, columns = c.height // high, c.width // wide
            y, x = c.row // high, c.column // wide
            whole = (y < rows) & (x < columns)
            cell = torch.where(whole, (frame // deep * rows + y) * columns + x, rows * columns * c.frames)
            first = rank.new_full((len(rank), rows * columns * c.frames + 1), c.n)
            first = first.scatter_reduce(1, cell, rank, "amin").gather(1, cell)
            is_target = whole & (rank == first)
            count = is_target.sum(1, keepdim=True)
            fits = ~found & (count >= 1) & (count <= c.n_keep)
            chosen, found = chosen | (fits & is_target), found | fits
            if bool(found.all()):
                break
        return chosen

    def _sizes(self, c: Context, frames: int) -> Iterator[tuple[int, int, int]]:
        """Frames, rows and columns of a cell, from the smallest to one that holds everything."""
        for more in range(2 * max(c.height, c.width)):
            yield 1, min(self.height + more // 2, c.height), min(self.width + (more + 1) // 2, c.width)
        for deep in range(2, frames + 1):
            yield deep, c.height, c.width

    @staticmethod
    def flops(n: int, n_targets: int, dim: int) -> int:
        """At most, where all sources merge: of their product with all targets."""
        return 2 * n_targets * (n - n_targets) * dim

    @staticmethod
    def memory(n: int, n_targets: int, dim: int) -> int:
        """The tile of scores, the keys put in order, and the unit keys of the targets."""
        return 4 * (min(TILE["cpu"], n_targets * (n - n_targets)) + (n + n_targets) * dim)
