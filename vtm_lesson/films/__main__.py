"""`python -m vtm_lesson.films [FOLDER]` writes the course's sample films again, by default into data/films."""

import sys

from ..paths import data_path
from .making import ship

for made in ship(sys.argv[1] if len(sys.argv) > 1 else data_path("films")):
    print(f"{made}  {made.stat().st_size / 1000:.0f} kB")
