"""Why not let the gradient flow through the merging itself? Seven ways to learn saliency, and what each costs.

    python -m vtm_lesson gradients                     the whole study; stopped, it carries on where it was
    python -m vtm_lesson gradients --quick             short films, few of them: a look at what comes out
    python -m vtm_lesson gradients --only tune trained            some of its parts: tune, trained, cost, toy
    python -m vtm_lesson gradients --report runs/gradients/gradients.json      table and figures of a stored run

Each gradient has three trials of its one setting on validation films. Accuracy is compared with random targets seed by
seed; a difference is told apart where its 95% interval leaves out 0.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from tqdm import tqdm

from .. import __version__, plots
from ..measuring import clock
from ..paths import data_path
from ..plots.style import Picture, png
from . import gradients
from .gradients import CONTROLS, TRIALS, Gradients, Point, Results
from .jobs import PLACES
from .phase import apart
from .report import PLACE_WORDS, aligned, percent, read, write
from .statistics import interval

QUICK = Gradients(frames=4, shown=2, chunks=(2, 4), seeds=2, train=48, valid=32, test=64, epochs=2,
                  places=PLACES[:1], rounds=3, toys=5, estimates=500)  # fmt: skip
PARTS = ("tune", "trained", "cost", "toy")
NAMES = (*CONTROLS, *TRIALS)
WORDS = {
    "random": "random targets",
    "oracle": "oracle targets",
    "auxiliary": "auxiliary path",
    "straight_through": "straight-through",
    "annealed": "annealed",
    "relaxed": "relaxed top-k",
    "perturbed": "perturbed top-k",
    "reinforce": "REINFORCE",
    "weighted": "weighted average",
}
# Seconds of a training step on one core, with the study's own sizes: for what is said before the start.
STEP = {"annealed": 0.45, "relaxed": 0.45, "perturbed": 0.5, "auxiliary": 0.09, "reinforce": 0.12}


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python -m vtm_lesson gradients`."""
    args = _arguments(argv)
    if args.report:
        try:
            return _show(load(args.report), Path(args.report).with_suffix(""))
        except (OSError, ValueError, KeyError) as error:
            print(f"{args.report} is no report of this command: {error}", file=sys.stderr)
            return 2
    study = QUICK if args.quick else Gradients()
    folder = Path(args.folder or ("runs/gradients-quick" if args.quick else "runs/gradients"))
    try:
        results = Results(study, folder)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    run(study, results, args.only or PARTS, args.workers)
    command = " ".join(["python -m vtm_lesson gradients", *(sys.argv[1:] if argv is None else argv)])
    path = args.out or folder / "gradients.json"
    report = save(study, results, command, path)
    missing = [point for point in gradients.points(study) if point not in results.done]
    if missing:
        print(f"{len(missing):,} of {len(gradients.points(study)):,} results are still to come.")
    return _show(report, path.with_suffix(""), path)


def run(study: Gradients, results: Results, parts: Sequence[str] = PARTS, workers: int = 1) -> None:
    """Do what is not done yet of these parts: trials before trainings; costs with nothing beside them."""
    if "toy" in parts:
        gradients.measure_toys(study, results)
    for place in study.places:
        if "tune" in parts:
            tried = gradients.trials(study, place)
            by_name = [[point for point in tried if point.gradient == name] for name in TRIALS]
            _train(study, results, [tried] if workers == 1 else by_name, workers)
        lacking = [point for point in gradients.trials(study, place) if point not in results.read()]
        if lacking and {"trained", "cost"} & set(parts):
            print(f"{len(lacking):,} trials are missing: run --only tune first.", file=sys.stderr)
            return
        if "trained" in parts:
            groups = [gradients.trainings(study, place, seed) for seed in range(study.seeds)]
            _train(study, results, groups, workers)
    if "cost" in parts:
        gradients.measure_costs(study, results)


