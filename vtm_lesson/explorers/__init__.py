"""Explorers: what moves under the reader's hand. Each is a Python file and a browser module of the same name.

    page.py      Explorer: a widget in notebooks, one script in a page, a still figure elsewhere
    film.py      explore(clip): a film and its merged self, side by side; click a patch and see its group
    painter.py   paint_targets(): where targets fall, and the actor's weight in the mean
    collection.py  gallery(): all of them
    merging.js   match and the partitions in the browser; worker.js runs them beside the page
    parts.js     sliders, canvases and sentences that all explorers share

What belongs here: whatever answers a reader's question by being moved. An explorer only shows; no cell depends on it.
"""

from .collection import gallery
from .film import explore
from .page import Explorer
from .painter import paint_targets

__all__ = ["Explorer", "explore", "gallery", "paint_targets"]
