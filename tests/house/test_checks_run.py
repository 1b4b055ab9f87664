"""The checks that `make test` runs before the tests do find faults: each is given one, in a copy."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and the settings of the checks, in another folder."""
    shutil.copytree(ROOT / "vtm_lesson", tmp_path / "vtm_lesson", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", ".importlinter"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def call(folder: Path, *command) -> tuple[int, str]:
    """A tool's exit code, and what it says."""
    tool = Path(sys.executable).parent / command[0]
    done = subprocess.run([tool, *command[1:]], cwd=folder, capture_output=True, text=True)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def plant(path: Path, line: str) -> None:
    assert path.is_file(), "the fault needs another place"
    path.write_text(f"{path.read_text(encoding='utf-8')}\n\n{line}\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "line", "words"),
    [
        ("merging/merge.py", "from ..films import making", "vtm_lesson.merging.merge -> vtm_lesson.films.making"),
        ("network/tokens.py", "from ..study import report", "vtm_lesson.network.tokens -> vtm_lesson.study.report"),
        ("merging/merge.py", "import numpy", "vtm_lesson.merging is not allowed to import numpy"),
    ],
)
def test_an_import_up_the_floors_is_found(copy, file, line, words):
    code, said = call(copy, "lint-imports", "--no-cache")
    assert code == 0 and "0 broken" in said, said
    plant(copy / "vtm_lesson" / file, line)
    code, said = call(copy, "lint-imports", "--no-cache")
    assert code != 0 and words in said, said


@pytest.mark.parametrize(
    ("file", "line", "words"),
    [
        ("films/cast.py", 'planted: int = "six"', "Incompatible types in assignment"),
        ("merging/merge.py", "def planted(x): return x", "Function is missing a type annotation"),
        ("network/tokens.py", "def planted(x): return x", "Function is missing a type annotation"),
        ("hosts/timm_vit.py", "def planted(x: list) -> None: ...", "Missing type arguments for generic type"),
    ],
)
def test_a_type_error_is_found(copy, file, line, words):
    """Alone, without what the file imports: the whole package takes mypy half a minute, and `make test` checks it."""
    path = copy / "vtm_lesson" / file
    plant(path, line)
    number = len(path.read_text(encoding="utf-8").splitlines())
    code, said = call(copy, "mypy", "--follow-imports=skip", "--cache-dir", copy / "cache", path.relative_to(copy))
    assert code != 0 and f"{path.name}:{number}: error: {words}" in said, said


@pytest.mark.parametrize(
    ("command", "line", "words"),
    [
        (["format", "--check", "--diff"], "planted = {'a':1}", "1 file would be reformatted"),
        (["check"], "planted = [x for x in range(3)]", "C416"),
        (["check"], "planted = vtm._HOMES", "SLF001"),
    ],
)
def test_a_line_out_of_form_is_found(copy, command, line, words):
    path = copy / "vtm_lesson" / "paths.py"
    code, said = call(copy, "ruff", *command, path)
    assert code == 0, said
    plant(path, line)
    code, said = call(copy, "ruff", *command, path)
    assert code != 0 and words in said, said


def pytest_in(folder: Path, *options: str) -> tuple[int, str]:
    return call(folder, "pytest", "-q", "-p", "no:cacheprovider", *options)


def test_in_test_all_a_test_without_its_tool_fails_where_it_is_asked_to(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # to start sooner
    shutil.copy(ROOT / "tests" / "all" / "conftest.py", tmp_path)
    skip = "import pytest\n\npytest.skip('no tool', allow_module_level=True)\n"
    (tmp_path / "test_module.py").write_text(skip)
    (tmp_path / "test_within.py").write_text(
        "import pytest\n\ndef test_it():\n    pytest.skip('no tool')\n\n"
        "@pytest.mark.skipif(True, reason='no tool')\ndef test_marked(): ...\n"
    )
    monkeypatch.delenv("VTM_TEST_ALL", raising=False)
    code, said = pytest_in(tmp_path)
    assert code == 0 and "3 skipped" in said, said
    monkeypatch.setenv("VTM_TEST_ALL", "1")
    code, said = pytest_in(tmp_path, "--continue-on-collection-errors")
    assert code == 1 and "nothing is skipped: no tool" in said and "1 failed, 2 errors" in said, said


def test_a_warning_in_a_test_is_an_error(copy, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (copy / "test_planted.py").write_text("import warnings\n\ndef test_it():\n    warnings.warn('planted')\n")
    code, said = pytest_in(copy, "test_planted.py")
    assert code == 1 and "UserWarning: planted" in said and "1 failed" in said, said
