"""`checks.NAME.mine()`: whose function the later cells call, in one notebook and from one notebook to the next."""

import json
import math
import textwrap

import pytest
import torch

from vtm_lesson import checks
from vtm_lesson.teaching import carried, comparing, exercise, progress
from vtm_lesson.teaching.contents import LESSONS, lesson_of

RIGHT = """
def alternate(n):
    return torch.arange(0, n, 2), torch.arange(1, n, 2)
"""


@pytest.fixture(autouse=True)
def learner(monkeypatch, tmp_path):
    """A learner's folder, nothing recorded, and no function given to a check before."""
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.setenv("VTM_WORK", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress, "_session", {})
    (tmp_path / progress.MARK).write_text("{}")
    another_notebook(monkeypatch)
    return tmp_path


def another_notebook(monkeypatch):
    """What a fresh kernel knows: nothing of what this one was given."""
    for _, names in LESSONS.values():
        for name in names:
            monkeypatch.setattr(getattr(checks, name), "_own", None)
            monkeypatch.setattr(getattr(checks, name), "_wrong", False)
            monkeypatch.setattr(getattr(checks, name), "_form", None)
            monkeypatch.setattr(getattr(checks, name), "tries", 0)
            monkeypatch.setattr(getattr(checks, name), "_handed_out", False)
    monkeypatch.setattr(carried, "handed_out", {})
    monkeypatch.setattr(exercise, "handed_out", carried.handed_out)


def written(tmp_path, monkeypatch, text, name):
    """A function as a notebook has it: its lines can be found, its module is __main__."""
    path = tmp_path / f"cell_of_{name}.py"
    path.write_text(textwrap.dedent(text))
    names = {"__name__": "__main__", "torch": torch, "math": math, "checks": checks}
    exec(compile(path.read_text(), str(path), "exec"), names)
    return names[name]


def test_unsolved_gives_the_packages(capsys):
    assert checks.alternate.mine() is checks.alternate.answer
    assert capsys.readouterr().out == "alternate: the package's, as yours is not solved yet.\n"


def test_what_passes_is_used(learner, monkeypatch, capsys):
    own = written(learner, monkeypatch, RIGHT, "alternate")
    checks.alternate(own)
    assert checks.alternate.mine() is own
    assert capsys.readouterr().out.endswith("alternate: yours.\n")


def test_what_does_not_pass_is_not_used(learner, monkeypatch, capsys):
    checks.alternate(lambda n: (torch.arange(0, n, 2), torch.arange(0, n, 2)))
    assert checks.alternate.mine(say=False) is checks.alternate.answer
    checks.alternate.mine()
    assert capsys.readouterr().out.endswith("alternate: the package's, as yours does not pass its check.\n")


def test_a_wrong_answer_after_a_right_one_is_not_used(learner, monkeypatch):
    checks.alternate(written(learner, monkeypatch, RIGHT, "alternate"))
    checks.alternate(lambda n: (torch.arange(0, n, 2), torch.arange(0, n, 2)))
    assert checks.alternate.mine(say=False) is checks.alternate.answer


def test_an_unsolved_cell_does_not_take_away_what_was_solved_before(learner, monkeypatch):
    def stub(n):
        raise NotImplementedError("exercise not solved yet")

    own = written(learner, monkeypatch, RIGHT, "alternate")
    checks.alternate(own)
    checks.alternate(stub)
    assert checks.alternate.mine(say=False) is own


def test_another_notebook_uses_it_too(learner, monkeypatch, capsys):
    checks.alternate(written(learner, monkeypatch, RIGHT.replace("def", "# mine\ndef"), "alternate"))
    another_notebook(monkeypatch)
    own = checks.alternate.mine()
    assert capsys.readouterr().out.endswith("alternate: yours, of lesson 02.\n")
    assert own is not checks.alternate.answer and own.__name__ == "alternate"
    assert [part.tolist() for part in own(5)] == [[0, 2, 4], [1, 3]]


def test_helpers_constants_and_modules_go_along(learner, monkeypatch):
    text = """
    STEP = 2

    def every_second(start, n):
        return torch.tensor([i for i in range(n) if i % STEP == start], dtype=torch.int64)

    def alternate(n: int, first=STEP) -> tuple[torch.Tensor, torch.Tensor]:
        return every_second(0, n), every_second(math.floor(1.5), n)
    """
    checks.alternate(written(learner, monkeypatch, text, "alternate"))
    another_notebook(monkeypatch)
    assert checks.alternate.mine(say=False)(4)[1].tolist() == [1, 3]
    assert checks.alternate.mine(say=False) is not checks.alternate.answer


