"""Build the course as web pages: `make site` writes them to site/. They need no network, and no server either.

    docs/               the site's own pages, its look and its configuration
    notebooks/*.ipynb   the lessons, solved; nothing is executed
    *.md                results, changelog and the like
    docstrings          the reference

 -> build/site/source   all of it in one folder, links between the parts made right (`stage`)
 -> site/               what Sphinx makes of that; a second build renews what changed

    python tools/build_site.py               into site/
    python tools/build_site.py --out DIR     somewhere else; a folder with anything else in it is refused

Mathematics is set by MathJax, of which one file travels with the site. npm fetches it once, in the version and with
the digest below.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import html
import importlib.metadata
import io
import json
import os
import posixpath
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the package need not be installed

DOCS = ROOT / "docs"
WORK = ROOT / "build" / "site"  # what only the builder needs
SITE = ROOT / "site"
MARK = ".buildinfo"  # Sphinx leaves it in what it has made

MATHJAX = "mathjax@3.2.2"
MATHJAX_FILE = "es5/tex-svg-full.js"  # draws its letters as paths, so it needs no fonts
MATHJAX_SHA512 = "Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw=="

EXPLORER = "application/vnd.vtm-lesson.explorer+json"
WIDGETS = ("application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json")

# The repository's own pages that the site has, too: file -> page. README.md is the entry page in other words.
PAGES = {
    "RESULTS.md": "results.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "data/README.md": "data.md",
    "notebooks/source/README.md": "writing-lessons.md",
}
LESSON = re.compile(r"notebooks/((?:\d\d|[A-Z])_\w+\.ipynb)")
EXERCISE = re.compile(r"notebooks/exercises/(\w+\.ipynb)")


class SiteError(Exception):
    """What stops a build, in one sentence."""


# ------------------------------------------------------------------------------------------------------------ links


def page_of(path: str) -> str | None:
    """The site's page for a file of the repository, both from the top; None where the site has no such page."""
    if path == "README.md":
        return "index.md"
    if found := LESSON.fullmatch(path):
        return f"lessons/{found[1]}"
    if found := EXERCISE.fullmatch(path):
        return f"exercises/{found[1]}"
    return PAGES.get(path)


def relinked(text: str, file: str) -> str:
    """Markdown with its relative links made right for the site; a link to what the site lacks becomes plain text.

    Parameters
    ----------
    text : str
        Markdown of a file of the repository.
    file : str
        That file, from the top: "notebooks/02_bipartite_matching.ipynb".
    """
    here = page_of(file) or file

    def right(found: re.Match) -> str:
        words, target = found[1], found[2]
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        path, _, anchor = target.partition("#")
        page = page_of(posixpath.normpath(f"{posixpath.dirname(file)}/{path}".lstrip("/")))
        if page is None:
            return words
        link = posixpath.relpath(page, posixpath.dirname(here) or ".")
        if page.startswith("exercises/"):  # a notebook to take home, not a page
            return f'<a href="{link}" download>{words}</a>'
        if page == "index.md" and anchor:
            anchor = "the-lessons"  # the README's headings are not the entry page's; what lessons point to is its table
        return f"[{words}]({link}{'#' + anchor if anchor else ''})"

    return re.sub(r"(?<!!)\[([^\[\]]+)\]\(([^()\s]+)\)", right, text)


# ---------------------------------------------------------------------------------------------------------- lessons


