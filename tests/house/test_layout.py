"""The README's picture of the package is true: every module is in it, and imports run one way."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "vtm_lesson"
README = (ROOT / "README.md").read_text(encoding="utf-8")
LISTED = re.findall(r"^    (\w+)\.py ", README.split("The package, from the ground up:")[1], flags=re.MULTILINE)
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


def imported(path: Path) -> set[str]:
    """The package's modules that a module imports anywhere, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level == 1 or module.split(".")[0] == "vtm_lesson":
                inner = module.removeprefix("vtm_lesson").strip(".").split(".")[0]
                found |= {inner} if inner else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("vtm_lesson.")}
    return found & set(MODULES)


def test_every_module_is_in_the_picture():
    assert sorted(LISTED) == MODULES


@pytest.mark.parametrize("module", [m for m in MODULES if m != "__main__"])
def test_a_module_imports_only_from_those_above_it(module):
    above = set(LISTED[: LISTED.index(module)])
    assert imported(PACKAGE / f"{module}.py") <= above


def test_the_lesson_table_names_every_lesson_and_no_other():
    named = re.findall(r"\]\(notebooks/(\d\d_\w+)\.ipynb\)", README)
    assert sorted(named) == sorted(path.stem for path in (ROOT / "notebooks" / "source").glob("[0-9][0-9]_*.py"))


def test_the_readme_shows_both_commands_and_its_links_lead_somewhere():
    assert "    make lab" in README and "    make test" in README
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert link.startswith("http") or (ROOT / link).exists(), link


def test_the_readmes_tables_are_those_of_the_stored_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    tables = importlib.import_module("readme_tables")
    assert tables.fill(README) == README, "run python tools/readme_tables.py"
    number = re.search(r"<!-- table network -->.*?x(\d\.\d\d)", README, flags=re.DOTALL)
    assert tables.fill(README[: number.start(1)] + "9.99" + README[number.end(1) :]) == README
