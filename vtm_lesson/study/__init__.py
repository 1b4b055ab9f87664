"""Which strategy keeps what matters? Experiments on accuracy, and how they are reported.

    probe.py        the retention probe: merge frozen tokens, read the averages
    jobs.py         what a study measures, one by one, and the settings that are tried
    kept.py         a study's file of results: settings first, then a line a result; carries on where it stopped
    experiment.py   strategies x seeds, kinds of evidence, resumable
    statistics.py   means with their intervals; who is ahead
    report.py       a comparison's table, figure, JSON
    compare_command.py      python -m vtm_lesson compare: on painted films, --data, --masks, --strategy
    footage.py      recall of masked objects in real footage: compare --masks
    labelled.py     labelled footage, by session and by chance: compare --data
    clips.py        what is measured on it, resumable
    splits.py       folds that keep sessions, persons and sources together; intervals over them
    saliencies.py   saliency learned from few clips, and what helps against overfitting; a trained decoder
    variants.py     python -m vtm_lesson variants: gamma, R, chunks, averages
    phase.py        when does the choice of targets matter? A grid, screened by the probe, trained at a few cells
    phase_command.py        python -m vtm_lesson phase: its table and figures
    hours.py        films of minutes and hours, and whether some seconds are found again
    hours_costs.py  their time and memory, piece by piece and at once
    hours_command.py        python -m vtm_lesson hours
    estimates.py    a choice small enough to try all of it: the exact gradient, and every estimate of it
    gradients.py    gradients through the choice of targets: networks trained with each, their costs
    gradients_command.py    python -m vtm_lesson gradients: its table and figures
    own.py          a reader's own partition or reducer from a file, tried out
    see_command.py  python -m vtm_lesson see: a film of one's own, merged, as files that play
    budgets.py      python -m vtm_lesson reducers: every reducer at every budget
    leaderboard.py  own partitions and reducers beside the course's, on films that nothing else uses
    windows.py      windows of labelled films as items, one prediction a film
    longform.py     the paper's experiment: one network on labelled films, trained, tested once
    longform_runs.py        partitions x seeds of it, resumable, also under torchrun
    longform_table.py       their table, what is published, and what can be compared
    longform_stand_in.py    the whole way on painted films in the place of the data
    longform_command.py     python -m vtm_lesson train

What belongs here: studies, resumable, with seeds and intervals. How fast things are is in `measuring`.
"""

from .probe import learn_saliency, linear_probe, retain

__all__ = ["learn_saliency", "linear_probe", "retain"]
