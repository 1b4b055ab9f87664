"""Write the tables of RESULTS.md anew from the stored results, so that they say what was measured and nothing else.

    python tools/results_page.py            write
    python tools/results_page.py --check    only look; fails where RESULTS.md and data/results disagree

A table stands in RESULTS.md between `<!-- table NAME -->` and `<!-- end -->`, with the sentences that its numbers make.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "RESULTS.md"
RESULTS = ROOT / "data" / "results"
sys.path.insert(0, str(ROOT))  # the package need not be installed to write its results

from vtm_lesson import films  # noqa: E402
from vtm_lesson.measuring.bench_pieces import PIECES, is_done  # noqa: E402
from vtm_lesson.measuring.clock import MIB  # noqa: E402
from vtm_lesson.study import budgets, hours  # noqa: E402
from vtm_lesson.study import gradients_command as study_gradients  # noqa: E402
from vtm_lesson.study import hours_command as study_hours  # noqa: E402
from vtm_lesson.study import labelled as study_labelled  # noqa: E402
from vtm_lesson.study import phase_command as study_phase  # noqa: E402
from vtm_lesson.study import report as study_report  # noqa: E402
from vtm_lesson.study import variants as study_variants  # noqa: E402
from vtm_lesson.study.longform_table import error  # noqa: E402
from vtm_lesson.study.report import PLACE_WORDS, percent  # noqa: E402
from vtm_lesson.study.statistics import difference, row_name, verdicts  # noqa: E402

PLACES = ("after_attention", "before_attention")
STRATEGIES = ("none", "random", "uniform", "boundary", "centre", "motion", "relative", "learnable", "oracle")
GAMMA = 6
FUSED = "no merging"  # of a stored run's rows
BASELINES = {"fused": FUSED, "stored": "no merging, stored scores"}
WORDS = {"fused": "fused attention", "stored": "stored scores"}
HEADLINE = "learnable, gamma 10, R = |S|, merged scores"
VERSIONS = (
    "learnable, gamma 6, R = |S|",
    "learnable, gamma 10, R = |S|",
    "learnable, gamma 6, R = |S|, merged scores",
    HEADLINE,
    "learnable, gamma 6, R = |S|, by chunks",
    f"{HEADLINE}, by chunks",
    "learnable, gamma 6, R = |S|, merging first",
)
QUERIES = ("learnable, gamma 6, R = |S|, merged queries", "learnable, gamma 10, R = |S|, merged queries")
HALF = tuple(f"{version}, bfloat16" for version in QUERIES)
NEWEST = "machine C"  # of bench_network.json; other machines' runs have their letters in their files' names
BOLD = "Bold: the interval of the difference, seed by seed, leaves out zero."


# ---------------------------------------------------------------------------------------------------- the comparison


def retention() -> str:
    report = study_report.load()
    rows = [row for row in report["rows"] if row["evidence"] == "a" and row["gamma"] == GAMMA]
    head = ("", "tokens left", "all films", *films.WAYS, f"actor recall: {', '.join(films.WAYS)}")
    cells = []
    for row in rows:
        accuracy = [percent(row["accuracy"][way]["interval"]) for way in ("all", *films.WAYS)]
        recall = " / ".join(f"{row['recall'][way]['interval'][0]:.2f}" for way in films.WAYS)
        cells.append((row_name(row), row["tokens"], *accuracy, recall))
    return _table(head, cells) + f"\n\nOver all films: {_first(rows)} {_studied(report, f'gamma {GAMMA}, R = |S|')}"


def trained() -> str:
    report = study_report.load()
    rows = {(row["place"], row["strategy"]): row for row in report["rows"] if row["evidence"] == "c"}
    costs = {(one["place"], one["strategy"]): one for one in report["results"] if one["evidence"] == "cost"}
    none = rows["", "none"]
    head = [""]
    for place in PLACES:
        head += [PLACE_WORDS[place], "minus no merging", "FLOPs"]
    cells = []
    for name in (name for name in STRATEGIES if (PLACES[0], name) in rows or name == "none"):
        line = [name]
        for place in PLACES:
            row = none if name == "none" else rows[place, name]
            gap = "" if name == "none" else _gap(difference(row, none))
            cost = costs.get((place, name))
            line += [
                percent(row["accuracy"]["all"]["interval"]), gap, "" if cost is None else f"1/{cost['flops_ratio']:.1f}"
            ]  # fmt: skip
        cells.append(line)
    told = []
    for place in PLACES:
        same = [row for (where, _), row in rows.items() if where == place and row["gamma"] == GAMMA]
        told.append(f"{PLACE_WORDS[place].capitalize()}: {_first(same)}")
    return _table(head, cells) + f"\n\n{' '.join(told)} {BOLD} {_studied(report, f'gamma {GAMMA}, R = |S|')}"


def plugged() -> str:
    report = study_report.load()
    rows = {
        (row["place"], row["strategy"], row["gamma"]): row["accuracy"]["all"]["interval"]
        for row in report["rows"]
        if row["evidence"] == "b"
    }
    columns = [(place, gamma) for place in PLACES for gamma in report["study"]["plug_gammas"]]
    head = ["", *(f"{PLACE_WORDS[place]}, gamma {gamma:g}" for place, gamma in columns)]
    first, least = columns[0]
    names = [name for name in STRATEGIES if (first, name, least) in rows]
    cells = [(name, *(percent(rows[place, name, gamma]) for place, gamma in columns)) for name in names]
    (whole,) = [row for row in report["rows"] if row["evidence"] == "c" and row["strategy"] == "none"]
    told = f"The same networks without merging: {percent(whole['accuracy']['all']['interval'])}."
    return _table(head, cells) + f"\n\n{told} {_studied(report, 'R = |S|')}"


def queries() -> str:
    """The place where queries merge beside the two others: networks trained alike, and read in bfloat16."""
    study, other = study_report.load(RESULTS / "compare_queries.json"), study_report.load()
    rows = {(row["evidence"], row["place"], row["strategy"]): row for row in (*other["rows"], *study["rows"])
            if row["evidence"] in "ch"}  # fmt: skip
    cells = []
    for name in STRATEGIES[1:]:
        paper, first, own, half = (
            rows[kind, place, name]
            for kind, place in (("c", PLACES[0]), ("c", PLACES[1]), ("c", "queries"), ("h", "queries"))
        )
        gaps = _gap(difference(own, paper)), _gap(difference(own, first)), _gap(difference(half, own))
        cells.append((name, *(percent(row["accuracy"]["all"]["interval"]) for row in (own, paper, first)), *gaps))
    head = ("", PLACE_WORDS["queries"], *(PLACE_WORDS[place] for place in PLACES), "queries minus the paper's order",
            "queries minus merging first", "in bfloat16, minus in float32")  # fmt: skip
    told = "Networks of the other two places are those of (c) above, with the same seeds, films and recipe."
    gammas = study["study"]["plug_gammas"]
    at = {(row["place"], row["strategy"], row["gamma"]): row for row in (*other["rows"], *study["rows"])
          if row["evidence"] == "b"}  # fmt: skip
    plug = []
    for name in STRATEGIES[1:]:
        line = [name]
        for gamma in gammas:
            own, paper = (at[place, name, gamma] for place in ("queries", PLACES[0]))
            line += [percent(own["accuracy"]["all"]["interval"]), _gap(difference(own, paper))]
        plug.append(line)
    below = ("plugged in", *(word for gamma in gammas for word in (f"gamma {gamma:g}", "minus the paper's order")))
    end = f"{told} {BOLD} {_studied(study, f'R = |S|; trained at gamma {GAMMA}')}"
    return "\n\n".join([_table(head, cells), _table(below, plug), end])


def phase() -> str:
    """When the choice of targets matters: the screen's grid, and the networks at the cells that its rules chose."""
    return _phase("phase")


