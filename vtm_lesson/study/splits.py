"""Fair splits of labelled clips: what was recorded together stays together.

    whole = grouped(entries, gap=10)          # a csv's groups, or the dates in the names of the files
    for train, test in folds("time", labels, whole, k=5): ...

Clips of one session share a room, a light and a person. A random split puts some of them on both sides, and then
whatever tells sessions apart seems to tell classes apart, or the other way round. Four kinds of folds:

    group    whole groups (persons, sources, days), every class spread over the folds as evenly as they allow
    time     the clips in order of time, cut into stretches between sessions: neighbours in time stay together, too
    number   the clips of each class in the order of the numbers in their names, cut into stretches; where nothing else
             is known, a guess that neighbours come from one source
    random   clips as they come, every class spread evenly: the leaky one, shown as a warning
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import PurePosixPath

import numpy as np
import torch.nn.functional as F
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from torch import Tensor

from ..datasets.lists import Entry, ListError

KINDS = ("group", "time", "number", "random")
MOMENT = re.compile(r"((?:19|20)\d{2})[-_.]?(\d{2})[-_.]?(\d{2})[-_ T.]*(\d{2})[-_.:h]?(\d{2})[-_.:m]?(\d{2})")
DRAWS = 10_000  # of the bootstrap
RUN = 4  # so many clips of a class, neighbours in number, are taken for one group where only numbers are known


@dataclass(frozen=True)
class Grouped:
    """Which clips belong together, and in what order they were made.

    Attributes
    ----------
    by : str
        What is known: "group" (a table or a pattern named groups), "time" (dates in the names), "number" (numbers in
        the names), or "" (nothing).
    group : array
        (n,) int64, the group of each clip. Where only numbers are known, RUN neighbours in number of one class are
        taken for one; where nothing is known, every clip is its own group.
    order : array
        (n,) int64, the rank of each clip in time, or by number; its place in the list where neither is known.
    """

    by: str
    group: np.ndarray
    order: np.ndarray

    def __getitem__(self, index: np.ndarray) -> Grouped:
        return Grouped(self.by, self.group[index], self.order[index])

    @property
    def splits(self) -> tuple[str, ...]:
        """The kinds of folds that can be made, the fairest first; the leaky one is always there."""
        return {"group": ("group",), "time": ("time", "group"), "number": ("number",), "": ()}[self.by] + ("random",)


def grouped(entries: Sequence[Entry], gap: float = 10.0, pattern: str | None = None) -> Grouped:
    """Groups from a list's own column, from a pattern, or from the names of the files.

    Parameters
    ----------
    entries : sequence of Entry
        As `lists.labelled` gives them.
    gap : float, optional
        Minutes. Where names hold a date and a time, a longer pause between two clips begins a new session.
    pattern : str, optional
        A regular expression that is searched in each clip's path; what its first bracket takes is the group.

    Returns
    -------
    Grouped
        The clips' groups and their order.

    Raises
    ------
    ListError
        Where some clips have a group and others have none, or the pattern is none.

    Examples
    --------
    >>> from vtm_lesson.datasets.lists import Entry
    >>> names = ("a/VID20250127135323.mp4", "a/VID20250127135405.mp4", "b/VID20250127150000.mp4")
    >>> found = grouped([Entry(name, 0) for name in names])
    >>> found.by, found.group.tolist()
    ('time', [0, 0, 1])
    """
    n = len(entries)
    place = np.arange(n)
    if pattern is not None or any(entry.group for entry in entries):
        return Grouped("group", _numbered(_named(entries, pattern)), place)
    stems = [PurePosixPath(entry.id).stem for entry in entries]
    moments = [_moment(stem) for stem in stems]
    known = [moment for moment in moments if moment is not None]
    if len(known) == n:
        order = np.argsort(np.array([moment.timestamp() for moment in known]), kind="stable")
        pauses = np.diff([known[i].timestamp() for i in order])
        session = np.empty(n, np.int64)
        session[order] = np.concatenate([[0], np.cumsum(pauses > 60 * gap)])
        return Grouped("time", session, _ranks(order))
    numbers = [re.findall(r"\d+", stem) for stem in stems]
    if all(numbers):
        order = _ranks(np.argsort([int(found[-1]) for found in numbers], kind="stable"))
        runs = [f"{entry.label} {rank}" for entry, rank in zip(entries, _within(order, entries), strict=True)]
        return Grouped("number", _numbered(runs), order)
    return Grouped("", place, place)


def folds(
    kind: str, labels: np.ndarray, known: Grouped, k: int = 5, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut n clips into k folds.

    Parameters
    ----------
    kind : {"group", "time", "number", "random"}
        See above. "time" and "number" leave nothing to chance.
    labels : array
        (n,) int64.
    known : Grouped
        Of the same clips.
    k : int, optional
        How many; fewer where there are fewer groups, or fewer clips of a class.
    seed : int, optional
        Other seeds give other folds.

    Returns
    -------
    list of (array, array)
        For each fold the positions of the clips for training and for test, ascending. Every clip is tested once.

    Raises
    ------
    ValueError
        For another kind, for one that these clips do not bear, and where a class is missing in training.

    Examples
    --------
    >>> import numpy as np
    >>> known = Grouped("group", np.array([0, 0, 1, 1, 2, 2]), np.arange(6))
    >>> [test.tolist() for _, test in folds("time", np.array([0, 1, 0, 1, 0, 1]), known, k=3)]
    [[0, 1], [2, 3], [4, 5]]
    """
    if kind not in KINDS:
        raise ValueError(f"splits are by {', '.join(KINDS)}; {kind!r} is none of them.")
    labels = np.asarray(labels)
    n, groups = len(labels), len(np.unique(known.group))
    if kind in ("group", "time") and groups < 2:
        raise ValueError(
            f"all {n} clips are of one group, so no split by {kind} can be made: give a shorter --gap, a --group"
            " pattern, or a csv with a column group."
        )
    rarest = int(np.unique(labels, return_counts=True)[1].min())
    k = min(k, groups if kind in ("group", "time") else rarest)
    if k < 2:
        raise ValueError(f"{k} fold(s) are too few: every class needs two clips or more.")
    if kind == "random":
        made = StratifiedKFold(k, shuffle=True, random_state=seed).split(labels, labels)
        number = _fold_numbers(n, made)
    elif kind == "group":
        made = StratifiedGroupKFold(k, shuffle=True, random_state=seed).split(labels, labels, known.group)
        number = _fold_numbers(n, made)
    elif kind == "time":
        number = _stretches(known, k)
    else:
        number = np.empty(n, np.int64)
        for label in np.unique(labels):
            own = np.flatnonzero(labels == label)
            number[own] = _ranks(np.argsort(known.order[own], kind="stable")) * k // len(own)
    every = [(np.flatnonzero(number != fold), np.flatnonzero(number == fold)) for fold in np.unique(number)]
    for train, _ in every:
        lost = set(labels.tolist()) - set(labels[train].tolist())
        if lost:
            raise ValueError(f"class {min(lost)} is missing in the training of a fold by {kind}: give other --folds.")
    return every


