"""When does the choice of targets matter? A phase diagram over film worlds, and networks trained at its telling cells.

    python -m vtm_lesson phase                               both parts; stopped, it carries on where it was
    python -m vtm_lesson phase --screen                      the screen only: linear readers on merged frozen tokens
    python -m vtm_lesson phase --train                       networks at the cells that the screen's rules choose
    python -m vtm_lesson phase --train --cells 1.5:12:4:6    networks at a cell of your own, beside those
    python -m vtm_lesson phase --long --screen               films twice as long, with a larger actor
    python -m vtm_lesson phase --report runs/phase/phase.json       table and figures of a stored run

Learned and oracle targets are compared with random ones, seed by seed. They are told apart where the 95% interval
of the difference over seeds leaves out 0.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from .. import __version__, plots
from ..measuring import clock
from ..paths import data_path
from ..plots.style import Picture, png
from . import phase
from .jobs import PLACES
from .phase import Cell, Phase, Point, Results, apart, chosen, rows
from .report import PLACE_WORDS, aligned, percent, read, write

QUICK = Phase(frames=12, statures=(1.0, 1.5), shown=(2, 12), props=(4,), gammas=(6,), seeds=2, films=60, steps=60,
              train=64, valid=32, test=64, epochs=2, chunks=(2, 4, 12), whole=2)  # fmt: skip
LONG = Phase(frames=96, statures=(1.5,), shown=(3, 12, 48), gammas=(6, 20))
SHORT = {"before_attention": "first", "after_attention": "after attention", "queries": "queries"}  # columns of a figure
# Seconds of one core with the study's own sizes, films of 48 frames: for what is said before the start.
FILM, MERGED, READER = 0.07, {2: 0.018, 6: 0.01, 20: 0.006}, 0.4
STEP = {"none": 1.0, "random": 0.12, "learnable": 0.33, "oracle": 0.12}  # a step of 16 films, mean of both places


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python -m vtm_lesson phase`."""
    args = _arguments(argv)
    if args.report:
        try:
            return _show(load(args.report), Path(args.report).with_suffix(""))
        except (OSError, ValueError, KeyError) as error:
            print(f"{args.report} is no report of this command: {error}", file=sys.stderr)
            return 2
    study = QUICK if args.quick else LONG if args.long else Phase()
    folder = Path(args.folder or f"runs/phase{'-quick' if args.quick else '-long' if args.long else ''}")
    both = not (args.screen or args.train)
    try:
        asked = [Cell.of(text) for text in args.cells or ()]
        results = Results(study, folder)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if args.screen or both:
        screen(study, results, args.workers)
    if args.train or both:
        missing = [point for point in phase.screen_points(study) if point not in results.read()]
        if missing and not asked:
            print(f"The screen lacks {len(missing):,} results: run --screen first, or give --cells.", file=sys.stderr)
            return 2
        named = {} if missing else chosen(rows(results.records(), "screen"))
        for rule, cell in named.items():
            print(f"chosen by rule: {rule:9s} {words(cell, study.frames)}")
        cells = list(dict.fromkeys([*asked, *named.values()]))
        train(study, results, cells, args.places or PLACES[:2], args.workers)
    command = " ".join(["python -m vtm_lesson phase", *(sys.argv[1:] if argv is None else argv)])
    path = args.out or folder / "phase.json"
    return _show(save(study, results, command, path), path.with_suffix(""), path)


def screen(study: Phase, results: Results, workers: int = 1) -> None:
    """The first part: every number of props is a task."""
    points = phase.screen_points(study)
    left = [point for point in points if point not in results.done]
    worlds = {(point.props, point.stature) for point in left}
    seconds = study.films * study.seeds * FILM * (len(worlds) + len({props for props, _ in worlds}))
    seconds += sum(study.films * MERGED.get(int(point.gamma), 0.01) + READER for point in left)
    tasks = [(phase.screen, (study, results.folder, props)) for props in study.props]
    _run("screen", results, points, tasks, workers, seconds * study.frames / Phase().frames)


