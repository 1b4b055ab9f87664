"""`make fuzz` finds a planted fault, keeps it small, repeats it, and stops when its time is over."""

import json
import re
import shutil
from pathlib import Path

import pytest

import fuzz

PLANTED = """
import os
from fuzzing import SEEDS, fuzz
from hypothesis import strategies as st

@fuzz(cases=20, n=st.integers(0, 1000), names=st.lists(st.text(), max_size=3), seed=SEEDS)
def test_planted(n, names, seed):
    assert FINE or n <= 10, f"{n} is too many"

@fuzz(cases=20, n=st.integers(0, 1000))
def test_crash(n):
    if not SAFE and n > 500:
        os._exit(3)
"""


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A suite of one kind; what is given is put into its file: FINE, SAFE."""
    tests = tmp_path / "tests"
    tests.mkdir()
    for name in ("conftest.py", "fuzzing.py", "test_fuzz_cases.py"):
        shutil.copy(fuzz.TESTS / name, tests / name)
    (tests / "cases").mkdir()
    monkeypatch.setattr(fuzz, "TESTS", tests)
    monkeypatch.setattr(fuzz, "FOLDER", tmp_path / "found")
    monkeypatch.setattr(fuzz, "CASES", 100)
    monkeypatch.setattr(fuzz, "KINDS", {"planted": "test_fuzz_planted.py"})

    def put(**settings):
        (tests / "test_fuzz_planted.py").write_text(PLANTED.replace("FINE", str(settings.get("fine", True))).replace(
            "SAFE", str(settings.get("safe", True))))  # fmt: skip

    put()
    return put


def look(seed, minutes=0.0):
    return fuzz.go_round(["planted"], seed, minutes, fuzz.FOLDER, seconds=20)


def test_a_planted_fault_is_found_made_small_kept_and_repeated(planted, capfd):
    planted(fine=False)
    assert fuzz.main(["--minutes", "0", "--seed", "5"]) == 1
    out = capfd.readouterr().out
    assert out.startswith("seed 5, 0 minutes") and "planted   seed 5:" in out and "1 faults" in out
    (path,) = fuzz.FOLDER.glob("*.json")
    command = re.search(r"once more: python tools/fuzz\.py --case (\S+)", out)
    assert command and Path(command[1]) == path and "FAULT in test_fuzz_planted.test_planted: AssertionError: 11" in out
    found = json.loads(path.read_text())
    assert found["case"] == {"n": 11, "names": [], "seed": 0}, "the smallest that fails"

    assert fuzz.main(["--case", str(path)]) == 1
    assert "11 is too many" in capfd.readouterr().out
    assert look(6) == [], "the same is not reported twice"
    assert re.search(r"planted   seed 6: .* 0 faults, .*; [\d,]+ failed as it is known", capfd.readouterr().out)
    planted(fine=True)
    assert fuzz.main(["--case", str(path)]) == 0


def test_a_stored_case_has_to_fail_as_long_as_it_says_so(planted):
    stored = {
        "check": "test_fuzz_planted.test_planted",
        "case": {"n": 99, "names": [], "seed": 1},
        "seen": "AssertionError",
    }
    path, file = fuzz.TESTS / "cases" / "one.json", fuzz.TESTS / "test_fuzz_cases.py"
    path.write_text(json.dumps(stored | {"fault": "why"}))
    for fine in (False, True):
        planted(fine=fine)
        assert fuzz.pytest(file, fuzz.FOLDER)[0] == int(fine)


def test_the_end_of_the_process_is_a_fault_too(planted):
    planted(safe=False)
    (path,) = look(7)
    found = json.loads(path.read_text())
    assert found["check"] == "test_fuzz_planted.test_crash" and found["case"]["n"] > 500
    assert not list(fuzz.FOLDER.glob("*.running"))


def test_nothing_is_found_where_nothing_is_wrong_and_seeds_repeat(planted, capfd):
    assert look(8) == [] and look(8) == []
    lines = re.findall(r"planted   seed 8: +([\d,]+) cases, 0 faults", capfd.readouterr().out)
    assert len(lines) == 2 and lines[0] == lines[1]


def test_it_goes_round_until_its_time_is_over_and_each_kind_has_a_turn(monkeypatch, capsys):
    clock = iter(range(0, 10_000, 10))  # ten seconds pass between any two looks
    monkeypatch.setattr(fuzz.time, "monotonic", lambda: next(clock))
    seen = []

    def one_round(kind, seed, *_):
        seen.append((kind, seed))
        return fuzz.Counter(cases=3), []

    monkeypatch.setattr(fuzz, "one_round", one_round)
    fuzz.go_round(["films", "lists"], 70, 0, fuzz.FOLDER)
    assert seen == [("films", 70), ("lists", 71)], "once each, whatever the time"
    seen.clear()
    fuzz.go_round(["films"], 1, 2, fuzz.FOLDER)
    assert seen == [("films", 1 + k) for k in range(4)], "three looks at the clock a round: 4 rounds in 120 s"
    assert re.search(r"films +12 cases, 0 faults", capsys.readouterr().out)


def test_what_it_is_asked_for_wrongly(capsys):
    for arguments in (["--case", "no_such.json"], ["--only", "cats"]):
        with pytest.raises(SystemExit) as stopped:
            fuzz.main(arguments)
        assert stopped.value.code == 2
    assert "no_such.json is not there" in capsys.readouterr().err


def test_every_file_of_checks_is_a_kind():
    files = {path.name for path in fuzz.TESTS.glob("test_fuzz_*.py")} - {"test_fuzz_cases.py", "test_fuzz_kernels.py"}
    assert files | {"interpreted_fuzz.py"} == set(fuzz.KINDS.values())
