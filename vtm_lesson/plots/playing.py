"""Films that play: a film and what merging leaves of it, side by side in one picture, so that they stay in step.

    plots.player(clip.frames, merge, grid)      # the last line of a notebook's cell

The film is H.264 in mp4, and stands in the notebook's output as text (a data URI): it plays without a kernel, and
without a file beside the notebook. Where a page may run scripts it starts by itself, unless the reader's system asks
for less motion (`prefers-reduced-motion`). Elsewhere, as in a notebook that JupyterLab does not trust, its play button
starts it. What cannot show films shows a still picture, or the words.
"""

from __future__ import annotations

import base64
import functools
import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..merging.merge import Merge
from ..merging.partition import Grid
from . import strips
from .style import BLACK, COLOURS, number

LIMIT = 400_000  # bytes of the HTML that a notebook stores for one film
SIDE = 240  # small films are enlarged until a frame is about as high, in pixels
WIDE = 640  # pixels of the page that a film takes, or more
GAP, BAND = 8, 24  # pixels between two halves, and above them for their names
# What is tried in turn until a film is small enough: its frames' size divided by, one frame taken in so many.
SMALLER = ((1, 1), (1, 2), (2, 1), (2, 2), (3, 4))
CRF = (24, 28, 32, 36)  # x264's constant rate factor: the larger, the fewer bytes
QUALITY = (70, 50, 30, 15)  # WebP's: the smaller, the fewer bytes
HOPELESS = 4  # times too large: more than the lowest quality saves
START = "if (!matchMedia('(prefers-reduced-motion: reduce)').matches) this.play()"


@dataclass(frozen=True)
class Player:
    """A film that a notebook plays: what `player` returns. As a cell's last line it shows itself.

    Attributes
    ----------
    mp4 : bytes
        The film, H.264.
    still : bytes
        Its middle frame, PNG.
    alt : str
        What it shows, in words.
    panels : dict
        Name -> (L, H, W, 3) uint8, what plays side by side.
    fps : float
        Frames a second.
    size : (int, int)
        Width and height of the mp4, in pixels.

    Examples
    --------
    >>> from vtm_lesson import films, plots
    >>> film = films.make(1, frames=4, size=64, patch=16)
    >>> shown = plots.player(film.frames, *plots.merge_patches(film.frames, gamma=4))
    >>> shown
    Player(520 x 280 pixels, 4 frames at 8 a second)
    """

    mp4: bytes
    still: bytes
    alt: str
    panels: dict[str, np.ndarray] = field(repr=False)
    fps: float
    size: tuple[int, int]

    @property
    def html(self) -> str:
        """The film as HTML that needs nothing beside it: to be put into a page, or into a notebook's output."""
        return _html(self.mp4, self.still, self.alt, self.size)

    def webp(self, limit: int = LIMIT) -> bytes:
        """The film as an animated WebP, for places that show pictures only; it loops, and cannot be paused.

        Parameters
        ----------
        limit : int, optional
            Bytes that it may have at most.

        Returns
        -------
        bytes
            The file.

        Raises
        ------
        ValueError
            Where it does not fit.
        """
        return _fitted(_webp, QUALITY, self.panels, self.fps, lambda data, *_: len(data) <= limit, limit)[0]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        """What a notebook stores: the film, for programs without HTML the still picture, else the words."""
        data = {
            "text/html": self.html,
            "image/png": base64.b64encode(self.still).decode(),
            "text/plain": self.alt,
        }
        return data, {"image/png": {"alt": self.alt}}

    def __repr__(self) -> str:
        length = len(next(iter(self.panels.values())))
        return f"Player({self.size[0]} x {self.size[1]} pixels, {length} frames at {number(self.fps)} a second)"


