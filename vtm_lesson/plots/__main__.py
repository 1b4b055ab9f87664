"""`python -m vtm_lesson.plots readme [FILE]` makes the README's film again, data/pictures/merging.webp."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .. import films, video
from ..paths import data_path, is_checkout
from .pictures import merge_patches
from .playing import player

LIMIT = 300_000  # bytes


def main(arguments: Sequence[str]) -> None:
    """Film the shipped `square` before and after merging, side by side, as a loop; and say what it shows."""
    if list(arguments[:1]) != ["readme"] or len(arguments) > 2:
        sys.exit("usage: python -m vtm_lesson.plots readme [FILE]")
    stored = data_path() / "pictures" / "merging.webp"
    path = Path(arguments[1]) if len(arguments) == 2 else (stored if is_checkout() else Path(stored.name))
    clip = video.read(films.sample("square"), frames=60, size=224, progress=False)
    shown = player(clip.frames, *merge_patches(clip.frames, gamma=6), fps=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(shown.webp(LIMIT))
    print(f"{path.name}, {path.stat().st_size / 1000:.0f} kB. Its alt text: {shown.alt}")


if __name__ == "__main__":
    main(sys.argv[1:])
