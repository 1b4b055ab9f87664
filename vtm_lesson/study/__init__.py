"""Which strategy keeps what matters? Experiments on accuracy, and how they are reported.

    probe.py        the retention probe: merge frozen tokens, read the averages
    experiment.py   strategies x seeds, three kinds of evidence, resumable
    statistics.py   means with their intervals; who is ahead
    report.py       python -m vtm_lesson compare: table, figure, JSON
    footage.py      recall of masked objects in real footage: compare --masks
    variants.py     python -m vtm_lesson variants: gamma, R, chunks, averages

What belongs here: studies, resumable, with seeds and intervals. How fast things are is in `measuring`.
"""

from .probe import learn_saliency, linear_probe, retain

__all__ = ["learn_saliency", "linear_probe", "retain"]
