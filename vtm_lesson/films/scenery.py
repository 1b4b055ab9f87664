"""The painted set of the films: a small town's square under one of four skies."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

# sky above, sky at the horizon, far and near hills, ground far and near, walls, roofs, leaves, lit windows
SKIES = {
    "dawn": "5c6f9e e8c9b4 8f93b0 6e7896 a59fa3 8b8792 c9bfc0 6a6380 6d8a80 ffe9b0",
    "noon": "6fa8d6 d9e8ea 93b2b0 76998c c3bea6 a9a791 e3dccb 66798c 6f9468 59708a",
    "dusk": "34366b c99bb0 5d5784 474673 736c8c 5a5676 8a809f 3f3a63 4a6070 ffd67a",
    "night": "101a38 3a4a78 25325c 1d284c 3d4668 2d3556 55608a 222a4c 2c4a58 ffdf8a",
}


@lru_cache
def _tones(name):
    codes = SKIES[name].split()
    return [np.array([int(code[k : k + 2], 16) for k in (0, 2, 4)], np.float32) for code in codes]


def turn_sin(turns):
    """Sine of an angle in turns, to 0.1 percent, from arithmetic that is the same on every machine."""
    x = np.asarray(turns, np.float64)
    x = x - np.floor(x + 0.5)
    y = 8 * x - 16 * x * np.abs(x)
    return 0.225 * (y * np.abs(y) - y) + y


def noise(rng, height, width, cell):
    """Smooth value noise in [0, 1], (height, width) float32, with about `cell` pixels from bump to bump."""
    rows, columns = int(height / cell) + 2, int(width / cell) + 2
    lattice = rng.random((rows, columns), dtype=np.float32)

    def between(n):
        at = np.arange(n, dtype=np.float32) / np.float32(cell)
        low = at.astype(np.int64)
        w = at - low
        return low, w * w * (3 - 2 * w)

    i, v = between(height)
    j, w = between(width)
    tall = lattice[i] + (lattice[i + 1] - lattice[i]) * v[:, None]
    return tall[:, j] + (tall[:, j + 1] - tall[:, j]) * w


def _mix(picture, alpha, colour):
    picture += (colour - picture) * alpha[..., None]


def _blob(picture, x, y, rx, ry, colour, strength=1.0, soft=None):
    """An ellipse with a soft edge, painted only in the box it needs. soft: a glow that falls off."""
    h, w, _ = picture.shape
    top, bottom = max(0, int(y - ry - 2)), min(h, int(y + ry + 3))
    left, right = max(0, int(x - rx - 2)), min(w, int(x + rx + 3))
    if top >= bottom or left >= right:
        return
    dy = (np.arange(top, bottom, dtype=np.float32) - np.float32(y)) / np.float32(ry)
    dx = (np.arange(left, right, dtype=np.float32) - np.float32(x)) / np.float32(rx)
    d = 1 - (dx * dx)[None, :] - (dy * dy)[:, None]
    edge = d * np.float32(min(rx, ry) * 0.6) + np.float32(0.5)
    if soft:
        edge = np.maximum(d, 0) * d
    alpha = np.minimum(np.maximum(edge, 0), 1) * np.float32(strength)
    _mix(picture[top:bottom, left:right], alpha, colour)


def paint(rng, height, width, small, view):
    """The set, (height, width, 3) uint8 in 8..247. small: the frame's shorter side, which sets the scale.

    view: the frame's (height, width); the horizon lies at a quarter of it from the top of the set.
    """
    u = small / 64
    name = list(SKIES)[int(rng.random() * 4)]
    above, low, far, near, ground_far, ground_near, wall, roof, _, lamp = _tones(name)
    horizon = int(0.27 * view[0])
    picture = np.empty((height, width, 3), np.float32)
    y = np.arange(height, dtype=np.float32)
    x = np.arange(width, dtype=np.float32)

    sky = (y[:horizon] / np.float32(horizon))[:, None, None]
    picture[:horizon] = above + (low - above) * sky
    sun = rng.random(2).tolist()
    at = (0.1 + 0.8 * sun[0]) * width, (0.2 + 0.3 * sun[1]) * horizon
    disc = np.array([255, 246, 224], np.float32)
    _blob(picture[:horizon], *at, 16 * u, 16 * u, disc, 0.35, soft=True)
    _blob(picture[:horizon], *at, 3.2 * u, 3.2 * u, disc, 0.95)
    clouds = np.clip(noise(rng, horizon, width, 5 * u) * 3 - np.float32(1.7), 0, 1)
    _mix(picture[:horizon], clouds * np.float32(0.22), disc)
    hills = rng.random((2, 3)).tolist()
    for colour, lift, (a, b, c) in ((far, 9, hills[0]), (near, 4.5, hills[1])):
        bumps = turn_sin(a + x / (46 * u)) * 2 + turn_sin(b + x / (21 * u)) + turn_sin(c + x / (9 * u)) * 0.4
        ridge = (horizon - lift * u - bumps * u).astype(np.float32)
        top = max(0, int(horizon - 14 * u))
        _mix(picture[top:horizon], np.clip(y[top:horizon, None] - ridge + np.float32(0.5), 0, 1), colour)
    _ground(picture[horizon:], rng, ground_far, ground_near, u)
    _houses(picture, rng, horizon, u, wall, roof, lamp)
    _garden(picture, rng, horizon, u, name)
    # Brush strokes over everything: texture that the eye likes and that a codec can follow.
    stroke = noise(rng, height, width, 2.2 * u) * 14 + noise(rng, height, width, 7 * u) * 14
    stroke += rng.random((height, width), dtype=np.float32) * 10 - np.float32(19)
    picture += stroke[..., None]
    return np.clip(picture, 8, 247).astype(np.uint8)


def _ground(ground, rng, far, near, u):
    """Paving stones that grow towards the viewer, each with a tone of its own, and a ring mosaic."""
    height, width, _ = ground.shape
    depth = np.arange(height, dtype=np.float64) / u
    # Row and column of the stone under each pixel, and how close the pixel is to a joint.
    level = np.sqrt(9 + depth * 1.6) * 2.4
    row = level.astype(np.int64)
    size = (2.6 + 0.045 * depth)[row.searchsorted(row)] * 2 * u
    column = (np.arange(width)[None, :] + 4096.0) / size[:, None] + 0.5 * (row % 2)[:, None]
    stone = column.astype(np.int64)
    table = rng.random((64, 64), dtype=np.float32)
    tone = table[row[:, None] % 64, stone % 64]
    joint = np.minimum(column - stone, 1 - (column - stone)) * size[:, None] < 0.5 * max(u, 1)
    joint |= np.diff(row, prepend=row[0])[:, None] > 0
    w = (np.arange(height, dtype=np.float32) / np.float32(max(height, 1)))[:, None, None]
    ground[:] = far + (near - far) * w
    ground *= (0.86 + 0.24 * tone - 0.13 * joint).astype(np.float32)[..., None]


def _houses(picture, rng, horizon, u, wall, roof, lamp):
    width = picture.shape[1]
    x = -3 * u
    while x < width:
        luck = rng.random(6).tolist()
        wide, tall = (7 + 6 * luck[0]) * u, (4.5 + 5 * luck[1]) * u
        left, right = max(0, int(x)), min(width, int(x + wide))
        top = max(1, int(horizon - tall))
        if right > left and luck[2] > 0.12:
            picture[top:horizon, left:right] = wall * np.float32(0.78 + 0.3 * luck[3])
            picture[top:horizon, max(left, right - max(1, int(0.16 * wide))) : right] *= np.float32(0.86)
            peak = (2.2 + 2.4 * luck[4]) * u
            start = max(0, int(top - peak))
            slope = (np.arange(start, top, dtype=np.float32) - np.float32(top - peak)) / np.float32(peak)
            reach = slope[:, None] * np.float32(wide / 2 + u)
            off = np.abs(np.arange(max(0, left - 1), min(width, right + 1)) - np.float32(x + wide / 2))
            spot = picture[start:top, max(0, left - 1) : min(width, right + 1)]
            _mix(spot, np.clip(reach - off + np.float32(0.5), 0, 1), roof * np.float32(0.85 + 0.3 * luck[5]))
            pane, gap = max(1, int(1.2 * u)), 2.6 * u
            lit = (rng.random((5, 5)) < 0.55).tolist()
            for i in range(min(5, int((tall - 1.5 * u) / gap + 0.5))):
                for j in range(min(5, int((wide - 1.0 * u) / gap))):
                    wx, wy = int(x + 1.2 * u + j * gap), int(top + 1.1 * u + i * gap)
                    if wx >= 0:
                        picture[wy : wy + int(1.4 * pane), wx : wx + pane] = lamp if lit[i][j] else roof
        x += wide + (1.5 * u if luck[2] < 0.4 else 0)


def _garden(picture, rng, horizon, u, name):
    """Bushes, flowers and lamps on the square."""
    height, width, _ = picture.shape
    area = width * (height - horizon) / (64 * 46 * u * u)
    bushes, lamps = round(6 * area), round(3 * area)
    luck = rng.random((bushes + lamps, 3))
    for k, (a, b, c) in enumerate(luck.tolist()):
        x, y = int(a * width), int(horizon + (0.02 + 0.98 * b) * (height - horizon))
        if k < bushes:
            ink, keep, spot = _thing(name, "flowers" if k % 2 else "bush", u, int(c * 4))
        else:
            ink, keep, spot = _thing(name, "lamp", u, 0)
        top, left = y - spot[0], x - spot[1]
        cut = (slice(max(0, -top), max(0, height - top)), slice(max(0, -left), max(0, width - left)))
        place = picture[max(0, top) : max(0, top + len(ink)), max(0, left) : max(0, left + ink.shape[1])]
        place *= keep[cut]
        place += ink[cut]


@lru_cache(maxsize=256)
def _thing(name, kind, u, size):
    """One thing of the square, drawn once: ink to add, share of the ground to keep, and its foot (y, x)."""
    _, _, _, near, _, _, _, _, leaf, lamp = _tones(name)
    box, foot = (int(26 * u), int(24 * u)), (int(17 * u), int(12 * u))
    y, x = foot
    both = []
    for ground in (0, 1):
        picture = np.full((*box, 3), ground, np.float32)
        if kind == "lamp":
            top = y - int(11 * u)
            picture[top:y, x : x + max(1, int(0.8 * u))] = near * np.float32(0.45)
            _blob(picture, x, top, 1.5 * u, 1.5 * u, lamp, 1.0)
            if name in ("dusk", "night"):
                _blob(picture, x, top, 8 * u, 6 * u, lamp, 0.45, soft=True)
                _blob(picture, x, y, 9 * u, 4 * u, lamp, 0.3, soft=True)
        else:
            r = (2.0 + 0.6 * size) * u
            _blob(picture, x + 0.4 * r, y + 0.8 * r, 1.3 * r, 0.5 * r, near * np.float32(0.5), 0.4)
            for dx, dy, share, light in ((0, 0, 1, 0.8), (-0.5, 0.1, 0.7, 0.95), (0.1, -0.4, 0.65, 1.12)):
                _blob(picture, x + dx * r, y + dy * r, share * r, share * r, leaf * np.float32(light), 0.95)
            for dx, dy in ((-0.5, -0.2), (0.3, -0.5), (0.4, 0.3)) if kind == "flowers" else ():
                petal = lamp * np.float32(0.6) + np.float32(96)
                _blob(picture, x + dx * r, y + dy * r, 0.45 * u, 0.45 * u, petal, 0.9)
        both.append(picture)
    return both[0], both[1] - both[0], foot
