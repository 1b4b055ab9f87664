"""Merge tokens of large clusters, protect tokens that stand alone: PiToMe."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..matching import nearest
from ..merge import Merge
from ..strategies import Context
from ..tiled import TILE, normalised


@dataclass(frozen=True)
class Energy:
    """Rank tokens by energy; the first 2R are sources and targets by turns, and every source joins its best target.

    E_i = mean over j of f(c_ij), with f(c) = c where c >= m, else exp(c - m) - 1 (PiToMe, Tran et al., NeurIPS 2024):
    high in a large cluster, low for a token like no other, which is protected. The margin m falls with depth,
    m = margin * (1 - block / blocks); where the depth is not known, it is half of `margin`.

    The paper merges at most half of the tokens, 2R <= n. For more there are rounds, floor(log2(n / n_keep)) + 1 of
    about equal shares: as many as protect some tokens in each. Keys are averaged between rounds, by size.

    It costs several times a match, as the energy needs all pairs (in tiles: memory is linear in n). The authors' code
    protects nothing in the first half of a network; here all blocks are alike. It fails where what matters is large,
    an actor close to the camera: that is a cluster as a wall is one.
    """

    margin: float = 0.75

    source = "PiToMe (2405.16148, NeurIPS 2024)"
    cost = "n^2 D to 2 n^2 D, and 2 R^2 D, in each round"

    def __call__(self, context: Context) -> Merge:
        share = 0.5 if context.depth is None else 1 - context.depth[0] / context.depth[1]
        keys, size = context.keys, context.size
        merge = Merge.identity(len(keys), context.n, context.device)
        while merge.n_out > context.n_keep:
            n, left = merge.n_out, next_count(merge.n_out, context.n_keep)
            rank = energy(keys, self.margin * share).argsort(dim=1, descending=True, stable=True)
            sources, targets = (rank[:, i : 2 * (n - left) : 2].sort(1).values for i in (0, 1))
            best, _ = nearest(keys, targets, sources)
            into = torch.arange(n, device=keys.device).repeat(len(keys), 1)
            once = Merge.of(into.scatter_(1, sources, targets.gather(1, best)), n_out=left)
            keys, size = once(keys, size), once.size(size)
            merge = merge.then(once)
        return merge

    @staticmethod
    def flops(n: int, n_targets: int, dim: int) -> int:
        """Of the cosines of all with all, and of sources with targets, in every round down to n_targets."""
        cost, side = 0, tile_side("cpu", 1)
        while n > n_targets:
            left = next_count(n, n_targets)
            pairs = sum(min(side, n - i) * (n - i) for i in range(0, n, side))
            cost, n = cost + 2 * (pairs + (n - left) ** 2) * dim, left
        return cost

    @staticmethod
    def memory(n: int, n_targets: int, dim: int) -> int:
        """The unit keys, and a tile of cosines with what is made of it."""
        return 4 * (n * dim + 4 * min(tile_side("cpu", 1), n) ** 2)


def next_count(n: int, n_keep: int) -> int:
    """How many of n tokens a round leaves on the way to n_keep: at least half."""
    if 2 * n_keep >= n:
        return n_keep
    rounds = math.floor(math.log2(n / n_keep)) + 1
    return max((n + 1) // 2, int(n * math.pow(n_keep / n, 1 / rounds)))


def tile_side(kind: str, batch: int) -> int:
    """The side of a square tile of cosines: four of them, of all items, fit into what other matchers use for one."""
    return max(1, math.isqrt(TILE.get(kind, TILE["cpu"]) // (4 * batch)))


def energy(keys: Tensor, margin: float) -> Tensor:
    """(B, n, D) -> (B, n). Rounded to 2**-16: in flat regions many are equal, and their order is then their position's.

    Cosines are symmetric: each square tile of them serves its rows and its columns.
    """
    unit = normalised(keys.to(torch.promote_types(keys.dtype, torch.float32), copy=True))[0]
    batch, n, _ = unit.shape
    side = tile_side(keys.device.type, batch)
    total = unit.new_zeros(batch, n)
    with torch.autocast(keys.device.type, enabled=False):
        for i in range(0, n, side):
            for j in range(i, n, side):
                rows, columns = slice(i, i + side), slice(j, j + side)
                cosine = unit[:, rows] @ unit[:, columns].transpose(1, 2)
                value = torch.where(cosine >= margin, cosine, torch.expm1(cosine - margin))
                total[:, rows] += value.sum(2)
                if j > i:
                    total[:, columns] += value.sum(1)
    return (total / n * 2**16).round()
