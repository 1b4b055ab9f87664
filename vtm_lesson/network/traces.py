"""What a block of the network decided, and what it tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from ..merging.merge import Merge
from ..merging.strategies import Context


@dataclass
class BlockTrace:
    """What one block did: targets (B, T) among its input tokens, and as patches of the video (of a reducer that
    chooses none, the tokens it kept); its Merge; the saliency (B, N) of its input tokens or None; positions (B, M) and
    sizes (B, M) of the tokens it leaves; in training with gradient="reinforce" the log of the probability that these
    targets were drawn (B,), of all chunks together. Where training meets all tokens, nothing merges: all are targets.
    """

    targets: Tensor
    target_patches: Tensor
    merge: Merge
    saliency: Tensor | None
    position: Tensor
    size: Tensor
    log_probability: Tensor | None = None

    @property
    def tokens_in(self) -> int:
        """Tokens of one video before the block."""
        return self.merge.n_in

    @property
    def tokens_out(self) -> int:
        """Tokens of one video after the block; of the one that keeps most, where they differ."""
        return self.merge.n_out

    @property
    def left(self) -> int:
        """Tokens of one video after the block, on average."""
        return self.merge.n_out if self.merge.count is None else round(float(self.merge.count.float().mean()))


@dataclass(frozen=True)
class Given:
    """A strategy whose targets are known already."""

    targets: Tensor

    def __call__(self, context: Context) -> Tensor:
        return self.targets


class Choice(NamedTuple):
    """What was decided in a block: its Merge over the video's tokens, the targets (B, T), the saliency (B, N); and what
    gradients through the choice need: gates (B, M) of the merged tokens, what each token counts in averages (B, N),
    and the log-probability of the draw (B,)."""

    merge: Merge
    targets: Tensor
    saliency: Tensor | None
    gates: Tensor | None = None
    weight: Tensor | None = None
    log_probability: Tensor | None = None
