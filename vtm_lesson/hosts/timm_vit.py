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

Every thread has its own record of the forward pass that it is in (`_Pass`), so that threads can share one model.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..merging.matching import match, nearest
from ..merging.merge import Merge
from ..merging.registry import choose
from ..merging.strategies import Context, Reducer, Strategy, is_ragged, reduce, resolve
from ..network.tokens import Chunks, Tokens, reduce_alike
from . import torchvision_repair  # noqa: F401  must come before timm

# isort: split
import timm
from timm.models import vision_transformer as vit

BLOCKS = (vit.Block, vit.ResPostBlock)
ATTENTIONS = tuple(getattr(vit, name) for name in ("Attention", "DiffAttention") if hasattr(vit, name))
Amount = Callable[[int, Tensor], int]


def apply(
    model: nn.Module,
    r: int | Sequence[int] | tuple[int, float] | Amount | None = None,
    proportional: bool = True,
    *,
    frames: int = 1,
    partition: str | Callable[..., Tensor] | None = None,
    reducer: str | Reducer | None = None,
    order: str = "time",
) -> nn.Module:
    """Make a timm ViT merge tokens in every block. Changes `model` in place, and returns it.

    Parameters
    ----------
    model : nn.Module
        A timm VisionTransformer (vit_*, deit_*, with or without class, distillation or register tokens, LayerScale,
        qk_norm, pre- or post-norm), pretrained or not, or your own subclass built of timm's blocks. Applying again
        replaces the settings; it never nests.
    r : int, list, (int, float) or function
        How many tokens each block merges away. A block with fewer than 2 r unprotected tokens merges half of them.

        - int: the same in every block;
        - list: one number a block;
        - (r, c): falling (c = -1: from 2 r to 0) or rising (c = 1), always r on average; see `schedule`;
        - function of (block number, similarity (B, S)) -> int: called with the cosine of every source with its most
          similar target. `lambda i, s: int((s > 0.9).sum(1).min())` merges what is more similar than 0.9 in every
          image of the batch.

        Left out for a reducer that decides itself how many (`ragged`).
    proportional : bool, optional
        Add log(size) to the attention scores. False leaves the attention as it is.
    frames : int, optional
        L > 1 makes it a video model: the batch is the frames of films, L of each film in order, and all frames of a
        film share one sequence, so that attention and merging are joint over space and time (as in ToMe's video
        models). The output has one row a film. 1: every frame by itself.
    partition : str or function, optional
        A strategy by name, or a function of the Context, or of some of its fields, such as `n`, the number of
        unprotected tokens; gives the positions of the targets among them, ascending, however many. Default: ToMe's,
        every other token (`alternate`).
    reducer : str or function, optional
        In place of a partition: a name of `vtm.reducers()`, or a function from a Context to a Merge of the unprotected
        tokens. A bipartite one chooses half of the tokens as targets, and merges the r sources that are most similar;
        the others keep n - r tokens. The Context's keys are the attention's, averaged over heads; it has no motion and
        no saliency.
    order : {"time", "tome"}, optional
        The order of the tokens that a block leaves. "time": that of the tokens that survive. "tome": unmerged sources
        before targets, as ToMe's own code leaves them (and without a class token, sources by falling similarity); then
        from the second block on the same tokens meet, and outputs equal that code's to rounding.

    Returns
    -------
    nn.Module
        The same model. After a forward pass it has, over all tokens of a sequence with the protected ones first,
        `merges`, the Merge from the original to the final tokens (its `size()` is the token size), and
        `layer_merges`, a list of Merge, one a block. Threads may share the model: each reads there what its own last
        pass did; before one, None and an empty list.

    Raises
    ------
    ValueError
        For other kinds of model, for a schedule that does not fit, and for timm before 1.0.16 where proportional
        attention is asked for: its attention takes no mask.

    Notes
    -----
    ToMe (Bolya et al., ICLR 2023). Which tokens are targets depends on their order, so with order="time" it can differ
    from ToMe's own code from the second block on. Pooling over patch tokens (global_pool "avg", say) counts every
    original token once: such models get their tokens unmerged after the last block; unless tokens were dropped, which
    count nothing. `forward_intermediates` gives what each block left, so ask it for output_fmt="NLC": merged tokens are
    no grid.

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson import tome  # before timm
    >>> from timm.models import VisionTransformer
    >>> vit = VisionTransformer(img_size=64, embed_dim=32, depth=3, num_heads=2, num_classes=10)
    >>> vit = tome.apply(vit.eval(), r=4)
    >>> vit(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 10])
    >>> vit.layer_merges
    [Merge(17 -> 13 tokens, batch 1), Merge(13 -> 9 tokens, batch 1), Merge(9 -> 5 tokens, batch 1)]
    """
    if order not in ("time", "tome"):
        raise ValueError(f'order is {order!r}; it is "time" or "tome".')
    if partition is not None and reducer is not None:
        raise ValueError("partition and reducer were both given; a partition is the short form: give one of them.")
    if order == "tome" and reducer is not None:
        raise ValueError("order='tome' is the order of ToMe's own matching; leave reducer out, or order.")
    chosen = None if reducer is None else choose(None, reducer)
    if (r is None) != is_ragged(chosen):
        raise ValueError(
            "r is missing: say how many tokens each block merges away."
            if r is None
            else f"r is {r!r}, but this reducer decides itself how many tokens it merges: leave r out."
        )
    _refuse_unsupported(model, proportional or is_ragged(chosen))
    host: Any = model  # a module's parts have no types
    amounts: list[int | Amount | None] = [None] * len(host.blocks) if r is None else [*schedule(r, len(host.blocks))]
    if not _is_count(frames) or frames < 1:
        raise ValueError(f"frames is {frames!r}; give the number of frames of a film, 1 or more.")
    remove(model)
    run = _Shared(model, proportional, int(frames), resolve(partition), chosen, order)
    run.handles = [host.blocks[0].register_forward_pre_hook(run.begin)]
    for index, (block, amount) in enumerate(zip(host.blocks, amounts, strict=True)):
        run.handles += _Block(run, index, amount).attach(block)
    if getattr(host, "global_pool", "token") not in ("token", ""):
        run.handles.append(host.blocks[-1].register_forward_hook(run.spread_out))
    host.tome = run
    return model


