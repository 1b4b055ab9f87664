"""What a class made of its exercises: one bar for each, and under it the mistakes that were made most often."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.patches import Patch

from ...plots.style import BLACK, BLUE, ORANGE, VERMILLION, WIDTH, Picture, ink, ink_on, styled

OUTCOMES = {  # what becomes of an answer -> colour and hatching
    "right": (BLUE, ""),
    "a named mistake": (VERMILLION, "///"),
    "another wrong result": (ORANGE, "..."),
    "stopped, hung or crashed": (BLACK, ""),
    "not solved": ("#dddddd", ""),
}
ROOM = 1.25  # of the bars' width, for words beside them
LETTERS = 72  # in one line of them


@styled
def class_mistakes(
    exercises: Mapping[str, Mapping[str, int]],
    mistakes: Mapping[str, Sequence[tuple[str, int]]],
    title: str = "",
    most: int = 3,
) -> Picture:
    """Draw what became of the answers of a class.

    Parameters
    ----------
    exercises : mapping of str to mapping
        Exercise -> how many students for each of OUTCOMES that occurs, in any order.
    mistakes : mapping of str to sequence of (str, int)
        Exercise -> mistakes in words, and how many students made each.
    title : str, optional
        Above the figure.
    most : int, optional
        Mistakes shown under an exercise, at most; the most frequent first.

    Returns
    -------
    Picture
        The alt text has all numbers that are drawn.

    Raises
    ------
    ValueError
        For no exercise, none that anybody has, and an outcome that is none.

    Examples
    --------
    >>> from vtm_lesson.teaching.classroom.figure import class_mistakes
    >>> answers = {"above": {"right": 2, "a named mistake": 1}}
    >>> class_mistakes(answers, {"above": [("Largest, not smallest.", 1)]}).alt
    '3 students. above: 2 right, 1 a named mistake. 1 of them: Largest, not smallest.'
    """
    unknown = sorted({outcome for counts in exercises.values() for outcome in counts} - OUTCOMES.keys())
    students = max((sum(counts.values()) for counts in exercises.values()), default=0)
    if unknown or not students:
        given = f"outcomes {', '.join(unknown)}" if unknown else "no answer of anybody"
        raise ValueError(f"{given} cannot be drawn; give counts for {', '.join(OUTCOMES)}.")
    shown = {name: sorted(mistakes.get(name, ()), key=lambda m: (-m[1], m[0]))[:most] for name in exercises}
    wrapped = {name: [(textwrap.wrap(words, LETTERS) or [""], count) for words, count in shown[name]] for name in shown}
    height = sum(1.5 + sum(0.3 + 0.62 * len(lines) for lines, _ in rows) for rows in wrapped.values())
    fig = Picture(figsize=(WIDTH, 0.22 * height + 0.95), layout="constrained")
    ax = fig.subplots()
    y = 0.0
    ticks = []
    for name, counts in exercises.items():
        left = 0
        for outcome, (colour, hatch) in OUTCOMES.items():
            count = counts.get(outcome, 0)
            if not count:
                continue
            ax.barh(y, count, 0.9, left, color=colour, hatch=hatch, edgecolor="white", linewidth=0.8)
            if count >= 0.04 * students:
                ground = {"facecolor": colour, "edgecolor": "none", "boxstyle": "square,pad=0.25"}
                ax.text(left + count / 2, y, str(count), ha="center", va="center", color=ink_on(colour), fontsize=8,
                        bbox=ground if hatch else None)  # fmt: skip
            left += count
        ticks.append((y, name))
        y += 0.95
        for lines, count in wrapped[name]:
            tall = 0.62 * len(lines)
            ax.barh(
                y + tall / 2, count, min(tall, 0.5), color=VERMILLION, hatch="///", edgecolor="white", linewidth=0.8
            )
            ax.text(
                -0.012 * students, y + tall / 2, str(count), ha="right", va="center", fontsize=8, color=ink(VERMILLION)
            )
            ax.text(
                count + 0.025 * students, y + tall / 2, "\n".join(lines), va="center", fontsize=7.5, linespacing=1.05
            )
            y += tall + 0.3
        y += 0.55
    ax.set_ylim(y - 0.4, -0.7)
    ax.set_xlim(0, students * (1 + ROOM))
    ax.set_yticks([at for at, _ in ticks], [name for _, name in ticks], fontweight="bold")
    ax.tick_params(axis="y", length=0)
    step = max(1, -(-students // 5))
    ax.set_xticks(range(0, students + 1, step))
    ax.set_xlabel("students", loc="left")
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_visible(False)
    ax.spines["bottom"].set_bounds(0, students)
    ax.set_title(title)
    used = [name for name in OUTCOMES if any(counts.get(name) for counts in exercises.values())]
    keys = [Patch(facecolor=OUTCOMES[name][0], hatch=OUTCOMES[name][1], edgecolor="white") for name in used]
    fig.legend(keys, used, loc="outside upper left", ncols=len(used), frameon=False, fontsize=8, handlelength=1.4,
               columnspacing=1.2)  # fmt: skip
    fig.alt = f"{students} student{'s' if students > 1 else ''}. " + " ".join(
        f"{name}: {', '.join(f'{counts[o]} {o}' for o in OUTCOMES if counts.get(o))}."
        + "".join(f" {count} of them: {words}" for words, count in shown[name])
        for name, counts in exercises.items()
    )
    return fig