def lesson_page(nb: dict[str, Any], file: str, explorer: Callable[[dict[str, Any], dict[str, Any]], str]) -> dict:
    """A solved notebook as the site shows it.

    Links are made right, an explorer's output is what `explorer(value, output)` makes of it, and no widget is left: it
    would need a kernel.
    """
    nb = deepcopy(nb)
    nb["metadata"].pop("widgets", None)
    for cell in nb["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = relinked("".join(cell["source"]), file)
        elif cell["cell_type"] == "code":
            cell["outputs"] = [_shown(out, explorer) for out in cell["outputs"]]
            cell["outputs"] = [out for out in cell["outputs"] if out.get("data", True)]
    return nb


def _shown(out: dict[str, Any], explorer: Callable[[dict[str, Any], dict[str, Any]], str]) -> dict[str, Any]:
    value = out.get("data", {}).get(EXPLORER) or out.get("metadata", {}).get(EXPLORER)
    if value:
        return {"output_type": "display_data", "data": {"text/html": explorer(value, out)}, "metadata": {}}
    if any(kind in out.get("data", {}) for kind in WIDGETS):
        kept = {kind: data for kind, data in out["data"].items() if kind.startswith("image/")}
        return {**out, "data": kept}
    return out


def alt_of(out: dict[str, Any]) -> str:
    """What an output's picture shows, in words: its metadata say it, and its plain text again."""
    said = out.get("metadata", {}).get("image/png", {}).get("alt")
    return said or "".join(out.get("data", {}).get("text/plain", ""))


def still(png: bytes, alt: str, to: Path, up: str = "") -> str:
    """The picture that an explorer's script takes away, and that stays without one; the file goes to `to`/stills."""
    name = f"stills/{hashlib.sha256(png).hexdigest()[:16]}.png"
    write(to / name, png)
    return f'<img class="figure-card" src="{up}{name}" alt="{html.escape(alt, quote=True)}">'


def stage_lessons(to: Path, extra: Path) -> list[Path]:
    """Write all lessons below `to`, and pictures that HTML points to below `extra`; return the files written."""

    from vtm_lesson.explorers.page import fragment

    def explorer(value: dict[str, Any], out: dict[str, Any]) -> str:
        png = base64.b64decode("".join(out.get("data", {}).get("image/png", "")))
        picture = still(png, alt_of(out), extra, up="../") if png else ""
        return fragment(value["explorer"], value.get("data"), picture)

    written = []
    for path in lesson_files():
        nb = lesson_page(json.loads(path.read_text("utf-8")), f"notebooks/{path.name}", explorer)
        text = json.dumps(nb, ensure_ascii=False, indent=1, sort_keys=True)
        written.append(write(to / "lessons" / path.name, text))
        twin = ROOT / "notebooks" / "exercises" / path.name
        if twin.exists():
            write(extra / "exercises" / path.name, twin.read_bytes())
    return written


def lesson_files() -> list[Path]:
    from vtm_lesson.teaching.contents import LESSONS

    return [ROOT / "notebooks" / f"{name}.ipynb" for name in LESSONS]


# --------------------------------------------------------------------------------------- what the pages are filled with


def lesson_table(readme: str) -> str:
    """The README's table of the lessons, with links for a page at the top of the site."""
    rows = re.search(r"^\|[^\n]*lesson[^\n]*\|\n(?:\|[^\n]*\|\n)+", readme, re.MULTILINE)
    if rows is None:
        raise SiteError("README.md has no table of the lessons, which the entry page shows.")
    lines = rows[0].splitlines()
    lines[0] = re.sub(r"^\| *\|", "| number |", lines[0])  # a heading for those who hear the table
    return relinked("\n".join(lines), "README.md")


def way(parts: dict[str, dict[str, str]], appendices: dict[str, tuple[str, str]], files: Iterable[str]) -> str:
    """The course map as a list of links: the question of each part, and its lessons; what is to come is no link."""
    pages = {name.split("_")[0]: f"lessons/{name}.ipynb" for name in files}

    def link(number: str, name: str) -> str:
        name = f"{number} {name.replace('-' + chr(10), '').replace(chr(10), ' ')}"
        return f"[{name}]({pages[number]})" if number in pages else f"{name} (to come)"

    lines = []
    for question, lessons in parts.items():
        question = question.replace("\n", " ")
        lines.append(f"- **{question.capitalize()}** {' · '.join(link(n, name) for n, name in lessons.items())}")
    lines.append(f"- **Appendices** {' · '.join(link(letter, name) for letter, (_, name) in appendices.items())}")
    return "\n".join(lines)


def course_map(to: Path) -> str:
    """The course map as a picture with its alt text, and as links."""
    from vtm_lesson import checks
    from vtm_lesson.teaching.contents import APPENDICES, LESSONS, PARTS

    fig = checks.course_map()
    raw = io.BytesIO()
    fig.savefig(raw, format="png", dpi=220, metadata={"Software": None})
    write(to / "course-map.png", raw.getvalue())
    return f"{picture('course-map.png', fig.alt)}\n\n{way(PARTS, APPENDICES, LESSONS)}"


def picture(file: str, alt: str) -> str:
    """A picture in MyST, whatever its alt text holds."""
    return f"```{{image}} {file}\n:class: figure-card\n:alt: {' '.join(alt.split())}\n```"


def gallery(extra: Path) -> str:
    """The page of explorers: each with its picture for readers without scripts."""
    from vtm_lesson import explorers, plots
    from vtm_lesson.explorers.page import fragment

    if not hasattr(explorers, "gallery"):
        return "They are still to come."
    parts = []
    for one in explorers.gallery():
        page = fragment(one.name, one.data, still(plots.png(one.still), one.still.alt, extra))
        parts.append(f"## {one.title}\n\n{one.words}\n\n``````{{raw}} html\n{page}\n``````")
    return "\n\n".join(parts)


# ------------------------------------------------------------------------------------------------------ the reference

FLOORS = {  # of vtm_lesson's front door: folder -> heading
    "merging": "Merging",
    "video": "Films read",
    "encoders": "Frames to tokens",
    "network": "The paper's network",
    "training": "Training",
    "datasets": "Data",
    "paths": "Files of the course",
}
MODULES = ("tome", "hosts", "partition", "video", "films", "plots", "explorers")


def reference(to: Path) -> list[Path]:
    """The pages of the reference, one for each name of the front door and one for each public module."""
    import vtm_lesson as vtm

    door = {name: getattr(vtm, name) for name in vtm.__all__ if not isinstance(getattr(vtm, name), type(vtm))}
    groups: dict[str, list[str]] = {floor: [] for floor in FLOORS}
    for name, value in door.items():
        groups[value.__module__.split(".")[1]].append(name)
    index = [(DOCS / "reference" / "index.md").read_text("utf-8")]
    for floor, names in groups.items():
        index.append(f"## {FLOORS[floor]}\n\n{_summary('vtm_lesson', names, door, toctree=True)}")
    index.append("## Modules\n\n" + _toctree({f"vtm_lesson.{name}": f"vtm_lesson.{name}" for name in MODULES}))
    written = [write(to / "reference" / "index.md", "\n\n".join(index) + "\n")]
    for name, value in door.items():
        written.append(write(to / "reference" / f"vtm_lesson.{name}.md", _entry_page("vtm_lesson", name, value)))
    for name in MODULES:
        page = _module_page(f"vtm_lesson.{name}", getattr(vtm, name), {id(value): n for n, value in door.items()})
        written.append(write(to / "reference" / f"vtm_lesson.{name}.md", page))
    return written


def _directive(module: str, name: str, value: Any) -> str:
    kind = (
        ("autoexception" if issubclass(value, Exception) else "autoclass")
        if isinstance(value, type)
        else "autofunction"
    )
    return f".. {kind}:: {module}.{name}" + (
        "\n   :members:\n   :special-members: __call__" if kind == "autoclass" else ""
    )


def _rst(*lines: str) -> str:
    return "```{eval-rst}\n" + "\n\n".join(lines) + "\n```"


def _entry_page(module: str, name: str, value: Any) -> str:
    return f"# {name}\n\n" + _rst(f".. py:currentmodule:: {module}", _directive(module, name, value)) + "\n"


def first_line(value: Any) -> str:
    """The sentence that a docstring begins with, fit for a table."""
    return " ".join((value.__doc__ or "").strip().split("\n\n")[0].split()).replace("|", "\\|")


def _summary(
    module: str, names: list[str], values: dict[str, Any], toctree: bool = False, pages: dict | None = None
) -> str:
    rows = ["| name | what it does |", "|---|---|"]
    for name in names:
        page = f"vtm_lesson.{name}.md" if pages is None else pages.get(name, f"#{module}.{name}")
        rows.append(f"| [{name}]({page}) | {first_line(values[name])} |")
    text = "\n".join(rows)
    return text + ("\n\n" + _toctree({name: f"vtm_lesson.{name}" for name in names}, hidden=True) if toctree else "")


def _toctree(pages: dict[str, str], hidden: bool = False) -> str:
    lines = [":hidden:"] if hidden else []
    return "\n".join(["```{toctree}", *lines, "", *(f"{title} <{page}>" for title, page in pages.items()), "```"])


def _module_page(name: str, module: Any, at_the_door: dict[int, str]) -> str:
    everything = {n: getattr(module, n) for n in module.__all__}
    callables = {n: value for n, value in everything.items() if callable(value) and hasattr(value, "__module__")}
    callables = {n: value for n, value in callables.items() if not str(type(value)).startswith("typing")}
    callables = {n: value for n, value in callables.items() if (value.__doc__ or "").strip()}
    constants = {n: value for n, value in everything.items() if n not in callables}
    aliases = {n for n, value in constants.items() if "GenericAlias" in type(value).__name__}
    pages = {n: f"vtm_lesson.{at_the_door[id(v)]}.md" for n, v in callables.items() if id(v) in at_the_door}
    parts = [f"# {name.split('.')[-1]}", _rst(f".. automodule:: {name}\n   :no-members:")]
    parts.append(_summary(name, [*callables], callables, pages=pages))
    if constants:
        rows = [f"| `{n}` | `{_short(value)}` |" for n, value in constants.items()]
        what = "type" if aliases == set(constants) else "value"
        parts.append("\n".join([f"| name | {what} |", "|---|---|", *rows]))
    own = {n: value for n, value in callables.items() if n not in pages}
    for n, value in own.items():
        parts.append(f"## {n}\n\n" + _rst(f".. py:currentmodule:: {name}", _directive(name, n, value)))
    return "\n\n".join(parts) + "\n"


def _short(value: Any) -> str:
    text = repr(value)
    text = text if len(text) <= 90 else text[:88] + "…"
    return text.replace("|", "\\|").replace("`", "'")


# ------------------------------------------------------------------------------------------------------------ staging


def write(path: Path, content: str | bytes) -> Path:
    """Write a file where its bytes differ, so that Sphinx reads again only what changed."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    if not path.exists() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return path


def fill(text: str, **content: str) -> str:
    """Put content in the place of each `<!-- name -->` of a page."""
    for name, what in content.items():
        mark = f"<!-- {name} -->"
        if mark not in text:
            raise SiteError(f"a page of docs/ has no line {mark}, where the {name} belongs.")
        text = text.replace(mark, what)
    return text


def stage(work: Path) -> Path:
    """Bring everything that Sphinx reads into one folder, and remove what an earlier build left there."""
    to, extra = work / "source", work / "extra" / "pages"
    written = set(stage_lessons(to, extra))
    for path in sorted(DOCS.rglob("*.md")):
        if path.relative_to(DOCS).as_posix() != "reference/index.md":
            written.add(write(to / path.relative_to(DOCS), path.read_bytes()))
    for file, page in PAGES.items():
        written.add(write(to / page, relinked((ROOT / file).read_text("utf-8"), file)))
    readme = (ROOT / "README.md").read_text("utf-8")
    index = (DOCS / "index.md").read_text("utf-8")
    written.add(write(to / "index.md", fill(index, map=course_map(to), lessons=lesson_table(readme))))
    lessons = (DOCS / "lessons" / "index.md").read_text("utf-8")
    files = {name.stem: name.stem for name in lesson_files()}
    table = lesson_table(readme).replace("(lessons/", "(")
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *files, "```"])
    written.add(write(to / "lessons" / "index.md", fill(lessons, lessons=table, toctree=toctree)))
    page = (DOCS / "explorers.md").read_text("utf-8")
    written.add(write(to / "explorers.md", fill(page, explorers=gallery(extra))))
    written.update(reference(to))
    written.add(write(extra / ".nojekyll", ""))
    for path in to.rglob("*"):
        if path.is_file() and path not in written and path.suffix in {".md", ".ipynb"}:
            path.unlink()
    return to


# ------------------------------------------------------------------------------------------------------------ MathJax


def mathjax(cache: Path) -> bytes:
    """The one file of MathJax, from npm's package; fetched once, and refused where its digest is another one."""
    kept = cache / f"{MATHJAX.replace('@', '-')}.tgz"
    if not (kept.exists() and _is_right(kept.read_bytes())):
        npm = shutil.which("npm")
        if npm is None:
            raise SiteError(
                f"npm is not found, which fetches MathJax for the formulas; install Node.js with npm (on Debian: "
                f"apt-get install npm), or put the package {MATHJAX} into {kept}."
            )
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            command = [npm, "pack", MATHJAX, "--silent", "--pack-destination", folder]
            done = subprocess.run(command, capture_output=True, text=True)
            packed = sorted(Path(folder).glob("*.tgz"))
            if done.returncode or not packed:
                raise SiteError(f"npm could not fetch {MATHJAX}: {done.stderr.strip()[-300:] or 'no reason given'}")
            data = packed[0].read_bytes()
        if not _is_right(data):
            raise SiteError(f"what npm fetched as {MATHJAX} has another digest than it should, and is not used.")
        kept.write_bytes(data)
    with tarfile.open(kept) as package:
        file = package.extractfile(f"package/{MATHJAX_FILE}")
        assert file is not None
        return file.read()


def _is_right(data: bytes) -> bool:
    return base64.b64encode(hashlib.sha512(data).digest()).decode() == MATHJAX_SHA512


# -------------------------------------------------------------------------------------------------------------- build


def build(out: Path, work: Path = WORK) -> None:
    """Build the site into `out`. Raises SiteError with a sentence where that is not possible."""
    if out.exists() and any(out.iterdir()) and not (out / MARK).exists():
        raise SiteError(f"{out} holds something that is no site made here; name another folder, or move that away.")
    work.mkdir(parents=True, exist_ok=True)
    formulas = mathjax(work)
    source, pages, doctrees = stage(work), work / "html", work / "doctrees"
    write(work / "extra" / "_static" / "mathjax" / "tex-svg-full.js", formulas)
    how = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(DOCS.rglob("*.py")))).hexdigest()
    if not (work / "how").exists() or (work / "how").read_text() != how:
        shutil.rmtree(doctrees, ignore_errors=True)  # what Sphinx kept was read in another way
        shutil.rmtree(pages, ignore_errors=True)
        write(work / "how", how)
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-j", "auto"]
    command += ["-c", str(DOCS), "-d", str(doctrees), str(source), str(pages)]
    env = os.environ | {"PYTHONPATH": str(ROOT), "VTM_SITE_EXTRA": str(work / "extra"), "OMP_NUM_THREADS": "1"}
    if subprocess.run(command, env=env, cwd=ROOT).returncode:
        raise SiteError("Sphinx warned (above); a warning is an error here, so that no page is left broken.")
    mirror(pages, out, {path.relative_to(source).with_suffix(".html").as_posix() for path in source.rglob("*.*")})


