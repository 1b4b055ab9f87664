"""The lesson builder: one source, three products, twice the same bytes, and nobody's work overwritten."""

import copy
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest

import build_lessons
import lesson_rules
from build_lessons import BuildError

HEAD = '"locked": %s, "schema_version": 3, "task": false'
SOLVE = '# %% nbgrader={"grade": false, "grade_id": "double", "solution": true, ' + HEAD % "false" + "}"
CHECK = '# %% nbgrader={"grade": true, "grade_id": "d-check", "points": 3, "solution": false, ' + HEAD % "true" + "}"
TINY = f'''\
# %% [markdown]
# # 07 Tiny
# [next](08_next.ipynb), [data](../data/README.md), [exercise](exercises/07_tiny.ipynb), [out](https://example.org/a)

# %%
import math

print("two pieces", end=" ")
print("of one stream")
round(math.pi, 2)

# %%
from IPython.display import Image, display

png = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c02"
    "0000000b4944415478da6364f80f00010501012718e3660000000049454e44ae426082"
)
display(Image(png, alt="one grey point"))

{SOLVE}
def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION

{CHECK}
try:
    print("right" if double(3) == 6 else "wrong")
except NotImplementedError:
    print("not solved yet")
### BEGIN HIDDEN TESTS
assert True
### END HIDDEN TESTS

# %% [markdown] tags=["solution"]
# Two times x is x plus x.

# %% tags=["nbval-ignore-output"]
import ipywidgets

ipywidgets.interact(lambda x: print(x), x=3);
'''


@pytest.fixture
def lesson(tmp_path: Path) -> Path:
    source = tmp_path / "source" / "07_tiny.py"
    source.parent.mkdir()
    source.write_text(TINY)
    return source


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the tiny lesson built once; not to be written to."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "07_tiny.py").write_text(TINY)
    build_lessons.build(folder / "07_tiny.py", folder)
    return folder


