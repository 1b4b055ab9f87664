"""How long each lesson takes a reader: counted from its words, code and figures, and from a measured run.

    python tools/lesson_times.py             the table, and where a lesson or README.md says something else
    python tools/lesson_times.py --write     write the minutes into the lessons' sources and README.md
    python tools/lesson_times.py --measure   execute every lesson first, and store its seconds (a few minutes);
                                             --measure 10 07: these only, the others keep theirs

A reader takes 200 words a minute, 15 lines of code, half a minute for a figure, a minute for a prediction, for an
exercise what its check says, and waits while the lesson runs. Counted is the notebook to work in, without hints,
solutions and quiz answers, and the results as the solved one prints them. Minutes are rounded to five.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from pathlib import Path

import build_lessons
from build_lessons import ROOT
from vtm_lesson import checks
from vtm_lesson.measuring import clock
from vtm_lesson.teaching.contents import LESSONS

NOTEBOOKS = ROOT / "notebooks"
STORED = NOTEBOOKS / "source" / "run_seconds.json"
WORDS, LINES, FIGURE, PREDICTION = 200, 15, 0.5, 1.0  # a minute, a minute, minutes, minutes
STATED = re.compile(r"(\*\*Time\*\* )(\d+)( minutes)")


def counted(name: str) -> dict[str, float]:
    """What a reader of this lesson meets: words, lines of code, figures, predictions, and the exercises' minutes."""
    work = build_lessons.load(NOTEBOOKS / "exercises" / f"{name}.ipynb")
    read = build_lessons.load(NOTEBOOKS / f"{name}.ipynb")
    if work is None or read is None:
        raise SystemExit(f"{name}: its notebooks are missing; run make lessons")
    text = "\n".join(cell.source for cell in work.cells if cell.cell_type == "markdown")
    text = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    code = "\n".join(cell.source for cell in work.cells if cell.cell_type == "code").splitlines()
    outputs = [out for cell in read.cells if cell.cell_type == "code" for out in cell.outputs]
    printed = "\n".join(out.get("text", "") + out.get("data", {}).get("text/plain", "") for out in outputs)
    return {
        "words": len(re.findall(r"[A-Za-z][\w'-]*", text)) + len(re.findall(r"[A-Za-z][\w'-]*", printed)),
        "lines": sum(bool(line.strip()) and not line.strip().startswith("#") for line in code),
        "figures": sum("image/png" in out.get("data", {}) for out in outputs),
        "predictions": sum("prediction" in cell.metadata.get("tags", []) for cell in work.cells),
        "exercises": sum(getattr(checks, exercise).minutes for exercise in LESSONS[name][1]),
    }


def minutes(count: dict[str, float], seconds: float) -> int:
    """The whole, rounded to five minutes."""
    whole = count["words"] / WORDS + count["lines"] / LINES + count["figures"] * FIGURE
    whole += count["predictions"] * PREDICTION + count["exercises"] + seconds / 60
    return max(5, 5 * round(whole / 5))


def table() -> dict[str, dict[str, float]]:
    """Lesson -> what is counted, the seconds it ran, and the minutes that follow."""
    seconds = json.loads(STORED.read_text(encoding="utf-8"))["seconds"]
    rows: dict[str, dict[str, float]] = {}
    for name in LESSONS:
        rows[name] = {**counted(name), "seconds": seconds[name]}
        rows[name]["minutes"] = minutes(rows[name], seconds[name])
    return rows


def stated(name: str) -> int:
    """The minutes that the lesson's first cell says."""
    found = STATED.search((NOTEBOOKS / "source" / f"{name}.py").read_text(encoding="utf-8"))
    return int(found[2]) if found else 0


def in_readme(name: str, text: str) -> int:
    """The minutes that README's table says; 0 where it has no such row."""
    found = re.search(rf"^\|.*\]\(notebooks/{name}\.ipynb\).*\| (\d+) min \|$", text, re.MULTILINE)
    return int(found[1]) if found else 0


def write(rows: dict[str, dict[str, float]]) -> None:
    """Put the minutes into the sources and into README's table."""
    readme = ROOT / "README.md"
    page = readme.read_text(encoding="utf-8")
    for name, row in rows.items():
        source = NOTEBOOKS / "source" / f"{name}.py"
        text = source.read_text(encoding="utf-8")
        build_lessons.put(source, STATED.sub(rf"\g<1>{row['minutes']:.0f}\g<3>", text, count=1).encode())
        line = rf"^(\|.*\]\(notebooks/{name}\.ipynb\).*\| )\d+( min \|)$"
        page = re.sub(line, rf"\g<1>{row['minutes']:.0f}\g<2>", page, flags=re.MULTILINE)
    build_lessons.put(readme, page.encode())


def measure(some: list[str]) -> None:
    """Execute lessons as they stand, one after the other, and store the seconds. some: their numbers; none: all."""
    names = [name for name in LESSONS if not some or name.split("_")[0] in some]
    if not names:
        sys.exit(f"no lesson is called {' or '.join(some)}; give numbers and letters such as 07 or B.")
    seconds = json.loads(STORED.read_text(encoding="utf-8"))["seconds"] if some else {}
    for name in names:
        nb = build_lessons.read_source(NOTEBOOKS / "source" / f"{name}.py")
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            build_lessons.execute(build_lessons.solved(nb, name), name, Path(folder))
            seconds[name] = round(time.perf_counter() - start, 1)
        print(f"{name}: {seconds[name]:.0f} s", flush=True)
    command = "python tools/lesson_times.py --measure"
    seconds = {name: seconds[name] for name in LESSONS if name in seconds}
    clock.save(STORED, {"command": command, "machine": clock.environment(), "seconds": seconds})


def main(argv: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs="*", metavar="NN", help="execute lessons first, and store their seconds")
    parser.add_argument("--write", action="store_true", help="write the minutes into the sources and README.md")
    options = parser.parse_args(argv)
    if options.measure is not None:
        measure(options.measure)
    rows = table()
    if options.write:
        write(rows)
    page, wrong = (ROOT / "README.md").read_text(encoding="utf-8"), 0
    for name, row in rows.items():
        said = {"the lesson": stated(name), "README.md": in_readme(name, page)}
        other = [f"{place} says {value}" for place, value in said.items() if value != row["minutes"]]
        wrong += bool(other)
        print(
            f"{name:32} {row['words']:5.0f} words {row['lines']:4.0f} lines {row['figures']:3.0f} figures "
            f"{row['predictions']:2.0f} predictions {row['exercises']:3.0f} min of exercises {row['seconds']:5.0f} s: "
            f"{row['minutes']:3.0f} min{'; ' if other else ''}{'; '.join(other)}"
        )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
