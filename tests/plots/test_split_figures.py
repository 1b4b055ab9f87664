"""Splits drawn film by film: what is filled, what is hatched, and which groups are torn."""

import pytest
from matplotlib.colors import to_hex

from vtm_lesson import plots
from vtm_lesson.plots import style

GROUPS = [*"aabba"]  # the last film stands with the first two
WAYS = {"torn": [True, False, False, False, False], "whole": [False, False, True, True, False]}


def drawn():
    return plots.splits(GROUPS, WAYS, title="Two ways")


def test_a_square_for_each_film_in_each_row():
    ax = drawn().axes[0]
    squares = [p for p in ax.patches if p.get_width() == 0.9]
    assert len(squares) == 10
    for row, way in enumerate(WAYS.values()):
        own = squares[5 * row : 5 * row + 5]
        assert [bool(p.get_hatch()) for p in own] == way
        assert [to_hex(p.get_facecolor()).upper() == style.BLUE for p in own] == [not there for there in way]
    assert squares[4].get_x() < squares[2].get_x(), "films of a group stand side by side"


def test_torn_groups_are_underlined_and_counted():
    fig = drawn()
    assert len(fig.axes[0].lines) == 1
    assert [text.get_text() for text in fig.axes[0].texts] == ["1 group in both parts", "no groups in both parts"]
    assert fig.alt == (
        "Two ways. 5 films of 2 groups. torn: 1 of 5 films test, 1 group in both parts; "
        "whole: 2 of 5 films test, no groups in both parts."
    )


@pytest.mark.parametrize("groups, test", [([], {"x": []}), ("ab", {}), ("ab", {"x": [True]})])
def test_what_cannot_be_drawn_is_refused(groups, test):
    with pytest.raises(ValueError, match="one boolean a film"):
        plots.splits(groups, test)
