"""The whole way without the data: stand-ins of LVU, Breakfast and COIN, from painted films to scores.

    python -m vtm_lesson train --stand-in

Each is written as films and lists in the data set's own form, read, made into features, trained on and tested. What is
shown is that the way works: the accuracy is above chance, the squared error below that of the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..datasets import lists
from ..datasets.extraction import Features, Settings, features
from ..datasets.lists import VideoList
from ..datasets.stand_in import stand_in
from .longform import Config
from .longform_runs import Runs, first
from .longform_table import rows, table

SEEDS = 3
FEATURES = Settings(frames=12, size=64, patch=8)
# Films are few and short: networks keep the encoder's 48 channels, and train for few epochs at a higher rate. Each of
# the two paths of learnable merging has its own loss: a test lacks one of them, and their sum misled a regression.
CONFIG = Config(
    chunks=(2, 6, 12), widths=(48, 48, 48), residual=True, aux="heads", guidance=7.0, epochs=6, warmup=1, lr=3e-3
)  # fmt: skip
READERS: dict[str, Callable[[Path], VideoList]] = {
    "scene": lambda path: lists.lvu(path, "scene"),
    "like_ratio": lambda path: lists.lvu(path, "like_ratio"),
    "breakfast": lists.breakfast,
    "coin": lists.coin,
}
FILMS = 40  # of a class, in all splits together


def painted(
    kind: str, folder: str | Path, films_per_class: int | None = None, say: Callable[[str], None] = print, progress=True
) -> tuple[VideoList, Features]:
    """A stand-in's list and its features, made once.

    Parameters
    ----------
    kind : str
        One of READERS.
    folder : str or Path
        Keeps lists, films and features.
    films_per_class : int, optional
        Default: 40.
    say : function, optional
        Takes lines of text.
    progress : bool, optional
        Show a bar.

    Returns
    -------
    films : VideoList
        What its lists say, with files.
    store : Features
        Theirs, by the encoder "patch": 12 frames of 64 x 64 pixels, 8 x 8 tokens of 48 channels each.

    Raises
    ------
    ValueError
        For another kind.

    Examples
    --------
    >>> import tempfile
    >>> from vtm_lesson.study.longform_stand_in import painted
    >>> with tempfile.TemporaryDirectory() as home:
    ...     films, store = painted("coin", home, films_per_class=3, say=lambda line: None, progress=False)
    ...     len(films), store[0]["tokens"].shape
    (18, torch.Size([12, 8, 8, 48]))
    """
    home = Path(folder)
    if kind not in READERS:
        raise ValueError(f"there is no stand-in for {kind!r}; there are {', '.join(READERS)}.")
    count = films_per_class or FILMS
    where, videos = stand_in(kind, home, count, frames=FEATURES.frames, size=FEATURES.size)
    found = READERS[kind](where).find(videos)
    return found, features(found, home / "features", settings=FEATURES, progress=progress, say=say)


def prove(
    folder: str | Path,
    kinds: Sequence[str] = tuple(READERS),
    partitions: Sequence[str] = ("learnable",),
    seeds: int = SEEDS,
    config: Config = CONFIG,
    *,
    films_per_class: int | None = None,
    device: torch.device | str | None = "cpu",
    logs: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run every stand-in, and report: settings, and one row for each kind and partition, as values that JSON can hold.

    Parameters
    ----------
    folder : str or Path
        Keeps everything; a second call carries on.
    kinds : sequence of str, optional
        Of READERS.
    partitions, seeds, config
        What is trained, as in `Runs`.
    films_per_class, device, logs, progress, say
        As in `painted` and `Runs`.

    Returns
    -------
    dict
        "features", "config", "rows" (as `longform_table.rows`, with "data" and the numbers of films), "tables".
    """
    found, tables = [], []
    for kind in kinds:
        home = Path(folder) / kind
        say(f"{kind}: painted films, written once and kept in {home}")
        films, store = first(partial(painted, kind, home, films_per_class, say, progress))
        runs = Runs(films, store, config, home / "runs", device=device, logs=logs, progress=progress, say=say)
        scores = runs.over(partitions, range(seeds))
        counts = {split: sum(row.values()) for split, row in films.counts().items()}
        about = {"data": films.name, "kind": kind, "classes": len(films.classes), "counts": counts}
        found += [about | row for row in rows(scores)]
        tables.append(f"{films.name}, stand-in\n{table(scores)}")
    return {"features": asdict(FEATURES), "config": asdict(config), "rows": found, "tables": tables}


def holds(row: dict[str, Any]) -> bool:
    """Whether a row shows what it should: its interval lies above chance, or below the error of the mean.

    >>> holds({"task": "class", "interval": (0.5, 0.3, 0.7), "classes": 6, "guess": [0.17]})
    True
    >>> holds({"task": "value", "interval": (1.0, 0.7, 1.3), "guess": [1.2]})
    False
    """
    _, low, high = row["interval"]
    if row["task"] == "class":
        return bool(low > max(1 / row["classes"], *row["guess"]))
    return bool(high < min(row["guess"]))
