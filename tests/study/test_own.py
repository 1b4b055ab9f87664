"""A reader's own partition or reducer: what goes in, and what is said of what does not."""

import textwrap

import pytest
import torch

from vtm_lesson.merging import Merge, match
from vtm_lesson.merging.registry import choose
from vtm_lesson.merging.strategies import Context, reduce
from vtm_lesson.partition import n_targets, uniform
from vtm_lesson.study.own import OwnError, load, trials, tried


def newest(n, gamma):
    return torch.arange(n - n_targets(n, gamma), n)


def loudest(context):
    return context.draw(context.keys.norm(dim=-1))


def first_of_each(context):
    """A reducer: the first n_keep tokens stay, and take in everything else."""
    into = torch.arange(context.n).clamp(max=context.n_keep - 1).expand(len(context.keys), -1)
    return Merge.of(into, n_out=context.n_keep)


def test_partitions_and_reducers_become_reducers():
    context = next(trials())[1]
    for function in (newest, loudest):
        assert torch.equal(reduce(tried(function), context()).group, reduce(choose(function), context()).group)
    assert torch.equal(reduce(tried(first_of_each), context()).group, first_of_each(context()).group)


def test_from_a_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("import torch\n\ndef newest(n, n_targets):\n    return torch.arange(n - n_targets, n)\n")
    name, reducer = load(f"{file}:newest")
    context = next(trials())[1]()
    assert name == "newest" and reduce(reducer, context).keep.tolist() == [[9, 10, 11]]


def returns(what):
    return lambda context: what(context)


SAID = [
    (returns(lambda c: torch.arange(c.n)), r"returned \(12,\) for 12 tokens.*= 3 positions"),
    (returns(lambda c: [0, 1, 2]), r"returned list; a partition returns the positions.*\(3,\)"),
    (returns(lambda c: torch.arange(c.n) < 3), "a mask"),
    (returns(lambda c: None), "returned NoneType"),
    (returns(lambda c: uniform(c.n, c.gamma).flip(0)), "ascend"),
    (returns(lambda c: uniform(c.n, c.gamma) + 100), "0 to 11"),
    (returns(lambda c: uniform(c.n, c.gamma).float()), "int64|whole"),
    (returns(lambda c: c.motion[0]), r"returned \(12,\)"),
    (returns(lambda c: 1 / 0), "stops with ZeroDivisionError: division by zero"),
    (returns(lambda c: c.nothing), "stops with AttributeError"),
    (returns(lambda c: torch.randperm(c.n)[: c.n_targets].sort().values), "a second call with the same seed"),
    (returns(lambda c: Merge.identity(len(c.keys), c.n)), "the budget is 3 tokens left of 12"),
    (lambda n, colour: n, "asks for colour"),
    (lambda a, b: a, "asks for a, b"),
]  # fmt: skip


@pytest.mark.parametrize("function, said", SAID, ids=range(len(SAID)))
def test_what_is_wrong_is_told_in_terms_of_the_interface(function, said):
    with pytest.raises(OwnError, match=said):
        tried(function, "mine")


def test_a_function_that_holds_on_a_full_grid_only_is_found():
    def by_frame(context):
        middle = context.height * context.width // 2
        return torch.arange(context.n_targets) * 0 + torch.arange(context.n_targets) + 0 * middle

    def whole(context):
        if context.n != context.frames * context.height * context.width:
            raise RuntimeError("no grid")
        return by_frame(context)

    tried(by_frame)
    with pytest.raises(OwnError, match=r"what is left of 4 x 4 x 4.*RuntimeError: no grid"):
        tried(whole)


def test_outputs_out_of_order_are_refused():
    def backwards(context):
        merge = choose("uniform")(context)
        order = torch.arange(merge.n_out).flip(0).expand(len(context.keys), -1)
        return merge.reordered(order)

    with pytest.raises(OwnError, match="out of order"):
        tried(backwards)


@pytest.mark.parametrize(
    "text, name, said",
    [
        (None, "f", "is not there"),
        ("def g():\n    pass\n", "f", "has no function named f"),
        ("f = 3\n", "f", "has no function named f"),
        ("def f(:\n", "f", r"does not run: SyntaxError: .*line 1"),
        ("import torch\nraise KeyError('x')\n", "f", r"does not run: KeyError: 'x' \(line 2"),
        ("raise SystemExit(3)\n", "f", "does not run: SystemExit"),
        ("def f(context):\n    return context.keys[9]\n", "f", r"IndexError.*line 2: return context.keys\[9\]"),
    ],
)
def test_files_that_do_not_serve_are_named(tmp_path, text, name, said):
    file = tmp_path / "mine.py"
    if text is not None:
        file.write_text(textwrap.dedent(text))
    with pytest.raises(OwnError, match=said):
        load(f"{file}:{name}")


@pytest.mark.parametrize("where", ["mine.py", "mine.py:", ":f", "mine.py:not a name"])
def test_what_names_no_function_is_refused(where):
    with pytest.raises(OwnError, match="names no function"):
        load(where)


def test_trials_are_what_they_say():
    for words, make in trials():
        context = make()
        assert isinstance(context, Context) and f"{context.n} tokens of {len(context.keys)} film" in words
        assert bool((context.position.diff(dim=1) > 0).all()) and torch.equal(make().keys, context.keys)


class WordlessError(ValueError):
    def __str__(self):
        raise RuntimeError("no words")


def wordless(n):
    raise WordlessError


def of_many_words(n):
    raise RuntimeError("x" * 1_000_000)


def changes_keys(keys, n_targets):
    keys.zero_()
    return torch.arange(n_targets)


def changes_positions(context):
    context.position += 1
    return torch.arange(context.n_targets)


def keeps_others(context):
    merge = match(context.keys, context.draw(context.motion), context.n_merge)
    return Merge(merge.group, (merge.keep + 1).clamp(max=context.n - 1))


def weighs_with(value):
    def weighs(context):
        merge = match(context.keys, context.draw(context.motion), context.n_merge)
        return Merge(merge.group, merge.keep, weight=torch.full(merge.group.shape, value))

    return weighs


@pytest.mark.parametrize(
    "function, said",
    [
        (lambda n: exit(), "stops with SystemExit"),
        (lambda n: (_ for _ in ()).throw(GeneratorExit), "stops with GeneratorExit"),
        (wordless, "stops with WordlessError: no message"),
        (of_many_words, r"RuntimeError: x{1000} \.\.\."),
        (changes_keys, "changed its input, keys; work on a copy"),
        (changes_positions, "changed its input, position; work on a copy"),
        (keeps_others, "keep names tokens that are not in the groups"),
        (weighs_with(float("nan")), "weight holds negative or non-finite numbers"),
        (weighs_with(-1.0), "weight holds negative or non-finite numbers"),
    ],
)
def test_what_would_spoil_a_study_is_found_before_it(function, said):
    with pytest.raises(OwnError, match=said):
        tried(function, "mine")


def test_every_trial_is_told_by_the_function_s_name():
    def fails_late(n, n_targets):
        return torch.arange(n_targets) if n < 60 else None

    with pytest.raises(OwnError, match=r"^fails_late, tried on 64 tokens"):
        tried(fails_late)


def test_ctrl_c_stops_a_trial():
    def stopped(n):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tried(stopped)
