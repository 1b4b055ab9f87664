"""Boxes and arrows: which box is filled, that nothing runs out of its box, and what the words say."""

import io
import itertools

import pytest
from matplotlib.colors import to_hex
from PIL import Image

from vtm_lesson import plots
from vtm_lesson.plots import style

BOXES = {"film": "frames", "tokens": "a vector\nfor each patch", "answer": ""}


def test_one_box_is_filled_and_all_is_told():
    fig = plots.flow(BOXES, here="tokens", title="The way")
    assert fig.alt == "The way. film (frames), then tokens (a vector, for each patch), then answer. tokens is marked."
    fills = [to_hex(box.get_facecolor()).upper() for box in fig.axes[0].patches if hasattr(box, "get_boxstyle")]
    assert [fill == style.BLUE for fill in fills] == [False, True, False]
    assert plots.flow(BOXES).alt.endswith("then answer.")


def test_every_line_stays_in_its_box_and_boxes_apart():
    fig = plots.flow(
        {f"{'long ' * k}heading": "\n".join(["x" * 6 * k] * k) for k in range(1, 5)}, title="Wide and narrow"
    )
    fig.draw_without_rendering()
    ax = fig.axes[0]
    boxes = [box.get_window_extent() for box in ax.patches if hasattr(box, "get_boxstyle")]
    for text in ax.texts:
        room = text.get_window_extent()
        if text.get_text():  # arrows are annotations without words
            assert any(b.x0 <= room.x0 and room.x1 <= b.x1 and b.y0 <= room.y0 and room.y1 <= b.y1 for b in boxes), text
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


def test_it_fits_a_notebook_and_repeats():
    data = plots.png(plots.flow(BOXES, here="film"))
    assert data == plots.png(plots.flow(BOXES, here="film"))
    assert Image.open(io.BytesIO(data)).width <= 905


@pytest.mark.parametrize("boxes, here", [({"one": ""}, ""), ({str(i): "" for i in range(8)}, ""), (BOXES, "nowhere")])
def test_what_cannot_be_drawn_is_refused(boxes, here):
    with pytest.raises(ValueError, match="2 to 7 boxes"):
        plots.flow(boxes, here)


PARTS = {"why?": {"00": "start\nhere", "01": "the\nprice"}, "how": {"02": "match-\ning"}}
BELOW = {"A": ("01", "pictures")}


def fills(fig) -> dict[str, str]:
    """What is written in a box -> its fill. (Boxes and their words are drawn one after the other.)"""
    boxes = [box for box in fig.axes[0].patches if hasattr(box, "get_boxstyle")]
    found = {}
    for text in fig.axes[0].texts:
        for box in boxes:
            inside = box.get_window_extent().contains(*text.get_window_extent().get_points().mean(0))
            if text.get_text() and inside:
                found[text.get_text()] = to_hex(box.get_facecolor()).upper()
    return found


def test_the_map_marks_one_lesson_and_shows_what_is_to_come():
    fig = plots.course_map(PARTS, BELOW, "01", ["02"])
    fig.draw_without_rendering()
    found = fills(fig)
    assert [found[name] == style.BLUE for name in ("00\nstart\nhere", "01\nthe\nprice", "A pictures")] == [0, 1, 0]
    assert found["02\nmatch-\ning"] == "#FFFFFF"
    assert fig.alt == (
        "Map of the course. why? 00 start here, 01 the price. how: 02 matching (to come). Appendices: A pictures. "
        "You are at 01, the price."
    )
    assert "to come" not in plots.course_map(PARTS, BELOW, "01").alt
    assert fills(plots.course_map(PARTS, BELOW, "A"))["A pictures"] == style.BLUE


@pytest.mark.parametrize(
    "given, words",
    [
        ((PARTS, BELOW, "03"), "here is one of 00, 01, 02, A"),
        ((PARTS, BELOW, "02", ["02"]), "here is one of 00, 01, A"),
        ((PARTS, {"A": ("09", "x")}, "00"), "appendix A stands below '09'; name one of 00, 01, 02"),
        (({"far": {str(i): "x" for i in range(15)}}, {}, "0"), "1 to 14"),
    ],
)
def test_a_map_that_cannot_be_drawn_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        plots.course_map(*given)
