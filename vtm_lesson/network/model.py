"""The network of the VTM paper (sec. 3.2, fig. 2, appendix A): three blocks, an average, a linear head.

A frozen encoder has turned every frame into H x W tokens of C channels. The blocks (`network.block`) attend, merge and
halve the channels; then the tokens are averaged, and a linear head gives the classes. Two choices that the paper
leaves open are made here:

* Widths follow the rule of halving, 1024 -> 512 -> 256 -> 128. The appendix gives 256 after the third block:
  `widths=(512, 256, 256)`.
* No position embedding, as the encoder's tokens may carry one; `position="sincos"` adds one of space and time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..merging.merge import Merge
from ..merging.partition import Grid
from ..merging.strategies import Reducer
from .block import VTMBlock
from .config import BlockConfig, check_choice, check_numbers
from .ledger import Ledger, Segments
from .tokens import Tokens
from .traces import BlockTrace


@dataclass
class Trace:
    """What the network did: every block's trace, the composed `Merge` from patches to final tokens, the grid, and in
    training with aux="heads" the logits of the two paths by themselves."""

    blocks: list[BlockTrace]
    merge: Merge
    grid: Grid
    paths: tuple[Tensor, Tensor] | None = None

    def weight(self) -> Tensor:
        """(B, N): how much each patch counts in the mean of the final tokens, by plain averages alone. Sums to 1.

        What attention moves between tokens is not in it.
        """
        last = self.blocks[-1].merge
        share = torch.full((*last.keep.shape, 1), 1 / last.n_out, device=last.keep.device)
        if last.present is not None:
            share = (last.present / last.present.sum(1, keepdim=True))[..., None]
        for block in reversed(self.blocks):
            share = block.merge.unmerge(share) * block.merge.share()[..., None]
        return share[..., 0]


class VideoClassifier(nn.Module):
    """The network of VTM sec. 3.2 over an encoder's tokens: blocks, average pooling, a linear head.

    Parameters
    ----------
    dim : int
        Channels of the encoder's tokens.
    blocks, chunks : int, sequence of int
        How many blocks, and L_1 <= L_2 <= ... in frames; when tokens are matched within chunks, each length must be a
        multiple of the one before. A last chunk may be shorter.
    classes : int
        Outputs of the head (1 for a regression).
    partition : str, callable or None
        Who chooses the targets, by name or your own function; see `BlockConfig`.
    gamma, r : float or sequence of float
        One number, or one for each block; gamma=1 switches merging off in a block (but for reducers that decide
        themselves how many they keep).
    widths : sequence of int, optional
        Channels after each block; default: halved each time.
    pooling : {"mean", "size", "motion"}
        The mean, or a mean weighted by token size (which undoes merging: it is the mean over patches) or motion.
    position : {"none", "sincos"}
        Whether positions are added to the tokens.
    reducer : str or callable, optional
        In place of a partition: a reducer by name (`vtm.reducers()`), or your own, from a Context to a Merge.
    **block_options
        The other fields of `BlockConfig`, for every block. Among them:
        temperature: sampled targets are drawn with p = softmax(temperature * score). Default None: 6 for learned
        saliency and 1 for motion. The paper's is 1 for both; but saliency lies in (-1, 1), where a softmax over many
        tokens is nearly uniform and sampled targets nearly random, whatever was learned. Gumbel noise has a spread of
        about 1.3; 6 lets a difference of 1 to 2 in score decide.
        test_targets: out of training, "sample" as in training, or "top": the T of highest score.

    Raises
    ------
    ValueError
        Where an argument has a value that is not allowed, with what is.

    Notes
    -----
    VTM sec. 3.2, fig. 2, appendix A. The authors released no code; what the paper leaves open is listed in
    `network.block` and here.

    Examples
    --------
    >>> import torch
    >>> import vtm_lesson as vtm
    >>> net = vtm.VideoClassifier(32, chunks=(2, 4, 8), classes=5, gamma=4).eval()
    >>> logits, trace = net(torch.randn(1, 8, 4, 4, 32), trace=True)
    >>> logits.shape, trace.merge
    (torch.Size([1, 5]), Merge(128 -> 2 tokens, batch 1))

    Your own idea in its place:

    >>> def newest(n, n_targets):
    ...     return torch.arange(n - n_targets, n)
    >>> mine = vtm.VideoClassifier(32, chunks=(2, 4, 8), partition=newest)
    """

    def __init__(
        self,
        dim: int,
        blocks: int = 3,
        chunks: Sequence[int] = (6, 30, 60),
        classes: int = 10,
        partition: str | Callable[..., Tensor] | None = "uniform",
        gamma: float | Sequence[float] = 6,
        r: float | Sequence[float] = 1.0,
        widths: Sequence[int] | None = None,
        pooling: str = "mean",
        position: str = "none",
        reducer: str | Reducer | None = None,
        **block_options: Any,
    ):
        super().__init__()
        # The arguments of a network like this one, as given.
        self.config: dict[str, Any] = {
            "dim": dim, "blocks": blocks, "chunks": chunks, "classes": classes, "partition": partition,
            "gamma": gamma, "r": r, "widths": widths, "pooling": pooling, "position": position, "reducer": reducer,
            **block_options,
        }  # fmt: skip
        check_choice("pooling", pooling, "mean", "size", "motion")
        check_choice("position", position, "none", "sincos")
        check_numbers(dim=dim, blocks=blocks, classes=classes, whole=True)
        if blocks < 1 or classes < 1:
            raise ValueError(f"blocks is {blocks}, classes {classes}; both are 1 or more.")
        lengths = _each(chunks, blocks, "chunks")
        after = [dim // 2 ** (i + 1) for i in range(blocks)] if widths is None else _each(widths, blocks, "widths")
        for length in lengths:
            check_numbers(chunks=length)
        if lengths != sorted(lengths):
            raise ValueError(f"chunks are {tuple(lengths)}; each block looks at least as far as the one before it.")
        before = [dim, *after]
        alike = {"partition": partition, "reducer": reducer, **block_options}
        configs = [
            BlockConfig(dim=before[i], out=after[i], chunk=lengths[i], gamma=gamma_, r=r_, **alike)
            for i, (gamma_, r_) in enumerate(zip(_each(gamma, blocks, "gamma"), _each(r, blocks, "r"), strict=True))
        ]
        self.blocks = nn.ModuleList(VTMBlock(config) for config in configs)
        for i, block in enumerate(self.each_block):
            block.depth = (i, blocks)
        self.head = nn.Linear(after[-1], classes)
        self.pooling, self.position, self.aux_mode = pooling, position, configs[0].aux

    def forward(
        self,
        tokens: Tensor,
        motion: Tensor | None = None,
        oracle: Tensor | None = None,
        grid: Grid | None = None,
        trace: bool = False,
        generator: torch.Generator | None = None,
        vectors: Tensor | None = None,
        pixels: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Trace]:
        """Tokens (B, L, H, W, C), or (B, N, C) with grid=(L, H, W), to logits (B, classes).

        motion: (B, L, H, W), magnitudes of motion vectors. oracle: (B, L, H, W), 1 where the actor is. generator: for
        the draws of targets, on the device of the tokens. vectors: (B, L, H, W, 2), motion vectors, for what needs
        motion relative to the camera. pixels: (B, L, H, W, P), the raw numbers of each patch, for reducers that compare
        pictures. With trace, (logits, Trace).
        In training with aux="heads" the logits are the mean of both paths'; Trace.paths has each.
        """
        state = Tokens.start(tokens, motion, oracle, grid, vectors, pixels)
        if state.motion is None and self.needs_motion:
            raise ValueError("averages weighted by motion need motion: give motion=(B, L, H, W).")
        if self.position == "sincos":
            state.x = state.x + sincos(state.grid, state.x.shape[-1]).to(state.x)
        whole, notes = Merge.identity(state.x.shape[0], state.x.shape[1], state.x.device), []
        for block in self.blocks:
            state, note = block(state, generator)
            if trace:
                whole = whole.then(note.merge)
                notes.append(note)
        logits, paths = self.head(self.pool(state.x, state)), None
        if state.aux is not None and self.aux_mode == "heads":
            paths = logits, self.head(self.pool(state.aux, state))
            logits = (paths[0] + paths[1]) / 2
        return (logits, Trace(notes, whole, state.grid, paths)) if trace else logits

    def pool(self, x: Tensor, state: Tokens) -> Tensor:
        """The average over each video's tokens: (B, N, C) -> (B, C)."""
        return state.mean(x, state.weight("plain" if self.pooling == "mean" else self.pooling))

    def anneal(self, progress: float) -> None:
        """Tell the blocks which share of training is over, 0 to 1: gradient="annealed" chooses harder and harder."""
        for block in self.each_block:
            block.progress = progress

    @property
    def each_block(self) -> list[VTMBlock]:
        """The blocks, as what they are."""
        return [cast(VTMBlock, block) for block in self.blocks]

    @property
    def needs_motion(self) -> bool:
        """Whether an average is weighted by motion."""
        return "motion" in (self.pooling, *(block.config.average for block in self.each_block))


