"""Training: seeds, a validation split, the best checkpoint, runs that survive an interruption.

    checkpoints.py   a run on disk, never half a file
    loop.py          Items, Recipe, fit, evaluate, split

What belongs here: how networks are trained. What they are trained on is in `datasets`.
"""

from .loop import Evaluation, Items, Recipe, TrainingRun, evaluate, fit, split

__all__ = ["Evaluation", "Items", "Recipe", "TrainingRun", "evaluate", "fit", "split"]