def test_a_function_of_an_earlier_exercise_is_asked_for_again(learner, monkeypatch):
    checks.alternate(written(learner, monkeypatch, RIGHT, "alternate"))
    text = """
    my_halves = checks.alternate.mine(say=False)

    def nearest_target(keys, sources, targets):
        my_halves(4)
        unit = torch.nn.functional.normalize(keys, dim=1)
        best = (unit[sources] @ unit[targets].T).max(dim=1)
        return best.indices, best.values
    """
    checks.nearest_target(written(learner, monkeypatch, text, "nearest_target"))
    stored = json.loads((learner / progress.FILE).read_text())["solved"]["nearest_target"]["code"]
    assert "my_halves = checks.alternate.mine(say=False)" in stored
    another_notebook(monkeypatch)
    assert checks.nearest_target.mine(say=False).__globals__["my_halves"].__name__ == "alternate"


def test_a_thing_that_a_module_made_is_imported_again(learner, monkeypatch):
    text = """
    import statistics
    from scipy.stats import t as student

    def mean_interval(values):
        half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
        return statistics.mean(values) - half, statistics.mean(values) + half
    """
    checks.mean_interval(written(learner, monkeypatch, text, "mean_interval"))
    assert "from scipy.stats import t as student" in progress.stored_code("mean_interval")
    another_notebook(monkeypatch)
    assert checks.mean_interval.mine(say=False) is not checks.mean_interval.answer


def test_what_only_its_notebook_has_is_said(learner, monkeypatch, capsys):
    text = """
    table = torch.arange(1000)

    def alternate(n):
        return table[0:n:2], table[1:n:2]
    """
    checks.alternate(written(learner, monkeypatch, text, "alternate"))
    another_notebook(monkeypatch)
    assert checks.alternate.mine() is checks.alternate.answer
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == (
        "alternate: the package's: yours of lesson 02 works there only, as it uses table, a Tensor that exists in its "
        "own notebook only."
    )


def test_a_local_name_that_a_notebook_has_too_goes_along_without_it(learner, monkeypatch):
    text = """
    n = torch.arange(7)

    def alternate(n):
        return torch.arange(0, n, 2), torch.arange(1, n, 2)
    """
    checks.alternate(written(learner, monkeypatch, text, "alternate"))
    another_notebook(monkeypatch)
    assert checks.alternate.mine(say=False) is not checks.alternate.answer


@pytest.mark.parametrize("broken", ["def alternate(n):\n    return n", "alternate = 3", "this is no Python", "1 / 0"])
def test_a_stored_text_that_is_not_right_any_more_is_not_used(learner, monkeypatch, capsys, broken):
    record = {"solved": {"alternate": {"on": "2026-01-01", "code": broken}}}
    (learner / progress.FILE).write_text(json.dumps(record))
    assert checks.alternate.mine() is checks.alternate.answer
    assert "as yours of lesson 02 does not pass its check here." in capsys.readouterr().out


def test_a_function_that_was_handed_out_is_written_down_in_full_when_it_passes_again(learner, monkeypatch):
    own = written(learner, monkeypatch, RIGHT, "alternate")
    for _ in range(2):
        checks.alternate(own)
        assert checks.alternate.mine(say=False) is own
    another_notebook(monkeypatch)
    assert checks.alternate.mine(say=False)(5)[1].tolist() == [1, 3]
    assert checks.alternate.mine(say=False) is not checks.alternate.answer


def test_the_packages_function_is_not_taken_for_the_learners(learner, capsys):
    checks.alternate(checks.alternate.mine(say=False))
    assert "this is the package's function" in capsys.readouterr().out
    assert not (learner / progress.FILE).exists()


def test_what_is_stored_is_what_passed_last(learner, monkeypatch):
    checks.alternate(written(learner, monkeypatch, RIGHT, "alternate"))
    first = json.loads((learner / progress.FILE).read_text())["solved"]["alternate"]
    checks.alternate(written(learner, monkeypatch, RIGHT.replace("(0, n, 2)", "(0, n, 1 + 1)"), "alternate"))
    second = json.loads((learner / progress.FILE).read_text())["solved"]["alternate"]
    assert first["on"] == second["on"] and "1 + 1" in second["code"] and "1 + 1" not in first["code"]


