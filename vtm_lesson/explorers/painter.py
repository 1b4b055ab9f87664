"""The target painter: where each partition puts its targets in a film, and what that makes of the actor's weight."""

from __future__ import annotations

import numpy as np

from .. import films, plots
from ..merging.matching import match
from ..merging.partition import centre_mask, uniform
from ..plots.style import Picture
from .film import as_bytes, column, film_keys
from .page import Explorer

FRAMES, SIDE = 12, 10  # 1,200 tokens: the page merges them at once
PARTITIONS = ("uniform", "staggered", "centre", "boundary", "motion", "random", "oracle")


def paint_targets(partition: str = "uniform", gamma: int = 5, seed: int = 3) -> Explorer:
    """Choose a partition, gamma, offset and a kind of film; see the comb, and the actor's weight in the mean.

    Parameters
    ----------
    partition : str, optional
        The targets that it begins with, one of PARTITIONS. In the page there is one more: places marked by hand.
    gamma : int, optional
        The partition factor that it begins with, 2 to 25.
    seed : int, optional
        Of the painted films, one of each way of filming: 12 frames of 10 x 10 patches, without grain.

    Returns
    -------
    Explorer
        Shown as the last line of a cell.

    Raises
    ------
    ValueError
        For another partition or gamma.

    Examples
    --------
    >>> from vtm_lesson import explorers
    >>> explorers.paint_targets("centre", gamma=4)
    Explorer(painter)
    """
    if partition not in PARTITIONS:
        raise ValueError(f"partition is {partition!r}; the painter begins with one of {', '.join(PARTITIONS)}.")
    if not (2 <= gamma <= 25 and gamma == int(gamma)):
        raise ValueError(f"gamma is {gamma!r}; the painter takes whole numbers from 2 to 25.")
    painted = {way: films.make(seed, way, frames=FRAMES, size=8 * SIDE, patch=8, grain=0) for way in films.WAYS}
    data = {"frames": FRAMES, "height": SIDE, "width": SIDE, "gamma": gamma, "partition": partition, "kind": "roaming"}
    data["films"] = {way: _stored(film) for way, film in painted.items()}
    words = (
        "Choose where targets come from, and move gamma and offset. Gammas that divide the 100 patches of a frame make"
        " a comb. Then watch the table: the actor's weight in the mean follows its share of the targets."
    )
    return Explorer("painter", "Where the targets fall", words, data, _still(painted["roaming"], gamma))


def _stored(film: films.Film) -> dict:
    motion = film.patches()[1]
    scale = max(float(motion.max()), 1e-6) / 255
    centre = centre_mask(SIDE, SIDE).numpy()
    return {
        "picture": column(film.frames, lossless=True), "actor": as_bytes(255 * film.actor),
        "motion": as_bytes(motion / scale),
        "motion_scale": scale, "centre": as_bytes(centre),
    }  # fmt: skip


def _still(film: films.Film, gamma: int) -> Picture:
    """The actor's share of tokens, of targets and of the mean, by offset: uniform targets give it what it has."""
    keys, n = film_keys(film.frames), film.actor.size
    actor = film.actor.reshape(-1)
    lines: dict[str, list[float]] = {"share of the targets": [], "weight in the mean": []}
    for offset in range(gamma):
        targets = uniform(n, gamma, offset)
        merge = match(keys, targets)
        weight = np.bincount(merge.group[0].numpy(), actor) / merge.size()[0].numpy()
        lines["share of the targets"].append(100 * float(actor[targets.numpy()].mean()))
        lines["weight in the mean"].append(100 * float(weight.mean()))
    lines["share of all tokens"] = [100 * float(actor.mean())] * gamma
    title = f"A roaming film, every {gamma}th token a target: the actor's share, by offset"
    fig = plots.curves(list(range(gamma)), lines, xlabel="offset", ylabel="percent", title=title)
    fig.axes[0].set_xticks(range(gamma))
    return fig
