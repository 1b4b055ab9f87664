"""What the mutation audit must know of each exercise: which mutants are equal, and random inputs.

One file for each lessons_NAME.py of vtm_lesson/teaching, with the same NAME.

    EQUAL     mutants that pass because they are right: exercise, the changed line, why
    RANDOM    exercise -> a function that makes random inputs which the exercise's text allows
"""

from __future__ import annotations

import random
from collections.abc import Callable

from . import basics, chunks, comparison, data, gradients, learnable, long, matching, networks, own, saliency, speed

_TABLES = (basics, matching, networks, chunks, saliency, learnable, comparison, speed, gradients, long, data, own)

EQUAL: list[tuple[str, str, str]] = [row for table in _TABLES for row in table.EQUAL]
RANDOM: dict[str, Callable[[random.Random], tuple]] = {
    name: make for table in _TABLES for name, make in table.RANDOM.items()
}