def phase_long() -> str:
    """The same in films twice as long."""
    return _phase("phase_long")


def _phase(name: str) -> str:
    report = study_phase.load(name)
    study = report["study"]
    cells = {rule: study_phase.Cell.of(text) for rule, text in report["chosen"].items()}
    chosen = {rule: study_phase.words(cell, study["frames"]) for rule, cell in cells.items()}
    head = ("gamma", "actor", "props", "frames that show it", "no merging", "random", "learned", "oracle",
            "learned - random", "oracle - random", "recall of learned")  # fmt: skip
    parts = []
    for part, title in (("screen", "(screen) a linear reader"), ("trained", "(trained) networks")):
        for place in dict.fromkeys(row["place"] for row in report[part]):
            cells = []
            for row in (row for row in report[part] if row["place"] == place):
                names = ("none", "random", "learnable", "oracle")
                gaps = [_gap(row["minus_random"][name]) if name in row["minus_random"] else "" for name in names[2:]]
                shown = [percent(row["accuracy"].get(name)) for name in names]
                recall = f"{row['recall']['learnable'][0]:.2f}" if "learnable" in row["recall"] else ""
                axes = f"{row['gamma']:g}", f"x{row['stature']:g}", row["props"], f"{row['shown']}/{study['frames']}"
                cells.append((*axes, *shown, *gaps, recall))
            where = f", {PLACE_WORDS[place]}" if place else ""
            parts.append(f"{title}{where}\n\n{_table(head, cells)}")
    told = (
        f"Percent, mean ± 95% interval (Student's t) over {study['seeds']} seeds, each with {study['films']} films of"
        f" its own; chance is {100 / len(films.GESTURES):.1f}."
    )
    if report["trained"]:
        axes = ("stature", "shown", "props", "gamma")
        there = {str(study_phase.Cell(*(row[name] for name in axes))) for row in report["trained"]}
        later = [words for rule, words in chosen.items() if report["chosen"][rule] not in there]
        told += (
            f" Networks have {study['train']} films for training, {study['valid']} to choose the epoch and"
            f" {study['test']} for the test. Cells were chosen on the screen alone, by rule:"
            f" {'; '.join(f'{rule}, {words}' for rule, words in chosen.items())}."
        )
        told += f" Not trained yet: {'; '.join(later)}." * bool(later)
    return "\n\n".join([*parts, f"{told} {BOLD} {_made(report)}"])


