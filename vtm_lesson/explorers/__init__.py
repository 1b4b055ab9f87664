"""Interactive explorers, one a file. Where nothing is interactive they show a still figure of the same thing.

    film.py   explore(clip): sliders for gamma and frame

What belongs here: whatever moves under the reader's hand.
"""

from .film import explore

__all__ = ["explore"]
