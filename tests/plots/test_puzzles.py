"""Pictures of puzzles: the rows are those given, the verdict is that on the rows, and no function stops a notebook."""

import matplotlib.pyplot
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Arc, FancyBboxPatch

from vtm_lesson import plots
from vtm_lesson.plots import puzzles, style

TARGETS = {
    "given": {"tokens": range(6)},
    "wanted": {"targets": [1, 3, 5]},
    "at": {"targets": "value"},
    "arguments": (6,),
}
GROUP = {
    "given": {"into": [1, 1]},
    "wanted": {"group": torch.tensor([0, 0, 1])},
    "colour": ["group"],
    "arguments": (torch.zeros(3),),
}
HALVES = {"given": {"tokens": range(3)}, "wanted": {"even": [0, 2], "odd": [1]}, "arguments": (3,)}


def cells(fig):
    """Every cell as (column, row from above, colour), in the order drawn."""
    boxes = [patch for patch in fig.axes[0].patches if isinstance(patch, FancyBboxPatch)]
    return [(round(box.get_x(), 2), round(box.get_y(), 2), to_hex(box.get_facecolor())) for box in boxes]


def words(fig):
    return [text.get_text() for text in fig.axes[0].texts]


def raises(error):
    def function(*_):
        raise error

    return function


class Strange:
    """Fails when it is looked into."""

    def __iter__(self):
        raise RuntimeError("no")


def test_every_row_is_drawn_with_its_numbers():
    fig = plots.puzzle(**TARGETS)
    assert [text for text in words(fig) if text.isdigit()] == [*"012345", *"135"]
    assert {"given", "wanted", "tokens", "targets"} <= set(words(fig)) and "yours" not in words(fig)
    assert fig.alt == "Given: tokens 0, 1, 2, 3, 4, 5. Wanted: targets 1, 3, 5."


def test_cells_that_stand_where_they_say_are_under_the_token_of_that_number():
    found = cells(plots.puzzle(**TARGETS))
    columns = [column for column, _, _ in found]
    assert columns[6:] == [columns[1], columns[3], columns[5]]


def test_one_group_has_one_colour_and_groups_differ():
    found = [colour for _, _, colour in cells(plots.puzzle(**GROUP))][2:]
    assert found[0] == found[1] != found[2]
    assert len(set(puzzles.PALETTE)) == 8


@pytest.mark.parametrize(
    ("picture", "result", "verdict"),
    [
        (TARGETS, torch.tensor([1, 3, 5]), "as wanted"),
        (TARGETS, np.array([1, 3, 5]), "as wanted"),
        (TARGETS, [torch.tensor(1), 3, 5], "as wanted"),
        (TARGETS, [1, 3, 4], "1 of 3 cells is not as wanted"),
        (TARGETS, [0, 2, 4], "3 of 3 cells are not as wanted"),
        (TARGETS, [5, 3, 1], "the right cells, but they come in another order"),
        (TARGETS, [1, 1, 1], "2 of 3 cells are not as wanted"),
        (TARGETS, [1, 3, 99], "1 of 3 cells is not as wanted"),
        (TARGETS, [-1, 3, 5], "1 of 3 cells is not as wanted"),
        (TARGETS, [1], "targets has 1 cell, 3 are wanted"),
        (TARGETS, torch.arange(1000), "targets has 1000 cells, 3 are wanted"),
        (TARGETS, 1, "targets has 1 cell, 3 are wanted"),
        (GROUP, [[0], [0], [1]], "a list of 3 is no row of numbers"),
        (GROUP, torch.tensor([[0.0], [0.0], [1.00001]]), "as wanted"),
        (GROUP, torch.tensor([0.0, 0.0, 1.01]), "1 of 3 cells is not as wanted"),
        (GROUP, torch.tensor([0.0, float("nan"), float("inf")]), "2 of 3 cells are not as wanted"),
        (GROUP, torch.zeros(3, 3), "a tensor of shape (3, 3) is no row of numbers"),
        (GROUP, torch.zeros(3, dtype=torch.complex64), "a tensor of shape (3,) is no row of numbers"),
        (GROUP, None, "the function returned nothing"),
        (GROUP, "abc", "a result of type str is no row of numbers"),
        (GROUP, ([0, 0], [1]), "a tuple of 2 is no row of numbers"),
        (GROUP, Strange(), "no row of numbers"),
        (HALVES, ([0, 2], [1]), "as wanted"),
        (HALVES, ([0, 2], [2]), "1 of 3 cells is not as wanted"),
        (HALVES, [0, 2], "even has 1 cell, 2 are wanted"),
        (HALVES, torch.tensor([0, 2]), "expected 2 rows, got a tensor of shape (2,)"),
        (HALVES, None, "expected 2 rows, got nothing"),
    ],
)
def test_the_verdict_says_what_is_not_as_wanted(picture, result, verdict):
    fig = plots.puzzle(**picture, mine=lambda *_: result)
    assert verdict in fig.alt.split("Yours: ")[1]
    assert any(verdict in text for text in words(fig))
    assert plots.png(fig)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (NotImplementedError("exercise not solved yet"), "not solved yet"),
        (ZeroDivisionError("division by zero"), "the function stopped with ZeroDivisionError: division by zero"),
        (SystemExit(), "the function stopped with SystemExit"),
        (ValueError("$x_{ is no formula, and 字 no letter of the font"), "stopped with ValueError: $x_{ is no"),
        (ValueError("\n"), "stopped with ValueError"),
        (ValueError("long " * 100), "…"),
    ],
)
def test_a_function_that_stops_is_told_in_words(error, verdict, recwarn):
    fig = plots.puzzle(**GROUP, mine=raises(error))
    assert verdict in fig.alt and len(fig.alt) < 250
    assert plots.png(fig) and not recwarn.list


