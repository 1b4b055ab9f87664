"""`python -m vtm_lesson.films [FOLDER]` writes the course's sample films again.

By default into data/films of a checkout; an installed package writes them into the current folder.
"""

import sys
from pathlib import Path

from ..paths import data_path, is_checkout
from .making import ship


def main(folder: str | Path | None = None) -> None:
    """Write the films, and say where they are."""
    for made in ship(folder or (data_path("films") if is_checkout() else Path())):
        print(f"{made}  {made.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(*sys.argv[1:2])
