"""Figures: what they draw equals what they were given, their alt texts say it, and nothing leaks."""

import ast
import html
import io
from pathlib import Path
from types import SimpleNamespace

import IPython.display
import matplotlib.pyplot
import numpy as np
import pytest
import torch
from helpers import random
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from vtm_lesson import films, plots
from vtm_lesson.measuring import machine
from vtm_lesson.merging import Merge, match, match_plain, nearest
from vtm_lesson.partition import uniform
from vtm_lesson.paths import data_path
from vtm_lesson.plots import strips, style
from vtm_lesson.plots.__main__ import main as readme_picture

GRID = (5, 4, 3)
N = 60


@pytest.fixture
def film():
    return np.random.default_rng(0).integers(0, 256, (5, 32, 24, 3), dtype=np.uint8)


@pytest.fixture
def keys():
    return random(1, N, 6)


def drawn(ax):
    """The pictures of a strip, side by side images as arrays."""
    return [np.asarray(image.get_array()) for image in ax.images]


def every_figure(film, keys):
    merge = match(keys, uniform(N, 4))
    x = [1, 2, 4]
    return {
        "frames": plots.frames(film, grid=GRID, title="A film"),
        "groups": plots.groups(film, {"a": merge, "b": Merge.identity(1, N)}, GRID, film="the film"),
        "highlight": plots.groups(film, merge, GRID, highlight=(2, 1, 1)),
        "targets": plots.targets(film, uniform(N, 7), GRID, actor=np.ones(GRID, bool)),
        "saliency": plots.saliency(film, np.arange(N), GRID),
        "motion": plots.motion(film, np.ones((5, 4, 3, 2))),
        "matching": plots.matching(keys[0, :8], uniform(8, 2), 3),
        "attention": plots.attention(torch.eye(3), names="abc"),
        "attention_change": plots.attention_change(torch.eye(3), torch.ones(3, 3) / 3),
        "curves": plots.curves(x, {"one": [1, 2, 3], "two": ([1, 2, 4], [0, 1, 3], [2, 3, 5])}, "x", "y"),
        "cost": plots.cost(x, {"one": [1, 2, 3], "two": [1, 4, 16]}),
        "differences": plots.differences({"one": (1, -1, 3), "two": (-2, -3, -1)}, "points", points={"one": [0, 2]}),
        "bars": plots.bars({"one": 1, "two": (2, 1, 3)}, "score", points={"two": [1, 3]}, reference=(0.5, "chance")),
        "bill": plots.bill({"one": {"p": 1, "q": 2}, "two": {"p": 3, "q": 4}}, "GFLOP"),
        "ledger": plots.ledger({"one": [60, 15, 4], "two": [60, 60, 60]}),
    }


def test_every_figure_has_an_alt_text_and_small_repeatable_bytes(film, keys):
    first, second = every_figure(film, keys), every_figure(film, keys)
    for name, fig in first.items():
        assert isinstance(fig, Figure), name
        assert len(fig.alt) > 30 and fig.alt.endswith("."), (name, fig.alt)
        data = plots.png(fig)
        assert data == plots.png(second[name]), name
        assert len(data) < 150_000, (name, len(data))
        image = Image.open(io.BytesIO(data))
        assert image.width <= 905, (name, image.size)
        assert not {"Software", "Creation Time", "date"} & set(image.info), name


def test_nothing_goes_through_pyplot_and_no_setting_leaks(film, keys):
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False}):
        large = plots.png(plots.bars({"one": 1}, "score"))
    every_figure(film, keys)
    assert dict(matplotlib.rcParams) == before
    assert large == plots.png(plots.bars({"one": 1}, "score")), "the reader's settings change the course's look"
    assert matplotlib.pyplot.get_fignums() == []


def test_show_gives_the_picture_with_its_alt_text(monkeypatch):
    seen = []
    monkeypatch.setattr(IPython.display, "display", lambda data, **more: seen.append((data, more)))
    fig = plots.bars({"one": 1}, "score")
    plots.show(fig)
    (data, more), (words, _) = seen
    assert more["metadata"] == {"image/png": {"alt": fig.alt}} and more["raw"] is True
    assert data["text/plain"] == fig.alt and "Figure" not in data["text/plain"]
    assert data["image/png"].startswith("iVBORw0KGgo")
    assert html.escape(fig.alt) in words["text/html"] and words["text/html"].startswith("<details>")
    with pytest.raises(ValueError, match="no alt text"):
        plots.show(Figure())


