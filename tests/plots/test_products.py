"""Matrices as boxes to scale: sizes, names that stay inside or stand above, and the words."""

import io

import pytest
from matplotlib.colors import to_hex
from PIL import Image

from vtm_lesson import plots
from vtm_lesson.plots import style

ROWS = {
    "usual": [("Q", 384, 256), "·", ("Kᵀ", 256, 384), "→ softmax →", ("P", 384, 384), "→ M →", ("M P", 64, 384)],
    "few": [("M Q", 64, 256), "·", ("Kᵀ", 256, 384), "→ softmax →", ("P'", 64, 384)],
}


def boxes(fig):
    return fig.axes[0].patches


def test_one_scale_for_all_boxes():
    fig = plots.products(ROWS)
    sizes = [part[1:] for row in ROWS.values() for part in row if not isinstance(part, str)]
    scale = boxes(fig)[0].get_height() / 384
    for box, (high, wide) in zip(boxes(fig), sizes, strict=True):
        assert box.get_height() == pytest.approx(scale * high) and box.get_width() == pytest.approx(scale * wide)


def test_the_smallest_is_still_seen():
    tiny, wide = boxes(plots.products({"row": [("a", 1, 500), "·", ("b", 500, 500)]}))
    assert 0.05 < tiny.get_height() < wide.get_height() / 5


def test_words_and_marks():
    fig = plots.products(ROWS, marked=("P",), title="One chunk.")
    assert fig.alt.startswith("One chunk. usual: Q (384 x 256) · Kᵀ (256 x 384) → softmax → P (384 x 384) → M → M P")
    assert fig.alt.endswith("few: M Q (64 x 256) · Kᵀ (256 x 384) → softmax → P' (64 x 384). Filled: P.")
    filled = [to_hex(box.get_facecolor()).upper() == style.BLUE for box in boxes(fig)]
    assert filled == [False, False, True, False, False, False, False]


def test_nothing_overlaps_and_nothing_is_cut_off():
    fig = plots.products(ROWS, title="One chunk")
    fig.draw_without_rendering()
    words = [text.get_window_extent() for text in fig.axes[0].texts]
    for i, one in enumerate(words):
        assert one.x0 >= 0 and one.x1 <= fig.bbox.x1 and one.y0 >= 0 and one.y1 <= fig.bbox.y1, fig.axes[0].texts[i]
        assert not any(one.overlaps(other) for other in words[i + 1 :]), fig.axes[0].texts[i]
    extents = [box.get_window_extent() for box in boxes(fig)]
    assert not any(a.overlaps(b) for i, a in enumerate(extents) for b in extents[i + 1 :])


def test_it_fits_a_notebook_and_repeats():
    data = plots.png(plots.products(ROWS))
    assert data == plots.png(plots.products(ROWS)) and Image.open(io.BytesIO(data)).width <= 905


@pytest.mark.parametrize("rows", [{}, {"row": ["·"]}, {"row": [("a", 0, 3)]}])
def test_what_cannot_be_drawn_is_named(rows):
    with pytest.raises(ValueError, match=r"give rows of boxes \(name, rows, columns\)"):
        plots.products(rows)