def products(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.ipynb"))}


def sources(nb) -> str:
    return "\n".join(cell.source for cell in nb.cells)


def without_execution(monkeypatch, modules: tuple[str, ...] = ()) -> list[str]:
    """Let the builder take every lesson for executed, with `modules` loaded; returns the names as they come."""
    names = []

    def execute(nb, name, cwd, timeout=0, package=None):
        names.append(name)
        nb = copy.deepcopy(nb)
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.execution_count = 1
                cell.outputs = [nbformat.v4.new_output("stream", text="out\n")]
        nb.metadata[build_lessons.STAMP] = {"modules": list(modules)}
        return nb

    monkeypatch.setattr(build_lessons, "execute", execute)
    return names


# ------------------------------------------------------------------------------------------------------ the products


def test_two_builds_are_byte_identical(built: Path, lesson: Path):
    build_lessons.build(lesson, lesson.parent)
    assert products(lesson.parent) == products(built)
    assert len(products(built)) == 2


def test_nothing_that_varies_is_stored(built: Path):
    for content in products(built).values():
        assert b"iopub" not in content and b"widget-view" not in content and b"model_id" not in content
        nb = json.loads(content)
        assert nb["metadata"]["language_info"] == {"name": "python"}
        assert set(nb["metadata"]) == {"kernelspec", "language_info", "vtm_lesson"}
        nbformat.validate(nb)


def test_the_solved_lesson_is_executed_and_complete(built: Path):
    nb = build_lessons.load(built / "07_tiny.ipynb")
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert code[0].outputs[0].text == "two pieces of one stream\n"
    assert code[0].outputs[1].data["text/plain"] == "3.14"
    assert code[3].outputs[0].text == "right\n"
    assert "return 2 * x" in sources(nb) and "x plus x" in sources(nb)
    assert "BEGIN" not in sources(nb) and "END" not in sources(nb)
    assert code[4].outputs[0].data["text/plain"] == lesson_rules.WIDGET_LINE


def test_an_explorer_is_stored_as_its_picture_and_data_without_the_widget():
    view = {build_lessons.WIDGET: {"model_id": "random"}}
    data = {"image/png": "a", "text/plain": "b", "application/vnd.vtm-lesson.explorer+json": {"explorer": "film"}}
    kept = build_lessons._still(
        nbformat.v4.new_output("display_data", data=view | data, metadata={"image/png": {"alt": "b"}})
    )
    assert kept.data == data and kept.metadata == {"image/png": {"alt": "b"}}


def test_the_exercise_notebook_gives_nothing_away(built: Path):
    nb = build_lessons.load(built / "exercises" / "07_tiny.ipynb")
    text = sources(nb)
    assert "2 * x" not in text and "x plus x" not in text and "HIDDEN" not in text and "assert True" not in text
    assert 'raise NotImplementedError("exercise not solved yet")' in text and '"""Twice x."""' in text
    assert all(cell.execution_count is None and not cell.outputs for cell in nb.cells if cell.cell_type == "code")
    assert [cell.id for cell in nb.cells] == [c.id for c in build_lessons.load(built / "07_tiny.ipynb").cells]


def test_links_follow_the_notebook_into_its_folder(built: Path):
    first = build_lessons.load(built / "exercises" / "07_tiny.ipynb").cells[0].source
    assert "[next](08_next.ipynb)" in first  # from an exercise notebook to the next exercise notebook
    assert "[data](../../data/README.md)" in first
    assert "[exercise](07_tiny.ipynb)" in first
    assert "[out](https://example.org/a)" in first
    assert build_lessons.one_folder_deeper('<img src="../a.png"> ![b](c/d.png) [e](#f)') == (
        '<img src="../../a.png"> ![b](../c/d.png) [e](#f)'
    )


def test_editing_one_cell_keeps_the_ids_of_the_others(lesson: Path):
    before = [cell.id for cell in build_lessons.read_source(lesson).cells]
    lesson.write_text(TINY.replace("round(math.pi, 2)", "round(math.pi, 3)"))
    after = [cell.id for cell in build_lessons.read_source(lesson).cells]
    assert [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b] == [1]
    assert len(set(after)) == len(after)


# ----------------------------------------------------------------------------------------- what changed, whose it is

LOADED = ("pack/__init__.py", "pack/deep/__init__.py", "pack/deep/inner.py")
PACK = {
    "__init__.py": """\
def __getattr__(name):  # a front door that loads what stands behind it on first use
    if name != "thing":
        raise AttributeError(name)
    from .deep import inner

    return inner.thing
""",
    "deep/__init__.py": "",
    "deep/inner.py": "def thing():\n    return 'one'\n",
    "deep/aside.py": "x = 1\n",
    "plain.py": "y = 'plain'\n",
}


def make_pack(folder: Path) -> Path:
    for name, text in PACK.items():
        path = folder / "pack" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "pack"


def outputs(path: Path) -> str:
    cells = build_lessons.load(path).cells
    return "".join(out.text for cell in cells if cell.cell_type == "code" for out in cell.outputs)


def modules(path: Path) -> list[str]:
    return build_lessons.load(path).metadata[build_lessons.STAMP]["modules"]


@pytest.fixture
def two_lessons(tmp_path: Path) -> list[Path]:
    """A lesson that reaches a nested module through the package's front door, and one that does not."""
    head = "# %% [markdown]\n# # 07 Tiny\n\n# %%\n"
    (tmp_path / "07_nested.py").write_text(head + "import pack as p\n\nprint(p.thing())\n")
    (tmp_path / "08_plain.py").write_text(head + "import pack as p\nimport pack.plain\n\nprint(p.plain.y)\n")
    return [tmp_path / "07_nested.py", tmp_path / "08_plain.py"]


def test_a_change_behind_a_lazy_front_door_marks_exactly_the_lessons_that_use_it(two_lessons, tmp_path, monkeypatch):
    package, names, really = make_pack(tmp_path / "code"), [], build_lessons.execute
    nested, plain = tmp_path / "07_nested.ipynb", tmp_path / "08_plain.ipynb"

    def execute(nb, name, *args, **more):
        names.append(name)
        return really(nb, name, *args, **more)

    monkeypatch.setattr(build_lessons, "execute", execute)

    def executed() -> list[str]:
        names.clear()
        for source in two_lessons:
            build_lessons.build(source, tmp_path, package=package)
        return list(names)

    assert executed() == ["07_nested", "08_plain"]
    assert modules(nested) == list(LOADED) and modules(plain) == ["pack/__init__.py", "pack/plain.py"]
    assert executed() == []

    (package / "deep" / "aside.py").write_text("x = 'in a module that no kernel has loaded so far'\n")
    assert executed() == []

    (package / "deep" / "inner.py").write_text("def thing():\n    from .aside import x\n\n    return x\n")
    assert executed() == ["07_nested"]
    assert outputs(nested) == "in a module that no kernel has loaded so far\n"
    assert modules(nested) == sorted([*LOADED, "pack/deep/aside.py"]), "sorted, not as they were loaded"
    assert executed() == []

    (package / "deep" / "aside.py").write_text("x = 'now in use'\n")
    assert executed() == ["07_nested"]
    assert outputs(nested) == "now in use\n"

    (package / "plain.py").unlink()
    with pytest.raises(BuildError, match=r"08_plain(.|\n)*No module named"):
        executed()
    assert names == ["08_plain"]


def test_what_a_kernel_loaded_is_stored_alike_in_every_folder(two_lessons, tmp_path: Path):
    stored = []
    for place in (tmp_path / "here", tmp_path / "another" / "place"):
        package = make_pack(place)
        (place / "notebooks").mkdir()
        build_lessons.build(two_lessons[0], place / "notebooks", package=package)
        stored.append((place / "notebooks" / "07_nested.ipynb").read_bytes())
    assert stored[0] == stored[1] and str(tmp_path).encode() not in stored[0]
    path = tmp_path / "here" / "notebooks" / "07_nested.ipynb"
    assert modules(path) == list(LOADED)
    assert len(build_lessons.load(path).cells) == 3 and outputs(path) == "one\n", "the question left nothing behind"


def test_a_package_from_elsewhere_is_refused(two_lessons, tmp_path: Path):
    package, text = make_pack(tmp_path / "code"), two_lessons[0].read_text()
    make_pack(tmp_path)
    two_lessons[0].write_text(text.replace("import pack", "import sys\n\nsys.path.insert(0, '.')\nimport pack"))
    with pytest.raises(BuildError, match="07_nested: the kernel loaded pack from elsewhere"):
        build_lessons.build(two_lessons[0], tmp_path, package=package)
    assert not (tmp_path / "07_nested.ipynb").exists()


def test_only_what_changed_is_executed_again(lesson: Path, tmp_path: Path, monkeypatch):
    names = without_execution(monkeypatch, LOADED)
    package = make_pack(tmp_path)

    def executed() -> int:
        before = len(names)
        build_lessons.build(lesson, tmp_path, package=package)
        return len(names) - before

    assert [executed(), executed()] == [1, 0]
    (package / "plain.py").write_text("y = 2\n")
    (package / "deep" / "aside.py").unlink()
    (package / "deep" / "new.py").write_text("")
    assert executed() == 0, "no module that the kernel had loaded"
    (package / "deep" / "inner.py").write_text("x = 2\n")
    assert [executed(), executed()] == [1, 0]
    (package / "deep" / "inner.py").unlink()
    assert executed() == 1
    (package / "deep" / "__init__.py").unlink()
    assert executed() == 1, "an empty module that is gone is a change too"
    lesson.write_text(lesson.read_text() + "\n# %%\nprint(1)\n")
    assert [executed(), executed()] == [1, 0]
    lesson.write_text(lesson.read_text() + "\n# %% [markdown]\n# One more sentence.\n")
    assert [executed(), executed()] == [1, 0]


def test_a_notebook_without_a_list_of_modules_is_executed_again(lesson: Path, tmp_path: Path, monkeypatch):
    names = without_execution(monkeypatch, LOADED)
    package, path = make_pack(tmp_path), tmp_path / "07_tiny.ipynb"
    build_lessons.build(lesson, tmp_path, package=package)
    built = path.read_bytes()
    nb = build_lessons.load(path)
    del nb.metadata[build_lessons.STAMP]["modules"]
    nbformat.write(nb, path)
    build_lessons.build(lesson, tmp_path, package=package)
    assert len(names) == 2 and path.read_bytes() == built


def test_a_module_saved_while_the_lesson_runs_makes_it_stale(lesson: Path, tmp_path: Path, monkeypatch):
    names = without_execution(monkeypatch, LOADED)
    package, quick = make_pack(tmp_path), build_lessons.execute

    def slow(*args, **more):
        done = quick(*args, **more)
        (package / "deep" / "inner.py").write_text("def thing():\n    return 'too late for this kernel'\n")
        return done

    monkeypatch.setattr(build_lessons, "execute", slow)
    for executions in (1, 2, 2):
        build_lessons.build(lesson, tmp_path, package=package)
        assert len(names) == executions


def note(nb):
    nb.cells[-1].source += "\n# my own note"


def run_a_cell(nb):
    nb.cells[2].outputs = [nbformat.v4.new_output("stream", text="what my machine says\n")]


def run_a_silent_cell(nb):
    nb.cells[2].execution_count = 17


def paste_a_picture(nb):
    nb.cells[0].attachments = {"mine.png": {"image/png": PNG}}


def tag_a_cell(nb):
    nb.cells[0].metadata["tags"] = ["read-again"]


def add_metadata(nb):
    nb.metadata["authors"] = [{"name": "Ada"}]


def delete_a_cell(nb):
    del nb.cells[-1]


PNG = "iVBORw0KGgo="
BOTH = pytest.mark.parametrize("which", ["07_tiny.ipynb", "exercises/07_tiny.ipynb"])
CHANGES = [note, run_a_cell, run_a_silent_cell, paste_a_picture, tag_a_cell, add_metadata, delete_a_cell]


def change(path: Path, what=note) -> bytes:
    """Let a learner do `what` in a notebook, and return the file as it then is."""
    nb = nbformat.read(path, as_version=4)
    what(nb)
    nbformat.write(nb, path)
    return path.read_bytes()


@BOTH
@pytest.mark.parametrize("what", CHANGES)
def test_whatever_a_learner_changed_is_kept(lesson: Path, tmp_path: Path, monkeypatch, capsys, which: str, what):
    without_execution(monkeypatch)
    build_lessons.build(lesson, tmp_path)
    path = tmp_path / which
    work = change(path, what)
    lesson.write_text(TINY.replace("Twice x", "Two times x"))
    build_lessons.build(lesson, tmp_path)
    assert path.read_bytes() == work
    assert "Two times x" in path.with_suffix(".new.ipynb").read_text()
    assert "kept; the new one is" in capsys.readouterr().out

    build_lessons.build(lesson, tmp_path, force=True)
    assert "Two times x" in path.read_text()
    assert path.with_suffix(".mine.ipynb").read_bytes() == work
    assert "they are now in" in capsys.readouterr().out


@BOTH
def test_a_learners_work_is_kept(lesson: Path, tmp_path: Path, monkeypatch, which: str):
    without_execution(monkeypatch)
    build_lessons.build(lesson, tmp_path)
    mine = tmp_path / which
    work = change(mine)
    lesson.write_text(TINY.replace("Twice x", "Two times x"))
    build_lessons.build(lesson, tmp_path)
    beside = mine.with_suffix(".new.ipynb")
    kept = change(beside)
    lesson.write_text(TINY.replace("Twice x", "x and x"))
    build_lessons.build(lesson, tmp_path)
    assert mine.read_bytes() == work and beside.read_bytes() == kept
    assert "x and x" in mine.with_suffix(".new2.ipynb").read_text()

    build_lessons.build(lesson, tmp_path, force=True)
    assert "x and x" in mine.read_text()
    again = change(mine, tag_a_cell)
    build_lessons.build(lesson, tmp_path, force=True)
    assert mine.with_suffix(".mine.ipynb").read_bytes() == work, "a copy is not written over by the next"
    assert mine.with_suffix(".mine2.ipynb").read_bytes() == again

    build_lessons.build(lesson, tmp_path, force=True)
    assert not mine.with_suffix(".mine3.ipynb").exists(), "the builder's own needs no copy"


NO_NOTEBOOKS = [
    b"not a notebook",
    b"\xff\x00",
    b"[]",
    b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 3}',
    nbformat.writes(nbformat.v4.new_notebook()).encode(),
    nbformat.writes(nbformat.v4.new_notebook(metadata={"vtm_lesson": "mine"})).encode(),
]


