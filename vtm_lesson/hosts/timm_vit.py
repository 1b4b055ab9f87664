"""ToMe inside any timm ViT, without copying timm's forward code.

    model = tome.apply(timm.create_model("deit_small_patch16_224"), r=8)
    model(images)           # as before, with 8 tokens fewer after every block
    model.merges            # the Merge from the original tokens to the final ones: who was merged with whom
    tome.remove(model)      # the model as it was

ToMe (Bolya et al., ICLR 2023) merges between the attention and the MLP of every block, by the keys of that attention,
averages by token size, and adds log(size) to the attention scores ("proportional attention"), so that a token which
stands for s tokens is attended to like s tokens. Class, distillation and register tokens are never merged.

Nothing of timm's forward is restated: hooks on five places of a block do it all, and timm's fused attention stays in
use. Parameters and state_dict keys are untouched. What the hooks do is in `passes.py`; `_TimmBlock` says where
they are.

Every thread has its own record of the forward pass that it is in (`passes.Pass`), so threads can share one model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any, cast

from torch import Tensor, nn

from ..merging.merge import Merge
from ..merging.partition import Grid
from ..merging.strategies import Reducer
from . import torchvision_repair  # noqa: F401  must come before timm
from .passes import KEPT_AS, Block, OfLastPass, Run, alternate, run_on, stop
from .settings import Amount, Settings, schedule

# isort: split
import timm
from timm.models import vision_transformer as vit

__all__ = ["alternate", "apply", "patch_merge", "remove", "schedule"]

AS_GRID = "forward_intermediates"  # timm's method that gives tokens as pictures
BLOCKS = (vit.Block, vit.ResPostBlock)
ATTENTIONS = tuple(getattr(vit, name) for name in ("Attention", "DiffAttention") if hasattr(vit, name))


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
    count nothing. `forward_intermediates` gives what each block left, in output_fmt="NLC": merged tokens are no grid,
    and are refused as one. torch.jit.trace is refused, too, as it would write down one image's groups for all.

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
    host: Any = model  # a module's parts have no types
    depth = len(host.blocks) if isinstance(model, vit.VisionTransformer) else 0
    plugs: dict[str, Any] = {"partition": partition, "reducer": reducer, "order": order}
    settings = Settings.of(depth, r, proportional, frames=frames, **plugs)
    _refuse_unsupported(model, settings)
    remove(model)
    run = _TimmRun(settings, host)
    run.handles = [host.blocks[0].register_forward_pre_hook(run.before_first)]
    for index, block in enumerate(host.blocks):
        run.handles += _TimmBlock(run, index).attach(block)
    if getattr(host, "global_pool", "token") not in ("token", ""):
        run.handles.append(host.blocks[-1].register_forward_hook(run.after_last))
    model.__dict__[KEPT_AS] = run
    model.__dict__[AS_GRID] = _NoGrid(run)
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
    stop(model)
    if isinstance(model.__dict__.get(AS_GRID), _NoGrid):
        del model.__dict__[AS_GRID]
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
    whole: Merge = host.merges
    return whole.without_prefix(host.num_prefix_tokens)


for _name in ("merges", "layer_merges"):
    setattr(vit.VisionTransformer, _name, OfLastPass(_name, run_on))


class _TimmRun(Run):
    """A Run in a timm model."""

    def __init__(self, settings: Settings, model: Any):
        super().__init__(settings, cast(int, model.num_prefix_tokens))
        self.model = model

    def grid(self) -> Grid:
        height, width = getattr(self.model.patch_embed, "grid_size", (0, 0))
        return self.settings.frames, height, width

    def before_first(self, block: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """A pre-hook of the first block."""
        if getattr(self.model, "grad_checkpointing", False):
            raise ValueError("merging does not work under gradient checkpointing: model.set_grad_checkpointing(False).")
        return (self.begin(args[0]), *args[1:])

    def after_last(self, block: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        """A hook of the last block of a model that averages patch tokens."""
        if self.padded_after_dropping:
            raise ValueError(
                "this model averages its patch tokens, and its images keep different numbers of them after dropping:"
                " the average would count padding; use a model with a class token."
            )
        return self.spread_out(output)


class _NoGrid:
    """`forward_intermediates` of a model that merges: timm would put fewer tokens on a grid, and channels among them.

    It stands before the method of the model's class, which it calls. `get_intermediate_layers` calls it, too.
    """

    def __init__(self, run: _TimmRun):
        self.run = run

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        method = getattr(type(self.run.model), AS_GRID)
        given = signature(method).bind(self.run.model, *args, **kwargs)
        given.apply_defaults()
        if given.arguments.get("output_fmt") == "NCHW" and self.run.settings.merges:
            raise ValueError(
                "merged tokens are no grid: forward_intermediates needs output_fmt='NLC' here, and"
                " get_intermediate_layers reshape=False; model.layer_merges says who was merged."
            )
        return method(*given.args, **given.kwargs)


class _TimmBlock(Block):
    """The hooks of one of timm's blocks, in the order in which they are called."""

    def attach(self, block: Any) -> list[Any]:
        second = block.norm2 if isinstance(block, vit.Block) else block.mlp  # what reads x first after the attention
        queries = [block.attn.q_norm.register_forward_hook(self.note_queries)] if self.asks else []
        return [
            block.attn.register_forward_pre_hook(self.weigh, with_kwargs=True),
            *queries,
            block.attn.k_norm.register_forward_hook(self.note_keys),
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
        bias = self.bias(args[0].dtype)
        return args, kwargs if bias is None else {**kwargs, "attn_mask": bias[:, None, None, :]}

    def note_queries(self, q_norm: nn.Module, args: tuple[Any, ...], queries: Tensor) -> None:
        """timm's attention has queries (B, heads, N, D) only after this place, and keys after the next."""
        self.keep_queries(queries)

    def note_keys(self, k_norm: nn.Module, args: tuple[Any, ...], keys: Tensor) -> None:
        self.keep_keys(keys)


def _refuse_unsupported(model: nn.Module, settings: Settings) -> None:
    """ValueError for a model whose blocks are not the ones that the hooks above are made for."""
    name = type(model).__name__
    if not isinstance(model, vit.VisionTransformer):
        raise ValueError(
            f"{name} is not a timm VisionTransformer; ToMe works on plain ViTs (vit_*, deit_*) only, whose tokens "
            "need no grid after the patch embedding (apply it before torch.compile or other wrappers); what else can "
            "merge is in vtm.hosts.supported()."
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
        if settings.signals and type(block.attn).forward is not vit.Attention.forward:
            raise ValueError(
                f"this reducer asks for the attention itself, and {type(block.attn).__name__} has two: choose another."
            )
        if settings.masked and "attn_mask" not in signature(block.attn.forward).parameters:
            raise ValueError(
                f"the attention of timm {timm.__version__} takes no mask, which proportional attention needs,"
                " and a reducer that keeps a different number in each image: "
                "install timm 1.0.16 or newer, or choose proportional=False and another reducer."
            )
