"""Links that no lesson has to write: from an equation's number, a word of the field or a symbol to where it is told.

    "VTM eq. 3", "eqs. 9 and 10"    -> equations.md, on every page and in every docstring
    the first "target" of a lesson  -> glossary.md
    the first $\\gamma$ of a lesson  -> symbols.md

The words and symbols are read from those three pages, so that there is one list of each.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import desc_signature, pending_xref
from sphinx.transforms import SphinxTransform
from sphinx.util.nodes import make_refnode

# Text in these is left alone.
NO_LINKS = (
    nodes.title, nodes.literal, nodes.literal_block, nodes.reference, pending_xref, nodes.math, nodes.math_block,
    nodes.raw, nodes.term, nodes.doctest_block, nodes.caption, nodes.rubric, desc_signature, nodes.comment,
)  # fmt: skip
EQUATION = re.compile(r"(?:VTM(?:'s)?\s)?\b[Ee]qs?\.\s(\d+)(?:(?:,\s|\s(?:and|to)\s|[-\u2013])(\d+))*")
OTHERS = re.compile(r"(?:vid-TLDR|ToMe|MCTF|CVPR|ICLR)[^.;]*$")  # equations of another paper stand behind its name
IN_FORMULA = re.compile(r"\s*\\qquad\s*\\text\{\((VTM eqs?\. [^}]*)\)\}")
WORDS = {  # words that do not only take an s
    "match": "match matches matched matching",
    "merge": "merge merges merged merging",
    "unmerge": "unmerge unmerges unmerged unmerging",
    "patch": "patch patches",
    "saliency": "saliency saliencies",
    "fused attention": "fused",
    "recall": "recall",
    "alternating halves": "alternating halves",
}


# In code, most short names stand for many things; these do not.
IN_CODE = {"gamma", "n", "n_merge", "r", "keys", "targets"}
# Letters that a lesson uses for something else than most others do: for another symbol, or for none of the list.
HERE = {
    ("02", "s"): "symbol-size", ("03", "s"): "symbol-size", ("02", "v"): "symbol-v-value",
    ("03", "v"): "symbol-v-value", ("07", "v"): "symbol-v-value", ("A", "v"): "symbol-v-value", ("05", "k"): None,
    ("07", "y_i"): None, ("09", "M"): None, ("B", "p"): None, ("C", "p"): None,
}  # fmt: skip


def read(env, name: str) -> str:
    """One of the three pages; who has read it is read again when it changes."""
    path = Path(env.srcdir) / name
    env.note_dependency(str(path))
    return path.read_text("utf-8")


def link(page: str, anchor: str, *children: nodes.Node, kind: str, title: str | None = None) -> pending_xref:
    """A link to an anchor of another page, resolved when all pages are known."""
    about = {"reftitle": title} | {
        "reftype": "course",
        "reftarget": f"{page}#{anchor}",
        "refdomain": "",
        "refexplicit": True,
    }
    return pending_xref("", nodes.inline("", "", *children, classes=[f"to-{kind}"]), **about)


def resolve(app, env, node: pending_xref, contnode: nodes.Node) -> nodes.reference | None:
    if node["reftype"] != "course":
        return None
    page, _, anchor = node["reftarget"].partition("#")
    return make_refnode(app.builder, node["refdoc"], page, anchor, contnode, node["reftitle"])


def free_texts(document: nodes.document) -> Iterator[nodes.Text]:
    """The pieces of text that may become links, in reading order; what a line break had parted is one piece again."""
    for text in list(document.findall(nodes.Text)):
        here = place(text)
        if here is None:  # joined to the one before
            continue
        after = itertools.takewhile(lambda node: isinstance(node, nodes.Text), text.parent.children[here:])
        if len(pieces := list(after)) > 1:
            whole = nodes.Text("".join(piece.astext() for piece in pieces))
            text.parent[here : here + len(pieces)] = [whole]
            text = whole
        above = text.parent
        while above is not None and not isinstance(above, NO_LINKS):
            above = above.parent
        if above is None:
            yield text


def place(text: nodes.Text) -> int | None:
    """Where it stands among its parent's children. (docutils looks for an equal text, not for this one.)"""
    return next((number for number, node in enumerate(text.parent.children) if node is text), None)


def in_place_of(text: nodes.Text, found: re.Match, new: nodes.Node) -> nodes.Text:
    """Put a link where a match was; return the rest of the text, behind it."""
    whole = text.astext()
    before, after = nodes.Text(whole[: found.start()]), nodes.Text(whole[found.end() :])
    here = place(text)
    text.parent[here : here + 1] = [before, new, after]
    return after


# ---------------------------------------------------------------------------------------------------------- equations


def equations(page: str) -> set[int]:
    """The numbers that the page of equations tells of."""
    return {int(number) for number in re.findall(r"^\(eq-(\d+)\)=$", page, re.MULTILINE)}


