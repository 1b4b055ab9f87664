"""Frames to tokens: frozen encoders.

    frozen.py               load_encoder by name, and the options of commands that encode
    base.py                 what all encoders share: resizing, batches
    patch.py                the course's own patch encoder, and its training
    timm_models.py          timm's models, by name or with weights from the disk
    transformers_models.py  image models of Hugging Face's Transformers
    tiny_vit.py             lesson 03's small ViT

What belongs here: networks that turn frames into tokens, and how ours were trained. Weights are in data/weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import FrameEncoder
from .frozen import add_options, from_options, load_encoder
from .patch import PatchEncoder

if TYPE_CHECKING:
    from .timm_models import TimmEncoder
    from .transformers_models import TransformersEncoder

__all__ = [
    "FrameEncoder", "PatchEncoder", "TimmEncoder", "TransformersEncoder", "add_options", "from_options", "load_encoder",
]  # fmt: skip


def __getattr__(name: str) -> object:
    # timm takes seconds to import, and Transformers is an extra: they come when they are asked for.
    if name == "TimmEncoder":
        from .timm_models import TimmEncoder

        return TimmEncoder
    if name == "TransformersEncoder":
        from .transformers_models import TransformersEncoder

        return TransformersEncoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}.")
