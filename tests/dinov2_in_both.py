"""One DINOv2 in timm and in transformers, with the same weights."""

import pytest
import torch

from vtm_lesson import hosts  # noqa: F401  before timm and transformers

# isort: split
from timm.models import VisionTransformer

T = pytest.importorskip("transformers", reason="transformers is missing: make test-all installs it")


def perturbed(model, seed=0):
    """No parameter stays at a value that hides it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def as_transformers(weights, depth, dim):
    """timm's names of a DINOv2's weights as transformers'."""
    named = {"cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings"}
    for kind in ("weight", "bias"):
        named[f"patch_embed.proj.{kind}"] = f"embeddings.patch_embeddings.projection.{kind}"
        named[f"norm.{kind}"] = f"layernorm.{kind}"
        for i in range(depth):
            for there in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                named[f"blocks.{i}.{there}.{kind}"] = f"encoder.layer.{i}.{there}.{kind}"
            named[f"blocks.{i}.attn.proj.{kind}"] = f"encoder.layer.{i}.attention.o_proj.{kind}"
    renamed = {there: weights[here] for here, there in named.items()}
    for i in range(depth):
        for number in (1, 2):
            renamed[f"encoder.layer.{i}.layer_scale{number}.lambda1"] = weights[f"blocks.{i}.ls{number}.gamma"]
        for kind in ("weight", "bias"):
            qkv = weights[f"blocks.{i}.attn.qkv.{kind}"].split(dim)
            for name, part in zip("qkv", qkv, strict=True):
                renamed[f"encoder.layer.{i}.attention.{name}_proj.{kind}"] = part
    return renamed


def pair(weights=None):
    """One network in both libraries: (timm's, transformers')."""
    shape = {"depth": 3, "dim": 32, "heads": 2, "patch": 8, "size": 32, "ratio": 2}
    if weights is not None:
        shape = {"depth": 12, "dim": 384, "heads": 6, "patch": 14, "size": 518, "ratio": 4}
    ours = VisionTransformer(
        img_size=shape["size"], patch_size=shape["patch"], embed_dim=shape["dim"], depth=shape["depth"],
        num_heads=shape["heads"], mlp_ratio=shape["ratio"], init_values=0.5, num_classes=0, dynamic_img_size=True,
    )  # fmt: skip
    if weights is None:
        perturbed(ours)
    else:
        ours.load_state_dict(weights, strict=False)
    config = T.Dinov2Config(
        hidden_size=shape["dim"], num_hidden_layers=shape["depth"], num_attention_heads=shape["heads"],
        mlp_ratio=shape["ratio"], image_size=shape["size"], patch_size=shape["patch"],
    )  # fmt: skip
    theirs = T.Dinov2Model(config)
    theirs.load_state_dict(as_transformers(ours.state_dict(), shape["depth"], shape["dim"]), strict=False)
    return ours.eval(), theirs.eval()
