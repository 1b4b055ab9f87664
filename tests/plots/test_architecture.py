"""Attention, blocks and paths: the numbers, that words stay apart, what the words say, what is refused."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from vtm_lesson import plots
from vtm_lesson.network import count
from vtm_lesson.plots import architecture, style

X = torch.tensor([[1.0, 0], [0, 1], [1, 1]])
DRAWINGS = {
    "attention": lambda: plots.attention_steps(X, X, X, names="123", title="Attention"),
    "two heads": lambda: plots.attention_steps(X, X, X, query=2, heads=2),
    "three numbers": lambda: plots.attention_steps(*torch.full((3, 6, 3), -1.25), query=5),
    "four heads": lambda: plots.attention_steps(*torch.full((3, 2, 12), -1.25), heads=4),
    "ViT block": lambda: plots.vit_block(title="A block"),
    "ViT block, 16 tokens": lambda: plots.vit_block([0, *range(1, 15), 14]),
    "ViT block, nothing merged": lambda: plots.vit_block(None),
    "VTM": lambda: plots.vtm_blocks(60, (6, 30, 60), (1024, 512, 256, 128), (15360, 2560, 430, 72), 6, "VTM"),
    "VTM, one block": lambda: plots.vtm_blocks(4, (2,), (8, 4)),
    **{f"{n} blocks": (lambda n=n: plots.two_paths(n, "Two paths")) for n in (1, 2, 3, 4)},
}


def texts(fig) -> list[str]:
    return [text.get_text() for text in fig.axes[0].texts if text.get_text()]


@pytest.mark.parametrize("name", DRAWINGS)
def test_words_stay_in_the_picture_and_off_each_other_and_it_repeats(name):
    fig = DRAWINGS[name]()
    fig.draw_without_rendering()
    rooms = {text: text.get_window_extent() for text in [*fig.axes[0].texts, *fig.texts] if text.get_text()}
    for text, room in rooms.items():
        assert room.x0 >= 0 and room.y0 >= 0 and room.x1 <= fig.bbox.x1 and room.y1 <= fig.bbox.y1, text
    for (one, a), (other, b) in itertools.combinations(rooms.items(), 2):
        apart = a.x1 < b.x0 + 1 or b.x1 < a.x0 + 1 or a.y1 < b.y0 + 1 or b.y1 < a.y0 + 1
        assert apart, f"{one.get_text()!r} lies on {other.get_text()!r}"
    assert fig.alt and "\n" not in fig.alt and plots.png(fig) == plots.png(DRAWINGS[name]())


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_is_what_torch_makes_of_the_same_numbers(heads):
    q, k, v = torch.randn(3, 4, 2 * heads, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    fig = plots.attention_steps(q, k, v, query=1, heads=heads, names="abcd")
    cut = [x.unflatten(1, (heads, -1)).transpose(0, 1) for x in (q, k, v)]
    wanted = F.scaled_dot_product_attention(*cut)[:, 1].flatten()
    said = fig.alt.rstrip(".").split("Side by side the outputs are " if heads > 1 else "Output ")[1]
    assert [float(value) for value in said.strip("()").split(", ")] == pytest.approx(wanted.tolist(), abs=0.006)
    assert fig.alt.count("weight") == 4 * heads and ("Head 2" in fig.alt) == (heads == 2)
    bars = [bar for bar in fig.axes[0].patches if to_hex(bar.get_facecolor()).upper() == style.BLUE]
    for head in range(heads):
        assert sum(bar.get_width() for bar in bars[4 * head : 4 * head + 4]) == pytest.approx(1)


def test_a_vit_block_draws_each_token_to_where_it_goes():
    group = [0, 1, 2, 1]
    fig = plots.vit_block(group)
    assert texts(fig).count("cls") == 2 and "4 tokens into MERGE" in texts(fig) and "3 tokens out of it" in texts(fig)
    assert "tokens 1 and 3 become token 1; the class token, token 0, is never merged" in fig.alt
    ends = [(a.xyann[0], a.xy[0]) for a in fig.axes[0].texts if getattr(a, "arrow_patch", None) and a.xy[1] < 0.5]
    places = sorted({start for start, _ in ends})
    assert [(places.index(start), round((end - places[0]) / (places[1] - places[0]))) for start, end in ends] == [
        *enumerate(group)
    ]
    plain = plots.vit_block(None)
    assert "MERGE" not in texts(plain) and "erg" not in plain.alt


def test_the_block_of_the_toy_is_tomes():
    """Sources are the odd places, targets the even ones; r = 3; new tokens stand in the order of those that survive."""
    members: dict[int, list[int]] = {}
    for token, output in enumerate(architecture.TOY):
        members.setdefault(output, []).append(token)
    assert len(architecture.TOY) - len(members) == 3
    survivors = {}
    for output, tokens in members.items():
        targets = [token for token in tokens if token % 2 == 0]
        assert len(targets) == 1 or len(tokens) == 1
        survivors[output] = targets[0] if targets else tokens[0]
    assert [survivors[i] for i in range(len(survivors))] == sorted(survivors.values())


def test_vtms_blocks_are_those_of_the_network():
    settings = {"dim": 1024, "chunks": (6, 30, 60), "gamma": 6}
    tokens = count(settings, 60, 16, 16).tokens
    fig = plots.vtm_blocks(60, settings["chunks"], (1024, 512, 256, 128), tokens, gamma=6)
    assert texts(fig).count("6") == 10 and texts(fig).count("30 frames") == 2 and texts(fig).count("60 frames") == 1
    assert f"{tokens[1]:,} tokens" in texts(fig) and "1 token in 6 of each chunk, 2,560 in all" in fig.alt
    bars = [bar.get_width() for bar in fig.axes[0].patches if isinstance(bar, Rectangle)]
    assert [width / bars[0] for width in bars] == pytest.approx([1, 0.5, 0.25, 0.125])
    assert "1 token in gamma of each chunk; 8 channels become 4" in plots.vtm_blocks(4, (2,), (8, 4)).alt


@pytest.mark.parametrize(
    "blocks, end",
    [
        (1, "of block 1 is the input X itself."),
        (2, "of block 2 it is the auxiliary output of block 1."),
        (3, "of blocks 2 and 3 it is the auxiliary output of the block before."),
        (4, "of blocks 2, 3 and 4 it is the auxiliary output of the block before."),
    ],
)
def test_the_two_paths_say_where_x_aux_comes_from(blocks, end):
    fig = plots.two_paths(blocks)
    assert fig.alt.endswith(end)
    assert [f"block {i}" in texts(fig) for i in range(1, 6)] == [i <= blocks for i in range(1, 6)]
    assert sum("$X_{aux}$ of block" in text for text in texts(fig)) == blocks - 1


@pytest.mark.parametrize(
    "draw, words",
    [
        (lambda: plots.attention_steps(X, X, X[:2]), r"give finite numbers, \(N, C\) each"),
        (lambda: plots.attention_steps(X, X, X / 0), r"give finite numbers"),
        (lambda: plots.attention_steps(X, X, X, query=3), "one of the 3 tokens"),
        (lambda: plots.attention_steps(X, X, X, heads=3), "1 to 4 heads"),
        (lambda: plots.attention_steps(*torch.ones(3, 2, 8)), "1 to 3 numbers"),
        (lambda: plots.attention_steps(X, X, X, names="ab"), "one for each"),
        (lambda: plots.vit_block([0, 0, 1]), "class token alone"),
        (lambda: plots.vit_block([0, 2, 2]), "without a gap"),
        (lambda: plots.vit_block(range(17)), "2 to 16"),
        (lambda: plots.vit_block([]), "2 to 16"),
        (lambda: plots.vtm_blocks(60, (7,), (8, 4)), "divide the film's 60 frames"),
        (lambda: plots.vtm_blocks(60, (), (8,)), "1 to 4 lengths"),
        (lambda: plots.vtm_blocks(4, (2,), (8, 4, 2)), r"channels are \[8, 4, 2\] for 1 blocks; give 2"),
        (lambda: plots.vtm_blocks(4, (2,), (8, 4), tokens=(8,)), r"tokens are \[8\]"),
        (lambda: plots.vtm_blocks(4, (2,), (8, 4), gamma=0.5), "gamma is 0.5"),
        (lambda: plots.two_paths(0), "1 to 4"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, words):
    with pytest.raises(ValueError, match=words):
        draw()