def remove(model: nn.Module) -> nn.Module:
    """Take merging out of the model again; without it, nothing happens.

    Parameters
    ----------
    model : nn.Module
        What `apply` was given.

    Returns
    -------
    nn.Module
        The same model.

    Examples
    --------
    >>> from vtm_lesson import tome  # before timm
    >>> from timm.models import VisionTransformer
    >>> vit = VisionTransformer(img_size=64, embed_dim=32, depth=3, num_heads=2)
    >>> vit = tome.remove(tome.apply(vit, r=4))
    >>> hasattr(vit, "merges")
    False
    """
    run = model.__dict__.get("tome")
    if run is not None:
        for handle in run.handles:
            handle.remove()
        del model.__dict__["tome"]
    return model


def patch_merge(model: nn.Module) -> Merge:
    """Give `model.merges` for the patch tokens alone, without the protected ones: what pictures of groups need.

    Parameters
    ----------
    model : nn.Module
        One that merges, after a forward pass.

    Returns
    -------
    Merge
        From the patches to the final tokens.

    Raises
    ------
    ValueError
        For a model that has merged nothing yet.

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson import tome  # before timm
    >>> from timm.models import VisionTransformer
    >>> vit = tome.apply(VisionTransformer(img_size=64, embed_dim=32, depth=3, num_heads=2).eval(), r=4)
    >>> _ = vit(torch.zeros(1, 3, 64, 64))
    >>> tome.patch_merge(vit)
    Merge(16 -> 4 tokens, batch 1)
    """
    host: Any = model
    if getattr(host, "merges", None) is None:
        raise ValueError("this model has merged nothing yet: tome.apply(model, r), and then a forward pass.")
    prefix = host.num_prefix_tokens  # they come first, each its own group
    whole: Merge = host.merges
    dropped = None if whole.dropped is None else whole.dropped[:, prefix:]
    count = None if whole.count is None else whole.count - prefix
    return Merge(whole.group[:, prefix:] - prefix, whole.keep[:, prefix:] - prefix, dropped, count)


