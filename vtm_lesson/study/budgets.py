"""Every reducer at every budget: what it keeps, what it costs, and which of them are worth a look.

    python -m vtm_lesson reducers --quick                        a look, in less than 5 minutes
    python -m vtm_lesson reducers --folder runs/reducers         the full table; stopped, it carries on where it was
    python -m vtm_lesson reducers --strategy my_file.py:mine     one of your own, beside the stored rows of all others
    python -m vtm_lesson reducers --report data/results/reducers.json     table and figure of a stored run

Tokens of painted films are reduced once to one token in gamma, averaged, and read by a linear reader (`study.probe`).
Nobody is tuned: every reducer has the settings that it comes with. Those that keep as many tokens as a film asks for
(ragged) have one setting that moves their count; it is set on validation films so that the mean count meets the
budget, and the count on the test films stands beside their result. Saliency is learned by pooling on the training
films, attention is that of the tokens among themselves. Controls: no merging, random targets, and the oracle.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.ticker import FuncFormatter, NullFormatter
from torch import Tensor

from .. import films
from ..measuring import clock
from ..merging.camera import relative_motion
from ..merging.registry import choose, reducer, reducers
from ..merging.strategies import Context, Reducer, Saliency, is_ragged, reduce, signals
from ..network.attention import attention_stats
from ..network.tokens import Tokens
from ..paths import data_path
from ..plots.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION, WIDTH, Picture, png, styled
from ..training.loop import Items
from .experiment import Comparison
from .jobs import ACTOR, Job, Study
from .own import OwnError
from .own import load as load_own
from .probe import linear_probe, retain
from .report import aligned, percent, read, write
from .statistics import interval, together

GAMMAS = (2.0, 6.0, 20.0, 60.0)
TRIED = 14  # values of a ragged reducer's setting that are tried for each budget
FEW = 200  # validation films that they are tried on
PACE = 16  # films in the batch that is timed
# Beside the names of the registry: reducers whose usual form is one of several.
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "drop, saliency": ("drop", {"signal": "saliency"}),
    "drop, motion": ("drop", {"signal": "motion"}),
}
CONTROLS = ("none", "random", "oracle")
NEEDS = {
    "keys only": BLUE,
    "motion": GREEN,
    "saliency": ORANGE,
    "attention": PURPLE,
    "a control": GREY,
    "your own": VERMILLION,
}


def everyone() -> list[str]:
    """The names in the study: every reducer of the registry, its other forms, and no merging."""
    return ["none", *reducers(), *FORMS]


def made(name: str, settings: Mapping[str, Any] | None = None) -> Reducer:
    """The reducer behind a name of `everyone`, with settings beside its own."""
    base, own = FORMS.get(name, (name, {}))
    return reducer(base, **{**own, **(settings or {})})


def need(name: str) -> str:
    """What a reducer looks at beside the keys, one of NEEDS."""
    if name in CONTROLS:
        return "a control"
    if name not in everyone():
        return "your own"
    base, own = FORMS.get(name, (name, {}))
    said = {own.get("signal"), *signals(reducer(base))} | {
        {"motion": "motion", "relative": "motion", "learnable": "saliency"}.get(base)
    }
    found = [kind for kind in ("saliency", "motion", "attention") if kind in said]
    if "entropy" in said:
        found.append("attention")
    return found[0] if found else "keys only"


def ragged(name: str) -> bool:
    """Whether it keeps as many tokens as a film asks for."""
    return name != "none" and is_ragged(made(name))


@dataclass(frozen=True)
class Knob:
    """The setting of a ragged reducer that moves how many tokens are left, from `fewest` to `most`."""

    field: str
    fewest: float
    most: float

    @staticmethod
    def of(name: str) -> Knob | None:
        """That of a reducer; None where it has none, or keeps to the budget by itself."""
        found = made(name) if name != "none" else None
        said = getattr(found, "knob", None)
        return Knob(*said) if said and is_ragged(found) else None


class Budgets(Comparison):
    """A study's films and folder, with every reducer at every budget."""

    def __init__(
        self,
        study: Study,
        folder: str | Path,
        names: Sequence[str] | None = None,
        own: Mapping[str, Reducer] | None = None,
        **options: Any,
    ):
        """names: which reducers; by default `everyone`. own: others by names of their own, which come after these."""
        self.own = dict(own or {})
        self.names = [*(everyone() if names is None else names), *self.own]
        super().__init__(study, folder, **options)

    def jobs(self) -> Iterator[Job]:
        """First the settings of ragged reducers, then every name at every budget and seed, then what each costs."""
        for name in self.names:
            if name not in ("none", *self.own) and Knob.of(name) is not None:
                yield from (Job("knob", name, gamma=gamma) for gamma in self.study.gamma)
        for seed in range(self.study.seeds):
            for name in self.names:
                for gamma in self.study.gamma if name != "none" else (1.0,):
                    yield Job("budget", name, gamma=gamma, seed=seed)
        for name in self.names:
            if name != "none":
                yield Job("pace", name, gamma=6.0)

    def do(self, job: Job) -> dict:
        """Measure what a job asks for."""
        kinds = {"knob": self._turned, "budget": self._kept, "pace": self._pace}
        return kinds[job.evidence](job) if job.evidence in kinds else super().do(job)

    def reducer(self, name: str, gamma: float) -> Reducer | None:
        """The reducer of a row; a ragged one with the setting that was found for the budget."""
        if name == "none" or name in self.own:
            return self.own.get(name)
        found = self.results.get(Job("knob", name, gamma=gamma))
        return made(name, found["settings"] if found else None)

    def learned(self, seed: int) -> Saliency:
        """Saliency learned by pooling, from the training films."""
        return self.saliency(seed, gain=1.0, temperature=6.0)

    def _turned(self, job: Job) -> dict:
        """The setting whose mean count on validation films is nearest to the budget, by halving."""
        knob = Knob.of(job.strategy)
        assert knob is not None
        items = self.valid[:FEW]
        wanted = Tensor(items.columns["tokens"]).shape[1:4].numel() / job.gamma
        low, high, best = knob.fewest, knob.most, (float("inf"), knob.most, 0.0)
        for _ in range(TRIED):
            value = (low + high) / 2
            count = self.reduced(items, made(job.strategy, {knob.field: value}), job).tokens
            best = min(best, (abs(count - wanted), value, count))
            low, high = (value, high) if count < wanted else (low, value)
        return {"settings": {knob.field: best[1]}, "tokens": best[2], "wanted": wanted}

    def reduced(self, items: Items, chosen: Reducer | None, job: Job):
        plug: dict[str, Any] = {} if chosen is None else {"reducer": chosen, "saliency": self.learned(job.seed)}
        # Who merges above a threshold has as many tokens as targets or more: half of the budget are targets.
        gamma = 2 * job.gamma if is_ragged(chosen) else job.gamma
        return retain(items, gamma=gamma, rounds=1, seed=job.seed, actor=ACTOR, **plug)

    def _kept(self, job: Job) -> dict:
        """What a linear reader makes of the averages: 60% of the test films to fit it, the others to score."""
        items = self.test
        kept = self.reduced(items, self.reducer(job.strategy, job.gamma), job)
        order = torch.randperm(len(items), generator=torch.Generator().manual_seed(job.seed))
        fitted, others = order[: int(0.6 * len(items))], order[int(0.6 * len(items)) :]
        labels, way = items.columns["label"], items.columns["way"]
        right = (linear_probe(kept.features[fitted], labels[fitted], kept.features[others]) == labels[others]).double()
        ways = {name: float(right[way[others] == i].mean()) for i, name in enumerate(films.WAYS)}
        recall = {name: float(kept.recall[way == i].mean()) for i, name in enumerate(films.WAYS)}
        share = float(kept.share.mean())
        return {"accuracy": float(right.mean()), "ways": ways, "recall": recall, "share": share, "tokens": kept.tokens}

    def _pace(self, job: Job) -> dict:
        """One call against ToMe's way of matching, interleaved, on some films; and what it costs in numbers.

        What a reducer looks at is made within the call: the score of saliency, the camera's motion, attention. Motion
        itself comes with the film.
        """
        batch = self.test[:PACE].columns
        vectors = batch.get("vectors")
        state = Tokens.start(batch["tokens"].float(), batch["motion"].float(), batch["oracle"].float())
        known: dict[str, Any] = {name: value for name, value in state.known().items() if value is not None}
        learned = self.learned(0)

        def call(chosen: Reducer) -> Callable[[], object]:
            wanted = set(signals(chosen))

            def run() -> object:
                context = Context(
                    gamma=2 * job.gamma if is_ragged(chosen) else job.gamma,
                    frames=state.grid[0],
                    height=state.grid[1],
                    width=state.grid[2],
                    keys=state.x,
                    generator=torch.Generator().manual_seed(0),
                    **known,
                )
                if "saliency" in wanted:
                    context.saliency = learned.score(state.x)
                if "relative" in wanted and vectors is not None:
                    context.relative = relative_motion(vectors.float()).flatten(1)
                if {"attention", "entropy"} & wanted:
                    context.attention, context.entropy = attention_stats(state.x[:, None], state.x[:, None])
                return reduce(chosen, context)(state.x)

            return run

        chosen = self.reducer(job.strategy, job.gamma)
        plain = choose("uniform")
        assert chosen is not None and plain is not None
        runs = {"this": call(chosen), "uniform": call(plain)}
        times = clock.interleaved(runs, self.study.rounds)
        n, dim = state.x.shape[1:]
        targets = -(-n // int(job.gamma))
        return {
            "time": clock.ratio(times, "this", "uniform"),
            "flops": getattr(chosen, "flops", lambda *_: 0)(n, targets, dim),
            "memory": getattr(chosen, "memory", lambda *_: 0)(n, targets, dim),
        }


# ------------------------------------------------------------------------------------------------------ what it says


def rows(records: Iterable[Mapping]) -> list[dict]:
    """One row for each reducer and budget: accuracy and recall with intervals over seeds, tokens left, and costs."""
    records = list(records)
    paces = {record["strategy"]: record for record in records if record["evidence"] == "pace"}
    found = together((record for record in records if record["evidence"] == "budget"), "strategy", "gamma")
    table = []
    for (name, gamma), same in found.items():
        row = {"strategy": name, "gamma": gamma, "seeds": len(same), "tokens": same[0]["tokens"]}
        row["accuracy"] = {"all": interval([record["accuracy"] for record in same])}
        row["accuracy"] |= {way: interval([record["ways"][way] for record in same]) for way in films.WAYS}
        row["recall"] = interval([sum(record["recall"].values()) / len(films.WAYS) for record in same])
        row["by seed"] = [record["accuracy"] for record in same]
        if name in paces:
            row |= {what: paces[name][what] for what in ("time", "flops", "memory")}
        table.append(row)
    return sorted(table, key=lambda row: (row["gamma"], -row["accuracy"]["all"][0]))


def table(report: Mapping) -> str:
    """The report as text: one block a budget, best first."""
    head = ("reducer", "needs", "tokens", "accuracy", *films.WAYS, "recall", "MFLOPs", "time, of uniform's")
    parts = []
    for gamma in sorted({row["gamma"] for row in report["rows"]}):
        cells = []
        for row in (row for row in report["rows"] if row["gamma"] == gamma):
            accuracy = [percent(row["accuracy"][way]) for way in ("all", *films.WAYS)]
            cost = (f"{row['flops'] / 1e6:.1f}", f"x{row['time']['median']:.2f}") if "time" in row else ("", "")
            recall = "" if row["strategy"] == "none" else f"{row['recall'][0]:.2f}"
            cells.append((row["strategy"], need(row["strategy"]), row["tokens"], *accuracy, recall, *cost))
        title = "no merging" if gamma == 1 else f"one token in {gamma:g} is left"
        parts.append(f"{title}: accuracy in percent, mean ± 95% interval over seeds\n{aligned(head, cells)}")
    return "\n\n".join(parts)


@styled
def figure(report: Mapping, gamma: float = 6.0) -> Picture:
    """Left: accuracy against tokens left, one line a reducer. Right: accuracy against time at one budget."""
    fig = Picture(figsize=(WIDTH, 4.4), layout="constrained")
    left, right = fig.subplots(1, 2, sharey=True)
    whole = [row for row in report["rows"] if row["strategy"] == "none"]
    names = list(dict.fromkeys(row["strategy"] for row in report["rows"] if row["strategy"] != "none"))
    told: dict[str, list[str]] = {}
    for name in names:
        mine = sorted((row for row in report["rows"] if row["strategy"] == name), key=lambda row: row["tokens"])
        colour = NEEDS[need(name)]
        means = [row["accuracy"]["all"][0] for row in mine]
        control = name in CONTROLS
        look = {"color": BLACK, "linestyle": "--", "linewidth": 1.6} if control else {"color": colour, "linewidth": 1.1}
        left.plot([row["tokens"] for row in mine], means, marker="o", markersize=3, alpha=0.9, **look)
        told.setdefault(need(name), []).append(
            f"{name} " + ", ".join(f"{m:.2f} at {row['tokens']} tokens" for m, row in zip(means, mine, strict=True))
        )
    here = [row for row in report["rows"] if row["gamma"] == gamma and "time" in row]
    best = front(here)
    for row in here:
        name = row["strategy"]
        x, y = row["time"]["median"], row["accuracy"]["all"][0]
        right.scatter(
            [x], [y], s=34 if name in best else 18, color=NEEDS[need(name)], marker="D" if name in best else "o"
        )
    for name, (x, y) in best.items():
        right.annotate(name, (x, y), (5, 4), textcoords="offset points", fontsize=8)
    # Names at the left for who is ahead of no merging at the smallest budget: the others lie close together.
    level = whole[0]["accuracy"]["all"][0] if whole else 1.0
    smallest = max((row["gamma"] for row in report["rows"]), default=gamma)
    ahead = [
        row
        for row in report["rows"]
        if row["gamma"] == smallest and (row["accuracy"]["all"][1] > level or need(row["strategy"]) == "your own")
    ]
    for row in ahead:
        left.annotate(row["strategy"], (row["tokens"], row["accuracy"]["all"][0]), (4, 3), textcoords="offset points",
                      fontsize=7)  # fmt: skip
    for row in whole:
        for ax in (left, right):
            ax.axhline(row["accuracy"]["all"][0], color=BLACK, linewidth=1, linestyle=(0, (1, 2)))
        left.annotate("no merging", (0.7, row["accuracy"]["all"][0]), (0, 3), xycoords=("axes fraction", "data"),
                      textcoords="offset points", fontsize=8)  # fmt: skip
    for ax in (left, right):
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
    counts = sorted({row["tokens"] for row in report["rows"] if row["strategy"] == "random"})
    left.set_xticks(counts, [f"{count}" for count in counts])
    left.set_xlabel("tokens left (mean a film)")
    right.set_xlabel(f"time of a call, of uniform's; one token in {gamma:g} left")
    left.set_ylabel("accuracy of a linear reader")
    for kind, colour in NEEDS.items():
        if kind in told:
            left.plot([], [], color=BLACK if kind == "a control" else colour, label=kind,
                      linestyle="--" if kind == "a control" else "-")  # fmt: skip
    fig.legend(loc="outside upper left", ncols=len(NEEDS), frameon=False, fontsize=8)
    parts = [f"{kind}: " + "; ".join(lines) for kind, lines in told.items()]
    on_front = ", ".join(f"{name} (x{x:.2f}, {y:.2f})" for name, (x, y) in best.items())
    fig.alt = (
        "Two charts of a linear reader's accuracy. Left, against tokens left, by what a reducer needs. "
        + ". ".join(parts)
        + f". Right, against time: none is both faster and better than {on_front}."
    )
    return fig


def front(rows: Iterable[Mapping]) -> dict[str, tuple[float, float]]:
    """Name -> (time, accuracy) of those than which none is both faster and better; controls are left out.

    >>> def row(name, time, accuracy):
    ...     return {"strategy": name, "time": {"median": time}, "accuracy": {"all": (accuracy, 0, 1)}}
    >>> list(front([row("a", 1.0, 0.5), row("b", 2.0, 0.4), row("c", 3.0, 0.9), row("oracle", 0.1, 1.0)]))
    ['a', 'c']
    """
    found: dict[str, tuple[float, float]] = {}
    least = -np.inf
    points = [(row["time"]["median"], -row["accuracy"]["all"][0], row["strategy"]) for row in rows]
    for time, minus, name in sorted(points):
        if name not in CONTROLS and -minus > least:
            found[name], least = (time, -minus), -minus
    return found


def load(path: str | Path | None = None) -> dict:
    """A stored report, by default that in data/results, with its rows."""
    report = read(path or data_path("results/reducers.json"))
    return report | {"rows": rows(report["results"])}


def beside(records: Sequence[Mapping], name: str, stored: bool) -> dict:
    """A report of one's own reducer beside the stored rows of all others, or beside what ran with it."""
    try:
        others = load()["results"] if stored else []
    except FileNotFoundError:
        others = []
    mine = [record for record in records if record["strategy"] == name]
    results = [*others, *mine] if others else list(records)
    return {"results": results, "rows": rows(results)}


def save(comparison: Budgets, command: str, path: Path) -> dict:
    """As JSON: one line a result, and the table for the eye."""
    results = comparison.records("knob", "budget", "pace")
    report = {
        "command": command,
        "machine": clock.environment(),
        "films": {what: getattr(comparison.study, what) for what in ("train", "valid", "test", "frames", "size")},
        "results": results,
        "rows": rows(results),
    }
    write(report | {"table": table(report).splitlines()}, path)
    return report


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python -m vtm_lesson reducers`."""
    parser = argparse.ArgumentParser(prog="python -m vtm_lesson reducers", description=__doc__.split("\n\n")[0])
    parser.add_argument("--folder", help="where results are kept (default runs/reducers, or runs/reducers-quick)")
    parser.add_argument("--quick", action="store_true", help="few films, two budgets, two seeds")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these reducers only (and the controls)")
    parser.add_argument("--strategy", metavar="FILE.py:NAME", help="a partition or reducer of your own, and only that")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that make films")
    parser.add_argument("--report", help="only show table and figure of this JSON file")
    args = parser.parse_args(argv)
    if args.report:
        try:
            return _show(load(args.report), Path(args.report).with_suffix(".png"))
        except (OSError, ValueError, KeyError) as error:
            print(f"{args.report} is no report of this command: {error}", file=sys.stderr)
            return 2
    unknown = set(args.only or ()) - set(everyone())
    if unknown:
        print(f"no reducer is named {', '.join(sorted(unknown))}; names are {', '.join(everyone())}.", file=sys.stderr)
        return 2
    own: dict[str, Reducer] = {}
    if args.strategy:
        try:
            own = dict([load_own(args.strategy)])
        except OwnError as error:
            print(error, file=sys.stderr)
            return 2
        if set(own) & set(everyone()):
            print(f"{args.strategy}: there is a reducer of that name already; give yours another.", file=sys.stderr)
            return 2
    study = Study(gamma=GAMMAS, tune=False)
    if args.quick:
        study = replace(study, train=400, valid=200, test=300, seeds=2, gamma=(6.0, 20.0), saliency_epochs=4)
    folder = Path(args.folder or ("runs/reducers-quick" if args.quick else "runs/reducers"))
    names = None if not args.only else [name for name in everyone() if name in {*args.only, *CONTROLS}]
    if own:  # its results may be those of an earlier form of the function, so they are kept nowhere
        names, folder = names or list(CONTROLS), Path(tempfile.mkdtemp(prefix="vtm-own-"))
    count = study.train + study.valid + study.test
    print(
        f"First {count:,} films (kept for the next time), then some seconds for each reducer, budget and seed: {folder}"
    )
    try:
        comparison = Budgets(study, folder, names, own, workers=args.workers)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    comparison.run()
    command = "python -m vtm_lesson reducers " + " ".join(sys.argv[1:] if argv is None else argv)
    if own:
        shutil.rmtree(folder)
        name = next(iter(own))
        report = beside(comparison.records("budget", "pace"), name, not args.quick)
        return _show(report, Path(f"{name}.png"))
    path = folder / "reducers.json"
    return _show(save(comparison, command.strip(), path), path.with_suffix(".png"), path)


def _show(report: Mapping, picture: Path, path: Path | None = None) -> int:
    print(table(report))
    picture.write_bytes(png(figure(report)))
    print(f"\nfigure  {picture}" + (f"\nJSON    {path}" if path else ""))
    return 0
