"""What a class's leaderboard says: places with their uncertainty, as a page, a table, CSV and a record.

A place is a range. One entry is told apart from another where the interval of their difference, set by set of films,
leaves out zero; it is so wide that all comparisons of one entry hold together in 95 of 100 boards (Bonferroni). "2-5"
says that one entry is told to be better, and that all are told to be worse but those that share the places to 5.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import operator
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from scipy.stats import norm

from ...plots.style import png
from ...study.leaderboard import Board, Plan, Row, figure
from ...study.report import aligned
from ...study.statistics import interval

HANDED_IN = "handed in"
Interval = tuple[float, float, float]
HEAD = ("place", "entry", "whose", "accuracy", "beyond random", "behind the first", "recall")
FIELDS = ("place", "to", "entry", "whose", "tokens", "accuracy", "low", "high", "beyond_random", "beyond_low",
          "beyond_high", "behind_first", "behind_low", "behind_high", "recall", "why_not_ranked")  # fmt: skip
STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
.wide { overflow-x: auto }
:focus-visible { outline: 3px solid Highlight; outline-offset: 2px }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
caption { text-align: left; padding-bottom: .5rem }
th, td { padding: .25rem 1.2rem .25rem 0; border-bottom: 1px solid GrayText; text-align: right; white-space: nowrap }
th[scope=row], .words { text-align: left }
tbody th { font-weight: normal }
tr.entry th { font-weight: bold }
.why { white-space: normal }
img { max-width: 100%; height: auto; background: white }
code { overflow-wrap: anywhere }
"""


class Unranked(NamedTuple):
    """A submission that has no place: why, and its row where it was measured at another budget."""

    name: str
    why: str
    row: Row | None = None


@dataclass(frozen=True)
class ClassBoard:
    """Everything that is shown. rows: best first, as `leaderboard.ordered` gives them, the course's among them."""

    rows: tuple[Row, ...]
    unranked: tuple[Unranked, ...]
    gamma: float
    plan: Plan

    @property
    def entries(self) -> list[Row]:
        """The rows of submissions."""
        return [row for row in self.rows if row.whose == HANDED_IN]

    @property
    def budget(self) -> int:
        """How many tokens are left of each film, in every row but that without merging."""
        return next(row.tokens for row in self.rows if row.name == "random")


def level(entries: int) -> float:
    """The level of one comparison, such that all of one entry with the others hold together at 95%."""
    return 1 - 0.05 / max(1, entries - 1)


def behind(row: Row, other: Row, entries: int) -> Interval:
    """How far a row is behind another, set by set, at the `level` of so many entries."""
    return interval(list(map(operator.sub, row.by_set, other.by_set)), level(entries))


def places(entries: Sequence[Row]) -> dict[str, tuple[int, int]]:
    """The range of places of every entry, by its name.

    Examples
    --------
    >>> from vtm_lesson.study.leaderboard import Row
    >>> from vtm_lesson.teaching.classroom.board_page import places
    >>> rows = [Row(name, "handed in", 86, 0.2, by_set) for name, by_set in (
    ...     ("ada", (0.62, 0.64, 0.63)), ("ben", (0.63, 0.62, 0.64)), ("eve", (0.31, 0.32, 0.33)))]
    >>> places(rows)
    {'ada': (1, 2), 'ben': (1, 2), 'eve': (3, 3)}
    """
    found = {}
    for row in entries:
        against = [behind(row, other, len(entries)) for other in entries if other is not row]
        better, worse = sum(high < 0 for _, _, high in against), sum(low > 0 for _, low, _ in against)
        found[row.name] = (1 + better, len(entries) - worse)
    return found


def flattery(entries: Sequence[Row]) -> float:
    """How far the first of as many equal entries would stand above their mean by luck alone, as a share.

    Notes
    -----
    The standard error of an entry's distance from the mean of all (the median of them), times the expected largest of
    so many normal numbers (Blom, 1958).
    """
    k = len(entries)
    if k < 2:
        return 0.0
    means = [statistics.fmean(values) for values in zip(*(row.by_set for row in entries), strict=True)]
    errors = []
    for row in entries:
        apart = list(map(operator.sub, row.by_set, means))
        errors.append(statistics.stdev(apart) / len(apart) ** 0.5)
    return float(statistics.median(errors) * norm.ppf((k - 0.375) / (k + 0.25)))


