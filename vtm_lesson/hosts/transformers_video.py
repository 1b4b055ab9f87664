"""Merging inside transformers' vision and video models: CLIP, SigLIP, DINOv2, VideoMAE, ViViT.

    model = hosts.apply(AutoModel.from_pretrained("facebook/dinov2-base"), r=8)
    hosts.remove(model)

As in `timm_vit.py`, tokens are merged between the attention and the MLP of every block. Nothing of a model's forward is
restated: the attention goes through transformers' own registry of attention functions, where ours adds log(size) to the
scores and hands on to the one that the model uses ("sdpa", the fused one, or "eager"); hooks do the rest.

transformers is loaded by nobody but the model's own module, so that this file can be imported without it.
"""

from __future__ import annotations

import copy
import importlib
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ..merging.partition import Grid
from ..merging.strategies import Reducer
from . import torchvision_repair  # noqa: F401  must come before transformers
from .passes import KEPT_AS, Block, OfLastPass, Run, run_on, stop
from .settings import Amount, Settings

ATTENTION = "vtm_merging"  # our name in transformers' registry of attention functions
BLOCK = "vtm_block"  # the attribute of an attention that has its hooks
CHECKED = "5.24"  # the version of transformers that the names below are of


@dataclass(frozen=True)
class Family:
    """Where the parts of a family's models are, by their names in transformers."""

    module: str  # in transformers.models
    trunk: str  # the class that holds the blocks
    layer: str  # the class of a block
    layers: str  # the blocks in the trunk; the next are parts of a block
    attention: str
    second: str  # what reads x first after the attention
    last: str  # the last part before the MLP's result is added to x
    patches: str  # in the trunk: the convolution that makes tokens
    prefix: int  # class tokens
    video: bool = False  # whether its tokens are of a film, not of an image
    adds: bool = False  # whether the last part adds x itself
    holders: Mapping[str, str] = field(default_factory=dict)  # classes that hold a trunk: under which name
    averaging: tuple[str, ...] = ()  # those of them that average patch tokens
    weights: str = ""  # a name of trained ones


_CLIP_LIKE: dict[str, Any] = {
    "layers": "encoder.layers",
    "attention": "self_attn",
    "second": "layer_norm2",
    "last": "mlp",
}

FAMILIES = {
    "CLIP": Family(
        "clip.modeling_clip", "CLIPVisionModel", "CLIPEncoderLayer", **_CLIP_LIKE,
        patches="embeddings.patch_embedding", prefix=1, averaging=("CLIPForImageClassification",),
        holders=dict.fromkeys(
            ("CLIPModel", "CLIPVisionModelWithProjection", "CLIPForImageClassification"), "vision_model"
        ),
        weights="openai/clip-vit-base-patch16",
    ),
    "SigLIP": Family(
        "siglip.modeling_siglip", "SiglipVisionModel", "SiglipEncoderLayer", **_CLIP_LIKE,
        patches="embeddings.patch_embedding", prefix=0,
        holders=dict.fromkeys(("SiglipModel", "SiglipForImageClassification"), "vision_model"),
        weights="google/siglip-base-patch16-224",
    ),
    "DINOv2": Family(
        "dinov2.modeling_dinov2", "Dinov2Model", "Dinov2Layer", "encoder.layer", "attention", "norm2", "drop_path",
        patches="embeddings.patch_embeddings.projection", prefix=1, averaging=("Dinov2ForImageClassification",),
        holders={"Dinov2ForImageClassification": "dinov2"},
        weights="facebook/dinov2-base",
    ),
    "VideoMAE": Family(
        "videomae.modeling_videomae", "VideoMAEModel", "VideoMAELayer", "encoder.layer", "attention.attention",
        "layernorm_after", "output", adds=True,
        patches="embeddings.patch_embeddings.projection", prefix=0, video=True,
        holders={"VideoMAEForVideoClassification": "videomae"},
        weights="MCG-NJU/videomae-base",
    ),
    "ViViT": Family(
        "vivit.modeling_vivit", "VivitModel", "VivitLayer", "layers", "attention", "layernorm_after", "dropout",
        patches="embeddings.patch_embeddings.projection", prefix=1, video=True,
        holders={"VivitForVideoClassification": "vivit"},
        weights="google/vivit-b-16x2-kinetics400",
    ),
}  # fmt: skip


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
    """Make a transformers vision or video model merge tokens in every block. Changes it in place, and returns it.

    Parameters
    ----------
    model : nn.Module
        One of the classes that `hosts.supported()` names. Applying again replaces the settings.
    r, proportional, partition, reducer, order
        As in `tome.apply`.
    frames : int, optional
        For image models, as in `tome.apply`. Video models (VideoMAE, ViViT) have their own frames: leave it at 1.

    Returns
    -------
    nn.Module
        The same model. After a forward pass it has `merges` and `layer_merges`, over all tokens with the class token
        first, as `tome.apply` says.

    Raises
    ------
    ValueError
        For other models, for an attention function that takes no mask ("flash_attention_2", say) where log(size) or
        padding has to go into one, and for settings that do not fit. In the forward pass: under gradient
        checkpointing, and for an attention mask of your own.

    Notes
    -----
    ToMe (Bolya et al., ICLR 2023), VTM for other reducers. `last_hidden_state` has a row for every original token
    again, each with its group's value, as heads and users read patches there; except after dropping, when it has the
    survivors alone. So an average over patches counts every original token once. With `output_hidden_states` the last
    one is like that, the others have the fewer tokens that their block left (the first one all); with
    `output_attentions` (which needs "eager") the maps are over the tokens that entered the block. Merging 0 tokens
    gives bit for bit the model's own output.

    The attention function is that of the model's configuration, whatever it is set to; configuration, parameters
    and state_dict keys are untouched. Gradients flow; copies and pickles keep merging; `save_pretrained` saves the
    plain model.

    Examples
    --------
    With transformers installed:

        import vtm_lesson as vtm

        hosts = vtm.hosts  # before transformers: it lets torchvision load beside a CPU build of torch
        from transformers import VideoMAEConfig, VideoMAEModel

        model = hosts.apply(VideoMAEModel(VideoMAEConfig(num_hidden_layers=2)), r=100)
        model(torch.zeros(1, 16, 3, 224, 224)).last_hidden_state.shape  # (1, 1568, 768)
        model.merges  # Merge(1568 -> 1368 tokens, batch 1)
    """
    family, trunk = _known(model)
    parts = _Parts(family, trunk)
    plugs: dict[str, Any] = {"partition": partition, "reducer": reducer, "order": order}
    settings = Settings.of(len(parts.layers), r, proportional, frames=frames, **plugs)
    if family.video and settings.frames > 1:
        raise ValueError(f"frames is {frames}; {family.trunk} sees films, and has frames of its own: leave it out.")
    parts.refuse_unsupported(settings)
    stop(trunk)
    run = _TransformersRun(settings, family, trunk, type(model).__name__ in family.averaging)
    run.handles = [
        parts.patches.register_forward_hook(run.note_grid),
        parts.layers[0].register_forward_pre_hook(run.before_first),
    ]
    for index, layer in enumerate(parts.layers):
        run.handles += _TransformersBlock(run, index).attach(layer)
    trunk.__dict__[KEPT_AS] = run
    for kind in (family.trunk, *family.holders):
        for name in ("merges", "layer_merges"):
            setattr(getattr(parts.module, kind), name, OfLastPass(name, _run_in))
    return model


