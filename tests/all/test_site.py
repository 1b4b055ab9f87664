"""The site, as a browser has it: served, and opened as a file; every page, light and dark, wide and narrow, no network.

It is built once, from the notebooks as they are.
"""

import base64
import functools
import http.server
import importlib.util
import re
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_MB = 30
WAYS = ("served", "as a file")
NARROW = 390


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of a site that has just been built."""
    for module in ("sphinx", "myst_nb", "pydata_sphinx_theme", "sphinx_copybutton"):
        pytest.importorskip(module, reason=f"{module} is missing: make test-all installs it")
    sys.path.insert(0, str(ROOT / "tools"))
    import build_site

    out, work = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("work")
    for kept in build_site.WORK.glob("mathjax*.tgz"):  # checked by its digest, so it need not be fetched again
        (work / kept.name).write_bytes(kept.read_bytes())
    build_site.build(out, work)
    return out


@pytest.fixture(scope="module")
def pages(site) -> list[str]:
    return sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))


@pytest.fixture(scope="module")
def address(site):
    """Way -> the address of the site's top."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *about):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"served": f"http://127.0.0.1:{server.server_port}/", "as a file": f"{site.as_uri()}/"}
        server.shutdown()


class Faults:
    """A page that notes what goes wrong in it: messages of its console, requests that fail, requests elsewhere."""

    def __init__(self, page, top: str):
        self.page, self.top, self.found = page, top, []
        page.on("console", lambda said: said.type == "error" and self.found.append(f"console: {said.text}"))
        page.on("pageerror", lambda error: self.found.append(f"script: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", lambda answer: answer.status >= 400 and self.found.append(f"{answer.status}: {answer.url}"))
        page.on("request", self._asked)

    def _failed(self, request):
        if request.failure != "net::ERR_ABORTED":  # the page was left meanwhile
            self.found.append(f"failed: {request.url[:120]}")

    def _asked(self, request):
        if not request.url.startswith((self.top, "data:", "blob:")):
            self.found.append(f"elsewhere: {request.url}")


@pytest.fixture
def open_page(browser, address):
    """A function of the way that gives a fresh page, and the list of what went wrong in it."""
    contexts = []

    def opened(way: str, **how):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **how})
        contexts.append(context)
        page = context.new_page()
        return page, address[way], Faults(page, address[way]).found

    yield opened
    for context in contexts:
        context.close()


SET = """() => window.MathJax?.startup?.promise?.then(() => true) ?? true"""


# ------------------------------------------------------------------------------------------------ without a browser


def test_it_is_small_and_whole(site, pages):
    files = [path for path in site.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MAX_MB * 1e6
    lessons = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb") if re.match(r"(\d\d|[A-Z])_", path.name)}
    assert {f"lessons/{name}.html" for name in lessons} <= set(pages)
    import vtm_lesson as vtm

    names = [name for name in vtm.__all__ if not isinstance(getattr(vtm, name), type(vtm))]
    assert {f"reference/vtm_lesson.{name}.html" for name in names} <= set(pages)
    assert {"index.html", "results.html", "changelog.html", "teachers.html", "explorers.html"} <= set(pages)


class Links(HTMLParser):
    """What a page points to, what can be pointed to in it, its pictures and its headings."""

    def __init__(self, text: str):
        super().__init__()
        self.targets, self.anchors, self.pictures, self.headings, self.language = [], {""}, [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        self.anchors |= {known[name] for name in ("id", "name") if known.get(name)}
        self.targets += [known[name] for name in ("href", "src", "poster") if known.get(name)]
        if tag == "html":
            self.language = known.get("lang")
        if tag == "img":
            self.pictures.append(known.get("alt"))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))


@pytest.fixture(scope="module")
def read(site, pages):
    return {page: Links((site / page).read_text("utf-8")) for page in pages}


