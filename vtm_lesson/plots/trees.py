"""Chunks of chunks: what waits in a tree of merges while a film goes by, and when the kept tokens are from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike

from .diagrams import arrow, box, canvas, note
from .style import BLACK, BLUE, COLOURS, GREY, ORANGE, WIDTH, Picture, styled

CAPTIONS = 2.5  # inches on the right, for what each level is
HIGH = 0.34  # of a box


@styled
def chunk_tree(ratio: int, levels: int, seen: int, captions: Sequence[str], title: str = "") -> Picture:
    """Draw levels of chunks at the moment when some chunks of the lowest level have arrived.

    Parameters
    ----------
    ratio : int
        Chunks of a level that make one of the next, 2 to 6.
    levels : int
        How many, 2 to 4; the highest has one chunk.
    seen : int
        Chunks of level 1 that have arrived and are merged, from 0 to ratio ** (levels - 1).
    captions : sequence of str
        One for each level, from level 1 up.
    title : str, optional
        Above the picture.

    Returns
    -------
    Picture
        Filled: what waits now. Pale: merged into a chunk above. Dashed: still to come. The alt text counts them.

    Raises
    ------
    ValueError
        For numbers out of range, and another number of captions.

    Examples
    --------
    >>> from vtm_lesson import plots
    >>> plots.chunk_tree(2, 2, 1, ["6 s", "12 s"]).alt
    'A tree of chunks, 2 of a level in one of the next. Level 1 (6 s): 0 merged on, 1 waits, 1 to come. \
Level 2 (12 s): 0 merged on, 0 wait, 1 to come.'
    """
    leaves = ratio ** (levels - 1)
    if not 2 <= ratio <= 6 or not 2 <= levels <= 4 or not 0 <= seen <= leaves or len(captions) != levels or leaves > 32:
        raise ValueError(
            f"ratio {ratio}, {levels} levels, {seen} seen, {len(captions)} captions; give 2 to 6, 2 to 4 with 32 chunks"
            " at most, a number of chunks that there are, and a caption for each level."
        )
    step = 0.82
    fig, ax = canvas(0.2 + step * (levels - 1) + HIGH + 0.1, title)
    room = WIDTH - CAPTIONS - 0.1
    told, places = [], {}
    for level in range(levels):
        count = ratio ** (levels - 1 - level)
        there = seen // ratio**level
        gone = there // ratio * ratio if level < levels - 1 else 0
        y = 0.12 + HIGH / 2 + step * level
        for k in range(count):
            x = 0.1 + room * (k + 0.5) / count
            places[level, k] = x, y
            wide = min(room / leaves - 0.05, 0.5) if level == 0 else min(room / count - 0.1, 0.5 + 0.35 * level)
            fill, edge = ("white", GREY) if k >= there else ("#eef4f9", BLUE) if k < gone else (BLUE, BLUE)
            box(ax, (x, y), (max(wide, 0.16), HIGH), "", fill, edge, dashed=k >= there)
            if level:
                for child in range(ratio * k, ratio * (k + 1)):
                    below = places[level - 1, child]
                    merged = child < seen // ratio ** (level - 1) // ratio * ratio
                    arrow(
                        ax, (below[0], below[1] + HIGH / 2), (x, y - HIGH / 2), colour=BLUE if merged else "#c4c4c4",
                        width=1.0, head=False, dashed=not merged,
                    )  # fmt: skip
        note(ax, (WIDTH - CAPTIONS + 0.1, y), captions[level], colour=BLACK, ha="left")
        waits = there - gone
        told.append(
            f"Level {level + 1} ({captions[level].replace(chr(10), ', ')}): {gone} merged on, {waits} "
            f"{'waits' if waits == 1 else 'wait'}, {count - there} to come"
        )
    fig.alt = f"{title.rstrip('.') + '. ' if title else ''}A tree of chunks, {ratio} of a level in one of the next. "
    fig.alt += ". ".join(told) + "."
    return fig


@styled
def timeline(
    kept: Mapping[str, ArrayLike], seconds: float, shown: tuple[float, float] | None = None, title: str = ""
) -> Picture:
    """Draw when in a film the kept tokens are from: a row of ticks for each name, higher where there are more.

    Parameters
    ----------
    kept : dict
        Name -> the seconds of its tokens, (K,).
    seconds : float
        The film's length.
    shown : (float, float), optional
        A stretch that is marked: the seconds that matter.
    title : str, optional
        Above the picture.

    Returns
    -------
    Picture
        The alt text has the number of tokens of each name, and how many lie in the marked stretch.

    Raises
    ------
    ValueError
        For no name, and for seconds outside of the film.

    Examples
    --------
    >>> from vtm_lesson import plots
    >>> plots.timeline({"chance": [1.0, 30.0, 59.0]}, 60, (28, 34)).alt
    'When the kept tokens are from, in a film of 1.0 minutes. chance: 1 of 3 tokens from the marked seconds.'
    """
    rows = {name: np.asarray(values, float) for name, values in kept.items()}
    if not rows or any(v.ndim != 1 or (len(v) and not 0 <= v.min() <= v.max() <= seconds) for v in rows.values()):
        raise ValueError(f"give one name or more, each with (K,) seconds from 0 to {seconds:g}.")
    fig = Picture(figsize=(WIDTH, 0.75 + 0.5 * len(rows)), layout="constrained")
    ax = fig.subplots()
    told = []
    edges = np.linspace(0, seconds, 121)
    for i, (name, values) in enumerate(rows.items()):
        counts = np.histogram(values, edges)[0]
        height = np.sqrt(counts / max(counts.max(initial=0), 1))
        ax.bar(
            (edges[:-1] + edges[1:]) / 120, 0.8 * height, width=seconds / 60 / 120, bottom=i * 1.0,
            color=COLOURS[i % len(COLOURS)], linewidth=0,
        )  # fmt: skip
        ax.axhline(i, color=GREY, linewidth=0.5)
        inside = 0 if shown is None else int(((values >= shown[0]) & (values < shown[1])).sum())
        of = f"{inside} of {len(values)} tokens from the marked seconds" if shown else f"{len(values)} tokens"
        told.append(f"{name}: {of}")
    if shown is not None:
        ax.axvspan(shown[0] / 60, shown[1] / 60, color=ORANGE, alpha=0.35, linewidth=0, zorder=0)
    ax.set_yticks([i + 0.35 for i in range(len(rows))], list(rows))
    ax.set_ylim(len(rows) - 0.05, -0.1)
    ax.invert_yaxis()
    ax.set_xlim(0, seconds / 60)
    ax.set_xlabel("minutes of film")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.grid(visible=False)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_title(title)
    fig.alt = f"{title.rstrip('.') + '. ' if title else ''}When the kept tokens are from, in a film of "
    fig.alt += f"{seconds / 60:.1f} minutes. {'. '.join(told)}."
    return fig
