"""Every figure of the course. Each function returns a matplotlib `Figure` with its text alternative in `fig.alt`.

    style.py      the look of every figure, and how a notebook shows one
    charts.py     curves, bars, bills, ledgers, rooflines
    strips.py     the canvas of film strips
    pictures.py   films, tokens and merges

    python -m vtm_lesson.plots readme      # makes the picture at the top of the README, data/pictures/merging.png

What belongs here: drawing. What is drawn comes as arrays, Merges and tables.
"""

from .charts import bars, bill, cost, curves, differences, ledger, roofline, trade
from .pictures import attention, frames, groups, matching, merge_patches, motion, preview, saliency, targets
from .style import png, show

__all__ = [
    "attention", "bars", "bill", "cost", "curves", "differences", "frames", "groups", "ledger", "matching",
    "merge_patches", "motion", "png", "preview", "roofline", "saliency", "show", "targets", "trade",
]  # fmt: skip
