"""Boxes and arrows: what goes into what.

Returns a `Picture`: a matplotlib `Figure` with a text alternative in `fig.alt`.
"""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.patches import FancyBboxPatch

from .style import BLACK, BLUE, GREY, WIDTH, Picture, styled

PALE = "#eef4f9"
GAP = 0.34  # inches between two boxes: an arrow
LINE = 0.165  # inches from one line of text to the next


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