def player(
    frames,
    merge: Merge | Mapping[str, Merge],
    grid: Grid,
    fps: float = 8,
    item: int = 0,
    limit: int = LIMIT,
) -> Player:
    """A film and, beside it and in step, the same film with every patch replaced by its group's average picture.

    Parameters
    ----------
    frames : array
        (L, H, W, 3), uint8 or numbers from 0 to 1.
    merge : Merge or dict
        Of the grid's tokens, as `plots.groups` takes it; a dict, name -> Merge, for one half each.
    grid : (int, int, int)
        (L, h, w).
    fps : float, optional
        Frames shown a second.
    item : int, optional
        Of a batch that holds several films, the one to show.
    limit : int, optional
        Bytes of HTML at most. What needs more is shown in lower quality, then smaller, then with fewer frames.

    Returns
    -------
    Player
        As a cell's last line it plays. The same film gives the same bytes.

    Raises
    ------
    ValueError
        For a grid or a Merge that does not fit the film, a pace that is none, and films that no try makes small enough.

    Notes
    -----
    What is painted is `merge.unmerge(merge(pixels))`: VTM eq. 4, given back to every patch. Dropped patches are faded.

    Examples
    --------
    >>> from vtm_lesson import films, plots
    >>> film = films.make(1, frames=4, size=64, patch=16)
    >>> shown = plots.player(film.frames, *plots.merge_patches(film.frames, gamma=4))
    >>> list(shown.panels)
    ['film', 'merged, 1 token in 4']
    """
    film = strips.film_of(frames)
    strips.check_grid(film, grid)
    if not 0 < fps <= 60:
        raise ValueError(f"fps is {fps!r}; give frames a second, more than 0 and at most 60.")
    panels, told = {"film": film}, []
    for name, one in (merge if isinstance(merge, Mapping) else {"": merge}).items():
        group, dropped = strips.labels_of(one, grid, item), strips.dropped_of(one, grid, item)
        left = len(np.unique(group))
        share = f"1 token in {number(round(group.size / left, 1))}"
        painted = strips.average(film, group, "patch", strips.weight_of(one, grid, item))
        panels[name or f"merged, {share}"] = painted if dropped is None else strips.fade(painted, dropped)
        told.append(f"{name or 'merged'}, {number(group.size)} patches drawn from {number(left)}, {share}")
    panels = {name: (255 * panel.clip(0, 1)).round().astype(np.uint8) for name, panel in panels.items()}
    length = f"A film that plays: {len(film)} frames, {number(round(len(film) / fps, 1))} seconds"
    alt = f"{length}. Side by side and in step: the film; {'; '.join(told)}."

    def fits(data: bytes, still: bytes, size: tuple[int, int]) -> bool:
        return len(_html(data, still, alt, size)) <= limit

    data, still, size = _fitted(_mp4, CRF, panels, fps, fits, limit)
    return Player(data, still, alt, panels, fps, size)


def side_by_side(panels: Mapping[str, np.ndarray], shrink: int = 1) -> np.ndarray:
    """Films (L, H, W, 3) uint8 beside each other with their names above: (L, H', W', 3) uint8, both sides even.

    Parameters
    ----------
    panels : mapping
        Name -> film; all of one shape. Small ones are enlarged by a whole number, until H is about SIDE.
    shrink : int, optional
        A whole number that the size is divided by afterwards.

    Returns
    -------
    array
        Each name stands under a bar of its own colour.
    """
    films = list(panels.values())
    zoom = max(1, round(SIDE / films[0].shape[1]))
    films = [_resized(film, zoom, shrink) for film in films]
    length, high, wide, _ = films[0].shape
    heading = np.asarray(_heading(tuple(panels), wide))
    width, height = heading.shape[1], high + BAND
    canvas = np.full((length, height + height % 2, width + width % 2, 3), 255, np.uint8)
    canvas[:, :BAND, :width] = heading
    for k, film in enumerate(films):
        canvas[:, BAND:height, k * (wide + GAP) : k * (wide + GAP) + wide] = film
    return canvas


def _resized(film: np.ndarray, zoom: int, shrink: int) -> np.ndarray:
    film = film.repeat(zoom, axis=1).repeat(zoom, axis=2)
    return film if shrink == 1 else np.stack([np.asarray(Image.fromarray(frame).reduce(shrink)) for frame in film])


