"""Which exercises each lesson has, in the lesson's order, and the file of this folder where their checks stand.

A new exercise is written in here: `vtm_lesson.checks` finds it by this table, `checks.progress()` counts it.
"""

LESSONS = {
    "00_start_here": ("lessons_basics", ("group_mean",)),
    "01_the_price_of_attention": ("lessons_basics", ("tokens_in_film", "attention_cost", "frames_that_fit")),
    "02_bipartite_matching": (
        "lessons_basics",
        ("alternate", "nearest_target", "tome_step", "proportional_attention"),
    ),
    "03_tome_in_a_vit": ("lessons_networks", ("tokens_left", "above", "checkerboard")),
    "04_naive_vtm": ("lessons_networks", ("merge_in_chunks", "tokens_after", "pooled_weight")),
    "05_region_concentrated": ("lessons_saliency", ("centre_targets", "expected_coverage")),
    "06_motion_based": ("lessons_saliency", ("block_motion", "motion_probability", "without_camera")),
    "07_learnable": (
        "lessons_saliency",
        ("saliency", "guided_attention", "gradient_of_saliency", "drawn_targets"),
    ),
    "08_the_comparison": ("lessons_comparison", ("mean_interval", "told_apart")),
    "09_speed_and_memory": ("lessons_speed", ("amdahl", "peak_score_memory", "swapped_flops", "roofline")),
}
