"""Build the lessons: one hand-written source, three products.

    notebooks/source/NN_name.py     the source, jupytext's py:percent with nbgrader metadata in cell headers
 -> notebooks/NN_name.ipynb             solved and executed: what is read, and what nbval checks
 -> notebooks/exercises/NN_name.ipynb   solutions taken out: what a learner works in
 -> DIR/source/NN_name/NN_name.ipynb    what a teacher gives to nbgrader (only with --nbgrader DIR)

    python tools/build_lessons.py                rebuild the lessons whose source or package code changed
    python tools/build_lessons.py 02 --force     rebuild lesson 02 in any case
    python tools/build_lessons.py --check        do the notebooks belong to their sources? (executes nothing)

Two builds of one source give identical bytes. Each notebook carries, in its metadata, a digest of all that the builder
wrote into it. A file that does not match it, be it in one output or tag, or that has none, is somebody's work and is
never lost: it stays, and the new build goes beside it as NN_name.new.ipynb. With --force the new build takes its place,
once a copy of the work is safe as NN_name.mine.ipynb. How to write a source: notebooks/source/README.md.

A lesson is executed again when its own code changed, or a package module that its kernel had loaded when it was
executed last: the kernel is asked, because imports may be lazy, and the notebook's metadata keeps its answer.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import logging
import os
import re
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook, new_output

from lesson_rules import BuildError, output_problems, source_problems, where

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the package need not be installed to build its lessons

from vtm_lesson import checks  # noqa: E402
from vtm_lesson.teaching.contents import LESSONS  # noqa: E402
from vtm_lesson.teaching.exercise import KINDS  # noqa: E402

# What makes a notebook somebody's own is said once, for the builder and for the learner's folder.
from vtm_lesson.teaching.work import STAMP, record, whole_digest  # noqa: E402

PACKAGE = "vtm_lesson"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
STUB = '# Your code here: replace the next line.\nraise NotImplementedError("exercise not solved yet")'
TEXT_STUB = "*Write your answer here.*"
MARKS = re.compile(r"^\s*#+ *(BEGIN|END) (SOLUTION|HIDDEN TESTS)\s*$")
HEADING = re.compile(r"^#{2,4} .*(?:Your turn|Puzzle).*$", re.MULTILINE)
CHECK = re.compile(r"checks\.(\w+)\(\w+\)")
WIDGET = "application/vnd.jupyter.widget-view+json"

READ_BANNER = (
    "*This is the solved lesson, for reading. To do it yourself open\n"
    "[exercises/{name}.ipynb](exercises/{name}.ipynb): the same lesson with the solutions taken out.\n"
    "It was run by itself, so functions of earlier lessons are the package's here.*"
)
WORK_BANNER = (
    "*This is the notebook to work in: the solutions are taken out, and each exercise is checked as you go. "
    "An exercise you leave open stops nothing.\nThe [solved lesson](../{name}.ipynb) is there when the hints "
    "are used up. What you write here is never overwritten by a rebuild of the lessons.*"
)
SEE_SOLUTION = "*Solution: at the same place in the [solved lesson](../{name}.ipynb).*"
NBGRADER_CONFIG = """\
# Written once by tools/build_lessons.py --nbgrader; yours to change, it is not written again.
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "video-token-merging"
c.ClearSolutions.code_stub = {{"python": {stub!r}}}
c.ClearSolutions.text_stub = {text!r}
c.ExecutePreprocessor.timeout = 900
"""


# ---------------------------------------------------------------------------------------------- from source to cells


def read_source(path: Path) -> NotebookNode:
    """The source as an unexecuted notebook: solution marks and nbgrader metadata still in, ids set.

    Raises BuildError, with every problem found, where the source breaks a rule of notebooks/source/README.md.
    """
    raw = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")
    nb = new_notebook(metadata={"kernelspec": dict(KERNEL), "language_info": {"name": "python"}})
    taken: set[str] = set()
    try:
        with_hints = _with_hints(raw.cells)
    except BuildError as error:
        raise BuildError(f"{path.name}: {error}") from None
    for cell in with_hints:
        cell = deepcopy(cell)
        cell.metadata = NotebookNode({k: v for k, v in cell.metadata.items() if k in ("nbgrader", "tags")})
        cell.id = _cell_id(path.stem, cell, taken)
        nb.cells.append(cell)
    problems = source_problems(nb)
    if problems:
        raise BuildError(f"{path.name}: " + "\n  ".join(["the source breaks the rules:", *problems]))
    return nb


def _with_hints(cells: list[NotebookNode]) -> list[NotebookNode]:
    """The cells, with what the package knows of each exercise: a line under its heading, and its hints after its check.

    So the hints in the notebook and those of the check are the same texts.
    """
    known = {name for _, names in LESSONS.values() for name in names}
    heading, out = None, []
    for number, cell in enumerate(deepcopy(cells)):
        out.append(cell)
        if cell.cell_type == "markdown" and HEADING.search(cell.source):
            heading = cell
        called = CHECK.fullmatch(cell.source.strip()) if cell.cell_type == "code" else None
        name = called[1] if called else None
        if name not in known:
            continue
        if heading is None:
            at = where(number, cell)
            raise BuildError(f"{at}: each exercise has a heading of its own above it, with Your turn or Puzzle in it")
        line = HEADING.search(heading.source)[0]
        heading.source = heading.source.replace(line, f"{line}\n\n{_burden(name)}", 1)
        heading = None
        hints = enumerate(getattr(checks, name).hints, 1)
        blocks = [f"<details><summary>Hint {i}</summary>\n\n{hint}\n\n</details>" for i, hint in hints]
        out.append(new_markdown_cell("\n\n".join(blocks), metadata={"tags": ["hint"]}))
    return out


def _burden(name: str) -> str:
    """How long an exercise takes, and what there is to do, as its heading says it."""
    exercise = getattr(checks, name)
    minutes = f"{exercise.minutes} minute{'s' * (exercise.minutes != 1)}"
    return (
        f"*{KINDS[exercise.kind]} · about {minutes} · difficulty {exercise.difficulty} of 5 · "
        f"importance {exercise.importance} of 5*"
    )


def _cell_id(lesson: str, cell: NotebookNode, taken: set[str]) -> str:
    """From the content, so that editing one cell leaves the ids of all others alone."""
    wanted = (
        cell.metadata.get("nbgrader", {}).get("grade_id")
        or hashlib.sha256(f"{lesson}\n{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
    )
    found, n = wanted[:60], 1
    while found in taken:
        n += 1
        found = f"{wanted[:60]}-{n}"
    taken.add(found)
    return found


def solved(nb: NotebookNode, name: str) -> NotebookNode:
    """The lesson for reading, not yet executed: everything but the solution marks."""
    nb = deepcopy(nb)
    for cell in nb.cells:
        cell.source = "\n".join(line for line in cell.source.split("\n") if not MARKS.match(line))
    return _finish(nb, READ_BANNER, name)


def exercises(nb: NotebookNode, name: str) -> NotebookNode:
    """The lesson to work in: nbgrader's own preprocessors take the solutions and hidden tests out."""
    from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions

    nb = deepcopy(nb)
    clear = ClearSolutions(code_stub={"python": STUB}, text_stub=TEXT_STUB)
    clear.log = logging.getLogger("quiet")  # what it logs, it also raises
    clear.log.addHandler(logging.NullHandler())
    clear.log.propagate = False
    try:
        nb, _ = clear.preprocess(nb, {})
        nb, _ = ClearHiddenTests().preprocess(nb, {})
    except RuntimeError as error:
        raise BuildError(f"{name}: {error}") from None
    for cell in nb.cells:
        if cell.cell_type != "markdown":
            continue
        if "solution" in cell.metadata.get("tags", []):
            cell.source = SEE_SOLUTION.format(name=name)
        else:
            cell.source = one_folder_deeper(cell.source)
    return _finish(nb, WORK_BANNER, name)


