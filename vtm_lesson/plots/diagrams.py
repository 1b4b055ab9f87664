"""Boxes and arrows: what goes into what, the map of the course, and the pieces that other drawings are made of.

Each drawing returns a `Picture`: a matplotlib `Figure` with a text alternative in `fig.alt`. A drawing is a light card,
on a dark page too: it is stored once, as a picture, and both kinds of readers get the same one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from .style import BLACK, BLUE, GREY, WIDTH, Picture, styled

PALE, SAND = "#eef4f9", "#fdf1dc"  # light enough for black letters
FAINT = "#5c5c5c"  # the lightest grey that letters have
GAP = 0.34  # inches between two boxes: an arrow
LINE = 0.165  # inches from one line of text to the next
TITLE = 0.28  # inches that a title takes
Point = tuple[float, float]

# ----------------------------------------------------------------------------------------------------------- the pieces


def canvas(height: float, title: str = "") -> tuple[Picture, Axes]:
    """An empty drawing `height` inches high, below a title: x from 0 to WIDTH and y from 0 up are inches."""
    whole = height + (TITLE if title else 0)
    fig = Picture(figsize=(WIDTH, whole))
    ax = fig.add_axes((0, 0, 1, height / whole))
    ax.set(xlim=(0, WIDTH), ylim=(0, height))
    ax.axis("off")
    if title:
        fig.text(0.012, 1 - 0.06 / whole, title, va="top", fontsize=10)
    return fig, ax


def box(
    ax: Axes,
    middle: Point,
    size: tuple[float, float],
    text: str,
    fill: str = PALE,
    edge: str = BLUE,
    dashed: bool = False,
    bold: bool = False,
    fontsize: float = 8.5,
) -> None:
    """A box with rounded corners, `size` inches wide and high, and text in its middle; white text on a blue fill."""
    (x, y), (width, height) = middle, size
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2 + 0.05, y - height / 2 + 0.05),
            width - 0.1,
            height - 0.1,
            boxstyle="round,pad=0.05",
            facecolor=fill,
            edgecolor=edge,
            linewidth=1.2,
            linestyle=(0, (3, 2)) if dashed else "-",
            zorder=2,
        )
    )
    ink = "white" if fill == BLUE else FAINT if dashed else BLACK
    weight = "bold" if bold else "normal"
    ax.text(
        x, y, text, ha="center", va="center", fontsize=fontsize, color=ink, weight=weight, linespacing=1.15, zorder=3
    )


def arrow(
    ax: Axes, *corners: Point, colour: str = BLACK, width: float = 1.4, dashed: bool = False, head: bool = True
) -> None:
    """A line through the corners, with a head at the last one."""
    style: dict[str, Any] = {
        "color": colour,
        "linewidth": width,
        "linestyle": (0, (3, 2)) if dashed else "-",
        "zorder": 1.5,
    }
    if len(corners) > 2 or not head:
        ends = corners[:-1] if head else corners
        ax.plot(*zip(*ends, strict=True), solid_capstyle="round", solid_joinstyle="round", **style)
    if head:
        ax.annotate(
            "",
            corners[-1],
            corners[-2],
            arrowprops={"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, **style},
            zorder=1.5,
        )


def plus(ax: Axes, middle: Point) -> None:
    """A circle with a plus: what comes in is added."""
    ax.scatter(*middle, s=190, facecolor="white", edgecolor=BLACK, linewidth=1.2, zorder=2)
    ax.text(*middle, "+", ha="center", va="center_baseline", fontsize=12, zorder=3)


def note(ax: Axes, place: Point, text: str, colour: str = FAINT, ha: str = "center", fontsize: float = 8) -> None:
    """Words beside what they are about, with a white ground, so that no line strikes them through."""
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    ax.text(*place, text, ha=ha, va="center", fontsize=fontsize, color=colour, linespacing=1.2, zorder=2.5, bbox=ground)


# --------------------------------------------------------------------------------------------------------- the drawings


@styled
def flow(boxes: Mapping[str, str], here: str = "", title: str = "") -> Picture:
    """Boxes from left to right, with an arrow from each to the next.

    Parameters
    ----------
    boxes : dict
        Heading -> the lines below it, with newlines between them; 2 to 7 boxes.
    here : str, optional
        The heading of the box that is filled.
    title : str, optional
        Above the picture.

    Returns
    -------
    Picture
        With headings and lines in its words.

    Raises
    ------
    ValueError
        For fewer or more boxes, and where `here` is none of them.

    Examples
    --------
    >>> from vtm_lesson import plots
    >>> plots.flow({"film": "frames", "tokens": "a vector a patch"}, here="tokens").alt
    'film (frames), then tokens (a vector a patch). tokens is marked.'
    """
    if not 2 <= len(boxes) <= 7 or (here and here not in boxes):
        raise ValueError(f"{len(boxes)} boxes, {here!r} marked; give 2 to 7 boxes, and mark one of {', '.join(boxes)}.")
    lines = {heading: text.splitlines() for heading, text in boxes.items()}
    most = max(len(found) for found in lines.values())
    height = 0.42 + LINE * most
    # As wide as its longest line asks for; what is left over is shared.
    wanted = [max(len(line) for line in [f"  {heading}", *found]) + 2 for heading, found in lines.items()]
    room = WIDTH - 0.1 - GAP * (len(boxes) - 1)
    fig = Picture(figsize=(WIDTH, height + 0.12 + (0.28 if title else 0)))
    ax = fig.add_axes((0, 0, 1, 1 if not title else 1 - 0.28 / (height + 0.4)))
    ax.set(xlim=(0, WIDTH), ylim=(0, height + 0.12))
    ax.axis("off")
    x = 0.05
    for number, ((heading, found), letters) in enumerate(zip(lines.items(), wanted, strict=True)):
        width = room * letters / sum(wanted)
        marked = heading == here
        ax.add_patch(
            FancyBboxPatch(
                (x + 0.06, 0.12),
                width - 0.12,
                height - 0.12,
                boxstyle="round,pad=0.06",
                facecolor=BLUE if marked else PALE,
                edgecolor=BLUE,
                linewidth=1.2,
            )
        )
        ink = "white" if marked else BLACK
        middle = x + width / 2
        ax.text(middle, height - 0.1, heading, ha="center", va="center", fontweight="bold", color=ink)
        for k, line in enumerate(found):
            ax.text(middle, height - 0.36 - LINE * k, line, ha="center", va="center", fontsize=8, color=ink)
        if number:
            arrow = {"arrowstyle": "-|>", "color": GREY, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
            y = 0.06 + height / 2
            ax.annotate("", (x - 0.03, y), (x - GAP + 0.03, y), arrowprops=arrow)
        x += width + GAP
    if title:
        fig.text(0.012, 0.98, title, va="top", fontsize=10)
    told = ", then ".join(f"{heading} ({', '.join(found)})" if found else heading for heading, found in lines.items())
    fig.alt = f"{title.rstrip('.') + '. ' if title else ''}{told}." + (f" {here} is marked." if here else "")
    return fig


STATION = 0.57  # inches that a lesson takes on the map, at most


@styled
def course_map(
    parts: Mapping[str, Mapping[str, str]],
    appendices: Mapping[str, tuple[str, str]],
    here: str | None = None,
    to_come: Collection[str] = (),
) -> Picture:
    """The way through a course: a box a lesson, in parts; the lesson that one is in is filled.

    Parameters
    ----------
    parts : dict
        The question of a part -> its lessons: number -> short name, of one or two lines. 14 lessons at most.
    appendices : dict
        Letter -> the number of the lesson that it stands below, and its short name.
    here : str, optional
        The number or letter that is filled.
    to_come : collection of str, optional
        Lessons that do not exist yet: pale and dashed.

    Returns
    -------
    Picture
        With the parts, their lessons, and where one is, in words.

    Raises
    ------
    ValueError
        For more lessons, a `here` that is none of them or still to come, and an appendix below none of them.

    Examples
    --------
    >>> from vtm_lesson import plots
    >>> parts = {"why": {"00": "start"}, "how": {"01": "match", "02": "merge"}}
    >>> plots.course_map(parts, {"A": ("01", "more")}, here="01", to_come=["02"]).alt
    'Map of the course. why: 00 start. how: 01 match, 02 merge (to come). Appendices: A more. You are at 01, match.'
    """
    lessons = {number: name for group in parts.values() for number, name in group.items()}
    every = lessons | {letter: name for letter, (_, name) in appendices.items()}
    if not 1 <= len(lessons) <= 14 or here not in {None, *every} or here in to_come:
        known = ", ".join(number for number in every if number not in to_come)
        raise ValueError(
            f"{len(lessons)} lessons, here={here!r}; a map has 1 to 14 lessons, and here is one of {known}."
        )
    lost = [letter for letter, (below, _) in appendices.items() if below not in lessons]
    if lost:
        raise ValueError(
            f"appendix {lost[0]} stands below {appendices[lost[0]][0]!r}; name one of {', '.join(lessons)}."
        )
    fig, ax = canvas(1.44 if appendices else 1.26)
    top, gap = ax.get_ylim()[1], 0.14
    step = min(STATION, (WIDTH - 0.1 - gap * (len(parts) - 1)) / len(lessons))
    places: dict[str, float] = {}
    x, y = 0.05, top - 0.69
    for number, (question, group) in enumerate(parts.items()):
        if number:
            arrow(ax, (x - 0.01, y), (x + gap - 0.01, y), colour=GREY)
            x += gap
        end = x + step * len(group)
        ax.plot((x + 0.05, end - 0.05), (top - 0.34, top - 0.34), color=BLUE, linewidth=2, solid_capstyle="round")
        ax.text((x + end) / 2, top - 0.29, question, ha="center", va="bottom", fontsize=8, linespacing=1.05)
        for lesson in group:
            places[lesson] = x = x + step
        x = end
    for lesson, right in places.items():
        name = f"{lesson}\n{lessons[lesson]}"
        _station(ax, (right - step / 2, y), (step - 0.06, 0.58), name, lesson == here, lesson in to_come)
    for letter, (below, name) in appendices.items():
        middle = places[below] - step / 2
        ax.plot((middle, middle), (y - 0.3, y - 0.44), color=GREY, linewidth=1.2, zorder=1)
        _station(ax, (middle, y - 0.57), (1.18 * step, 0.3), f"{letter} {name}", letter == here, letter in to_come)
    if here is not None:
        box(ax, (0.17, 0.12), (0.2, 0.16), "", fill=BLUE)
        ax.text(0.32, 0.12, "you are here", fontsize=7, va="center", color=FAINT)
    if to_come:
        box(ax, (WIDTH - 0.88, 0.12), (0.2, 0.16), "", "white", GREY, dashed=True)
        ax.text(WIDTH - 0.73, 0.12, "still to come", fontsize=7, va="center", color=FAINT)
    told = [
        f"{_one_line(question)}{'' if question.endswith('?') else ':'} "
        + ", ".join(f"{n} {_one_line(name)}{' (to come)' if n in to_come else ''}" for n, name in group.items())
        for question, group in parts.items()
    ]
    if appendices:
        told.append(
            "Appendices: " + ", ".join(f"{letter} {_one_line(name)}" for letter, (_, name) in appendices.items())
        )
    if here is not None:
        told.append(f"You are at {here}, {_one_line(every[here])}")
    fig.alt = f"Map of the course. {'. '.join(told)}."
    return fig


def _station(ax: Axes, middle: Point, size: tuple[float, float], text: str, here: bool, to_come: bool) -> None:
    fill, edge = (BLUE, BLUE) if here else ("white", GREY) if to_come else (PALE, BLUE)
    box(ax, middle, size, text, fill, edge, dashed=to_come, bold=here, fontsize=7)


def _one_line(name: str) -> str:
    return name.replace("-\n", "").replace("\n", " ")
