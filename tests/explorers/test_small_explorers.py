"""Keys, saliency, schedules and baselines, on the Python side: what goes into the page, and the still figure."""

import json
import math

import numpy as np
import pytest
import torch

import vtm_lesson as vtm
from vtm_lesson import data_path
from vtm_lesson.explorers import Explorer, baseline, dial, keys, schedule
from vtm_lesson.merging import match

SALIENCY = {0: np.zeros((2, 3, 4)), 7: np.linspace(-1, 1, 24).reshape(2, 3, 4)}
MADE = {
    "keys": lambda: keys.drag_keys(),
    "dial": lambda: dial.turn_saliency(SALIENCY),
    "schedule": lambda: schedule.design_schedule(),
    "baseline": lambda: baseline.divide_by(),
}


@pytest.mark.parametrize("name", MADE)
def test_each_is_an_explorer_with_data_for_json_and_a_still_figure(name):
    shown = MADE[name]()
    assert isinstance(shown, Explorer) and shown.name == name and shown.title and shown.words.endswith((".", "?"))
    json.dumps(shown.data, allow_nan=False)
    assert len(shown.still.alt) > 80 and shown.still.axes


# ------------------------------------------------------------------------------------------------------------- keys


def test_the_default_keys_hold_a_tie_and_their_figure_says_who_is_merged():
    shown = keys.drag_keys(share=1.0)
    given = torch.tensor(shown.data["keys"], dtype=torch.float64)
    merge = match(given[None], vtm.uniform(10, 2, offset=1))
    assert merge.keep[0].tolist() == [1, 3, 5, 7, 9]
    tied = torch.nn.functional.cosine_similarity(given[4], given[[3, 5]])
    assert tied[0] == tied[1] and merge.group[0, 4] == 1, "token 4 is level with 3 and 5, and goes to 3"
    for source in range(0, 10, 2):
        target = merge.keep[0, merge.group[0, source]]
        assert f"ource {source} {'is merged ' * (source == 0)}into target {target}" in shown.still.alt
    assert "10 tokens have become 5" in shown.still.alt


def test_keys_of_lesson_02_and_r_of_zero():
    shown = keys.drag_keys(torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), gamma=2, offset=-1, share=0)
    assert shown.data["keys"] == [[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]] and shown.data["offset"] == 2
    assert "No source is merged. 3 tokens have become 3" in shown.still.alt


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keys": [[1.0, 2.0, 3.0]]}, r"keys have shape \(1, 3\); give \(N, 2\) finite numbers"),
        ({"keys": [[1.0, math.nan], [0.0, 1.0]]}, "finite numbers"),
        ({"keys": torch.zeros(17, 2)}, "N from 2 to 16"),
        ({"share": 1.1}, r"share is 1.1; it is R/\|S\|"),
        ({"gamma": 0}, "gamma is 0; for 10 keys it is a whole number from 1 to 10"),
        ({"gamma": 2.5}, "whole number"),
    ],
)
def test_keys_refuse_in_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        keys.drag_keys(**options)


# ------------------------------------------------------------------------------------------------------------- dial


def test_the_saliency_figure_says_what_autograd_says():
    s, wanted = torch.tensor([0.4, -0.9, 0.1], dtype=torch.float64, requires_grad=True), torch.tensor([-1.0, 0.2])
    shown = dial.turn_saliency(SALIENCY, s=s.tolist(), wanted=wanted.tolist())
    query, key, value = (torch.tensor(shown.data[name], dtype=torch.float64) for name in ("query", "keys", "values"))
    weights = ((key @ query + s) / math.sqrt(2)).softmax(0)
    ((weights @ value - wanted) ** 2).sum().backward()
    bars, pushes = shown.still.alt.split("; push")
    for i in range(3):
        assert f"token {i}, s = {s[i]:.2f} {weights[i]:.2f}" in bars
        assert f"token {i}, s = {s[i]:.2f} {-s.grad[i]:.2f}" in pushes
    assert f"raises the saliency of token {int(s.grad.argmin())} most" in shown.still.alt


def test_a_lessons_steps_are_shown_in_order_and_at_most_four_frames():
    rising = {9: np.full((7, 2, 2), 0.5), 0: np.zeros((7, 2, 2))}
    data = dial.turn_saliency(rising, actor=np.eye(2)[None].repeat(7, 0)).data
    assert data["steps"] == [0, 9] and data["grid"] == [4, 2, 2] and data["frames"] == [0, 2, 4, 6]
    assert data["saliency"] == [[0.0] * 16, [0.5] * 16] and data["actor"] == [1, 0, 0, 1] * 4
    assert dial.turn_saliency([np.zeros((3, 3))] * 2).data["steps"] == [0, 1]