def test_a_merged_film_is_unmerge_of_merge(film, keys):
    """The picture's own average must be the operator's, in patches and in colours."""
    merge = match(keys, uniform(N, 4))
    pixels = torch.from_numpy(film / 255).view(5, 4, 8, 3, 8, 3).transpose(2, 3).reshape(1, N, -1)
    back = merge.unmerge(merge(pixels)).view(5, 4, 3, 8, 8, 3).transpose(2, 3).reshape(film.shape)
    figure = plots.groups(film, merge, GRID, pick=[0, 3], paint="patch")
    np.testing.assert_allclose(drawn(figure.axes[0]), back[[0, 3]], atol=1e-5)

    colours = pixels.view(1, N, 64, 3).mean(2)
    flat = merge.unmerge(merge(colours)).view(5, 4, 3, 3).numpy()
    picture = drawn(plots.groups(film, merge, GRID, pick=[4]).axes[0])[0]
    for row, column in [(0, 0), (3, 2), (1, 1)]:
        patch = picture[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
        np.testing.assert_allclose(patch, np.broadcast_to(flat[4, row, column], patch.shape), atol=1e-5)


def test_groups_say_how_many_and_who(film):
    group = np.arange(N).reshape(GRID) // 10  # 6 groups of ten patches in a row
    fig = plots.groups(film, group, GRID, highlight=(0, 3, 1))
    assert "60 patches in 6 groups" in fig.alt
    # Patch (0, 3, 1) is number 10, so its group is 10 to 19: frames 0 and 1.
    assert "frame 0, row 3, column 1" in fig.alt and "about 10 patches in 2 of 5 frames" in fig.alt
    merge = Merge(torch.from_numpy(group.reshape(1, N)), torch.arange(0, N, 10)[None])
    kept = strips.kept(merge, group == 1, 0)
    assert kept.sum() == 1 and kept[0, 3, 1]
    far = np.zeros(GRID, int)
    far[1:, 0, 0] = 1  # in every frame but the first
    shown = [text.get_text() for text in plots.groups(film, far, GRID, pick=2, highlight=(3, 0, 0)).axes[0].texts]
    assert shown == ["frame 1", "frame 3"]


def test_merges_in_pieces_do_not_share_groups(film, keys):
    """One frame an item of the batch: equal group numbers in two frames are different groups."""
    per_frame = match(keys.view(5, 12, 6), uniform(12, 3))
    labels = strips.labels_of(per_frame, GRID, 0)
    assert len(np.unique(labels)) == 5 * 4
    for i in range(5):
        assert (labels[i].reshape(-1) - labels[i].min() == per_frame.group[i].numpy()).all()
    assert "60 patches in 20 groups" in plots.groups(film, per_frame, GRID).alt
    batch = match(torch.cat([keys, keys.flip(1)]), uniform(N, 4))
    assert (strips.labels_of(batch, GRID, 1).reshape(-1) == batch.group[1].numpy()).all()


def test_lines_lie_where_neighbours_differ(film):
    labels = np.array([[[0, 0, 1], [0, 2, 1]]])  # a 2 x 3 grid of patches of 16 x 8 pixels
    fig = Figure()
    ax = fig.add_subplot()
    strips.edges(ax, labels, film)
    (lines,) = [c for c in ax.collections if isinstance(c, LineCollection)]
    found = {tuple(map(tuple, segment)) for segment in lines.get_segments()}
    assert found == {
        ((16, 0), (16, 16)), ((8, 16), (8, 32)), ((16, 16), (16, 32)),  # upright
        ((8, 16), (16, 16)),  # level
    }  # fmt: skip


def test_targets_count_the_actor(film):
    actor = np.zeros(GRID, bool)
    actor[:, 1:3, 1] = True
    positions = uniform(N, 4)
    covered = np.mean([bool(actor.reshape(-1)[p]) for p in positions.tolist()]) * len(positions) / actor.sum()
    fig = plots.targets(film, positions, GRID, actor=actor, pick=[1])
    assert f"15 of 60 patches are targets, and {covered:.0%} of the actor's patches" in fig.alt
    picture, plain = drawn(fig.axes[0])[0], film[1] / 255
    for p in range(12):
        y, x = p // 3 * 8, p % 3 * 8
        same = np.allclose(picture[y : y + 8, x : x + 8], plain[y : y + 8, x : x + 8], atol=1e-5)
        assert same == (12 + p in positions.tolist()), "targets are bright, sources faded"


def test_matching_draws_each_source_to_its_target():
    keys = random(9, 3, seed=2)
    targets = torch.tensor([1, 4, 5])
    merge, (best, cosine) = match_plain(keys[None], targets, 4), nearest(keys[None], targets)
    fig = plots.matching(keys, targets, 4, names=list("abcdefghi"))
    lines = fig.axes[0].lines
    assert len(lines) == 6 and sum(line.get_linestyle() == "-" for line in lines) == 4
    sources = [0, 2, 3, 6, 7, 8]
    for i, source in enumerate(sources):
        target = targets[best[0, i]].item()
        merged = merge.group[0, source] == merge.group[0, target]
        word = "merged" if merged else "not merged"
        assert f"{'abcdefghi'[source]} to {'abcdefghi'[target]} at {cosine[0, i]:.2f}, {word}" in fig.alt


def test_curves_draw_their_numbers_and_keep_names_apart():
    x, close = [1, 2, 3], {f"line {i}": [1, 2, 3 + i / 1000] for i in range(5)}
    fig = plots.curves(x, close | {"band": ([1, 2, 9], [0, 1, 8], [2, 3, 10])}, "x", "y", title="T")
    ax = fig.axes[0]
    np.testing.assert_array_equal(ax.lines[-1].get_xydata(), [[1, 1], [2, 2], [3, 9]])
    assert fig.alt.startswith("T. Line chart of y against x (1 to 3). line 0 goes from 1 to 3;")
    fig.draw_without_rendering()
    heights = sorted(text.get_window_extent().y0 for text in ax.texts)
    assert min(np.diff(heights)) > 12, "names cover each other"


def test_cost_tells_the_slope():
    n = np.array([100, 200, 400, 800])
    alt = plots.cost(n, {"square": n**2 / 1e6, "straight": n / 1e3}).alt
    assert "square goes from 0.01 to 0.64 (slope 2.0)" in alt and "straight goes from 0.1 to 0.8 (slope 1.0)" in alt


def test_a_guide_of_cost_begins_where_the_line_begins_that_is_most_like_it():
    n = np.array([100, 200, 400, 800])
    unknown = np.array([np.nan, 4e4, 16e4, 64e4]) / 1e6  # the first value could not be measured
    [ax] = plots.cost(n, {"straight": n / 1e3, "square": unknown}).axes
    one, two = (line.get_xydata() for line in ax.get_lines()[-2:])
    assert np.allclose(one, np.stack([n, n / 1e3], 1))
    assert np.allclose(two, np.stack([n[1:], unknown[1:]], 1))


def test_trade_keeps_every_line_over_its_own_x():
    fig = plots.trade({"a": ([3, 1], [0.5, 0.25]), "b": ([2], [1])}, "cost", "gain", title="T")
    [a, b] = fig.axes[0].lines
    assert a.get_xdata().tolist() == [1, 3] and a.get_ydata().tolist() == [0.25, 0.5]
    assert b.get_xdata().tolist() == [2]
    assert fig.alt == "T. gain against cost. a: 0.25 at 1, 0.5 at 3; b: 1 at 2."
    with pytest.raises(ValueError, match="'a' has x of shape"):
        plots.trade({"a": ([1, 2], [1])}, "cost", "gain")


def test_numbers_are_written_for_reading():
    written = {0: "0", 11760: "11,760", 0.12345: "0.123", 15360.5: "15,400", 2.0: "2", 1e-6: "1.0e-06"}
    assert {value: style.number(value) for value in written} == written


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda f, k: plots.frames(f[0]), r"frames have shape \(32, 24, 3\)"),
        (lambda f, k: plots.frames(f / 255.0 * 3), "uint8, or floats in 0 to 1"),
        (lambda f, k: plots.frames(f, pick=[7]), "frames 0 to 4"),
        (lambda f, k: plots.frames(f, pick=0), "1 or more"),
        (lambda f, k: plots.groups(f, match(k, uniform(N, 4)), (5, 5, 3)), "h dividing 32"),
        (lambda f, k: plots.groups(f, match(k[:, :30], uniform(30, 4)), GRID), "has 60 patches"),
        (lambda f, k: plots.groups(f, match(k, uniform(N, 4)), GRID, highlight=(0, 4, 0)), "token on the grid"),
        (lambda f, k: plots.groups(f, match(k, uniform(N, 4)), GRID, paint="mean"), '"colour"'),
        (lambda f, k: plots.targets(f, [60], GRID), "from 0 to 59"),
        (lambda f, k: plots.targets(f, [1], GRID, actor=np.ones((5, 4))), "needs 60 numbers"),
        (lambda f, k: plots.saliency(f, np.full(N, np.nan), GRID), "NaN"),
        (lambda f, k: plots.motion(f, np.ones((5, 4, 3))), r"\(5, h, w, 2\)"),
        (lambda f, k: plots.matching(k, uniform(N, 4)), "N of 16 or fewer"),
        (lambda f, k: plots.attention(torch.ones(3)), r"\(N, K\) matrix"),
        (lambda f, k: plots.attention_change(torch.ones(3, 3), torch.ones(2, 3)), r"two \(N, K\)"),
        (lambda f, k: plots.curves([1, 2], {"a": [1, 2, 3]}, "x", "y"), r"'a' has shape \(3,\)"),
        (lambda f, k: plots.curves([1, 2], {}, "x", "y"), "at least one entry"),
        (lambda f, k: plots.cost([1, 2], {"a": [0, 1]}), "logarithmic"),
        (lambda f, k: plots.bars({"a": (1, 2, 3)}, "x"), "with the mean between"),
        (lambda f, k: plots.differences({"a": (1, 2, 3)}, "x"), "with the mean between"),
        (lambda f, k: plots.bill({"a": {"p": 1}, "b": {"q": 1}}, "x"), "'b'"),
        (lambda f, k: plots.ledger({"a": [4, 2], "b": [4]}), "'b' has counts"),
    ],
)
def test_wrong_input_is_one_clear_sentence(film, keys, draw, message):
    with pytest.raises(ValueError, match=message) as error:
        draw(film, keys)
    assert "\n" not in str(error.value)


