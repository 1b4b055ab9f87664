"""Write the README's tables anew from the stored results, so that they say what was measured and nothing else.

    python tools/readme_tables.py            write
    python tools/readme_tables.py --check    only look; fails where the README and data/results disagree

A table stands in README.md between `<!-- table NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the package need not be installed to write its README

from vtm_lesson import films, measuring  # noqa: E402
from vtm_lesson.study import report as study_report  # noqa: E402

MIB = measuring.MIB
STRATEGIES = ("none", "random", "uniform", "boundary", "centre", "motion", "learnable", "oracle")


def operator() -> str:
    result = _stored("bench_operator")
    rows = [("tokens x channels", "gamma", "stored scores", "`match`", "of stored scores' time", "of a bare product's",
             "memory: stored scores", "`match`")]  # fmt: skip
    for row in result["rows"]:
        stored, ours = (f"{1e3 * row['seconds'][name]['median']:.1f} ms" for name in ("stored", "ours"))
        memory = [f"{row['bytes'][name] / MIB:.0f} MiB" for name in ("stored", "ours")]
        ratios = [f"{row[name]['median']:.2f}" for name in ("ours_over_stored", "ours_over_product")]
        rows.append((f"{row['tokens']:,} x {row['channels']:,}", f"{row['gamma']:g}", stored, ours, *ratios, *memory))
    huge = result["huge"]
    same = min(row["bfloat16_keys"]["same_targets"] for row in result["rows"])
    lost = max(row["bfloat16_keys"]["cosine_lost"] for row in result["rows"])
    films = " and ".join(f"{row['ours_over_stored']['median']:.2f} on {row['film']}" for row in result["films"])
    told = (
        f"Geometric mean {result['geometric_mean']:.2f}, worst {result['worst']:.2f}, for random keys; {films}. "
        f"Matching {huge['tokens']:,} "
        f"tokens of {huge['channels']} channels takes {huge['bytes'] / MIB:.0f} MiB of temporaries and "
        f"{huge['seconds']:.0f} s. Keys may be bfloat16, too: then {same:.1%} of the sources or more (random keys) get "
        f"the same target, and the mean cosine of the targets that are found is less by {lost:.0e} at most. "
        f"{_made(result)}"
    )
    return _table(rows) + "\n" + told


def network() -> str:
    result = _stored("bench_network")
    rows = [("one film at inference", "time", "speed", "memory", "speed against fused", "memory")]
    for row in result["rows"]:
        speeds = [f"x{row[f'speedup_over_{kind}']['median']:.2f}" for kind in ("stored", "fused")]
        memory = [_share(row[f"memory_of_{kind}"]) for kind in ("stored", "fused")]
        time = f"{row['seconds']['median']:.2f} s, {row['peak_bytes'] / MIB:,.0f} MiB"
        rows.append((row["name"].replace("|S|", "\\|S\\|"), time, speeds[0], memory[0], speeds[1], memory[1]))
    return _table(rows) + "\n" + _made(result)


def comparison() -> str:
    report = study_report.load()
    kept = {(row["evidence"], row["place"], row["strategy"]): row for row in report["rows"] if row["gamma"] in (1, 6)}
    rows = [("", "(a) linear reader on merged tokens", *films.WAYS, "(c) trained, paper's order", "(c) merging first")]
    places = ("after_attention", "before_attention")
    for name in STRATEGIES:
        probe = kept["a", "", name]["accuracy"]
        trained = [kept["c", "" if name == "none" else place, name]["accuracy"]["all"] for place in places]
        ways = (_mean(probe[way]) for way in films.WAYS)
        rows.append((name, _percent(probe["all"]), *ways, *map(_percent, trained)))
    told = f"Percent, mean and 95% interval over {report['study']['seeds']} seeds; made by `{report['command']}`."
    return _table(rows) + "\n" + told


TABLES = {"operator": operator, "network": network, "comparison": comparison}


def fill(text: str) -> str:
    """The README with every table written anew."""
    for name, make in TABLES.items():
        pattern = rf"(<!-- table {name} -->\n).*?(\n<!-- end -->)"
        if not re.search(pattern, text, flags=re.DOTALL):
            raise SystemExit(f"README.md has no place for the table {name!r}: <!-- table {name} --> ... <!-- end -->")
        made = make()
        text = re.sub(pattern, lambda found, made=made: found[1] + "\n" + made + found[2], text, flags=re.DOTALL)
    return text


def main(argv: list[str]) -> int:
    readme = ROOT / "README.md"
    before = readme.read_text(encoding="utf-8")
    after = fill(before)
    if "--check" in argv:
        if before != after:
            print("README.md's tables are not those of data/results: run tools/readme_tables.py", file=sys.stderr)
        return int(before != after)
    readme.write_text(after, encoding="utf-8")
    return 0


def _stored(name: str) -> dict:
    return json.loads((ROOT / "data" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def _table(rows: list[tuple[str, ...]]) -> str:
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body, ""])


def _share(value: float) -> str:
    """-84%, and nothing where nothing changed."""
    return f"{100 * (value - 1):+.0f}%".replace("+0%", "0%").replace("-0%", "0%")


def _mean(row: dict) -> str:
    return f"{100 * row['interval'][0]:.1f}"


def _percent(row: dict) -> str:
    mean, _, high = row["interval"]
    return f"{100 * mean:.1f} ± {100 * (high - mean):.1f}"


def _made(result: dict) -> str:
    machine = result["machine"]
    where = f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch'].split('+')[0]}"
    how = f"Medians of rounds in which versions take turns; {where}, {result['dtype']}, {machine['date']}."
    return f"{how} Made by `{result['command']}`."


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
