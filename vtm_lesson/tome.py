"""`from vtm_lesson import tome`: ToMe inside any plain timm ViT. The code stands in hosts/timm_vit.py."""

from .hosts.timm_vit import alternate, apply, patch_merge, remove, schedule

__all__ = ["alternate", "apply", "patch_merge", "remove", "schedule"]