def _train(study: Gradients, results: Results, groups: Sequence[Sequence[Point]], workers: int) -> None:
    """Train groups of points, in this process or in several; each result is kept as soon as it is there."""
    points = [point for group in groups for point in group]
    left = [point for point in points if point not in results.done]
    if not left:
        return
    steps = study.epochs * -(-study.train // study.batch)
    size = (study.frames * study.size**2) / (Gradients().frames * Gradients().size ** 2)
    seconds = sum(steps * STEP.get(point.gradient, 0.05) * size for point in left) * 1.1
    minutes = max(1, round(seconds / 60 / min(workers, len(groups))))
    print(f"{left[0].part}: {len(left):,} trainings, about {minutes:,} minutes with {workers} cores to itself")
    with tqdm(total=len(points), initial=len(points) - len(left), desc=left[0].part, unit="training") as bar:
        if workers == 1:
            for group in groups:
                gradients.train(study, results.folder, group, progress=False, after=partial(
                    _advance, bar, results, points))  # fmt: skip
            return
        before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = "1"
        try:
            with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
                train: Callable = gradients.train
                waiting = {pool.submit(train, study, results.folder, g, progress=False) for g in groups}
                while waiting:
                    finished, waiting = wait(waiting, timeout=5, return_when=FIRST_COMPLETED)
                    _advance(bar, results, points)
                    for future in finished:
                        future.result()  # an error in a process is an error here
        finally:
            os.environ.pop("OMP_NUM_THREADS")
            if before is not None:
                os.environ["OMP_NUM_THREADS"] = before


def _advance(bar: tqdm, results: Results, points: Sequence[Point]) -> None:
    done = results.read()
    bar.update(sum(point in done for point in points) - bar.n)


# --------------------------------------------------------------------------------------------------- what it says


def save(study: Gradients, results: Results, command: str, path: Path) -> dict:
    """As JSON: one line a result, what was chosen, and the table for the eye."""
    records = results.records()
    report = {
        "command": command,
        "version": __version__,
        "machine": clock.environment(),
        "study": asdict(study),
        "chosen": _chosen(study, results),
        "results": records,
    }
    write(report | {"table": table(_with_rows(report)).splitlines()}, path)
    return _with_rows(report)


def _chosen(study: Gradients, results: Results) -> dict:
    """For each place, every gradient's setting and choice at test time; empty where its trials are not done."""
    return {
        place: {name: results.chosen(name, place) for name in NAMES}
        for place in study.places
        if all(point in results.done for point in gradients.trials(study, place))
    }


def load(path: str | Path | None = None) -> dict:
    """A stored report, by default that of the full study in data/results, with its rows."""
    return _with_rows(read(path or data_path("results/gradients.json")))


def _with_rows(report: dict) -> dict:
    return report | {"rows": rows(report), "toys": toys(report)}


def rows(report: Mapping) -> list[dict]:
    """One row a place and gradient: accuracy and recall with their intervals, differences seed by seed, costs."""
    found = []
    for place, chosen in report["chosen"].items():
        trained = {
            name: {r["seed"]: r for r in report["results"] if (r["part"], r["gradient"], r["place"])
                   == ("trained", name, place)} for name in NAMES
        }  # fmt: skip
        costs = {r["gradient"]: r for r in report["results"] if (r["part"], r["place"]) == ("cost", place)}

        def value(name: str, seed: int, what: str, chosen: Mapping = chosen, trained: Mapping = trained) -> float:
            return trained[name][seed][what][chosen[name]["choice"]]

        for name in NAMES:
            seeds = sorted(trained[name])
            if not seeds:
                continue
            row = {"place": place, "gradient": name, **chosen[name], "seeds": len(seeds)}
            row["by_seed"] = [value(name, seed, "accuracy") for seed in seeds]
            row["accuracy"] = interval(row["by_seed"])
            row["recall"] = interval([value(name, seed, "recall") for seed in seeds])
            for other in ("random", "auxiliary"):
                both = [seed for seed in seeds if seed in trained[other] and name != other]
                gaps = [value(name, seed, "accuracy") - value(other, seed, "accuracy") for seed in both]
                row[f"minus_{other}"], row[f"gaps_{other}"] = interval(gaps) if gaps else None, gaps
            row["cost"] = costs.get(name)
            found.append(row)
    return found


def toys(report: Mapping) -> list[dict]:
    """One row a gradient and setting: medians over toys of bias, noise, direction and the share of steps downhill."""
    found = []
    for record in report["results"]:
        if record["part"] == "toy":
            values = {name: statistics.median(record[name]) for name in ("bias", "noise", "direction", "downhill")}
            wrong = sum(value < 0 for value in record["direction"])
            found.append({"gradient": record["gradient"], "setting": record["setting"], **values, "against": wrong})
    return sorted(found, key=lambda row: (NAMES.index(row["gradient"]), row["setting"]))


def table(report: Mapping) -> str:
    """The report as text; * marks what is told apart."""
    parts = []
    for place in report["chosen"]:
        head = ("gradient", "setting", "at test", "accuracy", "- random", "- auxiliary", "recall", "step", "memory")
        cells = []
        for row in (row for row in report["rows"] if row["place"] == place):
            cost = row["cost"]
            spent = (f"x{cost['time']['median']:.1f}", f"x{cost['memory']:.1f}") if cost else ("", "")
            setting = "" if row["gradient"] in CONTROLS else f"{row['setting']:g}"
            gaps = [_gap(row["minus_random"]), _gap(row["minus_auxiliary"])]
            accuracy, recall = percent(row["accuracy"]), percent(row["recall"])
            cells.append((WORDS[row["gradient"]], setting, row["choice"], accuracy, *gaps, recall, *spent))
        title = f"{PLACE_WORDS[place]}: percent, mean ± 95% interval over seeds; * told apart"
        if cells:
            parts.append(f"{title}\n{aligned(head, cells)}")
    if report["toys"]:
        columns = ("gradient", "setting", "bias", "noise", "direction", "downhill", "toys against")
        lines = [
            (
                WORDS[row["gradient"]],
                f"{row['setting']:g}",
                *(f"{row[name]:.2f}" for name in columns[2:6]),
                row["against"],
            )
            for row in report["toys"]
        ]
        title = f"the gradient itself, over {report['study']['toys']} toys whose every choice is tried: medians"
        parts.append(f"{title}\n{aligned(columns, lines)}")
    return "\n\n".join(parts)


def _gap(values: Sequence[float] | None) -> str:
    if values is None:
        return ""
    mean, low, high = values
    return percent((mean, low, high)) + ("*" if apart(values) else " ")


def figure(report: Mapping, place: str) -> Picture:
    """Accuracy at that place, less that of random targets: a row for every gradient, its seeds as dots."""
    here = [row for row in report["rows"] if row["place"] == place and row["minus_random"]]
    gaps = {WORDS[row["gradient"]]: row["minus_random"] for row in here}
    seeds = {WORDS[row["gradient"]]: row["gaps_random"] for row in here}
    return plots.differences(gaps, "accuracy less that of random targets", PLACE_WORDS[place], points=seeds)


def _show(report: Mapping, stem: Path, path: Path | None = None) -> int:
    print(table(report))
    for place in report["chosen"]:
        if any(row["place"] == place and row["minus_random"] for row in report["rows"]):
            picture = stem.with_name(f"{stem.name}-{place}.png")
            picture.write_bytes(png(figure(report, place)))
            print(f"figure  {picture}")
    if path:
        print(f"JSON    {path}")
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m vtm_lesson gradients", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, help="some parts of the study (default all)")
    parser.add_argument("--quick", action="store_true", help="short films, few of them: a look at what comes out")
    parser.add_argument("--folder", help="where results are kept as they come (default runs/gradients)")
    parser.add_argument("--out", type=Path, help="the JSON that is written (default gradients.json in the folder)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes, one core each")
    parser.add_argument("--report", help="only show the table and figures of this JSON file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
