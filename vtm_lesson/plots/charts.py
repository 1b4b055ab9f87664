"""The charts: curves, costs, trades, bars, differences, bills and ledgers.

Every function returns a `Picture`: a matplotlib `Figure` with a text alternative in `fig.alt`, made from the data that
is drawn. `vtm_lesson.plots` adds the pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from .style import BLACK, BLUE, COLOURS, GREY, MARKERS, WIDTH, Picture, number, styled


@styled
def curves(
    x: Sequence[float],
    series: Mapping[str, object],
    xlabel: str,
    ylabel: str,
    title: str = "",
    logx: bool = False,
    logy: bool = False,
    reference: tuple[float, str] | None = None,
) -> Picture:
    """Lines over x, each named at its end.

    x: (K,) numbers. series: name -> (K,) values, or -> (mean, low, high), each (K,), drawn with its interval.
    reference: (y, name) of a level to compare with, such as chance.
    """
    fig, ax = _axes(title, xlabel, ylabel)
    ends, told = _lines(ax, x, series, logx, logy)
    if reference is not None:
        _level(ax, *reference, horizontal=True)
        told.append(f"{reference[1]} is {number(reference[0])}")
    _name_ends(fig, ax, ends)
    fig.alt = f"{_called(title)}Line chart of {ylabel} against {xlabel} ({_span(x)}). " + "; ".join(told) + "."
    return fig


@styled
def trade(
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]], xlabel: str, ylabel: str, title: str = ""
) -> Picture:
    """What is gained against what it costs: one line a name, each over its own x. points: name -> (x, y), (K,) each."""
    fig, ax = _axes(title, xlabel, ylabel)
    told = []
    for i, (name, (x, y)) in enumerate(_some(points, "points").items()):
        x, y = np.asarray(x, float), np.asarray(y, float)
        if x.ndim != 1 or x.shape != y.shape or len(x) == 0 or not np.isfinite([x, y]).all():
            raise ValueError(f"{name!r} has x of shape {x.shape} and y of shape {y.shape}; give finite (K,) and (K,).")
        order = np.argsort(x, kind="stable")
        look: dict[str, Any] = {
            "color": COLOURS[i % len(COLOURS)],
            "marker": MARKERS[i % len(MARKERS)],
            "markeredgecolor": "white",
        }
        ax.plot(x[order], y[order], markeredgewidth=0.6, label=name, **look)
        pairs = ", ".join(f"{number(y[k])} at {number(x[k])}" for k in order)
        told.append(f"{name}: {pairs}")
    # Lines that end at one place leave no room for names there.
    ax.legend(loc="best", frameon=False)
    fig.alt = f"{_called(title)}{ylabel} against {xlabel}. " + "; ".join(told) + "."
    return fig


@styled
def cost(
    tokens: Sequence[float],
    series: Mapping[str, object],
    ylabel: str = "seconds",
    xlabel: str = "tokens",
    title: str = "",
    guides: Sequence[int] = (1, 2),
) -> Picture:
    """How a cost grows with the number of tokens: both axes logarithmic, with grey guides for given powers.

    tokens: (K,), K >= 2, ascending. series as in `curves`. guides: slopes; 2 stands for four times the cost at twice
    the tokens. On such axes a power law is a straight line, and its slope is the power.
    """
    fig, ax = _axes(title, xlabel, ylabel)
    ends, told = _lines(ax, tokens, series, True, True, slope=True)
    n = np.asarray(tokens, float)
    start = min(np.nanmin(_mean(values)) for values in series.values()) / 2
    top = ax.get_ylim()[1]
    for power in guides:
        y = start * (n / n[0]) ** power
        seen = y <= top
        ax.plot(n[seen], y[seen], color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        ends.append((n[seen][-1], y[seen][-1], f"slope {power}", GREY))
    _name_ends(fig, ax, ends)
    fig.alt = f"{_called(title)}{ylabel} against {xlabel} ({_span(tokens)}), both axes logarithmic. " + "; ".join(told)
    fig.alt += "."
    return fig


@styled
def bars(
    table: Mapping[str, object],
    xlabel: str,
    title: str = "",
    points: Mapping[str, Sequence[float]] | None = None,
    reference: tuple[float, str] | None = None,
) -> Picture:
    """One horizontal bar a name, with its interval and, if given, every single run as a dot.

    table: name -> value, or -> (mean, low, high). points: name -> the values behind the bar (the seeds, say).
    reference: (x, name) of a level to compare with. Names of the form "group: kind" get a colour for each kind.
    """
    rows = {name: _triple(name, value) for name, value in _some(table, "table").items()}
    kinds = list(dict.fromkeys(name.rpartition(": ")[2] for name in rows))
    fig, ax = _axes(title, xlabel, "", height=0.75 + 0.34 * len(rows))
    ax.grid(axis="y", visible=False)
    told = []
    for i, (name, (mean, low, high)) in enumerate(rows.items()):
        dots = np.asarray((points or {}).get(name, ()), float)
        colour = COLOURS[kinds.index(name.rpartition(": ")[2]) % len(COLOURS)]
        ax.barh(i, mean, height=0.62, color=colour, alpha=0.75)
        ax.scatter(dots, np.full(len(dots), i), s=14, color="white", edgecolor=BLACK, linewidth=0.8, zorder=3)
        if high > low:
            ax.plot([low, high], [i, i], color=BLACK, linewidth=1.4, zorder=4)
        right = max([mean, high, *dots])
        ax.annotate(number(mean), (right, i), (6, 0), textcoords="offset points", va="center", color="#222222")
        told.append(f"{name} {number(mean)}" + (f" ({number(low)} to {number(high)})" if high > low else ""))
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.margins(x=0.1)
    if reference is not None:
        _level(ax, *reference, horizontal=False)
        ax.set_title(title, pad=20)  # above the level's name
        told.append(f"{reference[1]} is {number(reference[0])}")
    fig.alt = f"{_called(title)}Bar chart of {xlabel}: " + ", ".join(told) + "."
    return fig


@styled
def differences(
    table: Mapping[str, object], xlabel: str, title: str = "", points: Mapping[str, Sequence[float]] | None = None
) -> Picture:
    """One row a name: a difference with its interval beside a line at zero, and, if given, every single run.

    table: name -> (mean, low, high). points: name -> the values behind it. Filled where the interval leaves out zero.
    """
    rows = {name: _triple(name, value) for name, value in _some(table, "table").items()}
    fig, ax = _axes(title, xlabel, "", height=0.75 + 0.34 * len(rows))
    ax.grid(axis="y", visible=False)
    ax.axvline(0, color=BLACK, linewidth=1)
    told = []
    for i, (name, (mean, low, high)) in enumerate(rows.items()):
        dots, apart = np.asarray((points or {}).get(name, ()), float), low > 0 or high < 0
        ax.scatter(dots, np.full(len(dots), i), s=14, color=GREY, linewidth=0, zorder=2)
        ax.plot([low, high], [i, i], color=BLUE, linewidth=1.6, zorder=3)
        ax.scatter([mean], [i], s=46, color=BLUE if apart else "white", edgecolor=BLUE, linewidth=1.6, zorder=4)
        words = "not told apart from zero" if not apart else "above zero" if mean > 0 else "below zero"
        told.append(f"{name} {number(mean)} ({number(low)} to {number(high)}, {words})")
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.margins(x=0.08)
    fig.alt = f"{_called(title)}{xlabel}: " + ", ".join(told) + "."
    return fig


@styled
def bill(table: Mapping[str, Mapping[str, float]], xlabel: str, title: str = "") -> Picture:
    """What a sum is made of: one horizontal bar a name, cut into its parts.

    table: name -> {part: amount}, for example {"6 frames": {"scores": 2.1, "projections": 5.0}}; the same parts in
    every row, amounts of 0 or more.
    """
    _some(table, "table")
    parts = list(next(iter(table.values())))
    for name, row in table.items():
        if list(row) != parts or min(row.values(), default=-1) < 0:
            raise ValueError(f"row {name!r} has {dict(row)}; every row needs the parts {parts}, 0 or more each.")
    fig, ax = _axes(title, xlabel, "", height=1.0 + 0.36 * len(table))
    ax.grid(axis="y", visible=False)
    left = np.zeros(len(table))
    for j, part in enumerate(parts):
        amounts = np.array([row[part] for row in table.values()], float)
        ax.barh(
            range(len(table)),
            amounts,
            left=left,
            height=0.62,
            color=COLOURS[j],
            alpha=0.8,
            label=part,
            edgecolor="white",
            linewidth=0.6,
            hatch=("", "//", "..", "xx")[j % 4],
        )
        left += amounts
    for i, total in enumerate(left if np.ptp(left) > 1e-6 * left.max() else ()):  # equal sums (100%) say nothing
        ax.annotate(number(total), (total, i), (6, 0), textcoords="offset points", va="center")
    ax.set_yticks(range(len(table)), list(table))
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.margins(x=0.1)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=len(parts), frameon=False, borderpad=0)
    ax.set_title(title, pad=26)
    rows = [f"{name}: " + ", ".join(f"{p} {number(v)}" for p, v in row.items()) for name, row in table.items()]
    fig.alt = f"{_called(title)}Stacked bars of {xlabel}. " + "; ".join(rows) + "."
    return fig


@styled
def ledger(
    counts: Mapping[str, Sequence[int]], stages: Sequence[str] | None = None, title: str = "", log: bool = True
) -> Picture:
    """The token ledger: how many tokens are there at each stage of the network, for several settings.

    counts: name -> (K,) token counts, one a stage. stages: K names; by default "input", "after block 1", ...
    """
    rows = {name: np.asarray(values) for name, values in _some(counts, "counts").items()}
    length = len(next(iter(rows.values())))
    stages = ["input", *(f"after block {i}" for i in range(1, length))] if stages is None else list(stages)
    for name, values in rows.items():
        if values.shape != (len(stages),) or values.min() < 1:
            raise ValueError(f"{name!r} has counts {values.tolist()}; it needs {len(stages)}, one a stage, 1 or more.")
    fig, ax = _axes(title, "", "tokens")
    ends = []
    for i, (name, values) in enumerate(rows.items()):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        ax.plot(range(length), values, color=colour, marker=marker, markeredgecolor="white", markeredgewidth=0.6)
        ends.append((length - 1, values[-1], f"{name}: {values[-1]:,}", colour))
    if log:
        ax.set_yscale("log")
        _plain_ticks(ax.yaxis)
    ax.set_xticks(range(length), stages)
    ax.set_ylim(bottom=None if log else 0)
    _name_ends(fig, ax, ends)
    told = [f"{name}: " + ", ".join(f"{v:,}" for v in values) for name, values in rows.items()]
    fig.alt = f"{_called(title)}Tokens at {', '.join(stages)}. " + "; ".join(told) + "."
    return fig


@styled
def roofline(reached: Mapping[str, tuple[float, float]], peak: float, bandwidth: float, title: str = "") -> Picture:
    """The roofline: what the machine allows at each intensity, and where pieces of work stand under it.

    reached: name -> (FLOPs per byte, FLOP/s measured). peak in FLOP/s, bandwidth in bytes/s.
    """
    if not reached or len(reached) > len(COLOURS):
        raise ValueError(f"{len(reached)} pieces of work were given; the picture shows 1 to {len(COLOURS)}.")
    fig = Picture(figsize=(WIDTH, 3.7), layout="constrained")
    ax = fig.add_subplot()
    ridge = peak / bandwidth
    low = min(ridge, *(i for i, _ in reached.values())) / 3
    high = max(ridge, *(i for i, _ in reached.values())) * 3
    ax.plot([low, ridge, high], [low * bandwidth, peak, peak], color=BLACK, linewidth=2, zorder=2)
    ax.axvline(ridge, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    told = []
    for (name, (intensity, speed)), colour, marker in zip(reached.items(), COLOURS, MARKERS, strict=False):
        ax.plot(intensity, speed, marker, color=colour, markersize=9, markeredgecolor="white", label=name, zorder=3)
        share = speed / min(peak, intensity * bandwidth)
        told.append(f"{name} at {number(intensity)} FLOPs per byte reaches {number(speed / 1e9)} GFLOP/s, {share:.0%}")
    ax.set(xscale="log", yscale="log", xlim=(low, high), title=title)
    bottom = min(low * bandwidth, *(speed for _, speed in reached.values())) / 2
    ax.set_ylim(bottom, max(peak, *(speed for _, speed in reached.values())) * 3)
    ax.set(xlabel="FLOPs for every byte moved", ylabel="GFLOP/s")
    ax.xaxis.set_major_formatter(lambda value, _: number(value))
    ax.yaxis.set_major_formatter(lambda value, _: number(value / 1e9))
    name_roof: dict[str, Any] = {"textcoords": "offset points", "color": GREY}
    ax.annotate(f"all it can compute: {number(peak / 1e9)} GFLOP/s", (high, peak), (-4, 5), ha="right", **name_roof)
    ax.annotate(f"ridge: {number(ridge)}", (ridge, bottom), (4, 5), **name_roof)
    ax.annotate(f"all it can move:\n{number(bandwidth / 1e9)} GB/s", (low, peak), (6, 0), va="center", **name_roof)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, labelspacing=0.9)
    fig.alt = (
        f"{title.rstrip('.') + '. ' if title else ''}Roofline, both axes logarithmic. The roof rises with"
        f" {number(bandwidth / 1e9)} GB/s up to {number(ridge)} FLOPs per byte, then is flat at"
        f" {number(peak / 1e9)} GFLOP/s. " + "; ".join(told) + " of its roof."
    )
    return fig


def _axes(title: str, xlabel: str, ylabel: str, height: float = 3.3) -> tuple[Picture, Axes]:
    fig = Picture(figsize=(WIDTH * 0.85, height), layout="constrained")
    ax = fig.add_subplot()
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    return fig, ax


def _lines(ax: Axes, x, series, logx: bool, logy: bool, slope: bool = False) -> tuple[list, list[str]]:
    """Draw every series; returns where each ends, with its name, and what each one says in words."""
    x = np.asarray(x, float)
    if x.ndim != 1 or len(x) < 2:
        raise ValueError(f"x has shape {x.shape}; a line needs (K,) numbers, K of 2 or more.")
    ends, told = [], []
    for i, (name, values) in enumerate(_some(series, "series").items()):
        values = np.asarray(values, float)
        if values.shape not in {(len(x),), (3, len(x))}:
            raise ValueError(
                f"{name!r} has shape {values.shape}; for {len(x)} x values give ({len(x)},), "
                f"or (mean, low, high) as (3, {len(x)})."
            )
        mean, colour = _mean(values), COLOURS[i % len(COLOURS)]
        if logy and np.nanmin(values) <= 0:
            raise ValueError(f"{name!r} has values of 0 or less, which a logarithmic axis cannot show; use logy=False.")
        ax.plot(x, mean, color=colour, marker=MARKERS[i % len(MARKERS)], markeredgecolor="white", markeredgewidth=0.6)
        if values.ndim == 2:
            ax.fill_between(x, values[1], values[2], color=colour, alpha=0.18, linewidth=0)
        known = np.flatnonzero(np.isfinite(mean))
        if len(known) == 0:
            raise ValueError(f"{name!r} has no finite value to draw.")
        ends.append((x[known[-1]], mean[known[-1]], name, colour))
        text = f"{name} goes from {number(mean[known[0]])} to {number(mean[known[-1]])}"
        if slope and len(known) > 1:
            fit = np.polyfit(np.log(x[known]), np.log(mean[known]), 1)[0]
            text += f" (slope {fit:.1f})"
        told.append(text)
    if logx:
        ax.set_xscale("log")
        ax.set_xticks(x, [number(v) for v in x])
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.minorticks_off()
    if logy:
        ax.set_yscale("log")
        _plain_ticks(ax.yaxis)
    return ends, told


def _mean(values) -> np.ndarray:
    values = np.asarray(values, float)
    return values if values.ndim == 1 else values[0]


def _name_ends(fig: Picture, ax: Axes, ends: list) -> None:
    """Write each line's name at its end, moved apart where names would cover each other."""
    notes = [
        ax.annotate(name, (x, y), (8, 0), textcoords="offset points", va="center", color=colour, annotation_clip=False)
        for x, y, name, colour in ends
    ]
    fig.draw_without_rendering()  # after which the axes have their size
    points = 72 / fig.dpi
    height = [ax.transData.transform((x, y))[1] * points for x, y, *_ in ends]
    gap, order = 11.5, np.argsort(height, kind="stable")
    placed = np.array(height)[order]
    for _ in range(50):
        near = np.diff(placed) < gap - 1e-6
        if not near.any():
            break
        for i in np.flatnonzero(near):
            push = (gap - (placed[i + 1] - placed[i])) / 2
            placed[i] -= push
            placed[i + 1] += push
    for i, at in zip(order, placed, strict=True):
        notes[i].xyann = (8, at - height[i])


