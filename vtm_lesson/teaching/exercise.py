"""What an exercise check is: the learner's function against the right one, on random and on awkward input.

The checks themselves stand in `lessons_*.py`, and are called through `vtm_lesson.checks`.
"""

from __future__ import annotations

import contextlib
import contextvars
import copy
import dataclasses
import functools
import inspect
import io
import os
import re
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .carried import NotPortableError, handed_out, made_from, portable
from .comparing import (
    ROW,
    STOPS,
    OtherKind,
    as_text,
    count_of,
    difference,
    error_text,
    has_form,
    in_form,
    in_full,
    is_endless,
    odd_kind,
    outcome,
    same,
)
from .contents import lesson_of
from .progress import record_solved, stored_code

Case = tuple[str, tuple]  # a few words that say what is special about it, and the arguments

# Added to the seed of every generator made for inputs: 0 but while `Exercise.variant` makes its cases.
_shift: contextvars.ContextVar[int] = contextvars.ContextVar("shift", default=0)


# What there is to do in an exercise, as its heading says it.
KINDS = {
    "write": "Write it",
    "mend": "Mend it",
    "read": "Read it off",
    "compute": "Predict, then compute",
    "design": "Design it",
}


@dataclass
class Failure:
    """A case that the learner's function does not get right: what the check says, and what `show` prints.

    compared: whether there is a result to show; otherwise the function stopped, or changed its input.
    """

    words: str
    arguments: tuple
    expected: Any
    given: Any
    what: str
    compared: bool