@pytest.mark.parametrize("text", NO_NOTEBOOKS, ids=["text", "bytes", "list", "no cells", "other's", "other's record"])
def test_a_notebook_that_the_builder_never_made_is_kept(lesson: Path, tmp_path: Path, monkeypatch, text: bytes):
    without_execution(monkeypatch)
    path = tmp_path / "07_tiny.ipynb"
    path.write_bytes(text)
    build_lessons.build(lesson, tmp_path)
    assert path.read_bytes() == text and len(build_lessons.check(lesson, tmp_path)) == 1
    build_lessons.build(lesson, tmp_path, force=True)
    assert path.with_suffix(".mine.ipynb").read_bytes() == text
    assert build_lessons.check(lesson, tmp_path) == []


@BOTH
def test_a_notebook_without_the_digest_of_all_of_it_is_kept(lesson: Path, tmp_path: Path, monkeypatch, which: str):
    without_execution(monkeypatch)
    build_lessons.build(lesson, tmp_path)
    earlier = change(tmp_path / which, lambda nb: nb.metadata[build_lessons.STAMP].pop("whole"))
    assert build_lessons.check(lesson, tmp_path) == [], "it still belongs to its source"
    lesson.write_text(TINY.replace("Twice x", "Two times x"))
    build_lessons.build(lesson, tmp_path)
    assert (tmp_path / which).read_bytes() == earlier