def gradients() -> str:
    """Gradients through the choice: networks at each place, their costs, and the gradients themselves on toys."""
    report = study_gradients.load()
    study, words = report["study"], study_gradients.WORDS
    head = ("saliency learned by", "setting", "at test", "accuracy", "minus random", "minus auxiliary", "recall",
            "time of a step", "memory of a step")  # fmt: skip
    parts = []
    for place in report["chosen"]:
        cells = []
        for row in (row for row in report["rows"] if row["place"] == place):
            known = row["gradient"] not in study_gradients.CONTROLS
            gaps = [_gap(row[f"minus_{other}"]) if row[f"minus_{other}"] else "" for other in ("random", "auxiliary")]
            cost = row["cost"]
            spent = (f"x{cost['time']['median']:.1f}", f"x{cost['memory']:.1f}") if cost else ("", "")
            how = (f"{row['setting']:g}", row["choice"]) if known else ("", "")
            shown = percent(row["accuracy"]), *gaps, f"{row['recall'][0]:.2f}"
            cells.append((words[row["gradient"]], *how, *shown, *spent))
        parts.append(f"(trained) {PLACE_WORDS[place]}\n\n{_table(head, cells)}")
    head = ("gradient", "setting", "bias", "noise", "direction", "downhill", "toys against")
    cells = [
        (words[row["gradient"]], f"{row['setting']:g}", *(f"{row[name]:.2f}" for name in head[2:6]), row["against"])
        for row in report["toys"]
    ]
    parts.append(f"(toy) {study['toys']} choices of 3 tokens of 8, all 56 sets tried\n\n{_table(head, cells)}")
    told = (
        f"Percent, mean ± 95% interval (Student's t) over {study['seeds']} seeds; films of {study['frames']} frames,"
        f" the actor in {study['shown']} of them; {study['train']} for training, {study['valid']} for validation,"
        f" {study['test']} for the test; gamma {study['gamma']:g}, R = |S|; {study['epochs']} epochs. Each setting is"
        " the best of three on validation films of its own. A step: as a multiple of one with random targets, in turns;"
        " memory is that of tensors. Toys: medians of bias and noise, in lengths of the exact gradient, of the cosine"
        " between mean and exact gradient (direction), and of the share of single estimates that point to its side"
        " (downhill); and how many toys have a cosine below 0."
    )
    return "\n\n".join([*parts, f"{told} {BOLD} {_made(report)}"])


def yoga_places() -> str:
    """Networks trained on the yoga clips with merging in three places."""
    report = study_labelled.load("real_yoga_places")
    rows = sorted(report["rows"], key=lambda row: row["row"] != "none")
    cells = [
        (row["row"], PLACE_WORDS.get(row.get("place", ""), ""), len(row["seeds"]), _real_cell(row),
         _bold_span(row["minus_paper"]) if "minus_paper" in row else "")
        for row in rows
    ]  # fmt: skip
    head = ("", "merging", "seeds", "accuracy", "minus the paper's order")
    data = report["data"]
    told = (
        f"{data['clips']} clips, split by time, gamma {report['plan']['network_gamma']:g}. Accuracy, and in brackets"
        f" points above no merging; every interval is a 95% one from {len(set(data['groups']))} sessions drawn with"
        " replacement, bold where it leaves out zero."
    )
    return f"{_table(head, cells)}\n\n{told} {_made(report)}"


def variants() -> str:
    report = study_variants.load()
    rows = {(row["place"], row["name"]): row for row in report["rows"]}
    head = ("", "seeds", "tokens left", "accuracy", "minus no merging", "FLOPs", "FLOPs in training")
    parts = []
    for place, names in report["variants"].items():
        cells = []
        for row in (rows[place, name] for name in names):
            spent = [f"{row[what]:.3f}" for what in ("flops", "training_flops")]
            gap = "" if row["name"] == study_variants.NONE else _gap(row["minus_none"])
            cells.append((row["name"], row["seeds"], row["tokens"], percent(row["accuracy"]["all"]), gap, *spent))
        parts.append(_table((PLACE_WORDS[place], *head[1:]), cells))
    told = "Percent, mean ± 95% interval (Student's t) over seeds; FLOPs of a forward pass, as shares of no merging's."
    return "\n\n".join([*parts, f"{told} {BOLD} {_made(report)}"])


def masks() -> str:
    result = _stored("real_masks")
    found = {name: [round(value, 2) + 0.0 for value in triple] for name, triple in result["recall"].items()}
    rows = [(name, f"{mean:.2f}", f"{low:.2f} to {high:.2f}") for name, (mean, low, high) in found.items()]
    s = result["settings"]
    side = s["size"] // s["patch"]
    told = (
        f"{len(result['films'])} films: {', '.join(result['films'])}; {s['frames']} frames of {side} x {side} "
        f"patches, gamma {s['gamma']:g}, chance {1 / s['gamma']:.2f}; a patch is the object's if {s['object']:.0%} of "
        f"it is; {s['draws']} draws of each. The interval is over films. Settings of motion and learned saliency come "
        "from painted films, those of relative motion from a trial on DAVIS-2016. Learned: by pooling, from "
        "labels of other clips (yoga: poses; surveillance: fight or not), 5 seeds in turn. Decoder: trained on masks "
        "by others. Both see tokens of a ViT-S/14, as many a frame as there are patches."
    )
    return _table(("targets", "recall of the object", "95% interval"), rows) + f"\n\n{told} {_made(result)}"


def stand_in() -> str:
    """Painted films in the place of four data sets: what shows that the way from films to scores works."""
    result = _stored("stand_in")
    cells = []
    for row in result["rows"]:
        counts, classes = row["counts"], row["task"] == "class"
        films_ = " / ".join(str(counts[split]) for split in ("train", "val", "test") if split in counts)
        shown = percent(row["interval"]) if classes else error(row["interval"])
        by_seed = ", ".join(f"{100 * value:.1f}" if classes else f"{value:.3f}" for value in row["test"])
        guess = sum(row["guess"]) / len(row["guess"])
        what = "accuracy, percent" if classes else "squared error"
        told = f"{100 * guess:.1f}" if classes else f"{guess:.3f}"
        cells.append((row["data"], row["partition"], films_, what, by_seed, shown, told))
    head = ("stand-in for", "partition", "films: train, val, test", "score", "by seed", "mean", "without seeing films")
    made, config, seeds = result["features"], result["config"], len(result["rows"][0]["seeds"])
    told = (
        f"Mean ± 95% interval (Student's t) over {seeds} seeds. Without seeing films: the most "
        f"frequent class of the training films, or their mean value. Painted films, {made['frames']} frames of "
        f"{made['size']} x {made['size']} pixels; gamma {config['gamma']:g}, R/|S| {config['r']:g}, chunks "
        f"{tuple(config['chunks'])}, {config['epochs']} epochs. Where a list has no val, a fifth of the training films "
        "validates. Nothing here is comparable with the paper."
    )
    return f"{_table(head, cells)}\n\n{told} {_made(result)}"