def test_an_open_exercise_that_another_calls_is_named(learner, monkeypatch, capsys):
    text = """
    def alternate(n):
        raise NotImplementedError("exercise not solved yet")

    def tome_step(x, keys, r):
        sources, targets = alternate(len(x))
    """
    checks.tome_step(written(learner, monkeypatch, text, "tome_step"))
    said = capsys.readouterr().out
    assert said.startswith("… tome_step calls alternate, which is not solved yet") and "checks.alternate.mine()" in said
    assert checks.tome_step.tries == 0


FORMS = {
    "lists": "[x[group == g].mean(0).tolist() for g in range(int(group.max()) + 1)]",
    "NumPy": "np.stack([x[group == g].numpy().mean(0) for g in range(int(group.max()) + 1)])",
    "float64": "torch.stack([x[group == g].double().mean(0) for g in range(int(group.max()) + 1)])",
}


@pytest.mark.parametrize("form", FORMS)
def test_right_results_of_another_form_come_in_the_packages(learner, monkeypatch, form):
    """Later cells go on computing with them."""
    text = f"import numpy as np\n\ndef group_mean(x, group):\n    return {FORMS[form]}\n"
    checks.group_mean(written(learner, monkeypatch, text, "group_mean"))
    x, group = torch.randn(4, 3), torch.tensor([0, 1, 0, 1])
    for dtype in (torch.float32, torch.float64):
        own = checks.group_mean.mine(say=False)(x.to(dtype), group)
        assert own.dtype == dtype
        torch.testing.assert_close(own, checks.group_mean.answer(x.to(dtype), group), rtol=1e-5, atol=1e-6)
    another_notebook(monkeypatch)
    assert checks.group_mean.mine(say=False)(x, group).dtype == torch.float32


def test_positions_as_lists_and_numbers_as_numpy(learner, monkeypatch):
    text = "def alternate(n):\n    return [*range(0, n, 2)], [*range(1, n, 2)]\n"
    checks.alternate(written(learner, monkeypatch, text, "alternate"))
    sources, targets = checks.alternate.mine(say=False)(5)
    assert sources.dtype == targets.dtype == torch.int64 and targets.tolist() == [1, 3]
    text = "import numpy as np\n\ndef tokens_in_film(f, size, patch):\n    return np.int64(f * (size // patch) ** 2)"
    checks.tokens_in_film(written(learner, monkeypatch, text, "tokens_in_film"))
    assert type(checks.tokens_in_film.mine(say=False)(2, 16, 8)) is int


def test_a_tensor_keeps_its_gradient():
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)
    made = comparing.in_form(2 * x, torch.zeros(1), (torch.zeros(2),))
    assert made.dtype == torch.float32 and made.requires_grad


def test_the_second_asking_says_the_same_as_the_first(learner, monkeypatch, capsys):
    checks.alternate(written(learner, monkeypatch, RIGHT, "alternate"))
    another_notebook(monkeypatch)
    for _ in range(2):
        checks.alternate.mine()
    assert capsys.readouterr().out.count("yours, of lesson 02.") == 2


def test_a_lambda_passes_and_is_used_in_its_own_notebook_only(learner, monkeypatch, capsys):
    own = written(
        learner, monkeypatch, "alternate = lambda n: (torch.arange(0, n, 2), torch.arange(1, n, 2))", "alternate"
    )
    checks.alternate(own)
    assert checks.alternate.mine(say=False) is own
    another_notebook(monkeypatch)
    assert checks.alternate.mine() is checks.alternate.answer
    assert "is not written with def" in capsys.readouterr().out


def test_a_function_that_calls_itself_goes_along(learner, monkeypatch):
    text = """
    def alternate(n):
        if n == 0:
            return torch.arange(0), torch.arange(0)
        before = alternate(n - 1)
        halves = [*before]
        halves[(n - 1) % 2] = torch.cat([before[(n - 1) % 2], torch.tensor([n - 1])])
        return halves[0], halves[1]
    """
    checks.alternate(written(learner, monkeypatch, text, "alternate"))
    another_notebook(monkeypatch)
    assert checks.alternate.mine(say=False)(5)[0].tolist() == [0, 2, 4]


def test_a_function_made_inside_another_is_not_written_down():
    def outer(step):
        def inner(n):
            return n * step

        return inner

    with pytest.raises(carried.NotPortableError, match="inside of another function"):
        carried.portable(outer(3), "inner")


def test_a_teachers_grading_stores_nothing(learner, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    checks.alternate(written(learner, monkeypatch, RIGHT, "alternate"))
    assert not (learner / progress.FILE).exists()


def test_each_exercise_knows_its_lesson():
    assert [lesson_of("group_mean"), lesson_of("alternate"), lesson_of("no_such")] == ["00", "02", "?"]