def _level(ax: Axes, value: float, name: str, horizontal: bool) -> None:
    """A dashed line at a level to compare with, and its name."""
    line = ax.axhline if horizontal else ax.axvline
    line(value, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    look: dict[str, Any] = {"textcoords": "offset points", "color": GREY}
    if horizontal:
        ax.annotate(name, (0, value), (4, 4), xycoords=("axes fraction", "data"), **look)
    else:
        ax.annotate(name, (value, 1), (0, 3), xycoords=("data", "axes fraction"), ha="center", **look)


def _plain_ticks(axis) -> None:
    """10,000 rather than 10 to the power of 4."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_formatter(NullFormatter())


def _triple(name: str, value: object) -> tuple[float, float, float]:
    value = np.asarray(value, float)
    if value.shape == ():
        return (float(value),) * 3
    if value.shape == (3,) and value[1] <= value[0] <= value[2]:
        mean, low, high = value.tolist()
        return mean, low, high
    raise ValueError(f"{name!r} is {value.tolist()}; a bar needs a number, or (mean, low, high) with the mean between.")


def _some(table: Mapping, name: str) -> Mapping:
    if not isinstance(table, Mapping) or not table:
        raise ValueError(f"{name} is {table!r}; give a dict with at least one entry, name -> numbers.")
    return table


def _called(title: str) -> str:
    return title.rstrip(".") + ". " if title else ""


def _span(x: Sequence[float]) -> str:
    return f"{number(np.min(x))} to {number(np.max(x))}"
