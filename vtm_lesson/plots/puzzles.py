"""Pictures of puzzles: rows of numbered cells that say what is given and what is wanted, and one's own answer below.

`puzzle` draws the rows, and runs the learner's function for the last of them. `arrows` draws keys of two numbers.
Every function returns a `Picture`: a matplotlib `Figure` with a text alternative in `fig.alt`.
"""

from __future__ import annotations

import copy
import itertools
import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Arc, FancyBboxPatch

from .style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, WIDTH, YELLOW, Picture, number, styled

PALETTE = (SKY, ORANGE, GREEN, YELLOW, PURPLE, "#c4c4c4", BLUE, VERMILLION)  # the number stands in the cell, too
DARK = {BLUE, VERMILLION, GREEN}  # white numbers on these
PALE = "#dcecf7"  # of cells that stand under the position they name
MARGIN = 1.75  # inches for the rows' names
CELL, GAP, FLOW = 0.4, 0.13, 0.42  # inches: a cell at most, between rows, and between rows that lines join
MOST = 24  # cells of a row
CLOSE = 1e-4


@dataclass
class _Row:
    """A row as it is drawn.

    places: the column of each cell. marks: which cells are not as wanted. words: what stands in place of cells.
    """

    part: str
    name: str
    values: list[float]
    places: list[int]
    fills: list[str]
    marks: list[bool]
    words: str = ""


@styled
def puzzle(
    given: Mapping[str, Any],
    wanted: Mapping[str, Any],
    mine: Callable | None = None,
    arguments: tuple = (),
    *,
    at: Mapping[str, Any] | None = None,
    colour: Sequence[str] = (),
    flow: Mapping[str, str] | None = None,
    whose: str = "yours",
    title: str = "",
) -> Picture:
    """Rows of numbered cells: what is given, what is wanted, and, with `mine`, what the learner's function makes of it.

    It never stops a notebook: an open function, one that raises, and results of any kind are told in words in the row
    where the answer would stand.

    Parameters
    ----------
    given : dict
        Row name -> (n,) numbers, at most 24: a list, range, array or tensor; None for a row without cells.
    wanted : dict
        Row name -> (n,) numbers, as `given`. The function returns one row, or as many as there are here. Without any,
        the picture shows the rows of `given` only.
    mine : callable, optional
        The learner's function. It is called with a copy of the arguments.
    arguments : tuple, optional
        What it is called with.
    at : dict, optional
        Row name -> (n,) columns in which the cells stand, from 0; or "value": each cell stands in the column that it
        names. By default side by side. A learner's row stands as the wanted one of its name.
    colour : sequence of str, optional
        Rows whose cells are coloured by their number, so that one group has one colour.
    flow : dict, optional
        Row name -> the given row under or above it in which its numbers are looked up: a line leads from each cell to
        the cell of that column (the first column is 0).
    whose : str, optional
        What the rows of `mine` are called.
    title : str, optional
        Above the picture.

    Returns
    -------
    Picture
        With all rows in words.

    Raises
    ------
    ValueError
        If a row of `given` or `wanted` has more than 24 cells or no numbers, or if `at`, `colour` or `flow` names a
        row that is not there.

    Examples
    --------
    >>> from vtm_lesson import plots
    >>> fig = plots.puzzle({"tokens": range(4)}, {"odd": [1, 3]}, lambda n: [1, 2], (4,), at={"odd": "value"})
    >>> print(fig.alt)
    Given: tokens 0, 1, 2, 3. Wanted: odd 1, 3. Yours: odd 1, 2; 1 of 2 cells is not as wanted.
    """
    at, flow = dict(at or {}), dict(flow or {})
    unknown = {*at, *colour, *flow, *flow.values()} - {*given, *wanted}
    if unknown:
        raise ValueError(f"there is no row {sorted(unknown)[0]!r}; the rows are {', '.join([*given, *wanted])}.")
    rows = [_given_row("given", name, values, at, colour) for name, values in given.items()]
    rows += [_given_row("wanted", name, values, at, colour) for name, values in wanted.items()]
    verdict = ""
    if mine is not None:
        own, verdict = _own_rows(mine, arguments, rows[len(given) :], at, colour, whose)
        rows += own
    fig = _drawn(rows, flow, verdict, title)
    fig.alt = _in_words(rows, verdict, title)
    return fig


