"""Matching in two looks on processors with bfloat16 arithmetic: the same result, sooner.

First look: all cosines in bfloat16, which such processors multiply twice as fast as float32. That is too coarse to
tell near-equal targets apart, but its error has a bound. Whoever is further below the best than twice the bound
cannot be the best. Second look: those few that are left, in float32.

The bound. Let rounding turn the unit vectors a and b into a + d and b + e. Their product is then off by at most
|d| + |e| + |d||e| (Cauchy-Schwarz). These lengths are measured; they are about 1/600. Writing the best product down as
a bfloat16, which has 8 bits, adds at most 2^-8 of it; and rounding keeps the order. Sums run in float32.

`match` uses it where the processor has the instructions. A patch that stands still in a film has one near-equal target
in every few frames, and is looked at twice. A source that a sixteenth of all targets are near, a film of one colour,
say, gains nothing from a second look at each of them, and is multiplied with all targets in float32.
"""

from __future__ import annotations

import functools
import math
import warnings

import torch
from torch import Tensor

from .tiled import BLOCK, directions, in_blocks, nearest_tiled, tiles

COST = 16  # how many products in a matrix product cost as much as one on its own: about that, measured
HIGHEST = 0x7FFF  # as int16; no number has these bits in bfloat16
SMALL = 40_000  # numbers in the targets' keys below which one look is faster, measured


def nearest_screened(keys: Tensor, targets: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    """`matching.nearest` by screening: the most similar target of every source, ties to the lower, and its cosine.

    Few targets, short keys and keys of float64 go the usual way, and so does everything while compiling: how many
    candidates there are depends on the values.
    """
    small = targets.shape[1] < 8 * BLOCK or targets.shape[1] * keys.shape[2] < SMALL
    if small or keys.dtype == torch.float64 or torch.compiler.is_compiling():
        return nearest_tiled(keys, targets, sources)
    _hear_once()
    columns = in_blocks(targets)
    target_keys = directions(keys, columns)
    rounded, error = _rounded(target_keys)
    best = torch.empty(sources.shape, dtype=torch.int64)
    similarity = torch.empty(sources.shape, dtype=torch.float32)
    left = torch.ones(sources.shape, dtype=torch.bool)  # whose target is still to be found
    room: Tensor | None = None
    for here in tiles(sources, columns, keys, scores=2, own=0.5):  # scores have half the bytes, keys are copied
        source_keys = directions(keys[here[0]], sources[here])
        if room is None:
            room = rounded.new_empty(source_keys.shape[:2].numel() * columns.shape[1])
        row, column, hard = _candidates(source_keys, (rounded[here[0]], error[here[0]]), room)
        best[here], similarity[here] = _best_of(row, column, source_keys, target_keys[here[0]])
        left[here] = hard.view(left[here].shape)
        if hard.count_nonzero() > len(hard) // 2:
            break  # most likely the rest is of the same kind
    del room
    for item in left.any(1).nonzero()[:, 0].tolist():
        one, still = slice(item, item + 1), left[item].nonzero()[:, 0]
        found = nearest_tiled(keys[one], targets[one], sources[one, still])
        best[item, still], similarity[item, still] = found[0][0], found[1][0]
    return best, similarity


def _rounded(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Keys (B, K, D) in bfloat16, and how far rounding moved each of them, (B, K)."""
    rounded = keys.bfloat16()
    return rounded, torch.linalg.vector_norm(rounded.float().sub_(keys), dim=2)


def _candidates(source_keys: Tensor, targets: tuple[Tensor, Tensor], room: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The first look: pairs that may be best, as row (source, over all items) and column (target); and hard rows.

    source_keys: (B, S, D), of length 1. targets: `_rounded` of the target keys, T a multiple of 64. room: for the
    cosines. A row is hard, and has no pairs here, when so many targets are near its best that one float32 product of it
    with all targets costs less.
    """
    (a, d), (b, e) = _rounded(source_keys), targets
    d, e = d.flatten(), e.amax()
    shape = (a.shape[0], a.shape[1], b.shape[1])
    rough = room[: math.prod(shape)].view(shape)
    for source, target, scores in zip(a, b.transpose(1, 2), rough, strict=True):  # bmm takes a quarter longer
        torch.mm(source, target, out=scores)
    bound = d + e + d * e + source_keys.shape[2] * 2**-23  # the last for the sums in float32
    # Bit patterns of positive bfloat16 numbers are ordered as int16, for which there are faster instructions.
    # Negative ones all lie below the positive ones, but among themselves the wrong way round: a row without a
    # positive cosine gets a floor below zero, and is hard.
    blocks = rough.view(torch.int16).view(-1, BLOCK)
    per_row = shape[2] // BLOCK
    high = blocks.amax(1).view(-1, per_row)
    floor = high.amax(1).view(torch.bfloat16).float() * (1 - 2**-8) - 2 * bound
    hard = floor <= 0
    floor = (floor.view(torch.int32) >> 16).short()  # the upper half of a float32 is a bfloat16, rounded down
    floor = floor.masked_fill_(hard, HIGHEST)[:, None]

    block = (high >= floor).flatten().nonzero()[:, 0]
    row = block // per_row
    may_win = blocks.index_select(0, block) >= floor.index_select(0, row)
    if may_win.count_nonzero() > 4 * len(hard):
        # Counted before they are listed: a list of millions of pairs would take more memory than the scores.
        in_block = may_win.view(torch.uint8).sum(1, dtype=torch.uint8)  # at most 64; a wider type would be made of all
        counts = block.new_zeros(len(hard)).index_add_(0, row, in_block.long())
        many = counts > shape[2] // COST
        may_win &= ~many[row][:, None]
        hard |= many
    pair = may_win.flatten().nonzero()[:, 0]
    of = pair // BLOCK
    row = row[of]
    return row, block[of] * BLOCK + pair % BLOCK - row * shape[2], hard


def _best_of(row: Tensor, column: Tensor, source_keys: Tensor, target_keys: Tensor) -> tuple[Tensor, Tensor]:
    """The second look: of the pairs of each row the one of largest cosine, the lower column of equal ones.

    row (ascending), column: (P,) int64 from `_candidates`, of unit keys (B, S, D) and (B, T, D). Gives column and
    cosine, (B, S) each; rows without pairs get nothing of use.
    """
    batch, n_sources, _ = source_keys.shape
    rows, n_targets = batch * n_sources, target_keys.shape[1]
    # As the places of a sparse matrix: each product is made where its two keys lie, and nothing is gathered.
    first = torch.searchsorted(row, torch.arange(rows + 1))  # of each row's pairs
    of_all = column if batch == 1 else row // n_sources * n_targets + column
    places = torch.sparse_csr_tensor(
        first, of_all, torch.zeros(len(row), dtype=torch.float32),
        size=(rows, batch * n_targets), check_invariants=False,
    )  # fmt: skip
    source, target = source_keys.flatten(0, 1), target_keys.flatten(0, 1)
    cosine = torch.sparse.sampled_addmm(places, source, target.T, beta=0).values()
    similarity = cosine.new_full((rows,), -torch.inf).scatter_reduce_(0, row, cosine, "amax")
    column = torch.where(cosine == similarity[row], column, n_targets)
    best = column.new_full((rows,), n_targets).scatter_reduce_(0, row, column, "amin")
    return best.view(batch, -1), similarity.view(batch, -1)


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
