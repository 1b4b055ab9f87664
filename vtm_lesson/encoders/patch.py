"""The course's own encoder: a small convolutional network, and how it was trained on painted scenes.

It was trained to tell the hue and the gesture of any figure in a patch, with all hues alike, so it knows nothing of
who the actor is: to find the tokens that matter is left to the partition.

    python -m vtm_lesson.encoders train         # makes data/weights/patch.safetensors again, in some minutes
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from tqdm import tqdm

from ..films.cast import ACTOR_HUE, GESTURES, PROP_HUES, sprite
from ..films.making import ACTOR_SHARE
from ..films.scenery import paint
from ..paths import data_path
from .base import FrameEncoder, checked_frames

WEIGHTS = "weights/patch.safetensors"
HUES = (ACTOR_HUE, *PROP_HUES)
PATCH = 8  # pixels


class PatchEncoder(FrameEncoder):
    """Frames to one token per 8 x 8 pixels. Each sees 48 x 48, as 8 x 8 do not show a gesture.

    The tokens are standardised: mean 0 and variance 1 in every channel over the training scenes.

    Parameters
    ----------
    dim : int, optional
        C, the channels of a token.

    Attributes
    ----------
    hue : nn.Linear
        A head it was trained with: logits of no figure or one of 5 hues (0 none, 1 the actor's).
    gesture : nn.Linear
        The other one: logits of 8 gestures.

    Examples
    --------
    >>> import torch, vtm_lesson as vtm
    >>> encoder = vtm.load_encoder("patch")  # a trained PatchEncoder
    >>> tokens = encoder(torch.zeros(1, 3, 32, 64))
    >>> tokens.shape, encoder.hue(tokens).shape
    (torch.Size([1, 4, 8, 48]), torch.Size([1, 4, 8, 6]))
    """

    def __init__(self, dim: int = 48):
        super().__init__()
        self.name, self.dim, self.patch = "patch", dim, PATCH
        self.see = nn.Sequential(
            nn.Conv2d(3, 32, 4, stride=4),
            nn.GELU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(64, 96, 2, stride=2),
            nn.GELU(),
            nn.Conv2d(96, 96, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(96, 96, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(96, dim, 1),
        )
        self.standard = nn.BatchNorm2d(dim, affine=False, momentum=0.05)
        self.hue = nn.Linear(dim, 1 + len(HUES))
        self.gesture = nn.Linear(dim, len(GESTURES))

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, 8h, 8w) float32 from 0 to 1 -> tokens (B, h, w, C)."""
        return self.standard(self.see(2 * pixels - 1)).permute(0, 2, 3, 1)

    def encode(self, frames: np.ndarray | Tensor, grid: tuple[int, int] | None = None, batch: int = 64) -> Tensor:
        """Turn frames into tokens, one per 8 x 8 pixels.

        Parameters
        ----------
        frames : array or Tensor
            (L, H, W, 3) or (B, L, H, W, 3) uint8, RGB.
        grid : (int, int), optional
            (h, w): the frames are first resized so that there are h x w tokens. A figure in the training scenes is 2.5
            to 4.5 tokens high. Default: H/8 x W/8.
        batch : int, optional
            Frames at a time.

        Returns
        -------
        Tensor
            (L, h, w, C) or (B, L, h, w, C) float32, on the CPU.

        Raises
        ------
        ValueError
            For other shapes or dtypes, and for frames that do not divide into patches.

        Examples
        --------
        >>> import vtm_lesson as vtm
        >>> clip = vtm.read_video(vtm.films.sample("centred"), frames=4, size=64)
        >>> encoder = vtm.load_encoder("patch")
        >>> encoder.encode(clip.frames).shape
        torch.Size([4, 8, 8, 48])
        >>> encoder.encode(clip.frames, grid=(6, 6)).shape
        torch.Size([4, 6, 6, 48])
        """
        frames = checked_frames(frames)
        height, width = (8 * n for n in grid) if grid else frames.shape[-3:-1]
        if height % PATCH or width % PATCH or height < 1 or width < 1:
            raise ValueError(
                f"frames of {height} x {width} pixels do not divide into {PATCH} x {PATCH} patches; give"
                f" grid=({max(1, height // PATCH)}, {max(1, width // PATCH)}), and they are resized."
            )
        return self._in_batches(frames, (height, width), batch)


def load(path: Path | None = None) -> PatchEncoder:
    """The trained encoder, float32; from the repository's weights, or from a file that `train` made."""
    try:
        stored = load_file(path or data_path(WEIGHTS))
        weights = {name: value.float() for name, value in stored.items()}
        encoder = PatchEncoder(weights["hue.weight"].shape[1])
        encoder.load_state_dict(weights)
    except FileNotFoundError as absent:
        gone = f"{path} is not there" if path else f"{WEIGHTS} is not in data/"
        raise RuntimeError(f"{gone}; make it: python -m vtm_lesson.encoders train") from absent
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        if path is None:
            raise
        raise RuntimeError(
            f"{path} holds no weights of the patch encoder: leave it out, or make one with `train`."
        ) from error
    return encoder


# ------------------------------------------------------------------------------------------ training, done once


def scenes(n: int, seed: int, size: int = 96, figures: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    """n single frames with figures of any hue and gesture, and what each patch shows.

    Returns frames (n, size, size, 3) uint8, hue (n, h, w) int64 (0 no figure, 1 the actor's, 2 to 5 the props') and
    gesture (n, h, w) int64. A patch is a figure's that covers at least ACTOR_SHARE of it, the largest if several do.
    """
    rng = np.random.Generator(np.random.PCG64([int(seed), 48]))
    cells = size // PATCH
    frames = np.empty((n, size, size, 3), np.uint8)
    hue, gesture = np.zeros((2, n, cells, cells), np.int64)
    for i in tqdm(range(n), "Painting scenes", unit="scene", delay=2):
        if i % 8 == 0:  # painting a set takes longer than peopling it
            world = paint(rng, 2 * size, 2 * size, size, (size, size))
        y, x = (rng.random(2) * size).astype(int)
        frames[i] = world[y : y + size, x : x + size]
        owner = np.zeros((size, size), np.int64)
        cast = [(0, 0)]
        for _ in range(figures):
            tone, act, tall, step, walks, mirror, x, y = rng.random(8).tolist()
            cast.append((int(tone * len(HUES)) + 1, int(act * len(GESTURES))))
            ink, inverse, body, foot = sprite(
                cast[-1][1], int(step * 12), 21 + int(tall * 16), HUES[cast[-1][0] - 1], walks < 0.5, mirror < 0.5
            )
            left, top = int(x * size) - body.shape[1] // 2, int(y * (size + 8)) + 8 - foot
            rows = slice(max(0, top), min(size, top + body.shape[0]))
            columns = slice(max(0, left), min(size, left + body.shape[1]))
            cut = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
            spot = frames[i, rows, columns]
            spot[:] = ((spot * inverse[cut] + np.uint16(128)) >> np.uint16(8)) + ink[cut]
            owner[rows, columns][body[cut] > 127] = len(cast) - 1
        noise = rng.random((size, size), dtype=np.float32)
        frames[i] += np.floor(noise * 7 - 3).astype(np.int8).astype(np.uint8)[..., None]
        blocks = rearrange(owner, "(h p) (w q) -> h w (p q)", p=PATCH, q=PATCH)
        area = np.stack([(blocks == k).mean(-1) for k in range(1, len(cast))], -1)
        first = area.argmax(-1) + 1
        first[area.max(-1) < ACTOR_SHARE] = 0
        hue[i], gesture[i] = np.array(cast)[first].transpose(2, 0, 1)
    return torch.from_numpy(frames), torch.from_numpy(hue), torch.from_numpy(gesture)


def train(path: Path, n: int = 4000, epochs: int = 16, dim: int = 48, seed: int = 0) -> PatchEncoder:
    """Train the patch encoder on n painted scenes, write its weights to path (half precision), and return it."""
    frames, hue, gesture = scenes(n, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = PatchEncoder(dim)
        order = [torch.randperm(n) for _ in range(epochs)]
    steps = epochs * -(-n // 64)
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=3e-3, weight_decay=0.01)
    # Not the recipe of `fit`: the stored weights were made with one cycle, which turns the momentum as well.
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.1)
    bar = tqdm(total=steps, desc="Training", unit="step")
    for i in (part for epoch in order for part in epoch.split(64)):
        tokens = encoder(frames[i].permute(0, 3, 1, 2).float() / 255)
        here = hue[i] > 0
        loss = F.cross_entropy(encoder.hue(tokens).flatten(0, 2), hue[i].flatten())
        loss = loss + F.cross_entropy(encoder.gesture(tokens[here]), gesture[i][here])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rates.step()
        bar.update()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    bar.close()
    # The mean and variance of the finished encoder, over all scenes alike.
    encoder.standard.reset_running_stats()
    encoder.standard.momentum = None
    with torch.no_grad():
        for part in frames.split(64):
            encoder(part.permute(0, 3, 1, 2).float() / 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save({name: _stored(value) for name, value in encoder.state_dict().items()}))
    return encoder.eval()


def _stored(value: Tensor) -> Tensor:
    return value.half().contiguous() if value.is_floating_point() else value


@torch.no_grad()
def accuracy(encoder: PatchEncoder, n: int = 300, seed: int = 1) -> dict[str, float]:
    """Share of patches of unseen scenes with the right hue, of the figures' patches, and with the right gesture."""
    frames, hue, gesture = scenes(n, seed)
    tokens = encoder.encode(frames)
    right, here = encoder.hue(tokens).argmax(-1) == hue, hue > 0
    act = encoder.gesture(tokens[here]).argmax(-1) == gesture[here]
    shares = {"hue": right, "hue of figures": right[here], "hue of the rest": right[~here], "gesture": act}
    return {name: float(share.float().mean()) for name, share in shares.items()}
