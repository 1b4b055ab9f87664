"""The table of long-form experiments, in the paper's order, with what is published beside it and what that is worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from scipy.stats import binomtest

from ..datasets.lists import VideoList
from .longform import PAPER_CHUNKS, Config, Score, chunks_of
from .report import aligned, percent
from .statistics import interval

# The rows of the paper's tables first; what it does not have comes after them.
ORDER = ("none", "uniform", "boundary", "centre", "motion", "learnable", "relative")
NAMES = {"none": "none (the baseline)", "uniform": "uniform (naive)"}
# What the paper's tables say as far as it is known here: ratios and an order, no scores.
HEADLINE = "published: memory -84%, throughput x6.89 against the baseline without merging, at the recommended setting"
LVU_ORDER = (
    "published: accuracy on LVU in the order learnable > motion > centre > naive > baseline, boundary below centre"
)
# Data set -> the paper's encoder in words, how its name begins in timm, frames, tokens of a side.
PAPER = {
    "lvu": ("ViT-L, ImageNet-21K", "vit_large_patch14_224.augreg_in21k vit_large_patch16_224.augreg_in21k", 60),
    "breakfast": ("Swin-B, Kinetics-600", "", 64),
    "coin": ("Swin-B, Kinetics-600", "", 64),
}


def rows(scores: Iterable[Score]) -> list[dict[str, Any]]:
    """One row for each partition, in the paper's order: every seed's scores, and their mean with its 95% interval.

    Parameters
    ----------
    scores : iterable of Score
        Of one data set.

    Returns
    -------
    list of dict
        partition, seeds, test, valid and guess (lists, by seed), interval (of test; one seed has none but itself),
        films, tokens, flops; for classes films_interval: Wilson's, of the mean accuracy over the test films.

    Examples
    --------
    >>> from vtm_lesson.study.longform import Score
    >>> from vtm_lesson.study.longform_table import rows
    >>> one = Score("uniform", 0, "class", 0.5, 0.6, 0.25, 36, 3, 10, 5, 0.3, 9.0)
    >>> rows([one])[0]["interval"]
    (0.5, 0.5, 0.5)
    """
    found: dict[str, list[Score]] = {}
    for score in sorted(scores, key=lambda score: score.seed):
        found.setdefault(score.partition, []).append(score)
    table = []
    for name in sorted(found, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)):
        own = found[name]
        test = [score.test for score in own]
        row: dict[str, Any] = {
            "partition": name,
            "task": own[0].task,
            "seeds": [score.seed for score in own],
            "test": test,
            "valid": [score.valid for score in own],
            "guess": [score.guess for score in own],
            "interval": interval(test),
            "films": own[0].films,
            "tokens": own[0].tokens,
            "flops": own[0].flops,
        }
        if own[0].task == "class":
            n = own[0].films
            wilson = binomtest(round(row["interval"][0] * n), n).proportion_ci(method="wilson")
            row["films_interval"] = (wilson.low, wilson.high)
        table.append(row)
    return table


def table(scores: Iterable[Score]) -> str:
    """The table as text.

    Parameters
    ----------
    scores : iterable of Score
        Of one data set.

    Returns
    -------
    str
        One line for each partition, in the paper's order.
    """
    made = rows(scores)
    if not made:
        return "No run is finished."
    classes = made[0]["task"] == "class"
    what = "accuracy, test" if classes else "squared error, test"
    head = ("partition", "seeds", what, "validation", "by guessing", "tokens left", "FLOPs")
    cells = []
    for row in made:
        others = (interval(row["valid"])[0], interval(row["guess"])[0])
        if classes:
            shown = (percent(row["interval"]), *(f"{100 * value:.1f}" for value in others))
        else:
            shown = (error(row["interval"]), *(f"{value:.3f}" for value in others))
        name = NAMES.get(row["partition"], row["partition"])
        cells.append((name, len(row["seeds"]), *shown, row["tokens"], f"{row['flops']:.2f}"))
    unit = "Percent of films" if classes else "Mean over films"
    seeds = max(len(row["seeds"]) for row in made)
    over = f", mean ± 95% interval (Student's t) over {seeds} seeds" if seeds > 1 else ", one seed: no interval"
    return (
        f"{aligned(head, cells)}\n{unit}{over}; {made[0]['films']} test films. FLOPs: share of those without merging."
    )


def error(values: tuple[float, float, float]) -> str:
    """A mean squared error with its interval.

    >>> error((0.8, 0.7, 0.9))
    '0.800 ± 0.100'
    """
    mean, low, high = values
    return f"{mean:.3f}" + (f" ± {high - mean:.3f}" if high > low else "")


def published(dataset: str) -> list[str]:
    """The lines below the table: what is known of the paper's own figures."""
    return [HEADLINE, *([LVU_ORDER] if dataset == "lvu" else [])]


def comparable(
    dataset: str,
    films: VideoList,
    missing: int,
    encoder: str,
    made: dict[str, Any],
    config: Config,
    stand_in: bool = False,
) -> str:
    """One line that says in what these runs differ from the paper's, computed from what was really used.

    Parameters
    ----------
    dataset : str
        "lvu", "breakfast", "coin" or "folder".
    films : VideoList
        What was used.
    missing : int
        Films of the list that were not.
    encoder : str
        Its name; "" where only its features are there.
    made : dict
        The settings of the features: frames, window.
    config : Config
        Of the runs.
    stand_in : bool, optional
        Whether films are painted.

    Returns
    -------
    str
        A line.
    """
    if stand_in:
        return "Comparable with the paper: nothing. These films are painted, and only show that the way works."
    if dataset not in PAPER:
        return "Comparable with the paper: nothing. These are films of your own."
    words, names, frames = PAPER[dataset]
    unlike: list[str] = []
    if missing:
        unlike.append(f"{missing} of {missing + len(films)} films are missing")
    if not encoder:
        unlike.append(f"the features do not say which encoder made them (the paper's is {words})")
    elif encoder not in names.split():
        unlike.append(f"another encoder, {encoder} (the paper's is {words})")
    if made["frames"] != frames:
        unlike.append(f"{made['frames']} frames (the paper's are {frames})")
    if made.get("window"):
        unlike.append(f"one prediction a film is the mean over its windows of {made['window']:g} s")
    paper = asdict(Config()) | {"chunks": PAPER_CHUNKS if dataset == "lvu" else chunks_of(frames)}
    used = asdict(config) | {"chunks": tuple(config.chunks or chunks_of(made["frames"]))}
    ignored = ("bf16", "valid")
    changed = [f"{name} {used[name]} (the paper's: {paper[name]})" for name in paper if used[name] != paper[name]]
    unlike += [text for text in changed if text.split()[0] not in ignored]
    if not unlike:
        return "Comparable with the paper: all that is known of its settings is the same; it gives no intervals."
    return f"Comparable with the paper: order and ratios at most, as {'; '.join(unlike)}."


def text(dataset: str, scores: Sequence[Score], line: str) -> str:
    """Table, published figures and the line that says what can be compared."""
    return "\n".join([table(scores), *published(dataset), line])