def _given_row(part: str, name: str, values: Any, at: Mapping[str, Any], colour: Sequence[str]) -> _Row:
    cells = [] if values is None else _numbers(values)
    if isinstance(cells, str) or len(cells) > MOST:
        raise ValueError(f"row {name!r} needs at most {MOST} numbers in a row; it is {_kind(values)}.")
    return _row(part, name, cells, at, colour)


def _row(part: str, name: str, cells: list[float], at: Mapping[str, Any], colour: Sequence[str]) -> _Row:
    where: Any = at.get(name)
    places = list(range(len(cells)))
    if isinstance(where, str):
        if _can_stand_where_they_say(cells):
            places = [int(cell) for cell in cells]
    elif where is not None:
        columns = [int(column) for column in where]
        places = columns if len(columns) == len(cells) else places
    plain = PALE if where is not None else "white"
    fills = [_colour_of(cell) if name in colour else plain for cell in cells]
    return _Row(part, name, cells, places, fills, [False] * len(cells))


def _can_stand_where_they_say(cells: list[float]) -> bool:
    """Each cell in a column of its own: whole numbers from 0, none twice."""
    whole = all(math.isfinite(cell) and cell == int(cell) and 0 <= cell < MOST for cell in cells)
    return whole and len(set(cells)) == len(cells)


def _colour_of(cell: float) -> str:
    whole = math.isfinite(cell) and cell == int(cell)
    return PALETTE[int(cell) % len(PALETTE)] if whole else "white"


def _own_rows(
    mine: Callable,
    arguments: tuple,
    wanted: Sequence[_Row],
    at: Mapping[str, Any],
    colour: Sequence[str],
    whose: str,
) -> tuple[list[_Row], str]:
    """The rows that the function gives, the cells marked that are not as wanted, and the verdict in words."""
    found = _run(mine, arguments, len(wanted))
    if isinstance(found, str):
        return [_Row(whose, "", [], [], [], [], words=found)], found
    rows = [_row(whose, want.name, cells[:MOST], at, colour) for want, cells in zip(wanted, found, strict=True)]
    for row, want in zip(rows, wanted, strict=True):
        row.marks = _not_as_wanted(row, want)
    differ, cells_in_all = sum(sum(row.marks) for row in rows), sum(len(row.marks) for row in rows)
    lengths = [len(cells) for cells in found]
    if lengths != [len(want.values) for want in wanted]:
        pairs = zip(found, wanted, strict=True)
        name, has, needs = next((w.name, len(c), len(w.values)) for c, w in pairs if len(c) != len(w.values))
        return rows, f"{name} has {has} {'cell' if has == 1 else 'cells'}, {needs} are wanted"
    if differ:
        return rows, f"{differ} of {cells_in_all} cells {'is' if differ == 1 else 'are'} not as wanted"
    if any(not _equal(row.values, want.values) for row, want in zip(rows, wanted, strict=True)):
        return rows, "the right cells, but they come in another order"
    return rows, "as wanted"


def _run(mine: Callable, arguments: tuple, count: int) -> list[list[float]] | str:
    """The function's results as rows of numbers, or words on why there are none."""
    try:
        result = mine(*copy.deepcopy(arguments))
    except NotImplementedError:
        return "not solved yet"
    except (Exception, SystemExit) as error:  # whatever it raises is told, and stops nothing
        return f"the function stopped with {type(error).__name__}{_message(error)}"
    try:
        if count == 1:
            parts = [_numbers(result)]
        elif isinstance(result, (tuple, list)) and len(result) == count:
            parts = [_numbers(part) for part in result]
        else:
            parts = [f"expected {count} rows, got {_kind(result)}"]
    except Exception:  # an object that fails when it is looked at
        parts = ["the result is no row of numbers"]
    words = next((part for part in parts if isinstance(part, str)), None)
    return [part for part in parts if not isinstance(part, str)] if words is None else words


