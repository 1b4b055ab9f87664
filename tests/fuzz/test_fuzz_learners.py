"""What learners may hand in: a check says in words what is wrong, whatever a function gives, raises or does."""

import collections
import contextlib
import decimal
import fractions
import io
import itertools
import math
import sys

import numpy as np
import torch
from fuzzing import SEEDS, fuzz
from hypothesis import strategies as st

from vtm_lesson import checks
from vtm_lesson.merging import Merge
from vtm_lesson.study import own
from vtm_lesson.teaching.contents import LESSONS

EXERCISES = [name for _, names in LESSONS.values() for name in names]


class Fails:
    """An object that fails whatever is asked of it."""

    def fail(self, *_):
        raise RuntimeError("not this")

    __eq__ = __str__ = __repr__ = __len__ = __iter__ = __bool__ = __float__ = __array__ = __getattr__ = fail
    __hash__ = None


class Unspeakable(Exception):
    def __str__(self):
        raise ValueError("no words")


def circle():
    held = [1.0]
    held.append(held)
    return held


# Values that no exercise asks for.
WRONG = {
    "None": lambda: None,
    "words": lambda: "four",
    "bytes": lambda: b"four",
    "a huge whole number": lambda: 10**400,
    "a huge negative number": lambda: -(10**5000),
    "a fraction": lambda: fractions.Fraction(10**30, 7),
    "a decimal": lambda: decimal.Decimal("NaN"),
    "a complex number": lambda: 1 + 2j,
    "infinity": lambda: math.inf,
    "a generator": lambda: (i for i in range(3)),
    "a generator without end": lambda: itertools.count(),
    "a range": lambda: range(1000),
    "a range without end": lambda: range(10**12),
    "a function": lambda: print,
    "a class": lambda: torch.Tensor,
    "a dictionary": lambda: {"a": torch.ones(2)},
    "a set": lambda: {1, 2},
    "a list that holds itself": circle,
    "a list of lists of unequal length": lambda: [[1], [2, 3]],
    "a list of nothing": lambda: [None, None],
    "a named tuple": lambda: collections.namedtuple("Pair", "a b")(Fails(), 2),
    "what fails": Fails,
    "a tensor without numbers": lambda: torch.empty(3, device="meta"),
    "a sparse tensor": lambda: torch.eye(3).to_sparse(),
    "a compressed tensor": lambda: torch.eye(3).to_sparse_coo().coalesce(),
    "a nested tensor": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
    "a quantized tensor": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "a complex tensor": lambda: torch.ones(3, dtype=torch.complex64),
    "a conjugated tensor": lambda: torch.ones(3, dtype=torch.complex64).conj(),
    "a tensor with a gradient": lambda: torch.full((7, 7, 7, 7), 3.5, requires_grad=True),
    "a tensor of no dtype's range": lambda: torch.tensor([2**63 - 1]),
    "half a tensor": lambda: torch.full((2, 2), 77.0, dtype=torch.float16),
    "a tensor of bytes": lambda: torch.ones(5, 1, 5, dtype=torch.uint8),
    "an array of objects": lambda: np.array([None, Fails], dtype=object),
    "an array of records": lambda: np.zeros(3, dtype=[("a", "f4"), ("b", "i8")]),
    "an array of dates": lambda: np.array(["2020-01-01"], dtype="datetime64[D]"),
    "a masked array": lambda: np.ma.masked_array([1.0, 2.0], mask=[True, False]),
    "an array of words": lambda: np.array(["a", "b"]),
    "an array turned round": lambda: np.arange(6.0)[::-2],
    "an array of long doubles": lambda: np.ones(3, dtype=np.longdouble),
}
ERRORS = {
    "SystemExit": lambda: SystemExit(3),
    "RecursionError": lambda: RecursionError("too deep"),
    "MemoryError": MemoryError,
    "StopIteration": StopIteration,
    "unspeakable": Unspeakable,
    "long": lambda: ValueError("x" * 10**6),
    "of many lines": lambda: RuntimeError("one\n" * 500),
    "unprintable": lambda: ValueError("\udcff"),
    "of several": lambda: ExceptionGroup("several", [ValueError(1), TypeError(2)]),
    "AssertionError": lambda: AssertionError("no"),
}


