"""Merging inside other people's networks, without copying a line of their forward pass.

    torchvision_repair.py   lets timm and transformers load where torchvision and torch are of different builds
    settings.py             how many tokens each block merges, by what, and whether that fits the model
    alternating.py          ToMe's own matching in few calls, for sequences as short as an image's
    passes.py               what all hosts share: who was merged in a forward pass, what the hooks of a block do
    timm_vit.py             any plain timm ViT, by hooks (public as `vtm.tome`)
    transformers_video.py   transformers' CLIP, SigLIP, DINOv2, VideoMAE, ViViT, by its attention registry and hooks
    language.py             the tokens between a video encoder and a language model

    vtm.hosts.apply(model, r=8)                      # ToMe
    vtm.hosts.apply(model, r=8, reducer="drop")      # any other reducer, by name or your own
    vtm.hosts.remove(model)                          # the model as it was
    vtm.hosts.reduce_video_tokens(features, (T, h, w), "change")   # before a language model

Touch `vtm.hosts` before timm or transformers is imported: beside a CPU build of torch their import may fail without the
repair of torchvision that comes with it.

What is supported (`supported()` gives it as rows), each checked with random weights, offline: merging nothing changes
nothing, merging is what a plain transcription of ToMe computes, removing restores the model.

    timm           VisionTransformer and subclasses (vit_*, deit_*, DINOv2, CLIP, SigLIP), plain blocks
    CLIP           CLIPVisionModel; CLIPModel, CLIPVisionModelWithProjection, CLIPForImageClassification
    SigLIP         SiglipVisionModel; SiglipModel, SiglipForImageClassification
    DINOv2         Dinov2Model; Dinov2ForImageClassification
    VideoMAE       VideoMAEModel; VideoMAEForVideoClassification
    ViViT          VivitModel; VivitForVideoClassification
    before an LLM  any: `reduce_video_tokens`, `shorten`

Others are refused with one sentence: windows and convolutions (Swin, ConvNeXt, hierarchical encoders) need their tokens
on a grid, backbones that give feature maps too, and attention with relative or rotary positions would need them merged.
Reducers are those of `vtm.reducers()`, which put each token into one group. Methods whose outputs share tokens
(PruMerge, FastVID, TokenLearner, DTEM in training) are no partition of the tokens, and are left out.

What belongs here: one file for each family of host models. The networks themselves stay where they are.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from . import torchvision_repair  # noqa: F401  before timm or transformers is imported by anybody
from .language import Shortened, reduce_video_tokens, shorten

__all__ = ["Shortened", "apply", "reduce_video_tokens", "remove", "shorten", "supported"]


def apply(model: nn.Module, r: Any = None, *, reducer: Any = None, **options: Any) -> nn.Module:
    """Let somebody else's network merge its tokens; changes `model` in place, and returns it.

    Parameters
    ----------
    model : nn.Module
        One of those that `supported()` lists. A second call replaces the first.
    r : int, list, (int, float) or function, optional
        How many tokens each block merges away, as in `tome.apply`.
    reducer : str or function, optional
        A name of `vtm.reducers()`, or a function from a Context to a Merge; ToMe's own matching without.
    **options
        proportional, frames, partition, order, as in `tome.apply`.

    Returns
    -------
    nn.Module
        The same model; after a forward pass it has `merges` and `layer_merges`.

    Raises
    ------
    ValueError
        For other models, and for settings that do not fit.

    Examples
    --------
    >>> import torch
    >>> import vtm_lesson as vtm
    >>> hosts = vtm.hosts  # before timm or transformers
    >>> from timm.models import VisionTransformer
    >>> vit = VisionTransformer(img_size=64, embed_dim=32, depth=3, num_heads=2, num_classes=10).eval()
    >>> hosts.apply(vit, r=4, reducer="drop")(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 10])
    >>> vit.merges
    Merge(17 -> 5 tokens, batch 1)
    """
    merging: nn.Module = _family(model).apply(model, r, reducer=reducer, **options)
    return merging


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
    >>> import vtm_lesson as vtm
    >>> hosts = vtm.hosts  # before timm or transformers
    >>> from timm.models import VisionTransformer
    >>> vit = hosts.apply(VisionTransformer(img_size=64, embed_dim=32, depth=3, num_heads=2), r=4)
    >>> hasattr(hosts.remove(vit), "merges")
    False
    """
    plain: nn.Module = _family(model).remove(model)
    return plain


def supported() -> list[dict[str, str]]:
    """What `apply` takes, and how each was checked: one row a family.

    Returns
    -------
    list of dict
        "family", "library", "classes", "protected" (tokens that are never merged), "checked", and "weights", a name
        of trained ones, which need internet and were not tried here.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> [row["family"] for row in vtm.hosts.supported()]
    ['ViT', 'CLIP', 'SigLIP', 'DINOv2', 'VideoMAE', 'ViViT']
    """
    from .transformers_video import FAMILIES, class_names

    plain = "random weights, against a plain transcription"
    rows = [
        {
            "family": "ViT",
            "library": "timm",
            "classes": "VisionTransformer",
            "protected": "class, distillation, register tokens",
            "checked": f"{plain}; trained weights of a ViT-S/14 of DINOv2's architecture",
            "weights": "vit_base_patch16_224",
        }
    ]
    for name, classes in class_names().items():
        checked = plain + ("; the same ViT-S/14, against timm's" if name == "DINOv2" else "")
        protected = "class token" if FAMILIES[name].prefix else "none"
        row = {"family": name, "library": "transformers", "classes": ", ".join(classes)}
        rows.append({**row, "protected": protected, "checked": checked, "weights": FAMILIES[name].weights})
    return rows


def _family(model: nn.Module) -> Any:
    """The module that knows the model's inside."""
    if any(kind.__module__.startswith("transformers.") for kind in type(model).__mro__):
        from . import transformers_video

        return transformers_video
    from . import timm_vit  # takes seconds to load

    return timm_vit