def _not_as_wanted(row: _Row, want: _Row) -> list[bool]:
    if row.places != list(range(len(row.values))):  # cells that stand where they say: in the row or not
        return [cell not in want.values for cell in row.values]
    return [i >= len(want.values) or not _near(cell, want.values[i]) for i, cell in enumerate(row.values)]


def _equal(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(map(_near, one, other))


def _near(one: float, other: float) -> bool:
    return one == other or abs(one - other) <= CLOSE * max(1.0, abs(other))


def _numbers(x: Any) -> list[float] | str:
    """A row of numbers as a list, or words on why it is none."""
    no_row = f"{_kind(x)} is no row of numbers"
    if x is None:
        return "the function returned nothing"
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu()
        row = x.numpy() if x.is_complex() else x.to_dense().double().numpy()
    elif isinstance(x, np.ndarray):
        row = x
    elif isinstance(x, numbers.Real):
        row = np.array([float(x)])
    elif isinstance(x, Iterable) and not isinstance(x, (str, bytes, Mapping)):
        parts = list(x)
        if any(not isinstance(part, (numbers.Real, torch.Tensor, np.ndarray)) for part in parts):
            return no_row
        row = np.array([float(part) for part in parts])
    else:
        return no_row
    if row.dtype.kind not in "biuf" or (row.ndim > 1 and row.size != max(row.shape)):
        return no_row
    return [float(part) for part in row.reshape(-1)]


def _kind(x: Any) -> str:
    if isinstance(x, (torch.Tensor, np.ndarray)):
        return f"{'a tensor' if isinstance(x, torch.Tensor) else 'an array'} of shape {tuple(x.shape)}"
    if isinstance(x, (list, tuple)):
        return f"a {type(x).__name__} of {len(x)}"
    return "nothing" if x is None else f"a result of type {type(x).__name__}"


def _message(error: BaseException) -> str:
    """The first line of what an error says, in letters that the font has."""
    try:
        line = (str(error).splitlines() or [""])[0]
    except Exception:  # an error of the learner's own making may fail to say what it is
        return ""
    line = "".join(letter if letter.isprintable() and ord(letter) < 0x250 else "?" for letter in line)
    return f": {line[:57]}{'…' if len(line) > 57 else ''}" if line else ""


# ---------------------------------------------------------------------------------------------------------------
# Drawing
# ---------------------------------------------------------------------------------------------------------------


def _drawn(rows: Sequence[_Row], flow: Mapping[str, str], verdict: str, title: str) -> Picture:
    columns = max([6, *(place + 1 for row in rows for place in row.places)])
    cell = min(CELL, (WIDTH - MARGIN - 0.1) / columns)
    tops = _tops(rows, flow, cell)
    below = 0.3 if verdict and not rows[-1].words else 0.0
    height = tops[-1] + cell + 0.1 + below + (0.3 if title else 0)
    fig = Picture(figsize=(WIDTH, height))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(height - (0.3 if title else 0), -0.3 if title else 0))
    ax.axis("off")
    if title:
        ax.text(0.02, -0.14, title, va="center", fontsize=10)
    _draw_flow(ax, rows, tops, flow, cell)
    part = ""
    for row, top in zip(rows, tops, strict=True):
        middle = top + cell / 2
        if row.part != part and rows[-1].part != "given":
            ax.text(0.02, middle, row.part, va="center", fontsize=9, color=GREY)
            part = row.part
        ax.text(MARGIN - 0.1, middle, row.name, va="center", ha="right", fontsize=9)
        if row.words:
            sign = "…" if row.words == "not solved yet" else "✗"
            ax.text(MARGIN, middle, f"{sign} {row.words}", va="center", fontsize=9, parse_math=False)
        for value, place, fill, wrong in zip(row.values, row.places, row.fills, row.marks, strict=True):
            _draw_cell(ax, MARGIN + place * cell, top, cell, value, fill, wrong)
    if verdict and not rows[-1].words:
        sign = "✓" if verdict == "as wanted" else "✗"
        ax.text(MARGIN, tops[-1] + cell + 0.2, f"{sign} {verdict}", va="center", fontsize=9, weight="bold")
    return fig


