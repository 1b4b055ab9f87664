"""Ten minutes, an hour, four: what length costs, and whether a few seconds are found again in an hour.

python -m vtm_lesson hours                              all parts; stopped, it carries on where it was
python -m vtm_lesson hours --quick                      films of seconds to minutes: a look, less than 2 minutes
python -m vtm_lesson hours --part time --only 60 600    some lengths only, in seconds; best on a quiet machine
python -m vtm_lesson hours --part recall --seeds 0 1    some seeds only: several such commands can share a folder
python -m vtm_lesson hours --report runs/hours/hours.json       table and figures of a stored run
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from .. import __version__, films, plots
from ..measuring import clock
from ..measuring.scaling import exponent
from ..paths import data_path
from ..plots.style import Picture, png
from . import hours, hours_costs
from .hours import HOUR, MEMORY, NETWORKS, PARTS, QUICK, RUNS, WHOLE, Hours, Point, Results
from .report import aligned, percent, read

KINDS = ("equal", "time", "memory", "recall")
MIB, GIB = 2**20, 2**30
FIT_FROM = 300  # seconds of the shortest film whose time counts for the exponents: below, fixed costs bend the line
# Seconds that a second of film takes on one core, of recall for each run; for what is said before the start.
COST = {"time": 0.035, "memory": 0.02, "recall": 0.004, "write": 0.004}


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python -m vtm_lesson hours`."""
    args = _arguments(argv)
    if args.report:
        try:
            return _show(load(args.report), Path(args.report).with_suffix(""))
        except (OSError, ValueError, KeyError) as error:
            print(f"{args.report} is no report of this command: {error}", file=sys.stderr)
            return 2
    study = QUICK if args.quick else Hours()
    folder = Path(args.folder or ("runs/hours-quick" if args.quick else "runs/hours"))
    try:
        results = Results(study, folder)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for part in args.part or KINDS:
        _do(study, results, part, args.only, args.seeds)
    command = " ".join(["python -m vtm_lesson hours", *(sys.argv[1:] if argv is None else argv)])
    path = args.out or folder / "hours.json"
    return _show(save(study, results, command, path), path.with_suffix(""), path)


def _do(study: Hours, results: Results, part: str, only: Sequence[int] | None, seeds: Sequence[int] | None) -> None:
    """Do what is not done yet of one part, with a line on what it costs before and a bar while it runs."""
    left = [
        point
        for point in hours.points(study, part)
        if point not in results.done
        and (only is None or point.seconds in only)
        and (part != "recall" or seeds is None or point.seed in seeds)
    ]
    if not left:
        return
    minutes = _cost(study, part, left) / 60
    print(f"{part}: {len(left)} results to come, about {max(1, round(minutes))} minutes of one core")
    with tqdm(total=len(left), desc=part, unit="result") as bar:
        if part == "recall":
            hours.recall(study, results, seeds, bar.update)
            return
        for point in left:
            results.keep(point, _measured(study, results.folder, point))
            bar.update()


def _cost(study: Hours, part: str, left: Sequence[Point]) -> float:
    """Seconds, about."""
    scale = study.patches / Hours().patches
    if part == "recall":
        return scale * COST["recall"] * sum(point.seconds for point in left)
    write = COST["write"] * sum({point.seconds for point in left})
    return write + sum(5 + scale * COST.get(part, 0.02) * point.seconds for point in left)


def _measured(study: Hours, folder: Path, point: Point) -> dict:
    """One result of time, memory or equal; of memory in a process of its own."""
    path = str(hours_costs.timed_film(study, folder, point.seconds))
    common: dict[str, Any] = {"path": path, "settings": asdict(study), "seconds": point.seconds}
    if point.part == "equal":
        return hours_costs.equal_point(**common)
    common["threads"] = torch.get_num_threads()
    if point.part == "time":
        return hours_costs.time_point(**common)
    return clock.peak_process(hours_costs.memory_point, name=point.name, **common)


# --------------------------------------------------------------------------------------------------- what it says