def schedule(r: int | Sequence[int] | tuple[int, float] | Amount, depth: int) -> list[int | Amount]:
    """Say how many tokens each block merges away: one entry a block.

    Parameters
    ----------
    r : int, list, (int, float) or function
        As for `apply`.
    depth : int
        L, the number of blocks.

    Returns
    -------
    list
        [r] * depth for an int or a function, a checked copy of a list, or a slope for (r, c): block l gets
        r + round(r c (2 l / (L - 1) - 1)), which runs from r (1 - c) to r (1 + c) and adds up to r L exactly. c = -1
        merges most in the first blocks, where it saves most; c = 1 in the last; c = 0 is constant.

    Raises
    ------
    ValueError
        For a list of another length, a slope outside -1 to 1, and numbers that are not whole or below 0.

    Examples
    --------
    >>> from vtm_lesson import tome
    >>> tome.schedule((8, -1.0), 5)
    [16, 12, 8, 4, 0]
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


def alternate(n: int, prefix: int = 0, device: torch.device | str | None = None) -> Tensor:
    """ToMe's partition of n tokens that follow `prefix` protected ones: odd places in the sequence are targets.

    device: where they are made, so that they need not be copied there.
    """
    return torch.arange(1 - prefix % 2, n, 2, device=device)


@dataclass
class _Pass:
    """One forward pass: how far it has merged, and what the hooks of the present block hand to each other."""

    merges: Merge
    layer_merges: list[Merge] = field(default_factory=list)
    size: Tensor | None = None  # (B, N) float32, None as long as no token is merged
    present: Tensor | None = None  # (B, N) bool, None as long as all images have equally many tokens
    keys: Tensor | None = None
    merge: Merge | None = None
    merged: Tensor | None = None
    added: Tensor | None = None


class _OfLastPass:
    """`model.merges` and `model.layer_merges`: what the calling thread's last forward pass did.

    It stands in timm's class, as Python looks for such attributes nowhere else, and is there for models that merge
    only. A model's own attribute of the same name goes before it.
    """

    def __init__(self, name: str):
        self.name = name

    def __get__(self, model: nn.Module | None, kind: type) -> Any:
        run = None if model is None else model.__dict__.get("tome")
        if run is None:
            raise AttributeError(self.name)
        before: Any = [] if self.name == "layer_merges" else None
        return getattr(run.last, self.name, before)


for _name in ("merges", "layer_merges"):
    setattr(vit.VisionTransformer, _name, _OfLastPass(_name))


class _Shared:
    """What the blocks of one model share: the settings, and for every thread how far its forward pass has merged."""

    def __init__(
        self,
        model: nn.Module,
        proportional: bool,
        frames: int,
        partition: Strategy | None,
        reducer: Reducer | None,
        order: str,
    ):
        self.model: Any = model  # a module's parts have no types
        self.proportional, self.frames = proportional, frames
        self.partition, self.reducer, self.order = partition, reducer, order
        self.prefix = cast(int, self.model.num_prefix_tokens)
        self.handles: list[Any] = []
        self.of_thread = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        """For copies and files: the calling thread's last pass, without what a block left half done."""
        last = self.last
        done = None if last is None else _Pass(last.merges, last.layer_merges, last.size, last.present)
        return {**self.__dict__, "of_thread": done}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, of_thread=threading.local())
        self.of_thread.last = state["of_thread"]

    @property
    def last(self) -> _Pass | None:
        """The pass that the calling thread is in, or else its last one."""
        return getattr(self.of_thread, "last", None)

    @property
    def now(self) -> _Pass:
        """The same, for hooks."""
        last = self.last
        if last is None:
            raise ValueError(
                "this model's blocks merge in order, in one thread: run the first block before the others."
            )
        return last

    def begin(self, block: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
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
        self.of_thread.last = _Pass(Merge.identity(x.shape[0], x.shape[1], x.device))
        return (x, *args[1:])

    def match(self, index: int, amount: int | Amount | None, keys: Tensor) -> Merge:
        """The Merge of one block, over all tokens, from its keys (B, N, D)."""
        free = keys[:, self.prefix :]
        merge: Merge | None = None
        if amount is None:
            merge = self._ragged(free)
        elif self.reducer is None:
            merge = self._bipartite(index, amount, free)
        else:
            n, tokens = free.shape[1], self._tokens(free)
            merged = min(self._number(index, amount, free, alternate(n, self.prefix, free.device)), n // 2)
            if merged:
                merge = reduce(self.reducer, self._context(free, tokens, merged))
        batch, n_all, _ = keys.shape
        if merge is None or merge.is_identity:
            return Merge.identity(batch, n_all, keys.device)
        first = torch.arange(self.prefix, device=keys.device).expand(batch, -1)
        group, keep = (torch.cat([first, part + self.prefix], dim=1) for part in (merge.group, merge.keep))
        dropped = merge.dropped
        if dropped is not None:
            dropped = torch.cat([dropped.new_zeros(batch, self.prefix), dropped], dim=1)
        return Merge(group, keep, dropped, None if merge.count is None else merge.count + self.prefix)

    def _bipartite(self, index: int, amount: int | Amount, free: Tensor) -> Merge | None:
        """ToMe's way, or with a partition of one's own: as `Bipartite`, for any number of targets."""
        n = free.shape[1]
        if amount == 0 or n < 2:
            return None
        if self.partition is None:
            targets, most = alternate(n, self.prefix, free.device), n // 2
        else:
            targets = torch.as_tensor(self.partition(self._context(free, self._tokens(free), 0))).to(free.device)
            match(free, targets, 0)  # says what is wrong with them
            most = n - targets.shape[-1]
        if most < 1:
            return None
        merge = match(free, targets, min(self._number(index, amount, free, targets), most))
        return self._as_tome_leaves_them(merge, free, targets) if self.order == "tome" else merge

    def _number(self, index: int, amount: int | Amount, free: Tensor, targets: Tensor) -> int:
        if callable(amount):
            amount = amount(index, nearest(free, targets)[1])
            if not _is_count(amount):
                raise ValueError(f"the function r gave {amount!r} in block {index}; give a whole number, 0 or more.")
        return int(amount)

    def _as_tome_leaves_them(self, merge: Merge, free: Tensor, targets: Tensor) -> Merge:
        """Unmerged sources first, then the targets."""
        is_target = torch.zeros(free.shape[:2], dtype=torch.bool, device=free.device)
        is_target = is_target.scatter(1, targets.expand(len(free), -1), True)
        rank = is_target.gather(1, merge.keep).float()
        if not self.prefix:  # ToMe's code then leaves the sources as they were ranked, the most similar first
            similarity = torch.full_like(is_target, -2, dtype=torch.float32)
            similarity = similarity.masked_scatter(~is_target, nearest(free, targets)[1].float())
            rank = torch.where(rank > 0, 2, -similarity.gather(1, merge.keep))
        return merge.reordered(rank.argsort(dim=1, stable=True))

    def _ragged(self, free: Tensor) -> Merge:
        """A reducer that keeps a different number in each image."""
        assert self.reducer is not None
        tokens = self._tokens(free)

        def context(image: Tensor, place: Tensor, frames: int) -> Context:
            here = Tokens(free, tokens.grid, (), tokens.position[image, place], tokens.size[image, place])
            return self._context(free[image, place], here, 0)

        return reduce_alike(self.reducer, tokens, Chunks((), tokens, tokens.grid[0]), context)[0]

    def _tokens(self, free: Tensor) -> Tokens:
        """The unprotected tokens as the course's own network has them."""
        now = self.now
        done = now.merges
        position, n = done.keep[:, self.prefix :] - self.prefix, done.n_in - self.prefix
        height, width = getattr(self.model.patch_embed, "grid_size", (0, 0))
        if self.frames * height * width != n:  # an image of another size, or with patches left out
            height, width = 1, n // self.frames
        size = torch.ones_like(free[..., 0], dtype=torch.float32) if now.size is None else now.size[:, self.prefix :]
        present = None if now.present is None else now.present[:, self.prefix :]
        return Tokens(free, (self.frames, height, width), (), position, size, present=present)

    def _context(self, keys: Tensor, tokens: Tokens, merged: int) -> Context:
        # As in ToMe, half of the tokens are targets, for reducers that choose any; they say how many are merged.
        return Context(keys, 2, *tokens.grid, tokens.position, tokens.size, merged=merged)

    def spread_out(self, block: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        """After the last block of a model that averages patch tokens: one token again for each original one."""
        done = self.now.merges
        drops = done.dropped is not None and bool(done.dropped.any())
        if drops and self.now.present is not None:
            raise ValueError(
                "this model averages its patch tokens, and its images keep different numbers of them after dropping:"
                " the average would count padding; use a model with a class token."
            )
        return output if done.is_identity or drops else done.unmerge(output)


class _Block:
    """The hooks of one block. timm's block computes, with the optional parts left out,

        x = x + attn(norm1(x))
        x = x + mlp(norm2(x))

    and ToMe wants `x = merge(x)` between the two lines. A hook can give norm2 the merged tokens, but it cannot replace
    the x that the MLP's result is added to. So the block gets a zero to add, and the sum is made here, at the end.
    """

    def __init__(self, run: _Shared, index: int, amount: int | Amount | None):
        self.run, self.index, self.amount = run, index, amount

    def attach(self, block: Any) -> list[Any]:
        second = block.norm2 if isinstance(block, vit.Block) else block.mlp  # what reads x first after the attention
        return [
            block.attn.register_forward_pre_hook(self.weigh, with_kwargs=True),
            block.attn.k_norm.register_forward_hook(self.keep_keys),
            second.register_forward_pre_hook(self.merge_tokens),
            block.drop_path2.register_forward_hook(self.take_result),
            block.register_forward_hook(self.finish),
        ]

    def weigh(
        self, attn: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Proportional attention: log(size) of every key's token goes in as the attention mask."""
        if kwargs.get("attn_mask") is not None or kwargs.get("is_causal"):
            raise ValueError("a model that merges takes no attn_mask and no is_causal: a mask is for tokens that stay.")
        size, present, dtype = self.run.now.size, self.run.now.present, args[0].dtype
        bias = None
        if size is not None and self.run.proportional:  # padding has size 0, and so -inf here
            bias = size.to(torch.promote_types(dtype, torch.float32)).log().to(dtype)
        elif present is not None:
            bias = torch.zeros_like(present, dtype=dtype).masked_fill(~present, -torch.inf)
        return args, kwargs if bias is None else {**kwargs, "attn_mask": bias[:, None, None, :]}

    def keep_keys(self, k_norm: nn.Module, args: tuple[Any, ...], keys: Tensor) -> None:
        """The attention's keys (B, heads, N, D), averaged over heads, say which tokens are alike."""
        if self.amount != 0:
            self.run.now.keys = keys.detach().mean(dim=1)

    def merge_tokens(self, second: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Between attention and MLP: match, and average by size."""
        x, now = args[0], self.run.now
        if self.amount == 0:
            now.merge = Merge.identity(x.shape[0], x.shape[1], x.device)
            return None
        assert now.keys is not None, "the attention's keys were not kept"
        now.merge, now.keys = self.run.match(self.index, self.amount, now.keys), None
        self.run.of_thread.last = now  # a function of the user's, which decided there, may have run this model as well
        if now.merge.is_identity:
            return None
        now.merged = now.merge(x, weight=now.size)
        return (now.merged,)

    def take_result(self, drop_path2: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """What the MLP adds, for fewer tokens than the block's x has: hand the block a zero instead."""
        if self.run.now.merged is None:
            return None
        self.run.now.added = output
        return output.new_zeros(())

    def finish(self, block: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """The block's real output; and a note of what it merged."""
        now = self.run.now
        merge, merged, added = now.merge, now.merged, now.added
        now.merge = now.merged = now.added = None
        assert merge is not None, "no token reached the second half of the block"
        if not merge.is_identity:
            now.size, now.present = merge.size(now.size), merge.present
            now.merges = now.merges.then(merge)
        now.layer_merges.append(merge)
        return None if merged is None or added is None else merged + added


def _is_count(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and int(value) == value and value >= 0
    except (TypeError, ValueError, OverflowError):
        return False


def _refuse_unsupported(model: nn.Module, proportional: bool) -> None:
    """ValueError for a model whose blocks are not the ones that the hooks above are made for."""
    name = type(model).__name__
    if not isinstance(model, vit.VisionTransformer):
        raise ValueError(
            f"{name} is not a timm VisionTransformer; ToMe works on plain ViTs (vit_*, deit_*) only, whose tokens "
            "need no grid after the patch embedding (apply it before torch.compile or other wrappers)."
        )
    blocks: Any = model.blocks
    for block in blocks:
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
                f"the attention of timm {timm.__version__} takes no mask, which proportional attention needs,"
                " and a reducer that keeps a different number in each image: "
                "install timm 1.0.16 or newer, or choose proportional=False and another reducer."
            )
