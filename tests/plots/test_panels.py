"""Panels of bars: one scale, one order of rows, marks that need no colour, values that no line strikes."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from vtm_lesson import plots
from vtm_lesson.plots import style

TABLE = {
    "centred": {"none": (0.5, 0.4, 0.6), "centre": 0.9, "motion": (0.2, 0.1, 0.3)},
    "roaming": {"none": 0.35, "motion": (0.65, 0.6, 0.7), "centre": 0.25},  # in another order
    "handheld": {"none": 0.34, "centre": 0.18, "motion": 0.21},
}
ROWS = ["none", "centre", "motion"]


def bars(ax):
    return list(ax.patches)


def values(ax):
    return [text for text in ax.texts if text.get_bbox_patch() is not None]


def test_every_panel_has_the_same_rows_and_the_same_scale():
    axes = plots.panels(TABLE, "accuracy").axes
    assert [ax.get_title(loc="left") for ax in axes] == list(TABLE)
    for ax, row in zip(axes, TABLE.values(), strict=True):
        expected = [np.ravel(row[name])[0] for name in ROWS]
        np.testing.assert_allclose([bar.get_width() for bar in bars(ax)], expected)
        assert ax.get_xlim() == axes[0].get_xlim() and ax.get_ylim() == axes[0].get_ylim()
        assert [text.get_text() for text in values(ax)] == [style.number(value) for value in expected]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ROWS
    intervals = [line.get_xdata().tolist() for line in axes[0].lines]
    assert intervals == [[0.4, 0.6], [0.1, 0.3]]


def test_the_highest_is_marked_by_colour_hatch_and_weight():
    fig = plots.panels(TABLE, "accuracy")
    for ax, best in zip(fig.axes, ["centre", "motion", "none"], strict=True):
        for name, bar, text in zip(ROWS, bars(ax), values(ax), strict=True):
            look = (
                to_hex(bar.get_facecolor()).upper() == style.BLUE,
                bool(bar.get_hatch()),
                text.get_weight() == "bold",
            )
            assert look == (name == best,) * 3, (name, look)
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["highest"]


@pytest.mark.parametrize(
    "mark, expected",
    [
        ("motion", [["motion"]] * 3),
        ({"centred": "centre", "roaming": ["motion", "none"]}, [["centre"], ["none", "motion"], []]),
        ({}, [[], [], []]),
    ],
)
def test_given_marks(mark, expected):
    fig = plots.panels(TABLE, "accuracy", mark=mark)
    found = [[name for name, bar in zip(ROWS, bars(ax), strict=True) if bar.get_hatch()] for ax in fig.axes]
    assert found == expected and fig.legends == []
    assert fig.alt.count("marked") == sum(map(len, expected))
    with_key = plots.panels(TABLE, "accuracy", mark=mark, marked="told apart")
    assert len(with_key.legends) == bool(mark) and with_key.alt.count("told apart") == sum(map(len, expected))


def test_the_alt_text_says_all():
    alt = plots.panels(TABLE, "accuracy", title="Kept", level=(0.125, "chance"), form=".2f").alt
    assert alt == (
        "Kept. Bars of accuracy in 3 panels of one scale. "
        "centred: none 0.50 (0.40 to 0.60), centre 0.90 (highest), motion 0.20 (0.10 to 0.30); "
        "roaming: none 0.35, centre 0.25, motion 0.65 (0.60 to 0.70, highest); "
        "handheld: none 0.34 (highest), centre 0.18, motion 0.21; chance is 0.125."
    )


@pytest.mark.parametrize("level", [0.2, 0.36, 0.5, 0.95])
def test_no_line_strikes_a_value(level):
    """Values stand on white, above every line, inside their panel, and clear of bars and intervals."""
    fig = plots.panels(TABLE, "accuracy", level=(level, "a level"))
    fig.draw_without_rendering()
    for ax in fig.axes:
        for i, text in enumerate(values(ax)):
            box = text.get_bbox_patch()
            assert to_hex(box.get_facecolor()) == "#ffffff" and box.get_alpha() is None
            assert text.get_zorder() > max(line.get_zorder() for line in ax.lines)
            room = text.get_window_extent()
            assert room.x0 > bars(ax)[i].get_window_extent().x1 and room.x1 <= ax.get_window_extent().x1
            for line in ax.lines[:-1]:  # the last is the level
                drawn = line.get_window_extent()
                assert not (drawn.y0 < room.y1 and drawn.y1 > room.y0 and drawn.x1 > room.x0), text.get_text()

            at = ax.lines[-1].get_window_extent().x0
            assert not room.x0 < at < room.x1, "the level is left whole, and the value stands beside it"


def test_a_title_of_two_lines_is_one_in_words():
    assert "one, two: x 1 (highest)" in plots.panels({"one\ntwo": {"x": 1}, "b": {"x": 1}}, "gain").alt


def test_what_is_rounded_to_zero_has_no_sign():
    fig = plots.panels({"a": {"x": -0.01, "y": -1}, "b": {"x": 0.01, "y": 2}}, "gain", form="+.1f")
    assert [[text.get_text() for text in values(ax)] for ax in fig.axes] == [["0.0", "-1.0"], ["0.0", "+2.0"]]
    assert "x 0.0" in fig.alt and "-0.0" not in fig.alt


def test_the_key_never_meets_the_label():
    fig = plots.panels(TABLE, "a label that is as long as a whole sentence, which lessons do write at times",
                       marked="bars that need many words to say what they are, and more")  # fmt: skip
    fig.draw_without_rendering()
    key, label = fig.legends[0].get_window_extent(), fig._supxlabel.get_window_extent()
    assert key.y1 <= (label.y0 + label.y1) / 2 + 1


def test_the_level_is_drawn_in_each_panel_and_named_once():
    fig = plots.panels(TABLE, "accuracy", level=(0.125, "chance"))
    assert [ax.lines[-1].get_xdata() for ax in fig.axes] == [[0.125, 0.125]] * 3
    assert sum(text.get_text() == "chance" for ax in fig.axes for text in ax.texts) == 1


def test_long_values_get_room_and_the_picture_keeps_its_width():
    table = {str(i): {"a": 1e6 + i, "b": (-2, -3, 1)} for i in range(5)}
    fig = plots.panels(table, "x", form=",.3f")
    fig.draw_without_rendering()
    for ax in fig.axes:
        assert max(text.get_window_extent().x1 for text in values(ax)) <= ax.get_window_extent().x1 + 1
    data = plots.png(fig)
    assert data == plots.png(
        plots.panels({str(i): {"a": 1e6 + i, "b": (-2, -3, 1)} for i in range(5)}, "x", form=",.3f")
    )
    assert Image.open(io.BytesIO(data)).width <= 905


@pytest.mark.parametrize(
    "table, options, message",
    [
        ({"a": {"x": 1}}, {}, "2 to 5"),
        ({str(i): {"x": 1} for i in range(6)}, {}, "2 to 5"),
        ({}, {}, "at least one entry"),
        ({"a": {"x": 1}, "b": {"y": 1}}, {}, r"panel 'b' and the first one differ in \['x', 'y'\]"),
        ({"a": {"x": 1}, "b": {"x": (1, 2, 3)}}, {}, "with the mean between"),
        ({"a": {"x": 1}, "b": {"x": 1}}, {"mark": "z"}, r"mark has \['z'\] in panel 'a'"),
        ({"a": {"x": 1}, "b": {"x": 1}}, {"mark": {"c": "x"}}, r"mark has \['x'\] in panel 'c'"),
    ],
)
def test_wrong_input_is_one_clear_sentence(table, options, message):
    with pytest.raises(ValueError, match=message) as error:
        plots.panels(table, "x", **options)
    assert "\n" not in str(error.value)
