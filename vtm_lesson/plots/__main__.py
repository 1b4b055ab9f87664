"""`python -m vtm_lesson.plots readme [FILE]` makes the README's picture again, data/pictures/merging.png."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .. import films, video
from ..paths import data_path, is_checkout
from .pictures import preview
from .style import png


def main(arguments: Sequence[str]) -> None:
    """Draw the shipped film `square` before and after merging, and say what the picture shows."""
    if list(arguments[:1]) != ["readme"] or len(arguments) > 2:
        sys.exit("usage: python -m vtm_lesson.plots readme [FILE]")
    stored = data_path() / "pictures" / "merging.png"
    path = Path(arguments[1]) if len(arguments) == 2 else (stored if is_checkout() else Path(stored.name))
    fig = preview(video.read(films.sample("square"), frames=60, size=224, progress=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(fig))
    print(f"{path.name}, {path.stat().st_size / 1000:.0f} kB. Its alt text: {fig.alt}")


if __name__ == "__main__":
    main(sys.argv[1:])
