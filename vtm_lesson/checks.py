"""The exercise checks: `checks.nearest_target(your_function)` says what was expected, what you gave, and a hint.

Every check compares your function with the package's on random and on awkward input (ties, zeros, one target). A
wrong answer is also compared with the mistakes people make here, so that the message can name yours. Each failed try
shows the next of three hints; `checks.nearest_target.hint()` shows one without trying.

Nothing here stops a notebook: an unsolved or wrong exercise prints what is missing, and the cells after it use the
package. Only while nbgrader grades (it sets NBGRADER_EXECUTION) does a failed check raise AssertionError.
"""

from .teaching.exercise import Exercise, difference
from .teaching.lessons_basics import (
    alternate,
    attention_cost,
    frames_that_fit,
    group_mean,
    nearest_target,
    proportional_attention,
    tokens_in_film,
    tome_step,
)
from .teaching.lessons_comparison import mean_interval, told_apart
from .teaching.lessons_networks import (
    above,
    checkerboard,
    merge_in_chunks,
    pooled_weight,
    tokens_after,
    tokens_left,
)
from .teaching.lessons_saliency import (
    block_motion,
    centre_targets,
    drawn_targets,
    expected_coverage,
    gradient_of_saliency,
    guided_attention,
    motion_probability,
    saliency,
    without_camera,
)
from .teaching.lessons_speed import amdahl, peak_score_memory, roofline, swapped_flops

__all__ = [
    "Exercise",
    "difference",
    "group_mean",
    "tokens_in_film",
    "attention_cost",
    "frames_that_fit",
    "alternate",
    "nearest_target",
    "tome_step",
    "proportional_attention",
    "tokens_left",
    "above",
    "checkerboard",
    "tokens_after",
    "merge_in_chunks",
    "pooled_weight",
    "centre_targets",
    "expected_coverage",
    "block_motion",
    "motion_probability",
    "without_camera",
    "saliency",
    "guided_attention",
    "gradient_of_saliency",
    "drawn_targets",
    "mean_interval",
    "told_apart",
    "amdahl",
    "peak_score_memory",
    "swapped_flops",
    "roofline",
]