def for_nbgrader(nb: NotebookNode, name: str) -> NotebookNode:
    """The source notebook of nbgrader's `source/` folder: marks kept, written-out solutions left out."""
    nb = deepcopy(nb)
    nb.cells = [cell for cell in nb.cells if "solution" not in cell.metadata.get("tags", [])]
    return _stamp(nb)


def _finish(nb: NotebookNode, banner: str, name: str) -> NotebookNode:
    cell = new_markdown_cell(banner.format(name=name), id="about-this-notebook")
    nb.cells.insert(1, cell)
    return _stamp(nb)


def one_folder_deeper(text: str) -> str:
    """Relative links written for notebooks/ made right for notebooks/exercises/; lessons link to their own kind."""

    def deeper(match: re.Match) -> str:
        before, target = match.groups()
        if re.match(r"[a-z]+:|#|/", target) or re.match(r"(\d\d|[A-Z])_\w+\.ipynb", target):
            return match.group(0)
        return before + (target[len("exercises/") :] if target.startswith("exercises/") else "../" + target)

    return re.sub(r"""(\]\(|\b(?:src|href)=["'])([^)"'\s]+)""", deeper, text)


# -------------------------------------------------------------------------------------------------------- execution

# What a kernel is asked after the last cell. An expression, so that it leaves no name behind in the kernel.
LOADED = """
"\\n".join(
    getattr(module, "__file__", None) or ""
    for name, module in [*__import__("sys").modules.items()]
    if name.split(".")[0] == {package!r}
)
"""


