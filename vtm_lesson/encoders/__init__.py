"""Frames to tokens: frozen encoders.

    frozen.py     the course's own patch encoder, and timm's models by name
    tiny_vit.py   lesson 03's small ViT

What belongs here: networks that turn frames into tokens, and how ours were trained. Weights are in data/weights.
"""

from .frozen import PatchEncoder, TimmEncoder, load_encoder

__all__ = ["PatchEncoder", "TimmEncoder", "load_encoder"]