def _tops(rows: Sequence[_Row], flow: Mapping[str, str], cell: float) -> list[float]:
    """Where each row begins, in inches from above: more room where lines run, and between given, wanted and yours."""
    tops = [0.08]
    for above, below in itertools.pairwise(rows):
        joined = below.part in ("given", "wanted") and (
            flow.get(above.name) == below.name or flow.get(below.name) == above.name
        )
        apart = GAP if above.part == below.part else GAP + 0.1
        tops.append(tops[-1] + cell + (FLOW if joined else apart))
    return tops


def _draw_flow(ax: Axes, rows: Sequence[_Row], tops: Sequence[float], flow: Mapping[str, str], cell: float) -> None:
    for name, other in flow.items():
        start, end = (next(i for i, row in enumerate(rows) if row.name == wanted) for wanted in (name, other))
        down = tops[end] > tops[start]
        leaves, arrives = (tops[start] + cell, tops[end]) if down else (tops[start], tops[end] + cell)
        for value, place, fill in zip(rows[start].values, rows[start].places, rows[start].fills, strict=True):
            ax.annotate(
                "",
                (MARGIN + (value + 0.5) * cell, arrives),
                (MARGIN + (place + 0.5) * cell, leaves),
                arrowprops={
                    "arrowstyle": "-|>",
                    "color": GREY if fill in ("white", PALE, YELLOW) else fill,
                    "linewidth": 1.2,
                    "shrinkA": 1,
                    "shrinkB": 1,
                },
            )


