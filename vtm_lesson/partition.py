"""`from vtm_lesson.partition import uniform`: which tokens are targets. The code stands in merging/partition.py."""

from .merging.partition import Grid, n_targets, region, sample, top, uniform

__all__ = ["Grid", "n_targets", "region", "sample", "top", "uniform"]