def kernel_environment(scratch: str, package: Path) -> dict[str, str]:
    """One environment for every build: this checkout's package, no network, no bars, no personal IPython profile."""
    env = dict(os.environ)
    env.pop("NBGRADER_EXECUTION", None)
    env |= {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(package.resolve().parent), os.environ.get("PYTHONPATH")])),
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "IPYTHONDIR": scratch,
        "HF_HUB_OFFLINE": "1",
        "TQDM_DISABLE": "1",
        "OMP_WAIT_POLICY": "passive",  # as `make lab` and `make test` have it
        "JUPYTER_PLATFORM_DIRS": "1",
    }
    return env


def execute(nb: NotebookNode, name: str, cwd: Path, timeout: int = 900, package: Path = ROOT / PACKAGE) -> NotebookNode:
    """Run every cell in order; a cell that raises is a BuildError. Outputs come back free of all that varies.

    Under metadata[STAMP]["modules"] it comes back with the package modules that its kernel had loaded at the end.
    """
    nb = deepcopy(nb)
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # this environment's kernel, not one in the user's home
    os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
    with tempfile.TemporaryDirectory() as scratch:
        client = NotebookClient(
            nb,
            timeout=timeout,
            kernel_name="python3",
            record_timing=False,
            shutdown_kernel="immediate",  # everything is said; an interrupt would only be reported
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
            resources={"metadata": {"path": str(cwd)}},
        )
        try:
            with client.setup_kernel(env=kernel_environment(scratch, package)):
                client.execute(cleanup_kc=False)  # the kernel lives on, for one question more
                modules = loaded_modules(client, name, package.resolve())
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise BuildError(f"{name}: a cell failed while the lesson was executed.\n{error}") from None
    nb.metadata = NotebookNode({"kernelspec": dict(KERNEL), "language_info": {"name": "python"}})
    nb.metadata[STAMP] = {"modules": modules}
    for cell in nb.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [_still(out) for out in _joined(cell.outputs)]
    return nb


def loaded_modules(client: NotebookClient, name: str, package: Path) -> list[str]:
    """Ask the kernel for the files of all package modules it has loaded, named as in `package_texts`."""
    question = LOADED.format(package=package.name)
    reply = client.wait_for_reply(client.kc.execute("", silent=True, user_expressions={"loaded": question}))
    answer = reply["content"].get("user_expressions", {}).get("loaded", {})
    if answer.get("status") != "ok":
        raise BuildError(f"{name}: the kernel does not say which modules it loaded: {answer}")
    files = [Path(file).resolve() for file in ast.literal_eval(answer["data"]["text/plain"]).split("\n") if file]
    strange = [str(file) for file in files if not file.is_relative_to(package)]
    if strange:  # its outputs come from other code than this, and no change here would ever make it stale
        raise BuildError(f"{name}: the kernel loaded {package.name} from elsewhere: {', '.join(strange)}")
    return sorted({file.relative_to(package.parent).as_posix() for file in files})


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Neighbouring pieces of one stream as one output: how a stream is cut up depends on the moment."""
    joined: list[NotebookNode] = []
    for out in outputs:
        if out.output_type == "stream" and joined and joined[-1].get("name") == out.name:
            joined[-1].text += out.text
        else:
            joined.append(out)
    return joined


def _still(out: NotebookNode) -> NotebookNode:
    """A widget cannot be stored without its random ids: what else its output holds stands in for it, or a line."""
    if WIDGET not in out.get("data", {}):
        return out
    del out.data[WIDGET]
    if "image/png" in out.data:
        return out
    return new_output("display_data", data={"text/plain": "(interactive: run this cell to use it)"})


# ------------------------------------------------------------------------------------------------ whose file is it?


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def cells_digest(nb: NotebookNode) -> str:
    return digest(*(f"{cell.get('cell_type')}:{cell.get('source', '').rstrip()}" for cell in nb.cells))


def _stamp(nb: NotebookNode, **more: str | list[str]) -> NotebookNode:
    """Note in the notebook what it was built with: `cells` tells `check` later whether somebody changed the text."""
    nb.metadata[STAMP] = {"cells": cells_digest(nb), "frame": digest(_frame(nb)), **more}
    return nb


def _frame(nb: NotebookNode) -> str:
    """Everything that a build decides without executing, as text."""
    cells = [(c.cell_type, c.get("id"), c.source, c.metadata) for c in nb.cells]
    meta = {k: v for k, v in nb.metadata.items() if k != STAMP}
    return json.dumps([cells, meta], sort_keys=True)


def load(path: Path) -> NotebookNode | None:
    """The notebook at `path`; None where there is none or where it cannot be read as one."""
    try:
        return nbformat.read(path, as_version=4)
    except Exception:  # nbformat has many ways to say that a file holds something else
        return None


def is_ours(path: Path) -> bool:
    """True where writing `path` loses nobody's work: no file, or one that holds just what the builder wrote."""
    if not (path.exists() or path.is_symlink()):
        return True
    nb = load(path)
    return nb is not None and record(nb).get("whole") == whole_digest(nb)


