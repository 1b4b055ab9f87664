"""Every figure of the course: pictures of films, tokens and merges here, charts from `vtm_lesson.plots.charts`.

Every function returns a `Picture`: a matplotlib `Figure` with a text alternative in `fig.alt`, made from the data that
is drawn; `show(fig)` puts both into a notebook. Films are (L, H, W, 3), uint8 or numbers from 0 to 1; a grid (L, h, w)
cuts them into L * h * w patches, one token each, row by row and frame by frame.

    python -m vtm_lesson.plots readme      # makes the film at the top of the README, data/pictures/merging.webp
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from einops import rearrange

from ..merging.matching import match, nearest
from ..merging.merge import Merge
from ..merging.partition import Grid, uniform
from . import strips
from .style import BLACK, BLUE, GREY, ORANGE, VERMILLION, WIDTH, Picture, ink_on, number, styled


@styled
def frames(
    frames,
    pick: int | Sequence[int] = 6,
    title: str = "",
    grid: Grid | None = None,
    captions: Sequence[str] | None = None,
) -> Picture:
    """A film strip. pick: how many frames, spread evenly, or their numbers. grid (L, h, w): draw the patches' edges.

    captions: what to write under each picked frame in place of its number.
    """
    film = strips.film_of(frames)
    at = strips.pick_frames(len(film), pick)
    if captions is not None and len(captions) != len(at):
        raise ValueError(f"there are {len(captions)} captions for {len(at)} pictures; give one each.")
    fig, [ax] = strips.axes(film, at, [""], title, captions=captions)
    strips.paint(ax, film[at])
    size = f"{film.shape[2]} by {film.shape[1]} pixels"
    if captions is None:
        text = f"{len(at)} frames of a film of {len(film)}, {size}"
    else:
        text = f"{len(at)} pictures of {size}: {', '.join(captions)}"
    if grid is not None:
        strips.check_grid(film, grid)
        lines = np.arange(grid[1] * grid[2]).reshape(1, *grid[1:]).repeat(len(at), 0)
        strips.edges(ax, lines, film, color="white", linewidth=0.5, alpha=0.8)
        text += f", cut into {grid[1]} by {grid[2]} patches each"
    fig.alt = strips.sentence(title, text)
    return fig


@styled
def groups(
    frames,
    merge: Merge | Mapping[str, Merge],
    grid: Grid,
    pick: int | Sequence[int] = 6,
    paint: str = "colour",
    highlight: tuple[int, int, int] | None = None,
    film: str | None = None,
    outline: bool = True,
    item: int = 0,
    title: str = "",
) -> Picture:
    """Groups over frames: every patch painted with its group's average, and lines where groups meet.

    merge: a Merge of the grid's tokens, (L, h, w) = grid; or a dict, row name -> Merge, for one strip each. A batch
        that holds the film in pieces (one frame or one chunk an item) is laid out again; otherwise `item` is drawn.
        Instead of a Merge, an integer array of L * h * w group numbers will do.
    paint: "colour", the mean colour of the group; or "patch", the mean picture: `merge.unmerge(merge(pixels))`.
    highlight: (frame, row, column) of one token: instead of averages, the patches of its group are shown and outlined,
        all others fade; the group's target (or the token that was left alone) has a thick blue outline. Unless `pick`
        names frames, frames with members are picked, the token's own among them.
    film: a name for a first strip that shows the film itself. outline: draw the lines.
    """
    pixels = strips.film_of(frames)
    strips.check_grid(pixels, grid)
    if paint not in ("colour", "patch"):
        raise ValueError(f'paint is {paint!r}; it is "colour" (mean colour) or "patch" (mean picture).')
    merges = dict(merge) if isinstance(merge, Mapping) else {"": merge}
    labels = {name: strips.labels_of(one, grid, item) for name, one in merges.items()}
    if highlight is not None:
        if len(highlight) != 3 or any(not 0 <= i < n for i, n in zip(highlight, grid, strict=True)):
            raise ValueError(f"highlight is {highlight}; it is (frame, row, column) of a token on the grid {grid}.")
        members = {name: groups == groups[tuple(highlight)] for name, groups in labels.items()}
        has = np.flatnonzero(np.any([m.any(axis=(1, 2)) for m in members.values()], axis=0))
        at = strips.pick_frames(len(pixels), pick, has)
        if isinstance(pick, int):
            at[np.abs(at - highlight[0]).argmin()] = highlight[0]  # the token itself is always to be seen
    else:
        at = strips.pick_frames(len(pixels), pick)
    fig, axes = strips.axes(pixels, at, ([film] if film is not None else []) + list(merges), title)
    if film is not None:
        strips.paint(axes[0], pixels[at])
        axes = axes[1:]
    told = []
    for ax, (name, group) in zip(axes, labels.items(), strict=True):
        text = (f"{name}: " if name else "") + f"{number(group.size)} patches in {number(len(np.unique(group)))} groups"
        dropped = strips.dropped_of(merges[name], grid, item)
        if dropped is not None:
            text += f", {number(dropped.sum())} of them dropped and faded"
        if highlight is None:
            painted = strips.average(pixels, group, paint, strips.weight_of(merges[name], grid, item))[at]
            strips.paint(ax, painted if dropped is None else strips.fade(painted, dropped[at]))
            if outline:
                strips.edges(ax, group[at], pixels, color="white", linewidth=0.5, alpha=0.5)
        else:
            mine = members[name]
            strips.paint(ax, strips.fade(pixels[at], ~mine[at], 0.68))
            strips.edges(ax, mine[at], pixels, border=True, color=BLACK, linewidth=1.3)
            kept = strips.kept(merges[name], mine, item)
            strips.edges(ax, kept[at], pixels, border=True, color=BLUE, linewidth=2.4)
            place = f"frame {highlight[0]}, row {highlight[1]}, column {highlight[2]}"
            text += f"; the group of the patch at {place} is outlined: {strips.about(mine.sum())} patches"
            text += f" in {strips.about(mine.any(axis=(1, 2)).sum())} of {len(pixels)} frames"
        told.append(text)
    if highlight is None:
        what = f"every patch painted with its group's average {'picture' if paint == 'patch' else 'colour'}"
    else:
        what = "one group bright and outlined, all other patches faded"
    fig.alt = strips.sentence(title, f"{len(at)} frames, {what}. " + ". ".join(told))
    return fig


@styled
def targets(frames, positions, grid: Grid, actor=None, pick: int | Sequence[int] = 6, title: str = "") -> Picture:
    """Targets over frames: targets bright and outlined, sources faded; the actor's patches outlined in orange.

    positions: (T,) positions on the grid (L, h, w), or a dict, row name -> (T,), for one strip each.
    actor: (L, h, w) bool.
    """
    film = strips.film_of(frames)
    strips.check_grid(film, grid)
    rows = dict(positions) if isinstance(positions, Mapping) else {"": positions}
    mask = None if actor is None else strips.on_grid(actor, grid, "actor").astype(bool)
    at = strips.pick_frames(len(film), pick)
    fig, axes = strips.axes(film, at, list(rows), title)
    told = []
    for ax, (name, where) in zip(axes, rows.items(), strict=True):
        chosen = strips.mask_of(where, grid)
        strips.paint(ax, strips.fade(film[at], ~chosen[at]))
        strips.edges(ax, chosen[at], film, border=True, color=BLUE, linewidth=0.9)
        text = (f"{name}: " if name else "") + f"{number(chosen.sum())} of {number(chosen.size)} patches are targets"
        if mask is not None:
            strips.edges(ax, mask[at], film, border=True, color=ORANGE, linewidth=1.8)
            share = chosen[mask].mean() if mask.any() else 0.0
            text += f", and {share:.0%} of the actor's patches"
        told.append(text)
    fig.alt = strips.sentence(title, f"{len(at)} frames, targets bright and sources faded. " + ". ".join(told))
    return fig


@styled
def saliency(
    frames, score, grid: Grid, actor=None, pick: int | Sequence[int] = 6, title: str = "", label: str = "saliency"
) -> Picture:
    """A score on every patch as a heat map over the grey film. score: L * h * w numbers on the grid (L, h, w)."""
    film = strips.film_of(frames)
    strips.check_grid(film, grid)
    score = strips.on_grid(score, grid, "score").astype(float)
    if not np.isfinite(score).all():
        raise ValueError("score holds NaN or infinite numbers; a heat map needs finite ones: look at what made them.")
    at = strips.pick_frames(len(film), pick)
    fig, [ax] = strips.axes(film, at, [""], title, right=0.95)
    strips.paint(ax, strips.grey(film[at]))
    low, high = float(score.min()), float(np.quantile(score, 0.99))  # a few outliers would darken all the rest
    heat = strips.tiles(score[at][..., None], film)[..., 0]
    image = strips.paint(
        ax, heat, cmap="viridis", alpha=0.65, vmin=low, vmax=high if high > low else low + 1, interpolation="nearest"
    )
    more = "max" if score.max() > high else "neither"
    if actor is not None:
        mask = strips.on_grid(actor, grid, "actor").astype(bool)
        strips.edges(ax, mask[at], film, border=True, color=ORANGE, linewidth=1.8)
    box = ax.get_position()
    bar = fig.colorbar(image, cax=fig.add_axes((box.x1 + 0.012, box.y0, 0.012, box.height)), label=label, extend=more)
    bar.outline.set_visible(False)
    top = np.unravel_index(int(score.argmax()), score.shape)
    fig.alt = strips.sentence(
        title,
        f"{len(at)} frames under a heat map of {label}, from {strips.two(low)} to {strips.two(score.max())}, "
        f"mean {strips.two(score.mean())}; highest in frame {top[0]}, row {top[1]}, column {top[2]}",
    )
    return fig


@styled
def motion(frames, vectors, pick: int | Sequence[int] = 4, title: str = "", scale: float | None = None) -> Picture:
    """Motion vectors as arrows over frames, from where a patch was towards where it is.

    vectors: (L, h, w, 2), x (to the right) and y (downwards), in pixels of the frame. scale: the drawn length of one
    pixel of motion; by default the longer arrows span about two patches.
    """
    film = strips.film_of(frames)
    vectors = strips.array(vectors).astype(float)
    if vectors.ndim != 4 or vectors.shape[0] != len(film) or vectors.shape[3] != 2:
        raise ValueError(f"vectors have shape {vectors.shape}; for this film give ({len(film)}, h, w, 2), x and y.")
    rows, columns = vectors.shape[1:3]
    strips.check_grid(film, (len(film), rows, columns))
    at = strips.pick_frames(len(film), pick)
    fig, [ax] = strips.axes(film, at, [""], title)
    strips.paint(ax, strips.fade(film[at], np.ones((len(at), rows, columns), bool), 0.55))
    size = film.shape[1] / rows, film.shape[2] / columns
    length = np.hypot(vectors[..., 0], vectors[..., 1])
    if scale is None:
        scale = 2 * min(size) / max(float(np.quantile(length[at], 0.97)), 1e-9)
    y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    for k, i in enumerate(at):
        across, down = (x + 0.5) * size[1] + strips.left_of(k, film), (y + 0.5) * size[0]
        moving = length[i] * scale > 0.25 * min(size)
        dx, dy = vectors[i][moving].T * scale
        ax.quiver(
            across[moving] - dx,
            down[moving] - dy,
            dx,
            dy,
            angles="xy",
            scale_units="xy",
            scale=1,
            color=VERMILLION,
            width=0.0018,
            headwidth=4,
            headlength=5,
            headaxislength=4.5,
            minshaft=1.6,
        )
        ax.plot(across[~moving], down[~moving], ".", color=GREY, markersize=1)
    fast = int(length.mean(axis=(1, 2)).argmax())
    text = f"{len(at)} frames with an arrow for the motion of each patch: {strips.two(length.mean())} pixels on average"
    fig.alt = strips.sentence(title, f"{text}, at most {strips.two(length.max())}, most in frame {fast}")
    return fig


@styled
def matching(
    keys, targets, n_merge: int | None = None, names: Sequence[str] | None = None, colours=None, title: str = ""
) -> Picture:
    """The matching picture: sources on the left, targets on the right, a line from each source to its best target.

    keys: (N, D) or (1, N, D), N <= 16. Solid lines are merged, dotted ones are sources beyond the n_merge most
    similar; the number is the cosine. names: N names, by default the positions. colours: (N, 3) from 0 to 1.
    """
    keys = torch.as_tensor(keys)
    keys = keys[None] if keys.dim() == 2 else keys
    if keys.dim() != 3 or len(keys) != 1 or keys.shape[1] > 16:
        raise ValueError(f"keys have shape {tuple(keys.shape)}; this picture needs (N, D) with N of 16 or fewer.")
    keys, n = keys.double(), keys.shape[1]
    merge = match(keys, targets, n_merge)
    right = torch.as_tensor(targets).reshape(-1).tolist()
    left = [i for i in range(n) if i not in set(right)]
    best, similarity = (t[0].tolist() for t in nearest(keys, torch.tensor(right)))
    names = [str(i) for i in range(n)] if names is None else [str(name) for name in names]
    if len(names) != n or (colours is not None and np.shape(colours) != (n, 3)):
        raise ValueError(f"names and colours need one entry for each of the {n} tokens, colours as ({n}, 3).")
    fills = ["white"] * n if colours is None else [tuple(c) for c in strips.array(colours)]

    rows = max(len(left), len(right))
    fig = Picture(figsize=(WIDTH * 0.62, 0.8 + 0.42 * rows), layout="constrained")
    ax = fig.add_subplot(title=title)
    height = {i: (k + 0.5) * rows / len(side) for side in (left, right) for k, i in enumerate(side)}
    told: list[str] = []
    taken: list[tuple[float, float]] = []
    for i, number_, cosine in zip(left, best, similarity, strict=True):
        j = right[number_]
        merged = bool(merge.group[0, i] == merge.group[0, j])
        ax.plot(
            [0, 1],
            [height[i], height[j]],
            color=BLUE if merged else GREY,
            linewidth=2 if merged else 1.3,
            linestyle="-" if merged else (0, (1.5, 2)),
            zorder=1,
        )
        x, y = _free(height[i], height[j], taken)
        ax.text(
            x,
            y,
            f"{cosine:.2f}",
            ha="center",
            va="center",
            fontsize=8.5,
            zorder=2,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
        told.append(f"{names[i]} to {names[j]} at {cosine:.2f}, {'merged' if merged else 'not merged'}")
    for x, side in ((0, left), (1, right)):
        edge = [GREY if x == 0 else BLACK] * len(side)
        ax.scatter(
            [x] * len(side),
            [height[i] for i in side],
            s=420,
            c=[fills[i] for i in side],
            edgecolors=edge,
            linewidths=1.5,
            zorder=3,
        )
        for i in side:
            colour = BLACK if colours is None else ink_on(tuple(strips.array(colours)[i]))
            ax.text(x, height[i], names[i], ha="center", va="center", zorder=4, color=colour)
    ax.set(xlim=(-0.15, 1.15), ylim=(rows, 0), yticks=[])
    ax.set_xticks([0, 1], ["sources", "targets"])
    ax.tick_params(length=0)
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    fig.alt = strips.sentence(title, f"{len(left)} sources matched to {len(right)} targets: " + "; ".join(told))
    return fig


@styled
def attention(
    weights,
    names: Sequence[str] | None = None,
    title: str = "",
    label: str = "attention weight",
    rows: str = "query",
    columns: str = "key",
) -> Picture:
    """A (N, K) matrix as a heat map: attention weights or similarities; numbers are written up to 10 x 10."""
    weights = strips.array(weights).astype(float)
    if weights.ndim != 2 or weights.size == 0 or not np.isfinite(weights).all():
        raise ValueError(f"weights have shape {weights.shape}; this picture needs a finite (N, K) matrix.")
    wide = WIDTH * 0.55
    tall = (wide - 1.3) * min(1.5, max(0.2, weights.shape[0] / weights.shape[1])) + (0.8 if title else 0.55)
    fig = Picture(figsize=(wide, tall), layout="constrained")
    ax = fig.add_subplot(title=title, xlabel=columns, ylabel=rows)
    image = ax.imshow(weights, cmap="viridis", interpolation="nearest")
    ax.grid(False)
    if max(weights.shape) <= 10:
        for (i, j), value in np.ndenumerate(weights):
            colour = ink_on(image.to_rgba(value)[:3])
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    if names is not None:
        ax.set_xticks(range(weights.shape[1]), names[: weights.shape[1]])
        ax.set_yticks(range(weights.shape[0]), names[: weights.shape[0]])
    fig.colorbar(image, ax=ax, label=label).outline.set_visible(False)
    low, high = number(round(weights.min(), 3)), number(round(weights.max(), 3))
    shape = f"{weights.shape[0]} by {weights.shape[1]}"
    fig.alt = strips.sentence(title, f"Heat map of {shape} {label}s from {low} to {high}")
    return fig


@styled
def attention_change(before, after, names: tuple[str, str] = ("before", "after"), title: str = "") -> Picture:
    """Two (N, K) attention maps up to 8 x 8 on one scale, side by side with what changed: after - before."""
    maps = [strips.array(weights).astype(float) for weights in (before, after)]
    if maps[0].ndim != 2 or maps[0].shape != maps[1].shape or not 0 < max(maps[0].shape) <= 8:
        raise ValueError(f"the maps have shapes {maps[0].shape} and {maps[1].shape}; give two (N, K), up to 8 x 8.")
    change = (maps[1] - maps[0]).round(3) + 0.0
    most, widest = max(m.max() for m in maps), np.abs(change).max() or 1.0
    fig = Picture(figsize=(WIDTH, 0.28 * WIDTH + (1.1 if title else 0.85)), layout="constrained")
    panels = zip(fig.subplots(1, 3), (*names, "difference"), (*maps, change), strict=True)
    for i, (ax, name, weights) in enumerate(panels):
        last = i == 2
        low, high = (-widest, widest) if last else (0, most)
        image = ax.imshow(weights, cmap="PuOr_r" if last else "viridis", vmin=low, vmax=high, interpolation="nearest")
        ax.grid(False)
        ax.set(title=name, xlabel="key", ylabel="" if i else "query")
        for (row, column), value in np.ndenumerate(weights):
            colour = ink_on(image.to_rgba(value)[:3])
            text = f"{round(value, 2) + 0.0:+.2f}" if last else f"{value:.2f}"
            ax.text(column, row, text, ha="center", va="center", fontsize=7.5, color=colour)
    fig.suptitle(title)
    columns = ", ".join(f"{number(round(value, 2) + 0.0)} in column {j}" for j, value in enumerate(change.mean(0)))
    shape = f"{change.shape[0]} by {change.shape[1]}"
    told = f"Heat maps of {shape} attention weights, {names[0]} and {names[1]}; on average they change by {columns}"
    fig.alt = strips.sentence(title, told)
    return fig


def _free(start: float, end: float, taken: list[tuple[float, float]]) -> tuple[float, float]:
    """Where on a line from (0, start) to (1, end) a number covers none that is written already; noted in `taken`."""
    places = [(x, start + x * (end - start)) for x in (0.2, 0.32, 0.44, 0.56)]
    free = [p for p in places if all(abs(p[0] - q[0]) > 0.09 or abs(p[1] - q[1]) > 0.42 for q in taken)]
    taken.append((free or places)[0])
    return taken[-1]


def merge_patches(frames, gamma: float, patch: int = 16) -> tuple[Merge, Grid]:
    """Merge a film's patches with nothing learned: a Merge of all of them, and their grid (L, H/p, W/p).

    Keys are a patch's pixels less the film's average patch; targets are one of every gamma patches, staggered, so that
    every place of the frame has its turn; every source is merged. (Lesson 00.)
    """
    film = strips.film_of(frames)
    grid = (len(film), film.shape[1] // patch, film.shape[2] // patch)
    if film.shape[1] % patch or film.shape[2] % patch:
        raise ValueError(f"patches of {patch} pixels do not fill frames of {film.shape[1]} x {film.shape[2]} pixels.")
    keys = rearrange(torch.from_numpy(film), "l (h p) (w q) c -> 1 (l h w) (p q c)", p=patch, q=patch)
    return match(keys - keys.mean(dim=1, keepdim=True), uniform(keys.shape[1], gamma, staggered=True)), grid


def preview(clip, gamma: float = 6, patch: int = 16, pick: int | Sequence[int] = 6) -> Picture:
    """A film, and under it the same frames after merging all its patches with `merge_patches`.

    clip: anything with `frames`, such as what `video.read` gives. This is also the picture in the README.
    """
    merge, grid = merge_patches(clip.frames, gamma, patch)
    film = f"the film: {grid[0]} frames of {grid[1]} x {grid[2]} patches, {merge.n_in:,} tokens"
    rows = {f"the same frames, drawn from {merge.n_out:,} tokens": merge}
    return groups(clip.frames, rows, grid, pick=pick, paint="patch", film=film, outline=False)