def _first(rows: Sequence[Mapping]) -> str:
    """Who is ahead over all films, and of whom that cannot be said."""
    return verdicts(rows)[0].removeprefix("all: ") + "."


def _studied(report: Mapping, budget: str) -> str:
    study = report["study"]
    made = f"{study['test']:,} test films of {study['frames']} frames of {study['size']} x {study['size']} pixels"
    about = f"Percent, mean ± 95% interval (Student's t) over {study['seeds']} seeds; {made}; {budget}."
    return f"{about} {_made(report)}"


def _gap(values: tuple[float, float, float]) -> str:
    _, low, high = values
    text = percent(values).removeprefix("-") if abs(round(values[0], 3)) == 0 else percent(values)
    return text if low <= 0 <= high else f"**{text}**"


# ------------------------------------------------------------------------------------------------- time and memory


def network_runs() -> dict[str, dict]:
    """All stored runs of the paper's network on processors, by machine and run; the newest has the short file name."""
    runs = {}
    for path in sorted(RESULTS.glob("bench_network_machine_*.json")):
        machine, run = path.stem.removeprefix("bench_network_machine_").split("_run_")
        runs[f"machine {machine}, run {run}"] = _stored(path.stem)
    return runs | {NEWEST: _stored("bench_network")}


def speeds(runs: Mapping[str, Mapping], version: str, baseline: str) -> dict[str, float]:
    """Run -> how many times as fast as the baseline ("fused" or "stored", without merging) one version was."""
    ran = {run: result for run, result in runs.items() if has(result, version)}
    return {run: _row(result, version)[f"speedup_over_{baseline}"]["median"] for run, result in ran.items()}


def has(result: Mapping, version: str) -> bool:
    """Whether a stored run has this version: later ones have more of them."""
    return any(row["name"] == version for row in result["rows"])


def allowed(runs: Mapping[str, Mapping], version: str) -> float:
    """How many times fewer FLOPs than no merging one version has: what its speed would be at the same FLOP/s."""
    ran = [result for result in runs.values() if has(result, version)]
    (ratio,) = {_row(result, FUSED)["flops"] / _row(result, version)["flops"] for result in ran}
    return ratio


def span(values: Iterable[float]) -> str:
    """From the smallest to the largest: x6.26 to x6.65, or x10.43 where they are the same."""
    values = sorted(values)
    return " to ".join(dict.fromkeys(f"x{value:.2f}" for value in (values[0], values[-1])))


def by_machine(values: Mapping[str, float]) -> str:
    """The span of each machine: x10.43 on machine A, x6.26 to x6.65 on machine B."""
    machines: dict[str, list[float]] = {}
    for run, value in values.items():
        machines.setdefault(run.split(",")[0], []).append(value)
    return ", ".join(f"{span(several)} on {machine}" for machine, several in machines.items())


def machines() -> str:
    """What does not depend on the machine first: ratios to fused attention, beside what the FLOPs allow."""
    runs = network_runs()
    cells: list[tuple[str, ...]] = [
        ("matrix products", "", *(f"{run['ceilings']['flops_per_second'] / 1e9:.0f} GFLOP/s" for run in runs.values())),
        ("copy of an array", "", *(f"{run['ceilings']['bytes_per_second'] / 1e9:.1f} GB/s" for run in runs.values())),
    ]
    for baseline, name in BASELINES.items():
        seconds = (f"{_spread(_row(run, name)['seconds'])} s" for run in runs.values())
        cells.append((f"no merging, {WORDS[baseline]}", "", *seconds))
    for baseline in BASELINES:
        cells.append((f"**against {WORDS[baseline]}**", *[""] * (1 + len(runs))))
        for version in (*VERSIONS, *QUERIES, *HALF) if baseline == "fused" else (FUSED, *VERSIONS, *QUERIES):
            ratios = (
                f"x{_spread(_row(run, version)[f'speedup_over_{baseline}'])}" if has(run, version) else ""
                for run in runs.values()
            )
            name = "no merging, fused attention" if version == FUSED else version
            cells.append((name, f"x{allowed(runs, version):.2f}", *ratios))
    fused, stored = (speeds(runs, HEADLINE, baseline) for baseline in BASELINES)
    told = (
        f"{HEADLINE[0].upper()}{HEADLINE[1:]}: {span(fused.values())} against no merging with fused attention, where "
        f"its FLOPs allow x{allowed(runs, HEADLINE):.2f}; against no merging with stored scores, {by_machine(stored)}."
    )
    made = [f"- {run[0].upper()}{run[1:]}. {_made(result)}" for run, result in runs.items()]
    head = ("", "FLOPs allow", *runs)
    return "\n\n".join([_table(head, cells), f"{told} {_turns(runs[NEWEST])}", "\n".join(made)])


