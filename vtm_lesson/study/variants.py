"""The paper's smaller tables in miniature: gamma, R, chunks, averages, pooling; one change at a time, trained anew.

    python -m vtm_lesson variants --folder runs/compare      on top of a study; stopped, it carries on where it was

Films, networks, recipe and chosen settings are those of a study (`vtm_lesson.study`) in the same folder, and networks
that it has trained are taken over. Each variant of learnable VTM is trained on every seed. A control is trained on
shuffled labels: were it better than chance, something would tell the label that should not. Two variants train for
longer, to see whether the study stopped too early.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from .. import films
from ..network.model import VideoClassifier, count
from ..paths import data_path
from ..training.loop import Items
from .experiment import PLACES, TRIALS, Comparison, Study, network
from .report import PLACE_WORDS, machine, write
from .statistics import by_seed, interval

EARLY, LATE = PLACES
BASE = "gamma 6, R = |S|"
NONE, SHUFFLED = "no merging", "labels shuffled in training"
LONGER, FEW_SEEDS = 12, 3  # epochs in place of the study's 6, on this many seeds: they take twice as long

# Variants by place and name: what differs from gamma 6, R = |S|, plain averages, mean pooling, and the study's chunks.
_BUDGETS = {
    BASE: {},
    "gamma 2, R = |S|": {"gamma": 2},
    "gamma 10, R = |S|": {"gamma": 10},
    "gamma 6, R = 0.5|S|": {"r": 0.5},
    "gamma 6, R = 0.8|S|": {"r": 0.8},
    # The auxiliary path trains what it shares with the main one, too. Here it does so while targets are random.
    "random, auxiliary path": {"partition": "random", "saliency": True},
}
VARIANTS: dict[str, dict[str, dict]] = {
    LATE: {
        NONE: {"partition": None, "gamma": 1},
        **_BUDGETS,
        "chunks (1, 4, 8)": {"chunks": (1, 4, 8)},
        "chunks (1, 2, 8)": {"chunks": (1, 2, 8)},
        "chunks (8, 8, 8)": {"chunks": (8, 8, 8)},
        "average weighted by size": {"average": "size"},
        "average weighted by motion": {"average": "motion"},
        "pooling weighted by size": {"pooling": "size"},
        "pooling weighted by motion": {"pooling": "motion"},
        SHUFFLED: {},
        f"{NONE}, {LONGER} epochs": {"partition": None, "gamma": 1, "epochs": LONGER},
        f"{BASE}, {LONGER} epochs": {"epochs": LONGER},
    },
    EARLY: _BUDGETS,
}


class Variants(Comparison):
    """A study's films and folder, with other networks."""

    def jobs(self) -> Iterator[tuple[str, Callable[[], dict]]]:
        if self.study.tune:  # the temperature of learnable VTM is the study's choice
            for k in range(len(TRIALS["learnable"])):
                yield f"tune/learnable/{k}", partial(self._trial, "learnable", k)
        for place, variants in VARIANTS.items():
            for seed in range(self.study.seeds):
                for name in variants:
                    if seed < FEW_SEEDS or "epochs" not in variants[name]:
                        yield f"v/{place}/{name}/seed{seed}", partial(self._variant, place, name, seed)

    def model(self, place: str, name: str) -> VideoClassifier:
        """The network of a variant."""
        settings = {"temperature": self.chosen("learnable")["temperature"], "merge_at": place}
        settings |= {"partition": "learnable", "gamma": 6, "r": 1.0} | VARIANTS[place][name]
        settings = network(self.study) | settings
        settings.pop("epochs", None)
        if settings["partition"] is None:
            del settings["temperature"]
        # Films of a small study may be shorter than a chunk.
        settings["chunks"] = tuple(min(length, self.study.frames) for length in settings["chunks"])
        return VideoClassifier(**settings)

    def _variant(self, place: str, name: str, seed: int) -> dict:
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            model = self.model(place, name)
        if name == NONE:
            folder = self._weights("none", PLACES[0], 1, 1.0, seed)
        elif name == BASE:
            folder = self._weights("learnable", place, 6, 1.0, seed)
        else:
            plain = "".join(letter if letter.isalnum() or letter == "." else "_" for letter in name)
            folder = self._weights(f"learnable-{plain}", place, model.blocks[0].gamma, model.blocks[0].r, seed)
        whole = self.train
        if name == SHUFFLED:
            order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(seed))
            self.train = Items(**whole.columns | {"label": whole.columns["label"][order]})
        try:
            record = self._fitted(model, folder, seed, name, VARIANTS[place][name].get("epochs"))
        finally:
            self.train = whole
        ledgers = (count(model, *self.study.grid, training=training) for training in (False, True))
        return record | dict(zip(("flops", "training_flops"), (ledger.flops for ledger in ledgers), strict=True))


