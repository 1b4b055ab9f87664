"""ToMe inside any timm ViT, without copying timm's forward code.

    model = tome.apply(timm.create_model("deit_small_patch16_224"), r=8)
    model(images)           # as before, with 8 tokens fewer after every block
    model.merges            # the Merge from the original tokens to the final ones: who was merged with whom
    tome.remove(model)      # the model as it was

ToMe (Bolya et al., ICLR 2023) merges between the attention and the MLP of every block, by the keys of that attention,
averages by token size, and adds log(size) to the attention scores ("proportional attention"), so that a token which
stands for s tokens is attended to like s tokens. Class, distillation and register tokens are never merged.

Nothing of timm's forward is restated: hooks on five places of a block do it all, and timm's fused attention stays in
use. Parameters and state_dict keys are untouched. See `_Block` for the hooks, in the order in which they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature

import torch
from torch import Tensor, nn

from ..merging.matching import match, nearest
from ..merging.merge import Merge
from . import torchvision_repair  # noqa: F401  must come before timm

# isort: split
import timm
from timm.models import vision_transformer as vit

BLOCKS = (vit.Block, vit.ResPostBlock)
ATTENTIONS = tuple(getattr(vit, name) for name in ("Attention", "DiffAttention") if hasattr(vit, name))
Amount = Callable[[int, Tensor], int]
Partition = Callable[[int], Tensor]


def apply(
    model: nn.Module,
    r: int | Sequence[int] | tuple[int, float] | Amount,
    proportional: bool = True,
    *,
    frames: int = 1,
    partition: Partition | None = None,
) -> nn.Module:
    """Make a timm ViT merge tokens in every block. Changes `model` in place, and returns it.

    model: a timm VisionTransformer (vit_*, deit_*, with or without class, distillation or register tokens,
        LayerScale, qk_norm, pre- or post-norm), pretrained or not, or your own subclass built of timm's blocks.
        Applying again replaces the settings; it never nests.
    r: how many tokens each block merges away. A block with fewer than 2 r unprotected tokens merges half of them.
        int        the same in every block
        list       one number a block
        (r, c)     falling (c = -1: from 2 r to 0) or rising (c = 1), always r on average; see `schedule`
        function   of (block number, similarity (B, S)) -> int: called with the cosine of every source with its most
                   similar target. `lambda i, s: int((s > 0.9).sum(1).min())` merges what is more similar than 0.9
                   in every image of the batch.
    proportional: add log(size) to the attention scores. False leaves the attention as it is.
    frames: L > 1 makes it a video model: the batch is the frames of films, L of each film in order, and all frames
        of a film share one sequence, so that attention and merging are joint over space and time (as in ToMe's video
        models). The output has one row a film. 1: every frame by itself.
    partition: a function of the number n of unprotected tokens that gives the positions of the targets among them,
        (T,) ascending. Default: ToMe's, every other token (`alternate`).

    After a forward pass, over all tokens of a sequence with the protected ones first:
        model.merges        Merge from the original to the final tokens; `.size()` is the token size
        model.layer_merges  list of Merge, one a block

    Tokens keep their order in space and time, while ToMe's code puts sources before targets; so from the second block
    on, who is a target can differ from that code. Pooling over patch tokens (global_pool "avg", say) counts every
    original token once: such models get their tokens unmerged after the last block. `forward_intermediates` gives what
    each block left, so ask it for output_fmt="NLC": merged tokens are no grid.
    Raises ValueError for other kinds of model, for a schedule that does not fit, and for timm before 1.0.16 where
    proportional attention is asked for: its attention takes no mask.
    """
    _refuse_unsupported(model, proportional)
    amounts = schedule(r, len(model.blocks))
    if isinstance(frames, bool) or int(frames) != frames or frames < 1:
        raise ValueError(f"frames is {frames}; give the number of frames of a film, 1 or more.")
    remove(model)
    run = _Shared(model, proportional, int(frames), partition)
    run.handles = [model.blocks[0].register_forward_pre_hook(run.begin)]
    for index, (block, amount) in enumerate(zip(model.blocks, amounts, strict=True)):
        run.handles += _Block(run, index, amount).attach(block)
    if getattr(model, "global_pool", "token") not in ("token", ""):
        run.handles.append(model.blocks[-1].register_forward_hook(run.spread_out))
    model.tome, model.merges, model.layer_merges = run, None, []
    return model


def remove(model: nn.Module) -> nn.Module:
    """Take merging out of the model again; without it, nothing happens. Returns the model."""
    run = model.__dict__.get("tome")
    if run is not None:
        for handle in run.handles:
            handle.remove()
        for name in ("tome", "merges", "layer_merges"):
            model.__dict__.pop(name, None)
    return model


def patch_merge(model: nn.Module) -> Merge:
    """`model.merges` for the patch tokens alone, without the protected ones: what pictures of groups need."""
    if getattr(model, "merges", None) is None:
        raise ValueError("this model has merged nothing yet: tome.apply(model, r), and then a forward pass.")
    prefix = model.num_prefix_tokens  # they come first, each its own group
    return Merge(model.merges.group[:, prefix:] - prefix, model.merges.keep[:, prefix:] - prefix)


def schedule(r: int | Sequence[int] | tuple[int, float] | Amount, depth: int) -> list[int | Amount]:
    """One entry a block: [r] * depth for an int, a checked copy of a list, or a slope for (r, c).

    Block l of L = depth gets r + round(r c (2 l / (L - 1) - 1)), which runs from r (1 - c) to r (1 + c) and adds up to
    r L exactly. c = -1 merges most in the first blocks, where it saves most; c = 1 in the last; c = 0 is constant.
    """
    if callable(r):
        return [r] * depth
    if isinstance(r, tuple):
        if len(r) != 2 or not _is_count(r[0]) or not -1 <= r[1] <= 1:
            raise ValueError(f"r is {r}; a tuple is (tokens a block on average, slope from -1 to 1), (8, -1.0) say.")
        average, slope = int(r[0]), float(r[1])
        return [average + round(average * slope * (2 * i - depth + 1) / max(1, depth - 1)) for i in range(depth)]
    if isinstance(r, list):
        if len(r) != depth:
            raise ValueError(f"r lists {len(r)} numbers; this model has {depth} blocks, so give {depth}.")
        amounts = r
    else:
        amounts = [r] * depth
    wrong = [a for a in amounts if not (callable(a) or _is_count(a))]
    if wrong:
        raise ValueError(f"r holds {wrong[0]!r}; tokens merged away in a block are a whole number, 0 or more.")
    return [a if callable(a) else int(a) for a in amounts]


def alternate(n: int, prefix: int = 0) -> Tensor:
    """ToMe's partition of n tokens that follow `prefix` protected ones: odd places in the sequence are targets."""
    return torch.arange(1 - prefix % 2, n, 2)


