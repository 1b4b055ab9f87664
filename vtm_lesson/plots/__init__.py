"""Every figure of the course. Each function returns a matplotlib `Figure` with its text alternative in `fig.alt`.

    style.py      the look of every figure, and how a notebook shows one
    charts.py     curves, bars, panels, bills, ledgers, rooflines
    strips.py     the canvas of film strips
    pictures.py   films, tokens and merges
    splits.py     which films train, and which test
    diagrams.py   boxes and arrows
    puzzles.py    what is given, what is wanted, and one's own answer; keys as arrows

    python -m vtm_lesson.plots readme      # makes the picture at the top of the README, data/pictures/merging.png

What belongs here: drawing. What is drawn comes as arrays, Merges and tables.
"""

from .charts import bars, bill, cost, curves, differences, ledger, panels, roofline, trade
from .diagrams import flow
from .pictures import (
    attention,
    attention_change,
    frames,
    groups,
    matching,
    merge_patches,
    motion,
    preview,
    saliency,
    targets,
)
from .puzzles import arrows, puzzle
from .splits import splits
from .style import png, show

__all__ = [
    "arrows", "attention", "attention_change", "bars", "bill", "cost", "curves", "differences", "flow", "frames",
    "groups", "ledger", "matching", "merge_patches", "motion", "panels", "png", "preview", "puzzle", "roofline",
    "saliency", "show", "splits", "targets", "trade",
]  # fmt: skip