@dataclass(repr=False)
class Exercise:
    """A check: call it with the learner's function.

    The right values are right in any form that `difference` can read. Whatever the function does, the check says so in
    words; only KeyboardInterrupt, by which the learner stops it, goes through. Of the cases that fail the smallest is
    shown. A wrong answer is followed by the next hint; a slip (a NameError, a result of another type, ...) costs none.

    Parameters
    ----------
    name : str
        That of `checks.NAME` and of the learner's function.
    answer : callable
        The right function.
    cases : callable
        Makes the inputs, the same ones each time: (a few words, the arguments) each.
    hints : sequence of str
        Three, from a nudge to nearly the answer.
    mistakes : sequence of (str, callable), optional
        What to say, and the wrong function. A learner's output that equals a mistake's on every case is told so.
    tolerance : float, optional
        How far numbers may lie apart.
    minutes : int
        How long it takes.
    difficulty, importance : int
        From 1 to 5: how hard it is, and how much of what follows rests on it.
    kind : str, optional
        What there is to do, one of KINDS.
    judge : callable, optional
        For an exercise with many right answers: takes the result and then the arguments, and says in words what is
        wrong, None if nothing is. Without it a result is right if it is the answer's.
    demand : callable, optional
        What is asked of the function over several calls, once all cases are right: takes the function, and says in
        words what it does not do, None if it does all.
    tries : int, optional
        Hints told so far; 0 again after success.

    Examples
    --------
    >>> from vtm_lesson import checks
    >>> double = checks.Exercise("double", lambda x: 2 * x, lambda: [("three", (3,))], ["Add.", "x + what?", "x + x"])
    >>> double(lambda x: x * x)
    ✗ double, three: expected 6, got 9.
         input: 3
      expected: 6
         yours: 9
      Hint 1 of 3: Add.
      checks.double.hint() shows the next one.
    >>> double(lambda x: x + x)
    ✓ double: right.
    """

    name: str
    answer: Callable
    cases: Callable[[], Iterable[Case]]
    hints: Sequence[str]
    mistakes: Sequence[tuple[str, Callable]] = ()
    tolerance: float = 1e-4
    minutes: int = 0  # not said: a lesson's exercises all say it
    difficulty: int = 0
    importance: int = 0
    kind: str = "write"
    judge: Callable[..., str | None] | None = None
    demand: Callable[[Callable], str | None] | None = None
    tries: int = 0
    _failure: Failure | None = field(default=None, init=False)
    _own: Callable | None = field(default=None, init=False)  # the learner's function, once it passed
    _whose: str = field(default="yours.", init=False)  # and where it is from
    _form: Any = field(
        default=None, init=False
    )  # a right result, if the learner's come in another form than the package's
    _handed_out: bool = field(default=False, init=False)  # this notebook was given the package's
    _wrong: bool = field(default=False, init=False)  # what was given last in this notebook did not pass

    def __repr__(self) -> str:  # a dataclass's own would give the hints and the mistakes away
        return f"checks.{self.name}: call it with your function; checks.{self.name}.hint() shows a hint"

    def __call__(self, given: Callable) -> None:
        problem, answered = self._problem(given)
        grading = bool(os.environ.get("NBGRADER_EXECUTION"))
        unsolved = problem is not None and problem.startswith("…")
        self._wrong = problem is not None and not unsolved
        if not unsolved:
            self._own, self._whose = None if self._wrong else given, "yours."
        if problem is None:
            print(f"✓ {self.name}: {self._praise()}")
            self.tries = 0
            if not grading:
                record_solved(self.name, self._as_text(given))
        elif grading:
            raise AssertionError(problem)
        else:
            print(problem)
            if not unsolved:
                self._help(answered)

    def mine(self, say: bool = True) -> Callable:
        """The learner's function if it passes its check, else the package's, and a line that says which.

        Parameters
        ----------
        say : bool, optional
            Whether to print that line.

        Returns
        -------
        callable
            What passed last in this notebook; else what passed last in any, as it is stored in the learner's folder
            and after it passes again; else the package's.

        Examples
        --------
        >>> from vtm_lesson import checks
        >>> triple = checks.Exercise("triple", lambda x: 3 * x, lambda: [("three", (3,))], ["Add."])
        >>> triple.mine()(4)
        triple: the package's, as yours is not solved yet.
        12
        """
        own, whose = self._mine()
        if say:
            print(f"{self.name}: {whose}")
        with contextlib.suppress(TypeError):  # a callable that cannot be looked up
            handed_out[own] = self.name
        self._handed_out |= own is self.answer
        return own

    def variant(self, seed: int) -> Exercise:
        """The same exercise with other random inputs; inputs that are not made from seeds stay as they are.

        Parameters
        ----------
        seed : int
            Added to the seeds that the inputs are made from; 0 gives the inputs that learners see.

        Examples
        --------
        >>> from vtm_lesson import checks
        >>> _, (seen, _) = list(checks.group_mean.cases())[1]
        >>> _, (other, _) = list(checks.group_mean.variant(7_000_000).cases())[1]
        >>> seen.shape == other.shape, bool((seen == other).any())
        (True, False)
        """

        def cases() -> list[Case]:
            before = _shift.set(seed)
            try:
                return list(self.cases())
            finally:
                _shift.reset(before)

        return dataclasses.replace(self, cases=cases)

    def problem(self, given: Callable) -> str | None:
        """What is wrong with the function, in the words of the check; None if nothing is. Prints and notes nothing."""
        return self._problem(given)[0]

    def _mine(self) -> tuple[Callable, str]:
        if self._own is not None:
            return self._formed(self._own), self._whose
        if self._wrong:
            return self.answer, "the package's, as yours does not pass its check."
        text, lesson = stored_code(self.name), lesson_of(self.name)
        if text is None:
            return self.answer, "the package's, as yours is not solved yet."
        if text.startswith("#"):  # why it could not be written down
            return self.answer, f"the package's: yours of lesson {lesson} works there only, as {text[2:]}."
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                own = made_from(text, self.name)
                problem, _ = self._problem(own)
        except KeyboardInterrupt:
            raise
        except STOPS as error:
            problem, own = error_text(error), self.answer
        if problem is not None:
            return self.answer, f"the package's, as yours of lesson {lesson} does not pass its check here."
        self._own, self._whose = own, f"yours, of lesson {lesson}."
        return self._formed(own), self._whose

    def _formed(self, own: Callable) -> Callable:
        """The learner's function. If its results are right in another form (lists, say) they come in the package's."""
        form = self._form
        if form is None:
            return own

        @functools.wraps(own)
        def formed(*arguments: Any) -> Any:
            return in_form(own(*arguments), form, arguments)

        return formed

    def _as_text(self, given: Callable) -> str:
        """The function as `stored_code` gives it back: text that makes it, or a comment that says why there is none."""
        try:
            return portable(given, self.name)
        except NotPortableError as reason:
            return f"# {reason}"

    def _praise(self) -> str:
        count = len(list(self.cases()))
        return "right." if count == 1 else f"right on all {count} inputs, the awkward ones included."

    def wrong(self, result: Any, arguments: tuple, expected: Any) -> str | None:
        """What is wrong with a result, in words; None if it is right."""
        odd = result is None or is_endless(result) or (isinstance(result, Tensor) and odd_kind(result) is not None)
        if self.judge is None or odd:
            found = difference(result, expected, self.tolerance)
            if self.kind != "read" or found is None or isinstance(found, OtherKind):
                return found
            part = re.match(r"result \d+ of \d+", found)  # what belongs there stands in the figure
            return f"{part[0] if part else 'your result'} is not what is there; look again."
        try:
            return self.judge(copy.deepcopy(result), *copy.deepcopy(arguments))
        except KeyboardInterrupt:
            raise
        except STOPS:  # a judge may take for granted that the result is of the right kind
            return difference(result, expected, self.tolerance) or "your result is not of the kind that is asked for."

    def hint(self, step: int | None = None) -> None:
        """Print hint 1, 2 or 3; without a number, the next one."""
        last = len(self.hints)
        if step is None:
            self.tries = min(self.tries, last) + 1
            step = self.tries
            if step > last:
                print(f"  You have seen all {last} hints; checks.{self.name}.hint(1) shows the first one again.")
                print("  The solved notebook of this lesson has an answer.")
                return
        if not 1 <= step <= last:
            raise ValueError(f"{self.name} has hints 1 to {last}; {step} was asked for.")
        print(f"  Hint {step} of {last}: {self.hints[step - 1]}")

    def show(self) -> None:
        """Print the last input that the learner's function did not get right in full, with both results."""
        failure = self._failure
        if failure is None:
            print(f"  {self.name} has nothing to show: no input has failed since it was right last.")
            return
        print(f"  {self.name}, {failure.words}: {failure.what}")
        names = list(inspect.signature(self.answer).parameters)
        if len(names) != len(failure.arguments):
            names = [f"input {i + 1}" for i in range(len(failure.arguments))]
        values = [*failure.arguments, failure.expected, failure.given]
        for name, value in zip([*names, "expected", "yours"], values, strict=True):
            if self.kind == "read" and name == "expected":
                continue
            print(f"  {name}: {in_full(value)}")

    def _help(self, answered: bool) -> None:
        """After a wrong answer the next hint; after a slip, and beside a hint, how to see one."""
        last = len(self.hints)
        if answered and self.tries <= last:  # after the last hint, where else to look: once
            self.hint()
        if self.tries < last:
            print(f"  checks.{self.name}.hint() shows {'the next one' if self.tries else 'a hint'}.")

    def _problem(self, given: Callable) -> tuple[str | None, bool]:
        """What is wrong with the learner's function, in words, and whether it gave an answer; None if nothing is."""
        if not callable(given):
            kind = type(given).__name__
            return f"✗ {self.name}: give the function itself, without brackets; this is a {kind}.", False
        if given is self.answer and self._handed_out:
            return (
                f"✗ {self.name}: this is the package's function, from {self.name}.mine(). Run your own cell again.",
                False,
            )
        failures, results = [], []
        for words, arguments in self.cases():
            try:
                failure, result = self._tried(given, words, arguments)
            except NotImplementedError as error:
                return self._open(error), False
            failures += [failure] if failure else []
            results.append(result)
        # A wrong answer says more than an input on which the function stops, which may be an awkward one only.
        self._failure = min(failures, key=lambda f: (not f.compared, count_of(f.arguments)), default=None)
        if self._failure is None:
            unmet = self._unmet(given)
            if unmet is not None:
                return f"✗ {self.name}, called several times: {unmet}", True
            self._form = self._other_form(results)
            return None, True
        lines = [f"✗ {self.name}, {self._failure.words}: {self._failure.what}"]
        if not self._failure.compared:
            return lines[0], False
        named = self._known_mistake(results)
        lines += [f"  {named}"] if named else []
        lines += self._side_by_side(self._failure)
        return "\n".join(lines), named is not None or not isinstance(self._failure.what, OtherKind)

    def _unmet(self, given: Callable) -> str | None:
        """What the function does not do over several calls, in words; None if it does all, or nothing is asked."""
        try:
            return None if self.demand is None else self.demand(given)
        except KeyboardInterrupt:
            raise
        except STOPS as error:  # it may stop on the second call only
            return f"your function stopped with {error_text(error)}"

    def _other_form(self, results: Sequence[Any]) -> Any:
        """A result of the package's function, if the learner's right ones come in another form; else None."""
        for (_, arguments), result in zip(list(self.cases())[:3], results, strict=False):
            expected = self.answer(*copy.deepcopy(arguments))
            if not has_form(result, expected):
                return expected
        return None

    def _open(self, error: NotImplementedError) -> str:
        """That this exercise is not solved yet, or another one that the learner's function calls."""
        steps = [step.name for step in traceback.extract_tb(error.__traceback__)]
        if steps[-1] != self.name and lesson_of(steps[-1]) != "?":
            return (
                f"… {self.name} calls {steps[-1]}, which is not solved yet: solve that first, or begin the cell above "
                f"with {steps[-1]} = checks.{steps[-1]}.mine()."
            )
        return f"… {self.name} is not solved yet. Fill in the function above and run both cells again."

    def _tried(self, given: Callable, words: str, arguments: tuple) -> tuple[Failure | None, Any]:
        """What the function gives for one case, and how it fails, if it does. NotImplementedError goes through."""
        own, expected = copy.deepcopy(arguments), self.answer(*copy.deepcopy(arguments))
        result = None
        try:
            result = given(*own)
        except NotImplementedError:
            raise
        except KeyboardInterrupt:
            raise
        except STOPS as error:  # whatever a learner's function may raise is news for the learner
            what = f"your function stopped with {error_text(error)}"
            return Failure(words, arguments, expected, None, what, False), None
        if difference(own, arguments) is not None:
            what = "your function changed its input; work on a copy."
            return Failure(words, arguments, expected, result, what, False), result
        try:
            found = self.wrong(result, arguments, expected)
        except KeyboardInterrupt:
            raise
        except STOPS as error:  # a result that stops whoever asks what it is
            found = OtherKind(f"your result could not be compared with the right one: {error_text(error)}.")
        if found is None:
            return None, result
        return Failure(words, arguments, expected, result, found, True), result

    def _known_mistake(self, results: Sequence[Any]) -> str | None:
        """The words of the first mistake that gives these results, one for every case."""
        cases = [arguments for _, arguments in self.cases()]
        for words, mistake in self.mistakes:
            pairs = zip(results, cases, strict=True)
            if all(same(result, outcome(mistake, arguments), self.tolerance) for result, arguments in pairs):
                return words
        return None

    def _side_by_side(self, failure: Failure) -> list[str]:
        """The input, what was expected and what was given, as text: a row of numbers in all, and the rest by shape."""
        if self.kind == "read":
            return [f"     yours: {as_text(failure.given)}"]
        whole_input = count_of(failure.arguments) <= ROW
        room = ROW - count_of(failure.arguments) if whole_input else ROW
        whole_results = count_of(failure.expected) + count_of(failure.given) <= room
        rows = [
            ("input", failure.arguments, whole_input),
            ("expected", failure.expected, whole_results),
            ("yours", failure.given, whole_results),
        ]
        lines = [f"  {name:>8}: {as_text(value, ROW if whole else 1)}" for name, value, whole in rows]
        return lines if whole_input and whole_results else [*lines, f"  checks.{self.name}.show() shows all of it."]


def generator(seed: int) -> torch.Generator:
    """A generator for inputs that are the same each time."""
    return torch.Generator().manual_seed(seed + _shift.get())


def random(seed: int, *shape: int) -> Tensor:
    """Normal numbers of that shape, the same each time."""
    return torch.randn(*shape, generator=generator(seed))
