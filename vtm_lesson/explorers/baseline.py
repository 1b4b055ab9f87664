"""The baseline explorer: how many times as fast a measured network is depends on what it is divided by."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import plots
from ..paths import data_path
from ..plots.style import Picture
from .page import Explorer

PAPER = 6.89  # VTM: throughput beside "the baseline", which it does not describe further
BASELINES = {"stored": "no merging, stored scores", "fused": "no merging"}  # word -> name of its row
WAYS = {  # how merging stands in the network: word -> how the names of its rows end
    "fused attention, the paper's order": "",
    "stored scores": ", stored scores",
    "merged scores": ", merged scores",
    "merging first": ", merging first",
    "merged queries": ", merged queries",
    "merged queries, bfloat16": ", merged queries, bfloat16",
    "fused attention, by chunks": ", by chunks",
    "merged scores, by chunks": ", merged scores, by chunks",
    "merging first, by chunks": ", merging first, by chunks",
    "merged queries, by chunks": ", merged queries, by chunks",
}
NAME = re.compile(r"(?P<merger>naive|learnable), (?P<budget>gamma \d+, R = [\d.]*\|S\|)(?P<way>.*)")


def divide_by(baseline: str = "stored", run: str | None = None) -> Explorer:
    """Choose a measured network and its baseline: the speed-up that is left, its interval, and the FLOPs beside it.

    Parameters
    ----------
    baseline : {"stored", "fused"}, optional
        The baseline that it begins with: no merging with stored scores or with fused attention.
    run : str, optional
        The stored run that it begins with, as in the list that the page shows; default: the newest forward run.

    Returns
    -------
    Explorer
        Everything in it was measured and is read from data/results; what was not measured cannot be chosen.

    Raises
    ------
    ValueError
        For a baseline or a run that is not stored.

    Examples
    --------
    >>> from vtm_lesson.explorers import baseline
    >>> shown = baseline.divide_by("fused")
    >>> shown.data["paper"], [run["name"] for run in shown.data["runs"]]
    (6.89, ['machine A, run 1', 'machine B, run 1', 'machine B, run 2', 'machine C', 'training'])
    """
    runs = stored_runs()
    names = [one["name"] for one in runs]
    if baseline not in BASELINES:
        raise ValueError(f"baseline is {baseline!r}; measured ones are {' and '.join(map(repr, BASELINES))}.")
    run = run or [one["name"] for one in runs if one["pass"] == "forward"][-1]
    if run not in names:
        raise ValueError(f"run is {run!r}; stored ones are {', '.join(names)}.")
    started = runs[names.index(run)]
    data = {"paper": PAPER, "baseline": baseline, "run": run, "ways": list(WAYS), "runs": runs}
    words = (
        "Choose the network, the machine and the baseline. Which choice changes the ratio most? The dashed line is the"
        " paper's number, which names no baseline: a line to compare with, not a promise."
    )
    return Explorer("baseline", "Divided by what?", words, data, _still(started))


def stored_runs() -> list[dict[str, Any]]:
    """Read the measured networks of data/results: for each run its machine, its baselines, and a row a network.

    Returns
    -------
    list of dict
        Ratios are (median, low, high), the middle half of the rounds, as the benchmark stored them.

    Examples
    --------
    >>> from vtm_lesson.explorers import baseline
    >>> runs = baseline.stored_runs()
    >>> row = next(row for row in runs[0]["rows"] if row["way"] == "merging first")
    >>> row["merger"], row["budget"], row["tokens"]
    ('learnable', 'gamma 6, R = |S|', [15360, 2560, 428, 72])
    """
    folder = data_path("results")
    machines = sorted(folder.glob("bench_network_machine_*.json"))
    return [_run(path) for path in (*machines, folder / "bench_network.json", folder / "bench_training.json")]


def _run(path: Path) -> dict[str, Any]:
    """One stored file as the page needs it."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    found = re.fullmatch(r"bench_network_machine_(\w)_run_(\d)", path.stem)
    name = (
        f"machine {found[1]}, run {found[2]}" if found else "machine C" if path.stem == "bench_network" else "training"
    )
    by_name = {row["name"]: row for row in stored["rows"]}
    endings = {ending: way for way, ending in WAYS.items()}
    rows = []
    for row in stored["rows"]:
        parts = NAME.fullmatch(row["name"])
        if parts and parts["way"] in endings:
            rows.append({
                "merger": parts["merger"], "budget": parts["budget"], "way": endings[parts["way"]], **_measured(row),
                **{word: _triple(row[f"speedup_over_{word}"]) for word in BASELINES},
            })  # fmt: skip
    machine, size = stored["machine"], stored["size"]
    grid = " x ".join(map(str, size["grid"]))
    return {
        "name": name, "pass": stored["pass"], "dtype": stored["dtype"],
        "machine": f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}, {machine['date']}",
        "size": f"one film of {size['frames']} frames, {grid} tokens, {size['dim']} channels",
        "baselines": {word: _measured(by_name[row]) for word, row in BASELINES.items()}, "rows": rows,
    }  # fmt: skip


def _measured(row: dict[str, Any]) -> dict[str, Any]:
    seconds = row["seconds"]
    return {
        "flops": row["flops"], "tokens": row["tokens"], "bytes": row.get("peak_bytes"), "seconds": _triple(seconds),
    }  # fmt: skip


def _triple(spread: dict[str, float]) -> Sequence[float]:
    return [spread[key] for key in ("median", "low", "high")]


def _still(run: dict[str, Any]) -> Picture:
    """The ways to build one network, beside both baselines."""
    of = {"merger": "learnable", "budget": "gamma 6, R = |S|"}
    rows = [row for row in run["rows"] if all(row[key] == value for key, value in of.items())]
    table: dict[str, dict[str, object]] = {
        f"beside {'stored scores' if word == 'stored' else 'fused attention'}": {
            row["way"]: tuple(row[word]) for row in rows
        }
        for word in BASELINES
    }
    fig = plots.panels(
        table,
        "times as fast (median and middle half of the rounds)",
        f"Learnable, gamma 6, R = |S|, {run['name']}, {run['pass']}",
        level=(PAPER, "the paper's number"),
        mark={},
    )
    fewer = run["baselines"]["fused"]["flops"] / rows[0]["flops"]
    fig.alt += f" {rows[0]['way']}: {fewer:.2f} times fewer FLOPs."
    return fig