def _stretches(known: Grouped, k: int) -> np.ndarray:
    """(n,): the clips in their order, cut where a group ends that is nearest to an equal share."""
    names = np.unique(known.group)
    start = {name: known.order[known.group == name].min() for name in names}
    in_order = sorted(names, key=lambda name: start[name])
    ends = np.cumsum([int((known.group == name).sum()) for name in in_order])
    n = int(ends[-1])
    cuts: list[int] = []
    for j in range(1, k):
        open_ = [i for i in range(len(ends) - 1) if not cuts or i > cuts[-1]]
        open_ = [i for i in open_ if len(ends) - 1 - i >= k - j]  # the folds after it need a group each
        cuts.append(min(open_, key=lambda i: abs(ends[i] - n * j / k)))
    number = np.empty(len(known.group), np.int64)
    for i, name in enumerate(in_order):
        number[known.group == name] = sum(i > cut for cut in cuts)
    return number


def bootstrap(
    correct: np.ndarray, group: np.ndarray, other: np.ndarray | None = None, seed: int = 0, level: float = 0.95
) -> tuple[float, float, float]:
    """The mean over clips, and its interval by drawing whole groups; or that of a difference, clip by clip.

    Seeds and folds of one set of clips are no independent trials: they meet the same clips again and again. What would
    be new in another set are other sessions. So groups are drawn with replacement, with all their clips. The interval
    does not know of the chance that lies in which clips a reader was trained on.

    Parameters
    ----------
    correct : array
        (n,), of each clip the share of the seeds that were right, 0 to 1.
    group : array
        (n,) int64.
    other : array, optional
        (n,), of another strategy: correct - other is looked at.
    seed : int, optional
        Of the draws.
    level : float, optional
        Of the interval.

    Returns
    -------
    tuple of float
        Mean, low and high.

    Examples
    --------
    >>> import numpy as np
    >>> bootstrap(np.array([1.0, 1.0, 0.0, 0.0]), np.array([0, 0, 1, 1]))  # two groups only: anything is possible
    (0.5, 0.0, 1.0)
    """
    value = np.asarray(correct, float) - (0 if other is None else np.asarray(other, float))
    _, own = np.unique(group, return_inverse=True)
    total, count = np.bincount(own, value), np.bincount(own)
    drawn = _drawn(len(count), seed)
    means = (drawn @ total) / (drawn @ count.astype(float))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(value.mean()), float(low), float(high)


