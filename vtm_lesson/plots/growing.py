"""How time and memory grow with the number of tokens: lines on logarithmic axes, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from .style import COLOURS, MARKERS, WIDTH, Picture, number, styled

MIB = 2**20
PANELS = {"seconds": "seconds of one call", "bytes": "MiB on top of what goes in"}


@styled
def growth(result: Mapping[str, Any], title: str = "") -> Picture:
    """Seconds, and memory, of one call on N tokens: a line for each operation, with its fitted exponent.

    Parameters
    ----------
    result : dict
        As from `measuring.scaling.scale`, or data/results/bench_scale.json: `points`, a list for each operation of
        {"tokens", "seconds": {"median", "low", "high"}, "bytes"}; and `exponents`.
    title : str, optional
        Of the figure.

    Returns
    -------
    Picture
        Both axes are logarithmic, so that a * N^p is a straight line of slope p. Legend and alt text give p with its
        standard error.

    Raises
    ------
    ValueError
        If there is nothing to draw.

    Examples
    --------
    >>> from vtm_lesson import plots
    >>> second = {"median": 1.0, "low": 0.9, "high": 1.1}
    >>> points = [{"tokens": n, "seconds": second, "bytes": 2**20} for n in (1024, 2048)]
    >>> plots.growth({"points": {"merging": points}, "exponents": {}}).alt
    'merging from 1,024 to 2,048 tokens: 1 to 1 s, 1 to 1 MiB.'
    """
    points = {name: sorted(done, key=lambda d: d["tokens"]) for name, done in result["points"].items() if done}
    if not points:
        raise ValueError("there are no points to draw; give a result of measuring.scaling.scale.")
    fig = Picture(figsize=(WIDTH, 3.9), layout="constrained")
    axes = fig.subplots(1, 2)
    for ax, (of, label) in zip(axes, PANELS.items(), strict=True):
        for i, (name, done) in enumerate(points.items()):
            fit = result["exponents"].get(name, {}).get(of)
            x = [d["tokens"] for d in done]
            y = [_value(d, of) or math.nan for d in done]  # a gap where nothing was seen
            ax.plot(x, y, marker=MARKERS[i], color=COLOURS[i], label=f"{name}: {_slope(fit, True)}" if fit else name)
            if of == "seconds":
                ax.fill_between(
                    x, [d[of]["low"] for d in done], [d[of]["high"] for d in done], color=COLOURS[i], alpha=0.2, lw=0
                )
        _logarithmic(ax)
        ax.set_xlabel("tokens")
        ax.set_title(label)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False, fontsize=8)
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=10)
    fig.alt = (
        f"{title.rstrip('.')}. " * bool(title) + "; ".join(_in_words(n, d, result) for n, d in points.items()) + "."
    )
    return fig


def _value(point: Mapping[str, Any], of: str) -> float:
    """Seconds, or MiB."""
    return float(point["seconds"]["median"] if of == "seconds" else point["bytes"] / MIB)


def _slope(fit: Mapping[str, float], raised: bool = False) -> str:
    p, error = f"{fit['exponent']:.2f}", f"{fit['standard_error']:.2f}"
    return f"$N^{{{p}}}$ ± {error}" if raised else f"N^{p} ± {error}"


def _in_words(name: str, done: list, result: Mapping[str, Any]) -> str:
    first, last = done[0], done[-1]
    parts = []
    for of, unit in (("seconds", "s"), ("bytes", "MiB")):
        fit = result["exponents"].get(name, {}).get(of)
        span = f"{number(_value(first, of))} to {number(_value(last, of))} {unit}"
        parts.append(f"{span}, as {_slope(fit)}" if fit else span)
    return f"{name} from {first['tokens']:,} to {last['tokens']:,} tokens: {', '.join(parts)}"


def _logarithmic(ax: Axes) -> None:
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n / MIB:g}M" if n >= MIB else f"{n / 1024:g}k"))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: number(v)))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_minor_locator(NullLocator())