def _heading(names: Sequence[str], wide: int) -> Image.Image:
    """A white band with a name under a bar of its colour over each half; long names in smaller letters, then cut."""
    band = Image.new("RGB", (len(names) * (wide + GAP) - GAP, BAND), "white")
    draw = ImageDraw.Draw(band)
    for k, name in enumerate(names):
        left = k * (wide + GAP)
        draw.rectangle((left, 0, left + wide - 1, 3), fill=COLOURS[k % len(COLOURS)])
        size = next((size for size in (13, 12, 11, 10, 9) if draw.textlength(name, _font(size)) <= wide), 9)
        while draw.textlength(name, _font(size)) > wide:
            name = name[:-2].rstrip() + "…"
        draw.text((left, BAND / 2 + 2), name, fill=BLACK, font=_font(size), anchor="lm")
    return band


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)


def _fitted(
    encode: Callable[[np.ndarray, float, int], bytes],
    qualities: Sequence[int],
    panels: Mapping[str, np.ndarray],
    fps: float,
    fits: Callable[[bytes, bytes, tuple[int, int]], bool],
    limit: int,
) -> tuple[bytes, bytes, tuple[int, int]]:
    """The first try that fits: the film, its middle frame, its width and height."""
    for shrink, every in SMALLER:
        pictures = side_by_side(panels, shrink)[::every]
        still, size = _still(pictures[len(pictures) // 2]), (pictures.shape[2], pictures.shape[1])
        for quality in qualities:
            data = encode(pictures, fps / every, quality)
            if fits(data, still, size):
                return data, still, size
            if len(data) > HOPELESS * limit:
                break
    whole = side_by_side(panels).shape
    raise ValueError(
        f"{whole[0]} frames of {whole[2]} x {whole[1]} pixels do not fit into {number(limit)} bytes, even small and "
        "coarse: give fewer or smaller frames, or a larger limit."
    )


def _mp4(pictures: np.ndarray, fps: float, crf: int) -> bytes:
    """(L, H, W, 3) uint8 as H.264; one thread and no macroblock tree, so that the same pictures give the same bytes."""
    memory = io.BytesIO()
    with av.open(memory, "w", format="mp4") as container:
        options = {"crf": str(crf), "preset": "slow", "threads": "1", "x264-params": "mbtree=0"}
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options=options)
        stream.height, stream.width, stream.pix_fmt = pictures.shape[1], pictures.shape[2], "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return memory.getvalue()


def _webp(pictures: np.ndarray, fps: float, quality: int) -> bytes:
    """(L, H, W, 3) uint8 as a picture that moves, over and over."""
    memory = io.BytesIO()
    first, *rest = (Image.fromarray(picture) for picture in pictures)
    pace = round(1000 / fps)
    first.save(memory, "WEBP", save_all=True, append_images=rest, duration=pace, loop=0, quality=quality, method=4)
    return memory.getvalue()


def _still(picture: np.ndarray) -> bytes:
    """One frame as PNG of 256 colours; none is given away to the others, as in `style.png`."""
    memory = io.BytesIO()
    few = Image.fromarray(picture).quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
    few.save(memory, "PNG", optimize=True)
    return memory.getvalue()


def _html(mp4: bytes, still: bytes, alt: str, size: tuple[int, int]) -> str:
    # JupyterLab takes scripts (so also `onloadeddata`) out of a notebook that it does not trust, and with them `source`
    # elements; a video's own `src` stays. There is no `autoplay`: it would not ask how much motion is wanted.
    words, film, picture = html.escape(alt), *(base64.b64encode(data).decode() for data in (mp4, still))
    wide = max(size[0], WIDE)
    return (
        f'<figure style="margin: 0"><video src="data:video/mp4;base64,{film}" width="{wide}" style="max-width: 100%"'
        f' aria-label="{words}" controls loop muted playsinline preload="auto" onloadeddata="{START}">'
        f'<img src="data:image/png;base64,{picture}" alt="{words}"></video><figcaption><details><summary><small>film in'
        f" words</small></summary><small>{words}</small></details></figcaption></figure>"
    )
