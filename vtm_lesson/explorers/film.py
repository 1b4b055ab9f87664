"""The film explorer: a film and what merging leaves of it, side by side, under the reader's hand."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import torch
from einops import rearrange, reduce
from PIL import Image
from torch import Tensor

from .. import plots
from ..merging.matching import match
from ..merging.partition import uniform
from ..plots import strips
from ..plots.style import Picture
from .page import Explorer

PATCH = 8  # pixels of a patch in the page; film.js has the same number
TOKENS = 6_000  # more would keep the page's worker busy for many seconds
FRAMES = 140  # more do not fit below each other into one picture
PARTITIONS = ("uniform", "staggered", "centre", "boundary", "random", "motion")


def explore(
    clip, patch: int = 16, gamma: int = 6, frame: int | None = None, partition: str = "staggered", actor=None
) -> Explorer:
    """A film, and beside it the same film drawn from its merged tokens; gamma, partition and R under your hand.

    Parameters
    ----------
    clip : Clip, Film, or anything with `frames`
        What `video.read` or `films.make` gives. Of a long film some frames are taken, evenly.
    patch : int, optional
        Pixels; it divides height and width.
    gamma : int, optional
        The partition factor that it begins with.
    frame : int, optional
        The frame that it begins with; default the middle one.
    partition : str, optional
        The targets that it begins with, one of PARTITIONS.
    actor : array, optional
        (L, H/p, W/p): where it is above 0 the actor is, for its recall. A painted Film knows it.

    Returns
    -------
    Explorer
        Shown as the last line of a cell. Patches are matched by how their 4 x 4 means differ from those of the film's
        average patch.

    Raises
    ------
    ValueError
        For another partition, and for patches that do not fill a frame.

    Examples
    --------
    >>> from vtm_lesson import explorers, films
    >>> shown = explorers.explore(films.make(0, frames=4, size=64, patch=16), gamma=4)
    >>> shown.data["frames"], shown.data["height"], shown.data["width"]
    (4, 4, 4)
    """
    if partition not in PARTITIONS:
        raise ValueError(f"partition is {partition!r}; the explorer begins with one of {', '.join(PARTITIONS)}.")
    film = strips.film_of(clip.frames)
    if film.shape[1] % patch or film.shape[2] % patch:
        raise ValueError(f"patches of {patch} pixels do not fill frames of {film.shape[1]} x {film.shape[2]} pixels.")
    height, width = film.shape[1] // patch, film.shape[2] // patch
    count = max(1, min(len(film), FRAMES, TOKENS // (height * width)))
    taken = np.linspace(0, len(film) - 1, count).round().astype(int)
    frame = count // 2 if frame is None else int(np.abs(taken - strips.pick_frames(len(film), [frame])[0]).argmin())
    small = _small(film[taken], patch)
    data: dict[str, Any] = {
        "frames": count, "height": height, "width": width, "gamma": gamma, "partition": partition, "frame": frame,
        "fps": 8, "picture": column(small),
    }  # fmt: skip
    data |= _motion(clip, patch, taken)
    actor = _actor(clip, patch) if actor is None else np.asarray(actor)
    if actor is not None:
        data["actor"] = as_bytes(255 * (actor[taken] > 0))
    words = (
        "Move gamma and choose the targets. Click a patch, or go there with the arrow keys: its group lights up in all"
        " frames."
    )
    return Explorer("film", "A film and its merged self", words, data, _still(small, gamma, frame))


def _small(film: np.ndarray, patch: int) -> np.ndarray:
    """(L, H, W, 3) of 0 to 1 -> (L, 8h, 8w, 3) uint8."""
    size = (film.shape[2] // patch * PATCH, film.shape[1] // patch * PATCH)
    frames = (255 * film).round().astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BOX)) for one in frames])


def film_keys(small: np.ndarray) -> Tensor:
    """What the page matches patches by, (1, L*h*w, 48) float64: their 4 x 4 means less those of the average patch."""
    means = reduce(small.astype(np.float64), "l (h y) (w x) c -> l h w c", "mean", y=2, x=2)
    keys = torch.from_numpy(rearrange(means, "l (h p) (w q) c -> 1 (l h w) (p q c)", p=4, q=4))
    return keys - keys.mean(dim=1, keepdim=True)


def column(small: np.ndarray, lossless: bool = False) -> str:
    """All frames below each other as one WebP, as a data URI."""
    memory = io.BytesIO()
    image = Image.fromarray(rearrange(small, "l h w c -> (l h) w c"))
    image.save(memory, "WEBP", quality=80, method=6, lossless=lossless, exact=lossless)
    return "data:image/webp;base64," + base64.b64encode(memory.getvalue()).decode()


def _motion(clip, patch: int, taken: np.ndarray) -> dict[str, Any]:
    """Motion as bytes, with the pixels that one step of 255 stands for; nothing where the film has none."""
    if not hasattr(clip, "magnitude"):
        return {}
    motion = clip.patches(patch)[1][taken]
    scale = max(float(motion.max()), 1e-6) / 255
    name = f"that of the codec's vectors ({clip.codec})"
    return {"motion": as_bytes(motion / scale), "motion_scale": scale, "motion_name": name}


def _actor(clip, patch: int) -> np.ndarray | None:
    """Where a painted film has its actor, on patches of this many pixels."""
    if not hasattr(clip, "share") or patch % clip.patch:
        return None
    times = patch // clip.patch
    return reduce(clip.share, "l (h y) (w x) -> l h w", "mean", y=times, x=times) >= 0.1


def as_bytes(values: np.ndarray) -> str:
    """Numbers, rounded to 0 to 255, one byte each, as text."""
    return base64.b64encode(values.round().clip(0, 255).astype(np.uint8).tobytes()).decode()


def _still(small: np.ndarray, gamma: int, frame: int) -> Picture:
    """The same keys, one frame: the film's and the merged one."""
    film, grid = small / 255, (len(small), small.shape[1] // PATCH, small.shape[2] // PATCH)
    keys = film_keys(small)
    merge = match(keys, uniform(keys.shape[1], gamma, staggered=True))
    group = merge.group[0].numpy().reshape(grid)
    merged = strips.average(film, group, "patch")[frame]
    here, counts = np.unique(group[frame], return_counts=True)
    size = merge.size()[0].numpy()[here]
    captions = [f"frame {frame}", f"after merging {merge.n_in:,} tokens to {merge.n_out:,}"]
    fig = plots.frames(np.stack([film[frame], merged]), captions=captions)
    fig.alt += f" The frame's {group[frame].size} patches lie in {len(here)} groups, {int((size > counts).sum())} of"
    fig.alt += " which reach into other frames."
    return fig