def remove(model: nn.Module) -> nn.Module:
    """Take merging out of the model again; without it, nothing happens. Returns the model."""
    found = _find(model)
    if found is not None:
        stop(found[1])
    return model


def class_names() -> dict[str, list[str]]:
    """Family -> the names of its classes that `apply` takes, the one with the blocks first."""
    return {name: [family.trunk, *family.holders] for name, family in FAMILIES.items()}


def _find(model: nn.Module) -> tuple[Family, nn.Module] | None:
    """The family of a model, and the module in it that has the blocks; None for others."""
    kinds = {(kind.__module__, kind.__name__) for kind in type(model).__mro__}
    for family in FAMILIES.values():
        where = f"transformers.models.{family.module}"
        if (where, family.trunk) in kinds:
            return family, model
        for name, attribute in family.holders.items():
            if (where, name) in kinds:
                return family, getattr(model, attribute)
    return None


def _known(model: nn.Module) -> tuple[Family, nn.Module]:
    found = _find(model)
    if found is None:
        names = "; ".join(", ".join(classes) for classes in class_names().values())
        raise ValueError(
            f"merging does not know the inside of {type(model).__name__}; of transformers it knows {names}."
            " A model that holds one of these as its part (model.vision_tower, say): apply it to that part."
        )
    return found


def _run_in(model: nn.Module) -> Run | None:
    found = _find(model)
    return None if found is None else run_on(found[1])


class _Parts:
    """The parts of one model that hooks hang on. ValueError where they are not where this version expects them."""

    def __init__(self, family: Family, trunk: nn.Module):
        self.family = family
        self.module = importlib.import_module(f"transformers.models.{family.module}")
        try:
            self.layers: Any = operator.attrgetter(family.layers)(trunk)
            self.patches: Any = operator.attrgetter(family.patches)(trunk)
            for layer in self.layers:
                operator.attrgetter(family.attention, family.second, family.last)(layer)
            operator.attrgetter("ALL_ATTENTION_FUNCTIONS.get_interface")(_modeling())
        except AttributeError as error:
            version = importlib.import_module("transformers").__version__
            raise ValueError(
                f"{type(trunk).__name__} of transformers {version} is built in another way ({error}); merging was"
                f" checked with {CHECKED}: install that."
            ) from error

    def refuse_unsupported(self, settings: Settings) -> None:
        """ValueError for blocks that are not the family's own, and for an attention function that takes no mask."""
        for layer in self.layers:
            # Exactly the family's: a changed forward may use its parts in another order, and would be silently wrong.
            if type(layer) is not getattr(self.module, self.family.layer):
                raise ValueError(
                    f"this {self.family.trunk} is made of {type(layer).__name__}; merging needs transformers' own"
                    f" {self.family.layer}."
                )
        attention = operator.attrgetter(self.family.attention)(self.layers[0])
        if settings.masked:
            _refuse_maskless(attention.__dict__[BLOCK].config if BLOCK in attention.__dict__ else attention.config)