def save_in_jupyterlab(path: Path) -> None:
    """Open and save with JupyterLab's own file manager; the kernel that is started at that says what it is."""
    from jupyter_server.services.contents.filemanager import FileContentsManager

    files = FileContentsManager(root_dir=str(path.parent))
    model = files.get(path.name)
    model["content"]["metadata"]["kernelspec"]["display_name"] = "Python 3"
    model["content"]["metadata"]["language_info"] |= {"version": "3.11.7", "mimetype": "text/x-python"}
    files.save({"type": "notebook", "format": "json", "content": model["content"]}, path.name)


def with_other_line_ends(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


@BOTH
@pytest.mark.parametrize("how", [save_in_jupyterlab, with_other_line_ends])
def test_opening_a_notebook_or_cloning_it_is_no_change(lesson: Path, tmp_path: Path, monkeypatch, which: str, how):
    without_execution(monkeypatch)
    build_lessons.build(lesson, tmp_path)
    path = tmp_path / which
    built = path.read_bytes()
    how(path)
    opened = path.read_bytes()
    assert opened != built
    build_lessons.build(lesson, tmp_path)
    assert path.read_bytes() == opened, "nothing newer to give"
    lesson.write_text(TINY.replace("Twice x", "Two times x"))
    build_lessons.build(lesson, tmp_path)
    assert "Two times x" in path.read_text()
    assert not list(tmp_path.rglob("*.new.ipynb")), "and not beside it"


def test_beside_a_learners_work_lies_a_new_notebook_only_if_there_is_something_new(
    lesson: Path, tmp_path: Path, monkeypatch
):
    names = without_execution(monkeypatch)
    paths = build_lessons.build(lesson, tmp_path)
    work = [change(path) for path in paths]
    assert build_lessons.build(lesson, tmp_path) == paths and len(products(tmp_path)) == 2

    lesson.write_text(TINY.replace("Twice x", "Two times x"))
    beside = [path.with_suffix(".new.ipynb") for path in paths]
    assert build_lessons.build(lesson, tmp_path) == beside and len(names) == 2
    assert build_lessons.build(lesson, tmp_path) == beside and len(names) == 2, "executed once"
    assert [path.read_bytes() for path in paths] == work and len(products(tmp_path)) == 4

    for path in paths:
        path.unlink()
    assert build_lessons.build(lesson, tmp_path) == paths, "whoever takes the file away gets the new one in its place"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("what", [None, note])
def test_a_full_disk_leaves_every_notebook_whole(lesson: Path, tmp_path: Path, monkeypatch, force: bool, what):
    without_execution(monkeypatch)
    path, _ = build_lessons.build(lesson, tmp_path)
    if what:
        change(path, what)
    lesson.write_text(TINY.replace("Twice x", "Two times x"))
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BuildError, match=r"07_tiny(\.new)?\.ipynb could not be written, and is as it was.*No space"):
        build_lessons.build(lesson, tmp_path, force)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_notebook_gets_its_name_only_when_it_is_whole(lesson: Path, tmp_path: Path, monkeypatch):
    """What a killed builder would leave: looked at in the moment when all bytes are written, but not yet safe."""
    without_execution(monkeypatch)
    path, _ = build_lessons.build(lesson, tmp_path)
    old, seen = change(path), []
    safe = os.fsync
    monkeypatch.setattr("os.fsync", lambda number: seen.append(path.read_bytes()) or safe(number))
    build_lessons.build(lesson, tmp_path, force=True)
    assert seen[:2] == [old, old] and path.read_bytes() != old, "once for the copy, once for the new notebook"


