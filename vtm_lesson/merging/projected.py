"""Matching on keys that are never made: keys are x W^T, and only those of the targets are multiplied out.

A source's best target is the one of largest k_s . k_t / |k_t|; the source's own length is the same for all of them.
With k_s = W x_s that is x_s . (W^T k_t / |k_t|): carry the few targets' unit keys back through W, and compare every
token with them as it is. N D C multiply-adds become 2 T D C. Where only the R most similar sources merge, they are
ranked by cosines, which need every source's length and so its key: that is `matching.match`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .merge import Merge
from .tiled import TILE, first_max, normalised, refuse_non_finite, rows, values_can_be_read


@torch.no_grad()
def match_projected(x: Tensor, projection: Tensor, targets: Tensor) -> Merge:
    """Compute match(x @ projection.T, targets), with all sources merged, without making the sources' keys.

    Parameters
    ----------
    x : Tensor
        (B, N, C), what the keys are made of: float64, float32, bfloat16 or float16.
    projection : Tensor
        (D, C).
    targets : Tensor
        (B, T) int64, ascending positions.

    Returns
    -------
    Merge
        From N to T tokens. Targets whose cosines differ by rounding only may change places, as in `match`.

    Raises
    ------
    ValueError
        For targets whose keys are NaN or infinite.

    Notes
    -----
    VTM eq. 3. 2 T C (2 D + N) FLOPs, and no more scores at once than fill a tile.

    Examples
    --------
    >>> import torch, vtm_lesson as vtm
    >>> from vtm_lesson.merging.projected import match_projected
    >>> x, W = torch.randn(1, 60, 16), torch.randn(8, 16)
    >>> targets = vtm.uniform(60, 6).expand(1, -1)
    >>> torch.equal(match_projected(x, W, targets).group, vtm.match(x @ W.T, targets).group)
    True
    """
    W = projection.to(torch.promote_types(projection.dtype, torch.float32))
    keys, length = normalised(rows(x, targets) @ W.T)
    refuse_non_finite(length)
    if not values_can_be_read(length):  # nobody has refused a NaN: as a target it must not be everybody's best
        keys = torch.where(length.isfinite(), keys, 0)
    towards = (keys @ W).transpose(1, 2)
    batch, n, count = len(x), x.shape[1], targets.shape[1]
    best = targets.new_empty(batch, n)
    tile = TILE.get(x.device.type, TILE["cpu"])
    widest = max(count, x.shape[2])
    items, step = max(1, min(batch, tile // (n * widest))), max(1, min(n, tile // widest))
    for i in range(0, batch, items):
        for j in range(0, n, step):
            here = slice(i, i + items), slice(j, j + step)
            best[here] = first_max(torch.bmm(x[here].to(W.dtype), towards[i : i + items]))[0]
    # Targets were compared as well, which costs less than to pick the others out; they keep their own number.
    number = torch.arange(count, device=targets.device).expand(batch, count)
    return Merge(best.scatter_(1, targets, number), targets.clone())
