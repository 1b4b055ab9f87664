"""What a browser shows of every lesson outside JupyterLab: nbconvert's page, with mathematics set, at two widths.

JupyterLab, nbconvert and the sites that show notebooks each read Markdown in their own way. A table cell with a bare
`|` in its mathematics is whole in one of them and cut in two in another.
"""

import importlib.util
import mimetypes
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
LESSONS = sorted(path for kind in ("[0-9][0-9]", "[A-Z]") for path in (ROOT / "notebooks").glob(f"{kind}_*.ipynb"))
WIDTHS = (1280, 800)

SITE = "http://lesson"  # nothing is there: every request is answered here, and none leaves this machine
# nbconvert takes MathJax 2.7 from elsewhere. This is the same from a package of the Jupyter project, with its one font.
MATHJAX = f"{SITE}/MathJax.js?config=TeX-AMS-MML_HTMLorMML-full,Safe"
FONT = """<script type="text/x-mathjax-config">
    MathJax.Hub.Config({"HTML-CSS": {availableFonts: [], preferredFont: null, webFont: "STIX-Web", imageFont: null}});
</script>"""

# Opens what is folded, and then gives the text that is left of prose once code and finished mathematics are taken out.
PROSE = """() => {
    document.querySelectorAll("details").forEach(details => details.open = true);
    return [...document.querySelectorAll(".jp-RenderedMarkdown")].map(cell => {
        const rest = cell.cloneNode(true);
        const done = "pre, code, script, style, [class^=MathJax], [class^=MJX]";
        rest.querySelectorAll(done).forEach(part => part.replaceWith(part.matches("code") ? "…" : ""));
        rest.querySelectorAll("p, li, td, th, h1, h2, h3, summary").forEach(part => part.append("\\n"));
        return rest.textContent;
    }).join("\\n");
}"""
WRONG_MATHEMATICS = """() => [...document.querySelectorAll(".MathJax_Error, .noError, .merror, .MathJax")]
    .filter(part => !part.matches(".MathJax") || /\\\\/.test(part.textContent))
    .map(part => part.textContent)"""
TOO_WIDE = """() => [...document.querySelectorAll(".jp-RenderedMarkdown table")]
    .filter(table => {
        const [inner, outer] = [table, table.closest(".jp-RenderedMarkdown")].map(part => part.getBoundingClientRect());
        return inner.right > outer.right + 1 || table.scrollWidth > table.clientWidth + 1;
    })
    .map(table => table.textContent.trim().slice(0, 60))"""
# nbconvert's `lab` template passes over the alt text in a picture's metadata, and shows the folded words under it.
WITHOUT_WORDS = """() => [...document.images].map(image => {
    if (image.alt.trim() && !image.alt.startsWith("No description has been provided")) return image.alt;
    const next = image.closest(".jp-OutputArea-child")?.nextElementSibling;
    const [title, words] = [...next?.querySelectorAll("details > summary, details > small") ?? []];
    return title?.textContent.endsWith("in words") ? words.textContent.trim() : "";
}).map((words, number) => words ? "" : `picture ${number + 1}`).filter(Boolean)"""

RAW = {
    "a dollar sign": r"\$",
    "a delimiter of mathematics": r"\\[()\[\]]",
    "a command of TeX": r"\\[a-zA-Z]+",
    "a table": r"\|\s*:?-{3}|^\s*\|.*\|\s*$",
    "bold or italic": r"\*\*|(?<!\w)\*(?=\w)|(?<=\w)\*(?!\w)|__",
    "code": "`",
    "a heading": r"^\s*#{1,6} ",
    "a link": r"\]\(",
    "a tag": r"</?(details|summary|small|br|table|sub|sup)\b",
}


def raw_markup(text: str) -> list[str]:
    """What of a page's prose is still Markdown, HTML or TeX: the kind, and the line that it stands in."""
    lines = text.splitlines()
    return [f"{kind}: {line.strip()}" for kind, form in RAW.items() for line in lines if re.search(form, line)]


