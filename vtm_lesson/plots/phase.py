"""Phase diagrams: small heat maps of a difference, with the number in every cell, grey where nothing is told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from .style import BLUE, VERMILLION, WIDTH, Picture, ink_on, styled

SHADES = LinearSegmentedColormap.from_list("below and above zero", [VERMILLION, "#ffffff", BLUE])
UNDECIDED = "#d4d4d4"


@styled
def phase_diagram(
    panels: Mapping[str, ArrayLike],
    down: Sequence[str],
    across: Sequence[str],
    *,
    ylabel: str = "",
    xlabel: str = "",
    title: str = "",
    columns: int = 3,
) -> Picture:
    """Draw one heat map a panel, all with the same rows, columns and colours.

    Parameters
    ----------
    panels : dict
        Name -> (R, C, 3): mean, low and high of a difference, as shares. nan: not measured, an empty cell.
    down, across : sequence of str
        The R rows and C columns by name; down has the first row at the top.
    ylabel, xlabel, title : str, optional
        Words at the axes, and over all panels.
    columns : int, optional
        Panels beside each other.

    Returns
    -------
    Picture
        Blue above zero, vermillion below, grey where the interval includes 0. Cells hold 100 times the mean, with a
        sign. The alt text says the same.

    Raises
    ------
    ValueError
        For no panel, and for a panel of another shape.

    Examples
    --------
    >>> from vtm_lesson import plots
    >>> row = [(0.2, 0.1, 0.3), (0.0, -0.1, 0.1)]
    >>> plots.phase_diagram({"gamma 6": [row]}, ["small"], ["3 frames", "48 frames"]).alt
    'Heat maps of a difference, in points. gamma 6: small: +20 at 3 frames, not told apart from 0 (+0) at 48 frames.'
    """
    values = {name: np.asarray(panel, float) for name, panel in panels.items()}
    shape = (len(down), len(across), 3)
    if not values or any(panel.shape != shape for panel in values.values()):
        found = {name: panel.shape for name, panel in values.items()}
        raise ValueError(f"panels have shapes {found}; give one or more of {shape}: rows, columns, (mean, low, high).")
    high = max((float(np.nanmax(np.abs(panel[..., 0]), initial=0)) for panel in values.values()), default=0) or 1
    columns = min(columns, len(values))
    lines = -(-len(values) // columns)
    fig = Picture(figsize=(WIDTH, 0.9 + lines * (0.75 + 0.27 * len(down))), layout="constrained")
    axes = np.atleast_1d(fig.subplots(lines, columns, sharex=True, sharey=True)).ravel()
    told = []
    for ax, (name, panel) in zip(axes, values.items(), strict=False):
        words = []
        for i, row in enumerate(down):
            cells = [_cell(ax, j, i, panel[i, j], high) for j in range(len(across))]
            said = [f"{text} at {column}" for text, column in zip(cells, across, strict=True) if text]
            if said:
                words.append(f"{row}: " + ", ".join(said))
        told.append(f"{name}: " + "; ".join(words))
        ax.set_title(name, fontsize=9)
        ax.set_xlim(-0.5, len(across) - 0.5)
        ax.set_ylim(len(down) - 0.5, -0.5)
        ax.set_xticks(range(len(across)), across)
        ax.set_yticks(range(len(down)), down)
        ax.tick_params(length=0, labelsize=8)
        ax.grid(visible=False)
        for spine in ax.spines.values():
            spine.set_visible(False)
    for ax in axes[len(values) :]:
        ax.set_visible(False)
    fig.supxlabel(xlabel, fontsize=9)
    fig.supylabel(ylabel, fontsize=9)
    if title:
        fig.suptitle(title, fontsize=10, x=0.01, ha="left")
    fig.alt = f"{title or 'Heat maps of a difference, in points'}. " + ". ".join(told) + "."
    return fig


def _cell(ax, x: int, y: int, triple: np.ndarray, highest: float) -> str:
    """One cell, and what it says; "" where nothing was measured."""
    mean, low, high = triple.tolist()
    if np.isnan(mean):
        return ""
    told = low > 0 or high < 0
    colour = SHADES(0.5 + 0.5 * mean / highest) if told else UNDECIDED
    ax.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour, edgecolor="none"))
    text = f"{round(100 * mean):+d}".replace("-", "\N{MINUS SIGN}")
    ax.text(x, y, text, ha="center", va="center", fontsize=8, color=ink_on(colour),
            fontweight="bold" if told else "normal")  # fmt: skip
    return text if told else f"not told apart from 0 ({text})"
