"""What the fuzz suite shares: a check looks at one case, and a case is made of plain values that JSON can hold.

    @fuzz(cases=20, n=st.integers(1, 40), seed=SEEDS)
    def test_some_rule(n, seed):
        ...                                   # whatever is large is made here, from the seed

So a case that fails can be kept as a few lines in cases/, where `test_fuzz_cases.py` tries it for ever after:

    check   the file and the test, "test_fuzz_films.test_damage"
    case    its arguments
    seen    how it failed: the error's name, and how its words begin
    fault   why it fails today; without this line it has to pass

`make test` tries a few cases of each check, the same ones each time. `make fuzz` goes on with new ones for as long as
it is told, through these variables of the environment:

    VTM_FUZZ_SEED      makes it draw from this seed
    VTM_FUZZ_CASES     cases of each check
    VTM_FUZZ_SECONDS   of each check; after that it looks at no new case
    VTM_FUZZ_FOLDER    where failing cases go: .fuzz/
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import importlib
import json
import os
import re
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException

HERE = Path(__file__).resolve().parent
STORED = HERE / "cases"
FOLDER = Path(os.environ.get("VTM_FUZZ_FOLDER") or HERE.parents[1] / ".fuzz")
SEED = os.environ.get("VTM_FUZZ_SEED") or None
CASES = int(os.environ.get("VTM_FUZZ_CASES") or 0)
SECONDS = float(os.environ.get("VTM_FUZZ_SECONDS") or "inf")
SHRINKING = 60.0  # seconds to look for a smaller case once one failed
HANGS = 120.0  # seconds after which a case hangs; all of them take a few at most

SEEDS = st.integers(0, 2**31 - 1)
LOOKED_AT: Counter[str] = Counter()  # check -> cases, in this process
KNOWN: Counter[str] = Counter()  # check -> cases that failed as it is known


@dataclass(frozen=True)
class Stored:
    """A case that failed once."""

    name: str
    check: str
    case: dict
    seen: str
    fault: str = ""

    @staticmethod
    def read(path: Path) -> Stored:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Stored(path.stem, found["check"], found["case"], found["seen"], found.get("fault", ""))

    def run(self) -> None:
        """Look at it again."""
        module, _, name = self.check.partition(".")
        getattr(importlib.import_module(module), name).hypothesis.inner_test.check(**self.case)


def all_in(folder: Path) -> list[Stored]:
    """Every case of a folder, in the order of their names."""
    return [Stored.read(path) for path in sorted(folder.glob("*.json"))]


def as_tests(cases: list[Stored]) -> list:
    """Cases as pytest takes them: each is a test, and those of faults that are known are expected to fail."""
    marks = {case.name: [pytest.mark.xfail(strict=True, reason=case.fault)] if case.fault else [] for case in cases}
    return [pytest.param(case, id=case.name, marks=marks[case.name]) for case in cases]


def fuzz(cases: int, **strategies: st.SearchStrategy):
    """A test that hypothesis calls with many cases; so many in `make test`."""

    def decorate(check):
        name = f"{check.__module__}.{check.__name__}"
        known = [case for case in all_in(STORED) if case.fault and case.check == name]
        until, failing = None, set()

        @functools.wraps(check)
        def look(**case):
            nonlocal until
            text = json.dumps(case)
            now = time.monotonic()
            until = until or now + SECONDS
            if now > until and text not in failing:
                return
            LOOKED_AT[name] += 1
            try:
                with running(name, case), limited(HANGS):
                    check(**json.loads(text))  # as it comes from a file
            except HypothesisException:
                raise
            except (Exception, SystemExit, pytest.fail.Exception) as error:
                seen = words(error)
                if any(alike(seen, old.seen) for old in known + found_before(name)):
                    KNOWN[name] += 1
                    hypothesis.reject()
                if not failing:
                    until = now + SHRINKING
                failing.add(text)
                error.add_note(keep(name, case, seen))  # hypothesis ends with the smallest case
                raise

        look.check = check
        test = hypothesis.given(**strategies)(look)
        if SEED is not None:
            test = hypothesis.seed(int(SEED))(test)
        return hypothesis.settings(
            max_examples=CASES or cases,
            derandomize=SEED is None,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
            suppress_health_check=list(hypothesis.HealthCheck),
        )(test)

    return decorate


def keep(check: str, case: dict, seen: str) -> str:
    """Write a failing case down; gives the words that say how to repeat it."""
    path = FOLDER / f"{check}{'' if SEED is None else f'-{SEED}'}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"check": check, "case": case, "seen": seen}, indent=1) + "\n", encoding="utf-8")
    return f"once more: python tools/fuzz.py --case {path}"


def found_before(check: str) -> list[Stored]:
    """What earlier rounds of `make fuzz` found: this one looks for something else."""
    return [] if SEED is None else [c for c in all_in(FOLDER) if c.check == check and not c.name.endswith(f"-{SEED}")]


def words(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"


def alike(seen: str, known: str) -> bool:
    """Whether an error is one that is known, whatever numbers and paths are in it."""

    def bare(text: str) -> str:
        return re.sub(r"[\d.]+", "#", re.sub(r"\S*/\S*", "PATH", text))

    return bare(seen).startswith(bare(known))


@contextlib.contextmanager
def running(check: str, case: dict):
    """Leave the case on disk while `make fuzz` looks at it: a crash of the whole process leaves nothing else."""
    if SEED is None:
        yield
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{check}.running"
    path.write_text(json.dumps({"check": check, "case": case, "seen": "the process came to no end"}, indent=1) + "\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


class TooLong(BaseException):
    """No Exception, as code under test may catch those."""


@contextlib.contextmanager
def limited(seconds: float):
    """AssertionError after so many seconds, where the system has alarms; after twice as many the process ends.

    An alarm is heard between two lines of Python only, and not in a loop of C.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(*_):
        raise TooLong

    faulthandler.dump_traceback_later(2 * seconds, exit=True, file=sys.__stderr__)
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except TooLong:
        raise AssertionError(f"no end after {seconds:g} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()
