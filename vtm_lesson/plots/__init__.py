"""Every figure of the course. Each function returns a matplotlib `Figure` with its text alternative in `fig.alt`.

    style.py      the look of every figure, and how a notebook shows one
    charts.py     curves, bars, panels, bills, ledgers, rooflines
    strips.py     the canvas of film strips
    pictures.py   films, tokens and merges
    splits.py     which films train, and which test
    estimating.py clouds of estimates round what they estimate
    growing.py    how time and memory grow with the number of tokens
    diagrams.py   boxes and arrows; the map of the course
    attending.py  attention, one query at a time
    architecture.py  blocks and networks: a ViT's block, VTM's blocks, the main and the auxiliary path
    phase.py      phase diagrams: small heat maps of a difference
    playing.py    films that play: a film and what merging leaves of it, side by side
    products.py   matrix products, boxes to scale
    trees.py      chunks of chunks: what waits in a tree of merges, and when kept tokens are from
    puzzles.py    what is given, what is wanted, and one's own answer; keys as arrows

    python -m vtm_lesson.plots readme      # makes the film at the top of the README, data/pictures/merging.webp

What belongs here: drawing. What is drawn comes as arrays, Merges and tables.
"""

from .architecture import two_paths, vit_block, vtm_blocks
from .attending import attention_steps
from .charts import bars, bill, cost, curves, differences, ledger, panels, roofline, trade
from .diagrams import course_map, flow
from .estimating import clouds
from .growing import growth
from .phase import phase_diagram
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
from .playing import Player, player
from .products import products
from .puzzles import arrows, puzzle
from .splits import splits
from .style import png, show
from .trees import chunk_tree, timeline

__all__ = [
    "Player", "arrows", "attention", "attention_change", "attention_steps", "bars", "bill", "chunk_tree", "clouds",
    "cost", "course_map", "curves", "differences", "flow", "frames", "groups", "growth", "ledger", "matching",
    "merge_patches", "motion", "panels", "phase_diagram", "player", "png", "preview", "products", "puzzle",
    "roofline", "saliency", "show", "splits", "targets", "timeline", "trade", "two_paths", "vit_block",
    "vtm_blocks",
]  # fmt: skip
