"""A tiny ViT that tells the actor's gesture from one frame of a course film: lesson 03's network.

    model = tiny_vit.load()                 # trained; weights in data/weights
    logits = model(tiny_vit.pixels(film.frames))

    python -m vtm_lesson.encoders train tiny_vit      # trains it again: about ten minutes on one core

It is a plain timm VisionTransformer (12 x 12 tokens and a class token, 6 blocks, 64 channels) but for the patch
embedding: three convolutions instead of one, with which so small a network learns in minutes rather than hours. Its
output is one of `films.GESTURES`. It was trained on single frames, and has never met a merged token.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.lr_scheduler import ChainedScheduler, CosineAnnealingLR, LinearLR
from tqdm import tqdm

from .. import films
from ..hosts import torchvision_repair  # noqa: F401  must come before timm
from ..network.denormals import flushed_denormals
from ..paths import data_path

# isort: split
from timm.layers import PatchEmbed
from timm.models.vision_transformer import VisionTransformer

SIZE, PATCH, DIM, DEPTH = 96, 8, 64, 6
WEIGHTS = "weights/tiny_vit.safetensors"
FILMS, FRAMES, TRAIN_SEED = 5000, 4, 900  # what it is trained on: films.batch(5000, seed=900, frames=4)
WARMUP = 200  # steps


class ConvStem(PatchEmbed):
    """Three convolutions of stride 2 make the tokens, 8 x 8 pixels each (Xiao et al., 2021)."""

    def __init__(self, *, embed_dim: int, **options: Any):
        super().__init__(embed_dim=embed_dim, **options)
        steps: list[nn.Module] = []
        for ins, outs in ((3, embed_dim // 4), (embed_dim // 4, embed_dim // 2)):
            steps += [nn.Conv2d(ins, outs, 3, stride=2, padding=1), nn.BatchNorm2d(outs), nn.GELU()]
        steps.append(nn.Conv2d(embed_dim // 2, embed_dim, 3, stride=2, padding=1))
        self.proj = nn.Sequential(*steps)  # type: ignore[assignment]  # timm declares one convolution


def build() -> VisionTransformer:
    """The network with random weights, in eval mode."""
    return VisionTransformer(
        img_size=SIZE, patch_size=PATCH, embed_dim=DIM, depth=DEPTH, num_heads=4, mlp_ratio=2,
        num_classes=len(films.GESTURES), embed_layer=ConvStem,
    ).eval()  # fmt: skip


def load() -> VisionTransformer:
    """The trained network, in eval mode, float32 (stored in half precision: under 0.5 MB)."""
    model = build()
    weights = load_file(data_path(WEIGHTS))
    model.load_state_dict({name: w.float() if w.is_floating_point() else w for name, w in weights.items()})
    return model


def pixels(frames: np.ndarray | Tensor) -> Tensor:
    """Frames (L, H, W, 3) uint8 -> the network's input (L, 3, H, W) float32."""
    return (torch.as_tensor(frames).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25


@flushed_denormals()
def train(
    path: Path, steps: int = 1200, batch: int = 48, rate: float = 1.5e-3, n_films: int = FILMS, n_test: int = 300
) -> float:
    """Train and store; returns the share of single frames of n_test other films that are told rightly.

    Beside the class token's gesture, a second head learns from every patch token whether the actor is there and, if
    so, its gesture. Without this help the network stays at chance for long; the head is thrown away afterwards.
    """
    torch.manual_seed(0)
    frames, label, actor = _films(n_films, TRAIN_SEED)
    model, helper = build().train(), nn.Linear(DIM, 1 + len(films.GESTURES))
    weights = [*model.parameters(), *helper.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.05)
    # Not the recipe of `fit`: the line up and the cosine run at the same time, both from the first step.
    line, cosine = LinearLR(optimizer, 1 / WARMUP, total_iters=WARMUP - 1), CosineAnnealingLR(optimizer, steps)
    rates = ChainedScheduler([line, cosine])
    chance = torch.Generator().manual_seed(0)
    bar = tqdm(range(steps), desc="tiny ViT", unit="step")
    for step in bar:
        film = torch.randint(len(frames), (batch,), generator=chance)
        frame = torch.randint(FRAMES, (batch,), generator=chance)
        x, there, y = pixels(frames[film, frame]), actor[film, frame], label[film]
        if torch.rand((), generator=chance) < 0.5:
            x, there = x.flip(-1), there.flip(-1)
        there = there.flatten(1)
        tokens = model.forward_features(x)
        found = helper(tokens[:, model.num_prefix_tokens :])
        logits = model.forward_head(tokens)
        loss = F.cross_entropy(logits, y, label_smoothing=0.05)
        loss = loss + F.binary_cross_entropy_with_logits(found[..., 0], there.float())
        loss = loss + F.cross_entropy(found[..., 1:][there], y[:, None].expand_as(there)[there])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        rates.step()
        if step % 20 == 19:
            bar.set_postfix_str(f"loss {loss.item():.2f}, right {(logits.argmax(1) == y).float().mean():.0%}")
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = {name: w.half() if w.is_floating_point() else w for name, w in model.state_dict().items()}
    save_file(stored, path)
    frames, label, _ = _films(n_test, TRAIN_SEED + 1)
    model.eval()
    with torch.no_grad():
        right = [(model(pixels(f)).argmax(1) == y).float().mean() for f, y in zip(frames, label, strict=True)]
    return float(torch.stack(right).mean())


def _films(n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """frames (n, L, H, W, 3) uint8, label (n,), actor (n, L, h, w) bool; the three ways of filming in turn."""
    made = films.batch(n, seed, frames=FRAMES, size=SIZE, patch=PATCH)
    return torch.from_numpy(made.frames), torch.from_numpy(made.label), torch.from_numpy(made.actor)
