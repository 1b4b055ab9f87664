"""Clouds of estimates: what the words say is what was given."""

import numpy as np
import pytest

from vtm_lesson import plots


def test_words_and_panels_say_what_was_given():
    near, far = np.array([[1.0, 0.0], [3.0, 2.0]]), np.array([[0.0, 0.0], [0.0, 40.0], [0.0, -40.0], [0.0, 0.0]])
    fig = plots.clouds({"near": near, "far": far}, (2.0, 0.0), title="Two")
    assert fig.alt == (
        "Two. The exact gradient is (2, 0). near: mean of 2 estimates (2, 1), 0% of them outside the panel. "
        "far: mean of 4 estimates (0, 0), 50% of them outside the panel."
    )
    shown = [ax for ax in fig.axes if ax.axison]
    assert len(shown) == 2 and {ax.get_xlim() for ax in shown} == {(-5.0, 5.0)}, "one scale"
    assert "50% outside" in [text.get_text() for text in shown[1].texts]


def test_a_long_mean_is_inside():
    fig = plots.clouds({"long": np.array([[8.0, 0.0]])}, (1.0, 0.0))
    assert fig.axes[0].get_xlim() == (-10.0, 10.0)


@pytest.mark.parametrize(
    ("found", "exact"), [({}, (1, 0)), ({"x": np.zeros((3, 3))}, (1, 0)), ({"x": np.zeros((3, 2))}, (1,))]
)
def test_other_shapes_are_refused(found, exact):
    with pytest.raises(ValueError, match=r"\(n, 2\)"):
        plots.clouds(found, exact)
