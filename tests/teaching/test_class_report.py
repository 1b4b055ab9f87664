"""What a class got wrong: submissions of all sorts, judged apart; tables that other programs read; the figure."""

import csv
import json

import pytest

import mutation_audit as audit
from vtm_lesson import checks
from vtm_lesson.teaching import grading, judging
from vtm_lesson.teaching.classroom import report as class_report
from vtm_lesson.teaching.classroom.figure import OUTCOMES, class_mistakes
from vtm_lesson.teaching.contents import LESSONS

CODE = audit.solutions()
LESSON = "02_bipartite_matching"
HALVES = "Your two halves are swapped: here sources are the even positions."


def notebook(folder, student, answers):
    """A student's notebook of lesson 02, with some cells filled in."""
    nb = json.loads((audit.ROOT / "notebooks" / "exercises" / f"{LESSON}.ipynb").read_text(encoding="utf-8"))
    for cell in nb["cells"]:
        source = "".join(cell["source"])
        for name, code in answers.items():
            if cell["metadata"].get("nbgrader", {}).get("solution") and f"def {name}(" in source:
                cell["source"] = code
    path = folder / "submitted" / student / LESSON / f"{LESSON}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(nb), encoding="utf-8")


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


SWAPPED = "def alternate(n):\n    return torch.arange(1, n, 2), torch.arange(0, n, 2)\n"
HOSTILE = {
    "alternate": "def alternate(n):\n    while True:\n        pass\n",
    "every_gamma_th": CODE["every_gamma_th"],
    "full_groups": "def full_groups(best, sources:\n",
    "token_sizes": "def token_sizes(group, size):\n    import os\n    os._exit(0)\n",
}
ASKED = ("alternate", "every_gamma_th", "full_groups", "token_sizes", "unmerge")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a class of five: some honest work, and every sort of other one."""
    folder, out = tmp_path_factory.mktemp("class"), tmp_path_factory.mktemp("report")
    notebook(folder, "ada", {name: CODE[name] for name in LESSONS[LESSON][1]})
    notebook(folder, "ben", {"alternate": "import os\nos.write(1, b'x' * 100000)\nprint('y' * 100000)\n" + SWAPPED})
    notebook(folder, "hostile", HOSTILE)
    notebook(folder, "dies early", {"alternate": "import os\nos._exit(0)\n" + CODE["alternate"]})
    (folder / "submitted" / "eve.py").write_text("import torch\n" + CODE["alternate"], encoding="utf-8")
    code = class_report.main([str(folder), "--out", str(out), "--seconds", "5", *ASKED])
    return code, out


def test_every_sort_of_submission_gets_its_rows(report):
    code, out = report
    head, *rows = rows_of(out / "mistakes.csv")
    assert code == 0 and head == ["student", "exercise", "marks", "of", "mistake"]
    found = {(student, name): (int(marks), int(of), words) for student, name, marks, of, words in rows}
    assert len(found) == len(rows) == 5 * 4, "nobody tried lesson 00, so unmerge is left out"
    assert all(found["ada", name] == (1, 1, "") for name in ASKED[:4])
    assert found["ben", "alternate"] == (0, 1, HALVES)
    assert found["ben", "token_sizes"] == (0, 1, "not solved yet")
    assert found["hostile", "alternate"] == (0, 1, "your function took longer than 5 s")
    assert found["hostile", "every_gamma_th"] == (1, 1, ""), "only what is wrong costs marks"
    assert "is no Python, line 1" in found["hostile", "full_groups"][2]
    assert found["hostile", "token_sizes"] == (0, 1, "your function ended Python")
    assert all("as a whole ended Python" in found["dies early", name][2] for name in ASKED[:4])
    assert found["eve", "alternate"] == (1, 1, "")
    assert found["eve", "token_sizes"] == (0, 1, "there is no function token_sizes")


def test_moodle_reads_the_marks(report):
    head, *rows = rows_of(report[1] / "moodle.csv")
    assert head == ["Username", LESSON]
    assert rows == [["ada", "4"], ["ben", "0"], ["dies early", "0"], ["eve", "1"], ["hostile", "1"]]


def test_canvas_reads_the_marks(report):
    head, possible, *rows = rows_of(report[1] / "canvas.csv")
    assert head == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", LESSON]
    assert possible == ["    Points Possible", "", "", "", "", "4"]
    assert ["ada", "", "", "ada", "", "4"] in rows and all(len(row) == len(head) for row in rows)


def test_the_figure_is_stored_with_its_words(report):
    words = (report[1] / f"mistakes_{LESSON}.txt").read_text(encoding="utf-8")
    assert words.startswith("5 students. alternate: 2 right, 1 a named mistake, 2 stopped, hung or crashed.")
    assert f"1 of them: {HALVES}" in words
    assert (report[1] / f"mistakes_{LESSON}.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_no_submission_is_said_in_one_sentence(tmp_path, capsys):
    assert class_report.main([str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "holds no submission; it needs submitted/STUDENT/LESSON/LESSON.ipynb" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_marks_of_several_lessons_have_a_column_each(tmp_path):
    def judge(path, names):
        return [judging.Verdict(name, "right" if path.stem == "ada" or name == "above" else "open") for name in names]

    handed_in = [("ada", "", tmp_path / "ada.py"), ("ben", "", tmp_path / "ben.py")]
    rows = class_report.marked(handed_in, ["group_mean", "alternate", "above"], judge)
    class_report.write_canvas(rows, tmp_path / "c.csv")
    lessons = ["00_start_here", LESSON, "03_tome_in_a_vit"]
    assert [row[5:] for row in rows_of(tmp_path / "c.csv")] == [
        lessons,
        ["1", "1", "2"],
        ["1", "1", "2"],
        ["0", "0", "2"],
    ]


def test_somebody_elses_notebook_runs_no_experiment(tmp_path):
    """Of the cells between the answers only what defines something is run."""
    notebook(tmp_path, "ada", {"alternate": SWAPPED})
    path = tmp_path / "submitted" / "ada" / LESSON / f"{LESSON}.ipynb"
    nb = json.loads(path.read_text(encoding="utf-8"))
    nb["cells"][0] = {
        "cell_type": "code",
        "metadata": {},
        "outputs": [],
        "source": "raise SystemExit\nlong = print(1)\nK = 3",
    }
    path.write_text(json.dumps(nb), encoding="utf-8")
    names, note = judging.answers_in(path)
    assert note is None and names["K"] == 3 and "long" not in names
    assert judging.verdict("alternate", names)[0].words == HALVES


def test_the_figure_draws_the_numbers_it_was_given():
    answers = {
        "above": {"right": 20, "a named mistake": 5, "not solved": 5},
        "amdahl": {"stopped, hung or crashed": 30},
    }
    fig = class_mistakes(answers, {"above": [("Once.", 1), ("Four times.", 4)]}, "a class", most=1)
    assert fig.alt.startswith(
        "30 students. above: 20 right, 5 a named mistake, 5 not solved. 4 of them: Four times. amdahl"
    )
    widths = [bar.get_width() for bar in fig.axes[0].patches]
    assert widths == [20, 5, 5, 4, 30]
    texts = [text.get_text() for text in fig.axes[0].texts]
    assert "Four times." in texts and "Once." not in texts
    assert len({(colour, hatch) for colour, hatch in OUTCOMES.values()}) == len(OUTCOMES)


def test_a_figure_of_nobody_is_refused():
    with pytest.raises(ValueError, match="no answer of anybody"):
        class_mistakes({"above": {}}, {})
    with pytest.raises(ValueError, match="outcomes late cannot be drawn"):
        class_mistakes({"above": {"late": 1}}, {})


def test_every_kind_of_verdict_has_its_place():
    assert set(class_report.KINDS.values()) == set(OUTCOMES)
    assert set(grading.tasks()) == {
        name for name in checks.__all__ if isinstance(getattr(checks, name), checks.Exercise)
    }
