"""Film strips: the canvas under the pictures of `vtm_lesson.plots`, and what brings films and tokens into shape.

A film is (L, H, W, 3); a grid (L, h, w) cuts it into patches, one token each, row by row and frame by frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange, repeat
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb

from ..merging.merge import Merge
from ..merging.partition import Grid
from .style import GREY, WIDTH, Picture, number

GAP = 0.05  # between frames, in widths of a frame


def axes(
    film: np.ndarray,
    at: np.ndarray,
    names: Sequence[str],
    title: str,
    right: float = 0.0,
    captions: Sequence[str] | None = None,
) -> tuple[Picture, list[Axes]]:
    """One empty strip a name, frame numbers (or captions) under the last; `right` inches are left free beside them."""
    across = left_of(len(at), film) - GAP * film.shape[2]
    wide = min(WIDTH, 2.4 * len(at)) - right
    tall = wide * film.shape[1] / across
    heading, name = (0.32 if title else 0.04), (0.24 if any(names) else 0.0)
    total = heading + len(names) * (tall + name) + 0.06 * (len(names) - 1) + 0.24
    fig = Picture(figsize=(wide + right, total))
    if title:
        fig.text(0.002, 1 - 0.05 / total, title, va="top", fontsize=10)
    axes, top = [], total - heading
    for text in names:
        top -= name
        ax = fig.add_axes((0, (top - tall) / total, wide / (wide + right), tall / total))
        ax.set(xlim=(0, across), ylim=(film.shape[1], 0))
        ax.axis("off")
        if text:
            ax.text(0, -0.05 / tall * film.shape[1], text, va="bottom", fontsize=9)
        axes.append(ax)
        top -= tall + 0.06
    for k, text in enumerate([f"frame {i}" for i in at] if captions is None else captions):
        x = left_of(k, film) + film.shape[2] / 2
        axes[-1].text(x, film.shape[1] * (1 + 0.04 / tall), text, ha="center", va="top", fontsize=8, color=GREY)
    return fig, axes


def left_of(k: int, film: np.ndarray) -> float:
    """Where the k-th frame of a strip begins, in pixels of the film."""
    return k * film.shape[2] * (1 + GAP)


def paint(ax: Axes, pictures: np.ndarray, **look):
    """Draw (K, H, W) or (K, H, W, 3) side by side; returns the last image, for a colour bar."""
    for k, picture in enumerate(pictures):
        left = left_of(k, pictures)
        image = ax.imshow(picture, extent=(left, left + pictures.shape[2], pictures.shape[1], 0), aspect="auto", **look)
    ax.set(xlim=(0, left_of(len(pictures), pictures) - GAP * pictures.shape[2]), ylim=(pictures.shape[1], 0))
    return image


def edges(ax: Axes, labels: np.ndarray, film: np.ndarray, border: bool = False, **look) -> None:
    """Lines where neighbouring patches differ: labels (K, h, w); border: also where a True patch meets the frame."""
    ph, pw = film.shape[1] / labels.shape[1], film.shape[2] / labels.shape[2]
    lines = []
    for k, one in enumerate(labels):
        left = left_of(k, film)
        if border:
            one = np.pad(one, 1)
        off = 1 if border else 0
        for y, x in zip(*np.nonzero(one[:, 1:] != one[:, :-1]), strict=True):
            at = left + (x + 1 - off) * pw
            lines.append([(at, (y - off) * ph), (at, (y + 1 - off) * ph)])
        for y, x in zip(*np.nonzero(one[1:] != one[:-1]), strict=True):
            at = (y + 1 - off) * ph
            lines.append([(left + (x - off) * pw, at), (left + (x + 1 - off) * pw, at)])
    ax.add_collection(LineCollection(lines, capstyle="projecting", clip_on=not border, **look))


def average(film: np.ndarray, group: np.ndarray, paint: str, weight: np.ndarray | None = None) -> np.ndarray:
    """The film with every patch replaced by its group's mean picture or mean colour: (L, H, W, 3).

    weight: (L, h, w), what each patch counts in the means; None: all alike.
    """
    _, rows, columns = group.shape
    patches = rearrange(film, "l (h p) (w q) c -> l h w p q c", h=rows, w=columns)
    shape = patches.shape
    if paint == "colour":
        patches = patches.mean(axis=(3, 4), keepdims=True)
    flat = patches.reshape(group.size, -1)
    ids = np.unique(group, return_inverse=True)[1].reshape(-1)
    order = np.argsort(ids, kind="stable")
    counts = counted = np.bincount(ids)
    if weight is not None:
        flat = flat * weight.reshape(-1, 1)
        counted = np.bincount(ids, weight.reshape(-1))
    means = np.add.reduceat(flat[order], np.r_[0, counts.cumsum()[:-1]]) / counted[:, None]
    merged = np.broadcast_to(means[ids].reshape(patches.shape), shape)
    return rearrange(merged, "l h w p q c -> l (h p) (w q) c")


def tiles(values: np.ndarray, film: np.ndarray) -> np.ndarray:
    """(K, h, w, C) patch values blown up to pixels (K, H, W, C)."""
    p, q = film.shape[1] // values.shape[1], film.shape[2] // values.shape[2]
    return repeat(values, "k h w c -> k (h p) (w q) c", p=p, q=q)


def grey(film: np.ndarray) -> np.ndarray:
    return (film @ np.array([0.299, 0.587, 0.114]))[..., None].repeat(3, -1)


def fade(film: np.ndarray, where: np.ndarray, amount: float = 0.78) -> np.ndarray:
    """Grey and pale where the (K, h, w) mask is true."""
    pale = grey(film) * (1 - amount) + np.array(to_rgb("#f2f2f2")) * amount
    return np.where(tiles(where[..., None], film), pale, film)


def film_of(frames) -> np.ndarray:
    """Frames as (L, H, W, 3) numbers from 0 to 1."""
    film = array(frames)
    if film.ndim != 4 or film.shape[3] != 3 or 0 in film.shape:
        raise ValueError(f"frames have shape {film.shape}; a film is (L, H, W, 3).")
    if film.dtype == np.uint8:
        return film / np.float32(255)
    if film.dtype.kind != "f" or not (film.min() >= 0 and film.max() <= 1):
        raise ValueError(f"frames are {film.dtype} from {film.min()} to {film.max()}; give uint8, or floats in 0 to 1.")
    return film.astype(np.float32)


def array(x) -> np.ndarray:
    """Anything array-like as numpy; tensors from any device and of any dtype."""
    if torch.is_tensor(x):
        x = x.detach().cpu()
        x = x.float() if x.is_floating_point() else x
    return np.asarray(x)


def check_grid(film: np.ndarray, grid: Grid) -> None:
    length, height, width = film.shape[:3]
    if len(grid) != 3 or grid[0] != length or min(grid) < 1 or height % grid[1] or width % grid[2]:
        raise ValueError(
            f"grid is {tuple(grid)}; for {length} frames of {height} x {width} pixels it is ({length}, h, w) "
            f"with h dividing {height} and w dividing {width}."
        )


def on_grid(values, grid: Grid, name: str) -> np.ndarray:
    values = array(values)
    if values.size != np.prod(grid):
        raise ValueError(f"{name} has shape {values.shape}; the grid {tuple(grid)} needs {np.prod(grid)} numbers.")
    return values.reshape(grid)


def mask_of(positions, grid: Grid) -> np.ndarray:
    """(L, h, w) bool, true at the given positions."""
    where, n = array(positions).reshape(-1), int(np.prod(grid))
    if where.dtype.kind not in "iu" or where.size == 0 or where.min() < 0 or where.max() >= n:
        raise ValueError(f"targets are {where.dtype}, {where.size} of them; they are whole numbers from 0 to {n - 1}.")
    mask = np.zeros(n, bool)
    mask[where] = True
    return mask.reshape(grid)


def labels_of(merge, grid: Grid, item: int) -> np.ndarray:
    """The group number of every patch, (L, h, w)."""
    n = int(np.prod(grid))
    group = array(merge.group if isinstance(merge, Merge) else merge)
    if group.dtype.kind not in "iu":
        raise ValueError(f"merge is {type(merge).__name__}; give a Merge, or whole group numbers, one a patch.")
    if isinstance(merge, Merge):
        if group.size == n:  # one film, perhaps in pieces: groups never cross from one item to the next
            group = group + np.arange(len(group))[:, None] * merge.n_out
        elif group.shape[1] == n and 0 <= item < len(group):
            group = group[item]
    if group.size != n:
        raise ValueError(f"merge has group numbers of shape {group.shape}; the grid {tuple(grid)} has {n} patches.")
    return group.reshape(grid)


def dropped_of(merge, grid: Grid, item: int) -> np.ndarray | None:
    """(L, h, w) bool: the patches that were dropped; None where none was, or `merge` is no Merge."""
    if not isinstance(merge, Merge) or merge.dropped is None:
        return None
    return _of_item(merge.dropped, grid, item)


def weight_of(merge, grid: Grid, item: int) -> np.ndarray | None:
    """(L, h, w): what each patch counts in its group's average; None where all count alike, or `merge` is no Merge."""
    if not isinstance(merge, Merge) or (merge.dropped is None and merge.weight is None):
        return None
    return _of_item(merge.share(), grid, item)


