"""Docstrings of public names have the form of numpydoc: a first sentence, sections, every parameter, an example.

Whether the examples are true is for test_doctests.py.
"""

import dataclasses
import importlib.util
import inspect
import pkgutil
import re

import pytest

import vtm_lesson as vtm

# In the order in which numpydoc wants them.
SECTIONS = [
    "Parameters", "Attributes", "Methods", "Returns", "Yields", "Raises", "Warns", "See Also", "Notes", "References",
    "Examples",
]  # fmt: skip
# All names of the front door but the modules, which are not loaded for this.
FRONT = [f"vtm_lesson.{name}" for name in vtm.__all__ if importlib.util.find_spec(f"vtm_lesson.{name}") is None]
# One step behind the front door.
BEHIND = [
    f"vtm_lesson.{name}"
    for name in (
        "encoders.FrameEncoder.encode", "encoders.PatchEncoder", "encoders.PatchEncoder.encode",
        "encoders.TimmEncoder", "encoders.add_options", "encoders.from_options", "films.Film", "films.Film.patches",
        "films.make", "films.sample", "films.write", "hosts.apply", "hosts.reduce_video_tokens", "hosts.remove",
        "hosts.shorten", "hosts.supported", "partition.n_targets", "study.longform.Config", "study.longform.Score",
        "study.longform.experiment", "study.own.tried", "study.probe.linear_probe", "study.probe.retain",
        "tome.apply", "tome.patch_merge", "tome.remove", "tome.schedule", "training.Evaluation",
        "training.TrainingRun", "video.Clip.patches",
    )
]  # fmt: skip


def sections(docstring: str) -> dict[str, str]:
    """Title -> text; what stands before the first title has the title ""."""
    before, *rest = re.split(r"^(\S.*)\n-{3,}\n", docstring, flags=re.MULTILINE)
    return {"": before, **dict(zip(rest[::2], rest[1::2], strict=True))}


def names(section: str) -> list[str]:
    """The names that a section explains: those of its lines that are not indented, `name : type` or `a, b : type`."""
    heads = re.findall(r"^\S.*", section, flags=re.MULTILINE)
    return [name.strip().lstrip("*") for head in heads for name in head.split(" :")[0].split(",")]


def mistakes(thing) -> list[str]:
    """What keeps the docstring of a function or class from being numpydoc's."""
    docstring = inspect.cleandoc(thing.__doc__ or "")
    first, _, second = docstring.partition("\n")
    found = sections(docstring)
    titles = [title for title in found if title]
    wrong = []
    if not first.endswith("."):
        wrong.append(f"the first line is no sentence: {first!r}")
    if second and not second.startswith("\n"):
        wrong.append("the first line goes on in the second; put an empty line after it")
    if titles != [title for title in SECTIONS if title in titles]:
        wrong.append(f"sections are {titles}; known, in this order, are {SECTIONS}")
    if ">>> " not in found.get("Examples", ""):
        wrong.append("there is no example")
    if dataclasses.is_dataclass(thing):
        expected, given = [field.name for field in dataclasses.fields(thing)], found.get("Attributes")
        given = found.get("Parameters") if given is None else given
    elif isinstance(thing, type) and issubclass(thing, Exception):
        expected, given = [], found.get("Parameters")
    else:
        call = inspect.signature(thing)
        expected, given = [name for name in call.parameters if name != "self"], found.get("Parameters")
        returns = not isinstance(thing, type) and call.return_annotation not in (call.empty, None, "None")
        if returns and not {"Returns", "Yields"} & found.keys():
            wrong.append("it does not say what is returned")
    if names(given or "") != expected:
        wrong.append(f"parameters are {expected}; the docstring has {names(given or '')}")
    return wrong


@pytest.mark.parametrize("name", FRONT + BEHIND)
def test_a_public_name_has_a_docstring_in_numpydocs_form(name):
    assert mistakes(pkgutil.resolve_name(name)) == []


def well(keys, n_merge=None) -> int:
    """Count something.

    Parameters
    ----------
    keys : Tensor
        (B, N, D); a colon here
            n : is no parameter
    n_merge : int, optional
        R.

    Returns
    -------
    int

    Examples
    --------
    >>> 1
    1
    """


def changed(old: str, new: str):
    """The function `well` with another docstring."""
    function = lambda keys, n_merge=None: 0  # noqa: E731
    assert old in well.__doc__
    function.__doc__ = well.__doc__.replace(old, new)
    function.__annotations__["return"] = int
    return function


def test_a_docstring_in_form_passes():
    assert mistakes(well) == []


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("something.", "something", "sentence"),
        ("something.\n", "something.\n    And\n", "empty line"),
        ("Returns", "Return", "sections"),
        ("Returns\n    -------\n    int\n", "", "returned"),
        ("n_merge :", "merge :", "parameters"),
        (">>> 1", "1", "example"),
        ("    n_merge : int, optional\n        R.\n", "", "parameters"),
    ],
)
def test_a_docstring_out_of_form_is_found(old, new, word):
    assert any(word in mistake for mistake in mistakes(changed(old, new)))
