"""Look for faults with random cases for as long as you like: `make fuzz`, or run it with .venv's Python.

    python tools/fuzz.py --minutes 20                        every kind in turn, with new seeds until the time is over
    python tools/fuzz.py --minutes 20 --seed 7 --only films  one kind, and the same cases as in another run with seed 7
    python tools/fuzz.py --case .fuzz/NAME.json              once more a case that failed

The checks stand in tests/fuzz/. A case that fails is made as small as can be and kept in .fuzz/; later rounds do not
report the same error again. Move the file into tests/fuzz/cases/: from then on every `make test` tries it, and it has
to pass, or to fail where it says `"fault"` and why. The exit status is 1 where a fault was found.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "fuzz"
FOLDER = ROOT / ".fuzz"
KINDS = {
    "matching": "test_fuzz_matching.py",
    "kernels": "interpreted_fuzz.py",
    "networks": "test_fuzz_networks.py",
    "reducers": "test_fuzz_reducers.py",
    "films": "test_fuzz_films.py",
    "lists": "test_fuzz_lists.py",
    "stores": "test_fuzz_stores.py",
    "learners": "test_fuzz_learners.py",
}
CASES = 1000  # of a check in one round, at most
SECONDS = 15.0  # that a check looks at new cases in one round
STUCK = 900.0  # seconds after which a round is ended: a case hangs where no alarm is heard
ALONE = ("-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--tb=short")


def pytest(file: Path, folder: Path, timeout: float | None = None, **settings: str) -> tuple[int, str]:
    """Run one file of checks: its exit status, -1 where it had to be ended, and what it printed."""
    mine = {"VTM_FUZZ_FOLDER": str(folder), "VTM_FUZZ_SEED": "", "PYTEST_ADDOPTS": ""}
    interpreter = {"TRITON_INTERPRET": "1"} if file.name.startswith("interpreted") else {}
    environment = {**os.environ, **mine, **interpreter, **settings}
    command = [sys.executable, *ALONE, str(file)]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            timeout=timeout,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except subprocess.TimeoutExpired as ended:
        return -1, str(ended.stdout or "")
    return done.returncode, done.stdout


def one_round(kind: str, seed: int, folder: Path, seconds: float) -> tuple[Counter[str], list[Path]]:
    """Look at one kind with this seed: the cases looked at, and the files of those that fail."""
    folder.mkdir(parents=True, exist_ok=True)
    name = Path(KINDS[kind]).stem
    counts, before = folder / f"{name}.counts", set(folder.glob(f"{name}.*.json"))
    counts.unlink(missing_ok=True)
    status, text = pytest(
        TESTS / KINDS[kind], folder, STUCK,
        VTM_FUZZ_SEED=str(seed), VTM_FUZZ_CASES=str(CASES), VTM_FUZZ_SECONDS=str(seconds), VTM_FUZZ_COUNTS=str(counts),
    )  # fmt: skip
    for running in folder.glob(f"{name}.*.running"):  # nobody was left to take it away
        running.replace(folder / f"{running.stem}-{seed}.json")
    found = sorted(set(folder.glob(f"{name}.*.json")) - before)
    if status not in (0, 1) and not found:
        raise SystemExit(f"fuzz: {kind} did not run (exit status {status}):\n{text}")
    if status and not found:
        raise SystemExit(f"fuzz: {kind} fails, and not in a case:\n{text}")
    return Counter(json.loads(counts.read_text(encoding="utf-8")) if counts.exists() else {}), found


def told(path: Path) -> str:
    """A failing case in two lines: what was seen, and how to see it again."""
    case = json.loads(path.read_text(encoding="utf-8"))
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    return f"  FAULT in {case['check']}: {case['seen']}\n  once more: python tools/fuzz.py --case {shown}"


def go_round(kinds: list[str], seed: int, minutes: float, folder: Path, seconds: float = SECONDS) -> list[Path]:
    """Every kind in turn, each time with the next seed, until the time is over; all of them at least once."""
    end, faults, cases, spent = time.monotonic() + 60 * minutes, [], Counter(), Counter()
    number = 0
    while number < len(kinds) or time.monotonic() < end:
        kind, start = kinds[number % len(kinds)], time.monotonic()
        counts, found = one_round(kind, seed + number, folder, seconds)
        took = time.monotonic() - start
        words = f"{counts['cases']:6,} cases, {len(found)} faults, {took:4.0f} s"
        known = f"; {counts['known']:,} failed as it is known" if counts["known"] else ""
        print(f"{kind:9} seed {seed + number}: {words}{known}", flush=True)
        print("\n".join(map(told, found)), end="\n" if found else "", flush=True)
        faults += found
        cases[kind] += counts["cases"]
        spent[kind] += took
        number += 1
    print(f"\nseed {seed}, {number} rounds:")
    for kind in kinds:
        own = sum(Path(KINDS[kind]).stem == path.name.split(".")[0] for path in faults)
        print(f"  {kind:9} {cases[kind]:8,} cases, {own} faults, {spent[kind]:5.0f} s")
    return faults


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools/fuzz.py", description="Look for faults with random cases.")
    parser.add_argument("--minutes", type=float, default=5, help="default: 5; each kind has one round at least")
    parser.add_argument("--seed", type=int, help="of the first round (default: a new one); each round takes the next")
    parser.add_argument("--only", nargs="+", choices=KINDS, metavar="KIND", help=f"some of {', '.join(KINDS)}")
    parser.add_argument("--case", type=Path, help="look at this stored case, and at nothing else")
    options = parser.parse_args(argv)
    if options.case is not None:
        if not options.case.is_file():
            parser.error(f"{options.case} is not there; failing cases lie in {FOLDER.name}/ and tests/fuzz/cases/")
        kernels = "interpreted" in options.case.read_text(encoding="utf-8")
        file = TESTS / ("interpreted_fuzz.py" if kernels else "test_fuzz_cases.py")
        status, text = pytest(file, FOLDER, VTM_FUZZ_CASE=str(options.case.resolve()), PYTEST_ADDOPTS="--runxfail")
        print(text, end="")
        return int(status != 0)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}, {options.minutes:g} minutes; what fails goes to {FOLDER.name}/", flush=True)
    return int(bool(go_round(options.only or list(KINDS), seed, options.minutes, FOLDER)))


if __name__ == "__main__":
    raise SystemExit(main())
