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

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Scores are made in tiles of about this many numbers: 4M floats are 16 MiB, which stay in a processor's cache
# while the largest of each row is looked for. A GPU wants larger pieces of work.
TILE = {"cpu": 1 << 22, "cuda": 1 << 26}

# Lengths of keys whose squares neither overflow nor vanish.
SAFE = {torch.float32: (1e-12, 1e15), torch.float64: (1e-100, 1e100)}

# Other ways to find the nearest target, by device type: `vtm_lesson.kernels` adds its fused CUDA one, and
# `vtm_lesson.screening` a faster one for processors with bfloat16 arithmetic. Same results as `_nearest_tiled`.
MATCHERS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {}


@dataclass(frozen=True, eq=False)
class Merge:
    """Which output token every input token goes into: the whole result of a match.

    group: (B, N) int64, the output token of each input token, from 0 to M - 1.
    keep: (B, M) int64, the input position of the token that each output token continues: the target of the group,
        or the source that was left alone. Ascending, so output tokens keep their order in time.

    A Merge is a value: apply it to any tensor over the same tokens (features, positions, motion, labels), print it,
    compose it with the next one (`then`), or spread its outputs back over the inputs (`unmerge`).
    """

    group: Tensor
    keep: Tensor

    @staticmethod
    def identity(batch: int, n: int, device: torch.device | str | None = None) -> Merge:
        """The Merge that leaves n tokens as they are."""
        order = torch.arange(n, device=device).expand(batch, n)
        return Merge(order, order)

    @property
    def n_in(self) -> int:
        """N, the number of input tokens."""
        return self.group.shape[1]

    @property
    def n_out(self) -> int:
        """M, the number of output tokens."""
        return self.keep.shape[1]

    def __repr__(self) -> str:
        return f"Merge({self.n_in} -> {self.n_out} tokens, batch {self.group.shape[0]})"

    def __call__(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """Average x (B, N, C) over each group: (B, M, C), in the dtype of x. VTM eq. 4.

        With `weight`, (B, N) or (B, N, 1), of zero or more, it is the weighted average: with token sizes as weights,
        ToMe's. A group whose weights are all zero gets the plain average. Sums run in float32 or better.
        """
        x = self._checked(x, self.n_in, "x")
        if not x.is_floating_point():
            raise ValueError(f"x has dtype {x.dtype}; averages need a floating-point one: use x.float().")
        if weight is not None:
            weight = self.share(weight, x.dtype)
        order, offsets = self._bags
        rows = x.reshape(-1, x.shape[-1])
        # One pass over memory, in the tokens' own order, where a scatter would make several.
        if weight is None:
            y = F.embedding_bag(order, rows, offsets, mode="mean")
        else:
            share = weight.reshape(-1).index_select(0, order)
            y = F.embedding_bag(order, rows.to(weight.dtype), offsets, mode="sum", per_sample_weights=share)
        return y.to(x.dtype).view(x.shape[0], self.n_out, x.shape[-1])

    def size(self, size: Tensor | None = None) -> Tensor:
        """(B, M) float32: how many original tokens each output token stands for.

        `size` (B, N) are the sizes of the input tokens, 1 each if they are original ones. Sizes stay in float32:
        bfloat16 cannot count beyond 256.
        """
        batch = self.group.shape[0]
        if size is None:
            size = torch.ones(batch, self.n_in, dtype=torch.float32, device=self.group.device)
        elif tuple(size.shape) != (batch, self.n_in):
            raise ValueError(f"size has shape {tuple(size.shape)}; this Merge needs (B, N) = {(batch, self.n_in)}.")
        out = torch.zeros(batch, self.n_out, dtype=torch.float32, device=self.group.device)
        return out.scatter_add(1, self.group, size.float())

    def share(self, weight: Tensor | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """(B, N): what each input token counts in the average of its group; sums to 1 over every group.

        weight: as in a call of the Merge; ValueError for another shape, and for negative or non-finite ones. The result
        is in `dtype`, or float32 if that is less. So merging is a linear map: merge(x, weight)[m] is the sum of
        share[n] * x[n] over the tokens n of group m.
        """
        dtype = torch.promote_types(dtype, torch.float32)
        plain = self.size().to(dtype).reciprocal().gather(1, self.group)
        if weight is None:
            return plain
        batch = self.group.shape[0]
        if tuple(weight.shape) not in {(batch, self.n_in), (batch, self.n_in, 1)}:
            raise ValueError(
                f"weight has shape {tuple(weight.shape)}; this Merge needs {(batch, self.n_in)}, one number a token."
            )
        weight = weight.reshape(batch, self.n_in).to(dtype)
        if _values_can_be_read(weight) and not _all_between(weight, 0, math.inf):
            raise ValueError("weight holds negative or non-finite numbers; weights are finite and zero or more.")
        total = weight.new_zeros(batch, self.n_out).scatter_add(1, self.group, weight).gather(1, self.group)
        return torch.where(total > 0, weight / torch.where(total > 0, total, 1), plain)

    def unmerge(self, y: Tensor) -> Tensor:
        """Give every input token the value of its group: (B, M, C) -> (B, N, C)."""
        y = self._checked(y, self.n_out, "y")
        flat = self.group + self._first_row(self.n_out)
        return y.reshape(-1, y.shape[-1])[flat.reshape(-1)].view(y.shape[0], self.n_in, y.shape[-1])

    def then(self, second: Merge) -> Merge:
        """This Merge followed by `second`: one Merge from the original tokens to the final ones."""
        if second.n_in != self.n_out or second.group.shape[0] != self.group.shape[0]:
            raise ValueError(f"{self} cannot be followed by {second}: the second one must take what the first gives.")
        return Merge(second.group.gather(1, self.group), self.keep.gather(1, second.keep))

    def _checked(self, x: Tensor, n: int, name: str) -> Tensor:
        batch = self.group.shape[0]
        if x.dim() != 3 or x.shape[0] != batch or x.shape[1] != n:
            raise ValueError(f"{name} has shape {tuple(x.shape)}; this {self} needs ({batch}, {n}, C).")
        return x

    def _first_row(self, n: int) -> Tensor:
        """(B, 1): where each batch item's tokens start when all batch items are laid end to end."""
        return torch.arange(self.group.shape[0], device=self.group.device)[:, None] * n

    @property
    def _bags(self) -> tuple[Tensor, Tensor]:
        """All input tokens sorted by output token, and where each output token's run begins: both (B*N,), (B*M,)."""
        if torch.compiler.is_compiling():  # the compiler takes no hidden state, and removes repeated work itself
            return self._sorted()
        if "_kept" not in self.__dict__:
            with torch.inference_mode(False):  # else a merge first used there could not be trained through later
                self.__dict__["_kept"] = self._sorted()
        return self.__dict__["_kept"]

    def _sorted(self) -> tuple[Tensor, Tensor]:
        flat = (self.group + self._first_row(self.n_out)).reshape(-1)
        order = flat.argsort(stable=True)
        counts = flat.new_zeros(self.group.shape[0] * self.n_out).scatter_add_(0, flat, torch.ones_like(flat))
        return order, counts.cumsum(0) - counts


@torch.no_grad()
def match(keys: Tensor, targets: Tensor, n_merge: int | None = None) -> Merge:
    """Match every source to its most similar target, and merge the n_merge most similar sources. VTM eqs. 3 and 5.

    keys: (B, N, D), float64, float32, bfloat16 or float16. Similarity is the cosine of two keys, in float32 or
        better. A key of zeros has no direction: its similarity to everything is 0.
    targets: (T,) or (B, T) int64, ascending positions, the output of a partition. All others are sources.
    n_merge: R, how many sources are merged, from 0 to N - T. Default: all of them.

    Returns a `Merge` from N to N - R tokens. Ties, in target or in rank, go to the lower position.
    Memory is linear in N. Raises ValueError for wrong shapes or positions, and for keys that are NaN or infinite
    (values are not looked at on CUDA or while compiling, where looking would make the processor wait).
    """
    targets, n_merge = _checked_input(keys, targets, n_merge)
    batch, n, _ = keys.shape
    if n_merge == 0:
        _refuse_non_finite(keys)
        return Merge.identity(batch, n, keys.device)
    sources = _others(targets, n)
    best, similarity = _nearest(keys, targets, sources)
    return _assign(n, targets, sources, best, similarity, n_merge)


@torch.no_grad()
def match_plain(keys: Tensor, targets: Tensor, n_merge: int | None = None) -> Merge:
    """What `match` computes, written for reading: it stores all |S| x |T| scores."""
    targets, n_merge = _checked_input(keys, targets, n_merge)
    sources = _others(targets, keys.shape[1])
    _refuse_non_finite(keys)
    unit = _unit(keys.to(torch.promote_types(keys.dtype, torch.float32), copy=True))[0]
    with torch.autocast(keys.device.type, enabled=False):  # which would make the product in half precision
        scores = _rows(unit, sources) @ _rows(unit, targets).transpose(1, 2)
    best = scores.argmax(dim=2)  # the first of equal maxima
    similarity = scores.gather(2, best[:, :, None])[:, :, 0]
    return _assign(keys.shape[1], targets, sources, best, similarity, n_merge)


@torch.no_grad()
def nearest(keys: Tensor, targets: Tensor, sources: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The match step alone: for every source, its most similar target and how similar it is.

    keys (B, N, D); targets (T,) or (B, T); sources (S,) or (B, S), by default all that are not targets, ascending.
    Returns best (B, S) int64, the number of the target from 0 to T - 1, and similarity (B, S), the cosine, in
    float32 or better. Use it to merge above a threshold: count the similarities above it, and give that count to
    `match`.
    """
    targets, _ = _checked_input(keys, targets, None)
    sources = _others(targets, keys.shape[1]) if sources is None else sources.expand(len(keys), -1)
    return _nearest(keys, targets, sources)


def _nearest(keys: Tensor, targets: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    return MATCHERS.get(keys.device.type, _nearest_tiled)(keys, targets, sources)


def _nearest_tiled(
    keys: Tensor, targets: Tensor, sources: Tensor, search: Callable[..., tuple[Tensor, Tensor]] | None = None
) -> tuple[Tensor, Tensor]:
    """`nearest`, a tile of sources at a time, so that scores never fill more than a tile.

    search: how the best target of each source is found within a tile; default `_search`.
    """
    search = _search if search is None else search
    batch, n_sources, n_targets = keys.shape[0], sources.shape[1], targets.shape[1]
    if n_targets >= 4 * _BLOCK and n_targets % _BLOCK:
        # Fill the last block with copies of target 0: they tie with the first column, and ties go to the first.
        targets = torch.cat([targets, targets[:, :1].expand(-1, -n_targets % _BLOCK)], dim=1)
    target_keys, size = _unit(_rows(keys, targets))
    _refuse_non_finite(size)
    if not _values_can_be_read(size):
        # Nobody has refused a NaN here. As a target it is like a key of zeros, or it would be everybody's best.
        target_keys = torch.where(size.isfinite(), target_keys, 0)

    tile = TILE.get(keys.device.type, TILE["cpu"])
    widest = max(targets.shape[1], keys.shape[2])  # neither scores nor the sources' keys fill more than a tile
    items = max(1, min(batch, tile // max(1, n_sources * widest)))
    step = max(1, min(n_sources, tile // widest))
    best = sources.new_empty(batch, n_sources)
    similarity = target_keys.new_empty(batch, n_sources)
    room = target_keys.new_empty(items * step * targets.shape[1])  # one tile's scores, used again by the next tile
    for i in range(0, batch, items):
        for j in range(0, n_sources, step):
            here = slice(i, i + items), slice(j, j + step)
            source_keys, size = _unit(_rows(keys[i : i + items], sources[here]))
            _refuse_non_finite(size)
            best[here], similarity[here] = search(source_keys, target_keys[i : i + items], room)
    if not _values_can_be_read(similarity):
        # As a source, ranked last it spoils its own row; ranked nowhere it would spoil the counts.
        similarity = similarity.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
    return best.masked_fill_(best >= n_targets, 0), similarity


def _search(source_keys: Tensor, target_keys: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
    """Unit keys (B, S, D) and (B, T, D): the first best target of each source and its cosine. Scores go to `room`."""
    shape = (*source_keys.shape[:2], target_keys.shape[1])
    scores = torch.bmm(source_keys, target_keys.transpose(1, 2), out=room[: math.prod(shape)].view(shape))
    return _first_max(scores)


_BLOCK = 64


def _first_max(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The first position of each row's maximum, and the maximum: (..., T) -> (...), (...).

    Long rows go in blocks: find each block's maximum (which runs on vector instructions), then search the winning
    block alone. It takes about half the time of one search for maximum and position together.
    """
    if scores.shape[-1] < 4 * _BLOCK or scores.shape[-1] % _BLOCK:
        best = scores.argmax(-1)
        return best, scores.gather(-1, best[..., None])[..., 0]
    blocks = scores.view(-1, scores.shape[-1] // _BLOCK, _BLOCK)
    winner = blocks.amax(-1).argmax(-1)
    first = torch.arange(len(blocks), device=scores.device) * blocks.shape[1]
    rows = blocks.flatten(0, 1).index_select(0, first + winner)
    column = rows.argmax(-1)
    largest = rows.gather(-1, column[:, None])
    return (winner * _BLOCK + column).view(scores.shape[:-1]), largest.view(scores.shape[:-1])


def _assign(n: int, targets: Tensor, sources: Tensor, best: Tensor, similarity: Tensor, n_merge: int) -> Merge:
    """Turn matches into a Merge: pick the n_merge most similar sources, then number the tokens that survive."""
    batch, n_sources = sources.shape
    if n_merge == n_sources:  # the targets survive, and no one else
        group = targets.new_empty(batch, n).scatter_(1, sources, best)
        number = torch.arange(targets.shape[1], device=targets.device).expand(batch, -1)
        return Merge(group.scatter_(1, targets, number), targets.clone())
    merged = _largest(similarity, n_merge)
    survives = torch.ones(batch, n, dtype=torch.bool, device=sources.device)
    survives.scatter_(1, sources, ~merged)
    number = survives.cumsum(1) - 1
    into = torch.where(merged, targets.gather(1, best), sources)  # the survivor that each source ends up in
    group = number.scatter(1, sources, number.gather(1, into))
    return Merge(group, _positions(survives, n - n_merge))


def _largest(values: Tensor, k: int) -> Tensor:
    """(B, S) bool: the k largest of each row, ties to the lower position.

    topk alone promises nothing about ties; so it finds the k-th largest value only. No count is read back from the
    device, so a GPU never waits.
    """
    if k == 0:
        return torch.zeros_like(values, dtype=torch.bool)
    last = values.topk(k, dim=1, sorted=False).values.amin(1, keepdim=True)
    above, equal = values > last, values == last
    room = k - above.sum(1, keepdim=True)
    return above | (equal & (equal.cumsum(1) <= room))


def _positions(mask: Tensor, count: int) -> Tensor:
    """Where each row of a (B, N) bool mask is true, (B, count), ascending; every row has `count` trues.

    On a GPU nonzero would stop and count; this has a shape known beforehand.
    """
    batch, n = mask.shape
    if _values_can_be_read(mask):
        return mask.nonzero()[:, 1].view(batch, count)
    slot = torch.where(mask, mask.cumsum(1) - 1, count)  # the false ones all go to one spare slot at the end
    order = torch.arange(n, device=mask.device).expand(batch, n)
    return order.new_zeros(batch, count + 1).scatter_(1, slot, order)[:, :count]


def _others(targets: Tensor, n: int) -> Tensor:
    """The source positions: (B, T) targets -> (B, N - T), ascending."""
    mask = torch.ones(targets.shape[0], n, dtype=torch.bool, device=targets.device)
    return _positions(mask.scatter_(1, targets, False), n - targets.shape[1])


def _rows(x: Tensor, positions: Tensor) -> Tensor:
    """x (B, N, D) at positions (B, K): (B, K, D), in float32 or better."""
    batch, n, dim = x.shape
    flat = positions + torch.arange(batch, device=x.device)[:, None] * n
    rows = x.reshape(batch * n, dim).index_select(0, flat.reshape(-1))
    return rows.to(torch.promote_types(x.dtype, torch.float32)).view(batch, positions.shape[1], dim)


def _unit(x: Tensor) -> tuple[Tensor, Tensor]:
    """x, float32 or float64, scaled in place to length 1 along its last axis; and each row's length, about.

    Rows of zeros stay zeros. The second result is finite where the row is.
    """
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    low, high = SAFE[x.dtype]
    if _values_can_be_read(x) and _all_between(length, low, high):
        return x.div_(length), length
    # Squares of such numbers may overflow or vanish: scale each row by a power of two first, which rounds nothing, so
    # that a row's result does not depend on its neighbours.
    size = torch.maximum(x.amax(-1, keepdim=True), x.amin(-1, keepdim=True).neg())
    limit = int(math.log2(torch.finfo(x.dtype).max)) - 2
    x.mul_(torch.ldexp(torch.ones_like(size), -torch.frexp(size).exponent.clamp(-limit, limit)))
    return x.div_(torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_(min=torch.finfo(x.dtype).tiny)), size


def _values_can_be_read(x: Tensor) -> bool:
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def _all_between(x: Tensor, low: float, below: float) -> bool:
    """Whether low <= x < below everywhere, in one pass. A NaN is not between."""
    smallest, largest = x.detach().aminmax()
    return bool(smallest >= low) and bool(largest < below)


def _refuse_non_finite(x: Tensor) -> None:
    if _values_can_be_read(x) and not _all_between(x, torch.finfo(x.dtype).min, math.inf):
        raise ValueError("keys hold NaN or infinite numbers; matching needs finite keys: look at what made them.")


def _checked_input(keys: Tensor, targets: Tensor, n_merge: int | None) -> tuple[Tensor, int]:
    """Targets as (B, T) int64 and n_merge as a number, or a ValueError that says what is wrong."""
    if keys.dim() != 3 or 0 in keys.shape:
        raise ValueError(f"keys have shape {tuple(keys.shape)}; match needs (B, N, D), none of them 0.")
    if not keys.is_floating_point():
        raise ValueError(f"keys have dtype {keys.dtype}; match needs a floating-point one: use keys.float().")
    batch, n, _ = keys.shape
    if not isinstance(targets, Tensor):
        targets = torch.as_tensor(targets, device=keys.device)
    if targets.dtype not in (torch.int64, torch.int32):
        raise ValueError(
            f"targets have dtype {targets.dtype}; they are ascending int64 positions: mask.nonzero()[:, 0], say."
        )
    if targets.dim() not in (1, 2) or (targets.dim() == 2 and targets.shape[0] != batch):
        raise ValueError(f"targets have shape {tuple(targets.shape)}; for {batch} item(s) give (T,) or ({batch}, T).")
    count = targets.shape[-1]
    if not 1 <= count <= n:
        raise ValueError(f"{count} targets were given for {n} tokens; allowed are 1 to {n}.")
    if targets.device != keys.device:
        raise ValueError(f"targets are on {targets.device}, keys on {keys.device}; put both on one device.")
    targets = targets.long()
    if _values_can_be_read(targets):
        low, high = map(int, targets.aminmax())
        if low < 0 or high >= n:
            raise ValueError(f"targets lie between {low} and {high}; positions of {n} tokens are 0 to {n - 1}.")
        if count > 1 and int(targets.diff(dim=-1).amin()) <= 0:
            raise ValueError("targets must ascend without repeats; sort them, and take each position once.")
    if targets.dim() == 1:
        targets = targets.expand(batch, count)
    n_sources = n - count
    if n_merge is None:
        n_merge = n_sources
    if isinstance(n_merge, bool) or int(n_merge) != n_merge or not 0 <= n_merge <= n_sources:
        raise ValueError(
            f"n_merge is {n_merge}; with {n} tokens and {count} targets it is a whole number from 0 to {n_sources}."
        )
    return targets, int(n_merge)