class LinkEquations(SphinxTransform):
    """Link every "VTM eq. 3"; in a displayed formula the number is taken out, and stands beside it as a link."""

    default_priority = 700

    def apply(self, **kwargs) -> None:
        if self.env.docname == "equations":
            return
        known = equations(read(self.env, "equations.md"))
        for formula in list(self.document.findall(nodes.math_block)):
            if found := IN_FORMULA.search(formula.astext()):
                tex = IN_FORMULA.sub("", formula.astext()).strip()
                formula.children = [nodes.Text(tex)]
                source = nodes.paragraph("", found[1], classes=["equation-source"])
                formula.replace_self(nodes.container("", formula.deepcopy(), source, classes=["equation"]))
        for text in free_texts(self.document):
            at = 0
            while found := EQUATION.search(text.astext(), at):
                numbers = [int(number) for number in re.findall(r"\d+", found[0])]
                if OTHERS.search(text.astext()[: found.start()]) or not set(numbers) <= known:
                    at = found.end()
                    continue
                text = in_place_of(
                    text, found, link("equations", f"eq-{numbers[0]}", nodes.Text(found[0]), kind="equation")
                )
                at = 0


# ------------------------------------------------------------------------------------------------- words and symbols


def terms(page: str) -> dict[str, str]:
    """Each form of each word of the glossary -> the anchor of its entry."""
    found = {}
    for glossary in re.findall(r"^:::\{glossary\}\n(.*?)^:::", page, re.MULTILINE | re.DOTALL):
        for term in re.findall(r"^(\S.*)$", glossary, re.MULTILINE):
            if not term.startswith(":"):
                anchor = "term-" + re.sub(r"[^a-zA-Z0-9]+", "-", term).strip("-")  # as Sphinx makes it
                shown = re.sub(r" \(.*\)", "", term)
                forms = WORDS.get(shown, f"{shown}|{shown}s").replace("|", "\n" if " " in shown else " ")
                for form in forms.split("\n") if " " in shown else forms.split():
                    found[form] = anchor
    return found


ROW = re.compile(r'^\| <a id="([\w-]+)"></a>\$(.+?)\$ \| (.*?) ?\| (.*?) \|', re.MULTILINE)


def symbols(page: str) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """TeX -> anchor, name in code -> anchor, and anchor -> meaning, from the rows of symbols.md."""
    tex, code, meanings = {}, {}, {}
    for anchor, formula, names, meaning in ROW.findall(page):
        tex[formula] = anchor
        code.update(dict.fromkeys(IN_CODE.intersection(re.findall(r"`(\w+)`", names)), anchor))
        meanings[anchor] = meaning.replace("$", "").replace("\\gamma", "gamma")
    return tex, code, meanings


class LinkFirstUses(SphinxTransform):
    """In a lesson, link the first use of each word of the glossary and of each symbol."""

    default_priority = 710

    def apply(self, **kwargs) -> None:
        if not re.fullmatch(r"lessons/(\d\d|[A-Z])_\w+", self.env.docname):
            return
        tex, code, meanings = symbols(read(self.env, "symbols.md"))
        number = self.env.docname.split("/")[1].split("_")[0]
        tex = {letter: HERE.get((number, letter), anchor) for letter, anchor in tex.items()}
        self.link_symbols(tex, code, meanings)
        words = terms(read(self.env, "glossary.md"))
        self.link_words({word: anchor for word, anchor in words.items() if word not in code})

    def link_symbols(self, tex: dict[str, str], code: dict[str, str], meanings: dict[str, str]) -> None:
        done: set[str] = set()
        for node in list(self.document.findall(lambda n: isinstance(n, (nodes.math, nodes.literal)))):
            words = node.astext()
            if isinstance(node, nodes.math):
                anchor = tex.get(re.sub(r"\s*(=|\\in\b|\\geq?\b|\\leq?\b|<|>).*$", "", words))
            else:
                anchor = code.get(words)
            if anchor is None or anchor in done or any(isinstance(up, NO_LINKS) for up in ancestors(node)):
                continue
            done.add(anchor)
            node.replace_self(link("symbols", anchor, node.deepcopy(), kind="symbol", title=meanings[anchor]))

    def link_words(self, words: dict[str, str]) -> None:
        left = dict(words)
        for text in free_texts(self.document):
            while left and (found := pattern(left).search(text.astext())):
                word = " ".join(found[0].split())
                anchor = left.get(word) or left[word[0].lower() + word[1:]]
                left = {word: other for word, other in left.items() if other != anchor}
                text = in_place_of(text, found, link("glossary", anchor, nodes.Text(found[0]), kind="word"))


def ancestors(node: nodes.Node) -> Iterator[nodes.Node]:
    while node.parent is not None:
        node = node.parent
        yield node


def pattern(words: dict[str, str]) -> re.Pattern:
    """Any of these words, the longest first, with a small or a capital first letter."""
    either = [f"[{w[0].lower()}{w[0].upper()}]{re.escape(w[1:])}" if w[0].islower() else re.escape(w) for w in words]
    either = [form.replace(r"\ ", r"\s+") for form in either]
    return re.compile(rf"(?<![\w-])(?:{'|'.join(sorted(either, key=len, reverse=True))})(?![\w-])")


def setup(app) -> dict[str, bool]:
    app.add_transform(LinkEquations)
    app.add_transform(LinkFirstUses)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
