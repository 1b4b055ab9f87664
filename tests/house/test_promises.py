"""docs/rely.md: each promise names a test, and that test is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "rely.md").read_text(encoding="utf-8")
ROWS = [line for line in TEXT.splitlines() if line.startswith("|") and not re.match(r"\|(---| promise )", line)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:50])
def test_a_promise_names_tests_that_are_there(row):
    promise, holders = row.strip("|").rsplit("|", 1)
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", holders)
    assert promise.strip() and named, "a promise without a test"
    assert re.sub(r"`[^`]*`|[\s,]", "", holders) == "", "only tests hold a promise"
    for file, test in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert not test or test in tests, f"{file} has no {test}"


def test_all_that_users_ask_for_is_promised_or_refused():
    assert len(ROWS) > 30
    parts = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
    assert [part.splitlines()[0] for part in parts] == [
        "What is never lost",
        "What is never opened",
        "What gives the same twice",
        "What is supported",
        "In a class",
        "What a message means",
    ]
    assert all("Where it ends:" in part for part in parts[:4]), "a promise has an end, which is said"
    lowest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())[1]
    assert f"Python {lowest} and newer" in TEXT