def save(study: Hours, results: Results, command: str, path: Path) -> dict:
    """As JSON: settings, machine, one record a result, and the table for the eye."""
    records = results.records()
    report = {
        "command": command,
        "version": __version__,
        "machine": clock.environment(),
        "hour": {"frames": HOUR, "tokens": HOUR * study.patches},
        "study": asdict(study),
        "results": records,
    }
    whole = _with_rows(report)
    clock.save(path, report | {"table": table(whole).splitlines()})
    return whole


def load(path: str | Path | None = None) -> dict:
    """A stored report, by default that of the full study in data/results, with its rows.

    Parameters
    ----------
    path : str or Path, optional
        A JSON file that the command wrote.

    Returns
    -------
    dict
        As stored, and `time`, `memory` and `recall`, one row a length (and run), and `exponents`.
    """
    return _with_rows(read(path or data_path("results/hours.json")))


def _with_rows(report: dict) -> dict:
    records = report["results"]
    rows = hours_costs.time_rows(records)
    return report | {
        "time": rows,
        "memory": hours_costs.memory_rows(records),
        "recall": hours.recall_rows(records),
        "equal": next((record for record in records if record["part"] == "equal"), None),
        "exponents": exponents(rows),
    }


def exponents(rows: Sequence[Mapping]) -> dict[str, tuple[float, float]]:
    """The power of the film's length that each part's time grows with, and its standard error; from FIT_FROM on."""
    found = {}
    for name in (*PARTS, "all", *NETWORKS, WHOLE):
        known = [(row["seconds"], row[name]["median"]) for row in rows if name in row]
        longer = [pair for pair in known if pair[0] >= FIT_FROM]
        used = longer if len(longer) >= 3 else known
        if len(used) >= 3:
            found[name] = exponent(*zip(*used, strict=True))
    return found


def length(seconds: int) -> str:
    """A film's length in words.

    >>> length(60), length(7200), length(30)
    ('1 min', '2 h', '30 s')
    """
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def table(report: Mapping) -> str:
    """The report as text: time, memory, recall."""
    parts = []
    if report["time"]:
        names = (*PARTS, "all", *NETWORKS, WHOLE)
        rows = []
        for row in report["time"]:
            cells = [_seconds(row[name]["median"]) if name in row else "" for name in names]
            rows.append((length(row["seconds"]), f"{row['seconds'] * report['hour']['tokens'] // HOUR:,}", *cells))
        fits = [f"{p:.2f} ± {e:.2f}" if (p, e) != (0, 0) else "" for p, e in
                (report["exponents"].get(name, (0, 0)) for name in names)]  # fmt: skip
        rows.append(("exponent", "", *fits))
        note = "time: seconds, median over rounds; merge: levels that only merge, to a fixed number of tokens"
        parts.append(f"{note}\n{aligned(('film', 'tokens', *names), rows)}")
    if report["memory"]:
        head = ("film", *MEMORY, "map", "children")
        rows = []
        for row in report["memory"]:
            found = [row.get(name) for name in MEMORY]
            cells = [f"{one['peak'] / MIB:,.0f} (+{one['grown'] / MIB:,.0f})" if one else "" for one in found]
            most = max((one["children"] for one in found if one), default=0)
            kept = next((t["map_bytes"] for t in report["time"] if t["seconds"] == row["seconds"]), None)
            held = "" if kept is None else f"{kept / MIB:,.1f}"
            rows.append((length(row["seconds"]), *cells, held, f"{most / MIB:,.0f}"))
        parts.append(f"memory: MiB at most of the process, and what grew (+)\n{aligned(head, rows)}")
    if report["equal"]:
        e = report["equal"]
        told = [f"frames {_same(e['frames'])}", f"motion {_same(e['motion'])}"]
        told += [f"logits within {e['logits']:.1e} of the largest", f"kept tokens within {e['merge']:.1e}"]
        told.append(f"{e['chosen']:.0%} of the film's highest scores kept")
        parts.append(f"piece by piece against at once, {length(e['seconds'])}: {', '.join(told)}")
    if report["recall"]:
        by_way = [f"recall, {way}" for way in films.WAYS]
        titles = ("film", "run", "kept", "recall", "seconds found", "share of the kept", *by_way)
        rows = []
        for row in report["recall"]:
            cells = [percent(row[what]) for what in ("recall", "seconds_found", "share")]
            ways = [percent(row["recall_by_way"][way]) for way in films.WAYS]
            rows.append((length(row["seconds"]), row["name"], row["kept"], *cells, *ways))
        shown = report["study"]["shown"]
        note = f"recall of {shown} seconds: percent of the actor's patches kept, mean ± 95% interval over seeds"
        parts.append(f"{note}\n{aligned(titles, rows)}")
    return "\n\n".join(parts)