def rows(results: Mapping[str, dict]) -> list[dict]:
    """One row for each place and variant: accuracy with its interval overall and in each way of filming, the difference
    to no merging seed by seed, and FLOPs of a forward pass, at inference and in training, as shares of no merging's."""
    found: dict[tuple[str, str], list[dict]] = {}
    for key, record in by_seed(results, "v"):
        _, place, name, _ = key.split("/")
        found.setdefault((place, name), []).append(record)
    whole = found.get((LATE, NONE), [])
    table = []
    for (place, name), records in found.items():
        row = {"place": place, "name": name, "seeds": len(records), "tokens": records[0]["tokens"]}
        row["accuracy"] = {"all": interval([record["accuracy"] for record in records])}
        row["accuracy"] |= {way: interval([record["ways"][way] for record in records]) for way in films.WAYS}
        pairs = list(zip(records, whole, strict=False))
        if pairs:
            row["minus_none"] = interval([one["accuracy"] - other["accuracy"] for one, other in pairs])
            row["flops"] = records[0]["flops"] / whole[0]["flops"]
            row["training_flops"] = records[0]["training_flops"] / whole[0]["flops"]
        table.append(row)
    return table


def table(report: Mapping) -> str:
    """The report as text."""
    lines = []
    for place in VARIANTS:
        mine = [row for row in report["rows"] if row["place"] == place]
        if not mine:
            continue
        lines.append(f"\n{PLACE_WORDS[place]}: accuracy in percent, mean ± 95% interval over seeds")
        head = f"{'':30s}{'seeds':>6s}{'tokens':>8s}{'accuracy':>14s}{'minus none':>14s}"
        lines.append(f"{head}{'FLOPs':>10s}{'training':>10s}")
        for row in mine:
            accuracy, minus = _percent(row["accuracy"]["all"]), _percent(row.get("minus_none"))
            line = f"{row['name']:30s}{row['seeds']:6d}{row['tokens']:8d}{accuracy:>14s}{minus:>14s}"
            lines.append(line + (f"{row['flops']:10.3f}{row['training_flops']:10.3f}" if "flops" in row else ""))
    return "\n".join(lines).lstrip("\n")


def load(path: str | Path | None = None) -> dict:
    """A stored report, by default that of the full study in data/results, with its rows."""
    report = json.loads(Path(path or data_path("results/variants.json")).read_text())
    return report | {"rows": rows(report["results"])}


def save(comparison: Comparison, command: str, path: Path) -> dict:
    """As JSON: one line a result, and the table for the eye."""
    results = {key: record for key, record in comparison.results.items() if key.startswith("v/")}
    settings = comparison.chosen("learnable")
    report = {"command": command, "machine": machine(), "settings": settings, "variants": VARIANTS}
    report |= {"results": results, "rows": rows(results)}
    write(report | {"table": table(report).splitlines()}, path)
    return report


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python -m vtm_lesson variants`."""
    parser = argparse.ArgumentParser(prog="python -m vtm_lesson variants", description=__doc__.split("\n\n")[0])
    parser.add_argument("--folder", default="runs/compare", help="the folder of a study (default runs/compare)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that make films")
    parser.add_argument("--report", help="only show the table of this JSON file")
    args = parser.parse_args(argv)
    if args.report:
        try:
            print(table(load(args.report)))
        except FileNotFoundError:
            print(f"{args.report} is not there; --report takes the JSON of an earlier call.", file=sys.stderr)
            return 2
        return 0
    folder = Path(args.folder)
    try:
        comparison = Variants(Study(), folder, workers=args.workers)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    left = sum(key not in comparison.results for key, _ in comparison.jobs() if key.startswith("v/"))
    print(f"{left} networks to train, half a minute to a minute each; those that {folder} holds are taken over")
    comparison.run()
    command = "python -m vtm_lesson variants " + " ".join(sys.argv[1:] if argv is None else argv)
    print(table(save(comparison, command.strip(), folder / "variants.json")))
    print(f"\nJSON    {folder / 'variants.json'}")
    return 0


def _percent(values: tuple[float, float, float] | None) -> str:
    if values is None:
        return ""
    mean, low, high = values
    return f"{100 * mean:.1f}" + (f" ± {100 * (high - mean):.1f}" if high > low else "")


if __name__ == "__main__":
    raise SystemExit(main())
