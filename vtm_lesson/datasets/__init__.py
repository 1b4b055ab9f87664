"""Films as tokens with labels: what networks are trained and tested on.

    toy.py   painted films, made once and kept

What belongs here: from films and lists of labels to Items.
"""

from .toy import cache_folder, toy_films

__all__ = ["cache_folder", "toy_films"]
