"""Match tokens and merge them: the one operator that every lesson rests on.

Token merging has three steps (ToMe; VTM eqs. 1-5). *Partition* splits the N tokens into targets and sources.
*Match* finds, for every source, the target whose key points in the most similar direction. *Merge* averages
every target with the sources that were matched to it.

    targets = uniform(n, gamma=4)          # partition (see `vtm_lesson.partition`)
    merge = match(keys, targets, n_merge)  # match: keys (B, N, D) -> an assignment, a `Merge`
    y = merge(x)                           # merge: (B, N, C) -> (B, N - n_merge, C)

`match_plain` is the same function written for reading. It stores every score, so it needs memory quadratic in N.
`match` gives the same assignment with memory linear in N, and faster. Both run under `no_grad`: an assignment has
no gradient. The averages of a `Merge` do.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .fast_cpu import has_bfloat16, nearest_screened
from .merge import Merge
from .partition import is_whole
from .tiled import nearest_tiled, normalised, others, positions, refuse_non_finite, rows, values_can_be_read

Matcher = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]

# How the nearest target is found, by device type; filled on first use (`_look_for_matcher`). All give the same result.
MATCHERS: dict[str, Matcher] = {}


@torch.no_grad()
def match(keys: Tensor, targets: Tensor, n_merge: int | None = None) -> Merge:
    """Match every source to its most similar target, and merge the n_merge most similar sources.

    Parameters
    ----------
    keys : Tensor
        (B, N, D), float64, float32, bfloat16 or float16. Similarity is the cosine of two keys, in float32 or better.
        A key of zeros has no direction: its similarity to everything is 0.
    targets : Tensor
        (T,) or (B, T) int64, ascending positions, the output of a partition. All others are sources.
    n_merge : int, optional
        R, how many sources are merged, from 0 to N - T. Default: all of them.

    Returns
    -------
    Merge
        From N to N - R tokens.

    Raises
    ------
    ValueError
        For wrong shapes or positions, and for keys that are NaN or infinite. Values are not looked at on CUDA or
        while compiling, where looking would make the processor wait.

    Notes
    -----
    VTM eqs. 3 and 5. Ties, in target or in rank, go to the lower position: ties of the cosines as they are computed.
    Where they differ by rounding only, by some 1e-6 in float32, either may win, and of equal keys not always the first:
    a matrix product adds its terms in another order at another place. Memory is linear in N.

    Examples
    --------
    Tokens 0 and 2 are targets. Token 1 is like token 0 and merges into it; token 3 is left alone.

    >>> import torch, vtm_lesson as vtm
    >>> keys = torch.tensor([[[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.5, 0.5]]])
    >>> merge = vtm.match(keys, vtm.uniform(4, 2), n_merge=1)
    >>> merge
    Merge(4 -> 3 tokens, batch 1)
    >>> merge.group
    tensor([[0, 0, 1, 2]])
    """
    targets, n_merge = _checked_input(keys, targets, n_merge)
    batch, n, _ = keys.shape
    if n_merge == 0:
        refuse_non_finite(keys)
        return Merge.identity(batch, n, keys.device)
    sources = others(targets, n)
    best, similarity = _nearest(keys, targets, sources)
    return _assign(n, targets, sources, best, similarity, n_merge)


@torch.no_grad()
def match_plain(keys: Tensor, targets: Tensor, n_merge: int | None = None) -> Merge:
    """Compute what `match` computes, written for reading: it stores all |S| x |T| scores.

    Parameters
    ----------
    keys : Tensor
        (B, N, D), as for `match`.
    targets : Tensor
        (T,) or (B, T) int64, as for `match`.
    n_merge : int, optional
        As for `match`.

    Returns
    -------
    Merge
        The same as from `match`, up to ties (see there).

    Raises
    ------
    ValueError
        As `match`.

    Notes
    -----
    VTM eqs. 3 and 5. Memory is quadratic in N.

    Examples
    --------
    >>> import torch, vtm_lesson as vtm
    >>> keys = torch.randn(1, 60, 8, generator=torch.Generator().manual_seed(0))
    >>> targets = vtm.uniform(60, 6)
    >>> torch.equal(vtm.match_plain(keys, targets).group, vtm.match(keys, targets).group)
    True
    """
    targets, n_merge = _checked_input(keys, targets, n_merge)
    sources = others(targets, keys.shape[1])
    unit = normalised(keys.to(torch.promote_types(keys.dtype, torch.float32), copy=True))[0]
    with torch.autocast(keys.device.type, enabled=False):  # which would make the product in half precision
        scores = rows(unit, sources) @ rows(unit, targets).transpose(1, 2)
    best = scores.argmax(dim=2)  # the first of equal maxima
    similarity = scores.gather(2, best[:, :, None])[:, :, 0]
    return _assign(keys.shape[1], targets, sources, best, similarity, n_merge)


@torch.no_grad()
def nearest(keys: Tensor, targets: Tensor, sources: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Find for every source its most similar target, and how similar it is: the match step alone.

    Use it to merge above a threshold: count the similarities above it, and give that count to `match`.

    Parameters
    ----------
    keys : Tensor
        (B, N, D), as for `match`.
    targets : Tensor
        (T,) or (B, T) int64, as for `match`.
    sources : Tensor, optional
        (S,) or (B, S) int64, positions from 0 to N - 1. Default: all that are not targets, ascending.

    Returns
    -------
    best : Tensor
        (B, S) int64, the number of the target, from 0 to T - 1.
    similarity : Tensor
        (B, S), the cosine, in float32 or better.

    Raises
    ------
    ValueError
        As `match`.

    Notes
    -----
    VTM eq. 3. Ties go to the lower target, up to rounding, as in `match`. Memory is linear in N.

    Examples
    --------
    >>> import torch, vtm_lesson as vtm
    >>> keys = torch.tensor([[[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [1.0, 0.0]]])
    >>> best, similarity = vtm.nearest(keys, torch.tensor([0, 2]))
    >>> best
    tensor([[1, 0]])
    >>> int((similarity > 0.9).sum())
    1
    """
    targets, _ = _checked_input(keys, targets, None)
    batch, n, _ = keys.shape
    sources = others(targets, n) if sources is None else _checked_positions("sources", sources, keys)
    return _nearest(keys, targets, sources.expand(batch, -1))


