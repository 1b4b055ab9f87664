"""What a network is made of: a block of a vision transformer, the blocks of VTM's network, its two paths.

Each drawing returns a `Picture` with a text alternative in `fig.alt`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from matplotlib.axes import Axes

from .diagrams import FAINT, LINE, PALE, SAND, arrow, box, canvas, note, plus
from .style import BLACK, BLUE, GREY, ORANGE, VERMILLION, WIDTH, Picture, number, styled

TRAINING, TEST = VERMILLION, BLUE  # of the auxiliary path, and of the main one
RUST = "#a34700"  # vermillion for letters: dark enough for small ones
MOST = 16  # tokens that have room side by side
TOY = (0, 1, 1, 5, 2, 2, 3, 4, 5)  # a class token and eight patches, of which three are merged away


@styled
def vit_block(group: Sequence[int] | None = TOY, title: str = "") -> Picture:
    """A block of a vision transformer, with the slot in which ToMe merges.

    Parameters
    ----------
    group : sequence of int or None, optional
        (N,): into which new token each token goes, 0 to M - 1; N of 16 or fewer. Token 0 is the class token, alone in
        group 0. None: a block in which nothing is merged.
    title : str, optional
        Above the picture.

    Returns
    -------
    Picture
        With the steps, and who goes where, in words.

    Raises
    ------
    ValueError
        If `group` has gaps, is too long, or merges the class token.

    Notes
    -----
    ToMe, section 3; x + attention(norm(x)), then x + MLP(norm(x)).

    Examples
    --------
    >>> from vtm_lesson import plots
    >>> plots.vit_block([0, 1, 1]).alt.split(". ")[-1]
    'Merging makes 2 tokens of 3: tokens 1 and 2 become token 1; the class token, token 0, is never merged.'
    """
    group = None if group is None else [int(i) for i in group]
    if group is not None and (
        not 2 <= len(group) <= MOST or sorted(set(group)) != list(range(max(group) + 1)) or group.count(group[0]) > 1
        or group[0] != 0
    ):  # fmt: skip
        raise ValueError(
            f"group is {group}; give 2 to {MOST} numbers 0, 1, ... without a gap, and 0 for the class token alone."
        )
    low = -0.25 if group is None else 1.62
    fig, ax = canvas(low + 1.42, title)
    y, over = low + 0.62, low + 1.28
    places = {"norm 1": 1.3, "attention": 2.35, "norm 2": 5.3, "MLP": 6.3}
    plus_1, merge, plus_2 = 3.3, 4.2, 7.15
    stops = [0.45, *places.values(), plus_1, plus_2, *([] if group is None else [merge])]
    half = {0.45: 0.25, 1.3: 0.37, 2.35: 0.46, 5.3: 0.37, 6.3: 0.37, plus_1: 0.1, plus_2: 0.1, merge: 0.47, 7.85: 0.25}
    for start, end in itertools.pairwise([*sorted(stops), 7.85]):
        arrow(ax, (start + half[start], y), (end - half[end], y))
    for name, x in places.items():
        box(ax, (x, y), (2 * half[x], 0.5), name)
    for start, end in ((0.8, plus_1), (4.8, plus_2)):
        arrow(ax, (start, y), (start, over), (end, over), (end, y + 0.1), colour=BLUE, width=1.8)
        note(ax, ((start + end) / 2, over), "what came in, unchanged", colour=BLUE)
    for x in (plus_1, plus_2):
        plus(ax, (x, y))
    for x in (0.45, 7.85):
        ax.text(x, y, "$x$", ha="center", va="center", fontsize=12)
    told = "A block: norm 1, attention, plus what came in; "
    if group is None:
        fig.alt = _titled(title, told + "norm 2, MLP, plus what came in.")
        return fig
    box(ax, (merge, y), (2 * half[merge], 0.5), "MERGE", fill=BLUE, bold=True)
    arrow(ax, (2.35, y - 0.25), (2.35, y - 0.5), (merge, y - 0.5), (merge, y - 0.25), colour=VERMILLION)
    note(ax, ((2.35 + merge) / 2, y - 0.5), "keys", colour=RUST, fontsize=8.5)
    left, step = max(group) + 1, min(0.64, 6.4 / len(group))
    before, after = _row(ax, 1.05, len(group), step), _row(ax, 0.22, left, step)
    for token, output in enumerate(group):
        alone = group.count(output) == 1
        colour = VERMILLION if token == 0 else GREY if alone else BLUE
        arrow(ax, (before[token], 0.9), (after[output], 0.37), colour=colour, width=2.2 if not alone else 1.4)
    for height, words in ((1.05, f"{len(group)} tokens into MERGE"), (0.22, f"{left} tokens out of it")):
        ax.text(0.12, height, words, va="center", fontsize=8, color=BLACK)
    note(ax, (0.12, 0.64), "class token:\nnever merged", colour=RUST, ha="left")
    merged = [[t for t, o in enumerate(group) if o == output] for output in range(left)]
    told += "merging, by attention's keys; norm 2, MLP, plus what came in. "
    told += f"Merging makes {left} tokens of {len(group)}: "
    told += "".join(
        f"tokens {_and(tokens)} become token {output}; " for output, tokens in enumerate(merged) if len(tokens) > 1
    )
    fig.alt = _titled(title, told + "the class token, token 0, is never merged.")
    return fig


def _row(ax: Axes, height: float, count: int, step: float) -> list[float]:
    """Tokens side by side, numbered, the first marked as the class token; their places."""
    places = [1.7 + step * (i + 0.5) for i in range(count)]
    for i, x in enumerate(places):
        fill, edge = (SAND, VERMILLION) if i == 0 else (PALE, BLUE)
        box(ax, (x, height), (step - 0.06, 0.3), "cls" if i == 0 else str(i), fill=fill, edge=edge, bold=i == 0)
    return places


@styled
def vtm_blocks(
    frames: int,
    chunks: Sequence[int],
    channels: Sequence[int],
    tokens: Sequence[int] | None = None,
    gamma: float | None = None,
    title: str = "",
) -> Picture:
    """The blocks of VTM's network: chunks of frames that attend by themselves, fewer tokens, half the channels.

    All sources are merged (R = |S|), so that each chunk keeps one token in gamma.

    Parameters
    ----------
    frames : int
        Of the film.
    chunks : sequence of int
        L_i for each block, in frames; 1 to 4 blocks, each length a divisor of `frames`.
    channels : sequence of int
        Before the first block, and after each one.
    tokens : sequence of int, optional
        Of the film, before the first block and after each one; written where they are given.
    gamma : float, optional
        The partition factor, where it is to be written as a number.
    title : str, optional
        Above the picture.

    Returns
    -------
    Picture
        With chunks, channels and tokens of each block in words.

    Raises
    ------
    ValueError
        If chunks do not fill the film, channels or tokens do not fit the number of blocks, or gamma is below 1.

    Notes
    -----
    VTM section 3.2 and figure 2.

    Examples
    --------
    >>> from vtm_lesson import plots
    >>> for words in plots.vtm_blocks(4, (2,), (8, 4), tokens=(8, 4), gamma=2).alt.split("; "):
    ...     print(words)
    4 frames, 8 tokens, 8 channels. Block 1: attention inside 2 chunks of 2 frames
    merging leaves 1 token in 2 of each chunk, 4 in all
    8 channels become 4. Then the mean over all tokens, and a linear head.
    """
    chunks, channels = list(chunks), list(channels)
    if not 1 <= len(chunks) <= 4 or any(length < 1 or frames % length for length in chunks):
        raise ValueError(f"chunks are {chunks}; give 1 to 4 lengths that divide the film's {frames} frames.")
    for name, given in (("channels", channels), ("tokens", tokens)):
        if given is not None and (len(given) != len(chunks) + 1 or min(given) < 1):
            raise ValueError(
                f"{name} are {list(given)} for {len(chunks)} blocks; give {len(chunks) + 1} numbers above 0, the first "
                "for what comes in."
            )
    if gamma is not None and not gamma >= 1:
        raise ValueError(f"gamma is {gamma}; it is 1 or more: one token in gamma becomes a target.")
    one_in = ("$\\gamma$", "gamma") if gamma is None else (number(gamma), number(gamma))
    counts = [""] * (len(chunks) + 1) if tokens is None else [f"{number(n)} tokens" for n in tokens]
    step, low = 0.86, 0.35
    fig, ax = canvas(low + step * len(chunks) + 0.55, title)
    top, left, wide, right = ax.get_ylim()[1], 1.5, 4.2, 6.05
    ax.text(left + wide / 2, top - 0.14, f"{frames} frames, from the encoder", ha="center", va="center", fontsize=8.5)
    ax.text(right, top - 0.14, "channels of a token", va="center", fontsize=8.5)
    told = [", ".join(filter(None, [f"{frames} frames", counts[0], f"{number(channels[0])} channels"]))]
    y = top - 0.45
    for block, length in enumerate(chunks):
        thick = 0.4 * 0.72**block
        cells = frames // length
        ax.text(0.1, y + LINE / 2, f"block {block + 1}: attention", va="center", fontsize=8.5)
        ax.text(0.1, y - LINE / 2, f"inside chunks of {length}", va="center", fontsize=8.5)
        for cell in range(cells):
            middle = left + wide * (cell + 0.5) / cells
            words = f"{length} frames" if cells <= 6 else str(length)
            box(ax, (middle, y), (wide / cells - 0.03, thick), words, fontsize=7.5)
        _channels(ax, right, y, channels[block], channels[0], counts[block])
        fewer = f"{number(channels[block])} → {number(channels[block + 1])}"
        rule = f"merging leaves 1 token in {one_in[0]} of each chunk; linear layer: {fewer} channels"
        below = y - step + 0.2
        arrow(ax, (left + wide / 2, y - thick / 2 - 0.02), (left + wide / 2, below))
        note(ax, (left + wide / 2, (y - thick / 2 + below) / 2 + 0.02), rule, colour=BLACK, fontsize=7.5)
        in_all = f", {number(tokens[block + 1])} in all" if tokens is not None else ""
        told.append(
            f"Block {block + 1}: attention inside {cells} chunk{'s' * (cells > 1)} of {length} frames; merging leaves "
            f"1 token in {one_in[1]} of each chunk{in_all}; {number(channels[block])} channels become "
            f"{number(channels[block + 1])}"
        )
        y -= step
    box(ax, (left + wide / 2, y), (wide, 0.3), "mean over all tokens, linear head: the class", fill=SAND, edge=ORANGE)
    _channels(ax, right, y, channels[-1], channels[0], counts[-1])
    fig.alt = _titled(title, ". ".join([*told, "Then the mean over all tokens, and a linear head."]))
    return fig


def _channels(ax: Axes, x: float, y: float, count: int, most: int, words: str) -> None:
    """A bar as long as a token has channels, and how many tokens there are."""
    length = 0.8 * count / most
    ax.barh(y, length, 0.2, left=x, color=ORANGE, edgecolor=BLACK, linewidth=0.8, zorder=2)
    ax.text(x + length + 0.07, y, number(count), va="center", fontsize=8.5)
    if words:
        ax.text(WIDTH - 0.05, y, words, va="center", ha="right", fontsize=7.5, color=FAINT)


@styled
def two_paths(blocks: int = 3, title: str = "") -> Picture:
    """Main and auxiliary path of learnable VTM: one block in full, and below it how the paths run through the network.

    Parameters
    ----------
    blocks : int, optional
        1 to 4 blocks.
    title : str, optional
        Above the picture.

    Returns
    -------
    Picture
        With both paths in words, and where X_aux of each block comes from.

    Raises
    ------
    ValueError
        For fewer or more blocks.

    Notes
    -----
    VTM section 3.3, equations 9 and 10. Here the two outputs of a block are added, as in the paper; with aux="heads"
    `BlockConfig` keeps the paths apart up to the head.

    Examples
    --------
    >>> from vtm_lesson import plots
    >>> plots.two_paths(2).alt.split(". ")[-1]
    'X_aux of block 1 is the input X itself; of block 2 it is the auxiliary output of block 1.'
    """
    if blocks not in (1, 2, 3, 4):
        raise ValueError(f"blocks is {blocks}; draw 1 to 4 of them.")
    fig, ax = canvas(4.12, title)
    _one_block(ax)
    _through_the_network(ax, blocks)
    sources = "X_aux of block 1 is the input X itself"
    if blocks > 1:
        names = _and([str(i) for i in range(2, blocks + 1)])
        before = "block 1" if blocks == 2 else "the block before"
        sources += f"; of block{'s' * (blocks > 2)} {names} it is the auxiliary output of {before}"
    fig.alt = _titled(
        title,
        "One block. Main path, in training and at test time: attention, match and merge, linear layer. Its keys give "
        "the saliency s = tanh(K U_s), and s the sampled targets; no gradient goes through the sampling. Auxiliary "
        "path, in training only: attention guided by s (eq. 10), through which the gradient reaches s and U_s; merged "
        "with the main path's groups, and added to the main path; then the same linear layer, to the next block's "
        f"X_aux. {sources}.",
    )
    return fig


def _one_block(ax: Axes) -> None:
    main, middle, aux = 3.75, 2.9, 2.05
    ax.axhspan(1.68, 2.42, xmin=0.005, xmax=0.995, facecolor=SAND, zorder=0)
    ax.text(WIDTH - 0.1, 1.77, "in training only", ha="right", va="center", fontsize=8, style="italic", color=FAINT)
    ends = {"in": 0.35, "attend": 1.75, "merge": 4.3, "plus": 5.45, "linear": 6.45, "out": 7.75}
    stops = [
        (ends["in"], 0.27),
        (ends["attend"], 0.7),
        (ends["merge"], 0.6),
        (ends["linear"], 0.5),
        (ends["out"], 0.28),
    ]
    for y, colour in ((main, TEST), (aux, TRAINING)):
        on = [*stops[:3], (ends["plus"], 0.1), *stops[3:]] if y == main else stops
        for (start, half), (end, other) in itertools.pairwise(on):
            arrow(ax, (start + half, y), (end - other, y), colour=colour, width=2, dashed=y == aux)
        box(ax, (ends["linear"], y), (1.0, 0.5), "linear, GELU" if y == main else "the same\nlinear, GELU", edge=colour)
    arrow(ax, (ends["plus"], aux), (ends["plus"], main - 0.1), colour=TRAINING, width=2, dashed=True)
    plus(ax, (ends["plus"], main))
    box(ax, (ends["attend"], main), (1.4, 0.5), "attention\nof $Q, K, V$", edge=TEST)
    box(ax, (ends["merge"], main), (1.2, 0.5), "match, merge", fill=BLUE, bold=True)
    box(ax, (ends["attend"], aux), (1.4, 0.5), "guided attention\n(eq. 10)", edge=TRAINING)
    box(ax, (ends["merge"], aux), (1.2, 0.5), "merge, with the\nsame groups", edge=TRAINING)
    for y, name in ((main, "$X$"), (aux, "$X_{aux}$")):
        ax.text(ends["in"], y, name, ha="center", va="center", fontsize=11)
        ax.text(ends["out"], y, f"next\n{name}", ha="center", va="center", fontsize=9.5, linespacing=1.1)
    # The saliency, between the two paths.
    s, draw = ends["attend"], 3.25
    box(ax, (s, middle), (1.4, 0.44), "$s = \\tanh(K\\,U_s)$\n(eq. 9)", fill="white", edge=BLACK)
    arrow(ax, (s, main - 0.25), (s, middle + 0.22), colour=TEST, width=2)
    note(ax, (s + 0.13, (main + middle) / 2), "keys $K$", colour=TEST, ha="left")
    arrow(ax, (s, middle - 0.22), (s, aux + 0.25), colour=TRAINING, width=2, dashed=True)
    note(ax, (s + 0.13, (middle + aux) / 2 + 0.03), "$s$; the gradient comes back here", colour=RUST, ha="left")
    arrow(ax, (s + 0.7, middle), (draw - 0.4, middle), colour=TEST, width=2)
    box(ax, (draw, middle), (0.8, 0.44), "draw the\ntargets", fill="white", edge=BLACK)
    arrow(ax, (draw + 0.4, middle), (3.95, middle), (3.95, main - 0.25), colour=TEST, width=2)
    note(ax, (draw, middle + 0.34), "no gradient", fontsize=7.5)
    arrow(ax, (4.65, main - 0.25), (4.65, aux + 0.25), colour=TRAINING, width=2, dashed=True)
    note(ax, (4.65, middle), "groups", colour=RUST)


def _through_the_network(ax: Axes, blocks: int) -> None:
    main, aux, start = 1.15, 0.47, 1.75
    ax.plot((0.05, WIDTH - 0.05), (1.52, 1.52), color="#bbbbbb", linewidth=0.8)
    step = (WIDTH - start - 1.5) / blocks
    places = [start + step * (i + 0.5) for i in range(blocks)]
    half = min(0.5, step / 2 - 0.2)
    ax.text(0.35, main, "$X$", ha="center", va="center", fontsize=11)
    arrow(ax, (0.5, main), (places[0] - half, main), colour=TEST, width=2)
    arrow(ax, (0.35, main - 0.13), (0.35, aux), (places[0] - half, aux), colour=TRAINING, width=2, dashed=True)
    note(ax, (0.5, (main + aux) / 2), "$X_{aux} = X$", colour=RUST, ha="left", fontsize=8.5)
    for i, x in enumerate(places):
        box(ax, (x, main), (2 * half, 0.34), f"block {i + 1}", edge=TEST)
        box(ax, (x, aux), (2 * half, 0.34), f"auxiliary {i + 1}", edge=TRAINING, fill=SAND, fontsize=7.5)
        arrow(ax, (x, aux + 0.17), (x, main - 0.17), colour=TRAINING, width=2, dashed=True)
        note(ax, (x + 0.08, (main + aux) / 2), "+", colour=RUST, ha="left", fontsize=10)
        end = places[i + 1] - half if i + 1 < blocks else WIDTH - 1.42
        arrow(ax, (x + half, main), (end, main), colour=TEST, width=2)
        if i + 1 < blocks:
            arrow(ax, (x + half, aux), (end, aux), colour=TRAINING, width=2, dashed=True)
            note(ax, ((x + half + end) / 2, aux - 0.31), "$X_{aux}$ of block " + str(i + 2), colour=RUST, fontsize=8)
    box(ax, (WIDTH - 0.75, main), (1.34, 0.34), "mean, head: loss", fill="white", edge=BLACK)
    ax.text(WIDTH - 0.1, 0.62, "solid: also at test time", ha="right", va="center", fontsize=8, color=TEST)
    ax.text(WIDTH - 0.1, 0.42, "dashed: in training only", ha="right", va="center", fontsize=8, color=RUST)


def _and(words: Sequence[int] | Sequence[str]) -> str:
    names = [str(word) for word in words]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _titled(title: str, told: str) -> str:
    return f"{title.rstrip('.')}. {told}" if title else told