def test_its_own_training_finds_the_actor_and_is_the_same_each_time():
    steps, actor = dial.learned_steps()
    again, _ = dial.learned_steps.__wrapped__()
    assert list(steps) == list(dial.WATCHED) and not steps[0].any()
    assert steps[30][actor].mean() > 0.8 and steps[30][~actor].mean() < 0
    np.testing.assert_array_equal(steps[30], again[30])
    assert dial.turn_saliency().data["actor"] == actor.flatten().astype(int).tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"s": (0, 0)}, "three saliencies"),
        ({"s": (0, 0, 1.5)}, "each from -1 to 1"),
        ({"wanted": (0, math.inf)}, "two numbers of a point"),
        ({"steps": {}}, "steps is empty"),
        ({"steps": [np.zeros(4)]}, r"the saliency at step 0 has shape \(4,\); give \(L, H, W\)"),
        ({"steps": [np.full((2, 2), 3.0)]}, "goes beyond -1 and 1"),
        ({"steps": [np.full((2, 2), np.nan)]}, "not finite"),
        ({"steps": [np.zeros((2, 2)), np.zeros((2, 3))]}, "the shapes differ"),
        ({"steps": [np.zeros((2, 2))], "actor": np.zeros((3, 3))}, "the shapes differ"),
        ({"actor": np.zeros((2, 2))}, "actor was given without steps"),
    ],
)
def test_saliency_refuses_in_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        dial.turn_saliency(**options)


# --------------------------------------------------------------------------------------------------------- schedule


def test_the_schedules_figure_has_the_ledgers_counts():
    shown = schedule.design_schedule(gamma=(2, 6, 1), r=(0.5, 1, 1), widths=(512, 256, 256))
    ledger = vtm.count({"dim": 1024, "gamma": (2, 6, 1), "r": (0.5, 1, 1), "widths": (512, 256, 256)}, 60, 16, 16)
    assert "the schedule: " + ", ".join(f"{n:,}" for n in ledger.tokens) in shown.still.alt
    plain = vtm.count({"dim": 1024, "gamma": 1, "widths": (512, 256, 256)}, 60, 16, 16)
    assert f"{plain.flops / ledger.flops:.2f} times fewer FLOPs" in shown.still.alt
    assert shown.data["blocks"][0] == {"chunk": 6, "gamma": 2.0, "r": 0.5, "width": 512} and shown.data["count"] == 3


def test_odd_numbers_get_a_place_on_the_sliders():
    data = schedule.design_schedule(
        frames=14, grid=(7, 9), dim=33, chunks=(7, 14), gamma=3.5, r=1 / 3, widths=(21, 9)
    ).data
    for name, values in (
        ("frames", [14]),
        ("patches", [63]),
        ("dim", [33]),
        ("chunk", [7, 14]),
        ("gamma", [3.5]),
        ("r", [1 / 3]),
    ):
        assert set(values) <= set(data["choices"][name]) and sorted(data["choices"][name]) == data["choices"][name]
    assert {block["width"] for block in data["blocks"]} <= set(data["choices"]["width"]) and len(data["blocks"]) == 4


def test_the_predicted_pace_is_near_what_was_measured_at_another_time():
    pace = schedule.measured_pace()
    rows = json.loads((data_path("results") / "bench_network.json").read_text())["rows"]
    row = next(row for row in rows if row["name"] == "naive, gamma 6, R = |S|")
    expected = 3 * pace["fixed"] + pace["pace"] * row["flops"]
    assert pace["low"] <= expected / row["seconds"]["median"] - 1 <= pace["high"]
    assert pace["networks"] == 16 and "AMD" in pace["machine"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunks": (1, 2, 4, 8, 16)}, "chunks has 5 lengths; the explorer draws 1 to 4 blocks"),
        ({"chunks": (6, 20, 60)}, "would cut through the chunks of the block before"),
        ({"gamma": 0.5}, "gamma is 0.5"),
        ({"gamma": (2, 2)}, "gamma has 2 values for 3 blocks"),
    ],
)
def test_schedules_refuse_in_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        schedule.design_schedule(**options)


# --------------------------------------------------------------------------------------------------------- baseline


def test_every_measured_network_with_merging_is_there_with_its_stored_numbers():
    runs = {run["name"]: run for run in baseline.stored_runs()}
    for name, file in (
        ("machine A, run 1", "bench_network_machine_A_run_1"),
        ("machine C", "bench_network"),
        ("training", "bench_training"),
    ):
        stored = json.loads((data_path("results") / f"{file}.json").read_text())
        merging = [row for row in stored["rows"] if not row["name"].startswith("no merging")]
        rows = runs[name]["rows"]
        assert len(rows) == len(merging) and runs[name]["pass"] == stored["pass"]
        for row, from_file in zip(rows, merging, strict=True):
            assert from_file["name"].startswith(f"{row['merger']}, {row['budget']}")
            assert from_file["name"].endswith(baseline.WAYS[row["way"]])
            assert row["fused"] == list(from_file["speedup_over_fused"].values())
            assert row["flops"] == from_file["flops"] and row["bytes"] == from_file.get("peak_bytes")


def test_the_figure_has_both_baselines_and_the_papers_number():
    alt = baseline.divide_by(run="machine A, run 1").still.alt
    stored = json.loads((data_path("results") / "bench_network_machine_A_run_1.json").read_text())["rows"]
    row = next(row for row in stored if row["name"] == "learnable, gamma 6, R = |S|")
    assert f"{row['speedup_over_stored']['median']:.3g}" in alt and f"{row['speedup_over_fused']['median']:.3g}" in alt
    assert "the paper's number is 6.89" in alt and "times fewer FLOPs" in alt


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baseline": "merged"}, "baseline is 'merged'; measured ones are 'stored' and 'fused'"),
        ({"run": "machine Z"}, "run is 'machine Z'; stored ones are machine A, run 1"),
    ],
)
def test_baselines_refuse_in_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        baseline.divide_by(**options)