def network() -> str:
    result = _stored("bench_network")
    row = _row(result, "learnable, gamma 6, R = |S|")
    fused, stored = (
        f"x{row[f'speedup_over_{kind}']['median']:.2f} and {_share(row[f'memory_of_{kind}'])} memory"
        for kind in ("fused", "stored")
    )
    told = (
        f"Learnable VTM at gamma 6 and R = |S|, on {NEWEST}, {_machine(result)}: {fused} against no merging with "
        f"fused attention; {stored} against no merging with stored scores."
    )
    return f"{_versions(result)}\n\n{_size(result)} {told} {_rounds(result)}"


def training() -> str:
    result = _stored("bench_training")
    return f"{_versions(result)}\n\n{_size(result)} {_rounds(result)}"


def _row(result: Mapping, name: str) -> dict:
    (row,) = [row for row in result["rows"] if row["name"] == name]
    return row


def _versions(result: Mapping) -> str:
    """One row for each version of the network: against fused attention first, then against stored scores."""
    head = ("", "GFLOPs", "time", "MiB", "speed against fused", "memory", "speed against stored", "memory")
    cells = []
    for row in result["rows"]:
        line = [
            row["name"],
            f"{row['flops'] / 1e9:.1f}",
            f"{_spread(row['seconds'])} s",
            f"{row['peak_bytes'] / MIB:,.0f}",
        ]
        for kind in ("fused", "stored"):
            line += [f"x{_spread(row[f'speedup_over_{kind}'])}", _share(row[f"memory_of_{kind}"])]
        cells.append(line)
    return _table(head, cells)


def _size(result: Mapping) -> str:
    size = result["size"]
    tokens = f"{size['frames']} frames of {' x '.join(map(str, size['grid']))} tokens, {size['dim']:,} channels"
    return f"One film: {tokens}, chunks of {tuple(size['chunks'])} frames."


def vit_models() -> str:
    """Merging in timm's ViTs beside the same blocks on sequences that are cut, and beside our reading of ToMe's way."""
    result = _stored("bench_vit")
    head = ("model", "batch", "r", "tokens left", "no merging", "merged", "cut", "against fused",
            "time of the cut one's", "time of ToMe's way's")  # fmt: skip
    cells = []
    for row in result["rows"]:
        times = [f"{1e3 * row['seconds'][name]['median']:.0f} ms" for name in (FUSED, "merged", "cut")]
        ratios = (_spread(row[f"merged_over_{name}"]) for name in ("cut", "tome"))
        cells.append((row["model"], row["batch"], row["r"], row["tokens"][-1], *times,
                      f"x{_spread(row['speedup_over_fused'])}", *ratios))  # fmt: skip
    means = result["geometric_means"]
    told = (
        f"Geometric means: {means['merged_over_cut']:.2f} of the time of the cut one, {means['merged_over_tome']:.2f} "
        "of that of ToMe's way. Cut: the same blocks on sequences that are cut to the same lengths, where nothing is "
        "matched or averaged. ToMe's way: our reading of that paper, with stored scores; it is not its authors' code. "
        "Random weights."
    )
    return f"{_table(head, cells)}\n\n{told} {_turns(result)} {_made(result)}"


def scale() -> str:
    """From a thousand to a million tokens; and what a second machine would have to save."""
    result = _stored("bench_scale")
    sizes = sorted({point["tokens"] for done in result["points"].values() for point in done})
    cells = []
    for n in sizes:
        line = [f"{n:,}"]
        for done in result["points"].values():
            (point,) = [p for p in done if p["tokens"] == n] or [None]
            line.append("" if point is None else f"{point['seconds']['median']:.3g} s, {point['bytes'] / MIB:,.0f} MiB")
        cells.append(line)
    fits = []
    for name, both in result["exponents"].items():
        shown = (f"{fit['exponent']:.2f} ± {fit['standard_error']:.2f}" if fit else "" for fit in both.values())
        fits.append((name, *shown))
    there = [
        (row["name"], f"{row['tokens']:,}", f"{row['saved_at_best']:.2f} s",
         f"{(row['sent_bytes'] + row['back_bytes']) / 1e6:,.0f} MB", f"{row['line_needed'] / 1e6:,.0f} MB/s")
        for row in result["second_machine"]
    ]  # fmt: skip
    tables = (
        _table(("tokens", *result["points"]), cells),
        _table(("grows like N to the power of", "seconds", "bytes"), fits),
        _table(("half of it on a second machine", "tokens", "saves at best", "to send", "pays off above"), there),
    )
    told = f"{result['what'][0].upper()}{result['what'][1:]}. Exponents with their standard errors."
    return "\n\n".join([*tables, f"{told} {_made(result)}"])


def operator() -> str:
    result = _stored("bench_operator")
    head = ("tokens x channels", "gamma", "stored scores", "`match`", "of stored scores' time",
            "of a bare product's time", "MiB, stored scores", "MiB, `match`")  # fmt: skip
    cells = []
    for row in result["rows"]:
        times = [f"{_spread(row['seconds'][name], '.1f', 1e3)} ms" for name in ("stored", "ours")]
        ratios = [_spread(row[name]) for name in ("ours_over_stored", "ours_over_product")]
        memory = [f"{row['bytes'][name] / MIB:.0f}" for name in ("stored", "ours")]
        cells.append((f"{row['tokens']:,} x {row['channels']:,}", f"{row['gamma']:g}", *times, *ratios, *memory))
    huge = result["huge"]
    same = min(row["bfloat16_keys"]["same_targets"] for row in result["rows"])
    lost = max(row["bfloat16_keys"]["cosine_lost"] for row in result["rows"])
    real = " and ".join(f"{_spread(row['ours_over_stored'])} on `{row['film']}`" for row in result["films"])
    told = (
        f"Of the time of stored scores, `match` took {result['geometric_mean']:.2f} in the geometric mean and "
        f"{result['worst']:.2f} at worst, for random keys; {real}. Matching {huge['tokens']:,} tokens of "
        f"{huge['channels']} channels took {huge['bytes'] / MIB:.0f} MiB of temporaries and {huge['seconds']:.0f} s. "
        f"Keys may be bfloat16, too: then {same:.1%} of the sources or more (random keys) get the same target, and the "
        f"mean cosine of the targets that are found is less by {lost:.0e} at most."
    )
    return f"{_table(head, cells)}\n\n{told} {_rounds(result)}"


