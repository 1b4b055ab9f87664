"""Amdahl's law and the roofline: by hand, and what the picture says of itself."""

import pytest
import torch

from vtm_lesson import plots
from vtm_lesson.measuring import roofline


def test_amdahl_by_hand():
    assert roofline.amdahl([6, 3, 1], [3, 1, 1]) == pytest.approx(10 / 6)
    with pytest.raises(ValueError, match="one of each"):
        roofline.amdahl([1, 2], [1])


def test_roofline_on_both_sides_of_the_ridge():
    assert roofline.roofline(10, 40, peak=100, bandwidth=8) == (0.25, 2)  # memory is the limit
    assert roofline.roofline(4000, 40, peak=100, bandwidth=8) == (100, 100)  # computing is


def test_flops_of_the_works_are_those_that_torch_counts():
    """Matrix products only: torch's counter leaves the others out, and on the CPU fused attention as well."""
    from torch.utils.flop_counter import FlopCounterMode

    works = roofline.workloads(n=96, dim=16, gamma=6, many=192)
    assert len(works) <= 7
    for name in ("Q, K, V", "attention, scores stored", "matching"):
        with FlopCounterMode(display=False) as counter:
            works[name].run()
        assert counter.get_total_flops() == works[name].flops, name
    assert works["attention, fused"].flops == works["attention, scores stored"].flops


def test_intensities_are_those_that_lesson_09_works_out_by_hand():
    """N tokens of D channels, N much larger than D: D/6 for stored scores, N/4 fused, 1 for layer norm."""
    n, dim = 2048, 8
    works = roofline.workloads(n=n, dim=dim, gamma=6, many=512)
    intensity = {name: work.flops / work.moved for name, work in works.items()}
    assert intensity["attention, scores stored"] == pytest.approx(dim / 6, rel=0.02)
    assert intensity["attention, fused"] == pytest.approx(n / 4)
    assert intensity["layer norm"] == 1
    assert intensity["merging"] < 1 < intensity["Q, K, V"]


def test_picture_says_what_it_shows():
    fig = plots.roofline({"sum": (0.25, 1e9), "product": (50, 20e9)}, peak=30e9, bandwidth=10e9, title="Here")
    assert fig.alt.startswith("Here. ") and "ridge" not in fig.alt
    assert "sum at 0.25 FLOPs per byte reaches 1 GFLOP/s, 40%" in fig.alt
    assert "product at 50 FLOPs per byte reaches 20 GFLOP/s, 67%" in fig.alt
    fig.draw_without_rendering()
    with pytest.raises(ValueError, match="1 to 7"):
        plots.roofline({}, 1, 1)


def test_layer_norm_and_softmax_are_what_they_are_called():
    works = roofline.workloads(n=32, dim=8, many=64)
    assert torch.allclose(works["softmax of stored scores"].run().sum(-1), torch.ones(32))
    assert works["layer norm"].run().mean(-1).abs().max() < 1e-5