def broken(read: dict[str, Links], site: Path) -> list[str]:
    """Links within a site that lead nowhere: no such file, or no such place in it."""
    found = []
    for page, links in read.items():
        for target in links.targets:
            if urlsplit(target).scheme or target.startswith("//"):
                continue
            path, anchor = urldefrag(target)
            path = unquote(urlsplit(path).path)
            file = (site / page).parent / path if path else site / page
            other = file.resolve().relative_to(site.resolve()).as_posix()
            if not file.is_file():
                found.append(f"{page}: {target}")
            elif anchor and other in read and unquote(anchor) not in read[other].anchors:
                found.append(f"{page}: {target} (no such place)")
    return found


def test_every_link_leads_somewhere(read, site):
    assert broken(read, site) == []
    assert sum(len(links.targets) for links in read.values()) > 1000, "the walker saw next to nothing"


def test_a_broken_link_is_seen(tmp_path):
    text = '<a href="b.html#x">to b</a><img src="no.png"><a href="#here" id="here">to itself</a>'
    (tmp_path / "a.html").write_text(text)
    (tmp_path / "b.html").write_text("<p id=y>")
    read = {name: Links((tmp_path / name).read_text()) for name in ("a.html", "b.html")}
    assert broken(read, tmp_path) == ["a.html: b.html#x (no such place)", "a.html: no.png"]


def test_pictures_have_words_and_pages_a_language_and_one_title(read):
    for page, links in read.items():
        assert links.language == "en", page
        for words in links.pictures:
            assert words and len(words) > 8 and not re.search(r"\.(png|jpe?g|svg|gif|webp)$", words), (page, words)
        assert links.headings.count(1) == 1 and links.headings[0] == 1, (page, links.headings)
        steps = list(zip(links.headings, links.headings[1:], strict=False))
        assert all(after <= before + 1 for before, after in steps), (page, links.headings)


def test_a_lesson_s_pictures_say_what_the_notebook_says(read):
    import json

    path = ROOT / "notebooks" / "02_bipartite_matching.ipynb"
    outputs = [out for cell in json.loads(path.read_text("utf-8"))["cells"] for out in cell.get("outputs", [])]
    said = [out["metadata"]["image/png"]["alt"] for out in outputs if "image/png" in out.get("data", {})]
    assert said and [" ".join(words.split()) for words in said] == [
        " ".join(words.split()) for words in read["lessons/02_bipartite_matching.html"].pictures
    ]


def test_lessons_lead_to_words_symbols_and_equations(read):
    def targets(page: str, to: str) -> list[str]:
        return [target for target in read[page].targets if target.startswith(f"../{to}.html#")]

    for page in (page for page in read if re.match(r"lessons/\w", page) and "index" not in page):
        words = targets(page, "glossary")
        assert len(words) > 5 and len(words) == len(set(words)), "the first use only"
    assert "../symbols.html#symbol-gamma" in targets("lessons/04_naive_vtm.html", "symbols")
    assert "../equations.html#eq-3" in targets("lessons/02_bipartite_matching.html", "equations")
    assert "../equations.html#eq-4" in targets("reference/vtm_lesson.Merge.html", "equations")


# --------------------------------------------------------------------------------------------------- with a browser


@pytest.mark.parametrize("way", WAYS)
def test_every_page_loads_alone_and_without_a_fault(way, pages, open_page):
    page, top, faults = open_page(way)
    for name in pages:
        page.goto(top + name, wait_until="load")
        page.evaluate(SET)
        assert faults == [], name


@pytest.mark.parametrize("way", WAYS)
def test_search_finds_saliency(way, open_page):
    page, top, faults = open_page(way)
    page.goto(f"{top}search.html?q=saliency")
    page.locator("#search-results .search li").first.wait_for()
    page.wait_for_function("() => /\\d+ page|finished/i.test(document.querySelector('#search-results').innerText)")
    found = page.locator("#search-results .search li").all_inner_texts()
    assert len(found) > 5 and any("07 Learnable" in text for text in found), found[:10]
    page.wait_for_timeout(500)  # excerpts come later, where a page may fetch them
    assert faults == []


