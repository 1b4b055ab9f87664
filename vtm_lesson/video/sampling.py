"""What is taken from a film to become features: evenly spaced frames, by windows, and motion on patches.

It needs no torch: processes that only decode start in a moment, and stay small.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from .containers import VideoError
from .reading import read

MOST = 1 << 30  # bytes of pixels that one film may fill


@dataclass(frozen=True)
class Settings:
    """How films become features.

    Attributes
    ----------
    frames : int
        L, frames taken evenly from a film, or from each of its windows.
    size : int
        Pixels of a side of the frame: the short side is scaled to it, and the middle is cut out.
    patch : int
        Pixels of a side of a token: motion is averaged over it.
    motion : bool
        Whether the codec's motion is kept, too. Without it a film is decoded in part only.
    window : float
        Seconds of a window. 0: the film is one window, its tokens are (L, h, w, C). Else a film of D seconds is cut
        into W = max(1, round(D / window)) windows of equal length, and its tokens are (W, L, h, w, C).
        Where W L is more than the film has frames, some are taken twice, and nothing moves between them. The motion of
        a window's first frame is that since the last frame of the window before.

    Raises
    ------
    ValueError
        For frames, size or patch that are not whole numbers of 1 or more; for a window that is not 0 or more; and, when
        a film is read, for one whose frames together fill more than 1 GiB: that bounds the memory.

    Examples
    --------
    >>> from vtm_lesson.datasets.extraction import Settings
    >>> Settings(frames=16, window=2.0).windows(61.3)
    31
    """

    frames: int = 60
    size: int = 224
    patch: int = 14
    motion: bool = True
    window: float = 0.0

    def __post_init__(self) -> None:
        for name in ("frames", "size", "patch"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}; give a whole number, 1 or more.")
        if not (math.isfinite(self.window) and self.window >= 0):
            raise ValueError(f"window is {self.window!r}; give seconds, or 0 for the whole film as one window.")

    def windows(self, seconds: float) -> int:
        """W, the windows of a film of so many seconds; 1 where the whole film is one."""
        return max(1, round(seconds / self.window)) if self.window else 1

    def taken(self, seconds: float) -> int:
        """The frames taken from a film of so many seconds: W L."""
        windows = self.windows(seconds)
        pixels = 3 * windows * self.frames * self.size**2
        if pixels > MOST:
            raise ValueError(
                f"{windows} windows of {self.frames} frames of {self.size} x {self.size} pixels are "
                f"{pixels / 1e9:.1f} GB, and {MOST / 1e9:.1f} GB is the most: take longer windows, fewer or smaller "
                "frames."
            )
        return windows * self.frames


def decode(path: str, settings: Settings) -> tuple[dict[str, np.ndarray] | str, float]:
    """One film: its frames, and its motion on patches; or the reason why it cannot be read. And the seconds."""
    start = time.perf_counter()
    try:
        clip = read(path, settings.taken, settings.size, progress=False, motion=settings.motion)
        made = {"frames": clip.frames}
        if settings.motion:
            made |= {"motion": clip.patches(settings.patch)[1], "vectors": clip.vectors(settings.patch)}
    except (VideoError, ValueError, OSError) as error:
        return " ".join(str(error).split()), time.perf_counter() - start
    return made, time.perf_counter() - start
