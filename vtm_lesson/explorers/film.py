"""The interactive explorers (ipywidgets). Where nothing is interactive they show a still figure of the same thing."""

from __future__ import annotations

import base64
import html
from functools import cache

import numpy as np

from .. import plots
from ..merging.merge import Merge
from ..merging.partition import Grid
from ..plots import strips
from ..plots.style import Picture

GAMMAS = (1, 2, 4, 6, 10, 20, 50, 100, 196)


def explore(clip, patch: int = 16, gamma: int = 6, frame: int | None = None) -> None:
    """Sliders for gamma and frame: the film's frame, and the same frame after merging the whole film's patches.

    clip: what `video.read` or `films.make` gives. It is merged by `plots.merge_patches`. Without ipywidgets or outside
    a notebook, one still figure is shown.
    """
    film = strips.film_of(clip.frames)

    @cache  # the smaller gammas take a second or two
    def merge(gamma: int) -> tuple[Merge, Grid]:
        return plots.merge_patches(film, gamma, patch)

    frame = len(film) // 2 if frame is None else int(strips.pick_frames(len(film), [frame])[0])
    widgets = _live()
    if widgets is None:
        plots.show(_side_by_side(film, *merge(gamma), frame))
        return
    steps = sorted({gamma, *GAMMAS})
    wide = widgets.Layout(width="28em")
    one = widgets.SelectionSlider(options=steps, value=gamma, description="gamma", continuous_update=False, layout=wide)
    two = widgets.IntSlider(frame, 0, len(film) - 1, description="frame", continuous_update=False, layout=wide)
    picture = widgets.HTML()

    def draw(_=None) -> None:
        picture.value = _image(_side_by_side(film, *merge(one.value), two.value))

    one.observe(draw, "value")
    two.observe(draw, "value")
    draw()
    from IPython.display import display

    display(widgets.VBox([one, two, picture]))


def _live():
    """The ipywidgets module when a notebook's kernel runs this, else None."""
    try:
        import ipywidgets
        from IPython import get_ipython
    except ImportError:
        return None
    return ipywidgets if getattr(get_ipython(), "kernel", None) is not None else None


def _side_by_side(film: np.ndarray, merge: Merge, grid: Grid, frame: int) -> Picture:
    group = merge.group[0].numpy().reshape(grid)
    merged = strips.average(film, group, "patch")[frame]
    here, counts = np.unique(group[frame], return_counts=True)
    size = merge.size()[0].numpy()[here]
    captions = [f"frame {frame}", f"after merging {merge.n_in:,} tokens to {merge.n_out:,}"]
    fig = plots.frames(np.stack([film[frame], merged]), captions=captions)
    fig.alt += f" The frame's {group[frame].size} patches lie in {len(here)} groups, {int((size > counts).sum())} of"
    fig.alt += " which reach into other frames."
    return fig


def _image(fig: Picture) -> str:
    """The figure as HTML, its alt text once for screen readers and its last sentence below, for everybody."""
    data = base64.b64encode(plots.png(fig)).decode()
    alt = html.escape(fig.alt, quote=True)
    words = html.escape(fig.alt.split(". ")[-1])
    return f'<img alt="{alt}" src="data:image/png;base64,{data}"><p>{words}</p>'