@pytest.mark.parametrize("way", WAYS)
def test_formulas_are_set(way, open_page):
    page, top, faults = open_page(way)
    for name in ("lessons/07_learnable.html", "equations.html"):
        page.goto(top + name)
        page.evaluate(SET)
        boxes = page.evaluate(
            "() => [...document.querySelectorAll('article mjx-container')].map(box => box.getBoundingClientRect())"
            ".map(box => box.width * box.height)"
        )
        assert len(boxes) > 10
        assert page.evaluate("() => document.querySelectorAll('mjx-merror, [data-mjx-error]').length") == 0
        left = page.evaluate(
            "() => [...document.querySelectorAll('.math')].filter(m => !m.querySelector('svg')).length"
        )
        assert left == 0 and sum(size > 0 for size in boxes) > 10
    assert faults == []


TOO_WIDE = """() => {
    const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    return wide > 0 ? wide : 0;
}"""


def test_no_page_scrolls_sideways_on_a_telephone(pages, open_page):
    page, top, _ = open_page("served", viewport={"width": NARROW, "height": 800})
    wide = {}
    for name in pages:
        page.goto(top + name, wait_until="load")
        page.evaluate(SET)
        if over := page.evaluate(TOO_WIDE):
            wide[name] = over
    assert wide == {}


ANSWERED = (
    "() => [...document.querySelectorAll('.vtm-explorer')].every(box => box.dataset.answers > 0 && !box.ariaBusy)"
)


@pytest.mark.parametrize("way", WAYS)
def test_the_explorers_move(way, open_page):
    page, top, faults = open_page(way)
    page.goto(f"{top}explorers.html")
    boxes = page.locator(".vtm-explorer")
    boxes.nth(5).wait_for()
    page.wait_for_function(ANSWERED)
    seen = {}
    for box in boxes.all():
        before, answers = box.inner_text(), int(box.get_attribute("data-answers"))
        first = box.locator("input[type=range]")
        if first.count():
            first.first.focus()
            page.keyboard.press("ArrowRight")
        else:
            box.locator("select").nth(1).select_option(index=1)
        page.wait_for_function("([b, n]) => b.dataset.answers > n && !b.ariaBusy", arg=[box.element_handle(), answers])
        seen[box.get_attribute("data-explorer")] = box.inner_text() != before
    assert len(seen) == 6 and all(seen.values()), seen
    assert faults == []


def test_lessons_have_their_explorers(open_page):
    page, top, faults = open_page("as a file")
    found = {
        "00_start_here": 1,
        "02_bipartite_matching": 1,
        "04_naive_vtm": 1,
        "07_learnable": 1,
        "09_speed_and_memory": 2,
    }
    for name, count in found.items():
        page.goto(f"{top}lessons/{name}.html")
        page.locator(".vtm-explorer").first.wait_for()
        page.wait_for_function(ANSWERED)
        assert page.locator(".vtm-explorer").count() == count, name
    assert faults == []


@pytest.mark.parametrize("way", WAYS)
def test_a_film_that_is_dropped_is_merged_here_and_goes_nowhere(way, open_page):
    page, top, faults = open_page(way)
    page.goto(f"{top}explorers.html", wait_until="load")
    box = page.locator(".vtm-explorer").first
    page.wait_for_function(ANSWERED)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    film = base64.b64encode((ROOT / "data" / "films" / "centred.mp4").read_bytes()).decode()
    dropped = page.evaluate_handle(
        """text => {
            const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
            const carried = new DataTransfer();
            carried.items.add(new File([bytes], "mine.mp4", {type: "video/mp4"}));
            return carried;
        }""",
        film,
    )
    box.dispatch_event("drop", {"dataTransfer": dropped})
    box.locator("td", has_text="7,840").first.wait_for()  # 40 frames of 14 x 14 patches
    assert all(url.startswith("blob:") for url in asked), asked
    assert faults == []


def test_films_play(open_page):
    page, top, _ = open_page("as a file")
    if not page.evaluate("""document.createElement("video").canPlayType('video/mp4; codecs="avc1.64001E"')"""):
        pytest.skip("this Chromium cannot play H.264: take the one of the distribution, or Chrome")
    page.goto(f"{top}lessons/00_start_here.html")
    film = page.locator("video").first
    film.scroll_into_view_if_needed()
    page.wait_for_function("film => film.currentTime > 0.3", arg=film.element_handle())