def test_two_builders_at_once_lose_nothing(lesson: Path, tmp_path: Path):
    nb = build_lessons.exercises(build_lessons.read_source(lesson), "07_tiny")
    path = tmp_path / "07_tiny.ipynb"
    for turn in range(8):
        build_lessons.write(path, nb, force=True)
        work = change(path, lambda nb, turn=turn: nb.metadata.update(turn=turn))
        start = threading.Barrier(3)

        def builder(start=start):
            start.wait()
            build_lessons.write(path, nb, force=True)

        with ThreadPoolExecutor(3) as pool:
            for done in [pool.submit(builder) for _ in range(3)]:
                done.result()
        assert work in [p.read_bytes() for p in tmp_path.glob("07_tiny.mine*.ipynb")]
        assert build_lessons.is_ours(path)
    assert not list(tmp_path.glob("*.part"))


def test_check_says_what_is_wrong(lesson: Path, tmp_path: Path, monkeypatch):
    without_execution(monkeypatch)
    assert {w.path.name for w in build_lessons.check(lesson, tmp_path)} == {"07_tiny.ipynb"}
    build_lessons.build(lesson, tmp_path)
    assert build_lessons.check(lesson, tmp_path) == []

    lesson.write_text(TINY.replace("x plus x", "x and x"))
    both = build_lessons.check(lesson, tmp_path)  # the exercise notebook holds a link there, with that cell's id
    assert [(w.path.parent == tmp_path, w.stale) for w in both] == [(True, True), (False, True)]
    assert all("older than 07_tiny.py" in wrong.what for wrong in both)
    build_lessons.build(lesson, tmp_path)
    assert build_lessons.check(lesson, tmp_path) == []

    lesson.write_text(TINY)
    build_lessons.build(lesson, tmp_path)
    path = tmp_path / "exercises" / "07_tiny.ipynb"
    original = path.read_text()
    path.write_text(original.replace("import math", "import math  # as usual"))
    (wrong,) = build_lessons.check(lesson, tmp_path)
    assert not wrong.stale and "changed after it was built" in wrong.what

    path.write_text(original.replace('"points": 3', '"points": 30'))
    (wrong,) = build_lessons.check(lesson, tmp_path)
    assert not wrong.stale and "metadata" in wrong.what