def test_machine_report_says_what_counts(capsys):
    machine.report()
    said = capsys.readouterr().out
    assert torch.__version__ in said and "CUDA" in said and "GFLOP/s" in said
    assert machine.cores() >= 1


def test_dropped_patches_count_nothing_in_what_is_painted():
    film = np.array([0.2, 1.0, 0.4, 0.0], np.float32).repeat(3 * 4).reshape(1, 4, 4, 3)  # four rows of one patch each
    merge = Merge(torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 2]]), torch.tensor([[False, True, False, True]]))
    assert strips.dropped_of(merge, (1, 4, 1), 0).ravel().tolist() == [False, True, False, True]
    weight = strips.weight_of(merge, (1, 4, 1), 0)
    painted = strips.average(film, merge.group.numpy().reshape(1, 4, 1), "patch", weight)
    np.testing.assert_allclose(painted[0, :, 0, 0], [0.2, 0.2, 0.4, 0.4], rtol=1e-6)
    assert strips.dropped_of(Merge.identity(1, 4), (1, 4, 1), 0) is None
    weighed = Merge(merge.group, merge.keep, weight=torch.tensor([[3.0, 1.0, 1.0, 0.0]]))
    weight = strips.weight_of(weighed, (1, 4, 1), 0)
    painted = strips.average(film, merge.group.numpy().reshape(1, 4, 1), "patch", weight)
    np.testing.assert_allclose(painted[0, :, 0, 0], [0.4, 0.4, 0.4, 0.4], rtol=1e-6)
    assert strips.weight_of(Merge.identity(1, 4), (1, 4, 1), 0) is None


