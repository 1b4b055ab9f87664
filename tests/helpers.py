"""What tests of several files use: chance that repeats, matching written down again, processes, and a check's no."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import matplotlib
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.text import Text
from torch import nn

from vtm_lesson import films
from vtm_lesson.merging import tiled
from vtm_lesson.partition import uniform
from vtm_lesson.plots.style import STYLE

ROOT = Path(__file__).parents[1]


def random(*shape, seed=0, dtype=torch.float32):
    """Standard normal numbers, the same for the same seed and shape."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def problem(batch, n, dim, gamma=3.0, seed=0, dtype=torch.float32):
    """(keys, targets, sources) as a matcher takes them: random keys, uniform targets."""
    targets = uniform(n, gamma).expand(batch, -1)
    return random(batch, n, dim, seed=seed, dtype=dtype), targets, tiled.others(targets, n)


def cosines(keys, targets, sources):
    """(B, S, T): of every source with every target, in float64."""
    unit = torch.nn.functional.normalize(keys.double(), dim=-1, eps=1e-300)
    rows = torch.arange(len(keys))[:, None]
    return unit[rows, sources] @ unit[rows, targets].transpose(1, 2)


def python(*arguments, **environment):
    """`python ARGUMENTS` from the top of the checkout, in a process of its own: what `subprocess.run` returns."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)


def two_classes(home, count, broken=False, **how):
    """Painted films in two folders, a class each; broken: with a file that is no film. how: of `films.make`."""
    for i in range(count):
        path = home / ("calm", "fight")[i % 2] / f"{i:02d}.mp4"
        path.parent.mkdir(exist_ok=True)
        films.write(path, films.make(i, **how))
    if broken:
        (home / "calm" / "none.mp4").write_bytes(b"no film at all")
    return home


def assert_same_bytes(one, other):
    """Two stores of features hold the same films, with tensors of the same names, shapes, dtypes and bytes."""
    assert one.ids == other.ids and one.failed == other.failed
    for film in one.ids:
        a, b = one.tensors(film), other.tensors(film)
        assert a.keys() == b.keys()
        assert all(value.dtype == b[name].dtype and value.shape == b[name].shape for name, value in a.items())
        assert all(value.numpy().tobytes() == b[name].numpy().tobytes() for name, value in a.items())


class Colours(nn.Module):
    """An encoder for tests: mean and deviation of each colour in a patch of 8."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.tensor(1 / 255))

    def encode(self, frames):
        batch, length, height, width, _ = frames.shape
        x = frames.reshape(batch, length, height // 8, 8, width // 8, 8, 3).float() * self.scale
        return torch.cat([x.mean((3, 5)), x.std((3, 5))], -1)


def assert_refused(exercise, says, answer, capsys):
    """The check refuses a learner's answer, and names its mistake with these words; None: with none that it knows."""
    exercise(answer)
    out = capsys.readouterr().out
    assert out.startswith(f"✗ {exercise.name}, "), out
    assert "stopped with" not in out, f"the answer fails in place of being wrong: {out}"
    named = {words for words, _ in exercise.mistakes if words in out}
    assert len(named) == (says is not None) and (says or "") in "".join(named), out


def contrast(one, other):
    """The contrast ratio of two colours (r, g, b) from 0 to 1, as WCAG 2 defines it: 1 to 21."""
    light = []
    for colour in (one, other):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(light) + 0.05) / (min(light) + 0.05)


def illegible(fig):
    """What in a figure cannot be read well: words of too little contrast (below 4.5), and words that a line strikes.

    A word with a ground of its own or a rim (path effects) is struck by nothing.
    """
    with matplotlib.rc_context(STYLE):  # as it is saved
        return _illegible(fig)


def _illegible(fig):
    canvas = FigureCanvasAgg(fig)
    drawn = []
    draw = Text.draw
    with mock.patch.object(Text, "draw", lambda text, *rest: (drawn.append(text), draw(text, *rest))[1]):
        canvas.draw()
    words = [text for text in dict.fromkeys(drawn) if text.get_visible() and text.get_text().strip()]
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in words]
    with mock.patch.object(Text, "draw", lambda *_: None):  # all is laid out as before
        canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[..., :3] / 255
    height, width = picture.shape[:2]
    problems = []
    for text, box in zip(words, boxes, strict=True):
        box = box.expanded(0.8, 0.75)  # a ring or a frame round a word may touch the corners of its box
        left, right = int(max(0, box.x0)), int(min(width, box.x1))
        top, bottom = int(max(0, height - box.y1)), int(min(height, height - box.y0))
        behind = picture[top:bottom, left:right].reshape(-1, 3)
        if not len(behind):
            continue
        colours, counts = np.unique((behind * 15).round().astype(int), axis=0, return_counts=True)
        ground = colours[counts.argmax()] / 15
        if text.get_bbox_patch() is not None and text.get_bbox_patch().get_facecolor()[3] > 0.5:
            ground, behind = np.asarray(text.get_bbox_patch().get_facecolor()[:3]), behind[:0]
        ink = to_rgba(text.get_color(), text.get_alpha())
        seen = ink[3] * np.asarray(ink[:3]) + (1 - ink[3]) * ground
        if contrast(seen, ground) < 4.5 and not text.get_path_effects():
            problems.append(f"{text.get_text()!r}: contrast {contrast(seen, ground):.1f}")
        strikes = [contrast(one, ground) > 1.6 for one in behind]
        if not text.get_path_effects() and np.mean(strikes or [0]) > 0.04:
            problems.append(f"{text.get_text()!r}: struck by something, {np.mean(strikes):.0%} of what is behind it")
    return problems


def in_a_kernel(function, name="f"):
    """A function as nbgrader's marks call it (`classroom/marking.py`); its kernel is a dictionary."""
    from vtm_lesson.teaching.classroom.marking import Remote

    space = {"get_ipython": lambda: type("Shell", (), {"user_ns": {name: function}})}

    def ask(code, expression):
        exec(code, space)
        return repr(eval(expression, space))

    return Remote(name, ask)


def exercises_of(nb):
    """A lesson for nbgrader without what lies between its exercises, which takes most of the time."""
    first = next(i for i, cell in enumerate(nb.cells) if "nbgrader" in cell.metadata)
    nb.cells = [cell for i, cell in enumerate(nb.cells) if i < first or "nbgrader" in cell.metadata]
    return nb


def can_unshare(*spaces):
    """Whether this user may make such namespaces on this system: can_unshare("--net", "--mount")."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", *spaces, "true"], stderr=subprocess.DEVNULL).returncode == 0


def isolates():
    """Whether folders and network can be kept from a submission here."""
    as_root = ("--net", "--mount")
    as_user = ("--user", "--map-current-user", *as_root, "--ipc", "--pid", "--fork", "--mount-proc")
    return can_unshare(*(as_root if sys.platform == "linux" and os.geteuid() == 0 else as_user))


def pass_of(network, tokens, motion):
    """Logits of a training pass and all gradients; chance is the same each time."""
    network.zero_grad()
    torch.manual_seed(5)
    logits = network(tokens, motion=motion)
    logits.square().sum().backward()
    named = getattr(network, "_orig_mod", network).named_parameters()
    return logits.detach(), {name: value.grad.clone() for name, value in named if value.grad is not None}