def test_ctrl_c_goes_through():
    with pytest.raises(KeyboardInterrupt):
        plots.puzzle(**GROUP, mine=raises(KeyboardInterrupt()))


def test_wrong_cells_have_an_edge_and_a_sign_and_right_ones_have_none():
    fig = plots.puzzle(**GROUP, mine=lambda _: [0, 1, 1])
    edges = [to_hex(p.get_edgecolor()).upper() == style.VERMILLION for p in fig.axes[0].patches]
    assert edges == [False] * 5 + [False, True, False]
    assert words(fig).count("✗") == 1


def test_the_function_gets_a_copy():
    x = torch.zeros(3)
    plots.puzzle({"x": x}, {"y": [1, 1, 1]}, lambda x: x.add_(1), (x,))
    assert x.tolist() == [0, 0, 0]


def test_lines_lead_to_the_cell_of_that_number():
    fig = plots.puzzle({"first": [0, 2, 2], "second": [5, 6, 7]}, {}, flow={"first": "second"})
    columns = [column for column, _, _ in cells(fig)][:3]
    ends = [text.xy[0] for text in fig.axes[0].texts if getattr(text, "arrow_patch", None)]
    middles = [column - 0.025 + puzzles.CELL / 2 for column in columns]
    assert np.allclose(ends, [middles[0], middles[2], middles[2]], atol=0.02)
    assert fig.alt == "Rows: first 0, 2, 2; second 5, 6, 7." and "given" not in words(fig)


def test_another_name_for_the_rows_of_the_function():
    fig = plots.puzzle(**GROUP, mine=lambda _: [0, 0, 0], whose="broken")
    assert "Broken: group 0, 0, 0; 1 of 3" in fig.alt and "broken" in words(fig) and "yours" not in words(fig)


def test_wrong_rows_are_refused_in_words():
    with pytest.raises(ValueError, match="at most 24 numbers"):
        plots.puzzle({"tokens": range(25)}, {})
    with pytest.raises(ValueError, match="at most 24 numbers"):
        plots.puzzle({"tokens": "abc"}, {})
    with pytest.raises(ValueError, match="no row 'tragets'; the rows are tokens, targets"):
        plots.puzzle({"tokens": [0]}, {"targets": [0]}, at={"tragets": "value"})


def test_24_cells_fit():
    fig = plots.puzzle({"tokens": range(24)}, {})
    assert max(column for column, _, _ in cells(fig)) + puzzles.CELL / 2 < style.WIDTH


def test_arrows_point_where_the_keys_do():
    keys = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, -1.0], [0.0, 0.0]])
    fig = plots.arrows(keys, [1, 3], [(0, 1), (0, 2)], title="Keys")
    tips = sorted(tuple(text.xy) for text in fig.axes[0].texts if getattr(text, "arrow_patch", None))
    assert tips == [(-1, -1), (0, 2), (1, 0)], "a key of zeros has no arrow"
    arcs = [patch for patch in fig.axes[0].patches if isinstance(patch, Arc)]
    assert [(arc.theta1, arc.theta2) for arc in arcs] == [(0, 90), (-135, 0)]
    assert fig.alt.startswith(
        "Keys. Keys as arrows: 0 (source) points to 0° with length 1; 1 (target) to 90° with length 2"
    )
    assert fig.alt.endswith("Angle of 0 and 1: 90°. Angle of 0 and 2: 135°.")


def test_labels_of_arrows_do_not_lie_on_each_other():
    keys = torch.tensor([[1.0, 0.01], [1.0, 0.0], [1.0, 0.02]])
    ax = plots.arrows(keys, [1]).axes[0]
    places = np.array([dots.get_offsets()[0] for dots in ax.collections])
    apart = np.linalg.norm(places[:, None] - places[None], axis=2) + np.eye(3)
    assert apart.min() > 0.14


def test_arrows_need_keys_of_two_numbers():
    for keys in (torch.zeros(3, 3), torch.zeros(17, 2), torch.zeros(4), torch.zeros(0, 2)):
        with pytest.raises(ValueError, match=r"arrows need \(N, 2\)"):
            plots.arrows(keys, [0])


def test_the_same_picture_has_the_same_bytes_and_nothing_goes_through_pyplot():
    before = matplotlib.pyplot.get_fignums()
    for draw in (lambda: plots.puzzle(**GROUP, mine=lambda _: [0, 1, 1]), lambda: plots.arrows(torch.eye(2), [0])):
        first, second = plots.png(draw()), plots.png(draw())
        assert first == second and len(first) < 60_000
    assert matplotlib.pyplot.get_fignums() == before