def growth() -> str:
    result = _stored("bench_growth")
    head = ("", "exponent p", "fitted from", "to", "time at that size")
    cells = []
    for name, fit in result["exponents"].items():
        (last,) = [point for point in result["points"][name] if point["tokens"] == fit["to"]]
        spent = f"{_spread(last['seconds'], '.3g')} s"
        sizes = (f"{fit[end]:,} tokens" for end in ("from", "to"))
        cells.append((name, f"{fit['exponent']:.2f} ± {fit['standard_error']:.2f}", *sizes, spent))
    what = result["what"][0].upper() + result["what"][1:]
    told = f"{what}; seconds = a N^p, p with its standard error. {result['dtype']}."
    return f"{_table(head, cells)}\n\n{told} {_made(result)}"


def forecast() -> str:
    result = _stored("bench_planner")
    head = ("", "time measured", "time predicted", "off by", "MiB measured", "MiB predicted", "off by")
    cells = []
    for total in result["totals"]:
        blocks = [row for row in result["rows"] if row["trial"] == total["trial"]]
        measured, predicted = (max(row[name] for row in blocks) for name in ("bytes", "predicted_bytes"))
        times = [f"{total[name]:.2f} s" for name in ("seconds", "predicted_seconds")]
        memory = [f"{size / MIB:.0f}" for size in (measured, predicted)]
        cells.append((total["trial"], *times, _share(1 + total["off_by"]), *memory, _share(predicted / measured)))
    worst = max(abs(total["off_by"]) for total in result["totals"])
    told = f"Of a whole network the time is off by {worst:.0%} at most; memory is that of the block that needs most."
    return f"{_table(head, cells)}\n\n{told} {_made(result)}"


def _spread(values: Mapping[str, float], form: str = ".2f", times: float = 1) -> str:
    """A median and its quartiles; one number where there was one round."""
    median, low, high = (format(times * values[name], form) for name in ("median", "low", "high"))
    return median if values["low"] == values["high"] else f"{median} ({low} to {high})"


def _share(value: float) -> str:
    """-84%, and nothing where nothing changed."""
    return f"{100 * (value - 1):+.0f}%".replace("+0%", "0%").replace("-0%", "0%")


def _rounds(result: Mapping) -> str:
    return f"{_turns(result)} {_made(result)}"


def _turns(result: Mapping) -> str:
    return f"{result['dtype']}; medians and quartiles of rounds in which versions take turns."


def host_models() -> str:
    """Five reducers in every family of host models."""
    result = _stored("bench_hosts")
    plain = {row["host"]: row for row in result["rows"] if row["reducer"] == FUSED}
    head = ("host", "reducer", "tokens left", "FLOPs", "speed", "memory", "cosine")
    cells = []
    for row in result["rows"]:
        if row["reducer"] == FUSED:
            continue
        before = plain[row["host"]]
        share = [_share(row[what] / before[what]) for what in ("flops", "peak_bytes")]
        speed = f"x{_spread(row['speedup_over_fused'])}"
        left = f"{row['left']:,.0f} of {row['tokens']:,}"
        cells.append((row["host"], row["reducer"], left, share[0], speed, share[1], f"{row['cosine']:.3f}"))
    random = [host for host in plain if "trained" not in host]
    told = (
        "FLOPs, memory (tensors made in a pass) and speed are against the same model without merging, with fused"
        f" attention. Cosine: of the pooled output with that model's; with random weights ({', '.join(random)}) it says"
        f" little. {_rounds(result)}"
    )
    return f"{_table(head, cells)}\n\n{told}"


def reading() -> str:
    """Films read beside PyAV and OpenCV, made into features, and the memory that long lists take."""
    result = _stored("bench_reading")
    films_read, made, memory = result["reading"], result["features"], result["memory"]
    told = films_read["films"]
    head = ("reader", *(f"{film['frames']:,} frames" for film in told.values()), *("over the first",) * len(told))
    cells = []
    for reader in dict.fromkeys(row["reader"] for row in films_read["rows"]):
        own = [row for row in films_read["rows"] if row["reader"] == reader]
        cells.append(
            (
                reader,
                *(f"{_spread(row['seconds'])} s" for row in own),
                *(f"x{_spread(row['over_read'])}" for row in own),
            )
        )
    film = next(iter(told.values()))
    absent = "".join(f" {name} was not installed." for name in films_read["absent"])
    parts = [
        _table(head, cells),
        f"{films_read['taken']} frames of {films_read['side']} pixels a side, evenly from films of {film['width']} x"
        f" {film['height']} pixels in H.264. Medians and quartiles of {result['rounds']} rounds in which readers take"
        f" turns.{absent}",
    ]
    shares = ("decoding", "encoding", "waiting", "writing")
    cells = [
        (row["encoder"], row["workers"], row["films"], _spread(row["films_per_second"]),
         f"x{_spread(row['over_one_worker'])}", *(f"{row[name]:.0%}" for name in shares))
        for row in made["rows"]
    ]  # fmt: skip
    parts.append(_table(("encoder", "workers", "films", "films a second", "over one worker", *shares), cells))
    settings = made["settings"]
    parts.append(
        f"Films of {settings['frames']} frames of {settings['size']} pixels a side, painted. Decoding and encoding: the"
        " share of a worker's time; several films at once share the cores. Waiting and writing: of the process that"
        " writes."
    )
    cells = [(row["what"], f"{row['films']:,}", f"{row['bytes'] / MIB:.1f} MiB") for row in memory["rows"]]
    parts.append(_table(("memory of", "films", "grew by"), cells))
    return "\n\n".join([*parts, _made(result)])