# --------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("    ### END SOLUTION\n", "", "1 '### BEGIN SOLUTION' but 0"),
        ("    ### BEGIN SOLUTION\n", "", "needs '### BEGIN SOLUTION'"),
        ("    ### BEGIN SOLUTION", "### BEGIN SOLUTION", "inside a function"),
        ('"grade_id": "d-check"', '"grade_id": "double"', "already used"),
        ('"points": 3, ', "", "'points' belongs to graded cells"),
        ('"points": 3', '"points": 3, "extra": 1', "unknown ['extra']"),
        (SOLVE, "# %%", "no nbgrader metadata"),
        ('tags=["solution"]', 'tags=["solutoin"]', "unknown tags ['solutoin']"),
        ("# # 07 Tiny", "# Tiny", "title"),
        ("### END HIDDEN TESTS\n", "", "hidden test"),
    ],
)
def test_a_wrong_source_is_refused(lesson: Path, tmp_path: Path, monkeypatch, old: str, new: str, words: str):
    names = without_execution(monkeypatch)
    assert TINY.count(old) >= 1
    lesson.write_text(TINY.replace(old, new, 1))
    with pytest.raises(BuildError) as caught:
        build_lessons.build(lesson, tmp_path)
    assert words in str(caught.value) and "07_tiny" in str(caught.value)
    assert not names and not products(tmp_path), "refused before anything is executed or written"