def _nearest(keys: Tensor, targets: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    kind = keys.device.type
    _look_for_matcher(kind)
    return MATCHERS[kind](keys, targets, sources)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # the compiler need not look inside
def _look_for_matcher(kind: str) -> bool:
    """Put the fastest matcher for devices of this type ("cpu", "cuda", ...) into MATCHERS, once.

    Not while `vtm_lesson` is imported: asking a machine what it can do takes time, and wakes its GPU.
    """
    if kind not in MATCHERS:
        MATCHERS[kind] = _fastest(kind)
    return True


def _fastest(kind: str) -> Matcher:
    if kind == "cpu":
        return nearest_screened if has_bfloat16() else nearest_tiled
    if kind == "cuda":
        try:
            from . import fast_cuda
        except ImportError:  # no Triton
            return nearest_tiled
        return fast_cuda.nearest_fused if fast_cuda.usable() else nearest_tiled
    return nearest_tiled


def _assign(n: int, targets: Tensor, sources: Tensor, best: Tensor, similarity: Tensor, n_merge: int) -> Merge:
    """Turn matches into a Merge: pick the n_merge most similar sources, then number the tokens that survive."""
    batch, n_sources = sources.shape
    if n_merge == n_sources:  # the targets survive, and no one else
        group = targets.new_empty(batch, n).scatter_(1, sources, best)
        number = torch.arange(targets.shape[1], device=targets.device).expand(batch, -1)
        return Merge(group.scatter_(1, targets, number), targets.clone())
    rank = similarity.argsort(dim=1, descending=True, stable=True)  # stable: ties go to the lower position
    merged = rank[:, :n_merge]
    gone = sources.gather(1, merged)
    survives = torch.ones(batch, n, dtype=torch.bool, device=sources.device).scatter_(1, gone, False)
    number = survives.cumsum(1) - 1
    into = number.gather(1, targets.gather(1, best.gather(1, merged)))
    return Merge(number.scatter_(1, gone, into), positions(survives, n - n_merge))


def _checked_input(keys: Tensor, targets: Tensor, n_merge: int | None) -> tuple[Tensor, int]:
    """Targets as (B, T) int64 and n_merge as a number, or a ValueError that says what is wrong."""
    if not isinstance(keys, Tensor):
        raise ValueError(
            f"keys are of type {type(keys).__name__}; match needs a tensor (B, N, D): torch.as_tensor(keys)."
        )
    if keys.dim() != 3 or 0 in keys.shape:
        raise ValueError(f"keys have shape {tuple(keys.shape)}; match needs (B, N, D), none of them 0.")
    if not keys.is_floating_point():
        raise ValueError(f"keys have dtype {keys.dtype}; match needs a floating-point one: use keys.float().")
    batch, n, _ = keys.shape
    targets = _checked_positions("targets", targets, keys)
    count = targets.shape[-1]
    if values_can_be_read(targets) and count > 1 and int(targets.diff(dim=-1).amin()) <= 0:
        raise ValueError("targets must ascend without repeats; sort them, and take each position once.")
    if targets.dim() == 1:
        targets = targets.expand(batch, count)
    n_sources = n - count
    if n_merge is None:
        n_merge = n_sources
    if isinstance(n_merge, bool) or not is_whole(n_merge) or not 0 <= n_merge <= n_sources:
        raise ValueError(
            f"n_merge is {n_merge!r}; with {n} tokens and {count} targets it is a whole number from 0 to {n_sources}."
        )
    return targets, int(n_merge)


def _checked_positions(name: str, given: Tensor, keys: Tensor) -> Tensor:
    """Positions of these keys as int64, or a ValueError. name: "targets" or "sources"."""
    batch, n, _ = keys.shape
    if not isinstance(given, Tensor):
        try:
            given = torch.as_tensor(given, device=keys.device)
        except (TypeError, ValueError, RuntimeError):
            raise ValueError(f"{name} are {given!r}; they are int64 positions, a tensor.") from None
    if given.dtype not in (torch.int64, torch.int32):
        order = "ascending int64 positions: mask.nonzero()[:, 0], say" if name == "targets" else "int64 positions"
        raise ValueError(f"{name} have dtype {given.dtype}; they are {order}.")
    letter = name[0].upper()
    if given.dim() not in (1, 2) or (given.dim() == 2 and given.shape[0] != batch):
        raise ValueError(
            f"{name} have shape {tuple(given.shape)}; for {batch} item(s) give ({letter},) or ({batch}, {letter})."
        )
    if given.device != keys.device:
        raise ValueError(f"{name} are on {given.device}, keys on {keys.device}; put both on one device.")
    if name == "targets" and not 1 <= given.shape[-1] <= n:
        raise ValueError(f"{given.shape[-1]} targets were given for {n} tokens; allowed are 1 to {n}.")
    given = given.long()
    if given.numel() and values_can_be_read(given):
        low, high = map(int, given.aminmax())
        if low < 0 or high >= n:
            raise ValueError(f"{name} lie between {low} and {high}; positions of {n} tokens are 0 to {n - 1}.")
    return given
