"""What a lesson must keep to, checked by the builder before anything is written, and again by the tests."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from nbformat import NotebookNode

LARGEST = 1_500_000  # bytes of a stored notebook; GitHub and slow laptops show it still without waiting
IGNORE = "nbval-ignore-output"
WIDGET_LINE = "(interactive: run this cell to use it)"
GPU = "gpu"  # uses a GPU where there is one: its output depends on the machine, and stays out of the comparison
TAGS = {"solution", IGNORE, "hint", "prediction", GPU}
KEYS = {"grade", "grade_id", "solution", "locked", "schema_version", "task", "points"}


class BuildError(Exception):
    """A lesson that cannot be built; the message says which, where, and what to do."""


def where(number: int, cell: NotebookNode) -> str:
    first = next((line for line in cell.source.split("\n") if line.strip()), "(empty)")
    return f"cell {number} ({first[:50]!r})"


def source_problems(nb: NotebookNode) -> list[str]:
    """The rules of a source that nbgrader does not check itself, or checks with an unclear message."""
    problems, seen = [], {}
    if not nb.cells or nb.cells[0].cell_type != "markdown" or not nb.cells[0].source.startswith("# "):
        problems.append("the first cell must be markdown and start with the title: '# NN Title'")
    for number, cell in enumerate(nb.cells):
        at = where(number, cell)
        unknown = set(cell.metadata.get("tags", [])) - TAGS
        if unknown:
            problems.append(f"{at}: unknown tags {sorted(unknown)}; allowed are {sorted(TAGS)}")
        if cell.cell_type == "raw":
            problems.append(f"{at}: raw cells are not used; make it markdown or code")
        tags = cell.metadata.get("tags", [])
        if GPU in tags and IGNORE not in tags:
            problems.append(f"{at}: the tag {GPU!r} needs {IGNORE!r} beside it, as its output depends on the machine")
        if (
            cell.cell_type == "code"
            and re.search(r"\bcuda\b.*is_available|is_available\(\)", cell.source)
            and GPU not in tags
        ):
            problems.append(f"{at}: a cell that looks for a GPU has the tag {GPU!r}")
        grader = cell.metadata.get("nbgrader")
        marked = bool(re.search(r"(BEGIN|END) SOLUTION", cell.source))
        if grader is None:
            if marked:
                problems.append(f"{at}: a solution is marked, but the cell header has no nbgrader metadata")
            continue
        missing = (KEYS - {"points"}) - set(grader)
        stray = set(grader) - KEYS
        if missing or stray:
            problems.append(f"{at}: nbgrader metadata lacks {sorted(missing)}, has unknown {sorted(stray)}")
            continue
        if grader["schema_version"] != 3:
            problems.append(f"{at}: nbgrader schema_version must be 3, got {grader['schema_version']}")
        if not re.fullmatch(r"[a-zA-Z0-9_\-]+", grader["grade_id"]):
            problems.append(f"{at}: grade_id may hold letters, digits, - and _, got {grader['grade_id']!r}")
        if grader["grade_id"] in seen:
            problems.append(f"{at}: grade_id {grader['grade_id']!r} is already used by {seen[grader['grade_id']]}")
        seen[grader["grade_id"]] = at
        if bool(grader["grade"]) != ("points" in grader):
            problems.append(f"{at}: 'points' belongs to graded cells (grade: true), and only to them")
        if grader["grade"] and not grader["solution"] and not grader["locked"]:
            problems.append(f"{at}: a graded check must be locked: true")
        if marked and not grader["solution"]:
            problems.append(f"{at}: a solution is marked, but nbgrader metadata has solution: false")
        if grader["solution"] and cell.cell_type == "code":
            problems += [f"{at}: {text}" for text in _solution_problems(cell.source)]
    return problems


def _solution_problems(source: str) -> list[str]:
    begins = re.findall(r"^([ \t]*)### BEGIN SOLUTION\s*$", source, re.M)
    ends = re.findall(r"^[ \t]*### END SOLUTION\s*$", source, re.M)
    if not begins:
        return ["a solution cell needs '### BEGIN SOLUTION' and '### END SOLUTION' around what is taken out"]
    if len(begins) != len(ends):
        return [f"{len(begins)} '### BEGIN SOLUTION' but {len(ends)} '### END SOLUTION'"]
    if "" in begins:
        return ["'### BEGIN SOLUTION' must stand inside a function, or the unsolved cell raises when it is run"]
    return []


def output_problems(nb: NotebookNode, private: list[Path]) -> list[str]:
    """Why an executed notebook must not be published. `private`: folders of this machine that no output may name."""
    import nbformat

    problems = []
    code = [(n, cell) for n, cell in enumerate(nb.cells) if cell.cell_type == "code"]
    if not any(cell.outputs for _, cell in code):
        problems.append("no cell has an output: the notebook was not executed, and nbval would check nothing")
    for number, cell in code:
        at = where(number, cell)
        ignored = IGNORE in cell.metadata.get("tags", [])
        if cell.execution_count is None:
            problems.append(f"{at}: was not executed, so nbval would not compare it")
        for out in cell.outputs:
            problems += [f"{at}: {text}" for text in _one_output(out, ignored, private)]
    size = len(nbformat.writes(nb).encode())
    if size > LARGEST:
        problems.append(f"{size} bytes; at most {LARGEST}: fewer or smaller figures (figsize, dpi)")
    return problems


def _one_output(out: NotebookNode, ignored: bool, private: list[Path]) -> list[str]:
    if out.output_type == "error":
        return [f"ends in an error: {out.ename}: {out.evalue}"]
    if out.output_type == "stream" and out.name == "stderr":
        return [f"writes to stderr (a warning or a progress bar): {out.text.strip()[:200]!r}"]
    problems = []
    data = out.get("data", {})
    for kind in data:
        if kind.startswith("image/"):
            meta = out.metadata.get(kind, {})
            if not (meta.get("alt") or out.metadata.get("alt")):
                problems.append("shows a picture without alt text: show figures with plots.show(fig)")
            if kind == "image/png" and base64.b64decode(data[kind])[:8] != b"\x89PNG\r\n\x1a\n":
                problems.append("holds an image/png that is no PNG file")
    text = out.get("text", "") + "".join(v for k, v in data.items() if k.startswith("text/") and isinstance(v, str))
    if WIDGET_LINE in text and not ignored:
        problems.append(f"shows a widget: tag the cell {IGNORE}")
    for folder in private:
        if len(folder.parts) > 1 and re.search(re.escape(str(folder)) + r"(?![\w-])", text):
            problems.append("names a folder of this machine: print file names only")
    if re.search(r"/(home|Users)/\w|[A-Z]:\\Users|site-packages", text):
        problems.append("names a folder of somebody's machine: print file names only")
    if re.search(r"\b0x[0-9a-f]{6,}", text):
        problems.append("shows an object's address: end the line with ';' or print what matters")
    long = re.search(r"\d\.\d{7,}", text)
    if long and not ignored and "image/svg+xml" not in data and "<svg" not in text:
        problems.append(f"shows an unrounded number ({long.group()}...): round to what every machine agrees on")
    return list(dict.fromkeys(problems))