def beside(path: Path, word: str, number: int) -> Path:
    return path.with_suffix(f".{word}{number if number > 1 else ''}.ipynb")


def write(path: Path, nb: NotebookNode, force: bool = False) -> Path:
    """Write `nb` to `path`, or beside it where `path` holds somebody's work. Returns where it went.

    With `force` it goes to `path` in any case, and somebody's work is copied first.
    """
    nb = deepcopy(nb)
    nb.metadata[STAMP]["whole"] = whole_digest(nb)
    nbformat.validate(nb)
    text = nbformat.writes(nb, version=4).rstrip("\n") + "\n"
    target, n = path, 1
    while not (force or is_ours(target)):
        target, n = beside(path, "new", n), n + 1
    if target != path:
        print(f"{shown(path)} holds changes that are not the builder's: kept; the new one is {shown(target)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not is_ours(target):
            print(f"{shown(target)} held changes that are not the builder's: they are now in {shown(copy_of(target))}")
        put(target, text.encode())
    except OSError as error:
        raise BuildError(f"{shown(target)} could not be written, and is as it was: {error}") from None
    return target


def copy_of(path: Path) -> Path:
    """Copy somebody's work to a name beside it that no file has yet; returns that name."""
    work, n = path.read_bytes(), 1
    while True:
        copy, n = beside(path, "mine", n), n + 1
        try:
            copy.touch(exist_ok=False)  # one name for each builder, should two be at work
        except FileExistsError:
            continue
        try:
            put(copy, work)
        except BaseException:
            copy.unlink()  # empty
            raise
        return copy


def put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: it gets its name when all of it is on the disk."""
    partial = path.with_name(f"{path.stem}.{secrets.token_hex(4)}.part")  # another builder's has another name
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


# ------------------------------------------------------------------------------------------------- what has changed


def package_texts(package: Path) -> dict[str, str]:
    """Every module of the package, on whatever floor, by a name that is the same on every machine."""
    package = package.resolve()
    return {
        path.relative_to(package.parent).as_posix(): path.read_text(encoding="utf-8") for path in package.rglob("*.py")
    }


def inputs_digest(nb: NotebookNode, modules: list[str], texts: dict[str, str]) -> str:
    """Of everything the outputs come from: the lesson's code and the package modules that its kernel loaded."""
    code = [cell.source for cell in nb.cells if cell.cell_type == "code"]
    return digest("\n".join(code), *(f"{path}\n{texts[path]}" for path in modules if path in texts))


def standing(path: Path, fits: Callable[[NotebookNode], bool]) -> Path | None:
    """The notebook at `path` that `fits`, perhaps worked in since; or a new one that fits, beside somebody's work."""
    new = [] if is_ours(path) else sorted(path.parent.glob(f"{path.stem}.new*.ipynb"))
    return next((found for found in (path, *new) if (nb := load(found)) is not None and fits(nb)), None)


def is_fresh(old: NotebookNode, read: NotebookNode, nb: NotebookNode, texts: dict[str, str]) -> bool:
    """True where the executed notebook `old` is what `read`, made from the source `nb`, would become again."""
    modules = record(old).get("modules")
    if modules is None:  # built before the builder asked kernels
        return False
    return is_built_as(old, {**read.metadata[STAMP], "inputs": inputs_digest(nb, modules, texts)})


def is_built_as(old: NotebookNode, wanted: dict) -> bool:
    """True where the builder noted all of `wanted` in the notebook, whatever somebody did to it since."""
    return {**record(old), **wanted} == record(old)


# ------------------------------------------------------------------------------------------------------ the commands


def build(source: Path, notebooks: Path, force: bool = False, package: Path = ROOT / PACKAGE) -> list[Path]:
    """Make both notebooks of one lesson; returns the paths written or found up to date."""
    name, start = source.stem, time.perf_counter()
    nb = read_source(source)
    work, read = exercises(nb, name), solved(nb, name)
    texts = package_texts(package)  # before the lesson runs: what is saved meanwhile makes it stale next time
    target = notebooks / f"{name}.ipynb"
    written = None if force else standing(target, lambda old: is_fresh(old, read, nb, texts))
    if written is None:
        done = execute(read, name, notebooks, package=package)
        modules = done.metadata[STAMP]["modules"]
        _stamp(done, modules=modules, inputs=inputs_digest(nb, modules, texts))
        problems = output_problems(done, [ROOT, Path.home(), Path(sys.prefix), Path(tempfile.gettempdir())])
        if problems:
            raise BuildError(f"{name}: " + "\n  ".join(["the executed lesson cannot be published:", *problems]))
        written = write(target, done, force)
        print(f"{shown(written)}: executed in {time.perf_counter() - start:.0f} s")
    else:
        print(f"{shown(written)}: up to date")
    target = notebooks / "exercises" / f"{name}.ipynb"
    there = None if force else standing(target, lambda old: is_built_as(old, work.metadata[STAMP]))
    return [written, there or write(target, work, force)]


class Wrong(NamedTuple):
    """A notebook that is not what its source gives. stale: rebuilding mends it; else somebody changed the notebook."""

    path: Path
    what: str
    stale: bool


def check(source: Path, notebooks: Path) -> list[Wrong]:
    """Where the two notebooks of a lesson are not what their source gives, outputs aside."""
    nb, name, wrong = read_source(source), source.stem, []
    wanted = {
        notebooks / f"{name}.ipynb": solved(nb, name),
        notebooks / "exercises" / f"{name}.ipynb": exercises(nb, name),
    }
    for path, fresh in wanted.items():
        found = load(path)
        if found is None:
            wrong.append(Wrong(path, "is missing or is not a notebook: run make lessons", True))
        elif record(found).get("cells") != cells_digest(found):
            wrong.append(Wrong(path, "was changed after it was built; changes belong in the source", False))
        elif not is_built_as(found, fresh.metadata[STAMP]):
            wrong.append(Wrong(path, f"is older than {source.name}: run make lessons", True))
        elif _frame(found) != _frame(fresh):
            wrong.append(Wrong(path, "has other metadata or cell ids than its source gives", False))
    return wrong


def make_nbgrader(source: Path, folder: Path, force: bool = False) -> Path:
    """Write the lesson into nbgrader's `source/` tree, and a configuration where there is none."""
    name = source.stem
    nb = read_source(source)
    exercises(nb, name)  # only for the errors: a lesson that cannot be cleared must not be handed out
    written = write(folder / "source" / name / f"{name}.ipynb", for_nbgrader(nb, name), force)
    config = folder / "nbgrader_config.py"
    if not config.exists():
        put(config, NBGRADER_CONFIG.format(stub=STUB, text=TEXT_STUB).encode())
    return written


def find_sources(wanted: list[str], folder: Path) -> list[Path]:
    """All sources, or those named: `02`, `B`, `02_bipartite_matching`, or a path."""
    every = sorted([*folder.glob("[0-9][0-9]_*.py"), *folder.glob("[A-Z]_*.py")])
    if not wanted:
        return every
    found = []
    for name in wanted:
        hits = [p for p in every if p.stem == Path(name).stem or p.stem.split("_")[0] == name]
        if not hits:
            raise BuildError(f"no lesson {name!r} in {shown(folder)}: there are {', '.join(p.stem for p in every)}")
        found += hits
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("lessons", nargs="*", help="lesson numbers or names; all by default")
    parser.add_argument("--force", action="store_true", help="execute again; what you changed moves to NAME.mine.ipynb")
    parser.add_argument("--check", action="store_true", help="only say whether notebooks belong to their sources")
    parser.add_argument("--nbgrader", metavar="DIR", type=Path, help="write nbgrader's source tree into DIR")
    args = parser.parse_args(argv)
    notebooks = ROOT / "notebooks"
    status = 0
    try:
        sources = find_sources(args.lessons, notebooks / "source")
    except BuildError as error:
        print(error, file=sys.stderr)
        return 2
    for source in sources:
        try:
            if args.check:
                wrong = check(source, notebooks)
                for path, what, _ in wrong:
                    print(f"{shown(path)} {what}")
                status |= bool(wrong)
            elif args.nbgrader:
                print(shown(make_nbgrader(source, args.nbgrader, args.force)))
            else:
                build(source, notebooks, args.force)
        except BuildError as error:
            print(error, file=sys.stderr)
            status = 1
    if args.check and not status:
        print(f"{len(sources)} lessons: notebooks and sources agree")
    return status


if __name__ == "__main__":
    sys.exit(main())
