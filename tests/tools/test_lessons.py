"""Every lesson as it is committed: from its source, fit to be read, and open to a learner who has solved nothing.

That the stored outputs are what the code gives is nbval's part: see `make test`.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import build_lessons
import lesson_rules
from vtm_lesson.teaching.contents import LESSONS

ROOT = Path(build_lessons.__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
SOURCES = build_lessons.find_sources([], NOTEBOOKS / "source")


def differs_from_commit(path: Path) -> bool:
    """True where git knows another version of the file, or does not know it: then it may be a learner's work."""
    try:
        command = ["git", "status", "--porcelain", "--", str(path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return True
    return done.returncode != 0 or bool(done.stdout.strip())


def output_text(cell) -> str:
    outputs = cell.get("outputs", [])
    return "".join(out.get("text", "") + out.get("data", {}).get("text/plain", "") for out in outputs)


def links(text: str) -> list[str]:
    """Targets of relative links in markdown and in HTML."""
    text = re.sub(r"`[^`]*`", "", text)
    found = re.findall(r"\]\(([^)\s]+)|\b(?:src|href)=[\"']([^\"']+)", text)
    return [a or b for a, b in found if not re.match(r"[a-z]+:|#", a or b)]


class Lesson:
    """What holds for every lesson; one class each (below), so that workers share the lessons among themselves."""

    source: Path

    def test_notebooks_belong_to_the_source(self):
        wrong = build_lessons.check(self.source, NOTEBOOKS)
        mine = [w for w in wrong if not w.stale and differs_from_commit(w.path)]
        rest = [f"{w.path.name} in {w.path.parent.name}/ {w.what}" for w in wrong if w not in mine]
        assert not rest, "; ".join(rest)
        if mine:
            names = ", ".join(w.path.name for w in mine)
            pytest.skip(f"changed since the last commit, taken for your own work: {names}")

    def test_stored_outputs_can_be_published(self):
        nb = build_lessons.load(NOTEBOOKS / f"{self.source.stem}.ipynb")
        private = [ROOT, Path.home(), Path(sys.prefix), Path(tempfile.gettempdir())]
        assert lesson_rules.output_problems(nb, private) == []
        for cell in nb.cells:
            if cell.metadata.get("nbgrader", {}).get("grade") and cell.cell_type == "code":
                text = output_text(cell)
                assert text.strip(), f"the check {cell.metadata.nbgrader.grade_id} says nothing"
                assert "✗" not in text and "not solved" not in text, text

    @pytest.mark.parametrize("kind", ["", "exercises"])
    def test_links_lead_somewhere(self, kind: str):
        folder = NOTEBOOKS / kind
        nb = build_lessons.load(folder / f"{self.source.stem}.ipynb")
        for cell in nb.cells:
            for target in links(cell.source) if cell.cell_type == "markdown" else ():
                path = folder / target.split("#")[0]
                later = re.match(r"(\d\d)_\w+\.ipynb", target)
                unwritten = later and later.group(1) > max(
                    source.stem[:2] for source in SOURCES if source.stem[0] < "A"
                )
                assert path.exists() or unwritten, f"{target} is linked in {nb.cells.index(cell)}, but is not there"

    def test_runs_to_the_end_with_nothing_solved(self, tmp_path: Path):
        name = self.source.stem
        nb = build_lessons.exercises(build_lessons.read_source(self.source), name)  # not the learner's copy of it
        done = build_lessons.execute(nb, name, tmp_path)  # raises at the first cell that does
        checks = [c for c in done.cells if c.cell_type == "code" and c.metadata.get("nbgrader", {}).get("grade")]
        said = {cell.metadata.nbgrader.grade_id: output_text(cell) for cell in checks}
        silent = [grade_id for grade_id, text in said.items() if "not solved" not in text]
        assert not silent, f"unsolved, but the check does not say so: {silent}"
        for cell in done.cells:
            taken = re.findall(r"^\w+: yours\b.*", output_text(cell) if cell.cell_type == "code" else "", re.MULTILINE)
            assert not taken, f"nothing is solved, and a cell says {taken}"


for _source in SOURCES:
    _name = f"TestLesson{_source.stem.split('_')[0]}"
    globals()[_name] = type(_name, (Lesson,), {"source": _source})


def test_the_lessons_call_the_learners_functions():
    """`.answer` is the package's; a lesson takes the learner's with `.mine()`."""
    answers = {source.stem: source.read_text(encoding="utf-8").count(".answer") for source in SOURCES}
    assert sum(answers.values()) <= 4, answers


def test_every_exercise_is_used_or_leads_somewhere():
    """Of each lesson's exercises most are called again by a later cell, of this lesson or another."""
    text = "\n".join(source.read_text(encoding="utf-8") for source in SOURCES)
    for lesson, (_, names) in LESSONS.items():
        used = [name for name in names if f"checks.{name}.mine(" in text]
        assert used or not names, f"{lesson}: no later cell calls what the learner wrote"


def test_every_notebook_has_a_source():
    names = {source.stem for source in SOURCES}
    for folder in (NOTEBOOKS, NOTEBOOKS / "exercises"):
        for path in (*folder.glob("[0-9][0-9]_*.ipynb"), *folder.glob("[A-Z]_*.ipynb")):
            known = path.stem in names or ".new" in path.name or differs_from_commit(path)
            assert known, f"{path.name} has no source in notebooks/source"


def test_the_kernel_of_the_builder_is_this_environment(tmp_path: Path):
    nb = build_lessons.new_notebook(cells=[build_lessons.nbformat.v4.new_code_cell("import sys; print(sys.prefix)")])
    done = build_lessons.execute(nb, "kernel", tmp_path)
    assert done.cells[0].outputs[0].text.strip() == sys.prefix