def mirror(pages: Path, out: Path, known: set[str]) -> None:
    """Bring what Sphinx made into `out`, and remove what an earlier build left there.

    The pages of sources that are gone stay behind, and so does what only the theme's own makers need.
    """
    wanted = {path.relative_to(pages).as_posix(): path for path in pages.rglob("*") if path.is_file()}
    for name in [*wanted]:
        old = name.endswith(".html") and name not in known | {"search.html"}
        if old or name.endswith(".map") or name.startswith("_sources/"):
            del wanted[name]
    for name, path in sorted(wanted.items(), key=lambda both: both[0] != MARK):  # so that it counts as a site at once
        write(out / name, path.read_bytes())
    for path in sorted(out.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(out).as_posix() not in wanted:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def install() -> None:
    """Add what pyproject.toml's extra `site` names to this environment, at the pinned versions, where it is missing."""
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]["site"]
    if all(_is_there(name) for name in extra):
        return
    print("Adding Sphinx and what belongs to it.", flush=True)
    pins = [option for name in ("requirements.txt", "requirements-all.txt") for option in ("-c", str(ROOT / name))]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins, *extra]
    if subprocess.run(command, cwd=ROOT).returncode:
        raise SiteError("pip could not install what the site needs (the reason is above).")


def _is_there(requirement: str) -> bool:
    try:
        importlib.metadata.version(re.split(r"[<>=!~\[; ]", requirement)[0])
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=SITE, help="the folder to write (site/)")
    parser.add_argument(
        "--work", type=Path, default=WORK, help="the folder of what only the builder needs (build/site)"
    )
    parser.add_argument("--install", action="store_true", help="first add what is missing of the extra `site`, by pip")
    args = parser.parse_args(argv)
    again = (args.work / "doctrees").exists() and args.out.exists()
    cost = "renews what changed: seconds to a minute" if again else "one to three minutes, about 20 MB"
    print(f"Building the site from the solved lessons; {cost}.", flush=True)
    start = time.time()
    try:
        if args.install:
            install()
        build(args.out.resolve(), args.work.resolve())
    except SiteError as error:
        print(f"site: {error}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    where = args.out.resolve() / "index.html"
    print(f"Built in {time.time() - start:.0f} s, {size / 1e6:.0f} MB. Open {where} in a browser.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
