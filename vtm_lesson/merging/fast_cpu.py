"""Matching in two looks on processors with bfloat16 arithmetic: the same result, sooner.

First look: all cosines in bfloat16, which such processors multiply twice as fast as float32. That is too coarse to
tell near-equal targets apart, but its error has a bound. Whoever is further below the best than twice the bound
cannot be the best. Second look: those few that are left, in float32.

The bound. Let rounding turn the unit vectors a and b into a + d and b + e. Their product is then off by at most
|d| + |e| + |d||e| (Cauchy-Schwarz). These lengths are measured; they are about 1/600. Writing the best product down as
a bfloat16, which has 8 bits, adds at most 2^-8 of it; and rounding keeps the order. Sums run in float32.

`match` uses it where the processor has the instructions. A source with many near-equal targets, a still background,
say, gains nothing from a second look at each of them, and is multiplied with all targets in float32.
"""

from __future__ import annotations

import functools
import math
import warnings

import torch
from torch import Tensor

from .tiled import BLOCK, best_in_tile, nearest_tiled

COST = 16  # how many products in a matrix product cost as much as one on its own: about that, measured
SMALL = 1 << 15  # numbers in the targets' keys below which one look is faster, measured


def nearest_screened(keys: Tensor, targets: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    """`matching.nearest` by screening: the most similar target of every source, ties to the lower, and its cosine.

    Few targets, short keys and keys of float64 go the usual way, and so does everything while compiling: how many
    candidates there are depends on the values.
    """
    small = targets.shape[1] < 8 * BLOCK or targets.shape[1] * keys.shape[2] < SMALL
    if small or keys.dtype == torch.float64 or torch.compiler.is_compiling():
        return nearest_tiled(keys, targets, sources)
    _hear_once()
    worth_it, rounded_of, rounded = True, 0, None

    def look_twice(source_keys: Tensor, target_keys: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal worth_it, rounded_of, rounded
        if not worth_it:
            return best_in_tile(source_keys, target_keys, room)
        if rounded is None or rounded_of != target_keys.data_ptr():  # once for all tiles of the same targets
            rounded_of, rounded = target_keys.data_ptr(), _rounded(target_keys)
        best, similarity, hard = _screened(source_keys, target_keys, rounded, room)
        worth_it = hard < 0.5
        return best, similarity

    return nearest_tiled(keys, targets, sources, look_twice)


def _rounded(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Keys (B, K, D) in bfloat16, and how far rounding moved each of them, (B, K)."""
    rounded = keys.bfloat16()
    return rounded, torch.linalg.vector_norm(rounded.float().sub_(keys), dim=2)


def _screened(
    source_keys: Tensor, target_keys: Tensor, rounded: tuple[Tensor, Tensor], room: Tensor
) -> tuple[Tensor, Tensor, float]:
    """As `tiled.best_in_tile`, for unit keys (B, S, D) and (B, T, D), T a multiple of 64; and the share of hard rows.

    rounded: `_rounded` of the target keys.
    """
    batch, n_sources, _dim = source_keys.shape
    n_targets, rows = target_keys.shape[1], batch * n_sources
    source, target = source_keys.flatten(0, 1), target_keys.flatten(0, 1)
    row, column, hard = _candidates(source_keys, rounded, room)

    # As the places of a sparse matrix: each product is made where its two keys lie, and nothing is gathered.
    first = row.bincount(minlength=rows).cumsum(0)
    places = torch.sparse_csr_tensor(
        torch.cat([first.new_zeros(1), first]), row // n_sources * n_targets + column,
        torch.zeros(len(row), dtype=torch.float32, device=row.device),
        size=(rows, batch * n_targets), check_invariants=False,
    )  # fmt: skip
    cosine = torch.sparse.sampled_addmm(places, source, target.T, beta=0).values()
    similarity = cosine.new_full((rows,), -torch.inf).scatter_reduce_(0, row, cosine, "amax")
    column = torch.where(cosine == similarity[row], column, n_targets)
    best = column.new_full((rows,), n_targets).scatter_reduce_(0, row, column, "amin")

    best, similarity = best.view(batch, -1), similarity.view(batch, -1)
    for item, of_item in enumerate(hard.view(batch, -1)):
        here = of_item.nonzero()[:, 0]
        if len(here):
            found = best_in_tile(source_keys[item, here][None], target_keys[item][None], room)
            best[item, here], similarity[item, here] = found[0][0], found[1][0]
    return best, similarity, float(hard.float().mean())


def _candidates(source_keys: Tensor, targets: tuple[Tensor, Tensor], room: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The first look: pairs that may be best, as row (source, over all items) and column (target); and hard rows.

    targets: `_rounded` of the target keys. room: for the cosines. A row is hard, and has no pairs here, when so many
    targets are near its best that one float32 product of it with all targets costs less.
    """
    (a, d), (b, e) = _rounded(source_keys), targets
    d, e = d.flatten(), e.amax()
    shape = (a.shape[0], a.shape[1], b.shape[1])
    rough = torch.bmm(a, b.transpose(1, 2), out=room.view(torch.bfloat16)[: math.prod(shape)].view(shape))
    bound = d + e + d * e + source_keys.shape[2] * 2**-23  # the last for the sums in float32
    # Bit patterns of positive bfloat16 numbers are ordered as int16, for which there are faster instructions.
    # Negative ones all lie below the positive ones, but among themselves the wrong way round: a row without a
    # positive cosine gets a floor below zero, and is hard.
    blocks = rough.view(torch.int16).view(-1, BLOCK)
    per_row = rough.shape[2] // BLOCK
    high = blocks.amax(1).view(-1, per_row)
    best = high.amax(1).view(torch.bfloat16).float()
    floor = best * (1 - 2**-8) - 2 * bound
    hard = floor <= 0
    floor = (floor.view(torch.int32) >> 16).short()[:, None]  # the upper half of a float32 is a bfloat16, rounded down
    near = high >= floor
    hard |= 2 * near.sum(1) > per_row
    near &= ~hard[:, None]

    block = near.flatten().nonzero()[:, 0]
    may_win = blocks.index_select(0, block) >= floor[block // per_row]
    many = torch.zeros_like(hard)
    if may_win.count_nonzero() > 4 * len(hard):
        # Counted before they are listed: a list of millions of pairs would take more memory than the scores.
        in_block = may_win.view(torch.uint8).sum(1, dtype=torch.uint8)  # at most 64; a wider type would be made of all
        counts = block.new_zeros(len(hard)).index_add_(0, block // per_row, in_block.long())
        many = counts > rough.shape[2] // COST
        may_win &= ~many[block // per_row][:, None]
    pair = may_win.flatten().nonzero()[:, 0]
    block = block[pair // BLOCK]
    return block // per_row, block % per_row * BLOCK + pair % BLOCK, hard | many


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 by itself; emulation would be slower than float32."""
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None), getattr(torch.cpu, "_is_amx_tile_supported", None)
    return any(ask() for ask in known if ask is not None)


@functools.cache
def _hear_once() -> None:
    """Torch announces, once in a process, that its sparse matrices may change; readers of a lesson need not know."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor([0, 1], [0], [1.0], check_invariants=False)
