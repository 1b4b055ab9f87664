"""The nearest target of every source, a tile of scores at a time, and the numerics that all matchers share.

`nearest_tiled` is what `match` rests on everywhere; `fast_cpu` and `fast_cuda` find the same targets sooner where the
hardware has what they need.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

# Scores are made in tiles of about this many numbers: 4M floats are 16 MiB, which stay in a processor's cache
# while the largest of each row is looked for. A GPU wants larger pieces of work.
TILE = {"cpu": 1 << 22, "cuda": 1 << 26}
BLOCK = 64  # targets whose best is found together

# Lengths of keys whose squares neither overflow nor vanish.
SAFE = {torch.float32: (1e-12, 1e15), torch.float64: (1e-100, 1e100)}


def nearest_tiled(keys: Tensor, targets: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    """`matching.nearest`, a tile of sources at a time, so that scores never fill more than a tile."""
    batch, n_sources, n_targets = keys.shape[0], sources.shape[1], targets.shape[1]
    targets = in_blocks(targets)
    target_keys = directions(keys, targets, zero=0.0)
    best = sources.new_empty(batch, n_sources)
    similarity = target_keys.new_empty(batch, n_sources)
    room: Tensor | None = None
    for here in tiles(sources, targets, keys):
        source_keys = directions(keys[here[0]], sources[here])
        if room is None:  # one tile's scores, used again by the next tile
            room = target_keys.new_empty(source_keys.shape[:2].numel() * targets.shape[1])
        best[here], similarity[here] = best_in_tile(source_keys, target_keys[here[0]], room)
    if not values_can_be_read(similarity):
        # As a source, ranked last it spoils its own row; ranked nowhere it would spoil the counts.
        similarity = similarity.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
    return best if n_targets == targets.shape[1] else best.masked_fill_(best >= n_targets, 0), similarity


def tiles(
    sources: Tensor, targets: Tensor, keys: Tensor, scores: float = 1, own: float = 1
) -> Iterator[tuple[slice, slice]]:
    """Items and sources, piece by piece, so that scores, and the sources' own keys, fill so many tiles at most."""
    (batch, n_sources), tile = sources.shape, TILE.get(keys.device.type, TILE["cpu"])
    fit = min(int(scores * tile) // targets.shape[1], int(own * tile) // keys.shape[2])  # sources
    items = max(1, min(batch, fit // max(1, n_sources)))
    step = max(1, min(n_sources, fit))
    for i in range(0, batch, items):
        for j in range(0, n_sources, step):
            yield slice(i, i + items), slice(j, j + step)


def in_blocks(targets: Tensor) -> Tensor:
    """targets (B, T); where they are many, the last block of 64 is filled with copies of the first target.

    They tie with the first column, and ties go to the first.
    """
    missing = -targets.shape[1] % BLOCK
    if targets.shape[1] < 4 * BLOCK or not missing:
        return targets
    return torch.cat([targets, targets[:, :1].expand(-1, missing)], dim=1)


def directions(keys: Tensor, positions: Tensor, zero: float | None = None) -> Tensor:
    """keys (B, N, D) at positions (B, K), scaled to length 1, in float32 or better: (B, K, D). Zeros stay zeros.

    ValueError for a NaN or infinity. Where values cannot be read nobody refuses it; rows with one are then `zero`, if
    that is given: as a target such a key would be everybody's best.
    """
    unit, length = normalised(rows(keys, positions))
    return unit if zero is None or values_can_be_read(length) else torch.where(length.isfinite(), unit, zero)


def best_in_tile(source_keys: Tensor, target_keys: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
    """Unit keys (B, S, D) and (B, T, D): the first best target of each source and its cosine. Scores go to `room`."""
    shape = (*source_keys.shape[:2], target_keys.shape[1])
    scores = torch.bmm(source_keys, target_keys.transpose(1, 2), out=room[: math.prod(shape)].view(shape))
    return first_max(scores)


def first_max(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The first position of each row's maximum, and the maximum: (..., T) -> (...), (...).

    Long rows go in blocks: find each block's maximum (which runs on vector instructions), then search the winning
    block alone. It takes about half the time of one search for maximum and position together.
    """
    if scores.shape[-1] < 4 * BLOCK or scores.shape[-1] % BLOCK:
        best = scores.argmax(-1)
        return best, scores.gather(-1, best[..., None])[..., 0]
    blocks = scores.view(-1, scores.shape[-1] // BLOCK, BLOCK)
    winner = blocks.amax(-1).argmax(-1)
    first = torch.arange(len(blocks), device=scores.device) * blocks.shape[1]
    rows = blocks.flatten(0, 1).index_select(0, first + winner)
    column = rows.argmax(-1)
    largest = rows.gather(-1, column[:, None])
    return (winner * BLOCK + column).view(scores.shape[:-1]), largest.view(scores.shape[:-1])


def positions(mask: Tensor, count: int) -> Tensor:
    """Where each row of a (B, N) bool mask is true, (B, count), ascending; every row has `count` trues.

    On a GPU nonzero would stop and count; this has a shape known beforehand.
    """
    batch, n = mask.shape
    if values_can_be_read(mask):
        return mask.nonzero()[:, 1].view(batch, count)
    slot = torch.where(mask, mask.cumsum(1) - 1, count)  # the false ones all go to one spare slot at the end
    order = torch.arange(n, device=mask.device).expand(batch, n)
    return order.new_zeros(batch, count + 1).scatter_(1, slot, order)[:, :count]


def others(targets: Tensor, n: int) -> Tensor:
    """The source positions: (B, T) targets -> (B, N - T), ascending."""
    mask = torch.ones(targets.shape[0], n, dtype=torch.bool, device=targets.device)
    return positions(mask.scatter_(1, targets, False), n - targets.shape[1])


def rows(x: Tensor, positions: Tensor) -> Tensor:
    """x (B, N, D) at positions (B, K): (B, K, D), in float32 or better."""
    batch, n, dim = x.shape
    flat = positions if batch == 1 else positions + torch.arange(batch, device=x.device)[:, None] * n
    rows = x.reshape(batch * n, dim).index_select(0, flat.reshape(-1))
    return rows.to(torch.promote_types(x.dtype, torch.float32)).view(batch, positions.shape[1], dim)


def normalised(x: Tensor) -> tuple[Tensor, Tensor]:
    """x, float32 or float64, scaled in place to length 1 along its last axis; and each row's length, about.

    Rows of zeros stay zeros. The second result is finite where the row is. ValueError for a NaN or infinity, where
    values can be read.
    """
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    low, high = SAFE[x.dtype]
    if values_can_be_read(x) and all_between(length, low, high):
        return x.div_(length), length
    # Squares of such numbers may overflow or vanish: scale each row by a power of two first, which rounds nothing, so
    # that a row's result does not depend on its neighbours.
    size = torch.maximum(x.amax(-1, keepdim=True), x.amin(-1, keepdim=True).neg())
    refuse_non_finite(size)
    limit = int(math.log2(torch.finfo(x.dtype).max)) - 2
    x.mul_(torch.ldexp(torch.ones_like(size), -torch.frexp(size).exponent.clamp(-limit, limit)))
    return x.div_(torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_(min=torch.finfo(x.dtype).tiny)), size


def values_can_be_read(x: Tensor) -> bool:
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def all_between(x: Tensor, low: float, below: float) -> bool:
    """Whether low <= x < below everywhere, in one pass. A NaN is not between."""
    smallest, largest = x.detach().aminmax()
    return bool(smallest >= low) and bool(largest < below)


def refuse_non_finite(x: Tensor) -> None:
    if values_can_be_read(x) and not all_between(x, torch.finfo(x.dtype).min, math.inf):
        raise ValueError("keys hold NaN or infinite numbers; matching needs finite keys: look at what made them.")
