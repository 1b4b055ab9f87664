"""Whether a learner's function is right, decided outside the process that it runs in.

The function lives in the learner's kernel. Inputs go there, results come back as plain numbers and tensors, and the
right answers are computed and compared here. So nothing that a notebook does to `checks`, torch or Python in its own
process changes what a right result is.
"""

from __future__ import annotations

import ast
import base64
import dataclasses
import hashlib
import io
import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..exercise import Exercise

OTHER = "right on the inputs that its check shows, wrong on others of the same kind."
LARGEST = 64_000_000  # characters of one result

# What runs in the learner's kernel. It may be tampered with there: then the results are wrong, and that is all.
CALL = """
def __call_for_marks(name, data):
    import base64, copy, io, numbers, pickle
    import numpy, torch
    from vtm_lesson.teaching.comparing import difference

    def plain(value):
        if isinstance(value, torch.Tensor):
            return value.detach().clone()
        if isinstance(value, numpy.ndarray):
            return torch.as_tensor(value) if value.dtype != object else plain(value.tolist())
        if isinstance(value, numpy.generic):
            return plain(value.item())
        if value is None or type(value) in (bool, int, float, complex, str):
            return value
        if isinstance(value, (list, tuple)):
            return (list if isinstance(value, list) else tuple)(plain(v) for v in value)
        if isinstance(value, dict):
            return {str(k): plain(v) for k, v in value.items()}
        return float(value) if isinstance(value, numbers.Real) else repr(value)[:200]

    def reached(part, learned):
        if not learned or not isinstance(part, torch.Tensor) or part.grad_fn is None:
            return []
        slopes = torch.autograd.grad(part.sum(), learned, retain_graph=True, allow_unused=True)
        return [i for i, slope in enumerate(slopes) if slope is not None]

    answer = {}
    try:
        function = get_ipython().user_ns[name]
        task = pickle.loads(base64.b64decode(data))
        if isinstance(task, str):  # what is asked over several calls
            from vtm_lesson import checks
            answer["result"] = getattr(checks, task).demand(function)
        else:
            own = copy.deepcopy(task)
            result = function(*own)
            learned = [a for a in own if isinstance(a, torch.Tensor) and a.requires_grad]
            parts = result if isinstance(result, (list, tuple)) else [result]
            answer["reached"] = [reached(part, learned) for part in parts]
            answer["result"] = plain(result)
            answer["changed"] = difference(own, task) is not None
    except NotImplementedError as error:
        answer["open"] = str(error)
    except (Exception, SystemExit) as error:
        answer["error"] = [type(error).__name__, str(error)[:500]]
    out = io.BytesIO()
    torch.save(answer, out)
    return base64.b64encode(out.getvalue()).decode()
"""


def seed_of(student: str) -> int:
    """The seed of a student's own inputs, from the name that nbgrader knows the student by."""
    return 1_000_000 * (1 + int.from_bytes(hashlib.sha256(student.encode()).digest()[:4], "big"))


class Remote:
    """A function in the learner's kernel, called from here.

    Parameters
    ----------
    name : str
        What it is called there.
    ask : callable
        Evaluates (code that is run first, an expression) in the kernel and gives the expression's text, None where
        the kernel gave no answer in time.
    """

    def __init__(self, name: str, ask: Callable[[str, str], str | None]) -> None:
        self.name, self._ask = name, ask
        self.stopped = False  # gave no answer in time: it is not asked again

    def __call__(self, *arguments: Any) -> Any:
        return self._send(arguments)

    def demanded(self, exercise: str) -> str | None:
        """What the exercise asks over several calls, tried in the kernel itself: gradients do not travel."""
        return self._send(exercise)

    def _send(self, task: Any) -> Any:
        if self.stopped:
            raise TimeoutError("no result in time")
        data = base64.b64encode(pickle.dumps(task)).decode()
        text = self._ask(CALL, f"__call_for_marks({self.name!r}, {data!r})")
        if text is None:
            self.stopped = True
            raise TimeoutError("no result in time")
        answer = _read(text)
        if "open" in answer:
            raise NotImplementedError(answer["open"])
        if "error" in answer:
            kind, words = answer["error"]
            kind = kind if isinstance(kind, str) and kind.isidentifier() else "Error"
            raise type(kind, (Exception,), {})(str(words))
        if answer.get("changed"):
            raise RuntimeError("it changed its input; work on a copy")
        result, reached = answer.get("result"), answer.get("reached", [])
        learned = [a for a in task if isinstance(a, Tensor) and a.requires_grad] if isinstance(task, tuple) else []
        if learned and isinstance(result, (list, tuple)):
            return type(result)(_tied(part, learned, to) for part, to in zip(result, reached, strict=True))
        return _tied(result, learned, reached[0]) if learned and reached else result


def _tied(part: Any, learned: list[Tensor], reached: list[int]) -> Any:
    """A result that came without its graph, with one that leads to the same inputs."""
    if isinstance(part, Tensor) and part.is_floating_point():
        for number in reached:
            part = part + (0 * learned[number]).nan_to_num(0).sum()
    return part


def _read(text: str) -> dict:
    """The answer of a kernel that is not to be trusted: read as numbers, tensors and text, never as Python objects."""
    if len(text) > LARGEST:
        raise ValueError("the result is too large to be read")
    answer = torch.load(io.BytesIO(base64.b64decode(ast.literal_eval(text))), weights_only=True)
    if not isinstance(answer, dict):
        raise TypeError("no result came back")
    return answer


def fault(exercise: Exercise, remote: Remote, student: str) -> str | None:
    """What is wrong with a learner's function, on the inputs of its check and on the student's own; None if nothing is.

    Of the student's own inputs nothing is told.
    """
    if exercise.demand is not None:
        exercise = dataclasses.replace(exercise, demand=lambda _: remote.demanded(exercise.name))
    seen = exercise.problem(remote)
    if seen is not None:
        return seen
    other = exercise.variant(seed_of(student)).problem(remote)
    return None if other is None else f"✗ {exercise.name}: {OTHER}"
