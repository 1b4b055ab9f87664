"""A learner who solves lessons 00, 02, 04 and 07 trains a VTM of their own functions, and not of the package's."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

import build_lessons

SOURCES = Path(build_lessons.__file__).resolve().parents[1] / "notebooks" / "source"
LESSONS = ("00_start_here", "02_bipartite_matching", "04_naive_vtm", "07_learnable")
EARLIER = {"group_mean": "00", "nearest_target": "02", "merge_in_chunks": "04"}
OWN = {*EARLIER, "saliency", "guided_attention", "gradient_of_saliency", "drawn_targets", "group_numbers", "vtm_block"}
LOG = "calls.log"  # in the learner's folder, where every lesson runs: a function of lesson 00 notes there in lesson 07
TELL = f"__import__('pathlib').Path({LOG!r}).open('a').write({{line!r}})"


def solved(name: str):
    """The exercise notebook with every solution filled in by its grade_id, each of which notes in LOG that it runs.

    Every code cell notes there that it begins.
    """
    whole = build_lessons.read_source(SOURCES / f"{name}.py")
    answers = {
        c.metadata.nbgrader.grade_id: c.source for c in whole.cells if c.metadata.get("nbgrader", {}).get("solution")
    }
    nb = build_lessons.exercises(whole, name)
    for number, cell in enumerate(nb.cells):
        if cell.cell_type != "code":
            continue
        graded = cell.metadata.get("nbgrader", {})
        kind = "exercise" if graded else "cell"
        if graded.get("solution"):
            assert "NotImplementedError" in cell.source, graded.grade_id
            text = answers[graded.grade_id]
            function = re.findall(r"^def (\w+)", text, re.MULTILINE)[-1]
            told = TELL.format(line=f"call {function}\n")
            # Inside of the function, so that it goes along where its text is stored for another lesson.
            cell.source = text.replace("    ### BEGIN SOLUTION\n", f"    {told}\n").replace("    ### END SOLUTION", "")
            assert told in cell.source
        begun = TELL.format(line=f"{kind} {number}\n")
        cell.source = f"{begun};\n{cell.source}"
    return nb


def calls(log: Path) -> dict[str, Counter]:
    """Of each code cell, as "cell 17" or "exercise 18": which of the learner's functions ran in it, and how often."""
    found, here = {}, Counter()
    for line in log.read_text().splitlines():
        word, name = line.split()
        if word == "call":
            here[name] += 1
        else:
            here = found[line] = Counter()
    return found


def said(nb) -> str:
    return "".join(out.get("text", "") for cell in nb.cells for out in cell.get("outputs", []))


@pytest.fixture(scope="module")
def learner(tmp_path_factory):
    """The lessons, one after the other, in one learner's folder: what lesson 07 printed, and its calls."""
    folder = tmp_path_factory.mktemp("work")
    (folder / ".vtm-work.json").write_text(json.dumps({"seen": {}}))
    for name in LESSONS:
        (folder / LOG).unlink(missing_ok=True)
        done = build_lessons.execute(solved(name), name, folder)
    return said(done), calls(folder / LOG)


def test_every_function_is_taken_as_the_learners(learner):
    text, _ = learner
    for name in OWN - {"group_numbers"}:  # that one is called by the block only
        where = rf", of lesson {EARLIER[name]}" if name in EARLIER else ""
        assert re.search(rf"^{name}: yours{where}\.$", text, re.MULTILINE), name
    assert "the package's" not in text
    assert "✗" not in text
    assert ": False" not in text  # the lines by which the lesson says what holds


def test_later_cells_run_the_learners_functions(learner):
    _, cells = learner
    later = sum((found for cell, found in cells.items() if cell.startswith("cell ")), Counter())
    assert later.keys() >= OWN


def test_one_cell_trains_a_network_with_all_of_its_parts(learner):
    """The block calls each part at least once for each of 16 films in each of 57 steps."""
    _, cells = learner
    parts = OWN - {"gradient_of_saliency", "merge_in_chunks"}
    most = max(cells.values(), key=lambda found: found["vtm_block"])
    assert {name for name in parts if most[name] < 16 * 50} == set()
