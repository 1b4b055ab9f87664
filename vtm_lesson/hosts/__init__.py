"""Merging inside other people's networks, without copying a line of their forward pass.

    torchvision_repair.py   lets timm and transformers load where torchvision and torch are of different builds
    timm_vit.py             any plain timm ViT, by hooks (public as `vtm.tome`)

    vtm.hosts.apply(model, r=8)                      # ToMe
    vtm.hosts.apply(model, r=8, reducer="drop")      # any other reducer, by name or your own
    vtm.hosts.remove(model)                          # the model as it was

What belongs here: one file for each family of host models. The networks themselves stay where they are.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from . import torchvision_repair  # noqa: F401  before timm or transformers is imported by anybody

__all__ = ["apply", "remove"]


def apply(model: nn.Module, r: Any = None, *, reducer: Any = None, **options: Any) -> nn.Module:
    """Let somebody else's network merge its tokens; changes `model` in place, and returns it.

    A second call replaces the first. r, reducer and the options are those of the family's own module: `timm_vit.apply`
    for timm's VisionTransformers, the only family so far. Raises ValueError for other models.
    """
    from . import timm_vit  # takes seconds to load

    return timm_vit.apply(model, r, reducer=reducer, **options)


def remove(model: nn.Module) -> nn.Module:
    """Take merging out of the model again; without it, nothing happens. Returns the model."""
    from . import timm_vit

    return timm_vit.remove(model)
