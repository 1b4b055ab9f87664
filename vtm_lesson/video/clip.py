"""A `Clip`: frames taken from a film, and what moved between them, also on patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from einops import rearrange

CELL = 4  # motion is given on cells of this many pixels of the resized frame


@dataclass
class Clip:
    """L frames taken evenly from a film, H x W pixels each, and what moved between them.

    Attributes
    ----------
    frames : array
        (L, H, W, 3) uint8, RGB.
    motion : array
        (L, ceil(H/4), ceil(W/4), 2) float32, x to the right, y down, in pixels, see `read`.
    magnitude : array
        (L, ceil(H/4), ceil(W/4)) float32, length of the way moved, in pixels.
    times : array
        (L,) float64, when each frame is shown, in seconds from the film's first frame. They never go back, not even in
        a damaged film that gives its frames out of order.
    fps : float
        Frames per second of the film, averaged.
    duration : float
        Seconds of film.
    lost : float
        Share of the film that could not be decoded, 0 when all is well.
    codec : str
        FFmpeg's name for it, "h264" say.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> clip = vtm.read_video(vtm.films.sample("centred"), frames=4, size=64)
    >>> clip.frames.shape, clip.magnitude.shape
    ((4, 64, 64, 3), (4, 16, 16))
    """

    frames: np.ndarray
    motion: np.ndarray
    magnitude: np.ndarray
    times: np.ndarray
    fps: float
    duration: float
    lost: float
    codec: str

    def patches(self, p: int) -> tuple[np.ndarray, np.ndarray]:
        """Cut the frames into patches of p x p pixels: tokens on the (L, H/p, W/p) grid, and how far they moved.

        Parameters
        ----------
        p : int
            Pixels; it divides height and width.

        Returns
        -------
        pixels : array
            (L, H/p, W/p, 3*p*p) uint8, each patch ordered row, column, colour.
        motion : array
            (L, H/p, W/p) float32, the mean magnitude over the patch, in pixels of the resized frame.

        Raises
        ------
        ValueError
            For patches that do not fill a frame.

        Examples
        --------
        >>> import vtm_lesson as vtm
        >>> clip = vtm.read_video(vtm.films.sample("centred"), frames=4, size=64)
        >>> pixels, motion = clip.patches(8)
        >>> pixels.shape, motion.shape
        ((4, 8, 8, 192), (4, 8, 8))
        """
        down, across = self._onto_patches(p)
        pixels = rearrange(self.frames, "l (h p) (w q) c -> l h w (p q c)", p=p, q=p)
        motion = down @ self.magnitude @ across.T
        return pixels, motion.astype(np.float32)

    def vectors(self, p: int) -> np.ndarray:
        """The mean motion vector of each patch of p x p pixels: (L, H/p, W/p, 2) float32, in pixels, x and y.

        Parameters
        ----------
        p : int
            Pixels; it divides height and width.

        Returns
        -------
        array
            (L, H/p, W/p, 2) float32. To and fro cancel in it, as in `motion`; in `patches` they count.

        Raises
        ------
        ValueError
            For patches that do not fill a frame.

        Examples
        --------
        >>> import vtm_lesson as vtm
        >>> vtm.read_video(vtm.films.sample("handheld"), frames=4, size=64).vectors(8).shape
        (4, 8, 8, 2)
        """
        down, across = self._onto_patches(p)
        x, y = (down @ self.motion[..., axis] @ across.T for axis in (0, 1))
        return np.stack([x, y], -1).astype(np.float32)

    def _onto_patches(self, p: int) -> tuple[np.ndarray, np.ndarray]:
        """What takes motion on its cells to patches of p pixels: (H/p, rows of cells), (W/p, columns of cells)."""
        height, width = self.frames.shape[1:3]
        if not whole(p) or height % p or width % p:
            raise ValueError(
                f"patches of {p} pixels do not fill a frame of {height} x {width}; "
                "read the film at a size that is a multiple of the patch."
            )
        cells = self.magnitude.shape
        down = overlap(np.arange(height // p + 1) * p, CELL, cells[1], height)
        return down, overlap(np.arange(width // p + 1) * p, CELL, cells[2], width)

    def __repr__(self) -> str:
        length, height, width, _ = self.frames.shape
        text = f"Clip({length} frames of {height} x {width} from {self.duration:.1f} s of {self.codec}"
        return text + (f", {self.lost:.0%} lost)" if self.lost else ")")


def overlap(edges: np.ndarray, cell: float, cells: int, limit: float) -> np.ndarray:
    """Weights (len(edges) - 1, cells) that average cells of `cell` pixels over the intervals between edges.

    Cells lie side by side from 0; the last one ends at `limit`. Every row sums to 1. Intervals outside take
    the nearest cell.
    """
    edges = np.clip(np.asarray(edges, np.float64), 0, limit)
    low, high = edges[:-1, None], edges[1:, None]
    start = np.arange(cells) * cell
    end = np.minimum(start + cell, limit)
    share = np.clip(np.minimum(high, end) - np.maximum(low, start), 0, None)
    empty = share.sum(1) <= 0
    if empty.any():
        nearest = np.clip((low[empty, 0] / cell).astype(int), 0, cells - 1)
        share[empty, nearest] = 1
    return share / share.sum(1, keepdims=True)


def whole(value) -> bool:
    """Whether this is a whole number of 1 or more."""
    try:
        return int(value) == value and value >= 1
    except (TypeError, ValueError, OverflowError):
        return False
