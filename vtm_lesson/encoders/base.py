"""What every frozen encoder shares: frames in, tokens out, a batch at a time."""

from __future__ import annotations

import os

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

MOST_BEFORE = 16  # class and register tokens; more are something else


class FrameEncoder(nn.Module):
    """Frames to one token per patch, each frame by itself. Sub-classes say how, in `forward`.

    Attributes
    ----------
    name : str
        What `load_encoder` was asked for.
    dim : int
        C, the channels of a token.
    patch : int
        Pixels of a side of a token.
    size : int or None
        Pixels of a side of the frames it takes; others are resized to it. None: any size that divides into patches.
    interpolation : str
        How frames are resized: "bilinear", "bicubic" or "nearest"; with anti-aliasing where that exists.

    Examples
    --------
    An encoder of one's own, which sees nothing but the mean colour of a patch:

    >>> import torch, torch.nn.functional as F, vtm_lesson as vtm
    >>> class Colours(vtm.encoders.FrameEncoder):
    ...     name, dim, patch, size = "colours", 3, 8, 64
    ...
    ...     def forward(self, pixels):
    ...         return F.avg_pool2d(pixels, self.patch).permute(0, 2, 3, 1)
    >>> clip = vtm.read_video(vtm.films.sample("centred"), frames=4, size=96)
    >>> Colours().encode(clip.frames).shape
    torch.Size([4, 8, 8, 3])
    """

    name: str
    dim: int
    patch: int
    size: int | None = None
    interpolation: str = "bilinear"

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) float32 from 0 to 1 -> tokens (B, h, w, C)."""
        raise NotImplementedError

    def encode(self, frames: np.ndarray | Tensor, grid: tuple[int, int] | None = None, batch: int = 8) -> Tensor:
        """Turn frames into tokens. The whole frame is resized to `size` x `size`; nothing is cut off.

        Parameters
        ----------
        frames : array or Tensor
            (L, H, W, 3) or (B, L, H, W, 3) uint8, RGB.
        grid : (int, int), optional
            (h, w): the rows and columns of tokens that are expected. This encoder has only one.
        batch : int, optional
            Frames at a time.

        Returns
        -------
        Tensor
            (L, h, w, C) or (B, L, h, w, C) float32, on the CPU.

        Raises
        ------
        ValueError
            For other shapes or dtypes, and for another grid than the encoder's.

        Examples
        --------
        >>> import torch, vtm_lesson as vtm
        >>> frames = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
        >>> vtm.load_encoder("patch").encode(frames).shape
        torch.Size([2, 8, 8, 48])
        """
        if self.size is None:
            raise NotImplementedError(f"{type(self).__name__} has no size of its own, and has to bring its encode.")
        own = (self.size // self.patch, self.size // self.patch)
        if grid is not None and tuple(grid) != own:
            raise ValueError(f"grid is {tuple(grid)}; this encoder gives {own}: leave grid out.")
        return self._in_batches(checked_frames(frames), (self.size, self.size), batch)

    @torch.no_grad()
    def _in_batches(self, frames: Tensor, size: tuple[int, int], batch: int) -> Tensor:
        device = next((parameter.device for parameter in self.parameters()), torch.device("cpu"))
        flat, tokens = frames.flatten(0, -4), []
        # tqdm's bars for notebooks do not look at TQDM_DISABLE by themselves.
        silent = bool(os.environ.get("TQDM_DISABLE"))
        for part in tqdm(flat.split(batch), "Encoding", unit="batch", delay=2, leave=False, disable=silent):
            pixels = resized(part.to(device).permute(0, 3, 1, 2).float() / 255, size, self.interpolation)
            tokens.append(self(pixels).cpu())
        return torch.cat(tokens).unflatten(0, frames.shape[:-3])


class PretrainedEncoder(FrameEncoder):
    """An encoder that somebody else trained: with the mean and the deviation of a colour that it was trained with.

    mean and std are (3, 1, 1) buffers, stored with the weights: tokens made with others are others.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, mean: tuple[float, ...], std: tuple[float, ...]):
        super().__init__()
        self.name = name
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(3, 1, 1))

    def _on_grid(self, tokens: Tensor, pixels: Tensor) -> Tensor:
        """What a transformer gives, class and register tokens first and those of the patches last -> (B, h, w, C)."""
        side = pixels.shape[-1] // self.patch
        if tokens.dim() != 3 or not 0 <= tokens.shape[1] - side * side <= MOST_BEFORE:
            raise ValueError(
                f"{self.name} gives {tuple(tokens.shape[1:])} for a frame, and not a token for each of {side} x {side}"
                " patches: take a ViT, CLIP, SigLIP or DINOv2."
            )
        return tokens[:, -side * side :].unflatten(1, (side, side))

    def extra_repr(self) -> str:
        """What the first line of the printed encoder says."""
        return f"{self.name}, {self.size} pixels, patch {self.patch}, {self.dim} channels"


def resized(pixels: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
    """Pixels (B, 3, H, W) from 0 to 1 -> (B, 3, *size), still from 0 to 1, as bicubic overshoots."""
    if tuple(pixels.shape[-2:]) == tuple(size):
        return pixels
    if interpolation == "nearest":
        return F.interpolate(pixels, size, mode="nearest-exact")
    return F.interpolate(pixels, size, mode=interpolation, antialias=True, align_corners=False).clamp(0, 1)


def checked_frames(frames: np.ndarray | Tensor) -> Tensor:
    """The frames as a tensor, or a ValueError that says what frames are."""
    frames = torch.as_tensor(frames)
    if frames.dtype != torch.uint8 or frames.dim() not in (4, 5) or frames.shape[-1] != 3 or 0 in frames.shape:
        given = f"{frames.dtype} {tuple(frames.shape)}"
        raise ValueError(f"frames are {given}; give (L, H, W, 3) or (B, L, H, W, 3) uint8.")
    return frames
