"""The matching explorer: keys in the plane that are dragged, and who then merges with whom."""

from __future__ import annotations

import math

import torch

from .. import plots
from ..merging.matching import match
from ..merging.partition import n_merged, uniform
from ..plots.style import Picture
from .page import Explorer

MOST = 16  # keys; more would hide each other
ANGLES = (6, 0, 84, 90, 135, 180, 208, 250, 292, 320)  # degrees; token 4 lies midway between targets 3 and 5
LENGTHS = (1.0, 2.0, 1.45, 1.0, 1.4, 1.0, 1.7, 1.2, 1.0, 1.6)


def drag_keys(keys=None, gamma: int = 2, offset: int = 1, share: float = 0.6) -> Explorer:
    """Keys of two numbers under your hand: who is most similar to whom, and who is merged.

    Parameters
    ----------
    keys : array, optional
        (N, 2), N from 2 to 16. Default: ten keys, one of them midway between two targets.
    gamma : int, optional
        The partition factor that it begins with, 1 or more: every gamma-th token is a target (VTM eq. 1).
    offset : int, optional
        Moves the targets along.
    share : float, optional
        R/|S|, the share of the sources that is merged, from 0 to 1 (VTM eq. 5).

    Returns
    -------
    Explorer
        Its page matches as `match` does, on the cosine of the keys (VTM eq. 3).

    Raises
    ------
    ValueError
        For keys of another shape, keys that are not finite, and a gamma or share that is not allowed.

    Examples
    --------
    >>> from vtm_lesson import explorers
    >>> from vtm_lesson.explorers import keys
    >>> shown = keys.drag_keys([[1, 0.1], [2, 0], [0.1, 1], [0, 1], [-1, 1], [-1, 0]], share=0.7)
    >>> print(shown.still.alt[-86:])
    Source 0 is merged into target 1, source 2 into target 3. 6 tokens have become 4.
    """
    found = _default() if keys is None else torch.as_tensor(keys).detach().double()
    if found.dim() != 2 or found.shape[1] != 2 or not 2 <= len(found) <= MOST or not bool(found.isfinite().all()):
        raise ValueError(f"keys have shape {tuple(found.shape)}; give (N, 2) finite numbers, N from 2 to {MOST}.")
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; it is R/|S|, the share of the sources that is merged, from 0 to 1.")
    if int(gamma) != gamma or not 1 <= gamma <= len(found):
        raise ValueError(f"gamma is {gamma}; for {len(found)} keys it is a whole number from 1 to {len(found)}.")
    longest = float(found.norm(dim=1).max())
    data = {
        "keys": [[round(value, 4) for value in key] for key in found.tolist()],
        "gamma": int(gamma), "offset": int(offset) % len(found), "share": share,
        "extent": round(max(1.3, 1.25 * longest), 2),
    }  # fmt: skip
    words = "Drag a key, or go to it with Tab and move it with the arrow keys. Which of the moves change who is merged?"
    return Explorer("keys", "Keys and their targets", words, data, _still(found, int(gamma), int(offset), share))


def _default() -> torch.Tensor:
    angle = torch.tensor([math.radians(one) for one in ANGLES], dtype=torch.float64)
    return (torch.stack([angle.cos(), angle.sin()], dim=1) * torch.tensor(LENGTHS)[:, None]).mul(100).round() / 100


def _still(keys: torch.Tensor, gamma: int, offset: int, share: float) -> Picture:
    """The keys as arrows, and in words who is merged with whom."""
    n = len(keys)
    targets = uniform(n, gamma, offset)
    count = n_merged(n, gamma, share)
    merge = match(keys[None], targets, count)
    group, keep = merge.group[0].tolist(), merge.keep[0].tolist()
    merged = [(i, keep[group[i]]) for i in range(n) if i not in keep]
    title = f"{n} keys, gamma {gamma}, R = {count}"
    fig = plots.arrows(keys, targets, title=title)
    pairs = ", ".join(f"source {i} into target {t}" for i, t in merged).replace("source", "Source", 1)
    pairs = pairs.replace(" into", " is merged into", 1) if merged else "No source is merged"
    fig.alt += f" {pairs}. {n} tokens have become {merge.n_out}."
    return fig
