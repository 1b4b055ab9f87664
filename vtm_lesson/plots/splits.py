"""Which films train and which test: splits drawn film by film, those of one group side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.patches import Rectangle

from .style import BLACK, BLUE, GREY, ORANGE, WIDTH, Picture, styled

TRAINING: dict[str, Any] = {"facecolor": BLUE, "edgecolor": "white"}
TEST: dict[str, Any] = {"facecolor": "white", "edgecolor": ORANGE, "hatch": "////", "linewidth": 1.2}


@styled
def splits(groups: Sequence[str], test: Mapping[str, Sequence[bool]], title: str = "") -> Picture:
    """One row for each way of splitting: a square for each film, filled where it trains, hatched where it tests.

    Parameters
    ----------
    groups : sequence of str
        The group of each film (a session, a person). Films are drawn group by group, in the order in which groups
        first occur.
    test : dict
        Name of the way of splitting -> for each film, whether it tests.
    title : str, optional
        Of the figure.

    Returns
    -------
    Picture
        Groups in both parts are underlined, and counted beside the row. The alt text says the same.

    Raises
    ------
    ValueError
        If there is no film or no way of splitting, or lengths differ.

    Examples
    --------
    >>> from vtm_lesson import plots
    >>> plots.splits("aabb", {"by film": [True, False, False, False], "by group": [True, True, False, False]}).alt
    '4 films of 2 groups. by film: 1 of 4 films test, 1 group in both parts; by group: 2 of 4 films test, no groups in \
both parts.'
    """
    names = list(dict.fromkeys(groups))
    if not names or not test or any(len(row) != len(groups) for row in test.values()):
        given = {name: len(row) for name, row in test.items()}
        raise ValueError(f"{len(groups)} films, splits of {given}; give films, and one boolean a film in every split.")
    order = sorted(range(len(groups)), key=lambda i: names.index(groups[i]))
    left = {i: at + 0.7 * names.index(groups[i]) for at, i in enumerate(order)}
    width = left[order[-1]] + 1
    fig = Picture(figsize=(WIDTH, 0.75 + 0.5 * len(test)), layout="constrained")
    ax = fig.subplots()
    told = []
    for y, (name, row) in enumerate(test.items()):
        torn = 0
        for i, there in enumerate(row):
            ax.add_patch(Rectangle((left[i], y - 0.3), 0.9, 0.55, **(TEST if there else TRAINING)))
        for group in names:
            own = [i for i in order if groups[i] == group]
            if len({bool(row[i]) for i in own}) > 1:
                torn += 1
                ax.plot([left[own[0]], left[own[-1]] + 0.9], [y + 0.36] * 2, color=BLACK, linewidth=1.6)
        words = f"{torn or 'no'} group{'' if torn == 1 else 's'} in both parts"
        ax.annotate(words, (width, y), (6, 0), textcoords="offset points", va="center", color=BLACK if torn else GREY)
        told.append(f"{name}: {sum(map(bool, row))} of {len(row)} films test, {words}")
    ax.set_yticks(range(len(test)), list(test))
    ax.set_xticks([])
    ax.set_xlim(-0.3, width * 1.27)
    ax.set_ylim(len(test) - 0.4, -0.55)
    ax.grid(visible=False)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(length=0)
    keys = [Rectangle((0, 0), 1, 1, **TRAINING), Rectangle((0, 0), 1, 1, **TEST)]
    fig.legend(keys, ["training", "test"], loc="outside upper right", ncols=2, frameon=False, borderpad=0)
    ax.set_title(title)
    named = f"{title.rstrip('.')}. " if title else ""
    fig.alt = f"{named}{len(groups)} films of {len(names)} groups. " + "; ".join(told) + "."
    return fig
