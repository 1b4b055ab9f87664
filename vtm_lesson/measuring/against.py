"""New ratios beside stored ones, and what got worse beyond the spread: `python -m vtm_lesson bench --against PATH`.

Absolute times belong to a machine and a day, so only ratios are compared: of two versions that took turns in one run.
The rule. A ratio has its quartiles over the rounds. It is *worse* when the whole new interval lies on the worse side of
the whole stored one: above it where lower is better (`ours_over_...`, `merged_over_...`), below it where higher is
better (`speedup_over_...`, `over_one_worker`). It is *better* the other way round, and all else is within the spread. A
ratio of memory (`memory_of_...`, lower is better) is one number, which repeats well: worse from 5% more.

Rows are the same where all that names them is the same (name, model, tokens, gamma, ...); rows of one side only are
listed. Results of other sizes, or of another dtype, share no rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .clock import words

# What a ratio's name begins with: whether more of it is better.
HIGHER_IS_BETTER = {
    "speedup_over_": True,
    "over_one_worker": True,
    "ours_over_": False,
    "merged_over_": False,
    "memory_of_": False,
}
MEMORY = 0.05  # by what share a ratio of memory may differ
# What names a row, in the order in which it is written; numbers that were measured are not among them.
NAMES = (
    "name", "host", "model", "reducer", "film", "encoder", "reader", "workers", "films", "batch", "r", "tokens",
    "channels", "gamma",
)  # fmt: skip
SETTINGS = ("dtype", "pass", "size")  # of a whole result
MACHINE = ("processor", "cores", "threads", "device", "torch")

Key = tuple[str, str]  # a row, and the name of a ratio


@dataclass
class Comparison:
    """What came of one comparison: lines for the terminal, by what they say."""

    worse: list[str] = field(default_factory=list)
    better: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # rows that only one of both results has
    notes: list[str] = field(default_factory=list)
    same: int = 0  # ratios within the spread


def compare(new: Mapping[str, Any], stored: Mapping[str, Any]) -> Comparison:
    """Compare the ratios of two results of the same part of the benchmark.

    Parameters
    ----------
    new, stored : mapping
        Results as in `data/results/bench_*.json`.

    Returns
    -------
    Comparison
        With `worse`, `better` and `missing`, a line each, and what to bear in mind in `notes`.

    Examples
    --------
    >>> from vtm_lesson.measuring.against import compare
    >>> def row(low, median, high):
    ...     return {"rows": [{"name": "a", "ours_over_stored": {"low": low, "median": median, "high": high}}]}
    >>> compare(row(0.6, 0.65, 0.7), row(0.4, 0.45, 0.5)).worse
    ['a: ours_over_stored 0.65 (0.60-0.70), stored 0.45 (0.40-0.50)']
    >>> compare(row(0.48, 0.5, 0.7), row(0.4, 0.45, 0.5)).worse
    []
    """
    found = Comparison()
    new, stored = (json.loads(json.dumps(record)) for record in (new, stored))  # tuples as in files
    here, there = new.get("machine", {}), stored.get("machine", {})
    other = [name for name in MACHINE if here.get(name) != there.get(name)]
    if other:
        differ = ", ".join(f"{name} {there.get(name)} there, {here.get(name)} here" for name in other)
        found.notes.append(
            f"Another machine: {differ}. Ratios depend on the machine too, most of all those beside stored scores: what"
            " is worse here need not be the code's doing."
        )
    settings = [name for name in SETTINGS if new.get(name) != stored.get(name)]
    if settings:
        differ = ", ".join(f"{name} {stored.get(name)} there, {new.get(name)} here" for name in settings)
        found.notes.append(f"Measured otherwise: {differ}. Nothing can be compared.")
        return found
    mine, theirs = dict(_ratios(new)), dict(_ratios(stored))
    if not mine and not theirs:
        found.notes.append("This part has no ratios: nothing is compared.")
    for which, own, others in (("stored only", theirs, mine), ("new", mine, theirs)):
        rows = {row for row, _ in others}
        found.missing += [f"{row} ({which})" for row in dict.fromkeys(row for row, _ in own) if row not in rows]
    for key in mine.keys() & theirs.keys():
        _judge(key, mine[key], theirs[key], found)
    found.worse.sort()
    found.better.sort()
    return found


def compare_files(new: str | Path, stored: str | Path) -> tuple[str, bool]:
    """The report on two files, or on all files `bench_*.json` and `cuda_*.json` that two folders share.

    Gives the text, and whether something is worse. ValueError where there is nothing to compare.
    """
    new, stored = Path(new), Path(stored)
    if new.is_dir():
        files = [path for kind in ("bench", "cuda") for path in sorted(new.glob(f"{kind}_*.json"))]
        if stored.is_dir():
            files = [path for path in files if (stored / path.name).exists()]
        else:
            files = [path for path in files if path.name == stored.name]
    else:
        files = [new]
    if not files:
        raise ValueError(f"{new} and {stored} have no file bench_*.json of the same name; give two that do, or files.")
    texts, worse = [], False
    for path in files:
        found = compare(load(path), load(stored_file(stored, path.name)))
        texts.append(report(found, path.name))
        worse = worse or bool(found.worse)
    return "\n".join(texts), worse


def stored_file(stored: Path, name: str) -> Path:
    """The file to compare `name` with: PATH itself, or the file of that name in the folder PATH; ValueError."""
    path = stored / name if stored.is_dir() else stored
    if not path.is_file():
        raise ValueError(f"{path} is not there; give a folder that has {name}, or a file of an earlier run.")
    return path


def load(path: str | Path) -> dict[str, Any]:
    """A stored result; ValueError for a file that is none."""
    try:
        record = json.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} cannot be read as a result of the benchmark: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path} holds no result of the benchmark; give a bench_*.json.")
    return record


def report(found: Comparison, name: str) -> str:
    """A comparison as text."""
    lines = [f"{name}: {len(found.worse)} worse, {len(found.better)} better, {found.same} within the spread"]
    lines += found.notes
    for title, rows in (("worse", found.worse), ("better", found.better), ("not in both", found.missing)):
        lines += [f"  {title}: {row}" for row in rows]
    return "\n".join(lines)


def _judge(key: Key, new: dict[str, float], stored: dict[str, float], found: Comparison) -> None:
    row, name = key
    if name.startswith("memory_of_"):
        now, then = ({"low": v["median"], "high": v["median"]} for v in (new, stored))
        then = {"low": then["low"] * (1 - MEMORY), "high": then["high"] * (1 + MEMORY)}
    else:
        now, then = new, stored
    line = f"{row}: {name} {words(new)}, stored {words(stored)}"
    more, less = now["low"] > then["high"], now["high"] < then["low"]
    if not more and not less:
        found.same += 1
    elif more == _higher_is_better(name):
        found.better.append(line)
    else:
        found.worse.append(line)


def _higher_is_better(name: str) -> bool | None:
    """None for what is no ratio that can be judged."""
    return next((up for start, up in HIGHER_IS_BETTER.items() if name.startswith(start)), None)


def _ratios(value: Any, within: str = "") -> Iterator[tuple[Key, dict[str, float]]]:
    """Every ratio of a result, with the row that it stands in."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name.startswith("memory_of_"):
                yield (within, name), {"low": part, "median": part, "high": part}
            elif _higher_is_better(name) is not None and isinstance(part, dict):  # a mean of ratios has no spread
                yield (within, name), part
            elif name != "machine":
                yield from _ratios(part, within)
    elif isinstance(value, list):
        for part in value:
            yield from _ratios(part, _named(part) or within)


def _named(row: Any) -> str:
    if not isinstance(row, Mapping):
        return ""
    parts = [(name, row[name]) for name in NAMES if isinstance(row.get(name), (str, int, float))]
    return ", ".join(str(value) if isinstance(value, str) else f"{name} {value:g}" for name, value in parts)