def _same(value: bool) -> str:
    return "the same" if value else "DIFFERENT"


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def time_figure(report: Mapping) -> Picture:
    """Seconds against the film's length, both axes logarithmic."""
    rows = report["time"]
    names = [name for name in (*PARTS, *NETWORKS) if all(name in row for row in rows)]
    series = {
        name.replace("network, last chunk the whole film", "network, film in one chunk"): tuple(
            [row[name][key] for row in rows] for key in ("median", "low", "high")
        )
        for name in names
    }
    return plots.cost(
        [row["seconds"] / 60 for row in rows], series, "seconds", "minutes of film", "Time against length", (1,)
    )


def memory_figure(report: Mapping) -> Picture:
    """The highest memory of the process, a panel for each length."""
    table = {
        length(row["seconds"]): {name: row[name]["peak"] / MIB for name in MEMORY if name in row}
        for row in report["memory"]
        if all(name in row for name in MEMORY)  # a study that is not finished may lack some
    }
    title = "The most memory that the process held"
    if len(table) == 1:
        return plots.bars(next(iter(table.values())), "MiB", title)
    return plots.panels(table, "MiB", title, mark="all at once", marked="film read and encoded at once", form=",.0f")


def recall_figure(report: Mapping, what: str = "recall", names: Sequence[str] = tuple(RUNS)) -> Picture:
    """Recall of the actor's patches by run, a panel for each length; what: "seconds_found" for the seconds."""
    rows = report["recall"]
    lengths = {
        seconds: {r["name"] for r in rows if r["seconds"] == seconds} for seconds in (r["seconds"] for r in rows)
    }
    shared = set(names).intersection(*lengths.values())
    table = {
        length(seconds): {row["name"]: row[what] for row in rows if row["seconds"] == seconds and row["name"] in shared}
        for seconds in lengths
    }
    said = "actor's patches" if what == "recall" else "seconds"
    label = f"share of the {said} that are kept (mean and 95% interval over seeds)"
    title = f"{report['study']['shown']} seconds, found again"
    if len(table) == 1:
        return plots.bars(next(iter(table.values())), label, title)
    return plots.panels(table, label, title, mark="learnable", marked="saliency from other films", form=".0%")


def _show(report: Mapping, stem: Path, path: Path | None = None) -> int:
    print(table(report))
    draw = {"time": time_figure, "memory": memory_figure, "recall": recall_figure}
    for name, figure in draw.items():
        if len(report[name]) > (name == "time"):
            picture = stem.with_name(f"{stem.name}-{name}.png")
            picture.write_bytes(png(figure(report)))
            print(f"figure  {picture}")
    if path:
        print(f"JSON    {path}")
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m vtm_lesson hours", description=__doc__.split("\n\n")[0])
    parser.add_argument("--part", nargs="+", choices=KINDS, help="some parts only (default: all)")
    parser.add_argument("--only", nargs="+", type=int, metavar="SECONDS", help="films of these lengths only")
    parser.add_argument("--seeds", nargs="+", type=int, help="of recall, some seeds only")
    parser.add_argument("--quick", action="store_true", help="films of seconds to minutes, two seeds: a look")
    parser.add_argument("--folder", help="where results are kept as they come (default runs/hours)")
    parser.add_argument("--out", type=Path, help="the JSON that is written (default hours.json in the folder)")
    parser.add_argument("--report", help="only show the table and figures of this JSON file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
