"""Clouds of estimates round what they estimate: one panel for each estimator, arrows from 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .style import BLACK, BLUE, VERMILLION, WIDTH, Picture, styled


@styled
def clouds(
    estimates: Mapping[str, Any], exact: Sequence[float], shown: int = 150, columns: int = 4, title: str = ""
) -> Picture:
    """Draw estimates of a gradient of two numbers as dots, their mean and the exact one as arrows.

    Parameters
    ----------
    estimates : mapping of str to array
        Name -> (n, 2).
    exact : sequence of float
        (2,).
    shown : int, optional
        How many dots at most; the mean is that of all.
    columns : int, optional
        Panels in a row.
    title : str, optional
        Above the figure.

    Returns
    -------
    Picture
        All panels have one scale: two and a half times the exact one's length to each side, or what the longest mean
        needs. What lies further away is left out, and counted.

    Raises
    ------
    ValueError
        For other shapes.

    Examples
    --------
    >>> import numpy as np
    >>> from vtm_lesson import plots
    >>> fig = plots.clouds({"noisy": np.array([[0.0, 1.0], [2.0, 1.0]])}, (1.0, 0.0))
    >>> fig.alt
    'The exact gradient is (1, 0). noisy: mean of 2 estimates (1, 1), 0% of them outside the panel.'
    """
    target = np.asarray(exact, dtype=float)
    values = {name: np.asarray(found, dtype=float) for name, found in estimates.items()}
    if target.shape != (2,) or not values or any(v.ndim != 2 or v.shape[1] != 2 for v in values.values()):
        shapes = {name: v.shape for name, v in values.items()}
        raise ValueError(f"exact has shape {target.shape}, estimates {shapes}; give (2,), and (n, 2) for each name.")
    means = {name: found.mean(0) for name, found in values.items()}
    reach = max(2.5 * float(np.linalg.norm(target)), 1.25 * max(float(np.abs(mean).max()) for mean in means.values()))
    rows = -(-len(values) // columns)
    fig = Picture(figsize=(WIDTH, 2.25 * rows + 0.3), layout="constrained")
    axes = np.atleast_1d(fig.subplots(rows, min(columns, len(values)), squeeze=False)).ravel()
    told = []
    for ax, (name, found) in zip(axes, values.items(), strict=False):
        outside = float((np.abs(found) > reach).any(1).mean())
        ax.scatter(*found[:shown].T, s=7, color=BLUE, alpha=0.35, linewidth=0, clip_on=True)
        for (x, y), colour, wide in ((target, BLACK, 2.2), (means[name], VERMILLION, 1.8)):
            ax.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": wide,
                                                        "shrinkA": 0, "shrinkB": 0})  # fmt: skip
        ax.set_xlim(-reach, reach)
        ax.set_ylim(-reach, reach)
        ax.set_aspect("equal")
        ax.set_xticks([0], [""])
        ax.set_yticks([0], [""])
        ax.set_title(name, fontsize=9)
        if outside >= 0.005:
            ax.annotate(f"{outside:.0%} outside", (0.97, 0.03), xycoords="axes fraction", ha="right", fontsize=7.5,
                        color="#555555")  # fmt: skip
        mean = means[name]
        told.append(f"{name}: mean of {len(found)} estimates ({_two(mean[0])}, {_two(mean[1])}), {outside:.0%} of them"
                    " outside the panel.")  # fmt: skip
    for ax in axes[len(values) :]:
        ax.set_axis_off()
    if title:
        fig.suptitle(f"{title} (black: the exact one, orange: the mean)", x=0.01, ha="left", fontsize=10)
    fig.alt = " ".join([f"{title}." if title else "", f"The exact gradient is ({_two(target[0])}, {_two(target[1])}).",
                        *told]).strip()  # fmt: skip
    return fig


def _two(value: float) -> str:
    return f"{value:.2g}" if abs(value) >= 0.005 else "0"