def _refuse_maskless(config: Any) -> None:
    name = config._attn_implementation  # noqa: SLF001  transformers' own name for it
    if name not in (None, "sdpa", "eager"):
        raise ValueError(
            f"this model's attention function is {name!r}, which takes no log(size) and no padding: use"
            ' model.set_attn_implementation("sdpa"), or proportional=False and a reducer that is not ragged.'
        )


class _TransformersRun(Run):
    """A Run in a transformers model."""

    def __init__(self, settings: Settings, family: Family, trunk: Any, averaging: bool):
        super().__init__(settings, family.prefix)
        self.family, self.averaging = family, averaging or not family.prefix
        self.reads_first_patch = not getattr(
            trunk.config, "use_mean_pooling", True
        )  # VideoMAE, which has no class token
        _register()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        _register()  # out of a file, in a process that has applied nothing

    def grid(self) -> Grid:
        sides: tuple[int, ...] = getattr(self.of_thread, "grid", (0, 0))
        frames, height, width = sides if len(sides) == 3 else (self.settings.frames, *sides)
        return frames, height, width

    def note_grid(self, patches: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        """A hook of the convolution that makes tokens: (B, C, [frames,] height, width)."""
        self.of_thread.grid = tuple(output.shape[2:])

    def before_first(self, layer: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """A pre-hook of the first block."""
        if layer.training and getattr(layer, "gradient_checkpointing", False):
            raise ValueError("merging does not work under gradient checkpointing: turn it off to train.")
        return (self.begin(args[0]), *args[1:])

    def after_last(self, x: Tensor) -> Tensor:
        """What the last block gives to the model."""
        if self.reads_first_patch and self.drops:
            raise ValueError(
                "this model reads its first patch token in place of a class token (use_mean_pooling=False), which"
                " dropping may take away: use a reducer that merges."
            )
        if self.averaging and self.padded_after_dropping:
            raise ValueError(
                "this model reads all patch tokens, and its inputs keep different numbers of them after dropping: it"
                " would read padding; use a model with a class token."
            )
        return self.spread_out(x)


class _TransformersBlock(Block):
    """The hooks of one of transformers' blocks, and its attention function."""

    config: Any  # the attention's own configuration, as it was

    def attach(self, layer: Any) -> list[Any]:
        run: Any = self.run
        get = operator.attrgetter
        attention, second, last = get(run.family.attention, run.family.second, run.family.last)(layer)
        self.config = attention.config
        # A copy, for this attention alone: a configuration may be shared with other models.
        attention.config = copy.copy(self.config)
        attention.config._attn_implementation = ATTENTION  # noqa: SLF001  the registry's way
        attention.__dict__[BLOCK] = self
        adds = run.family.adds
        return [
            _Function(attention),
            second.register_forward_pre_hook(self.merge_tokens),
            last.register_forward_pre_hook(self.give_merged) if adds else last.register_forward_hook(self.take_result),
            layer.register_forward_hook(self.finish, prepend=True),  # before transformers' hooks that note outputs
        ]

    def attend(
        self, attention: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any
    ) -> Any:
        """The model's own attention function, with log(size) of every key's token as the mask."""
        if mask is not None:
            raise ValueError("a model that merges takes no attention_mask: a mask is for tokens that stay.")
        if self.run.settings.masked:
            _refuse_maskless(self.config)
        if self.asks:
            self.keep_queries(query)
        self.keep_keys(key, options.get("scaling"))
        bias = self.bias(query.dtype)
        own = importlib.import_module(type(attention).__module__).eager_attention_forward
        function = _modeling().ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, own)  # noqa: SLF001
        return function(attention, query, key, value, None if bias is None else bias[:, None, None, :], **options)

    def give_merged(self, last: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """A pre-hook of a last part that adds x itself, its second argument."""
        merged = self.run.now.merged
        return None if merged is None else (args[0], merged, *args[2:])

    def finish(self, block: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        real = super().finish(block, args, output)
        if self.index + 1 < len(self.run.settings.amounts):
            return real
        run: Any = self.run
        last: Tensor = run.after_last(output if real is None else real)
        return last


class _Function:
    """The place of our attention function in one attention, to be removed like a hook."""

    def __init__(self, attention: Any):
        self.attention = attention

    def remove(self) -> None:
        """Give the attention its own function again."""
        self.attention.config = self.attention.__dict__.pop(BLOCK).config


def merging_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> Any:
    """What transformers' registry has under our name: every block knows what to do with its attention."""
    return module.__dict__[BLOCK].attend(module, query, key, value, attention_mask, **options)


def _modeling() -> Any:
    return importlib.import_module("transformers.modeling_utils")


def _register() -> None:
    importlib.import_module("transformers").AttentionInterface.register(ATTENTION, merging_attention)