def changed(result, chance):
    """A result with one of its numbers changed by far more than any tolerance; None where it has none."""
    if isinstance(result, torch.Tensor):
        if not result.numel():
            return None
        result = result.detach().clone()
        flat, i = result.view(-1), int(chance.integers(result.numel()))
        flat[i] = not flat[i] if result.dtype == torch.bool else flat[i] + 1 + flat[i].abs()
        return result if not result.is_floating_point() or flat[i].isfinite() else None
    if isinstance(result, (tuple, list)):
        order = chance.permutation(len(result)).tolist()
        for i in order:
            other = changed(result[i], chance)
            if other is not None:
                return type(result)([*result[:i], other, *result[i + 1 :]])
        return None
    if isinstance(result, (bool, str)) or result is None:
        return None
    return result + 1 + abs(result) if math.isfinite(result) else None


def other_form(result):
    """The same values in another form: NumPy's numbers and arrays, lists in place of tuples."""
    if isinstance(result, torch.Tensor):
        return result.detach().numpy().copy()
    if isinstance(result, (tuple, list)):
        return [other_form(part) for part in result]
    if isinstance(result, bool) or not isinstance(result, (int, float)):
        return result
    return np.float64(result) if isinstance(result, float) else np.int64(result)


def spoil(values):
    """Change the first tensor or list among these in place; whether there was one."""
    for value in values:
        if isinstance(value, torch.Tensor) and value.numel() and value.dtype != torch.bool:
            value.add_(1)
            return True
        if isinstance(value, list):
            value.append(0)
            return True
    return False


@fuzz(
    cases=60,
    name=st.sampled_from(EXERCISES),
    what=st.sampled_from(
        [*[["gives", k] for k in WRONG], *[["raises", k] for k in ERRORS], *[["changes", ""]] * 12, *[["form", ""]] * 6,
         *[["spoils", ""]] * 3, *[["prints", ""]] * 2]
    ),
    begins=st.integers(0, 4),
    seed=SEEDS,
)  # fmt: skip
def test_a_check(name, what, begins, seed):
    """Right up to some call, then odd."""
    exercise = getattr(checks, name).variant(seed % 1000)
    chance, calls, odd = np.random.default_rng(seed), itertools.count(), []

    def given(*arguments):
        right = exercise.answer(*arguments)
        if next(calls) < begins:
            return right
        kind, which = what
        if kind == "raises":
            odd.append(True)
            raise ERRORS[which]()
        if kind == "gives":
            odd.append(True)
            return WRONG[which]()
        if kind == "changes":
            other = changed(right, chance)
            odd.append(other is not None)
            return right if other is None else other
        if kind == "spoils":
            odd.append(spoil(arguments))
        if kind == "prints":
            print("\udcff" + "x" * 10**5)
            print(*range(1000), file=sys.stderr)
        return other_form(right) if kind == "form" else right

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        problem = exercise.problem(given)
    if any(odd) and not (exercise.judge and what[0] == "changes"):  # several answers are right there
        assert problem is not None, f"a wrong answer is called right: {what[0]}"
    if what[0] in ("form", "prints") and exercise.judge is None:
        kindly = problem is not None and "the numbers are right" in problem  # where a gradient is wanted, say
        assert problem is None or kindly, "a right answer is refused"
    if problem is None:
        return
    assert problem.startswith(("✗", "…")) and len(problem) < 20_000, "no words for a learner"
    calls = itertools.count()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        exercise(given)
        exercise.show()
        exercise.hint()


# ---------------------------------------------------------------------------------------- partitions and reducers


def whole(n, n_targets):
    return torch.arange(n)[:n_targets]