# -------------------------------------------------------------------------------------------------------- on a GPU


def cuda() -> str:
    """Which pieces of `make cuda` are stored, and what they say."""
    cells, told = [], []
    for name, piece in PIECES.items():
        path = RESULTS / f"cuda_{name}.json"
        if not path.exists():
            cells.append((name, piece.about, "not yet measured"))
            continue
        result = _stored(path.stem)
        failed = f"; not done: {', '.join(result['missing'])}" if result["missing"] else ""
        cells.append((name, piece.about, f"{result['machine']['device']}, {result['machine']['date']}{failed}"))
        steps = [f"{key}\n{piece.text(step)}" for key, step in result["steps"].items() if is_done(step)]
        told.append("\n\n".join([f"**{name}** on {result['machine']['device']}.", *map(_fenced, steps), _made(result)]))
    return "\n\n".join([_table(("piece", "what", "measured on"), cells), *told])


def _fenced(text: str) -> str:
    return f"```text\n{text}\n```"


# -------------------------------------------------------------------------------------------------------- the page


def _real(name: str) -> str:
    """Labelled footage: what every strategy keeps, by the fair split and by the leaky one."""
    report = study_labelled.load(name)
    data, plan = report["data"], report["plan"]
    parts = []
    for evidence in dict.fromkeys(row["evidence"] for row in report["rows"]):
        own = [row for row in report["rows"] if row["evidence"] == evidence]
        columns = list(dict.fromkeys((row["split"], row["gamma"]) for row in own if row["row"] != "none"))
        head = ["", *(f"{study_labelled.SPLIT_WORDS[split]}, gamma {gamma:g}" for split, gamma in columns)]
        found = {(row["row"], row["split"], row["gamma"]): row for row in own}
        cells = []
        for row in dict.fromkeys(row["row"] for row in own):
            line = [row]
            for split, gamma in columns:
                one = found.get((row, split, 1 if row == "none" else gamma))
                line.append("" if one is None else _real_cell(one))
            cells.append(line)
        parts.append(f"{study_labelled.EVIDENCE_WORDS[evidence]}\n\n{_table(head, cells)}")
    splits = dict.fromkeys(row["split"] for row in report["rows"])
    classes, near = len(data["classes"]), data["neighbours"]
    what = {"time": "sessions", "group": "groups", "number": "runs of neighbours in number"}.get(data["known"], "clips")
    told = (
        f"{data['clips']} clips, {classes} classes; tokens of {data['encoder']}, {data['tokens'][0]} frames."
        f" Accuracy, and in brackets points above no merging with their 95% interval, from {len(set(data['groups']))}"
        f" {what} drawn with replacement; bold where it leaves out zero. {plan['folds']} folds. Of"
        f" {100 * near['together']:.0f}% of the clips the one that looks most alike belongs to the same (chance:"
        f" {100 * near['chance']:.0f}%). {' '.join(study_labelled.meaning(report, split) for split in splits)}"
    )
    return "\n\n".join([*parts, f"{told} {_made(report)}"])


def _real_cell(row: Mapping) -> str:
    shown = f"{100 * row['accuracy'][0]:.1f}"
    if "minus_none" not in row:
        return shown
    return f"{shown} [{_bold_span(row['minus_none'])}]"


def _bold_span(values: Sequence[float]) -> str:
    text, (_, low, high) = study_labelled.span(values, "+"), values
    return text if low <= 0 <= high else f"**{text}**"


def real_yoga() -> str:
    """75 clips of yoga in five poses."""
    return _real("real_yoga")


def real_surveillance() -> str:
    """120 clips of surveillance cameras, fight or not."""
    return _real("real_surveillance")


def reducers() -> str:
    """Every reducer at every budget, by what it needs, best first at the middle budget."""
    report = budgets.load()
    gammas = sorted({row["gamma"] for row in report["rows"]} - {1.0})
    at = {(row["strategy"], row["gamma"]): row for row in report["rows"]}
    middle = 6.0 if 6.0 in gammas else gammas[0]
    cells = []
    for row in (row for row in report["rows"] if row["gamma"] == middle):
        name = row["strategy"]
        own = [at[name, gamma] for gamma in gammas]
        shown = [percent(one["accuracy"]["all"]) + f" ({one['tokens']})" * budgets.ragged(name) for one in own]
        cost = (f"{row['flops'] / 1e6:.1f}", f"x{row['time']['median']:.2f}")
        cells.append((name, budgets.need(name), *shown, f"{row['recall'][0]:.2f}", *cost))
    none = at["none", 1.0]
    head = ("reducer", "needs", *(f"1 in {gamma:g} left" for gamma in gammas), f"recall, 1 in {middle:g}",
            "MFLOPs", "time, of uniform's")  # fmt: skip
    films_ = report["films"]
    told = (
        f"No merging: {percent(none['accuracy']['all'])} with {none['tokens']} tokens. Accuracy of a linear reader in "
        f"percent, mean ± 95% interval (Student's t) over {none['seeds']} seeds; {films_['test']} test films of "
        f"{films_['frames']} frames. In brackets the mean number of tokens that a reducer of uneven counts left. "
        f"Time: a call on {budgets.PACE} films, 1 in 6 left."
    )
    return f"{_table(head, cells)}\n\n{told} {_made(report)}"


