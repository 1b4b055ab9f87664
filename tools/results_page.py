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
from vtm_lesson.study import report as study_report  # noqa: E402
from vtm_lesson.study import variants as study_variants  # noqa: E402
from vtm_lesson.study.report import PLACE_WORDS, percent  # noqa: E402
from vtm_lesson.study.statistics import difference, row_name, verdicts  # noqa: E402

PLACES = ("after_attention", "before_attention")
STRATEGIES = ("none", "random", "uniform", "boundary", "centre", "motion", "learnable", "oracle")
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
    for name in STRATEGIES:
        line = [name]
        for place in PLACES:
            row = none if name == "none" else rows[place, name]
            gap = "" if name == "none" else _gap(difference(row, none))
            line += [percent(row["accuracy"]["all"]["interval"]), gap, f"1/{costs[place, name]['flops_ratio']:.1f}"]
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
    cells = [(name, *(percent(rows[place, name, gamma]) for place, gamma in columns)) for name in STRATEGIES[1:]]
    (whole,) = [row for row in report["rows"] if row["evidence"] == "c" and row["strategy"] == "none"]
    told = f"The same networks without merging: {percent(whole['accuracy']['all']['interval'])}."
    return _table(head, cells) + f"\n\n{told} {_studied(report, 'R = |S|')}"


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
        f"it is; {s['draws']} draws of each. The interval is over films."
    )
    return _table(("targets", "recall of the object", "95% interval"), rows) + f"\n\n{told} {_made(result)}"


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
    return percent(values) if low <= 0 <= high else f"**{percent(values)}**"


# ------------------------------------------------------------------------------------------------- time and memory


def network_runs() -> dict[str, dict]:
    """All stored runs of the paper's network on processors, by machine and run. Machine A's has the short file name."""
    runs = {"machine A": _stored("bench_network")}
    for path in sorted(RESULTS.glob("bench_network_machine_*.json")):
        machine, run = path.stem.removeprefix("bench_network_machine_").split("_run_")
        runs[f"machine {machine}, run {run}"] = _stored(path.stem)
    return runs


def speeds(runs: Mapping[str, Mapping], version: str, baseline: str) -> dict[str, float]:
    """Run -> how many times as fast as the baseline ("fused" or "stored", without merging) one version was."""
    return {run: _row(result, version)[f"speedup_over_{baseline}"]["median"] for run, result in runs.items()}


def allowed(runs: Mapping[str, Mapping], version: str) -> float:
    """How many times fewer FLOPs than no merging one version has: what its speed would be at the same FLOP/s."""
    (ratio,) = {_row(result, FUSED)["flops"] / _row(result, version)["flops"] for result in runs.values()}
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
        for version in VERSIONS if baseline == "fused" else (FUSED, *VERSIONS):
            ratios = (f"x{_spread(_row(run, version)[f'speedup_over_{baseline}'])}" for run in runs.values())
            name = "no merging, fused attention" if version == FUSED else version
            cells.append((name, f"x{allowed(runs, version):.2f}", *ratios))
    fused, stored = (speeds(runs, HEADLINE, baseline) for baseline in BASELINES)
    told = (
        f"{HEADLINE[0].upper()}{HEADLINE[1:]}: {span(fused.values())} against no merging with fused attention, where "
        f"its FLOPs allow x{allowed(runs, HEADLINE):.2f}; against no merging with stored scores, {by_machine(stored)}."
    )
    made = [f"- {run[0].upper()}{run[1:]}. {_made(result)}" for run, result in runs.items()]
    head = ("", "FLOPs allow", *runs)
    return "\n\n".join([_table(head, cells), f"{told} {_turns(runs['machine A'])}", "\n".join(made)])


def network() -> str:
    result = _stored("bench_network")
    row = _row(result, "learnable, gamma 6, R = |S|")
    fused, stored = (
        f"x{row[f'speedup_over_{kind}']['median']:.2f} and {_share(row[f'memory_of_{kind}'])} memory"
        for kind in ("fused", "stored")
    )
    told = (
        f"Learnable VTM at gamma 6 and R = |S|, on machine A, {_machine(result)}: {fused} against no merging with "
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


TABLES = {
    make.__name__: make
    for make in (
        *(retention, trained, plugged, variants, masks),
        *(machines, network, training, operator, growth, forecast, cuda),
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
