"""The paper's smaller tables in miniature: gamma, R, chunks, averages, pooling; one change at a time, trained anew.

    python -m vtm_lesson variants --folder runs/compare      on top of a study; stopped, it carries on where it was

Films, networks, recipe and chosen settings are those of a study (`study.experiment`) in the same folder, and networks
that it has trained are taken over. Each variant of learnable VTM is trained on every seed. A control is trained on
shuffled labels: were it better than chance, something would tell the label that should not. Two variants train for
longer, to see whether the study stopped too early.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch

from .. import films
from ..measuring import clock
from ..network.model import VideoClassifier, count
from ..paths import data_path
from ..training.loop import Items
from .experiment import Comparison, network
from .jobs import PLACES, Job, Study, without_merging
from .report import PLACE_WORDS, aligned, percent, read, write
from .statistics import interval, together

EARLY, LATE = PLACES[:2]
BASE = "gamma 6, R = |S|"
NONE, SHUFFLED = "no merging", "labels shuffled in training"
LONGER, FEW_SEEDS = 12, 3  # epochs in place of the study's 6, on this many seeds: they take twice as long

# Variants by place and name: what differs from gamma 6, R = |S|, plain averages, mean pooling, and the study's chunks.
_BUDGETS: dict[str, dict] = {
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

    def jobs(self) -> Iterator[Job]:
        """Every variant on every seed, after the trials that the study chose learnable VTM's settings by."""
        if self.study.tune:
            yield from self.trials("learnable")
        for place, variants in VARIANTS.items():
            for seed in range(self.study.seeds):
                for name in variants:
                    if seed < FEW_SEEDS or "epochs" not in variants[name]:
                        yield variant(place, name, seed)

    def do(self, job: Job) -> dict:
        """Measure what a job asks for."""
        return self._variant(job) if job.evidence == "variant" else super().do(job)

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

    def _variant(self, job: Job) -> dict:
        with torch.random.fork_rng([]):
            torch.manual_seed(job.seed)
            model = self.model(job.place, job.name)
        if job.name == NONE:
            folder = self.weights(without_merging(job.seed))
        elif job.name == BASE:
            folder = self.weights(job)
        else:
            plain = "".join(letter if letter.isalnum() or letter == "." else "_" for letter in job.name)
            folder = self.weights(job, f"learnable-{plain}")
        whole = self.train
        if job.name == SHUFFLED:
            order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(job.seed))
            self.train = Items(**whole.columns | {"label": whole.columns["label"][order]})
        try:
            values = self.fitted(model, folder, job.seed, job.name, VARIANTS[job.place][job.name].get("epochs"))
        finally:
            self.train = whole
        ledgers = (count(model, *self.study.grid, training=training) for training in (False, True))
        return values | dict(zip(("flops", "training_flops"), (ledger.flops for ledger in ledgers), strict=True))


def variant(place: str, name: str, seed: int) -> Job:
    """The job of one variant on one seed."""
    settings = {"partition": "learnable", "gamma": 6, "r": 1.0} | VARIANTS[place][name]
    strategy = settings["partition"] or "none"
    return Job("variant", strategy, place, settings["gamma"], settings["r"], seed, name=name)


def rows(records: Iterable[Mapping]) -> list[dict]:
    """One row for each place and variant: accuracy with its interval overall and in each way of filming, the difference
    to no merging seed by seed, and FLOPs of a forward pass, at inference and in training, as shares of no merging's."""
    found = together((record for record in records if record["evidence"] == "variant"), "place", "name")
    whole = found.get((LATE, NONE), [])
    table = []
    for (place, name), same in found.items():
        row = {"place": place, "name": name, "seeds": len(same), "tokens": same[0]["tokens"]}
        row["accuracy"] = {"all": interval([record["accuracy"] for record in same])}
        row["accuracy"] |= {way: interval([record["ways"][way] for record in same]) for way in films.WAYS}
        pairs = list(zip(same, whole, strict=False))
        if pairs:
            row["minus_none"] = interval([one["accuracy"] - other["accuracy"] for one, other in pairs])
            row["flops"] = same[0]["flops"] / whole[0]["flops"]
            row["training_flops"] = same[0]["training_flops"] / whole[0]["flops"]
        table.append(row)
    return table


def table(report: Mapping) -> str:
    """The report as text."""
    head = ("", "seeds", "tokens", "accuracy", "minus none", "FLOPs", "training")
    parts = []
    for place in VARIANTS:
        cells = []
        for row in (row for row in report["rows"] if row["place"] == place):
            accuracy = percent(row["accuracy"]["all"]), percent(row.get("minus_none"))
            spent = [f"{row[what]:.3f}" if what in row else "" for what in ("flops", "training_flops")]
            cells.append((row["name"], row["seeds"], row["tokens"], *accuracy, *spent))
        if cells:
            title = f"{PLACE_WORDS[place]}: accuracy in percent, mean ± 95% interval over seeds"
            parts.append(f"{title}\n{aligned(head, cells)}")
    return "\n\n".join(parts)


def load(path: str | Path | None = None) -> dict:
    """A stored report, by default that of the full study in data/results, with its rows."""
    report = read(path or data_path("results/variants.json"))
    return report | {"rows": rows(report["results"])}


def save(comparison: Comparison, command: str, path: Path) -> dict:
    """As JSON: one line a result, and the table for the eye."""
    results = comparison.records("variant")
    settings = comparison.chosen("learnable")
    report = {
        "command": command,
        "machine": clock.environment(),
        "settings": settings,
        "variants": VARIANTS,
        "results": results,
        "rows": rows(results),
    }
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
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        return 0
    folder = Path(args.folder)
    try:
        comparison = Variants(Study(), folder, workers=args.workers)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    left = sum(job not in comparison.results for job in comparison.jobs() if job.evidence == "variant")
    print(f"{left} networks to train, half a minute to a minute each; those that {folder} holds are taken over")
    comparison.run()
    command = "python -m vtm_lesson variants " + " ".join(sys.argv[1:] if argv is None else argv)
    print(table(save(comparison, command.strip(), folder / "variants.json")))
    print(f"\nJSON    {folder / 'variants.json'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
