"""What the site is made of before Sphinx sees it: links, lessons, pages, formulas. The rest: tests/all/test_site.py."""

import base64
import hashlib
import io
import json
import tarfile
import tomllib
from pathlib import Path

import pytest

import build_site
from build_site import EXPLORER, SiteError, fill, lesson_page, lesson_table, mirror, page_of, relinked, way, write

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("file", "text", "right"),
    [
        ("README.md", "[a](notebooks/02_bipartite_matching.ipynb)", "[a](lessons/02_bipartite_matching.ipynb)"),
        ("README.md", "[a](RESULTS.md) [b](#set-up)", "[a](results.md) [b](#set-up)"),
        ("RESULTS.md", "[a](CONTRIBUTING.md#rules)", "[a](contributing.md#rules)"),
        ("notebooks/09_x.ipynb", "[a](../README.md#what-you-will-learn)", "[a](../index.md#the-lessons)"),
        ("notebooks/09_x.ipynb", "[a](10_y.ipynb) [b](../data/README.md)", "[a](10_y.ipynb) [b](../data.md)"),
        ("notebooks/09_x.ipynb", "[a](exercises/09_x.ipynb)", '<a href="../exercises/09_x.ipynb" download>a</a>'),
        ("notebooks/09_x.ipynb", "see [the licence](LICENSE).", "see the licence."),
        ("notebooks/09_x.ipynb", "[a](https://x.org/b.md) ![a](b.png)", "[a](https://x.org/b.md) ![a](b.png)"),
    ],
)
def test_links_lead_to_the_site_s_pages(file, text, right):
    assert relinked(text, file) == right


def test_every_page_that_the_site_takes_over_is_there():
    assert all((ROOT / file).is_file() for file in build_site.PAGES)
    assert page_of("tools/lab.py") is None


def test_an_explorer_takes_the_place_of_its_output_and_no_widget_is_left():
    view = "application/vnd.jupyter.widget-view+json"
    value = {"explorer": "film", "data": {"frames": 3}}
    picture = {"image/png": "AAAA", "text/plain": "a film"}
    outputs = [
        {"output_type": "display_data", "data": {**picture, view: {}, EXPLORER: value}, "metadata": {}},
        {"output_type": "display_data", "data": picture, "metadata": {EXPLORER: value}},
        {"output_type": "display_data", "data": {view: {}, "text/plain": "IntSlider()"}, "metadata": {}},
        {"output_type": "display_data", "data": picture, "metadata": {}},
        {"output_type": "stream", "name": "stdout", "text": "hello"},
    ]
    nb = {
        "metadata": {"widgets": {}, "kernelspec": {}},
        "cells": [
            {"cell_type": "code", "source": "x", "outputs": outputs, "metadata": {}},
            {"cell_type": "markdown", "source": ["[a](", "../RESULTS.md)"], "metadata": {}},
        ],
    }
    asked = []
    page = lesson_page(nb, "notebooks/09_x.ipynb", lambda value, out: asked.append((value, out)) or "<b>explorer</b>")
    first, second, third, fourth = page["cells"][0]["outputs"]
    assert first["data"] == second["data"] == {"text/html": "<b>explorer</b>"}
    assert asked == [(value, outputs[0]), (value, outputs[1])]
    assert (third, fourth) == (outputs[3], outputs[4])
    assert page["metadata"] == {"kernelspec": {}} and "widgets" in nb["metadata"], "a copy is changed"
    assert page["cells"][1]["source"] == "[a](../results.md)"


def test_the_still_of_an_explorer_is_a_file_with_its_words(tmp_path):
    tag = build_site.still(b"png", 'a "film"', tmp_path, up="../")
    [file] = (tmp_path / "stills").iterdir()
    assert file.read_bytes() == b"png"
    assert f'src="../stills/{file.name}"' in tag and 'alt="a &quot;film&quot;"' in tag


def test_the_entry_page_has_the_readme_s_lessons_and_the_map_s_links():
    table = lesson_table((ROOT / "README.md").read_text("utf-8"))
    for path in build_site.lesson_files():
        assert f"(lessons/{path.name})" in table
    assert table.startswith("| number |")
    with pytest.raises(SiteError, match="no table"):
        lesson_table("# nothing")
    parts = {"is it\ntrue?": {"08": "com-\nparison", "10": "gradi-\nents"}}
    assert way(parts, {"A": ("08", "pictures")}, ["08_the_comparison", "A_x"]) == (
        "- **Is it true?** [08 comparison](lessons/08_the_comparison.ipynb) · 10 gradients (to come)\n"
        "- **Appendices** [A pictures](lessons/A_x.ipynb)"
    )


def test_pages_are_filled_where_they_say():
    assert fill("a <!-- map --> b", map="M") == "a M b"
    with pytest.raises(SiteError, match="<!-- map -->"):
        fill("a", map="M")


def test_what_did_not_change_is_not_written_again(tmp_path):
    path = write(tmp_path / "a" / "b.md", "text")
    before = path.stat().st_mtime_ns
    write(path, "text")
    assert path.stat().st_mtime_ns == before
    write(path, "other")
    assert path.read_text() == "other"


def test_the_site_s_folder_holds_what_sphinx_made_and_nothing_old(tmp_path):
    pages, out = tmp_path / "html", tmp_path / "site"
    for name in (".buildinfo", "index.html", "gone.html", "_static/a.js", "_static/a.js.map"):
        write(pages / name, name)
    write(out / "old" / "page.html", "")
    mirror(pages, out, {"index.html"})
    made = {path.relative_to(out).as_posix() for path in out.rglob("*")}
    assert made == {".buildinfo", "index.html", "_static", "_static/a.js"}


def test_a_folder_of_somebody_s_is_not_written_to(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert build_site.main(["--out", str(tmp_path), "--work", str(tmp_path / "work")]) == 1
    assert "name another folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.fixture
def package(monkeypatch):
    """A package of MathJax in small, whose digest is the right one."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        entry = tarfile.TarInfo(f"package/{build_site.MATHJAX_FILE}")
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"code"))
    digest = base64.b64encode(hashlib.sha512(raw.getvalue()).digest()).decode()
    monkeypatch.setattr(build_site, "MATHJAX_SHA512", digest)
    return raw.getvalue()


def test_mathjax_comes_from_what_is_kept(package, tmp_path, monkeypatch):
    monkeypatch.setattr(build_site.shutil, "which", lambda name: pytest.fail("nothing is to be fetched"))
    (tmp_path / "mathjax-3.2.2.tgz").write_bytes(package)
    assert build_site.mathjax(tmp_path) == b"code"


def test_without_npm_one_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(build_site.shutil, "which", lambda name: None)
    with pytest.raises(SiteError, match=r"npm is not found.*install Node\.js"):
        build_site.mathjax(tmp_path)


def test_another_digest_is_refused_and_not_kept(package, tmp_path, monkeypatch):
    def npm(command, **how):
        Path(command[-1], "mathjax-3.2.2.tgz").write_bytes(package + b"more")
        return build_site.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(build_site.shutil, "which", lambda name: "npm")
    monkeypatch.setattr(build_site.subprocess, "run", npm)
    with pytest.raises(SiteError, match="digest"):
        build_site.mathjax(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_tests_of_everything_have_what_the_site_needs():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert set(extras["site"]) <= set(extras["test-all"])


def test_every_lesson_s_own_picture_has_words():
    for path in build_site.lesson_files():
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            for out in cell.get("outputs", []):
                assert "image/png" not in out.get("data", {}) or len(build_site.alt_of(out)) > 8, path.name
