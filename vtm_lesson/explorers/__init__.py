"""Explorers: what moves under the reader's hand. Each is a Python file and a browser module of the same name.

    page.py        Explorer: a widget in notebooks, one script in a page, a still figure elsewhere
    film.py        explore(clip): a film and its merged self, side by side; click a patch and see its group
    painter.py     paint_targets(): where targets fall, and the actor's weight in the mean
    keys.py        drag_keys(): keys in the plane, and who merges with whom
    dial.py        turn_saliency(): three saliencies, the output, and where the loss pushes them
    schedule.py    design_schedule(): chunks, gamma and R of each block; tokens, FLOPs, memory, predicted time
    baseline.py    divide_by(): what is left of "6.89x" beside another baseline
    collection.py  gallery(): all of them
    merging.js     match and the partitions in the browser; worker.js runs them beside the page
    parts.js       sliders, canvases and sentences that all explorers share

What belongs here: whatever answers a reader's question by being moved. An explorer only shows; no cell depends on it.
"""

from .baseline import divide_by
from .collection import gallery
from .dial import turn_saliency
from .film import explore
from .keys import drag_keys
from .page import Explorer
from .painter import paint_targets
from .schedule import design_schedule

__all__ = [
    "Explorer", "design_schedule", "divide_by", "drag_keys", "explore", "gallery", "paint_targets", "turn_saliency",
]  # fmt: skip