@pytest.fixture(scope="module")
def mathjax() -> Path:
    spec = importlib.util.find_spec("jupyter_server_mathjax")
    if spec is None:
        pytest.skip("jupyter-server-mathjax is missing: make test-all installs it")
    return Path(spec.origin).parent / "static"


@pytest.fixture
def show(browser, mathjax):
    """A function that opens HTML in a page, waits until MathJax has set the last formula, and returns the page."""
    page = browser.new_page(viewport={"width": WIDTHS[0], "height": 900})

    def shown(html: str):
        def answer(route):
            address = urlsplit(route.request.url)
            file = mathjax / address.path.removeprefix("/")
            if f"{address.scheme}://{address.netloc}" != SITE:
                route.abort()
            elif address.path == "/":
                route.fulfill(body=html.replace("<head>", f"<head>{FONT}", 1), content_type="text/html; charset=utf-8")
            elif file.is_file():
                route.fulfill(path=file, content_type=mimetypes.guess_type(file)[0] or "application/octet-stream")
            else:
                route.fulfill(status=404)

        page.unroute("**/*")
        page.route("**/*", answer)
        page.goto(f"{SITE}/", wait_until="domcontentloaded")
        page.evaluate("() => new Promise(resolve => MathJax.Hub.Queue(resolve))")
        return page

    yield shown
    page.close()


@pytest.fixture(scope="module")
def to_html():
    from nbconvert import HTMLExporter

    return HTMLExporter(template_name="lab", mathjax_url=MATHJAX)


def faults(page) -> list[str]:
    """What is wrong with a page, in words."""
    found = raw_markup(page.evaluate(PROSE))
    found += [f"mathematics that MathJax cannot set: {tex}" for tex in page.evaluate(WRONG_MATHEMATICS)]
    found += [f"no words for those who cannot see {picture}" for picture in page.evaluate(WITHOUT_WORDS)]
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        found += [f"wider than a page of {width} pixels: {table}" for table in page.evaluate(TOO_WIDE)]
    return found


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_a_browser_shows_a_lesson_as_it_is_meant(lesson, show, to_html):
    page = show(to_html.from_filename(str(lesson))[0])
    assert page.locator(".MathJax").count() > 0, "MathJax was not at work, and the rest would say little"
    assert faults(page) == []


ROW = "|---|---|\n| $x$ |"
WIDE = " $" + "+".join("x" * 80) + "$ |"
GOOD = f"**Bold** and `$a*b*c$`: $a_1$\n\n| a | b |\n{ROW} $\\lvert S \\rvert$ |\n\n$$\\frac{{1}}{{2}}$$\n"


def test_faults_are_seen(show, to_html):
    from nbformat import v4

    def found(markdown: str, *outputs) -> list[str]:
        cells = [v4.new_markdown_cell(markdown), v4.new_code_cell("1", outputs=list(outputs))]
        return faults(show(to_html.from_notebook_node(v4.new_notebook(cells=cells))[0]))

    dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
    picture = v4.new_output("display_data", {"image/png": dot, "text/plain": "a dot"})
    words = "<details><summary><small>figure in words</small></summary><small>{}</small></details>"
    said, silent = (v4.new_output("display_data", {"text/html": words.format(text)}) for text in ("A dot.", ""))
    assert found(GOOD, picture, said) == []
    assert any(line.startswith("a table: | a | b |") for line in found(f"{GOOD}\n| a | b |\n{ROW} $|S|$ |"))
    for markdown, fault in {
        "a lonely $": "a dollar sign",
        r"\\(x": "a delimiter of mathematics",
        "three ** stars": "bold or italic",
        "`open": "code",
        "<div>&lt;details&gt;</div>": "a tag",
        "$\\frac{1$": "mathematics that MathJax cannot set",
        "$\\nosuchthing$": "mathematics that MathJax cannot set",
        f"| a | b |\n{ROW}{WIDE}": "wider than a page of 800 pixels",
    }.items():
        assert any(line.startswith(fault) for line in found(f"{GOOD}\n{markdown}")), fault
    assert found(GOOD, picture) == found(GOOD, picture, silent) == ["no words for those who cannot see picture 1"]
