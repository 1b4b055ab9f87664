"""Growth with the number of tokens, drawn: the points that were given, fits in words, gaps where nothing was seen."""

import numpy as np
import pytest

from vtm_lesson import plots

FIT = {"exponent": 1.5, "standard_error": 0.25, "from": 1024, "to": 4096}


def result(**more):
    def points(seconds, mib):
        return [
            {"tokens": n, "seconds": {"median": s, "low": s / 2, "high": 2 * s}, "bytes": int(m * 2**20)}
            for n, s, m in zip((1024, 2048, 4096), seconds, mib, strict=True)
        ]

    own = {"matching": points((1, 3, 9), (2, 4, 8)), "merging": points((0.1, 0.2, 0.5), (0, 1, 2))}
    return {"points": own | more, "exponents": {"matching": {"seconds": FIT, "bytes": None}}}


def test_it_draws_the_points_it_was_given():
    fig = plots.growth(result())
    time, memory = fig.axes
    assert [line.get_ydata().tolist() for line in time.lines] == [[1, 3, 9], [0.1, 0.2, 0.5]]
    assert memory.lines[0].get_ydata().tolist() == [2, 4, 8]
    assert np.isnan(memory.lines[1].get_ydata()[0]), "no memory to be seen is a gap, not a zero on a logarithmic axis"
    assert time.get_xscale() == time.get_yscale() == memory.get_yscale() == "log"
    assert [text.get_text() for text in time.get_legend().get_texts()] == ["matching: $N^{1.50}$ ± 0.25", "merging"]
    assert "matching" in [text.get_text() for text in memory.get_legend().get_texts()]  # no fit of its memory


def test_the_words_say_what_is_drawn():
    alt = plots.growth(result(), title="Up to 4k.").alt
    assert alt == (
        "Up to 4k. matching from 1,024 to 4,096 tokens: 1 to 9 s, as N^1.50 ± 0.25, 2 to 8 MiB;"
        " merging from 1,024 to 4,096 tokens: 0.1 to 0.5 s, 0 to 2 MiB."
    )


def test_an_operation_without_points_is_left_out_and_nothing_at_all_is_refused():
    assert len(plots.growth(result(network=[])).axes[0].lines) == 2
    with pytest.raises(ValueError, match="no points"):
        plots.growth({"points": {"matching": []}, "exponents": {}})
