"""An explorer as a value: its browser module, its data, and a still figure of the same message.

It lives in two places. In a notebook with a kernel it is a widget (anywidget). On a page without one, `fragment` puts
the same module and the same data into the page as one classic script, which also runs where it is opened as a file.
Where no script runs, as on GitHub, the still figure is seen. An explorer only shows: no later cell can depend on it.
"""

from __future__ import annotations

import base64
import functools
import html
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..plots.style import Picture, png

MIME = "application/vnd.vtm-lesson.explorer+json"  # how a stored notebook tells a page which explorer stands here
WIDGET = "application/vnd.jupyter.widget-view+json"
HERE = Path(__file__).parent
IMPORT = re.compile(r'^import\s[^;]*?from\s+"\./(\w+)\.js";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(async )?(function|const|class)\b)", re.MULTILINE)


@dataclass(frozen=True)
class Explorer:
    """What every function of `vtm_lesson.explorers` returns. As a cell's last line it shows itself.

    Attributes
    ----------
    name : str
        Its browser module, `name`.js in this folder.
    title : str
        What it is called.
    words : str
        What to do with it and what to look for, one paragraph.
    data : dict
        What the browser module is given, as JSON knows it.
    still : Picture
        A figure with the same message and its alt text, for where nothing moves.

    Examples
    --------
    >>> from vtm_lesson import explorers, films
    >>> explorers.explore(films.make(0, frames=4, size=64, patch=16), gamma=4)
    Explorer(film)
    """

    name: str
    title: str
    words: str
    data: dict[str, Any] = field(repr=False)
    still: Picture = field(repr=False)

    def __repr__(self) -> str:
        return f"Explorer({self.name})"

    def page(self) -> str:
        """The explorer as HTML that needs nothing beside it."""
        image = base64.b64encode(png(self.still)).decode()
        still = f'<img src="data:image/png;base64,{image}" alt="{html.escape(self.still.alt)}">'
        return fragment(self.name, self.data, still)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        alt = self.still.alt
        data: dict[str, Any] = {"image/png": base64.b64encode(png(self.still)).decode(), "text/plain": alt}
        data |= _widget(self.name, self.data) | {MIME: {"explorer": self.name, "data": self.data}}
        display(data, metadata={"image/png": {"alt": alt}}, raw=True)
        words = f"<details><summary><small>in words</small></summary><small>{html.escape(alt)}</small></details>"
        display({"text/html": words, "text/plain": ""}, raw=True)


def _widget(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """What makes a notebook with a kernel show the explorer itself; nothing elsewhere."""
    try:
        from IPython import get_ipython

        if getattr(get_ipython(), "kernel", None) is None:
            return {}
        bundle = widget_class(name)(data=data)._repr_mimebundle_()
    except ImportError:
        return {}
    found = bundle[0] if isinstance(bundle, tuple) else bundle or {}
    return {kind: value for kind, value in found.items() if kind == WIDGET}  # its text is all the data once more


@functools.cache
def widget_class(name: str) -> type:
    """The explorer as an anywidget: the same module, with `data` as its one trait. Nothing comes back to Python."""
    import anywidget
    import traitlets

    return type(
        name.capitalize(),
        (anywidget.AnyWidget,),
        {"_esm": module(name), "data": traitlets.Dict().tag(sync=True)},
    )


@functools.cache
def joined(name: str) -> str:
    """A browser module and all that it imports from this folder, as one text without imports and exports."""
    texts: dict[str, str] = {}

    def add(one: str) -> None:
        if one in texts:
            return
        text = (HERE / f"{one}.js").read_text(encoding="utf-8")
        for needed in IMPORT.findall(text):
            add(needed)
        texts[one] = EXPORT.sub("", IMPORT.sub("", text))

    add(name)
    return "\n".join(texts.values())


@functools.cache
def _script(name: str) -> str:
    """`joined`, with the worker's own text in it: a page that is opened as a file may load no second one."""
    return f"const VTM_WORKER = {json.dumps(joined('worker'))};\n{joined(name)}"


@functools.cache
def module(name: str) -> str:
    """The explorer as an ES module for anywidget: `render` is its default export's."""
    render = "export default { render({ model, el }) { return explore(el, model.get('data')); } };"
    return f"{_script(name)}\n{render}\n"


def fragment(name: str, data: dict[str, Any], still: str = "") -> str:
    """The explorer as a piece of a page: its place, its data, and one classic script.

    Parameters
    ----------
    name : str
        The browser module, as `Explorer.name`.
    data : dict
        As `Explorer.data`.
    still : str, optional
        HTML that is seen until the script has run, and where none runs.

    Returns
    -------
    str
        HTML. The script looks for nothing outside, and leaves no name behind.

    Examples
    --------
    >>> from vtm_lesson.explorers import page
    >>> text = page.fragment("film", {"frames": 1}, "<p>a film</p>")
    >>> "https://" in text.replace("http://www.w3.org", ""), text.count("</script>")
    (False, 2)
    """
    stored = json.dumps(data).replace("</", "<\\/")
    code = _script(name).replace("</", "<\\/")
    start = (
        "const here = document.currentScript.parentElement;\n"
        "explore(here.querySelector('div'), JSON.parse(here.querySelector('script').textContent));"
    )
    return (
        f'<div class="vtm-explorer-place"><div>{still}</div><script type="application/json">{stored}</script>'
        f"<script>(() => {{\n{code}\n{start}\n}})();</script></div>"
    )
