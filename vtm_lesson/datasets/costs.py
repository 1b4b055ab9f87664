"""What making features costs: how it is told before, and where the time went afterwards."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from .store import StoreError


@dataclass
class Costs:
    """Where the time went: seconds, and bytes on the disk."""

    films: int = 0
    wall: float = 0.0
    waiting: float = 0.0  # the process that writes waits for a film
    encoding: float = 0.0  # of all encoders together
    writing: float = 0.0
    decoding: float = 0.0  # of all decoders together
    bytes: int = 0
    workers: int = 0
    encoders: int = 0  # how many encode at once beside the workers, which decode; 0: each worker does both

    def pace(self, decoding: float, encoding: float) -> float:
        """Seconds of a film with all at work, by those that it takes on one core; here, cores are shared."""
        if not self.encoders:
            return (decoding + encoding) / self.workers
        return max(decoding / self.workers, encoding / self.encoders, (decoding + encoding) / cores())

    def summary(self) -> str:
        """The shares, in one line."""
        if not self.films:
            return "Nothing was left to do."
        each = self.wall * max(1, self.workers)
        return (
            f"{self.films} films in {self.wall:.0f} s, {self.films / self.wall:.2f} a second: each of {self.workers} "
            f"workers decoded {self.decoding / each:.0%} of the time and encoded {self.encoding / each:.0%}; the films "
            f"were waited for {self.waiting / self.wall:.0%}, and writing took {self.writing / self.wall:.0%}."
        )


def forecast(films: int, seconds: float, size: float, folder: Path, judged: str) -> str:
    """What so many films will cost, in one line; refused where the disk is too small.

    Parameters
    ----------
    films : int
        How many.
    seconds : float
        Of a film, with all workers at work.
    size : float
        Bytes of a film's features.
    folder : Path
        Where they go to; it need not be there yet.
    judged : str
        By what that is known.

    Returns
    -------
    str
        The line.

    Raises
    ------
    StoreError
        Where the features are larger than what is left on the disk.
    """
    need, left = films * size, free(folder)
    if need > left:
        raise StoreError(
            f"the features need about {size_words(need)}, and {folder} has {size_words(left)} left: take "
            "fewer frames, or another folder."
        )
    time = span_words(films * seconds)
    return (
        f"{films} films: about {size_words(need)} on the disk ({size_words(left)} free) and {time}, judged by {judged}."
    )


def cores() -> int:
    """The processor's cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free(folder: Path) -> int:
    """Bytes that are left where a folder is, or will be."""
    there = folder.resolve()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def size_words(count: float) -> str:
    """Bytes as text."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def span_words(seconds: float) -> str:
    """Seconds as text."""
    if seconds < 7200:
        return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
