"""Phase diagrams: what is coloured, what is grey, what the cells and the alt text say."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from vtm_lesson import plots
from vtm_lesson.plots import phase

MINUS = "\N{MINUS SIGN}"
PANEL = [[(0.3, 0.2, 0.4), (0.1, -0.1, 0.3)], [(-0.3, -0.4, -0.2), (np.nan, np.nan, np.nan)]]


def drawn():
    return plots.phase_diagram(
        {"gamma 6": PANEL, "gamma 20": PANEL}, ["small", "large"], ["3", "48"], title="Over zero"
    )


def test_colours_say_what_is_told_apart_and_grey_what_is_not():
    ax = drawn().axes[0]
    colours = [patch.get_facecolor()[:3] for patch in ax.patches]
    assert len(colours) == 3, "a cell that was not measured is empty"
    above, undecided, below = colours
    assert above[2] > above[0] and below[0] > below[2], "blue above zero, vermillion below"
    assert undecided == to_rgb(phase.UNDECIDED)
    assert [text.get_text() for text in ax.texts] == ["+30", "+10", f"{MINUS}30"]


def test_the_alt_text_says_the_same():
    assert drawn().alt == (
        f"Over zero. gamma 6: small: +30 at 3, not told apart from 0 (+10) at 48; large: {MINUS}30 at 3. "
        f"gamma 20: small: +30 at 3, not told apart from 0 (+10) at 48; large: {MINUS}30 at 3."
    )


def test_panels_share_their_colours_and_rows_go_down():
    weak = np.array(PANEL) / 10
    fig = plots.phase_diagram({"strong": PANEL, "weak": weak}, ["small", "large"], ["3", "48"])
    strong, pale = (np.array(ax.patches[0].get_facecolor()[:3]) for ax in fig.axes)
    assert pale.min() > strong.min() + 0.3
    assert fig.axes[0].get_ylim()[0] > fig.axes[0].get_ylim()[1]


@pytest.mark.parametrize("panels", [{}, {"x": [[(0, 0, 0)]]}])
def test_panels_of_another_shape_are_refused(panels):
    with pytest.raises(ValueError, match="rows, columns"):
        plots.phase_diagram(panels, ["a", "b"], ["c"])
