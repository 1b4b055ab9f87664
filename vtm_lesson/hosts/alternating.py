"""ToMe's own matching in few calls: as every other token is a target, sources and targets are slices.

An image has some hundred tokens. Matching and averaging so few costs a processor next to no arithmetic: what counts is
how many calls it takes, as each comes after large matrix products that have emptied its caches. `merging.match` takes
any targets and a `Merge` averages any groups; here both are known to be of one simple kind, and a third of the calls is
enough. The groups are those of `match(keys, alternate(n, prefix), r)`, ties included; where rounding makes two cosines
equal either may win, as there. Long sequences, GPUs and compiled models go the usual way.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from ..merging.merge import Merge
from ..merging.tiled import SAFE, TILE, values_can_be_read


class Step:
    """What one block merges, by any Merge."""

    def __init__(self, merge: Merge):
        self.merge = merge

    @property
    def present(self) -> Tensor | None:
        """(B, M) bool: which outputs are tokens and which are padding; None where all are tokens."""
        return self.merge.present

    def average(self, x: Tensor, size: Tensor | None) -> tuple[Tensor, Tensor]:
        """x (B, N, C) averaged by size (B, N), None for sizes of 1: (B, M, C); and the new sizes, (B, M) float32."""
        return self.merge(x, weight=size), self.merge.size(size)


class Alternate(Step):
    """What ToMe's own matching merges: r tokens of each item. Its Merge is made when somebody asks for it.

    Tokens are numbered through the batch here: token i of item b is b N + i, and output i is b M + i.

    Parameters
    ----------
    batch, n : int
        B and N.
    source, target : Tensor
        (B r,) int64, the tokens that are merged away, and those that they go into.
    """

    def __init__(self, batch: int, n: int, source: Tensor, target: Tensor):
        survives = torch.ones(batch * n, dtype=torch.bool).index_fill_(0, source, False)
        self.batch, self.source = batch, source
        self.keep = survives.nonzero()[:, 0]  # (B M,), the token that each output continues
        self.count = survives.cumsum(0)  # (B N,), survivors up to here
        self.into = self.count.index_select(0, target) - 1  # (B r,), the output that each source goes into

    present = None

    @cached_property
    def merge(self) -> Merge:  # type: ignore[override]  # the same, made later
        """The Merge."""
        item = torch.arange(self.batch)[:, None]
        group = (self.count - 1).index_copy(0, self.source, self.into).view(self.batch, -1)
        keep = self.keep.view(self.batch, -1)
        return Merge(group - item * keep.shape[1], keep - item * group.shape[1])

    def average(self, x: Tensor, size: Tensor | None) -> tuple[Tensor, Tensor]:
        if x.dtype not in SAFE:  # sums of 16-bit numbers need care
            return super().average(x, size)
        flat = torch.ones(x.shape[0] * x.shape[1]) if size is None else size.reshape(-1)
        gained = flat.index_select(0, self.source)
        new = flat.index_select(0, self.keep).index_add_(0, self.into, gained)
        share = gained.to(x.dtype) / new.index_select(0, self.into).to(x.dtype)
        # The shares of a group add up to 1. So its average is target + sum of share * (source - target), and tokens
        # that gain nothing are only copied.
        rows = x.reshape(-1, x.shape[2])
        y = rows.index_select(0, self.keep)
        change = rows.index_select(0, self.source) - y.index_select(0, self.into)
        y.index_add_(0, self.into, change * share[:, None])
        return y.view(self.batch, -1, x.shape[2]), new.view(self.batch, -1)


def nearest_alternate(keys: Tensor, prefix: int) -> tuple[Tensor, Tensor] | None:
    """The most similar target of every source, where odd places in the sequence are targets.

    keys: (B, N, D), of which the first `prefix` are neither. Gives the number of each source's target, (B, S) int64,
    and their cosine, (B, S). None where one has to look in the usual way, `merging.nearest`.
    """
    batch, n, _dim = keys.shape
    fits = batch * (n - prefix) ** 2 <= 4 * TILE["cpu"]  # all scores together are one tile
    if not fits or not values_can_be_read(keys) or torch.is_autocast_enabled("cpu"):
        return None
    keys = keys.to(torch.promote_types(keys.dtype, torch.float32))
    length = torch.linalg.vector_norm(keys, dim=2, keepdim=True)
    shortest, longest = length.aminmax()
    low, high = SAFE[keys.dtype]
    if not (shortest.item() >= low and longest.item() < high):  # zeros, squares that overflow, or NaN
        return None
    unit = keys / length
    scores = torch.bmm(unit[:, _first_source(prefix) :: 2], unit[:, _first_target(prefix) :: 2].transpose(1, 2))
    similarity, best = scores.max(dim=2)  # the first of equal maxima
    return best, similarity


def merge_nearest(best: Tensor, similarity: Tensor, n: int, prefix: int, r: int) -> Alternate:
    """Merge the r most similar sources of what `nearest_alternate` gave for n tokens."""
    batch = len(best)
    chosen = similarity.argsort(dim=1, descending=True, stable=True)[:, :r]  # ties go to the lower position
    item = torch.arange(0, batch * n, n)[:, None]
    source = torch.add(item + _first_source(prefix), chosen, alpha=2)
    target = torch.add(item + _first_target(prefix), best.gather(1, chosen), alpha=2)
    return Alternate(batch, n, source.view(-1), target.view(-1))


def _first_source(prefix: int) -> int:
    return prefix + prefix % 2


def _first_target(prefix: int) -> int:
    return prefix + 1 - prefix % 2