def test_a_cell_that_fails_stops_the_build_and_keeps_the_old_notebook(lesson: Path, tmp_path: Path):
    (tmp_path / "07_tiny.ipynb").write_text("old")
    lesson.write_text("# %% [markdown]\n# # 07 Tiny\n\n# %%\n1 / 0\n")
    with pytest.raises(BuildError, match="ZeroDivisionError"):
        build_lessons.build(lesson, tmp_path)
    assert (tmp_path / "07_tiny.ipynb").read_text() == "old"


def executed_notebook(*outputs, tags=()):
    cell = nbformat.v4.new_code_cell("show()", execution_count=1, outputs=list(outputs), metadata={"tags": list(tags)})
    return nbformat.v4.new_notebook(cells=[cell])


def stream(text: str, name: str = "stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ([], "no cell has an output"),
        ([nbformat.v4.new_output("error", ename="KeyError", evalue="x")], "KeyError"),
        ([stream("UserWarning: x", "stderr")], "stderr"),
        ([nbformat.v4.new_output("display_data", data={"image/png": PNG})], "without alt text"),
        ([nbformat.v4.new_output("display_data", {"image/png": "AAAA"}, metadata={"alt": "x"})], "no PNG file"),
        ([stream("/opt/course/data/film.mp4")], "folder of this machine"),
        ([stream("/home/ada/film.mp4")], "folder of somebody's machine"),
        ([stream("<Thing at 0x7f12ab34cd56>")], "address"),
        ([stream("loss 0.123456789")], "unrounded"),
        ([stream(lesson_rules.WIDGET_LINE)], "widget"),
        ([stream("x" * 1_600_000)], "1500000"),
    ],
)
def test_outputs_that_must_not_be_published(outputs, words):
    problems = lesson_rules.output_problems(executed_notebook(*outputs), [Path("/opt/course")])
    assert any(words in text for text in problems), problems