@cache
def _drawn(groups: int, seed: int) -> np.ndarray:
    """(DRAWS, groups): how often each group is drawn, the same for every row of a report (floats multiply fast)."""
    return np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), DRAWS).astype(float)


def neighbours(mean: Tensor, labels: np.ndarray, known: Grouped) -> dict[str, float]:
    """Do clips that belong together look alike? Of each clip, the one that is nearest by the cosine.

    Parameters
    ----------
    mean : Tensor
        (n, C), the mean token of each clip.
    labels : array
        (n,) int64.
    known : Grouped
        Of the same clips.

    Returns
    -------
    dict
        "together": the share of clips whose nearest one is of the same group (where only numbers are known: of the same
        class and at most two places away); "chance": that share if looks said nothing. Where groups are known, also the
        share of clips whose nearest one of its own group ("label_inside"), of the other groups ("label_outside"), has
        its label.

    Examples
    --------
    >>> import torch
    >>> mean = torch.tensor([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0], [0.1, 1.0]])
    >>> neighbours(mean, np.zeros(4, int), Grouped("group", np.array([0, 0, 1, 1]), np.arange(4)))["together"]
    1.0
    """
    near, among = known.group[:, None] == known.group, np.ones((len(labels), len(labels)), bool)
    if known.by == "number":
        among = labels[:, None] == labels
        rank = np.array([(among[i] & (known.order < known.order[i])).sum() for i in range(len(labels))])
        near = among & (np.abs(rank[:, None] - rank) <= 2)
    for pairs in (near, among):
        np.fill_diagonal(pairs, False)
    centred = F.normalize(mean - mean.mean(0), dim=1)
    alike, n = (centred @ centred.T).numpy(), len(labels)

    def nearest(among: np.ndarray) -> np.ndarray:
        return np.where(among, alike, -2).argmax(1)

    chance = (near.sum(1) / among.sum(1).clip(1)).mean()
    found = {"together": near[np.arange(n), nearest(among)].mean(), "chance": chance}
    if known.by in ("group", "time"):
        for name, pairs in (("label_inside", near), ("label_outside", among & ~near)):
            some = pairs.any(1)
            found[name] = (labels[nearest(pairs)] == labels)[some].mean() if some.any() else 0.0
    return {name: round(float(share), 4) for name, share in found.items()}


def _within(order: np.ndarray, entries: Sequence[Entry]) -> np.ndarray:
    """(n,): which run of RUN clips of its class, by number, each clip is in."""
    labels, run = np.array([entry.label for entry in entries]), np.empty(len(order), np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        run[own] = _ranks(np.argsort(order[own], kind="stable")) // RUN
    return run


def _named(entries: Sequence[Entry], pattern: str | None) -> list[str]:
    names = [entry.group for entry in entries]
    if pattern is not None:
        try:
            found = [re.search(pattern, entry.id) for entry in entries]
            names = ["" if one is None else str(one.group(1)) for one in found]
        except (re.error, IndexError) as error:
            raise ListError(f"the pattern {pattern!r} does not work ({error}): give one with a bracket.") from None
    lost = [entry.id for entry, name in zip(entries, names, strict=True) if not name]
    if lost:
        raise ListError(f"{len(lost)} clips have no group, {lost[0]} the first; every clip needs one.")
    return names


def _moment(stem: str) -> datetime | None:
    for found in MOMENT.finditer(stem):
        try:
            return datetime(*map(int, found.groups()))  # type: ignore[arg-type]
        except ValueError:  # 13 months, 61 minutes: another number
            continue
    return None


def _numbered(names: Sequence[str]) -> np.ndarray:
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _ranks(order: np.ndarray) -> np.ndarray:
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank


def _fold_numbers(n: int, made) -> np.ndarray:
    number = np.empty(n, np.int64)
    for fold, (_, test) in enumerate(made):
        number[test] = fold
    return number