def train(study: Phase, results: Results, cells: Sequence[Cell], places: Sequence[str], workers: int = 1) -> None:
    """The second part: every kind of films and seed is a task."""
    points = phase.trained_points(study, cells, places)
    left = [point for point in points if point not in results.done]
    groups: dict[tuple, list[Point]] = {}
    for point in points:
        groups.setdefault((point.cell[:3], point.seed), []).append(point)
    films = study.train + study.valid + study.test
    steps = study.epochs * -(-study.train // study.batch)
    seconds = sum(STEP[point.strategy] * 1.2 * steps for point in left)
    seconds += films * FILM * len({(point.cell[:3], point.seed) for point in left})
    tasks = [(phase.train, (study, results.folder, group)) for group in groups.values()]
    _run("training", results, points, tasks, workers, seconds * study.frames / Phase().frames)


def _run(
    what: str,
    results: Results,
    points: Sequence[Point],
    tasks: Sequence[tuple[Callable, tuple]],
    workers: int,
    seconds: float,
) -> None:
    """Run tasks in this process or in several; each keeps its results by itself."""
    left = sum(point not in results.done for point in points)
    if not left:
        return
    minutes = seconds / 60 / min(workers, len(tasks))
    print(f"{what}: {left:,} results to come, about {max(1, round(minutes)):,} minutes with {workers} cores to itself")
    bar = tqdm(total=len(points), initial=len(points) - left, desc=what, unit="result")
    with bar:
        if workers == 1:
            for function, arguments in tasks:
                function(*arguments, progress=False)
                _advance(bar, results, points)
            return
        with (
            _one_thread_each(),
            ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool,
        ):
            waiting = {pool.submit(function, *arguments, progress=False) for function, arguments in tasks}
            while waiting:
                finished, waiting = wait(waiting, timeout=5, return_when=FIRST_COMPLETED)
                _advance(bar, results, points)
                for future in finished:
                    future.result()  # an error in a task is an error here


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that are started inside have one thread each, and idle threads of theirs do not spin."""
    names = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _advance(bar: tqdm, results: Results, points: Sequence[Point]) -> None:
    done = results.read()
    bar.update(sum(point in done for point in points) - bar.n)


# --------------------------------------------------------------------------------------------------- what it says


def save(study: Phase, results: Results, command: str, path: Path) -> dict:
    """As JSON: one line a result, the cells that the rules choose, and the table for the eye."""
    records = list(results.records())
    whole = all(point in results.done for point in phase.screen_points(study))
    report = {
        "command": command,
        "version": __version__,
        "machine": clock.environment(),
        "study": asdict(study),
        "chosen": {rule: str(cell) for rule, cell in chosen(rows(records, "screen")).items()} if whole else {},
        "results": records,
    }
    write(report | {"table": table(_with_rows(report)).splitlines()}, path)
    return _with_rows(report)


def load(path: str | Path = "phase") -> dict:
    """A stored report with its rows: a path, or a name in data/results, "phase" or "phase_long"."""
    return _with_rows(read(path if Path(path).suffix == ".json" else data_path(f"results/{path}.json")))


def _with_rows(report: dict) -> dict:
    return report | {"screen": rows(report["results"], "screen"), "trained": rows(report["results"], "trained")}


def words(cell: Cell, frames: int) -> str:
    """A cell in words."""
    height = f"actor x{cell.stature:g}"
    return f"{height}, in {cell.shown} of {frames} frames, {cell.props} props, gamma {cell.gamma:g}"


def table(report: Mapping) -> str:
    """The report as text: the screen, then what was trained; * marks what is told apart from random."""
    frames, parts = report["study"]["frames"], []
    titles = {"screen": "screen: a linear reader on frozen tokens, merged twice", "trained": "trained with merging"}
    for part, title in titles.items():
        for place in dict.fromkeys(row["place"] for row in report[part]):
            head = ("gamma", "actor", "props", "frames", "none", "random", "learned", "oracle", "learned - random",
                    "oracle - random", "recall: random, learned, oracle")  # fmt: skip
            cells = []
            for row in (row for row in report[part] if row["place"] == place):
                names = ("none", *phase.SCREENED)
                accuracy = [percent(row["accuracy"].get(name)) for name in names]
                gaps = [_gap(row["minus_random"].get(name)) for name in ("learnable", "oracle")]
                recall = " ".join(f"{row['recall'][name][0]:.2f}" for name in names[1:] if name in row["recall"])
                axes = f"{row['gamma']:g}", f"x{row['stature']:g}", row["props"], f"{row['shown']}/{frames}"
                cells.append((*axes, *accuracy, *gaps, recall))
            where = f", {PLACE_WORDS[place]}" if place else ""
            note = "accuracy in percent, mean ± 95% interval over seeds; * told apart from random"
            parts.append(f"{title}{where}: {note}\n{aligned(head, cells)}")
    chose = [f"  {rule:9s} {words(Cell.of(cell), frames)}" for rule, cell in report["chosen"].items()]
    return "\n\n".join([*parts, *["\n".join(["cells chosen for training", *chose])] * bool(chose)])


def _gap(values: Sequence[float] | None) -> str:
    if values is None:
        return ""
    mean, low, high = values
    return percent((mean, low, high)) + ("*" if apart(values) else " ")


def figure(report: Mapping) -> Picture:
    """The screen: learned minus random above oracle minus random, a panel for each gamma."""
    study, table = report["study"], report["screen"]
    found = {tuple(row[name] for name in ("stature", "props", "shown", "gamma")): row for row in table}
    lines = [(stature, props) for props in study["props"] for stature in study["statures"]]
    panels = {}
    for name, said in (("learnable", "learned"), ("oracle", "oracle")):
        for gamma in study["gammas"]:
            panel = np.full((len(lines), len(study["shown"]), 3), np.nan)
            for i, (stature, props) in enumerate(lines):
                for j, shown in enumerate(study["shown"]):
                    row = found.get((stature, props, shown, gamma))
                    if row and name in row["minus_random"]:
                        panel[i, j] = row["minus_random"][name]
            panels[f"{said} - random, gamma {gamma:g}"] = panel
    return plots.phase_diagram(
        panels,
        [f"actor x{stature:g}, {props} props" for stature, props in lines],
        [f"{shown}/{study['frames']}" for shown in study["shown"]],
        xlabel="frames that show the actor",
        title="Points of accuracy over random targets, linear reader; grey: not told apart from 0",
        columns=len(study["gammas"]),
    )


def trained_figure(report: Mapping) -> Picture:
    """What was trained: learned and oracle minus random, a row for each cell, a column for each place."""
    table, frames = report["trained"], report["study"]["frames"]
    found = {
        (Cell(**{name: row[name] for name in Cell.__annotations__}), row["place"]): row["minus_random"] for row in table
    }
    cells = list(dict.fromkeys(cell for cell, _ in found))
    places = [place for place in PLACES if any(place == where for _, where in found)]
    panels = {}
    for name, said in (("learnable", "learned"), ("oracle", "oracle")):
        unknown = [np.nan] * 3
        panels[f"{said} - random"] = np.array(
            [[found.get((cell, place), {}).get(name, unknown) for place in places] for cell in cells]
        )
    return plots.phase_diagram(
        panels,
        [words(cell, frames) for cell in cells],
        [SHORT[place] for place in places],
        xlabel="where merging stands",
        title="Points of accuracy over random targets, trained networks; grey: not told apart from 0",
        columns=2,
    )


def _show(report: Mapping, stem: Path, path: Path | None = None) -> int:
    print(table(report))
    made = {"": figure(report)} if report["screen"] else {}
    if report["trained"]:
        made["-trained"] = trained_figure(report)
    for name, fig in made.items():
        picture = stem.with_name(f"{stem.name}{name}.png")
        picture.write_bytes(png(fig))
        print(f"figure  {picture}")
    if path:
        print(f"JSON    {path}")
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m vtm_lesson phase", description=__doc__.split("\n\n")[0])
    parser.add_argument("--screen", action="store_true", help="the first part only, about 20 minutes on 2 cores")
    parser.add_argument("--train", action="store_true", help="the second part only")
    parser.add_argument(
        "--cells", nargs="+", metavar="CELL", help="STATURE:SHOWN:PROPS:GAMMA, trained beside the chosen"
    )
    parser.add_argument("--places", nargs="+", choices=PLACES, help=f"default {' '.join(PLACES[:2])}")
    parser.add_argument("--long", action="store_true", help="another grid: films of 96 frames, a larger actor")
    parser.add_argument("--quick", action="store_true", help="short films, few of them: a look at what comes out")
    parser.add_argument("--folder", help="where results are kept as they come (default runs/phase)")
    parser.add_argument("--out", type=Path, help="the JSON that is written (default phase.json in the folder)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes, one core each")
    parser.add_argument("--report", help="only show the table and figures of this JSON file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
