"""Which tokens are targets: the partition step, the only step in which the mergers of this course differ.

Every function here returns T = ceil(n / gamma) ascending positions, so that every strategy leaves the same number
of tokens and comparisons are fair. Your own strategy is a function of the same kind.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

Grid = tuple[int, int, int]  # frames, rows and columns of a video's tokens
GOLDEN = (math.sqrt(5) - 1) / 2


def n_targets(n: int, gamma: float) -> int:
    """Say how many of n tokens are targets at partition factor gamma: T = ceil(n / gamma).

    Parameters
    ----------
    n : int
        Tokens, 1 or more.
    gamma : float
        The partition factor, 1 or more: one token in gamma becomes a target.

    Returns
    -------
    int
        T, at least 1.

    Raises
    ------
    ValueError
        For n or gamma below 1, for an n that is not whole, and for a gamma that is not finite.

    Notes
    -----
    VTM eq. 1.

    Examples
    --------
    >>> from vtm_lesson.partition import n_targets
    >>> n_targets(100, 6)
    17
    """
    if not is_whole(n) or n < 1:
        raise ValueError(f"n is {n!r}; a partition needs a whole number of tokens, 1 or more.")
    if not ((isinstance(gamma, float | int) or hasattr(gamma, "__float__")) and math.isfinite(gamma) and gamma >= 1):
        raise ValueError(f"gamma is {gamma!r}; it is 1 or more: one token in gamma becomes a target.")
    # Just under, so that n / gamma = 5.000000001 through rounding does not become 6.
    return max(1, math.ceil(n / gamma - 1e-9))


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, of any type that has numbers; never raises."""
    if isinstance(value, int):
        return True
    try:
        return bool(int(value) == value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return False


def n_merged(n: int, gamma: float, r: float) -> int:
    """R = floor(r * |S|), how many of the |S| = n - ceil(n / gamma) sources of n tokens are merged (VTM eq. 5)."""
    return math.floor(r * (n - n_targets(n, gamma)) + 1e-9)


def uniform(
    n: int, gamma: float, offset: int = 0, device: torch.device | str | None = None, staggered: bool = False
) -> Tensor:
    """Take every gamma-th token, or one token of every run of gamma.

    Parameters
    ----------
    n : int
        Tokens, 1 or more.
    gamma : float
        The partition factor, 1 or more. It need not be whole and need not divide n.
    offset : int, optional
        Moves all targets along, round the end. It matters on video: where the stride divides the tokens of a frame,
        offset 0 hits the same places of every frame (lesson 04).
    device : torch.device or str, optional
        Where the result is made, so that it need not be copied there.
    staggered : bool, optional
        Take one token of every run of gamma, each time at another place of the run. Every gamma-th token of a video can
        reach few places of the frame: on a 14 x 14 grid half of them at gamma 6, a quarter at gamma 20, however many
        frames there are, as the stride comes round to the same places again. Staggered targets are as
        many in every stretch, and reach every place, if there are frames enough.

    Returns
    -------
    Tensor
        (T,) int64, ascending positions.

    Raises
    ------
    ValueError
        As `n_targets`, and for an offset that is not whole.

    Notes
    -----
    VTM eqs. 1-2; naive VTM. ToMe's own targets, the odd positions of an even n, are `uniform(n, 2, offset=1)`.
    `staggered` is the course's. The place in run j is the fractional part of j times the golden ratio: these numbers
    fill the range from 0 to 1 evenly and never repeat, whatever the width of the frame.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> vtm.uniform(12, 4)
    tensor([0, 4, 8])
    >>> vtm.uniform(12, 4, offset=1)
    tensor([1, 5, 9])
    >>> vtm.uniform(12, 4, staggered=True)
    tensor([0, 6, 8])
    """
    count = n_targets(n, gamma)
    n = n if isinstance(n, int) else int(n)
    offset = _checked_offset(offset)
    run = torch.arange(count + 1, dtype=torch.float64, device=device)
    starts = (run * gamma).floor().long().clamp_(max=n)
    positions = starts[:-1]
    if staggered:
        length = starts[1:] - positions
        positions = positions + (run[:-1] * GOLDEN % 1 * length).long()
    return ((positions + offset) % n).sort().values


def region(frames: int, height: int, width: int, gamma: float, focus: str = "centre", offset: int = 0) -> Tensor:
    """Take more targets in one region of every frame.

    Parameters
    ----------
    frames, height, width : int
        The token grid, so n = frames * height * width.
    gamma : float
        The partition factor, 1 or more.
    focus : {"centre", "boundary"}, optional
        The dense region. The centre is the H/2 x W/2 rectangle in the middle; the boundary is the rest.
    offset : int, optional
        As in `uniform`.

    Returns
    -------
    Tensor
        (T,) int64, ascending positions.

    Raises
    ------
    ValueError
        For another focus, a side of the grid that is not a whole number of 1 or more, and as `uniform`.

    Notes
    -----
    Region-concentrated VTM, VTM sec. 3.3: the dense region is sampled with factor gamma/2, the other with 3 gamma/2.
    T is ceil(n / gamma) as for every strategy: the dense region gets the share that those factors give it, the other
    region the rest.

    For "centre" the two factors give N / gamma by themselves: half of the targets lie in the centre. For "boundary"
    the same two factors would give 5/3 of that, so here they set the ratio of the densities (3 to 1) only.

    Target i of k in a region of m tokens is its token floor(i (m / k)), in float64. Where i m / k is whole, rounding
    can make it the token before: in region(1, 14, 14, 3) position 55 where exact arithmetic gives 56. Both spread
    evenly, and the studies were run with the former. Half of an odd side is rounded as `round` does: 2 of 5, 4 of 7.

    Examples
    --------
    Two of the four targets of a 4 x 4 frame lie in the centre, at 5 and 9.

    >>> import vtm_lesson as vtm
    >>> vtm.region(1, 4, 4, gamma=4)
    tensor([0, 5, 8, 9])
    """
    if focus not in ("centre", "boundary"):
        raise ValueError(f'focus is {focus!r}; it is "centre" or "boundary".')
    if not all(is_whole(side) and side >= 1 for side in (frames, height, width)):
        raise ValueError(f"the grid is {frames} x {height} x {width}; each must be 1 or more, and whole.")
    frames, height, width, offset = int(frames), int(height), int(width), _checked_offset(offset)
    n = frames * height * width
    count = n_targets(n, gamma)
    inside = centre_mask(height, width).flatten().repeat(frames)
    dense, sparse = (inside, ~inside) if focus == "centre" else (~inside, inside)
    n_dense, n_sparse = int(dense.sum()), int(sparse.sum())
    # Shares in the ratio that the two factors give, made to add up to T.
    share = 3 * n_dense / (3 * n_dense + n_sparse)
    k_dense = min(n_dense, max(count - n_sparse, round(count * share)))
    positions = [_spread(dense, k_dense, offset), _spread(sparse, count - k_dense, offset)]
    return torch.cat(positions).sort().values


def sample(score: Tensor, gamma: float, generator: torch.Generator | None = None, count: int | None = None) -> Tensor:
    """Sample targets without replacement, with p = softmax(score).

    Parameters
    ----------
    score : Tensor
        (B, N), one number a token, of any scale.
    gamma : float
        The partition factor, 1 or more.
    generator : torch.Generator, optional
        Makes it repeatable.
    count : int, optional
        How many, in place of T = ceil(N / gamma).

    Returns
    -------
    Tensor
        (B, T) int64, ascending positions.

    Raises
    ------
    ValueError
        For another shape, for a count that is none, for scores that are NaN (not looked for on CUDA or while
        compiling), and as `n_targets`.

    Notes
    -----
    VTM eqs. 6 and 9. Token by token: the first target is drawn with probability softmax(score), the next with the
    softmax over those that are left, and so on. Adding Gumbel noise and taking the T largest draws exactly so, in one
    step. Runs under no_grad: sampling has no gradient (lesson 07).

    Examples
    --------
    >>> import torch, vtm_lesson as vtm
    >>> score = torch.tensor([[0.0, 30.0, 0.0, 30.0]])
    >>> vtm.sample(score, 2, torch.Generator().manual_seed(0))
    tensor([[1, 3]])
    """
    count = _checked_score(score, gamma, count, "sample")
    with torch.no_grad():
        score = score.to(torch.promote_types(score.dtype, torch.float32))
        noise = torch.empty_like(score).exponential_(generator=generator).log_().neg_()
        return (score + noise).topk(count, dim=1, sorted=False).indices.sort(dim=1).values


def top(score: Tensor, gamma: float, count: int | None = None) -> Tensor:
    """Take the T tokens of highest score: `sample` without chance.

    Parameters
    ----------
    score : Tensor
        (B, N), one number a token.
    gamma : float
        The partition factor, 1 or more.
    count : int, optional
        How many, in place of T = ceil(N / gamma).

    Returns
    -------
    Tensor
        (B, T) int64, ascending positions. Ties go to the lower position.

    Raises
    ------
    ValueError
        As `sample`.

    Examples
    --------
    >>> import torch, vtm_lesson as vtm
    >>> vtm.top(torch.tensor([[0.1, 0.9, 0.4, 0.9]]), 4)
    tensor([[1]])
    """
    count = _checked_score(score, gamma, count, "top")
    order = score.detach().argsort(dim=1, descending=True, stable=True)
    return order[:, :count].sort(dim=1).values


def centre_mask(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """(H, W) bool: the H/2 x W/2 rectangle in the middle, one token at least; halves are rounded as `round` does."""
    rows, columns = max(1, round(height / 2)), max(1, round(width / 2))
    y, x = (height - rows) // 2, (width - columns) // 2
    mask = torch.zeros(height, width, dtype=torch.bool, device=device)
    mask[y : y + rows, x : x + columns] = True
    return mask


def _checked_score(score: Tensor, gamma: float, count: int | None, name: str) -> int:
    """How many targets are taken by this score, or a ValueError."""
    if not isinstance(score, Tensor) or score.dim() != 2 or 0 in score.shape:
        given = f"has shape {tuple(score.shape)}" if isinstance(score, Tensor) else f"is of type {type(score).__name__}"
        raise ValueError(f"score {given}; {name} needs a tensor (B, N), one number a token.")
    n = score.shape[1]
    if count is None:
        count = n_targets(n, gamma)
    elif not is_whole(count) or not 0 <= count <= n:
        raise ValueError(f"count is {count!r}; of {n} tokens, targets are a whole number from 0 to {n}.")
    if score.device.type == "cpu" and not torch.compiler.is_compiling() and bool(score.isnan().any()):
        raise ValueError("score holds NaN; every token needs a number: look at what made the scores.")
    return count


def _checked_offset(offset: int) -> int:
    if not is_whole(offset):
        raise ValueError(f"offset is {offset!r}; targets move along by a whole number of tokens.")
    return int(offset)


def _spread(mask: Tensor, count: int, offset: int) -> Tensor:
    """`count` positions spread evenly over where mask is true, moved along by `offset` of them.

    In floats, as `region` says; whole numbers, i * m // k, would move targets of stored studies.
    """
    positions = mask.nonzero()[:, 0]
    if count == 0:
        return positions[:0]
    step = len(positions) / count
    turned = (torch.arange(count, dtype=torch.float64) * step).floor().long() + offset
    return positions[turned % len(positions)].sort().values