def verdict(board: ClassBoard) -> str:
    """Who is first, and who is not told apart from that, in a sentence or two."""
    entries = board.entries
    if not entries:
        return "No submission could be ranked."
    if len(entries) == 1:
        return f"One submission was ranked: {entries[0].name}."
    ties = [row.name for row in entries[1:] if behind(row, entries[0], len(entries))[2] >= 0]
    if not ties:
        return f"{entries[0].name} is first, ahead of every other submission."
    several = "" if len(ties) == 1 else "s"
    return f"{entries[0].name} has the best mean; {len(ties)} other{several} cannot be told apart: {', '.join(ties)}."


def lines(board: ClassBoard) -> list[tuple[str, ...]]:
    """The cells of every row, under HEAD."""
    at = places(board.entries)
    told: list[tuple[str, ...]] = []
    for row in board.rows:
        place, back = "", ""
        if row.name in at and row.whose == HANDED_IN:
            place = "-".join(map(str, dict.fromkeys(at[row.name])))
            if row is not board.entries[0]:
                back = _points(behind(row, board.entries[0], len(at)))
        beyond = "" if row.name == "random" else _points(row.beyond_random)
        recall = "" if row.name == "none" else f"{row.recall:.2f}"
        mean, low, high = (100 * value for value in row.accuracy)
        told.append((place, row.name, row.whose, f"{mean:.1f} ({low:.1f} to {high:.1f})", beyond, back, recall))
    return told


def _points(values: Interval) -> str:
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * value for value in values))


def text(board: ClassBoard) -> str:
    """The board for a terminal."""
    cells = [(name, place, *rest) for place, name, *rest in lines(board)]
    told = [aligned((HEAD[1], HEAD[0], *HEAD[2:]), cells), verdict(board)]
    return "\n".join([*told, *(f"not ranked: {one.name}: {one.why}" for one in board.unranked)])


def table(board: ClassBoard) -> str:
    """The board as CSV: a line for each row, then one for each submission that has no place."""
    out, at = io.StringIO(), places(board.entries)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(FIELDS)
    for row in board.rows:
        first, last = at[row.name] if row.whose == HANDED_IN else ("", "")
        back = behind(row, board.entries[0], len(at)) if row.whose == HANDED_IN else ("", "", "")
        numbers = [_short(v) for v in (*row.accuracy, *row.beyond_random, *back, row.recall)]
        writer.writerow([first, last, row.name, row.whose, row.tokens, *numbers, ""])
    for one in board.unranked:
        known = [_short(v) for v in one.row.accuracy] if one.row else ["", "", ""]
        tokens = one.row.tokens if one.row else ""
        writer.writerow(["", "", one.name, HANDED_IN, tokens, *known, *[""] * 7, one.why])
    return out.getvalue()


def _short(value: float | str) -> float | str:
    return round(value, 5) if isinstance(value, float) else value


def record(board: ClassBoard) -> dict[str, Any]:
    """The board as JSON holds it; the films' seed is not in it."""
    at = places(board.entries)
    rows = [
        {"place": at.get(row.name) if row.whose == HANDED_IN else None, **vars(row), "accuracy": row.accuracy}
        for row in board.rows
    ]
    unranked = [{"name": one.name, "why": one.why, "row": one.row and vars(one.row)} for one in board.unranked]
    plan = vars(board.plan)
    return {"gamma": board.gamma, "plan": plan, "entries": len(at), "rows": rows, "unranked": unranked}


def page(board: ClassBoard, command: str) -> str:
    """The board as one page that needs nothing beside it; command: what made it."""
    title = f"Leaderboard: one token in {board.gamma:g} is left"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a name in a script that the font lacks
        drawn = figure(Board(board.rows, board.gamma, False, len(board.entries), board.plan), title)
        image = base64.b64encode(png(drawn)).decode()
    alt = html.escape(drawn.alt)
    words = "\n".join(f"<li>{html.escape(line)}</li>" for line in _notes(board))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{html.escape(title)}</h1>