def test_readme_picture(tmp_path, capsys):
    try:
        films.sample("square")
    except FileNotFoundError as absent:
        pytest.skip(str(absent))
    path = tmp_path / "pictures" / "merging.webp"
    readme_picture(["readme", str(path)])
    assert "11,760 patches drawn from 1,960" in capsys.readouterr().out
    assert path.stat().st_size < 300_000
    with Image.open(path) as loop, Image.open(data_path() / "pictures" / "merging.webp") as stored:
        assert loop.n_frames == 60 and loop.info["loop"] == 0, "it plays, over and over"
        assert (loop.size, loop.n_frames) == (stored.size, stored.n_frames)
        loop.seek(30)
        stored.seek(30)
        assert np.abs(np.asarray(loop.convert("RGB"), float) - np.asarray(stored.convert("RGB"))).mean() < 2
    with pytest.raises(SystemExit, match="usage"):
        readme_picture(["paint"])


def test_preview_merges_what_lesson_00_says():
    film = films.make(1, frames=5, size=64, patch=16)
    tokens = torch.from_numpy(film.frames / 255).view(5, 4, 16, 4, 16, 3).transpose(2, 3).reshape(1, 80, 768)
    expected = match_plain((tokens - tokens.mean(1, keepdim=True)).float(), uniform(80, 6, staggered=True))
    merge, grid = plots.merge_patches(film.frames, 6)
    assert grid == (5, 4, 4) and torch.equal(merge.group, expected.group)
    assert "80 patches in 14 groups" in plots.preview(film).alt
    with pytest.raises(ValueError, match="do not fill"):
        plots.merge_patches(film.frames, 6, patch=15)


