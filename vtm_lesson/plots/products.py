"""Matrix products as boxes to scale: what is multiplied by what, and in which order.

Returns a `Picture`: a matplotlib `Figure` with a text alternative in `fig.alt`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.patches import Rectangle

from .style import BLACK, BLUE, GREY, WIDTH, Picture, styled

PALE, FILLED = "#dbe9f4", BLUE
NAMES = 1.55  # inches on the left, for the rows' names
MARGIN = 0.42  # between the lowest box of one row and the highest of the next: labels stand there
LEAST = 0.1  # inches of a side, so that a row of one number is seen

Box = tuple[str, int, int]


@styled
def products(rows: Mapping[str, Sequence[Box | str]], marked: Sequence[str] = (), title: str = "") -> Picture:
    """Rows of matrices, every one a box as high as it has rows and as wide as it has columns.

    Parameters
    ----------
    rows : dict
        Name -> boxes (name, rows, columns), and between them strings, such as a multiplication dot or an arrow.
    marked : sequence of str
        Names of boxes that are filled, wherever they stand: those that one should look at.
    title : str, optional
        Above the picture.

    Returns
    -------
    Picture
        With every box and its size in its words.

    Raises
    ------
    ValueError
        For no rows, a row without boxes, and boxes without rows or columns.

    Examples
    --------
    >>> from vtm_lesson import plots
    >>> plots.products({"values": [("x", 6, 4), "·", ("W", 4, 4), "=", ("V", 6, 4)]}).alt
    'values: x (6 x 4) · W (4 x 4) = V (6 x 4).'
    """
    boxes = {name: [part for part in row if not isinstance(part, str)] for name, row in rows.items()}
    if not rows or not all(boxes.values()) or min(min(box[1:]) for row in boxes.values() for box in row) < 1:
        raise ValueError("give rows of boxes (name, rows, columns), each with a box, and 1 or more rows and columns.")
    room = WIDTH - NAMES - 0.15
    signs = {name: [part for part in row if isinstance(part, str)] for name, row in rows.items()}
    between = {name: sum(0.22 + 0.075 * len(sign) for sign in parts) for name, parts in signs.items()}
    # One scale for all: the fullest row sets it, and no box is higher than an inch and a quarter.
    widths = {name: sum(columns for _, _, columns in row) for name, row in boxes.items()}
    scale = min((room - between[name]) / widths[name] for name in rows)
    scale = min(scale, 1.25 / max(high for row in boxes.values() for _, high, _ in row))

    def side(count: int) -> float:
        return max(LEAST, scale * count)

    heights = {name: max(side(high) for _, high, _ in row) for name, row in boxes.items()}
    top = 0.3 if title else 0.05
    whole = top + sum(heights.values()) + MARGIN * len(rows)
    fig = Picture(figsize=(WIDTH, whole))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(0, whole))
    ax.axis("off")
    if title:
        ax.text(0.1, whole - 0.06, title, va="top", fontsize=10)
    y = whole - top
    for name, row in rows.items():
        middle, x = y - heights[name] / 2, NAMES
        ax.text(0.1, middle, name, va="center", fontweight="bold", color=BLACK)
        for part in row:
            if isinstance(part, str):
                step = 0.22 + 0.075 * len(part)
                ax.text(x + step / 2, middle, part, ha="center", va="center", fontsize=11, color=BLACK)
                x += step
                continue
            label, high, wide = part
            filled = label in marked
            ax.add_patch(
                Rectangle(
                    (x, middle - side(high) / 2), side(wide), side(high), linewidth=1.1,
                    facecolor=FILLED if filled else PALE, edgecolor=BLUE,
                )
            )  # fmt: skip
            inside = side(high) > 0.24 and side(wide) > 0.085 * len(label)
            ink = "white" if filled and inside else BLACK
            below = middle - side(high) / 2 - 0.03
            ax.text(
                x + side(wide) / 2, below, f"{high:,} x {wide:,}", ha="center", va="top", fontsize=7, color="#444444"
            )
            if inside:
                ax.text(x + side(wide) / 2, middle, label, ha="center", va="center", color=ink)
            else:
                above = middle + side(high) / 2 + 0.03
                ax.text(x + side(wide) / 2, above, label, ha="center", va="bottom", color=ink)
            x += side(wide)
        y -= heights[name] + MARGIN
        if name != list(rows)[-1]:
            ax.plot([0.1, WIDTH - 0.1], [y + MARGIN * 0.33] * 2, color=GREY, linewidth=0.4)
    told = []
    for name, row in rows.items():
        words = (part if isinstance(part, str) else f"{part[0]} ({part[1]:,} x {part[2]:,})" for part in row)
        told.append(f"{name}: {' '.join(words)}")
    fig.alt = f"{title.rstrip('.') + '. ' if title else ''}{'; '.join(told)}."
    if marked:
        fig.alt += f" Filled: {', '.join(marked)}."
    return fig