class _Shared:
    """What the blocks of one model share: the settings, and how far the present forward pass has merged."""

    def __init__(self, model: nn.Module, proportional: bool, frames: int, partition: Partition | None):
        self.model, self.proportional, self.frames, self.partition = model, proportional, frames, partition
        self.prefix = model.num_prefix_tokens
        self.handles: list = []
        self.size: Tensor | None = None  # (B, N) float32, None as long as no token is merged

    def begin(self, block: nn.Module, args: tuple) -> tuple:
        """Before the first block: forget the last forward pass, and put the frames of a film into one sequence."""
        if getattr(self.model, "grad_checkpointing", False):
            raise ValueError("merging does not work under gradient checkpointing: model.set_grad_checkpointing(False).")
        x = args[0]
        if self.frames > 1:
            if x.shape[0] % self.frames:
                raise ValueError(f"a batch of {x.shape[0]} frames is no whole number of films of {self.frames} frames.")
            film = x.unflatten(0, (-1, self.frames))
            # Before the first block the protected tokens of all frames are the same: one set serves the film.
            x = torch.cat([film[:, 0, : self.prefix], film[:, :, self.prefix :].flatten(1, 2)], dim=1)
        self.size = None
        self.model.merges = Merge.identity(x.shape[0], x.shape[1], x.device)
        self.model.layer_merges = []
        return (x, *args[1:])

    def match(self, index: int, amount: int | Amount, keys: Tensor) -> Merge:
        """The Merge of one block, over all tokens, from its keys (B, N, D)."""
        batch, n_all, _ = keys.shape
        n = n_all - self.prefix
        free = keys[:, self.prefix :]
        if self.partition is None:
            targets, most = alternate(n, self.prefix), n // 2
        else:
            targets = torch.as_tensor(self.partition(n))
            most = n - targets.shape[-1]
        if most < 1 or amount == 0:
            return Merge.identity(batch, n_all, keys.device)
        targets = targets.to(keys.device)
        if callable(amount):
            amount = amount(index, nearest(free, targets)[1])
            if not _is_count(amount):
                raise ValueError(f"the function r gave {amount!r} in block {index}; give a whole number, 0 or more.")
        merge = match(free, targets, min(int(amount), most))
        first = torch.arange(self.prefix, device=keys.device).expand(batch, -1)
        group, keep = (torch.cat([first, part + self.prefix], dim=1) for part in (merge.group, merge.keep))
        return Merge(group, keep)

    def advance(self, merge: Merge) -> None:
        """Note what a block merged."""
        if merge.n_out < merge.n_in:
            self.size = merge.size(self.size)
            self.model.merges = self.model.merges.then(merge)
        self.model.layer_merges.append(merge)

    def spread_out(self, block: nn.Module, args: tuple, output: Tensor) -> Tensor:
        """After the last block of a model that averages patch tokens: one token again for each original one."""
        return output if self.size is None else self.model.merges.unmerge(output)


