"""Merging inside other people's networks, without copying a line of their forward pass.

    torchvision_repair.py   lets timm and transformers load where torchvision and torch are of different builds
    timm_vit.py             any plain timm ViT, by hooks (public as `vtm.tome`)

What belongs here: one file for each family of host models. The networks themselves stay where they are.
"""

from . import torchvision_repair  # noqa: F401  before timm or transformers is imported by anybody
