"""Docstrings, which are written for reading in an editor, made fit for Sphinx.

Their Markdown-like habits are kept: an indented block is code, a bar is a bar, and `match` is a link where the
reference has such a page.
"""

from __future__ import annotations

import re

from sphinx.util.nodes import make_refnode


def prepare(app, what, name, obj, options, lines: list[str]) -> None:
    """Mark indented blocks as code, and free bars of what they would mean to Sphinx."""
    lines[:] = as_list(lines)
    out: list[str] = []
    block: int | None = None  # the indentation of the text above the block that we are in
    doctest = False
    last, above = "", 0
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            doctest = False
            last = ""
            out.append(line)
            continue
        if block is not None and indent <= block:
            block = None
        doctest = doctest or line.lstrip().startswith(">>>")
        if block is None and not doctest:
            before = next((text for text in reversed(out) if text.strip()), "")
            starts = last == "" and indent >= above + 4 and before and not re.match(r"\s*\.\. ", before)
            if starts:
                if not before.rstrip().endswith("::"):
                    out += [" " * above + (".. code-block:: text" if what == "module" else "::"), ""]
                block = above
        if block is None and not doctest:
            line = escaped(line)
            above = indent
        last = line
        out.append(line)
    lines[:] = out


ARGUMENT = re.compile(r"( *)(\w+): ")


def as_list(lines: list[str]) -> list[str]:
    """The short form of arguments, "name: what it is" a line, as a list where such a paragraph has several lines."""
    out: list[str] = []
    start = None  # the indentation of the paragraph that is such a list
    for number, line in enumerate(lines):
        if not line.strip():
            start = None
        elif start is None and (number == 0 or not lines[number - 1].strip()) and (found := ARGUMENT.match(line)):
            rest = lines[number + 1 : number + 2]
            if rest and rest[0].strip() and (ARGUMENT.match(rest[0]) or rest[0].startswith(found[1] + "    ")):
                start = found[1]
        if start is None:
            out.append(line)
        elif (found := ARGUMENT.match(line)) and found[1] == start:
            out.append(f"{start}- ``{found[2]}``: {line[found.end() :]}")
        else:
            out.append(f"{start}  {line.strip()}")
    return out


def escaped(line: str) -> str:
    """A line of prose whose bars are bars, and whose names may end in an underscore."""
    parts = re.split(r"(`[^`]*`)", line)
    parts[::2] = [re.sub(r"(?<=\w)_(?=\W|$)", r"\\_", part.replace("|", r"\|")) for part in parts[::2]]
    return "".join(parts)


def by_short_name(app, env, node, contnode):
    """`match`, `vtm.match` and `vtm_lesson.merging.match` are all the page of vtm_lesson.match."""
    if node.get("refdomain") != "py":
        return None
    target = re.sub(r"^(vtm|vtm_lesson)\.", "", node["reftarget"]).removesuffix("()")
    known = env.domains.python_domain.objects
    for name in (f"vtm_lesson.{target}", f"vtm_lesson.{target.split('.')[-1]}"):
        if name in known and known[name].objtype != "module":
            return make_refnode(app.builder, node["refdoc"], known[name].docname, known[name].node_id, contnode)
    return None


def setup(app) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", prepare, priority=100)  # before napoleon
    app.connect("missing-reference", by_short_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