def _of_item(values, grid: Grid, item: int) -> np.ndarray:
    """(B, N) or (1, N) -> (L, h, w) of one item."""
    whole = array(values)
    return (whole if whole.size == int(np.prod(grid)) else whole[item]).reshape(grid)


def kept(merge, members: np.ndarray, item: int) -> np.ndarray:
    """(L, h, w) bool: which of the members is the token that survives; none if `merge` is no Merge."""
    mask = np.zeros(members.size, bool)
    if isinstance(merge, Merge):
        keep = array(merge.keep)
        if merge.group.numel() == members.size:
            keep = keep + np.arange(len(keep))[:, None] * merge.n_in
            mask[keep.reshape(-1)] = True
        else:
            mask[keep[item]] = True
    return mask.reshape(members.shape) & members


def pick_frames(length: int, pick: int | Sequence[int], among: np.ndarray | None = None) -> np.ndarray:
    """Frame numbers: the given ones, or that many, spread evenly (over `among`, if given)."""
    if not isinstance(pick, int):
        at = np.asarray(pick)
        if at.ndim != 1 or at.size == 0 or at.dtype.kind not in "iu" or at.min() < 0 or at.max() >= length:
            raise ValueError(f"pick is {pick}; the film has frames 0 to {length - 1}: give some of them.")
        return at
    if pick < 1:
        raise ValueError(f"pick is {pick}; give how many frames to show, 1 or more, or a list of frame numbers.")
    if among is not None and len(among) >= pick:
        return among[np.linspace(0, len(among) - 1, pick).round().astype(int)]
    return np.unique(np.linspace(0, length - 1, min(pick, length)).round().astype(int))


def two(value: float) -> str:
    return number(float(f"{value:.2g}"))


def about(count: int) -> str:
    """A count that may differ a little from one machine to the next, as ties are broken by rounding."""
    return number(count) if count < 4 else f"about {number(float(f'{count:.1g}'))}"


def sentence(title: str, text: str) -> str:
    return (title.rstrip(".") + ". " if title else "") + text[0].upper() + text[1:] + "."