def count(
    model: VideoClassifier | Mapping[str, Any],
    frames: int,
    height: int,
    width: int,
    training: bool = False,
    trace: Trace | None = None,
) -> Ledger:
    """Tokens and FLOPs of one video, block by block, without running anything.

    Parameters
    ----------
    model : VideoClassifier or mapping
        A network, or the arguments of one.
    frames, height, width : int
        The video's grid of tokens.
    training : bool
        Count the auxiliary path too (forward only).
    trace : Trace, optional
        Of a reducer that keeps a different number in each video: count the mean of what this pass has left. Without
        it such a reducer is counted as if it merged nothing, and the Ledger says "at most".

    Returns
    -------
    Ledger
        Token counts and FLOPs, 2 per multiply-add of a matrix product. Where chunks hold different numbers of tokens
        (match_within="video", and such reducers), attention is counted for equal ones.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> vtm.count({"dim": 32, "chunks": (2, 4, 8), "gamma": 4}, frames=8, height=4, width=4).tokens
    (128, 32, 8, 2)
    """
    check_numbers(frames=frames, height=height, width=width, whole=True)
    if min(frames, height, width) < 1:
        raise ValueError(f"the grid is {frames} frames of {height} x {width} tokens; each is 1 or more.")
    if not isinstance(model, VideoClassifier):
        with torch.device("meta"):
            model = VideoClassifier(**model)
    segments: Segments = ((1, height * width),) * frames
    rows = []
    for i, block in enumerate(model.each_block):
        row, segments = block.count(segments, training, None if trace is None else trace.blocks[i].left)
        rows.append(row)
    learns = any(block.aux is not None for block in model.each_block)
    paths = 2 if training and model.aux_mode == "heads" and learns else 1
    at_most = trace is None and any(block.ragged for block in model.each_block)
    return Ledger(tuple(rows), 2 * paths * model.head.in_features * model.head.out_features, at_most)


def sincos(grid: Grid, dim: int) -> Tensor:
    """(N, dim) sines and cosines of frame, row and column: a third of the channels each, wavelengths 4 to 4 * 64."""
    if dim < 6:
        raise ValueError(f"dim is {dim}; a sincos position of three axes needs 6 channels or more.")
    waves = dim // 6
    rate = 2 * math.pi / (4 * 64 ** (torch.arange(waves) / max(1, waves - 1)))
    where = torch.cartesian_prod(*(torch.arange(extent, dtype=torch.float32) for extent in grid)).view(-1, 3, 1)
    angle = (where * rate).flatten(1)
    return F.pad(torch.cat([angle.sin(), angle.cos()], dim=1), (0, dim - 6 * waves))


def _each(value: Any, blocks: int, name: str) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, (Real, Iterable)):
        raise ValueError(f"{name} is {value!r}; give a number, or one for each of the {blocks} blocks.")
    values = [value] * blocks if isinstance(value, Real) else list(value)
    if len(values) != blocks:
        raise ValueError(f"{name} has {len(values)} values for {blocks} blocks; give one for each.")
    return values