def test_good_outputs_pass():
    good = [
        stream("24 tokens, cosine 0.93, /opt/course-2\n"),
        nbformat.v4.new_output("display_data", {"image/png": PNG}, metadata={"image/png": {"alt": "24 tokens"}}),
    ]
    assert lesson_rules.output_problems(executed_notebook(*good), [Path("/opt/course")]) == []
    timed = executed_notebook(stream("0.123456789 s"), tags=["nbval-ignore-output"])
    assert lesson_rules.output_problems(timed, []) == []
    timed.cells[0].execution_count = None
    assert "was not executed" in lesson_rules.output_problems(timed, [])[0]


# ------------------------------------------------------------------------------------------------ nbval and nbgrader


def test_nbval_compares_and_never_writes(built: Path, tmp_path: Path):
    root = Path(build_lessons.__file__).parent.parent
    good, bad = tmp_path / "good.ipynb", tmp_path / "bad.ipynb"
    good.write_bytes((built / "07_tiny.ipynb").read_bytes())
    bad.write_text(good.read_text().replace("two pieces of one", "two pieces of another"))
    before = products(tmp_path)
    options = f"-q -p no:xdist --nbval --nbval-current-env --nbval-sanitize-with {root}/tests/nbval_sanitize.cfg"
    command = [sys.executable, "-m", "pytest", *options.split(), "--rootdir", str(tmp_path), str(good), str(bad)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "1 failed, 9 passed" in done.stdout, done.stdout
    assert "bad.ipynb::Cell 0" in done.stdout
    assert products(tmp_path) == before


GRADED = f"""\
# %% [markdown]
# # 07 Tiny

# %%
from vtm_lesson import checks

cases = [("three", (3,)), ("zero", (0,))]
double_is_right = checks.Exercise("double", lambda x: 2 * x, lambda: cases, hints=["add", "+", "*"])

{SOLVE}
def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION

{CHECK}
double_is_right(double)
"""


@pytest.mark.filterwarnings("ignore:Object of type <Submitted")  # nbgrader's own use of its database
def test_nbgrader_gives_all_marks_to_the_solved_and_none_to_the_open_notebook(tmp_path: Path, monkeypatch):
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    lesson = tmp_path / "07_tiny.py"
    lesson.write_text(GRADED)
    course = tmp_path / "course"
    course.mkdir()
    assert build_lessons.make_nbgrader(lesson, course) == course / "source" / "07_tiny" / "07_tiny.ipynb"
    assert "CourseDirectory" in (course / "nbgrader_config.py").read_text()

    nb = build_lessons.read_source(lesson)
    solved = build_lessons.solved(nb, "07_tiny")
    wrong = build_lessons.solved(nb, "07_tiny")
    for cell in wrong.cells:
        cell.source = cell.source.replace("return 2 * x", "return x * x")
    submissions = {"solved": solved, "open": build_lessons.exercises(nb, "07_tiny"), "wrong": wrong}
    for student, notebook in submissions.items():
        folder = course / "submitted" / student / "07_tiny"
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / "07_tiny.ipynb")

    monkeypatch.chdir(course)
    config = Config()
    config.CourseDirectory.root = str(course)
    config.ClearSolutions.code_stub = {"python": build_lessons.STUB}
    api = NbGraderAPI(config=config)
    made = api.generate_assignment("07_tiny")
    assert made["success"], made
    released = (course / "release" / "07_tiny" / "07_tiny.ipynb").read_text()
    assert "exercise not solved yet" in released and "2 * x\\n" not in released
    for student in submissions:
        graded = api.autograde("07_tiny", student)
        assert graded["success"], graded
    with api.gradebook as book:
        marks = {s: book.find_submission("07_tiny", s).score for s in submissions}
    assert marks == {"solved": 3, "open": 0, "wrong": 0}