ODD = {
    "targets": whole,
    "one too many": lambda n, n_targets: torch.arange(min(n, n_targets + 1)),
    "twice the same": lambda n_targets: torch.zeros(n_targets, dtype=torch.int64),
    "downwards": lambda n, n_targets: torch.arange(n)[:n_targets].flip(0),
    "outside": lambda n, n_targets: torch.arange(n)[:n_targets] + n,
    "negative": lambda n_targets: -torch.arange(n_targets).flip(0) - 1,
    "floats": lambda n_targets: torch.arange(n_targets).float(),
    "not whole": lambda n_targets: torch.arange(n_targets) + 0.5,
    "NaN": lambda n_targets: torch.full((n_targets,), math.nan),
    "small numbers": lambda n_targets: torch.arange(n_targets, dtype=torch.uint8),
    "int32": lambda n_targets: torch.arange(n_targets, dtype=torch.int32),
    "a mask": lambda n, n_targets: torch.arange(n) < n_targets,
    "a list": lambda n_targets: list(range(n_targets)),
    "an array": lambda n_targets: np.arange(n_targets),
    "chance": lambda n, n_targets: torch.randperm(n)[:n_targets].sort().values,
    "chance by the generator": lambda context: context.draw(torch.zeros(context.keys.shape[:2])),
    "changes the keys": lambda keys, n_targets: (keys.zero_(), torch.arange(n_targets))[1],
    "changes the position": lambda position, n_targets: (position.zero_(), torch.arange(n_targets))[1],
    "no argument": lambda: torch.arange(3),
    "an argument of no name": lambda n, loudness: torch.arange(n),
    "meta": lambda n_targets: torch.empty(n_targets, dtype=torch.int64, device="meta"),
    "sparse": lambda n_targets: torch.arange(n_targets).to_sparse(),
    "a Merge": lambda keys, n_keep: kept(keys, n_keep),
    "a Merge of others": lambda keys, n_keep: kept(keys[:, :1], 1),
    "a Merge too large": lambda keys: Merge.identity(len(keys), keys.shape[1]),
    "a Merge of floats": lambda keys, n_keep: Merge(kept(keys, n_keep).group.float(), kept(keys, n_keep).keep),
    "a Merge without order": lambda keys, n_keep: kept(keys, n_keep).reordered(back(len(keys), n_keep)),
    "a Merge with holes": lambda keys, n_keep: Merge(kept(keys, n_keep).group * 0, kept(keys, n_keep).keep),
    "a Merge that keeps others": lambda keys, n_keep: Merge(kept(keys, n_keep).group, kept(keys, n_keep).keep + 1),
    "a Merge of weights that are none": lambda keys, n_keep: Merge(
        kept(keys, n_keep).group, kept(keys, n_keep).keep, weight=torch.full(keys.shape[:2], math.nan)
    ),
}
RIGHT = ("targets", "int32", "chance by the generator", "a Merge")


def kept(keys, n_keep):
    """The first tokens stay, and all others go into the last of them."""
    batch, n = keys.shape[:2]
    group = torch.arange(n).clamp(max=n_keep - 1).expand(batch, n).contiguous()
    return Merge(group, torch.arange(n_keep).expand(batch, n_keep).contiguous())


def back(batch, n_keep):
    return torch.arange(n_keep).flip(0).expand(batch, n_keep)


@fuzz(
    cases=50,
    what=st.sampled_from(
        [*[["is", k] for k in ODD] * 3, *[["gives", k] for k in WRONG], *[["raises", k] for k in ERRORS]]
    ),
    begins=st.integers(0, 12),
)
def test_a_partition_or_a_reducer_of_ones_own(what, begins):
    """What `tried` lets through does what a partition or a reducer has to; all else is told by its own error."""
    kind, which = what
    calls = itertools.count()

    def later(n, n_targets):
        if next(calls) < begins:
            return whole(n, n_targets)
        if kind == "raises":
            raise ERRORS[which]()
        return WRONG[which]()

    function = ODD[which] if kind == "is" else later
    try:
        reducer = own.tried(function, "mine")
    except own.OwnError as error:
        assert str(error).startswith("mine") and len(str(error)) < 5000, "no words for a learner"
        assert which not in RIGHT, "what is right is refused"
        return
    assert which in RIGHT or kind != "is", f"let through: {which}"
    if kind != "is":
        assert next(calls) <= begins, f"let through: {which}"
        return
    for _, make in own.trials():
        context = make()
        merge = reducer(context)
        for b in range(len(context.keys)):
            group, keep = merge.group[b].tolist(), merge.keep[b].tolist()
            assert len(keep) == context.n_keep and keep == sorted(set(keep))
            assert [group[i] for i in keep] == list(range(len(keep)))
