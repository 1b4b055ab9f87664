"""The charts: curves, costs, trades, bars, panels of bars, differences, bills and ledgers.

Every function returns a `Picture`: a matplotlib `Figure` with a text alternative in `fig.alt`, made from the data that
is drawn. `vtm_lesson.plots` adds the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, NullFormatter

from .style import BLACK, BLUE, COLOURS, GREY, MARKERS, WIDTH, Picture, ink, number, styled

PLAIN = "#c4c4c4"  # of bars that are there to compare with
MARKED: dict[str, Any] = {"facecolor": BLUE, "edgecolor": "white", "hatch": "///", "linewidth": 0}
_AT_END: dict[str, Any] = {"textcoords": "offset points", "va": "center", "annotation_clip": False}
_ABOVE: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}


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
        _level(ax, *reference, horizontal=True, at=_quiet_place(ax, reference[0]))
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
    the tokens. On such axes a power law is a straight line, and its slope is the power. A guide begins where that line
    begins which is most like it.
    """
    fig, ax = _axes(title, xlabel, ylabel)
    ends, told = _lines(ax, tokens, series, True, True, slope=True)
    n = np.asarray(tokens, float)
    top = ax.get_ylim()[1]
    for power in guides:
        # From where that line begins which is most like it: so one sees how far the line keeps to the power.
        x0, y0 = min((_ends(n, values) for values in series.values()), key=lambda ends: abs(ends[2] - power))[:2]
        y = y0 * (n / x0) ** power
        seen = (y <= top) & (n >= x0)
        ax.plot(n[seen], y[seen], color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        if n[seen][-1] == n[-1]:
            ends.append((n[-1], y[seen][-1], f"slope {power}", GREY))
        else:  # it leaves the figure at the top: its name stands inside, where a line may run
            place: dict[str, Any] = {"xytext": (-6, -4), "textcoords": "offset points", "ha": "right", "va": "top"}
            ax.annotate(
                f"slope {power}",
                (n[seen][-1], y[seen][-1]),
                color=GREY,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
                **place,
            )
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
        look: dict[str, Any] = {"va": "center", "color": "#222222", "zorder": 3}
        look["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # or the level's line strikes it out
        ax.annotate(number(mean), (right, i), (6, 0), textcoords="offset points", **look)
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
def panels(
    table: Mapping[str, Mapping[str, object]],
    xlabel: str,
    title: str = "",
    level: tuple[float, str] | None = None,
    mark: str | Mapping[str, str | Sequence[str]] | None = None,
    marked: str = "",
    form: str | None = None,
) -> Picture:
    """Bars in panels side by side, with one scale and one order of rows, so that each row can be read across.

    All bars are grey but the marked ones, which are blue, hatched, and have their value in bold.

    Parameters
    ----------
    table : dict
        Panel title -> {bar name: value or (mean, low, high)}; 2 to 5 panels with the same names in each. The rows stand
        in the order of the first panel.
    xlabel : str
        What the bars measure; written once.
    title : str, optional
        Of the whole figure.
    level : (x, name), optional
        A level to compare with, such as chance: a dashed line in each panel, named in the first.
    mark : str or dict, optional
        Which bars to mark: a name, the same in each panel, or panel title -> name or names. By default the highest
        value of each panel; `{}` marks none.
    marked : str, optional
        What the marked bars are, for the key; by default "highest" where the highest are marked, and no key otherwise.
    form : str, optional
        How values are written, as in `format(value, form)`: ".2f" or ".0%", say. By default three digits.

    Returns
    -------
    Picture
        With an alt text of all values and marks.

    Raises
    ------
    ValueError
        If there are fewer than 2 panels or more than 5, if panels differ in their names, if a mark is no panel's or
        bar's name, or if an interval does not hold its mean.

    Examples
    --------
    >>> from vtm_lesson import plots
    >>> found = {"centred": {"centre": 0.9, "motion": 0.2}, "roaming": {"centre": 0.25, "motion": 0.65}}
    >>> plots.panels(found, "accuracy", level=(0.125, "chance")).alt  # doctest: +NORMALIZE_WHITESPACE
    'Bars of accuracy in 2 panels of one scale. centred: centre 0.9 (highest), motion 0.2;
    roaming: centre 0.25, motion 0.65 (highest); chance is 0.125.'
    """
    rows, marks = _panel_rows(table), _marks(table, mark)
    marked = marked or ("highest" if mark is None else "")
    written = number if form is None else (lambda value: _without_sign_of_zero(format(value, form)))
    names = list(next(iter(rows.values())))
    with_key = bool(marked) and any(marks.values())
    height = 1.15 + 0.3 * len(names) + 0.25 * (bool(title) + with_key)
    fig = Picture(figsize=(WIDTH, height), layout="constrained")
    axes = fig.subplots(1, len(rows), sharex=True, sharey=True)
    told: list[str] = []
    notes: list[tuple[Axes, Annotation]] = []
    for ax, (panel, values) in zip(axes, rows.items(), strict=True):
        ax.grid(axis="y", visible=False)
        for i, name in enumerate(names):
            (mean, low, high), is_marked = values[name], name in marks[panel]
            ax.barh(i, mean, 0.66, **(MARKED if is_marked else {"color": PLAIN}))
            if high > low:
                halo = [Stroke(linewidth=3.4, foreground="white"), Normal()]  # seen on a marked bar, too
                ax.plot([low, high], [i, i], color=BLACK, linewidth=1.4, zorder=4, path_effects=halo)
            note = ax.annotate(
                written(mean), (max(mean, high, 0), i), (4, 0), textcoords="offset points", va="center", fontsize=8,
                color="#222222", weight="bold" if is_marked else "normal", zorder=5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},  # over the grid's lines
            )  # fmt: skip
            notes.append((ax, note))
        if level is not None:
            ax.axvline(level[0], color=BLACK, linewidth=1, linestyle=(0, (4, 3)), zorder=3)
        ax.set_title(panel, pad=18 if level else 8)
        words = [_bar_in_words(n, values[n], (marked or "marked") * (n in marks[panel]), written) for n in names]
        told.append(f"{panel}: ".replace("\n", ", ") + ", ".join(words))
    first = axes[0]
    if level is not None:
        first.annotate(level[1], (level[0], 1), (0, 3), **_ABOVE, ha="center", color=BLACK)
        told.append(f"{level[1]} is {number(level[0])}")
    first.set_yticks(range(len(names)), names)
    first.set_ylim(len(names) - 0.5, -0.5)
    first.margins(x=0.02)
    fig.supxlabel(xlabel + "\n" * with_key, fontsize=9)  # the key's row is its own, so that it meets no long xlabel
    if title:
        fig.suptitle(title, fontsize=10, x=0.01, ha="left")
    if with_key:
        fig.legend([Rectangle((0, 0), 1, 1, **MARKED)], [marked], loc="lower right", frameon=False, borderpad=0)
    _room_for_values(fig, notes, level[0] if level else None)
    fig.alt = f"{_called(title)}Bars of {xlabel} in {len(rows)} panels of one scale. " + "; ".join(told) + "."
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
    ax.annotate(
        f"all it can move:\n{number(bandwidth / 1e9)} GB/s",
        (low, peak),
        (6, 0),
        va="center",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        **name_roof,
    )
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, labelspacing=0.9)
    fig.alt = (
        f"{title.rstrip('.') + '. ' if title else ''}Roofline, both axes logarithmic. The roof rises with"
        f" {number(bandwidth / 1e9)} GB/s up to {number(ridge)} FLOPs per byte, then is flat at"
        f" {number(peak / 1e9)} GFLOP/s. " + "; ".join(told) + " of its roof."
    )
    return fig