class _Block:
    """The hooks of one block. timm's block computes, with the optional parts left out,

        x = x + attn(norm1(x))
        x = x + mlp(norm2(x))

    and ToMe wants `x = merge(x)` between the two lines. A hook can give norm2 the merged tokens, but it cannot replace
    the x that the MLP's result is added to. So the block gets a zero to add, and the sum is made here, at the end.
    """

    def __init__(self, run: _Shared, index: int, amount: int | Amount):
        self.run, self.index, self.amount = run, index, amount
        self.keys: Tensor | None = None
        self.merge: Merge | None = None
        self.merged: Tensor | None = None
        self.added: Tensor | None = None

    def attach(self, block: nn.Module) -> list:
        second = block.norm2 if isinstance(block, vit.Block) else block.mlp  # what reads x first after the attention
        return [
            block.attn.register_forward_pre_hook(self.weigh, with_kwargs=True),
            block.attn.k_norm.register_forward_hook(self.keep_keys),
            second.register_forward_pre_hook(self.merge_tokens),
            block.drop_path2.register_forward_hook(self.take_result),
            block.register_forward_hook(self.finish),
        ]

    def weigh(self, attn: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Proportional attention: log(size) of every key's token goes in as the attention mask."""
        if kwargs.get("attn_mask") is not None or kwargs.get("is_causal"):
            raise ValueError("a model that merges takes no attn_mask and no is_causal: a mask is for tokens that stay.")
        size = self.run.size
        if size is not None and self.run.proportional:
            dtype = args[0].dtype
            bias = size.to(torch.promote_types(dtype, torch.float32)).log().to(dtype)
            kwargs = {**kwargs, "attn_mask": bias[:, None, None, :]}
        return args, kwargs

    def keep_keys(self, k_norm: nn.Module, args: tuple, keys: Tensor) -> None:
        """The attention's keys (B, heads, N, D), averaged over heads, say which tokens are alike."""
        if self.amount != 0:
            self.keys = keys.detach().mean(dim=1)

    def merge_tokens(self, second: nn.Module, args: tuple) -> tuple | None:
        """Between attention and MLP: match, and average by size."""
        x, self.merged = args[0], None
        if self.amount == 0:
            self.merge = Merge.identity(x.shape[0], x.shape[1], x.device)
            return None
        self.merge = self.run.match(self.index, self.amount, self.keys)
        self.keys = None
        if self.merge.n_out == self.merge.n_in:
            return None
        self.merged = self.merge(x, weight=self.run.size)
        return (self.merged,)

    def take_result(self, drop_path2: nn.Module, args: tuple, output: Tensor) -> Tensor | None:
        """What the MLP adds, for fewer tokens than the block's x has: hand the block a zero instead."""
        if self.merged is None:
            return None
        self.added = output
        return output.new_zeros(())

    def finish(self, block: nn.Module, args: tuple, output: Tensor) -> Tensor | None:
        """The block's real output."""
        self.run.advance(self.merge)
        merged, added = self.merged, self.added
        self.merge = self.merged = self.added = None
        return None if merged is None else merged + added


def _is_count(value: object) -> bool:
    try:
        return not isinstance(value, bool) and int(value) == value and value >= 0
    except (TypeError, ValueError):
        return False


def _refuse_unsupported(model: nn.Module, proportional: bool) -> None:
    """ValueError for a model whose blocks are not the ones that the hooks above are made for."""
    name = type(model).__name__
    if not isinstance(model, vit.VisionTransformer):
        raise ValueError(
            f"{name} is not a timm VisionTransformer; ToMe works on plain ViTs (vit_*, deit_*) only, whose tokens "
            "need no grid after the patch embedding (apply it before torch.compile or other wrappers)."
        )
    for block in model.blocks:
        # Exactly timm's forward: a changed one may use its parts in another order, and would be silently wrong.
        if not any(type(block).forward is known.forward for known in BLOCKS):
            raise ValueError(
                f"this {name} is made of {type(block).__name__}; ToMe needs blocks with attention first and MLP "
                "second: timm's Block or ResPostBlock."
            )
        if not any(type(block.attn).forward is known.forward for known in ATTENTIONS):
            raise ValueError(f"this {name} has attention of type {type(block.attn).__name__}; ToMe needs timm's own.")
        if proportional and "attn_mask" not in signature(block.attn.forward).parameters:
            raise ValueError(
                f"the attention of timm {timm.__version__} takes no mask, which proportional attention needs: "
                "install timm 1.0.16 or newer, or choose proportional=False."
            )