# Those of a second line come once they are measured: a table without its file would have nothing to say.
def long_films() -> str:
    """Films of minutes to hours: time, memory, and what is found again of some seconds."""
    report = study_hours.load()
    shown, parts = report["study"]["shown"], []
    names = [*hours.PARTS, "all", *hours.NETWORKS, hours.WHOLE]
    cells: list[Sequence] = []
    for row in report["time"]:
        seconds = [f"{row[name]['median']:.2f}" if name in row else "" for name in names]
        tokens = row["seconds"] * report["hour"]["tokens"] // report["hour"]["frames"]
        cells.append((study_hours.length(row["seconds"]), f"{tokens:,}", *seconds))
    powers = [report["exponents"].get(name) for name in names]
    cells.append(("grows like length to the power", "", *(f"{p[0]:.2f} ± {p[1]:.2f}" if p else "" for p in powers)))
    parts.append(f"Seconds:\n\n{_table(('film', 'tokens', *names), cells)}")
    whole = [row for row in report["memory"] if all(name in row for name in hours.MEMORY)]
    cells = [
        (study_hours.length(row["seconds"]), *(f"{row[name]['peak'] / MIB:,.0f}" for name in hours.MEMORY))
        for row in whole
    ]
    parts.append(f"MiB that the process held at most, with its libraries:\n\n{_table(('film', *hours.MEMORY), cells)}")
    cells = []
    for row in report["recall"]:
        by_way = [percent(row["recall_by_way"][way]) for way in films.WAYS]
        found = [percent(row[what]) for what in ("recall", "seconds_found")]
        cells.append((study_hours.length(row["seconds"]), row["name"], row["kept"], row["seeds"], *found, *by_way))
    head = ("film", "targets", "kept", "seeds", "recall", "seconds found", *(f"recall, {way}" for way in films.WAYS))
    parts.append(f"{shown} seconds, found again, in percent with 95% intervals over seeds:\n\n{_table(head, cells)}")
    told = f"An hour has {report['hour']['tokens']:,} tokens. Time: medians over {report['study']['rounds']} rounds."
    return "\n\n".join([*parts, f"{told} {_made(report)}"])


TABLES = {
    make.__name__: make
    for make in (
        *(retention, trained, plugged, variants, masks, stand_in),
        *(machines, network, training, operator, growth, forecast, cuda),
        *(
            make
            for name, make in (
                ("compare_queries", queries),
                ("phase", phase),
                ("phase_long", phase_long),
                ("gradients", gradients),
                ("hours", long_films),
                ("real_yoga_places", yoga_places),
                ("real_yoga", real_yoga),
                ("real_surveillance", real_surveillance),
                ("reducers", reducers),
                ("bench_reading", reading),
                ("bench_vit", vit_models),
                ("bench_scale", scale),
                ("bench_hosts", host_models),
            )
            if (RESULTS / f"{name}.json").is_file()
        ),
    )
}


def fill(text: str) -> str:
    """The page with every table written anew."""
    found = re.findall(r"<!-- table (\w+) -->(?:(?!<!-- table).)*?<!-- end -->", text, flags=re.DOTALL)
    if sorted(found) != sorted(TABLES):
        raise SystemExit(
            f"{PAGE.name} has places for {found}; it needs one for each of {list(TABLES)}:"
            " <!-- table network -->, and below it <!-- end -->"
        )
    for name, make in TABLES.items():
        begin, end = f"<!-- table {name} -->", "<!-- end -->"
        above, rest = text.split(begin)
        text = f"{above}{begin}\n\n{make()}\n\n{end}{rest.split(end, 1)[1]}"
    return text


def main(argv: list[str]) -> int:
    before = PAGE.read_text(encoding="utf-8")
    after = fill(before)
    if "--check" in argv:
        if before != after:
            print(f"{PAGE.name} and data/results disagree: run python tools/results_page.py", file=sys.stderr)
        return int(before != after)
    PAGE.write_text(after, encoding="utf-8")
    return 0


def _stored(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _table(head: Sequence[str], rows: Sequence[Sequence]) -> str:
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (head, *rows)]
    sides = ("left", *["right"] * (len(head) - 1))
    return tabulate(cells[1:], cells[0], tablefmt="pipe", colalign=sides, disable_numparse=True)


def _machine(result: Mapping) -> str:
    machine = result["machine"]
    return f"{machine['processor']} with {machine['threads']} threads"


def _made(result: Mapping) -> str:
    machine = result["machine"]
    where = _machine(result)
    if "ceilings" in result:
        flops, moved = (result["ceilings"][f"{what}_per_second"] / 1e9 for what in ("flops", "bytes"))
        where += f", {flops:.0f} GFLOP/s in matrix products and {moved:.0f} GB/s in a copy"
    where += f", torch {machine['torch'].split('+')[0]}"
    return f"Measured on {where}, on {machine['date']}, by `{result['command']}`."


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
