"""The look of every figure: colours, style, how numbers are written, and how a notebook shows a figure.

Nothing goes through pyplot, so no figure stays open and no setting leaks.
"""

from __future__ import annotations

import base64
import functools
import html
import io
from collections.abc import Callable
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's colours, which stay apart for colour-blind readers.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#767676"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # colour is never the only difference

WIDTH = 8.2  # inches; 902 pixels, which fit a notebook's column
STYLE: dict[Any, Any] = {  # matplotlib's stubs want each key as a literal
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "savefig.dpi": 110,
    "savefig.facecolor": "white",
}
P = ParamSpec("P")
# Photographs make large PNGs; above this many bytes a figure is stored with 256 colours.
LARGE = 100_000


CONTRAST = 4.5  # of words on white, at least (WCAG 2, level AA)


def ink(colour: Any) -> str:
    """The colour for words on white: the same hue, darkened until it can be read."""
    rgb = np.array(to_rgb(colour))
    for share in np.arange(0, 1.0, 0.02):
        if 1.05 / (_luminance(rgb) + 0.05) >= CONTRAST:
            break
        rgb = np.array(to_rgb(colour)) * (1 - share)
    return to_hex(tuple(rgb))


def ink_on(colour: Any) -> str:
    """Black or white, whichever can be read better on that ground; one of them always has a contrast above 4.5."""
    light = _luminance(np.array(to_rgb(colour)))
    return BLACK if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else "white"


def _luminance(rgb: np.ndarray) -> float:
    """Relative luminance of a colour, 0 to 1 (WCAG 2)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


class Picture(Figure):
    """A matplotlib `Figure` with its text alternative in `alt`: what every function of `vtm_lesson.plots` returns."""

    alt: str = ""


def styled(draw: Callable[P, Picture]) -> Callable[P, Picture]:
    """Draw in the course's look, whatever the reader's own matplotlib settings are."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Picture:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


def png(fig: Figure) -> bytes:
    """The figure as PNG. The same figure gives the same bytes: no date and no version are stored."""
    raw = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        fig.savefig(raw, format="png", metadata={"Software": None})
    if raw.tell() <= LARGE:
        return raw.getvalue()
    small = io.BytesIO()
    image = Image.open(raw).convert("RGB")
    # MEDIANCUT would give rare colours away: a yellow figure on a night set turned brown.
    few = image.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
    few.save(small, "PNG", optimize=True)
    return small.getvalue()


def show(fig: Figure) -> None:
    """Show a figure in a notebook, and under it `fig.alt`, folded away, for those who would rather read.

    The alt text also stands in the picture's metadata, where web pages made from notebooks take it from. JupyterLab
    (4.6) does not read it to anybody from there; hence the folded line. And it is the plain-text output, which the
    notebook tests compare: where it holds measured times, tag the cell nbval-ignore-output.
    """
    from IPython.display import display

    alt = getattr(fig, "alt", "")
    if not alt:
        raise ValueError("this figure has no alt text; set fig.alt to a sentence or two that say what is seen.")
    data = {"image/png": base64.b64encode(png(fig)).decode(), "text/plain": alt}
    display(data, metadata={"image/png": {"alt": alt}}, raw=True)
    words = f"<details><summary><small>figure in words</small></summary><small>{html.escape(alt)}</small></details>"
    display({"text/html": words, "text/plain": ""}, raw=True)


def number(value: float) -> str:
    """A number for reading: whole numbers in full, others to three digits."""
    value = float(value)
    if not np.isfinite(value):
        return str(value)
    if value == round(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    if abs(value) >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.1e}"