def test_print_leaves_the_navigation_out(open_page):
    page, top, _ = open_page("served")
    page.goto(f"{top}lessons/02_bipartite_matching.html")
    parts = ("#pst-header", ".bd-sidebar-primary", ".bd-sidebar-secondary", ".prev-next-footer", ".bd-header-article")
    assert all(page.locator(part).first.is_visible() for part in parts)
    page.emulate_media(media="print")
    assert not any(page.locator(part).first.is_visible() for part in parts)
    assert page.locator("article h1").is_visible()


def test_the_theme_can_be_switched_and_stays(open_page):
    page, top, _ = open_page("served", color_scheme="light")
    page.goto(f"{top}index.html")

    def ground():
        return page.evaluate("() => getComputedStyle(document.body).backgroundColor")

    light = ground()
    page.get_by_role("button", name=re.compile("color mode", re.I)).first.click()
    page.get_by_role("button", name="Dark").click()
    assert ground() != light
    page.goto(f"{top}results.html")
    assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"


def test_without_scripts_a_page_can_be_read(open_page):
    page, top, _ = open_page("served", java_script_enabled=False)
    page.goto(f"{top}explorers.html")
    assert page.locator("article h1").is_visible()
    for picture in page.locator("article .vtm-explorer-place img").all():
        assert picture.is_visible()


# Opens what is folded. A page has thousands of coloured words of code, of some dozen kinds: one of a kind is looked at
# in a page. The paths that a formula is drawn with say nothing to axe.
THIN = """() => {
    document.querySelectorAll("details").forEach(part => part.open = true);
    document.querySelectorAll("mjx-container svg").forEach(drawn => drawn.replaceChildren());
    const seen = new Set();
    document.querySelectorAll("pre span").forEach(word => {
        const kind = [word, word.closest(".cell_input, .cell_output, .highlight")].map(part => part?.className).join();
        if (seen.has(kind)) word.replaceWith(...word.childNodes); else if (word.textContent.trim()) seen.add(kind);
    });
}"""
AXE = """rules => axe.run(document, {resultTypes: ["violations"], preload: false,
    ...(rules && {runOnly: {type: "rule", values: rules}})}).then(found => found.violations
    .filter(fault => ["serious", "critical"].includes(fault.impact))
    .map(fault => `${fault.id}: ${fault.nodes.slice(0, 3).map(node => node.html.slice(0, 200)).join(" | ")}`))"""
ABOUT_COLOUR = ["color-contrast", "link-in-text-block"]  # what another theme can change


@pytest.fixture
def barriers(open_page):
    """A function of pages' names: what axe finds serious or critical in them, by theme and name.

    Both themes are looked at side by side, as each page has a process of its own.
    """
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None:
        pytest.skip("axe-playwright-python is missing: make test-all installs it")
    axe = (Path(spec.origin).parent / "axe.min.js").read_text("utf-8")
    themes = {}
    for theme in ("light", "dark"):
        themes[theme], top, _ = open_page("served", color_scheme=theme)
        stored = f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}');"
        themes[theme].add_init_script(stored)

    def found(names: list[str], spoil: str = "() => {}") -> dict[tuple[str, str], list[str]]:
        faults = {}
        for name in names:
            for theme, page in themes.items():
                page.goto(top + name, wait_until="load")
                for step in (SET, spoil, THIN, axe):
                    page.evaluate(step)
                page.evaluate(
                    f"rules => void (window.looked = ({AXE})(rules))", ABOUT_COLOUR if theme == "dark" else None
                )
            for theme, page in themes.items():
                if there := page.evaluate("() => window.looked"):
                    faults[theme, name] = there
        return faults

    return found


def test_axe_finds_no_barrier_on_any_page(pages, barriers):
    assert barriers(pages) == {}


def test_a_barrier_is_seen(barriers):
    pale = """() => document.querySelectorAll("pre span.kn").forEach(word => word.style.color = "#888")"""
    found = barriers(["lessons/A_attention_in_pictures.html"], pale)
    assert {theme for theme, _ in found} == {"light", "dark"}
    assert all(len(faults) == 1 and faults[0].startswith("color-contrast") for faults in found.values())