def _draw_cell(ax: Axes, left: float, top: float, cell: float, value: float, fill: str, wrong: bool) -> None:
    inset = 0.025
    box = FancyBboxPatch(
        (left + inset, top + inset),
        cell - 2 * inset,
        cell - 2 * inset,
        boxstyle="round,pad=0,rounding_size=0.05",
        facecolor=fill,
        edgecolor=VERMILLION if wrong else GREY,
        linewidth=2.2 if wrong else 0.8,
    )
    ax.add_patch(box)
    text = _cell_text(value)
    colour = "white" if fill in DARK else BLACK
    ax.text(left + cell / 2, top + cell / 2, text, ha="center", va="center", fontsize=9 - len(text) // 4, color=colour)
    if wrong:  # a sign, as colour must not be the only difference
        ax.text(left + cell - 0.035, top + 0.035, "✗", ha="right", va="top", fontsize=7.5, color=colour)


def _cell_text(value: float) -> str:
    return "nan" if math.isnan(value) else number(value)


def _in_words(rows: Sequence[_Row], verdict: str, title: str) -> str:
    said = []
    for part in dict.fromkeys(row.part for row in rows):
        own = [row for row in rows if row.part == part]
        told = [row.words or f"{row.name} {', '.join(map(_cell_text, row.values)) or 'empty'}" for row in own]
        if part == rows[-1].part and verdict and not own[-1].words:
            told.append(verdict)
        said.append(f"{'Rows' if rows[-1].part == 'given' else part.capitalize()}: {'; '.join(told)}.")
    return " ".join([f"{title.rstrip('.')}.", *said] if title else said)


@styled
def arrows(
    keys, targets: Sequence[int] | torch.Tensor, angles: Sequence[tuple[int, int]] = (), title: str = ""
) -> Picture:
    """Keys of two numbers as arrows in the plane: targets black and solid, sources blue and dashed.

    Parameters
    ----------
    keys : Tensor
        (N, 2), N of 16 or fewer.
    targets : sequence of int
        (T,) positions.
    angles : sequence of (int, int), optional
        Pairs of tokens between which the angle is drawn, in degrees.
    title : str, optional
        Above the picture.

    Returns
    -------
    Picture
        With the direction and length of each key in words.

    Raises
    ------
    ValueError
        If keys are not (N, 2), or more than 16.

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson import plots
    >>> print(plots.arrows(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), [1], [(0, 1)]).alt)
    Keys as arrows: 0 (source) points to 0° with length 1; 1 (target) to 90° with length 2. Angle of 0 and 1: 90°.
    """
    tips = torch.as_tensor(keys).detach().double().numpy()
    if tips.ndim != 2 or tips.shape[1] != 2 or not 1 <= len(tips) <= 16:
        raise ValueError(f"keys have shape {tuple(tips.shape)}; arrows need (N, 2) with N from 1 to 16.")
    chosen = set(torch.as_tensor(targets).reshape(-1).tolist())
    lengths, degrees = np.hypot(*tips.T), np.degrees(np.arctan2(tips[:, 1], tips[:, 0]))
    fig = Picture(layout="constrained")
    ax = fig.add_subplot(title=title)
    labels: list[np.ndarray] = []
    size = max(float(lengths.max()), 1e-9)
    for i in sorted(range(len(tips)), key=lambda i: i not in chosen):  # targets first, so that they stand nearest
        colour, dash = (BLACK, "-") if i in chosen else (BLUE, (0, (4, 2)))
        if lengths[i] > 0:
            style = {
                "arrowstyle": "-|>",
                "color": colour,
                "linestyle": dash,
                "linewidth": 1.8,
                "shrinkA": 0,
                "shrinkB": 0,
            }
            ax.annotate("", tips[i], (0, 0), arrowprops=style)
        way = tips[i] / lengths[i] if lengths[i] > 0 else np.array([0.0, -1.0])
        place = tips[i] + 0.09 * size * way
        while any(np.hypot(*(place - other)) < 0.15 * size for other in labels):
            place = place + 0.02 * size * way
        labels.append(place)
        ax.scatter(place[0], place[1], s=230, color="white", edgecolors=colour, linewidths=1.5, zorder=3)
        ax.text(place[0], place[1], str(i), ha="center", va="center", color=colour, zorder=4)
    told = []
    for i, j in angles:
        between = (degrees[j] - degrees[i] + 180) % 360 - 180
        start, end = sorted((degrees[i], degrees[i] + between))
        radius = 0.2 * size
        ax.add_patch(Arc((0, 0), 2 * radius, 2 * radius, theta1=start, theta2=end, color=GREY, linewidth=1.2))
        middle = math.radians((start + end) / 2)
        ax.text(
            1.35 * radius * math.cos(middle),
            1.35 * radius * math.sin(middle),
            f"{abs(between):.0f}°",
            ha="center",
            va="center",
            fontsize=8,
            color="#444444",
        )
        told.append(f"angle of {i} and {j}: {abs(between):.0f}°")
    spread = np.concatenate([tips, np.stack(labels), np.zeros((1, 2))])
    low, high = spread.min(0) - 0.12 * size, spread.max(0) + 0.12 * size
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    shape = (high[1] - low[1]) / (high[0] - low[0])
    fig.set_size_inches(WIDTH * 0.62, min(max((WIDTH * 0.62 - 0.7) * shape, 1.2), 5) + 0.8 + (0.25 if title else 0))
    ax.set_xlabel("first number of the key")
    ax.set_ylabel("second number")
    handles = [ax.plot([], [], color=c, linestyle=d)[0] for c, d in ((BLACK, "-"), (BLUE, (0, (4, 2))))]
    names = ["targets", "sources"]  # above the axes, where no arrow goes
    fig.legend(handles, names, loc="outside upper right", ncols=2, frameon=False, borderpad=0, handlelength=3)
    words = [
        f"{i} ({'target' if i in chosen else 'source'}) {'points ' if i == 0 else ''}to {degrees[i]:.0f}° "
        f"with length {number(lengths[i])}"
        for i in range(len(tips))
    ]
    said = ["Keys as arrows: " + "; ".join(words), *(text[0].upper() + text[1:] for text in told)]
    fig.alt = (f"{title.rstrip('.')}. " if title else "") + ". ".join(said) + "."
    return fig
