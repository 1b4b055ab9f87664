"""Films as tokens with labels: what networks are trained and tested on.

    toy.py          painted films, made once and kept
    lists.py        LVU, Breakfast, COIN, and folders of your own: films with labels
    stand_in.py     painted films in the folders and lists of those data sets, to try the whole way on
    extraction.py   films to tokens, kept on the disk in shards (public as `vtm.features`)

What belongs here: from films and lists of labels to Items.
"""

from .toy import cache_folder, toy_films

__all__ = ["cache_folder", "toy_films"]
