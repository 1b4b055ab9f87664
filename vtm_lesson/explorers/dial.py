"""The saliency explorer: what saliency does to attention, where a loss pushes it, and what training made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from .. import films, plots
from ..encoders import load_encoder
from ..plots.style import Picture
from .page import Explorer

# Three tokens: one query, and a key and a value of each, all of two numbers.
QUERY = (1.0, 1.0)
KEYS = ((0.6, 0.2), (-0.4, 0.2), (0.1, 0.3))
VALUES = ((-1.5, -1.0), (0.1, 1.6), (1.6, -0.7))
WANTED = (1.0, 0.6)
SHOWN = 4  # frames; more are too small to see
WATCHED = (0, 1, 2, 3, 4, 6, 8, 10, 14, 18, 24, 30)  # training steps


def turn_saliency(
    steps: Mapping[int, Any] | Sequence[Any] | None = None,
    actor=None,
    s: Sequence[float] = (0.0, 0.0, 0.0),
    wanted: Sequence[float] = WANTED,
) -> Explorer:
    """Turn the saliency of three tokens, see attention and the gradient; then scrub through a training.

    Parameters
    ----------
    steps : dict or list of array, optional
        Saliency of one film's patches, (L, H, W) or (H, W), between -1 and 1: by training step, or in the order of
        time. Default: a small training like the one of lesson 07, run now, in about a second.
    actor : array, optional
        (L, H, W) or (H, W): above 0 where the actor is. It belongs to `steps`.
    s : sequence of float, optional
        The three saliencies that it begins with, each from -1 to 1.
    wanted : (float, float), optional
        Where the loss wants the output to be.

    Returns
    -------
    Explorer
        Its page computes softmax((q k + s) / sqrt(C)) (VTM eq. 10, for one query) and its gradient.

    Raises
    ------
    ValueError
        For saliencies that are not three numbers from -1 to 1, and for steps or an actor whose shapes differ.

    Examples
    --------
    >>> from vtm_lesson.explorers import dial
    >>> shown = dial.turn_saliency({0: [[0, 0], [0, 0]], 9: [[0.9, -0.2], [-0.3, -0.2]]}, actor=[[1, 0], [0, 0]])
    >>> shown.data["steps"], shown.data["grid"]
    ([0, 9], [1, 2, 2])
    >>> print(shown.still.alt[-92:])
    a step of descent raises the saliency of token 2 most, and lowers that of token 0 most.
    """
    chosen = [float(value) for value in s]
    if len(chosen) != 3 or not all(-1 <= value <= 1 for value in chosen):
        raise ValueError(f"s is {tuple(chosen)}; give three saliencies, each from -1 to 1, as tanh makes them.")
    if len(wanted) != 2 or not all(math.isfinite(value) for value in wanted):
        raise ValueError(f"wanted is {tuple(wanted)}; give the two numbers of a point in the plane.")
    if steps is None:
        if actor is not None:
            raise ValueError("actor was given without steps; give both, or neither for a small training of its own.")
        steps, actor = learned_steps()
    by_step = dict(steps) if isinstance(steps, Mapping) else dict(enumerate(steps))
    if not by_step:
        raise ValueError("steps is empty; give the saliency of a film's patches at one training step or more.")
    maps = {int(step): _grid(values, f"the saliency at step {step}") for step, values in sorted(by_step.items())}
    shapes = {values.shape for values in maps.values()}
    if actor is not None:
        actor = _grid(actor, "actor", within=False) > 0
        shapes.add(actor.shape)
    if len(shapes) > 1:
        raise ValueError(f"the shapes differ: {sorted(shapes)}; every step, and the actor, needs the same (L, H, W).")
    grid = next(iter(shapes))
    at = np.linspace(0, grid[0] - 1, min(SHOWN, grid[0])).round().astype(int)
    data = {
        "query": QUERY, "keys": KEYS, "values": VALUES, "s": chosen, "wanted": [float(value) for value in wanted],
        "extent": round(max(2.2, 1.2 * max(abs(float(value)) for value in wanted)), 2),
        "steps": list(maps), "grid": [len(at), *grid[1:]], "frames": at.tolist(),
        "saliency": [values[at].round(3).flatten().tolist() for values in maps.values()],
        "actor": None if actor is None else actor[at].flatten().astype(int).tolist(),
    }  # fmt: skip
    words = (
        "Move the three saliencies, or the point that the loss wants. The arrows show where descent pushes each"
        " saliency. Below, go through a training, step by step."
    )
    return Explorer("dial", "Saliency and what pushes it", words, data, _still(chosen, data["wanted"]))


@cache
def learned_steps(seed: int = 0) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Train saliency on small painted films, as lesson 07 does in its plainest form, and look at one film meanwhile.

    Parameters
    ----------
    seed : int, optional
        Of the films and of the order in which they are seen.

    Returns
    -------
    (dict, array)
        Step -> (3, 8, 8), the saliency tanh(X U) (VTM eq. 9) of a film that is not trained on; and where its actor is.

    Examples
    --------
    >>> from vtm_lesson.explorers import dial
    >>> steps, actor = dial.learned_steps()
    >>> bool(steps[30][actor].mean() > 0.8), bool(steps[30][~actor].mean() < 0)
    (True, True)
    """
    batch = films.batch(161, seed=3 + seed, frames=3, size=64, patch=8, progress=False)
    tokens = torch.as_tensor(load_encoder("patch").encode(batch.frames)).flatten(1, 3)  # (161, 192, 48)
    label = torch.as_tensor(batch.label)
    U = torch.zeros(tokens.shape[2], 1, requires_grad=True)
    W, b = torch.zeros(8, tokens.shape[2], requires_grad=True), torch.zeros(8, requires_grad=True)
    optimizer = torch.optim.AdamW([{"params": [U], "lr": 0.02}, {"params": [W, b], "lr": 0.05}])
    generator = torch.Generator().manual_seed(seed)
    order = [i for _ in range(6) for i in torch.randperm(160, generator=generator).split(32)]
    found = {}
    for step in range(len(order) + 1):
        if step in WATCHED:
            found[step] = torch.tanh(tokens[160] @ U.detach())[:, 0].reshape(3, 8, 8).numpy()
        if step < len(order):
            x = tokens[order[step]]
            y = (torch.tanh(x @ U).softmax(dim=1) * x).sum(dim=1)
            loss = F.cross_entropy(y @ W.T + b, label[order[step]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return found, np.asarray(batch.actor[160]).reshape(3, 8, 8) > 0


def _grid(values, name: str, within: bool = True) -> np.ndarray:
    """(H, W) or (L, H, W) -> (L, H, W), float64."""
    array = np.asarray(values, dtype=float)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f"{name} has shape {np.shape(values)}; give (L, H, W), or (H, W) for one frame.")
    if within and not (np.abs(array) <= 1).all():  # refuses NaN, too
        raise ValueError(f"{name} goes beyond -1 and 1, or is not finite; give s = tanh(K U), as in VTM eq. 9.")
    return array


def _still(s: Sequence[float], wanted: Sequence[float]) -> Picture:
    """Weights of three tokens, and where a step of descent pushes their saliencies."""
    scores = torch.tensor(s, dtype=torch.float64, requires_grad=True)
    query, keys, values = (torch.tensor(one, dtype=torch.float64) for one in (QUERY, KEYS, VALUES))
    weights = ((keys @ query + scores) / math.sqrt(len(QUERY))).softmax(0)
    loss = ((weights @ values - torch.tensor(wanted, dtype=torch.float64)) ** 2).sum()
    loss.backward()
    assert scores.grad is not None
    push = (-scores.grad).tolist()
    names = [f"token {i}, s = {value:.2f}" for i, value in enumerate(s)]
    fig = plots.panels(
        {
            "attention weight": dict(zip(names, weights.tolist(), strict=True)),
            "push on s: minus the gradient": dict(zip(names, push, strict=True)),
        },
        "a share, and a slope",
        "Three tokens: who counts, and whom the loss would rather hear",
        mark={},
        form=".2f",
    )
    up, down = (int(pick(range(3), key=push.__getitem__)) for pick in (max, min))
    fig.alt += f" The loss is {loss.item():.2f}; a step of descent raises the saliency of token {up} most,"
    fig.alt += f" and lowers that of token {down} most."
    return fig