def _panel_rows(table: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """The panels' values as (mean, low, high); every panel must have the rows of the first."""
    if not 2 <= len(_some(table, "table")) <= 5:
        raise ValueError(f"the table has {len(table)} panels; side by side there is room for 2 to 5.")
    names = set(_some(next(iter(table.values())), "the first panel"))
    for panel, values in table.items():
        if set(values) != names:
            odd = sorted(names ^ set(values))
            raise ValueError(f"panel {panel!r} and the first one differ in {odd}; every panel needs the same names.")
    return {panel: {name: _triple(name, value) for name, value in row.items()} for panel, row in table.items()}


def _marks(
    table: Mapping[str, Mapping[str, object]], mark: str | Mapping[str, str | Sequence[str]] | None
) -> dict[str, list[str]]:
    """Panel -> the names that are marked in it."""
    if mark is None:
        means = {panel: {name: _triple(name, v)[0] for name, v in row.items()} for panel, row in table.items()}
        return {panel: [name for name, v in row.items() if v == max(row.values())] for panel, row in means.items()}
    given = dict.fromkeys(table, mark) if isinstance(mark, str) else mark
    found = {panel: [names] if isinstance(names, str) else list(names) for panel, names in given.items()}
    for panel, names in found.items():
        unknown = [name for name in names if name not in table.get(panel, {})]
        if panel not in table or unknown:
            raise ValueError(f"mark has {unknown or names} in panel {panel!r}; the table has no such panel or bar.")
    return {panel: found.get(panel, []) for panel in table}


def _bar_in_words(name: str, value: tuple[float, float, float], note: str, written: Callable[[float], str]) -> str:
    mean, low, high = value
    notes = [f"{written(low)} to {written(high)}"] * (high > low) + [note] * bool(note)
    return f"{name} {written(mean)}" + (f" ({', '.join(notes)})" if notes else "")


def _room_for_values(fig: Picture, notes: Sequence[tuple[Axes, Annotation]], level: float | None) -> None:
    """Put values that the level's line would strike to its right, and widen the common scale until all are inside."""
    for _ in range(4):  # on a wider scale the written values are wider in data, too
        fig.draw_without_rendering()
        ends = []
        for ax, note in notes:
            room, inside = note.get_window_extent(), ax.transData
            if level is not None:
                at = inside.transform((level, 0))[0]
                if room.x0 - 3 < at < room.x1 + 3:
                    note.xy = (level, note.xy[1])
                    room = room.translated(at + 4 * fig.dpi / 72 - room.x0, 0)
            ends.append(inside.inverted().transform((room.x1, 0))[0])
        low, high = notes[0][0].get_xlim()
        if max(ends) <= high:
            return
        notes[0][0].set_xlim(low, max(ends) + 0.01 * (high - low))


def _without_sign_of_zero(text: str) -> str:
    """A value that is rounded to zero as "0.0", neither "-0.0" nor "+0.0"."""
    return text if any(digit in text for digit in "123456789") else text.lstrip("+-")


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


def _ends(x: np.ndarray, values) -> tuple[float, float, float]:
    """Where a line begins, and its slope from there to its end on logarithmic axes."""
    mean = _mean(values)
    first, *_, last = np.flatnonzero(np.isfinite(mean)).repeat(2)  # also where only one value is known
    step = np.log(x[last] / x[first])
    return x[first], mean[first], float(np.log(mean[last] / mean[first]) / step) if step else 0.0


def _mean(values) -> np.ndarray:
    values = np.asarray(values, float)
    return values if values.ndim == 1 else values[0]


def _name_ends(fig: Picture, ax: Axes, ends: list) -> None:
    """Write each line's name at its end, moved apart where names would cover each other."""
    notes = [ax.annotate(name, (x, y), (8, 0), **_AT_END, color=ink(colour)) for x, y, name, colour in ends]
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


def _quiet_place(ax: Axes, value: float) -> float:
    """Where above a level, as a share of the width, a name is farthest from every line."""

    def inside(points: np.ndarray) -> np.ndarray:
        shown: np.ndarray = ax.transAxes.inverted().transform(ax.transData.transform(points))
        return shown

    places, free = (0.0, 0.2, 0.4, 0.6, 0.8), []
    middle = inside(np.array([[ax.get_xlim()[0], value]]))[0, 1] + 0.05  # of the name's height
    curves_drawn = [inside(np.asarray(line.get_xydata(), float)) for line in ax.get_lines()]
    for place in places:
        across = np.linspace(place, place + 0.18, 10)
        finite = [line[np.isfinite(line).all(1)].T for line in curves_drawn]
        free.append(min(np.abs(np.interp(across, x, y) - middle).min() for x, y in finite))
    return next(place for place, found in zip(places, free, strict=True) if found >= min(0.08, max(free)))


def _level(ax: Axes, value: float, name: str, horizontal: bool, at: float = 0.0) -> None:
    """A dashed line at a level to compare with, and its name: over a horizontal one at this share of its width."""
    line = ax.axhline if horizontal else ax.axvline
    line(value, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    look: dict[str, Any] = {"textcoords": "offset points", "color": GREY}
    if horizontal:
        ax.annotate(name, (at, value), (4, 4), xycoords=("axes fraction", "data"), **look)
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
