"""A `Merge`: which output token every input token goes into. It is the whole result of a match.

y = merge(x)               # (B, N, C) -> (B, M, C), the average of each group (VTM eq. 4)
y = merge(x, weight=size)  # ToMe's weighted average
x2 = merge.unmerge(y)      # (B, M, C) -> (B, N, C), every token gets its group's value
both = first.then(second)  # two merges as one
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from .tiled import all_between, values_can_be_read


@dataclass(frozen=True, eq=False)
class Merge:
    """Which output token every input token goes into: the whole result of a match, or of any other reducer.

    A Merge is a value: apply it to any tensor over the same tokens (features, positions, motion, labels), print it,
    compose it with the next one (`then`), or spread its outputs back over the inputs (`unmerge`).

    Parameters
    ----------
    group : Tensor
        (B, N) int64, the output token of each input token, from 0 to M - 1.
    keep : Tensor
        (B, M) int64, the input position of the token that each output token continues: the target of the group, or the
        source that was left alone. Ascending, so output tokens keep their order in time (unless a host was asked for
        another order).
    dropped : Tensor, optional
        (B, N) bool, true for tokens that take weight 0 in the average of their group. None: nothing is dropped.
    count : Tensor, optional
        (B,) int64, how many of the M outputs each item has, where items differ; the rest of its M outputs are padding,
        zeros in every average. None: every item has M.
    weight : Tensor, optional
        (B, N), zero or more: what each token counts in the average of its group, apart from its size; it multiplies the
        weight of a call. Where all weights of a group are 0 they say nothing, and count as 1. `dropped` is the case of
        weight 0 that counts in no size, either. None: all count the same.
    norm : bool, optional
        Whether a call gives averages the largest norm of their group, y = (m / |m|) max |x_i| with the average m (of
        vectors that differ it is shorter than they are). Averages of about 0 stay what they are.

    Notes
    -----
    ToMe (Bolya et al., ICLR 2023); VTM eqs. 3 to 5. Weights beside sizes: vid-TLDR (CVPR 2024), MCTF (CVPR 2024).
    norm: the MLERP of ToFu (WACV 2024).

    Examples
    --------
    >>> import torch
    >>> import vtm_lesson as vtm
    >>> merge = vtm.Merge(torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 2]]))
    >>> merge
    Merge(4 -> 2 tokens, batch 1)
    >>> merge(torch.tensor([[[1.0], [3.0], [5.0], [9.0]]])).flatten().tolist()
    [2.0, 7.0]
    >>> merge.size().tolist()
    [[2.0, 2.0]]
    """

    group: Tensor
    keep: Tensor
    dropped: Tensor | None = None
    count: Tensor | None = None
    weight: Tensor | None = None
    norm: bool = False

    @staticmethod
    def identity(batch: int, n: int, device: torch.device | str | None = None) -> Merge:
        """The Merge that leaves n tokens as they are."""
        order = torch.arange(n, device=device).expand(batch, n)
        return Merge(order, order)

    @staticmethod
    def of(
        into: Tensor,
        dropped: Tensor | None = None,
        n_out: int | None = None,
        weight: Tensor | None = None,
        norm: bool = False,
    ) -> Merge:
        """The Merge that puts every token where `into` says: how reducers that do not match make theirs.

        into: (B, N) int64, the position of the token that each token ends up in; a token that ends up in itself
        survives. dropped, weight, norm: as in `Merge`. n_out: how many survive in every item, where that is known; if
        not, they are counted, items may differ, and a GPU has to wait. ValueError where a token is sent to one that
        does not stay.
        """
        batch, n = into.shape
        order = torch.arange(n, device=into.device).expand(batch, n)
        if values_can_be_read(into):
            _check_destinations(into, n_out)
        survives = into == order
        group, count = (survives.cumsum(1) - 1).gather(1, into), None
        keep = where_true(survives, n_out)
        if n_out is None:
            count = survives.sum(1)
            count = count if bool((count < keep.shape[1]).any()) else None
        return Merge(group, keep, dropped, count, weight, norm)

    @property
    def n_in(self) -> int:
        """N, the number of input tokens."""
        return self.group.shape[1]

    @property
    def n_out(self) -> int:
        """M, the number of output tokens; of the item that keeps most, where they differ."""
        return self.keep.shape[1]

    @property
    def into(self) -> Tensor:
        """(B, N) int64: the position of the token that each input token ends up in, its own where it survives."""
        return self.keep.gather(1, self.group)

    @property
    def present(self) -> Tensor | None:
        """(B, M) bool: which outputs are tokens and which are padding; None where all are tokens."""
        if self.count is None:
            return None
        return torch.arange(self.n_out, device=self.count.device) < self.count[:, None]

    @property
    def is_identity(self) -> bool:
        """Whether the Merge leaves all tokens as they are."""
        return self.n_out == self.n_in and self.count is None and self.dropped is None

    def __repr__(self) -> str:
        least = "" if self.count is None else f"{int(self.count.min())} to "
        return f"Merge({self.n_in} -> {least}{self.n_out} tokens, batch {self.group.shape[0]})"

    def __call__(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """Average x (B, N, C) over each group: (B, M, C), in the dtype of x. VTM eq. 4.

        With `weight`, (B, N) or (B, N, 1), of zero or more, it is the weighted average: with token sizes as weights,
        ToMe's. A group whose weights are all zero gets the plain average. Dropped tokens count nothing. Sums run in
        float32 or better, so x of 16 bits is copied first. With `norm`, averages then get the largest norm of their
        group.
        """
        y = self.mean(x, weight)
        return self._lengthened(y, x, weight) if self.norm else y

    def mean(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """The same without `norm`: what is no vector, a motion or a label say, has no length to keep."""
        x = self._checked(x, self.n_in, "x")
        if not x.is_floating_point():
            raise ValueError(f"x has dtype {x.dtype}; averages need a floating-point one: use x.float().")
        if weight is not None or self.dropped is not None or self.weight is not None:
            weight = self.share(weight, x.dtype)
        order, offsets = self._bags
        rows = _float32_or_better(x.reshape(-1, x.shape[-1]))
        # One pass over memory, in the tokens' own order, where a scatter would make several.
        if weight is None:
            y = F.embedding_bag(order, rows, offsets, mode="mean")
        else:
            share = weight.reshape(-1).index_select(0, order)
            y = F.embedding_bag(order, rows, offsets, mode="sum", per_sample_weights=share)
        return y.to(x.dtype).view(x.shape[0], self.n_out, x.shape[-1])

    def size(self, size: Tensor | None = None) -> Tensor:
        """(B, M) float32: how many original tokens each output token stands for.

        `size` (B, N) are the sizes of the input tokens, 1 each if they are original ones. Dropped tokens are counted
        nowhere. Sizes stay in float32: bfloat16 cannot count beyond 256.
        """
        batch = self.group.shape[0]
        if size is None:
            size = torch.ones(batch, self.n_in, dtype=torch.float32, device=self.group.device)
        elif tuple(size.shape) != (batch, self.n_in):
            raise ValueError(f"size has shape {tuple(size.shape)}; this Merge needs (B, N) = {(batch, self.n_in)}.")
        return self._sums(self._undropped(size.float()))

    def share(self, weight: Tensor | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """(B, N): what each input token counts in the average of its group; sums to 1 over every group.

        weight: as in a call of the Merge; ValueError for another shape, and for negative or non-finite ones. The result
        is in `dtype`, or float32 if that is less. So the average is a linear map: mean(x, weight)[m] is the sum of
        share[n] * x[n] over the tokens n of group m.
        """
        dtype = torch.promote_types(dtype, torch.float32)
        if weight is not None and self.weight is None and self.dropped is None:  # ToMe's average: in few calls
            weight = self._checked_weight(weight, dtype)
            total = self._sums(weight)
            if values_can_be_read(total) and bool((total > 0).all()):
                return weight / total.gather(1, self.group)
        plain = self._undropped(self.size().to(dtype).reciprocal().gather(1, self.group))
        if weight is None and self.weight is None:
            return plain
        parts = [self._own_weight(dtype), None if weight is None else self._checked_weight(weight, dtype)]
        weight = self._undropped(math.prod([part for part in parts if part is not None], start=torch.ones_like(plain)))
        total = self._sums(weight).gather(1, self.group)
        return torch.where(total > 0, weight / torch.where(total > 0, total, 1), plain)

    def unmerge(self, y: Tensor) -> Tensor:
        """Give every input token the value of its group: (B, M, C) -> (B, N, C)."""
        y = self._checked(y, self.n_out, "y")
        flat = self.group + self._first_row(self.n_out)
        rows = y.reshape(-1, y.shape[-1])
        if y.requires_grad:  # the gradient of a group is a sum over its tokens
            rows = _float32_or_better(rows)
        return rows[flat.reshape(-1)].to(y.dtype).view(y.shape[0], self.n_in, y.shape[-1])

    def then(self, second: Merge) -> Merge:
        """This Merge followed by `second`: one Merge from the original tokens to the final ones.

        both(x) is second(first(x), first.size()), averages over original tokens; with `norm` in one of the two its
        length is right, and its direction that of the average without.
        """
        if second.n_in != self.n_out or second.group.shape[0] != self.group.shape[0]:
            raise ValueError(f"{self} cannot be followed by {second}: the second one must take what the first gives.")
        dropped, count = self.dropped, second.count
        if second.dropped is not None:
            lost = second.dropped.gather(1, self.group)
            dropped = lost if dropped is None else dropped | lost
        if count is None and second.n_out == second.n_in:  # what was padding still is
            count = self.count
        weight = None
        if self.weight is not None or second.weight is not None:
            # What a token counts in its group, 1 on average, times what that group counts in the next.
            weight = self.share() * self.size().gather(1, self.group)
            later = second._own_weight(weight.dtype)
            if later is not None:
                weight = weight * later.gather(1, self.group)
        group, keep = second.group.gather(1, self.group), self.keep.gather(1, second.keep)
        return Merge(group, keep, dropped, count, weight, self.norm or second.norm)

    def reordered(self, order: Tensor) -> Merge:
        """The same groups, their tokens in another order: output i is what was output order[:, i]; order (B, M)."""
        if self.count is not None:
            raise ValueError(f"{self} has padding at its end, which would be moved; reorder merges without it.")
        place = torch.empty_like(order).scatter_(
            1, order, torch.arange(self.n_out, device=order.device).expand_as(order)
        )
        return replace(self, group=place.gather(1, self.group), keep=self.keep.gather(1, order))

    def after_prefix(self, k: int) -> Merge:
        """The same Merge behind k protected tokens, each its own group: (k + N) -> (k + M) tokens.

        For hosts with class or register tokens: whatever a Merge carries comes along.
        """
        batch = self.group.shape[0]
        first = torch.arange(k, device=self.group.device).expand(batch, -1)

        def behind(values: Tensor | None, filling: int) -> Tensor | None:
            return None if values is None else torch.cat([values.new_full((batch, k), filling), values], dim=1)

        return replace(
            self,
            group=torch.cat([first, self.group + k], dim=1),
            keep=torch.cat([first, self.keep + k], dim=1),
            dropped=behind(self.dropped, 0),
            count=None if self.count is None else self.count + k,
            weight=behind(self.weight, 1),
        )

    def without_prefix(self, k: int) -> Merge:
        """The reverse of `after_prefix`: the Merge of what follows k tokens that are each its own group."""
        return replace(
            self,
            group=self.group[:, k:] - k,
            keep=self.keep[:, k:] - k,
            dropped=None if self.dropped is None else self.dropped[:, k:],
            count=None if self.count is None else self.count - k,
            weight=None if self.weight is None else self.weight[:, k:],
        )

    def _lengthened(self, y: Tensor, x: Tensor, weight: Tensor | None) -> Tensor:
        """Averages y (B, M, C) of x (B, N, C) with the largest norm of what counts in them."""
        share = self.share(weight, x.dtype)
        length = torch.linalg.vector_norm(_float32_or_better(x), dim=-1).to(share.dtype)
        length = torch.where(share > 0, length, 0)
        largest = length.new_zeros(y.shape[:2]).scatter_reduce(1, self.group, length, "amax")
        now = torch.linalg.vector_norm(_float32_or_better(y), dim=-1)
        # Tokens that cancel leave zero, or what rounding made of it: that has no direction worth a length.
        real = now > 1e-6 * largest
        return y * torch.where(real, largest / torch.where(real, now, 1), 1).to(y.dtype)[..., None]

    def _own_weight(self, dtype: torch.dtype) -> Tensor | None:
        """The field `weight`, (B, N) of `dtype`; 1 in groups where all weights are 0, which say nothing."""
        if self.weight is None:
            return None
        weight = self._undropped(self._checked_weight(self.weight, dtype))
        return torch.where(
            self._sums(weight).gather(1, self.group) > 0, weight, self._undropped(torch.ones_like(weight))
        )

    def _checked_weight(self, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """One weight a token, (B, N) of `dtype`, or ValueError."""
        batch = self.group.shape[0]
        if not isinstance(weight, Tensor):
            raise ValueError(
                f"weight is of type {type(weight).__name__}; this Merge needs a tensor, one number a token."
            )
        if tuple(weight.shape) not in {(batch, self.n_in), (batch, self.n_in, 1)}:
            raise ValueError(
                f"weight has shape {tuple(weight.shape)}; this Merge needs {(batch, self.n_in)}, one number a token."
            )
        weight = weight.reshape(batch, self.n_in).to(dtype)
        if values_can_be_read(weight) and not all_between(weight, 0, math.inf):
            raise ValueError("weight holds negative or non-finite numbers; weights are finite and zero or more.")
        return weight

    def _undropped(self, values: Tensor) -> Tensor:
        """values (B, N), with zeros for dropped tokens."""
        return values if self.dropped is None else values.masked_fill(self.dropped, 0)

    def _sums(self, values: Tensor) -> Tensor:
        """(B, N) -> (B, M): the sum over each group."""
        return values.new_zeros(len(self.group), self.n_out).scatter_add(1, self.group, values)

    def _checked(self, x: Tensor, n: int, name: str) -> Tensor:
        batch = self.group.shape[0]
        if not isinstance(x, Tensor):
            raise ValueError(f"{name} is of type {type(x).__name__}; this {self} needs a tensor ({batch}, {n}, C).")
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
        kept: tuple[Tensor, Tensor] | None = self.__dict__.get("_kept")
        if kept is None:
            with torch.inference_mode(False):  # else a merge first used there could not be trained through later
                kept = self.__dict__["_kept"] = self._sorted()
        return kept

    def _sorted(self) -> tuple[Tensor, Tensor]:
        flat = (self.group + self._first_row(self.n_out)).reshape(-1)
        order = flat.argsort(stable=True)
        counts = flat.new_zeros(self.group.shape[0] * self.n_out).scatter_add_(0, flat, torch.ones_like(flat))
        return order, counts.cumsum(0) - counts


def _float32_or_better(x: Tensor) -> Tensor:
    """x where sums are safe: float16 ends at 65,504, and bfloat16 cannot count to 257. Others are not copied."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def where_true(mask: Tensor, count: int | None = None) -> Tensor:
    """Where each row of a (B, N) bool mask is true, (B, K), ascending; where rows differ, the last one is repeated.

    count: K, where every row has as many; if it is not given, they are counted, and a GPU has to wait.
    """
    batch, n = mask.shape
    width = int(mask.sum(1).max()) if count is None else count
    order = torch.arange(n, device=mask.device).expand(batch, n)
    slot = torch.where(mask, mask.cumsum(1) - 1, width)  # the others all go to one spare slot at the end
    return order.new_zeros(batch, width + 1).scatter(1, slot, order)[:, :width].cummax(1).values


def _check_destinations(into: Tensor, n_out: int | None) -> None:
    n = into.shape[1]
    if into.dtype != torch.int64 or not 0 <= int(into.min()) <= int(into.max()) < n:
        raise ValueError(
            f"into holds {into.dtype} from {into.min()} to {into.max()}; give int64 positions, 0 to {n - 1}."
        )
    lost = into.gather(1, into) != into
    if bool(lost.any()):
        item, token = lost.nonzero()[0].tolist()
        first = int(into[item, token])
        raise ValueError(
            f"into sends token {token} to token {first}, which itself goes to {int(into[item, first])}; send"
            " every token to one that stays, whose own entry is itself."
        )
    counts = (into == torch.arange(n)).sum(1)
    if n_out is not None and bool((counts != n_out).any()):
        raise ValueError(f"{counts.tolist()} tokens stay, and n_out is {n_out}; leave n_out out where items differ.")
