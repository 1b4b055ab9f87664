"""Does merging keep what tells the label, in footage that nobody here painted? And does learned saliency help?

    python -m vtm_lesson compare --data FOLDER                       # films, one folder for each class
    python -m vtm_lesson compare --data FOLDER --table CSV           # or a csv: file, label, perhaps group

What is measured stands in `clips`, how clips are split in `splits`. The split decides what one sees: clips of one
session look alike, so the rows that count are those where a session, a person or a source is never on both sides.
Random splits stand beside them as a warning. Intervals are over sessions (`splits.bootstrap`), not over seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from .. import __version__
from ..datasets.extraction import Features, Settings, features
from ..datasets.lists import ListError, VideoList, labelled
from ..measuring import clock
from ..merging.strategies import Reducer
from ..paths import data_path
from ..plots.style import BLACK, BLUE, ORANGE, Picture, png, styled
from ..training.loop import Items
from .clips import TRIALS, Clips, LabelledStudy, Plan
from .jobs import PLACES
from .own import load as load_own
from .report import PLACE_WORDS, aligned
from .saliencies import decoded
from .splits import KINDS, Grouped, bootstrap, grouped, neighbours

SPLIT_WORDS = {kind: f"split by {kind}" for kind in KINDS} | {"random": "random splits"}
MEANING = {
    "group": "Split by group: what the table or the pattern calls one group is never on both sides.",
    "time": "Split by time: a session is never on both sides, and neighbours in time stay together.",
    "number": "Split by number: within a class, clips with neighbouring numbers in their names stay together. That they"
    " come from one source is a guess.",
    "random": "Random splits put clips that were recorded together on both sides: a warning, not a result.",
}
ONLY_RANDOM = (
    "Names hold neither dates nor groups, so only random splits can be made. Where several clips come from one source"
    " their numbers are too good, and most so for saliency that was learned from the labels."
)
EVIDENCE_WORDS = {"a": "(a) retention: a linear reader of merged tokens", "c": "(c) networks trained with merging"}
FRAMES = 12
QUICK = Plan(gamma=(20,), seeds=1, network_seeds=1, epochs=4)


# -------------------------------------------------------------------------------------------------------- the clips


def gathered(store: Features, found: VideoList, gap: float = 10.0, pattern: str | None = None) -> Clips:
    """Clips with features as one `Clips`, in memory, in float32.

    Parameters
    ----------
    store : Features
        As `datasets.extraction.features` gives them.
    found : VideoList
        Their list.
    gap : float, optional
        Minutes; as `splits.grouped`.
    pattern : str, optional
        As `splits.grouped`.

    Returns
    -------
    Clips
        Those of the list that have features.

    Raises
    ------
    ListError
        For labels that are values, fewer than two classes, and windows.
    """
    if found.task != "class" or len(store) == 0:
        raise ListError(f"{found.name}: {len(store)} clips, labels are {found.task}s; classes are needed.")
    columns = _columns(store)
    known = grouped(store.entries, gap, pattern)
    return Clips(Items(**columns, oracle=torch.zeros(columns["tokens"].shape[:-1])), known, found.classes)


def _columns(store: Features) -> dict[str, torch.Tensor]:
    every = [store[i] for i in range(len(store))]
    shapes = {tuple(item["tokens"].shape) for item in every}
    if len(shapes) > 1 or len(next(iter(shapes))) != 4:
        raise ListError(f"clips have tokens of shapes {sorted(shapes)[:3]}; all need one, (L, h, w, C): no windows.")
    names = set.intersection(*(set(item) for item in every))
    made = {name: torch.stack([item[name] for item in every]) for name in sorted(names)}
    return {name: column if name == "label" else column.float() for name, column in made.items()}


# ------------------------------------------------------------------------------------------------------- the report


def make_report(study: LabelledStudy, about: Mapping[str, Any], command: str) -> dict:
    """Everything as values that JSON can hold. Clips have no names in it, only their places in the list."""
    clips = study.clips
    seeds: dict[tuple, dict] = {}
    for job in [*study.results, *study.jobs()] if study.own else study.jobs():  # one's own, beside all that is there
        if (found := study.results.get(job)) is None:
            continue
        key = (job.evidence, job.split, job.row, job.gamma, job.seed)
        record = seeds.setdefault(key, {"right": ["-"] * len(clips.labels)})
        for place, right in zip(found["test"], found["right"], strict=True):
            record["right"][place] = str(right)
        for name in ("tokens", "best_epoch"):
            if name in found:
                record.setdefault(name, []).append(found[name])
        if len(TRIALS.get(job.row, ())) > 1 and "trial" in found:
            record.setdefault("settings", []).append(TRIALS[job.row][found["trial"]])
    names = ("evidence", "split", "row", "gamma", "seed")
    results = [
        dict(zip(names, key, strict=True)) | record | {"right": "".join(record["right"])}
        for key, record in seeds.items()
        if "-" not in record["right"]  # all folds are there
    ]
    data = {
        "clips": len(clips.labels),
        "classes": {name: int((clips.labels == k).sum()) for k, name in enumerate(clips.classes)},
        "tokens": list(clips.items.columns["tokens"].shape[1:]),
        "known": clips.known.by,
        "groups": clips.known.group.tolist(),
        "neighbours": neighbours(clips.items.columns["tokens"].flatten(1, 3).mean(1), clips.labels, clips.known),
    }
    report = {
        "command": command,
        "machine": clock.environment(),
        "version": __version__,
        "data": dict(about) | data,
        "plan": asdict(study.plan),
        "results": results,
    }
    return report | {"rows": summary(report)}


def at_places(reports: Sequence[Mapping[str, Any]], command: str) -> dict:
    """One report of the same study with merging at several places: its results say where; no merging is at none."""
    results: dict[tuple, dict] = {}
    for report in reports:
        for one in report["results"]:
            place = "" if one["row"] == "none" else report["plan"]["place"]
            results.setdefault((place, one["row"], one["split"], one["seed"]), one | {"place": place})
    places = [report["plan"]["place"] for report in reports]
    plan = reports[0]["plan"] | {"place": places}
    whole = dict(reports[0]) | {"command": command, "plan": plan, "results": list(results.values())}
    return whole | {"rows": summary(whole)}


def summary(report: Mapping[str, Any]) -> list[dict]:
    """One row for each evidence, split, gamma, strategy and, where networks merged at several, place.

    accuracy: (mean, low, high) over clips, by drawing groups; minus_none: the same of the difference to no merging,
    clip by clip; minus_paper: of that to merging where the paper does; seeds: the accuracy of each seed.
    """
    group = np.array(report["data"]["groups"])
    found: dict[tuple, list[Mapping]] = {}
    for record in report["results"]:
        key = (record["evidence"], record["split"], record["gamma"], record["row"], record.get("place", ""))
        found.setdefault(key, []).append(record)
    right = {key: np.array([[int(c) for c in one["right"]] for one in same], float) for key, same in found.items()}
    rows = []
    for (evidence, split, gamma, name, place), same in found.items():
        own = right[evidence, split, gamma, name, place]
        none = right.get((evidence, split, 1, "none", ""))
        row = {
            "evidence": evidence,
            "split": split,
            "row": name,
            "gamma": gamma,
            "seeds": own.mean(1).round(4).tolist(),
        }
        if "tokens" in same[0]:
            row["tokens"] = round(float(np.mean([one["tokens"] for one in same])))
        row["accuracy"] = bootstrap(own.mean(0), group)
        if none is not None and name != "none":
            row["minus_none"] = bootstrap(own.mean(0), group, none.mean(0))
        if place:
            row["place"] = place
            paper = right.get((evidence, split, gamma, name, PLACES[1]))
            if paper is not None and place != PLACES[1]:
                row["minus_paper"] = bootstrap(own.mean(0), group, paper.mean(0))
        rows.append(row)
    return rows


def table(report: Mapping[str, Any]) -> str:
    """The report as text: a block for each kind of evidence and split, and what the split means."""
    if isinstance(report.get("plan", {}).get("place"), list):
        return _table_of_places(report)
    parts = []
    for (evidence, split), rows in blocks(report).items():
        gammas = sorted({row["gamma"] for row in rows if row["row"] != "none"})
        head = ["", *(text for gamma in gammas for text in (f"gamma {gamma:g}", "minus no merging"))]
        lines = []
        for name in dict.fromkeys(row["row"] for row in rows):
            line = [name]
            for gamma in gammas:
                at = 1 if name == "none" else gamma
                own = [row for row in rows if (row["row"], row["gamma"]) == (name, at)]
                line += [span(own[0]["accuracy"]), span(own[0].get("minus_none"), "+")] if own else ["", ""]
            lines.append(line)
        where = f", {PLACE_WORDS[report['plan'].get('place', PLACES[1])]}" if evidence == "c" else ""
        title = f"{EVIDENCE_WORDS[evidence]}{where}, {SPLIT_WORDS[split]}"
        parts.append(f"{title}\n{aligned(head, lines)}\n{meaning(report, split)}")
    return "\n\n".join(parts)


def _table_of_places(report: Mapping[str, Any]) -> str:
    parts = []
    for (evidence, split), rows in blocks(report).items():
        head = ("", "merging", "accuracy", "minus no merging", "minus the paper's order")
        lines = [
            (row["row"], PLACE_WORDS.get(row.get("place", ""), ""), span(row["accuracy"]),
             span(row.get("minus_none"), "+"), span(row.get("minus_paper"), "+"))
            for row in sorted(rows, key=lambda row: (row["row"] != "none", row["row"]))
        ]  # fmt: skip
        title = f"{EVIDENCE_WORDS[evidence]}, {SPLIT_WORDS[split]}, gamma {report['plan']['network_gamma']:g}"
        parts.append(f"{title}\n{aligned(head, lines)}\n{meaning(report, split)}")
    return "\n\n".join(parts)


def meaning(report: Mapping[str, Any], split: str) -> str:
    """A sentence on what a split can tell, for these clips."""
    only = split == "random" and report["data"]["known"] in ("", "number")
    return ONLY_RANDOM if only else MEANING[split]


def span(values: Sequence[float] | None, sign: str = "") -> str:
    """A mean and its interval in percent: "86.7 (80.1 to 92.0)"; sign "+" for differences.

    >>> span((0.867, 0.801, 0.92)), span((-0.02, -0.05, 0.01), "+")
    ('86.7 (80.1 to 92.0)', '-2.0 (-5.0 to +1.0)')
    """
    if values is None:
        return ""
    mean, low, high = (format(100 * value, f"{sign}.1f") for value in values)
    return f"{mean} ({low} to {high})"


def blocks(report: Mapping[str, Any]) -> dict[tuple[str, str], list[dict]]:
    """The rows by evidence and split."""
    found: dict[tuple[str, str], list[dict]] = {}
    for row in report["rows"]:
        found.setdefault((row["evidence"], row["split"]), []).append(row)
    return found


@styled
def figure(report: Mapping[str, Any], gamma: float | None = None) -> Picture:
    """Every strategy minus no merging, in points, with intervals: the fair split filled, random splits open.

    Parameters
    ----------
    report : mapping
        As `load` gives it.
    gamma : float, optional
        Of (a); default: the largest.

    Returns
    -------
    Picture
        A panel for each kind of evidence.
    """
    every = blocks(report)
    kinds = list(dict.fromkeys(evidence for evidence, _ in every))
    gamma = gamma or max(row["gamma"] for row in report["rows"] if row["evidence"] == kinds[0])
    splits = list(dict.fromkeys(split for _, split in every))
    names: dict[str, list[str]] = {kind: [] for kind in kinds}
    for row in report["rows"]:
        if row["row"] != "none" and row["row"] not in names[row["evidence"]]:
            names[row["evidence"]].append(row["row"])
    fig = Picture(figsize=(8.2, 1.5 + 0.3 * max(map(len, names.values()))), layout="constrained")
    told = []
    for ax, kind in zip(np.atleast_1d(fig.subplots(1, len(kinds), sharex=True)), kinds, strict=True):
        title = EVIDENCE_WORDS[kind].split(":")[0] + (f", gamma {gamma:g}" if kind == "a" else "")
        ax.axvline(0, color=BLACK, linewidth=1)
        there = [split for split in splits if (kind, split) in every]
        for k, split in enumerate(there):
            own = every[kind, split]
            rows = {row["row"]: row for row in own if kind == "c" or row["gamma"] in (1, gamma)}
            leaky = split == "random" and len(splits) > 1
            colour, mark = (ORANGE, "D") if leaky else (BLUE, "o")
            said: list[str] = []
            for i, name in enumerate(names[kind]):
                if "minus_none" not in rows.get(name, {}):
                    continue
                mean, low, high = (100 * value for value in rows[name]["minus_none"])
                y = i + (0.17 if k else -0.17) * (len(there) > 1)
                ax.plot([low, high], [y, y], color=colour, linewidth=1.4)
                ax.scatter([mean], [y], s=26, marker=mark, color="white" if leaky else colour, edgecolor=colour,
                           linewidth=1.3, zorder=3, label=None if said else SPLIT_WORDS[split])  # fmt: skip
                said.append(f"{name} {mean:+.1f} ({low:+.1f} to {high:+.1f})")
            if said:
                none = f"no merging {100 * rows['none']['accuracy'][0]:.1f}"
                told.append(f"{title}, {SPLIT_WORDS[split]}, {none}: " + ", ".join(said))
        ax.set_yticks(range(len(names[kind])), names[kind])
        ax.set_ylim(len(names[kind]) - 0.4, -0.6)
        ax.grid(axis="y", visible=False)
        ax.set_title(title)
        ax.set_xlabel("points above no merging")
    # One panel may have fewer splits than another: each is named once.
    named = {label: handle for ax in fig.axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(named.values(), named.keys(), loc="outside lower center", ncols=len(splits), frameon=False)
    fig.alt = "Accuracy minus that of no merging, in points, with 95% intervals. " + "; ".join(told) + "."
    return fig


def save(report: Mapping[str, Any], path: Path) -> None:
    """As JSON, a line for each row and each result."""
    lines = []
    for name, value in report.items():
        text = json.dumps(value)
        if name in ("rows", "results"):
            text = "[\n" + ",\n".join(f"  {json.dumps(one)}" for one in value) + "\n ]"
        lines.append(f" {json.dumps(name)}: {text}")
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    fresh.replace(path)


def load(path: str | Path) -> dict:
    """A stored report with its rows: a path, or a name in data/results such as "real_yoga".

    Parameters
    ----------
    path : str or Path
        As above.

    Returns
    -------
    dict
        "data", "plan", "results", and "rows" as `summary` makes them of the results.
    """
    place = Path(path) if Path(path).suffix == ".json" else data_path(f"results/{path}.json")
    report = json.loads(place.read_text())
    return report | {"rows": summary(report)}


# ------------------------------------------------------------------------------------------------------ the command


def options(parser: argparse.ArgumentParser) -> None:
    """The options of `compare --data` without --masks."""
    group = parser.add_argument_group("labelled films (--data without --masks)")
    group.add_argument("--table", type=Path, help="a csv: file, label, perhaps group; default: one folder a class")
    group.add_argument("--group", metavar="REGEX", help="its first bracket takes the group out of a film's path")
    group.add_argument("--gap", type=float, default=10.0, help="minutes without a film that end a session (10)")
    group.add_argument("--splits", help="of group, time, number, random (default: the fairest, and random)")
    group.add_argument("--folds", type=int, default=5)
    group.add_argument("--frames", type=int, help="frames of a film (default: 12; painted films have 8)")
    group.add_argument("--size", type=int, help="pixels of a side of a frame (default: the encoder's, or 96)")
    group.add_argument("--elsewhere", type=Path, help="other labelled films, to learn saliency from")
    group.add_argument("--features", type=Path, help="where tokens are kept (default runs/features)")


def main(args: argparse.Namespace, encoder: Callable[[], Any], command: str) -> int:
    """The part of `python -m vtm_lesson compare` that looks at labelled films; encoder: makes it, when it is needed."""
    own: dict[str, Reducer] = {}
    try:
        if args.strategy:
            own = dict([load_own(args.strategy)])
            args.evidence = "a"  # networks would take an hour
        found = labelled(args.data, args.table)
        print(found.summary())
        frozen, home = encoder(), args.features or Path("runs/features")
        clips = gathered(_made(found, home / args.data.name, frozen, args), found, args.gap, args.group)
        folder = Path(args.folder or f"runs/labelled/{args.data.name}{'-quick' * args.quick}")
        if args.elsewhere:
            other = _made(labelled(args.elsewhere), home / args.elsewhere.name, frozen, args)
            columns = _columns(other)
            clips = replace(clips, elsewhere=Items(tokens=columns["tokens"], label=columns["label"]))
        if args.decoder:
            clips = replace(clips, decoder=_decoded(clips, args.decoder, folder))
        plan = _plan(args, clips.known)
        places = tuple(args.places or (plan.place,))
        if len(places) > 1 and plan.evidence != "c":
            raise ValueError(
                f"places are {','.join(places)}; several of them need --evidence c: only networks have one."
            )
        studies = [LabelledStudy(clips, replace(plan, place=place), folder, own=own) for place in places]
        study = studies[0]
        if taken := set(own) & set(LabelledStudy(clips, plan, folder).rows("a")):
            raise ValueError(f"{args.strategy}: a row named {taken.pop()} is there already; give yours another name.")
    except (ListError, ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(clips.labels)} clips. {_known(clips.known, args.gap)}")
    left = len({(place, job) for place, one in zip(places, studies, strict=True)
                for job in one.jobs() if job not in one.results and (one is study or job.row != "none")})  # fmt: skip
    print(f"{left} results to make: some seconds each, networks a minute or more. Stopped, the same command goes on.")
    about, reports = {"name": found.name, "gap": args.gap, "encoder": args.encoder}, []
    for one in studies:
        one.results |= {job: values for job, values in study.results.items() if job.row == "none"}  # at no place
        one.run()
        reports.append(make_report(one, about, command))
    report = at_places(reports, command) if len(reports) > 1 else reports[0]
    path = args.out or folder / "labelled.json"
    save(report, path)
    print(f"\n{table(report)}")
    if len(reports) == 1:
        path.with_suffix(".png").write_bytes(png(figure(report)))
        print(f"\nfigure  {path.with_suffix('.png')}")
    print(f"JSON    {path}")
    return 0


def _known(known: Grouped, gap: float) -> str:
    groups = len(np.unique(known.group))
    return {
        "group": f"{groups} groups are named.",
        "time": f"Names hold dates: {groups} sessions, with more than {gap:g} minutes between them.",
        "number": "Names hold numbers, but neither dates nor groups.",
        "": "Names hold neither dates, groups nor numbers.",
    }[known.by]


def _made(found: VideoList, folder: Path, encoder: Any, args: argparse.Namespace) -> Features:
    """The features of films, made where they are not there yet; of as many frames as the folder has."""
    frames, what = args.frames or FRAMES, folder / "what.json"
    if what.exists():
        frames = json.loads(what.read_text())["settings"]["frames"]
    return features(found, folder, encoder, Settings(frames, args.size or encoder.size or 96, encoder.patch))


def _decoded(clips: Clips, path: Path, folder: Path) -> torch.Tensor:
    """The decoder's maps, kept for the next time."""
    kept, tokens = folder / "decoder.safetensors", clips.items.columns["tokens"]
    if not kept.exists():
        print(f"A saliency decoder looks at {len(tokens)} clips: about a second each, kept for the next time.")
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"decoder": decoded(tokens, path)}, kept)
    maps = load_file(kept)["decoder"]
    if maps.shape != tokens.shape[:-1]:
        raise ValueError(f"{kept} holds maps of other clips: delete it.")
    return maps


def _plan(args: argparse.Namespace, known: Grouped) -> Plan:
    plan = QUICK if args.quick else Plan()
    splits = tuple(args.splits.split(",")) if args.splits else tuple(dict.fromkeys((known.splits[0], "random")))
    given: dict[str, Any] = {"splits": splits, "folds": args.folds}
    given |= {name: value for name in ("gamma", "evidence", "seeds", "epochs") if (value := getattr(args, name))}
    if args.seeds:
        given["network_seeds"] = args.seeds
    if args.strategies:
        given["only"] = args.strategies
    if args.places:
        given["place"] = args.places[0]
    return replace(plan, **given)
