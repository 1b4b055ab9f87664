"""What a comparison says: its table, its figure, and its file. `compare_command` runs it.

What is compared, and on which films, is in `study.experiment`; what the numbers say, in `study.statistics`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tabulate import tabulate

from .. import __version__, films
from ..measuring import clock
from ..paths import data_path
from ..plots.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, YELLOW, Picture, styled
from ..training.checkpoints import FileError, beside
from .experiment import Comparison
from .jobs import CONTROLS, PLACES
from .statistics import ORDER, row_name, summary, verdicts

OTHER = (YELLOW, "p")  # any other reducer
LOOK = {
    "none": (BLACK, "X"), "random": (GREY, "P"), "uniform": (SKY, "v"), "boundary": (PURPLE, "<"),
    "centre": (ORANGE, "^"), "motion": (GREEN, "s"), "relative": (GREEN, ">"), "learnable": (VERMILLION, "o"),
    "auxiliary": (VERMILLION, "D"), "oracle": (BLUE, "*"),
}  # fmt: skip
HOLLOW = ("relative", "auxiliary")  # open marks, where two share a colour
PLACE_WORDS = {
    "before_attention": "merging before the first attention",
    "after_attention": "the paper's order",
    "queries": "queries merged before attention",
}


def table(report: Mapping) -> str:
    """The report as text: one block for each kind of evidence and place."""
    parts = []
    titles = {"a": "(a) retention: linear reader on merged tokens", "b": "(b) plug-in: merging at inference only",
              "c": "(c) trained with merging", "h": "(h) the networks of (c) in bfloat16"}  # fmt: skip
    for (kind, place), rows in _blocks(report["rows"]).items():
        where = f", {PLACE_WORDS[place]}" if place else ""
        head = ("strategy", "gamma", "R/|S|", "tokens", "all", *films.WAYS, "actor recall in the three ways")
        cells = []
        for row in rows:
            accuracy = [percent(row["accuracy"][way]["interval"]) for way in ("all", *films.WAYS)]
            recall = "  ".join(f"{row['recall'][way]['interval'][0]:.2f}" for way in films.WAYS)
            cells.append((row["strategy"], f"{row['gamma']:g}", f"{row['r']:g}", row["tokens"], *accuracy, recall))
        told = []
        for gamma, r in sorted({(row["gamma"], row["r"]) for row in rows if row["strategy"] not in CONTROLS}):
            same = [row for row in rows if (row["gamma"], row["r"]) == (gamma, r)]
            told += [f"  gamma {gamma:g}, R/|S| {r:g}, {text}" for text in verdicts(same)]
        parts.append("\n".join([f"{titles[kind]}{where}", aligned(head, cells), *told]))
    costs = [record for record in report["results"] if record["evidence"] == "cost"]
    if costs:
        title = "cost at inference against no merging with fused attention (time: this machine, batches of 16)"
        parts.append(f"{title}\n{_costs(costs)}")
    return "\n\n".join(parts)


def _costs(costs: Sequence[Mapping]) -> str:
    head = ("strategy", "place", "MFLOPs", "of the FLOPs", "speed", "of the memory", "tokens")
    cells = []
    for cost in costs:
        ratios = (
            f"1/{cost['flops_ratio']:.1f}",
            f"x{cost['speed_ratio']['median']:.1f}",
            f"1/{cost['memory_ratio']:.1f}",
        )
        tokens = " > ".join(map(str, cost["tokens"]))
        cells.append((cost["strategy"], cost["place"], f"{cost['flops'] / 1e6:.1f}", *ratios, tokens))
    return aligned(head, cells)


def aligned(head: Sequence[str], rows: Sequence[Sequence]) -> str:
    """A table as plain text: the first column begins on the left, all others end on the right."""
    sides = ("left", *["right"] * (len(head) - 1))
    return tabulate(rows, head, tablefmt="simple", colalign=sides, disable_numparse=True)


def percent(values: tuple[float, float, float] | None) -> str:
    """A mean and its interval in percent, such as "89.7 ± 1.6"; without an interval only the mean.

    >>> percent((0.897, 0.881, 0.913))
    '89.7 ± 1.6'
    """
    if values is None:
        return ""
    mean, low, high = values
    return f"{100 * mean:.1f}" + (f" ± {100 * (high - mean):.1f}" if high > low else "")


@styled
def figure(report: Mapping) -> Picture:
    """Every seed as a dot, means with intervals: one panel for each kind of evidence and place, way by way."""
    blocks = _blocks(report["rows"])
    fig = Picture(figsize=(8.2, 2.9 * len(blocks)), layout="constrained")
    told = []
    for ax, (key, rows) in zip(np.atleast_1d(fig.subplots(len(blocks), 1)), blocks.items(), strict=True):
        told.append(_plug(ax, key, rows, report) if key[0] == "b" else _dots(ax, key, rows))
    fig.alt = "Comparison of merging strategies by accuracy. " + " ".join(told)
    return fig


def _dots(ax, key: tuple[str, str], rows: Sequence[Mapping]) -> str:
    kind, place = key
    budget = rows[-1]["gamma"], rows[-1]["r"]  # one budget: the last
    rows = [row for row in rows if (row["gamma"], row["r"]) == budget or row["strategy"] == "none"]
    what = {"c": "(c) trained with merging", "h": "(h) the networks of (c) in bfloat16"}
    title = "(a) retention probe" if kind == "a" else f"{what[kind]}, {PLACE_WORDS[place]}"
    told = []
    for k, way in enumerate(("all", *films.WAYS)):
        for j, row in enumerate(rows):
            x = k + 0.085 * (j - (len(rows) - 1) / 2)
            colour, mark = LOOK.get(row["strategy"], OTHER)
            mean, low, high = row["accuracy"][way]["interval"]
            seeds = row["accuracy"][way]["seeds"]
            ax.scatter([x] * len(seeds), seeds, s=10, color=colour, alpha=0.5, linewidth=0)
            ax.plot([x, x], [low, high], color=colour, linewidth=1.3)
            hollow = row["strategy"] in HOLLOW
            label = row_name(row) if k == 0 else None
            ax.scatter([x], [mean], s=34, marker=mark, color="white" if hollow else colour, edgecolor=colour,
                       linewidth=1.2, zorder=3, label=label)  # fmt: skip
        means = ", ".join(f"{row_name(row)} {row['accuracy'][way]['interval'][0]:.2f}" for row in rows)
        told.append(f"{way}: {means}")
    chance = 1 / len(films.GESTURES)
    ax.axhline(chance, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    ax.annotate("chance", (3.45, chance), (0, 3), textcoords="offset points", ha="right", color="#555555", fontsize=8)
    ax.set_xticks(range(4), ["all films", *films.WAYS])
    ax.set_xlim(-0.5, 3.5)
    ax.grid(axis="x", visible=False)
    ax.set_ylabel("accuracy")
    ax.set_title(title)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return f"{title}. " + "; ".join(told) + "."


def _plug(ax, key: tuple[str, str], rows: Sequence[Mapping], report: Mapping) -> str:
    title = f"(b) merging at inference only, {PLACE_WORDS[key[1]]}"
    whole = [row for row in report["rows"] if row["evidence"] == "c" and row["strategy"] == "none"]
    told, names = [], [name for name in ORDER if any(row["strategy"] == name for row in rows)]
    gammas = sorted({row["gamma"] for row in rows})
    for j, name in enumerate(names):
        mine = {row["gamma"]: row for row in rows if row["strategy"] == name}
        at = [gammas.index(gamma) + 0.055 * (j - (len(names) - 1) / 2) for gamma in mine]
        mean, low, high = np.array([row["accuracy"]["all"]["interval"] for row in mine.values()]).T
        colour, mark = LOOK.get(name, OTHER)
        inside = "white" if name in HOLLOW else colour
        ax.errorbar(at, mean, [mean - low, high - mean], color=colour, marker=mark, markerfacecolor=inside,
                    linestyle="--" if name in HOLLOW else "-", linewidth=1.2, label=name)  # fmt: skip
        told.append(f"{name} " + ", ".join(f"{m:.2f} at gamma {g:g}" for g, m in zip(mine, mean, strict=True)))
    for row in whole:
        ax.axhline(row["accuracy"]["all"]["interval"][0], color=BLACK, linewidth=1, label="none")
        told.append(f"none {row['accuracy']['all']['interval'][0]:.2f}")
    ax.axhline(1 / len(films.GESTURES), color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    ax.set_xticks(range(len(gammas)), [f"gamma {gamma:g}" for gamma in gammas])
    ax.set_xlim(-0.6, len(gammas) - 0.4)
    ax.grid(axis="x", visible=False)
    ax.set_ylabel("accuracy")
    ax.set_title(title)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return f"{title}. " + "; ".join(told) + "."


def make_report(comparison: Comparison, command: str) -> dict:
    """Everything needed to repeat the study and to draw it again, as values that JSON can hold."""
    results = comparison.records("tune", "a", "b", "c", "h", "cost")
    return {
        "command": command,
        "study": asdict(comparison.study),
        "version": __version__,
        "machine": clock.environment(),
        "settings": {name: comparison.chosen(name) for name in comparison.study.strategies},
        "results": results,
        "rows": summary(results),
    }


def save(report: Mapping, path: Path) -> None:
    """As JSON: one line a result. Rows are made of the results again on reading; the table is there for the eye."""
    write(dict(report) | {"table": table(report).splitlines()}, path)


def write(report: Mapping, path: Path) -> None:
    """A report without its rows as JSON, one line a result."""
    head = json.dumps({name: value for name, value in report.items() if name not in ("rows", "results")}, indent=1)
    lines = ",\n".join(f"  {json.dumps(record)}" for record in report["results"])
    with beside(path) as fresh:
        fresh.write_text(f'{head[:-2]},\n "results": [\n{lines}\n ]\n}}\n')


def read(path: str | Path) -> dict:
    """A report as it was written, without its rows; a ValueError where the file is none."""
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
        results = report["results"]
    except FileNotFoundError:
        raise FileError(f"{path} is not there; give the JSON of an earlier comparison.") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror}); give the JSON of an earlier comparison.") from error
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is no report of a comparison; give the JSON that one wrote.") from None
    if not isinstance(results, list):
        raise ValueError(f"{path} is of an older form: its results are no list of records; run its command again.")
    return report


def load(path: str | Path | None = None) -> dict:
    """A stored report, by default that of the full study in data/results, with its rows; a ValueError for others."""
    path = path or data_path("results/compare.json")
    report = read(path)
    try:
        return report | {"rows": summary(report["results"])}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no report of a comparison: its results lack {error}.") from None


def _blocks(rows: Sequence[Mapping]) -> dict[tuple[str, str], list[Mapping]]:
    """Rows by evidence and place. (a) has one block; networks without merging join the first place of (c) and on."""
    blocks: dict[tuple[str, str], list[Mapping]] = {}
    whole = [row for row in rows if row["evidence"] == "c" and row["strategy"] == "none"]
    for row in rows:
        if row in whole:
            continue
        key = (row["evidence"], "" if row["evidence"] == "a" else row["place"])
        if key[0] == "c" and key not in blocks:
            blocks[key] = list(whole)
        blocks.setdefault(key, []).append(row)
    blocks.get(("a", ""), []).sort(key=lambda row: (row["gamma"], row["r"], ORDER.index(row["strategy"])))
    if whole and not any(key[0] == "c" for key in blocks):
        blocks["c", PLACES[0]] = list(whole)
    return blocks
