"""A `Merge`: which output token every input token goes into. It is the whole result of a match.

y = merge(x)               # (B, N, C) -> (B, M, C), the average of each group (VTM eq. 4)
y = merge(x, weight=size)  # ToMe's weighted average
x2 = merge.unmerge(y)      # (B, M, C) -> (B, N, C), every token gets its group's value
both = first.then(second)  # two merges as one
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .tiled import all_between, values_can_be_read


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
        if values_can_be_read(weight) and not all_between(weight, 0, math.inf):
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
