# What type checkers and editors see of the exercise checks, which checks.py loads when they are first used.

from .teaching.exercise import Exercise as Exercise
from .teaching.exercise import difference as difference
from .teaching.lessons_basics import alternate as alternate
from .teaching.lessons_basics import attention_cost as attention_cost
from .teaching.lessons_basics import frames_that_fit as frames_that_fit
from .teaching.lessons_basics import group_mean as group_mean
from .teaching.lessons_basics import nearest_target as nearest_target
from .teaching.lessons_basics import proportional_attention as proportional_attention
from .teaching.lessons_basics import tokens_in_film as tokens_in_film
from .teaching.lessons_basics import tome_step as tome_step
from .teaching.lessons_comparison import mean_interval as mean_interval
from .teaching.lessons_comparison import told_apart as told_apart
from .teaching.lessons_networks import above as above
from .teaching.lessons_networks import checkerboard as checkerboard
from .teaching.lessons_networks import merge_in_chunks as merge_in_chunks
from .teaching.lessons_networks import pooled_weight as pooled_weight
from .teaching.lessons_networks import tokens_after as tokens_after
from .teaching.lessons_networks import tokens_left as tokens_left
from .teaching.lessons_saliency import block_motion as block_motion
from .teaching.lessons_saliency import centre_targets as centre_targets
from .teaching.lessons_saliency import drawn_targets as drawn_targets
from .teaching.lessons_saliency import expected_coverage as expected_coverage
from .teaching.lessons_saliency import gradient_of_saliency as gradient_of_saliency
from .teaching.lessons_saliency import guided_attention as guided_attention
from .teaching.lessons_saliency import motion_probability as motion_probability
from .teaching.lessons_saliency import saliency as saliency
from .teaching.lessons_saliency import without_camera as without_camera
from .teaching.lessons_speed import amdahl as amdahl
from .teaching.lessons_speed import peak_score_memory as peak_score_memory
from .teaching.lessons_speed import roofline as roofline
from .teaching.lessons_speed import swapped_flops as swapped_flops
from .teaching.progress import predict as predict
from .teaching.progress import predictions as predictions
from .teaching.progress import progress as progress
from .teaching.progress import replay as replay

__all__: list[str]
