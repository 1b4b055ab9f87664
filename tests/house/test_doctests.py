"""The examples of the front door's names are true: every function and class has one, and it runs as it stands.

Nothing is given to them: an example imports what it needs, so that a reader can paste it. Their form is for
test_docstrings.py.
"""

import doctest
import importlib.util
import inspect

import pytest

import vtm_lesson as vtm

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# All names of the front door but the modules, which are not loaded for this.
NAMES = [name for name in vtm.__all__ if importlib.util.find_spec(f"vtm_lesson.{name}") is None]


def failures(thing: object, name: str) -> str:
    """What doctest says of the examples of a function, or of a class and its methods; "" where all are true."""
    assert ">>>" in (inspect.getdoc(thing) or ""), f"{name} has no example: write `>>> ...` into its docstring"
    said: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=FLAGS)
    for test in doctest.DocTestFinder(exclude_empty=True).find(thing, name, module=False, globs={}):
        runner.run(test, out=said.append)
    assert runner.tries > 0
    return "".join(said)


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_name_is_true(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # an example may write a file, and toy films are kept for the next time
    monkeypatch.setenv("VTM_LESSON_CACHE", str(tmp_path))
    said = failures(getattr(vtm, name), name)
    assert not said, said


def six() -> int:
    """Six.

    >>> 2 * 3
    6
    """
    return 6


def test_wrong_and_missing_examples_are_found():
    assert failures(six, "six") == ""
    for wrong, word in [("7", "Got:"), ("6\n    >>> torch.ones(1)", "NameError")]:
        other = lambda: None  # noqa: E731
        other.__doc__ = six.__doc__.replace("6", wrong)
        assert word in failures(other, "other")
    with pytest.raises(AssertionError, match="no example"):
        failures(lambda: 6, "nothing")