<p>{len(board.entries) + len(board.unranked)} submissions, {len(board.entries)} of them ranked.
{html.escape(verdict(board))}</p>
{_ranked(board)}
{_unranked(board)}
<h2>The same as a figure</h2>
<img src="data:image/png;base64,{image}" alt="{alt}">
<details><summary>The figure in words</summary><p>{alt}</p></details>
<h2>How to read it</h2>
<ul>
{words}
</ul>
<p>Made by <code>{html.escape(command)}</code></p>
</main>
</body>
</html>
"""


def _ranked(board: ClassBoard) -> str:
    head = "".join(f'<th scope="col"{_side(name)}>{name}</th>' for name in HEAD)
    body = []
    for row, (place, name, whose, *rest) in zip(board.rows, lines(board), strict=True):
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in rest)
        kind = ' class="entry"' if row.whose == HANDED_IN else ""
        start = f'<td>{place}</td><th scope="row">{html.escape(name)}</th><td class="words">{html.escape(whose)}</td>'
        body.append(f"<tr{kind}>{start}{cells}</tr>")
    caption = (
        f"{len(board.entries)} entries, the course's own strategies and the controls, best first. Accuracy in percent: "
        "mean and 95% interval. Differences are in points."
    )
    rows = "\n".join(body)
    return f"""<div class="wide" role="region" aria-label="Ranked" tabindex="0">
<table>
<caption>{html.escape(caption)}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>"""


def _side(name: str) -> str:
    return ' class="words"' if name in ("entry", "whose", "why") else ""


def _unranked(board: ClassBoard) -> str:
    if not board.unranked:
        return ""
    body = []
    for one in board.unranked:
        accuracy = f"{100 * one.row.accuracy[0]:.1f}" if one.row else ""
        why = f'<td class="words why">{html.escape(one.why)}</td>'
        body.append(f'<tr><th scope="row">{html.escape(one.name)}</th>{why}<td>{accuracy}</td></tr>')
    head = "".join(f'<th scope="col"{_side(name)}>{name}</th>' for name in ("entry", "why", "accuracy"))
    rows = "\n".join(body)
    return f"""<h2>Not ranked</h2>
<div class="wide" role="region" aria-label="Not ranked" tabindex="0">
<table>
<caption>Submissions without a place. An accuracy, in percent, is that of another budget, and no comparison.</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>"""


def _notes(board: ClassBoard) -> list[str]:
    plan, entries = board.plan, board.entries
    n = next(row.tokens for row in board.rows if row.name == "none")
    notes = [
        f"{plan.sets * plan.each} films that no lesson and no study uses, and that no submission was shown with its "
        f"answer. {board.budget} of the {n} tokens of each film are left, and a linear reader, fitted on "
        f"{plan.practice} practice films, names the gesture from their average. Chance is 12.5 percent.",
        f"Intervals are Student's t over {plan.sets} sets of {plan.each} films, and say how other films would scatter."
        " Differences are taken set by set, on the same films.",
        "Recall is the share of the actor's patches that are among the tokens that are left.",
        "The course's own strategies stand at the settings that they come with. The oracle is shown the actor, and is "
        "what could be had; none is no merging, with all tokens.",
        "Saliency is learned from labels, by the course or by the entry itself; other entries have seen no label. So "
        "these are two races in one table.",
        "A linear reader of averages on painted films: what is best here need not be best elsewhere.",
    ]
    if len(entries) > 1:
        notes[2:2] = [
            "A place is a range: 2-5 says that one entry is told to be better, and that all are told to be worse but "
            "those that share the places to 5. The interval behind the first is at "
            f"{100 * level(len(entries)):.2f} percent, so that all comparisons of an entry hold together at 95.",
            f"The best of many is flattered: were all {len(entries)} entries equal, the first would still stand about "
            f"{100 * flattery(entries):.1f} points above their mean.",
        ]
    return notes
