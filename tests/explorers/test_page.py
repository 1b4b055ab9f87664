"""How an explorer gets into a notebook and into a page."""

import json
import re

import pytest

from vtm_lesson import explorers, films
from vtm_lesson.explorers import page

HERE = page.HERE
NAMES = sorted(path.stem for path in HERE.glob("*.js") if (HERE / f"{path.stem}.py").exists())


@pytest.fixture(scope="module")
def film():
    return explorers.explore(films.make(0, frames=4, size=64, patch=16), gamma=4)


def test_every_explorer_has_two_sides():
    assert {"film", "painter"} <= set(NAMES)
    shared = {path.stem for path in HERE.glob("*.js")} - set(NAMES)
    assert shared == {"merging", "parts", "worker"}, "shared modules; whatever else is there is an explorer's"


@pytest.mark.parametrize("name", NAMES)
def test_a_joined_module_asks_for_nothing_and_says_each_name_once(name):
    text = page.joined(name)
    assert not re.search(r"^\s*(import|export)\b", text, re.MULTILINE), "no import and no export is left"
    assert re.search(r"^function explore\(el, data\)", text, re.MULTILINE)
    names = re.findall(r"^(?:async )?(?:function\*?|const|let|class) (\w+)", text, re.MULTILINE)
    assert sorted(names) == sorted(set(names)), "modules share one scope when they are joined"
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|sendBeacon|EventSource|importScripts)\b", text)


def test_a_module_that_is_needed_twice_comes_once_and_before_its_use():
    text = page.joined("film")
    assert text.count("function* matchSteps(") == 1
    assert text.index("function match(") < text.index("function merger()") < text.index("function explore(")


def test_a_fragment_holds_its_data_whatever_stands_in_it():
    data = {"words": "</script><script>alert(1)</script>", "none": None}
    text = page.fragment("film", data, "<p>still</p>")
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 2 and json.loads(scripts[0]) == data and "<p>still</p>" in text


def test_a_page_shows_the_still_figure_until_its_script_has_run(film):
    found = re.search(r'<div><img src="data:image/png;base64,\S+" alt="([^"]+)"></div>', film.page())
    assert found and found[1].startswith(film.still.alt[:30])


def shown_by(explorer, monkeypatch, kernel):
    import IPython
    import IPython.display

    outputs = []
    monkeypatch.setattr(IPython.display, "display", lambda data, **more: outputs.append((data, more)))
    monkeypatch.setattr(IPython, "get_ipython", lambda: type("Shell", (), {"kernel": kernel})())
    explorer._ipython_display_()
    return outputs


def test_a_notebook_stores_a_picture_its_words_and_what_a_page_needs(film, monkeypatch):
    (data, more), (words, _) = shown_by(film, monkeypatch, kernel=None)
    assert set(data) == {"image/png", "text/plain", page.MIME}
    assert data[page.MIME] == json.loads(json.dumps({"explorer": "film", "data": film.data}))
    assert data["text/plain"] == more["metadata"]["image/png"]["alt"] == film.still.alt
    assert film.still.alt[:20] in words["text/html"]


def test_with_a_kernel_it_is_a_widget_of_the_same_module_and_data(film, monkeypatch):
    (data, _), _ = shown_by(film, monkeypatch, kernel=object())
    assert set(data) == {page.WIDGET, page.MIME, "image/png", "text/plain"}
    assert data["text/plain"] == film.still.alt
    widget = page.widget_class("film")(data=film.data)
    assert widget.data == film.data and page.joined("film") in widget._esm
    assert page.widget_class("film") is page.widget_class("film")
    widget.close()
