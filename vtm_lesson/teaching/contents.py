"""Which exercises each lesson has, in the lesson's order, and the file of this folder where their checks stand.

A new exercise is written in here: `vtm_lesson.checks` finds it by this table, `checks.progress()` counts it. An
appendix may have none. `PARTS` and `APPENDICES` are the plan of the course, for `checks.course_map`: a lesson of the
plan that `LESSONS` does not have is drawn as still to come.
"""

PARTS = {  # the question of a part -> its lessons: number -> short name
    "why merge?": {"00": "start\nhere", "01": "the\nprice"},
    "how?": {"02": "match-\ning", "03": "in a ViT"},
    "who decides?": {"04": "naive", "05": "region", "06": "motion", "07": "learned"},
    "is it\ntrue?": {"08": "com-\nparison"},
    "at what\ncost?": {"09": "speed"},
    "further": {"10": "gradi-\nents", "11": "longer\nfilms", "12": "real\ndata", "13": "your\nown"},
}
APPENDICES = {"A": ("03", "pictures"), "B": ("09", "kernel"), "C": ("08", "tables")}  # the lesson they stand below

LESSONS = {
    "00_start_here": ("lessons_basics", ("token_position", "group_mean", "unmerge", "merging_error")),
    "01_the_price_of_attention": (
        "lessons_basics",
        ("tokens_in_film", "stored_attention", "attention_cost", "merging_gain", "frames_that_fit"),
    ),
    "02_bipartite_matching": (
        "lessons_matching",
        (
            "alternate",
            "every_gamma_th",
            "full_groups",
            "surviving_positions",
            "partial_groups",
            "nearest_target",
            "tome_step",
            "compose_groups",
            "token_sizes",
            "proportional_attention",
            "time_order",
        ),
    ),
    "03_tome_in_a_vit": (
        "lessons_networks",
        ("tokens_left", "merge_by_size", "vit_multiply_adds", "checkerboard", "above"),
    ),
    "04_naive_vtm": (
        "lessons_chunks",
        (
            "merge_in_chunks",
            "merge_with_tail",
            "tokens_after",
            "pooled_weight",
            "region_weight",
            "alias_free_targets",
        ),
    ),
    "05_region_concentrated": (
        "lessons_regions",
        ("centre_targets", "expected_coverage", "guesses_that_pay", "box_targets", "centre_share"),
    ),
    "06_motion_based": (
        "lessons_motion",
        (
            "block_motion",
            "motion_map",
            "motion_probability",
            "without_camera",
            "affine_camera",
        ),
    ),
    "07_learnable": (
        "lessons_learnable",
        ("saliency", "guided_attention", "gradient_of_saliency", "drawn_targets", "group_numbers", "vtm_block"),
    ),
    "08_the_comparison": (
        "lessons_comparison",
        ("mean_interval", "told_apart", "gains_of_a_guess", "tuned_interval"),
    ),
    "09_speed_and_memory": (
        "lessons_speed",
        ("slowest_blocks", "amdahl", "median_speedup", "peak_score_memory", "swapped_flops", "other_baseline"),
    ),
    "10_gradients_through_merging": (
        "lessons_gradients",
        (
            "ordered_chance",
            "bias_and_noise",
            "against_others",
            "gated_attention",
            "relaxed_choice",
            "hard_and_soft",
        ),
    ),
    "11_longer": (
        "lessons_long",
        ("level_chunks", "tokens_waiting", "film_map", "keep_best", "found_again"),
    ),
    "12_real_datasets": (
        "lessons_data",
        (
            "leaking_groups",
            "feature_bytes",
            "film_prediction",
            "mean_predictor_error",
            "fair_split",
            "grouped_interval",
        ),
    ),
    "13_your_own_strategy": (
        "lessons_own",
        ("frame_targets", "run_groups", "left_at", "energy_score", "pareto_front", "own_partition"),
    ),
    "A_attention_in_pictures": ("", ()),
    "B_matcher_roofline_and_kernel": ("lessons_speed", ("candidates", "roofline", "tiled_argmax")),
    "C_the_papers_tables": ("lessons_comparison", ("corrected_interval", "seeds_needed")),
}


def lesson_of(name: str) -> str:
    """The number of the lesson that has an exercise, or an appendix's letter; "?" where none has."""
    return next((lesson.split("_")[0] for lesson, (_, names) in LESSONS.items() if name in names), "?")
