"""Films as tokens with labels: what networks are trained and tested on.

    toy.py          painted films, made once and kept
    lists.py        LVU, Breakfast, COIN, and folders of your own: films with labels
    stand_in.py     painted films in the folders and lists of those data sets, to try the whole way on
    one_film.py     what is done with one film: decoded, cut into windows, encoded
    store.py        the folder of features: shards, and an index of them
    rehearsal.py    a dry run: a few films, and what all of them would cost
    costs.py        what making features will cost, and where the time went
    extraction.py   films to tokens, kept on the disk in shards (public as `vtm.features`)
    cluster.py      the same by the machines of a cluster, with Ray

What belongs here: from films and lists of labels to Items.
"""

from .toy import cache_folder, toy_films

__all__ = ["cache_folder", "toy_films"]
