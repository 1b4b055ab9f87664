"""Means with their intervals over seeds, and who is ahead: what the rows of a study say.

Every number is a mean over seeds with its 95% interval (Student's t). Two strategies are said to differ where the
interval of their difference, seed by seed, leaves out zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.stats import t as student

from .. import films
from ..merging.registry import REDUCERS, reducer
from ..merging.strategies import is_ragged
from .jobs import CONTROLS

ORDER = (
    *("none", "random", *REDUCERS),
    *("uniform", "boundary", "centre", "motion", "relative", "learnable", "auxiliary", "oracle"),
)


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean and its interval by Student's t; a single value has no interval, only itself."""
    x = np.asarray(values, float)
    if x.size == 0 or not np.isfinite(x).all():
        raise ValueError(f"an interval needs one finite number or more, not {values!r}.")
    mean = float(x.mean())
    if len(x) == 1:
        return mean, mean, mean
    half = float(student.ppf((1 + level) / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    return mean, mean - half, mean + half


def together(records: Iterable[Mapping], *names: str) -> dict[tuple, list[Mapping]]:
    """Records that agree in these fields, in the order of their seeds, so that seeds can be paired.

    >>> together([{"r": 1, "seed": 1}, {"r": 1, "seed": 0}, {"r": 2, "seed": 0}], "r")
    {(1,): [{'r': 1, 'seed': 0}, {'r': 1, 'seed': 1}], (2,): [{'r': 2, 'seed': 0}]}
    """
    found: dict[tuple, list[Mapping]] = {}
    for record in sorted(records, key=lambda record: record["seed"]):
        found.setdefault(tuple(record[name] for name in names), []).append(record)
    return found


def summary(records: Iterable[Mapping]) -> list[dict]:
    """One row for each evidence, place, strategy, gamma and R, with every seed's values and their intervals."""
    table = []
    names = ("evidence", "place", "strategy", "gamma", "r")
    known = [record for record in records if record["evidence"] in ("a", "b", "c", "h")]
    for key, same in together(known, *names).items():
        row = dict(zip(names, key, strict=True)) | {
            "seeds": len(same),
            "tokens": round(sum(one["tokens"] for one in same) / len(same)),
        }
        for what in ("accuracy", "recall"):
            per_way = [record["ways"] if what == "accuracy" else record["recall"] for record in same]
            values = {way: [one[way] for one in per_way] for way in films.WAYS}
            alone = [record["accuracy"] for record in same]
            values["all"] = alone if what == "accuracy" else [sum(one.values()) / len(one) for one in per_way]
            row[what] = {way: {"interval": interval(v), "seeds": v} for way, v in values.items()}
        if all("share" in record for record in same):
            row["share"] = {"interval": interval([record["share"] for record in same])}
        table.append(row)
    table.sort(key=lambda row: (row["evidence"], row["place"], row["gamma"], row["r"], ORDER.index(row["strategy"])))
    return table


def difference(one: Mapping, other: Mapping, way: str = "all") -> tuple[float, float, float]:
    """Accuracy of one row minus the other's, seed by seed: mean and interval."""
    pairs = zip(one["accuracy"][way]["seeds"], other["accuracy"][way]["seeds"], strict=False)
    return interval([a - b for a, b in pairs])


def verdicts(rows: Sequence[Mapping]) -> list[str]:
    """For rows of one kind of evidence: who is ahead in each way of filming, and what the seeds cannot tell apart.

    Controls are left out, and reducers that keep a different number in each film: they are at another token budget.
    """
    told = []
    unequal = {name for name in REDUCERS if is_ragged(reducer(name))}
    rivals = [row for row in rows if row["strategy"] not in {*CONTROLS, *unequal}]
    for way in ("all", *films.WAYS) if rivals else ():
        best = max(rivals, key=lambda row: row["accuracy"][way]["interval"][0])
        ties = [row_name(r) for r in rivals if r is not best and difference(best, r, way)[1] <= 0]
        seeds = min(row["seeds"] for row in rivals)
        text = f"{way}: {row_name(best)} first"
        if seeds == 1:
            text += " (one seed: no interval)"
        else:
            text += f", not told apart from {', '.join(ties)}" if ties else ", ahead of every other"
        told.append(text)
    return told


def row_name(row: Mapping) -> str:
    """A row's strategy in words, which say where its saliency was learned."""
    if row["strategy"] == "auxiliary":
        return "learnable, auxiliary path" + (" (paper's order)" if row["place"] == "after_attention" else "")
    if row["strategy"] == "learnable" and row["evidence"] == "a":
        return "learnable, by pooling"
    return row["strategy"]