@pytest.mark.parametrize("gamma", [2, 6, 20])
def test_every_place_of_a_previewed_film_has_a_target(gamma):
    """A patch that never moves must be able to join itself; every gamma-th token reaches half of 14 x 14 at best."""
    merge, grid = plots.merge_patches(np.random.default_rng(0).random((60, 28, 28, 3)), gamma, patch=2)
    places = grid[1] * grid[2]
    assert places == 196 and torch.equal((merge.keep[0] % places).unique(), torch.arange(places))


def test_a_still_film_is_previewed_without_loss():
    """As in lesson 00: what stands still comes through, so a film that stands still is its own preview."""
    film = np.repeat(np.random.default_rng(0).random((1, 56, 56, 3)), 60, axis=0)
    figure = plots.preview(SimpleNamespace(frames=film), gamma=6, patch=4)
    np.testing.assert_allclose(drawn(figure.axes[1]), drawn(figure.axes[0]), atol=1e-5)
    alone = film[0].reshape(14, 4, 14, 4, 3).swapaxes(1, 2).reshape(196, 48)
    assert len(np.unique(alone, axis=0)) == 196, "patches that are all different: none can stand for another"


def test_lesson_00_takes_the_targets_of_the_preview():
    """The lesson builds its first picture again, step by step: no step may fall back on every gamma-th token."""
    lesson = Path(__file__).parents[2] / "notebooks" / "source" / "00_start_here.py"
    calls = [node for node in ast.walk(ast.parse(lesson.read_text("utf-8"))) if isinstance(node, ast.Call)]
    targets = [ast.unparse(call) for call in calls if ast.unparse(call.func) == "uniform"]
    assert targets and all(call.endswith("staggered=True)") for call in targets), targets


def test_a_highlighted_group_is_outlined_in_colours_that_no_figure_wears(film):
    """Black, and blue for the target: an orange line on the orange figure was hard to see."""
    merge = Merge(torch.arange(N)[None] // 10, torch.arange(0, N, 10)[None])
    figure = plots.groups(film, merge, GRID, pick=[0], highlight=(0, 0, 1))
    lines = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    assert [to_hex(c.get_color()[0]).upper() for c in lines] == [style.BLACK, style.BLUE]
    assert lines[1].get_linewidth()[0] > lines[0].get_linewidth()[0], "the target is known without its colour, too"
