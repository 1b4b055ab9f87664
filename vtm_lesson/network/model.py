"""The network of the VTM paper (sec. 3.2, fig. 2, appendix A): blocks with a slot for merging.

A frozen encoder has turned every frame into H x W tokens of C channels. Three blocks follow; each is

    layer norm, self-attention inside chunks of L_i frames, dropout, [merging], linear that halves C, GELU

then the tokens are averaged, and a linear head gives the classes. What the paper leaves open is decided here as
follows; each choice is an argument.

* Widths follow the rule of halving, 1024 -> 512 -> 256 -> 128. The appendix gives 256 after the third block:
  `widths=(512, 256, 256)`.
* No residual connection: the paper's list of a block's parts has none. `residual=True` adds one round attention.
* Attention has no output projection (the halving linear follows, and two linear maps are one) and no biases (a bias
  of the keys cancels in the softmax, but would turn all cosines of matching).
* Tokens are matched within the chunk they attend in, on keys that attention made there. Every chunk then keeps the
  same number of tokens, so chunks are one batch without padding. `match_within="video"` matches over all tokens.
* A merged token sits where its target sat. Its motion is the mean of its group, as its features are.
* No position embedding, as the encoder's tokens may carry one; `position="sincos"` adds one of space and time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..merging.matching import match
from ..merging.merge import Merge
from ..merging.partition import Grid
from ..merging.strategies import Context, pick, resolve
from .attention import ChunkAttention
from .ledger import BlockCount, BlockPlan, Ledger, Segments, block_count, plan
from .tokens import Chunks, Tokens, join_merges


@dataclass
class BlockTrace:
    """What one block did: targets (B, T) among its input tokens, and as patches of the video; its Merge; the
    saliency (B, N) of its input tokens or None; positions (B, M) and sizes (B, M) of the tokens it leaves."""

    targets: Tensor
    target_patches: Tensor
    merge: Merge
    saliency: Tensor | None
    position: Tensor
    size: Tensor

    @property
    def tokens_in(self) -> int:
        """Tokens of one video before the block."""
        return self.merge.n_in

    @property
    def tokens_out(self) -> int:
        """Tokens of one video after the block."""
        return self.merge.n_out


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
        for block in reversed(self.blocks):
            share = block.merge.unmerge(share / block.merge.size()[..., None])
        return share[..., 0]


class VTMBlock(nn.Module):
    """One block of the network, with the merging slot: `block(Tokens) -> (Tokens, BlockTrace)`.

    dim, out: channels before and after (default: half). chunk: L_i, in frames. partition: a name or function (see
    `strategies.resolve`), None for no merging. gamma: the partition factor; r: R = floor(r * |S|) sources are merged.
    merge_at: "after_attention" (the paper), matched on attention's keys; or "before_attention", matched on the
        block's input tokens, so that attention runs on fewer tokens.
    attention: "fused", "stored" or "merged", see `vtm_lesson.attention`. "merged" is the same network in fewer FLOPs,
        in eval mode and without gradients (torch.inference_mode()); in training, and where nothing merges, it is
        "fused". It needs one head, the paper's order, and matching in chunks. For a network that is trained already:
        VideoClassifier(**net.config | {"attention": "merged"}), then load_state_dict(net.state_dict()).
    match_within: "chunk", or "video". average: "plain" (VTM eq. 4), or weighted by "size" (ToMe) or "motion".
    saliency: learn s = tanh(K U_s) (VTM eq. 9), with the auxiliary path of eq. 10 while training; default: where the
        partition is "learnable". U_s starts at zero: a random start can begin with the wrong sign.
    aux: "add", the two paths' merged outputs are added in every block; "heads", the paths stay apart up to the head.
        The auxiliary path has its own norm, queries, keys and values, and shares the halving linear.
    guidance: how strongly s enters eq. 10; 1 is the paper's, where sqrt(C) divides s as well.
    temperature, test_targets: see `VideoClassifier`.
    """

    def __init__(
        self,
        dim: int,
        out: int | None = None,
        *,
        chunk: int,
        partition: str | Callable | None = "uniform",
        gamma: float = 6,
        r: float = 1.0,
        heads: int = 1,
        dropout: float = 0.0,
        attention: str = "fused",
        residual: bool = False,
        merge_at: str = "after_attention",
        match_within: str = "chunk",
        average: str = "plain",
        saliency: bool | None = None,
        aux: str = "add",
        guidance: float = 1.0,
        temperature: float | None = None,
        test_targets: str = "sample",
    ):
        super().__init__()
        _one_of("attention", attention, "fused", "stored", "merged")
        _one_of("merge_at", merge_at, "after_attention", "before_attention")
        _one_of("match_within", match_within, "chunk", "video")
        _one_of("average", average, "plain", "size", "motion")
        _one_of("aux", aux, "add", "heads")
        _one_of("test_targets", test_targets, "sample", "top")
        if attention == "merged" and (heads, merge_at, match_within) != (1, "after_attention", "chunk"):
            raise ValueError(
                f"attention is 'merged' with heads={heads}, merge_at={merge_at!r}, match_within={match_within!r}; it"
                " needs heads=1, 'after_attention' and 'chunk': use attention='fused' with the others."
            )
        out = dim // 2 if out is None else out
        if dim < 1 or out < 1 or heads < 1 or dim % heads:
            raise ValueError(f"dim is {dim}, out {out}, heads {heads}; heads must divide dim, and all be 1 or more.")
        if int(chunk) != chunk or chunk < 1:
            raise ValueError(f"chunk is {chunk}; it is a number of frames, 1 or more.")
        if not gamma >= 1:
            raise ValueError(f"gamma is {gamma}; it is 1 or more: one token in gamma becomes a target.")
        if not 0 <= r <= 1:
            raise ValueError(f"r is {r}; it is the share of the sources that is merged, from 0 to 1.")
        self.dim, self.out, self.heads = dim, out, heads
        self.chunk, self.gamma, self.r = int(chunk), gamma, r
        self.merge_first, self.match_within, self.average = merge_at == "before_attention", match_within, average
        self.strategy = resolve(partition) if gamma > 1 and r > 0 else None
        self.temperature, self.top, self.aux_mode = temperature, test_targets == "top", aux
        self.attention = ChunkAttention(dim, heads, dropout, attention, residual)
        self.linear = nn.Linear(dim, out)
        if saliency is None:
            saliency = partition == "learnable"
        self.aux: ChunkAttention | None = None
        if saliency and self.strategy is not None:
            self.aux = ChunkAttention(dim, heads, dropout, attention, residual, guidance)
            self.U = nn.Parameter(torch.zeros(dim if self.merge_first else dim // heads, 1))

    def forward(self, tokens: Tokens, generator: torch.Generator | None = None) -> tuple[Tokens, BlockTrace]:
        todo = self.plan(tokens.segments)
        chunks_in = Chunks(todo.attend, tokens, self.chunk if todo.ragged else None)
        if self.merge_first:
            merge, targets, saliency = self._choose(tokens, tokens.x, todo, generator)
            main = replace(tokens.merged(merge, self.average), segments=todo.after, aux=None)
            main.x, _ = self.attention(main.x, self._after(todo, main, chunks_in))
        elif self._averages_scores(todo, self.training) and self.attention.can_merge:
            normed, keys = self.attention.norm_and_keys(tokens.x)
            merge, targets, saliency = self._choose(tokens, keys, todo, generator)
            weight = tokens.weight(self.average)
            y = self.attention.merged(normed, keys, chunks_in, merge, weight)
            y = merge(tokens.x, weight) + y if self.attention.residual else y
            main = replace(tokens.merged(merge, x=y), segments=todo.after, aux=None)
        else:
            y, keys = self.attention(tokens.x, chunks_in)
            merge, targets, saliency = self._choose(tokens, keys, todo, generator)
            main = replace(tokens, x=y).merged(merge, self.average)
            main = replace(main, segments=todo.after, aux=None)
        if self.aux is not None and self.training:
            # Sampling has no gradient: U_s learns from what saliency does to this attention (VTM eq. 10).
            guided, _ = self.aux(tokens.x if tokens.aux is None else tokens.aux, chunks_in, saliency)
            guided = merge(guided)
            if self.aux_mode == "add":
                main.x = main.x + guided
            main.aux = F.gelu(self.linear(guided))
        main.x = F.gelu(self.linear(main.x))
        patches = tokens.position.gather(1, targets)
        return main, BlockTrace(targets, patches, merge, saliency, main.position, main.size)

    def plan(self, segments: Segments) -> BlockPlan:
        """How this block cuts a video into chunks and how many tokens it keeps of each."""
        return plan(segments, self.chunk, self.gamma, self.r, self.strategy is not None, self.match_within)

    def count(self, segments: Segments, training: bool = False) -> tuple[BlockCount, Segments]:
        """Token counts and FLOPs for one video, and what the next block starts from."""
        todo, learns = self.plan(segments), self.aux is not None
        shape = (self.dim, self.out, self.heads, self.merge_first, self._averages_scores(todo, training))
        return block_count(todo, *shape, saliency=learns, aux=learns and training), todo.after

    def _averages_scores(self, todo: BlockPlan, training: bool) -> bool:
        """Whether this block runs `ChunkAttention.merged`, if it can."""
        return self.attention.kind == "merged" and not training and todo.tokens_out < todo.tokens_in

    def _choose(
        self, tokens: Tokens, keys: Tensor, todo: BlockPlan, generator: torch.Generator | None
    ) -> tuple[Merge, Tensor, Tensor | None]:
        """Partition and match, within each chunk: the Merge of the video, its targets (B, T), the saliency (B, N)."""
        saliency = torch.tanh(keys @ self.U)[..., 0] if self.aux is not None else None
        batch, n = tokens.position.shape
        if todo.tokens_out == n:
            merge = Merge.identity(batch, n, keys.device)
            return merge, merge.keep, saliency
        split = Chunks(todo.match, tokens).split
        known = (tokens.position, tokens.size, tokens.motion, tokens.oracle, saliency)
        pieces = [split(value[..., None]) if value is not None else None for value in known]
        pieces = [[None if p is None else p[i][0][..., 0].detach() for p in pieces] for i in range(len(todo.match))]
        merges, chosen = [], []
        for run, (key, _), piece in zip(todo.match, split(keys.detach()), pieces, strict=True):
            context = Context(key, self.gamma, run.frames, *tokens.grid[1:], *piece)
            context.training, context.generator = self.training, generator
            context.temperature, context.top = self.temperature, self.top
            if run.merged:
                chosen.append(pick(self.strategy, context))
                merges.append(match(key, chosen[-1], run.merged))
            else:
                merges.append(Merge.identity(len(key), run.tokens, key.device))
                chosen.append(merges[-1].keep[:, : run.targets])
        return join_merges(batch, todo.match, merges, chosen) + (saliency,)

    def _after(self, todo: BlockPlan, main: Tokens, before: Chunks) -> Chunks:
        """The chunks of attention when merging comes first."""
        if main.x.shape[1] == todo.tokens_in:
            return before
        if todo.match is todo.attend:
            runs = tuple(replace(run, tokens=run.left) for run in todo.attend)
            return Chunks(runs, main)
        return Chunks(todo.attend, main, self.chunk if sum(run.chunks for run in todo.attend) > 1 else None)


class VideoClassifier(nn.Module):
    """The network of VTM sec. 3.2 over an encoder's tokens: blocks, average pooling, a linear head.

    dim: channels of the encoder's tokens. blocks, chunks: how many, and L_1 <= L_2 <= ... in frames; when tokens are
    matched within chunks, each length must be a multiple of the one before. A last chunk may be shorter.
    classes: outputs of the head (1 for a regression). widths: channels after each block; default: halved each time.
    gamma, r: one number, or one for each block; gamma=1 switches merging off in a block.
    pooling: "mean", or a mean weighted by "size" (which undoes merging: it is the mean over patches) or "motion".
    position: "none" or "sincos".
    temperature: sampled targets are drawn with p = softmax(temperature * score). Default None: 6 for learned saliency
        and 1 for motion. The paper's is 1 for both; but saliency lies in (-1, 1), where a softmax over many tokens is
        nearly uniform and sampled targets nearly random, whatever was learned. Gumbel noise has a spread of about
        1.3; 6 lets a difference of 1 to 2 in score decide.
    test_targets: out of training, "sample" as in training, or "top": the T of highest score.
    The other arguments are those of `VTMBlock`, for every block.
    """

    def __init__(
        self,
        dim: int,
        blocks: int = 3,
        chunks: Sequence[int] = (6, 30, 60),
        classes: int = 10,
        partition: str | Callable | None = "uniform",
        gamma: float | Sequence[float] = 6,
        r: float | Sequence[float] = 1.0,
        widths: Sequence[int] | None = None,
        pooling: str = "mean",
        position: str = "none",
        aux: str = "add",
        **block_options,
    ):
        super().__init__()
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__", "block_options")}
        self.config |= block_options
        _one_of("pooling", pooling, "mean", "size", "motion")
        _one_of("position", position, "none", "sincos")
        if blocks < 1 or classes < 1:
            raise ValueError(f"blocks is {blocks}, classes {classes}; both are 1 or more.")
        chunks, gamma, r = (_each(v, blocks, name) for v, name in ((chunks, "chunks"), (gamma, "gamma"), (r, "r")))
        widths = [dim // 2 ** (i + 1) for i in range(blocks)] if widths is None else _each(widths, blocks, "widths")
        if list(chunks) != sorted(chunks):
            raise ValueError(f"chunks are {tuple(chunks)}; each block looks at least as far as the one before it.")
        self.blocks = nn.ModuleList()
        for i, width in enumerate(widths):
            options = dict(chunk=chunks[i], partition=partition, gamma=gamma[i], r=r[i], aux=aux, **block_options)
            self.blocks.append(VTMBlock(dim if i == 0 else widths[i - 1], width, **options))
        self.head = nn.Linear(widths[-1], classes)
        self.pooling, self.position, self.aux_mode = pooling, position, aux

    def forward(
        self,
        tokens: Tensor,
        motion: Tensor | None = None,
        oracle: Tensor | None = None,
        grid: Grid | None = None,
        trace: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor | tuple[Tensor, Trace]:
        """Tokens (B, L, H, W, C), or (B, N, C) with grid=(L, H, W), to logits (B, classes).

        motion: (B, L, H, W), magnitudes of motion vectors. oracle: (B, L, H, W), 1 where the actor is. generator: for
        the draws of targets, on the device of the tokens. With trace, (logits, Trace).
        In training with aux="heads" the logits are the mean of both paths'; Trace.paths has each.
        """
        state = Tokens.start(tokens, motion, oracle, grid)
        if state.motion is None and "motion" in (self.pooling, *(b.average for b in self.blocks)):
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
            logits = sum(paths) / 2
        return (logits, Trace(notes, whole, state.grid, paths)) if trace else logits

    def pool(self, x: Tensor, state: Tokens) -> Tensor:
        if self.pooling == "mean":
            return x.mean(1)
        everything = Merge(torch.zeros_like(state.position), torch.zeros_like(state.position[:, :1]))
        return everything(x, state.weight(self.pooling))[:, 0]


def count(model: VideoClassifier | Mapping, frames: int, height: int, width: int, training: bool = False) -> Ledger:
    """Tokens and FLOPs of one video, block by block, without running anything.

    model: a network, or the arguments of one. training: count the auxiliary path too (forward only).
    Where chunks hold different numbers of tokens (match_within="video"), attention is counted for equal ones.
    """
    if not isinstance(model, VideoClassifier):
        with torch.device("meta"):
            model = VideoClassifier(**model)
    segments: Segments = ((1, height * width),) * frames
    rows = []
    for block in model.blocks:
        row, segments = block.count(segments, training)
        rows.append(row)
    paths = 2 if training and model.aux_mode == "heads" and any(b.aux is not None for b in model.blocks) else 1
    return Ledger(tuple(rows), 2 * paths * model.head.in_features * model.head.out_features)


def sincos(grid: Grid, dim: int) -> Tensor:
    """(N, dim) sines and cosines of frame, row and column: a third of the channels each, wavelengths 4 to 4 * 64."""
    if dim < 6:
        raise ValueError(f"dim is {dim}; a sincos position of three axes needs 6 channels or more.")
    waves = dim // 6
    rate = 2 * math.pi / (4 * 64 ** (torch.arange(waves) / max(1, waves - 1)))
    where = torch.cartesian_prod(*(torch.arange(extent, dtype=torch.float32) for extent in grid)).view(-1, 3, 1)
    angle = (where * rate).flatten(1)
    return F.pad(torch.cat([angle.sin(), angle.cos()], dim=1), (0, dim - 6 * waves))


def _each(value, blocks: int, name: str) -> list:
    values = [value] * blocks if isinstance(value, (int, float)) else list(value)
    if len(values) != blocks:
        raise ValueError(f"{name} has {len(values)} values for {blocks} blocks; give one for each.")
    return values


def _one_of(name: str, value: object, *allowed: str) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; it is {' or '.join(map(repr, allowed))}.")
