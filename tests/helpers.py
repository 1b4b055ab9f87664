"""What tests of several files use: chance that repeats, matching written down again, processes, and a check's no."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from vtm_lesson import films
from vtm_lesson.merging import tiled
from vtm_lesson.partition import uniform

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
