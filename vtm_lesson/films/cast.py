"""The figures of the films: poses of eight gestures, drawn as capsules and kept as sprites."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from .scenery import turn_sin

GESTURES = ("wave", "jump", "spin", "bow", "clap", "kick", "squat", "handstand")
# Okabe-Ito colours, the actor's a little brighter: vermillion, and nothing else in the world is.
ACTOR_HUE = (230, 92, 14)
PROP_HUES = ((86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167))
PHASES = 12  # drawings for one cycle of a gesture
SHADE = 0.4  # darkness of a figure's shadow
FACE = 0.9  # tone of the face, where the eyes go


def _reach(a, b, length, prefer):
    """Joint and end of two equal bones of total `length` from a towards b; the joint on the side preferred."""
    (ax, ay), (bx, by) = a, b
    dx, dy = bx - ax, by - ay
    d = max(math.sqrt(dx * dx + dy * dy), 1e-6)
    if d > length:
        dx, dy, d = dx * length / d, dy * length / d, length
    out = math.sqrt(max(length * length / 4 - d * d / 4, 0.0)) / d
    out = out if dy * prefer[0] - dx * prefer[1] > 0 else -out
    return (ax + dx / 2 + out * dy, ay + dy / 2 - out * dx), (ax + dx, ay + dy)


def pose(gesture: int, phase: float, walks: bool = False) -> list:
    """The figure as capsules (x1, y1, x2, y2, radius, tone): feet near y = 0, head near y = 1, y upwards."""
    s, c = float(turn_sin(phase)), float(turn_sin(phase + 0.25))
    name = GESTURES[gesture]
    hip, lean, lift = [0.0, 0.36], 0.0, 0.0
    feet = [[-0.10, 0.03], [0.10, 0.03]]
    hands = [[-0.12, -0.24], [0.12, -0.24]]
    if walks and name not in ("handstand", "squat"):
        for k, way in ((0, 1), (1, -1)):
            feet[k][0] += 0.10 * way * s
            feet[k][1] += 0.09 * max(0.0, way * c)
    if name == "wave":
        hands[1] = [0.20 + 0.11 * s, 0.27]
    elif name == "jump":
        lift = 0.02 + 0.16 * max(0.0, s)
        hands = [[-0.17, 0.29], [0.17, 0.29]]
        feet = [[-0.15, 0.03 + 0.05 * max(0.0, s)], [0.15, 0.03 + 0.05 * max(0.0, s)]]
    elif name == "spin":
        hands = [[-0.36, 0.03], [0.36, 0.03]]
        feet[0][0] *= 0.6
        feet[1][0] *= 0.6
    elif name == "bow":
        lean = 0.16 + 0.09 * c
        hip[0] = -0.10
        hands = [[0.04, -0.27], [0.10, -0.26]]
    elif name == "clap":
        gap = 0.10 * (1 + s) - 0.06
        hands = [[-gap, -0.01], [gap, -0.01]]
    elif name == "kick":
        angle = 0.17 + 0.09 * c
        lean = -0.05
        feet[1] = [0.40 * float(turn_sin(angle)), 0.38 - 0.40 * float(turn_sin(angle + 0.25))]
        hands = [[-0.24, -0.12], [-0.02, -0.24]]
    elif name == "squat":
        hip[1] = 0.19 + 0.06 * s
        feet = [[-0.17, 0.03], [0.17, 0.03]]
        hands = [[-0.24, -0.16], [0.24, -0.16]]
    elif name == "handstand":
        spread = 0.13 + 0.15 * s
        hands = [[-0.16, 0.28], [0.16, 0.28]]
        feet = [[-spread, 0.03], [spread, 0.03]]
    across, along = float(turn_sin(lean)), float(turn_sin(lean + 0.25))
    neck = (hip[0] + 0.27 * across, hip[1] + 0.27 * along)
    head = (neck[0] + 0.17 * across, neck[1] + 0.17 * along)
    parts = []
    limbs = []
    for k, side in ((0, -1), (1, 1)):
        root = (hip[0] + 0.05 * side, hip[1])
        knee, foot = _reach(root, feet[k], 0.36, (side, 0.3))
        limbs.append([(*root, *knee, 0.055, 0.34), (*knee, *foot, 0.052, 0.28)])
        shoulder = (neck[0] + 0.10 * side * along, neck[1] - 0.03 - 0.10 * side * across)
        goal = (shoulder[0] + hands[k][0], shoulder[1] + hands[k][1])
        elbow, hand = _reach(shoulder, goal, 0.36, (0.6 * side, -1.0) if name == "clap" else (side, -0.3))
        arm = [(*shoulder, *elbow, 0.047, 0.62), (*elbow, *hand, 0.047, 0.72), (*hand, *hand, 0.062, 0.98)]
        limbs.append(arm)
    parts += limbs[0] + limbs[2] + limbs[1]
    parts.append((*hip, neck[0] - 0.02 * across, neck[1] - 0.02 * along, 0.125, 0.5))
    parts.append((*head, *head, 0.155, 0.8))
    parts.append((head[0], head[1] + 0.06, head[0], head[1] + 0.065, 0.125, 0.3))
    parts.append((head[0], head[1] - 0.02, head[0], head[1] - 0.02, 0.115, FACE))
    parts += limbs[3]
    if name == "spin":
        # Turning about the upright axis narrows the figure.
        narrow = 0.3 + 0.7 * abs(c)
        parts = [(x1 * narrow, y1, x2 * narrow, y2, r, tone) for x1, y1, x2, y2, r, tone in parts]
    if name == "handstand":
        parts = [(x1, 1.10 - y1, x2, 1.10 - y2, r, tone) for x1, y1, x2, y2, r, tone in parts]
    return [(x1, y1 + lift, x2, y2 + lift, r, tone) for x1, y1, x2, y2, r, tone in parts]


def _distance(part, x, y):
    """Signed distance in pixels from the rim of one capsule, negative inside."""
    x1, y1, x2, y2, r = part[:5]
    bx, by = x2 - x1, y2 - y1
    dx, dy = x - x1, y - y1
    square = bx * bx + by * by
    if square > 1e-6:
        t = np.clip((dx * bx + dy * by) / square, 0, 1)
        dx, dy = dx - t * bx, dy - t * by
    return np.sqrt(dx * dx + dy * dy) - r


@lru_cache(maxsize=4096)
def _shape(gesture, step, tall, walks):
    """The drawing before it gets its hue: tone (h, w) in [0, 1], body and weight (h, w) in 0..256, feet row."""
    half = int(0.62 * tall) + 2
    foot = int(1.28 * tall) + 2
    rows, columns = foot + int(0.12 * tall) + 2, 2 * half + 1
    x = (np.arange(columns) - half).astype(np.float32)[None, :]
    y = (foot - np.arange(rows)).astype(np.float32)[:, None]
    parts = [(*(v * tall for v in part[:5]), part[5]) for part in pose(gesture, step / PHASES, walks)]
    line = max(0.6, 0.02 * tall)
    body = np.zeros((rows, columns), np.float32)
    tone = np.zeros((rows, columns), np.float32)
    for part in parts:
        distance, level = _distance(part, x, y), part[5]
        edge = np.clip(line + 0.5 - distance, 0, 1)
        body += edge - body * edge
        inside = np.clip(0.5 - distance, 0, 1)
        # Lighter towards the middle of each part, and a dark line around it.
        lit = level + 0.07 * np.clip(distance * (-10 / tall), 0, 1)
        tone = (tone + (lit - tone) * inside) * (1 - 0.45 * (edge - inside) * (1 - inside))
    if tall >= 30:
        face = next(part for part in parts if part[5] == FACE)
        for side in (-1, 1):
            x1, y1 = face[0] + side * 0.05 * tall, face[1]
            distance = _distance((x1, y1, x1, y1, 0.018 * tall), x, y)
            tone = tone * (1 - np.clip(0.5 - distance, 0, 1))
    # A soft shadow under the feet goes below the figure.
    flat, deep = x / (0.34 * tall), (y + 0.01 * tall) / (0.1 * tall)
    shadow = SHADE * np.clip((1 - flat * flat - deep * deep) * 1.5, 0, 1) * (1 - body)
    weight = np.floor(np.clip(body + shadow, 0, 1) * 256).astype(np.int64)
    return np.clip(tone, 0, 1), np.floor(body * 256).astype(np.int64), weight, foot


@lru_cache(maxsize=16384)
def sprite(gesture, step, tall, hue, walks, mirror):
    """One drawing of a figure `tall` pixels high.

    Returns ink (h, w, 3) and inverse (h, w, 1) uint16, to blend as (picture * inverse >> 8) + ink; body (h, w)
    uint8, how much of each pixel the figure covers; and the row of its feet.
    """
    tone, body, weight, foot = _shape(gesture, step, tall, walks)
    if mirror:
        tone, body, weight = (a[:, ::-1] for a in (tone, body, weight))
    steps = np.arange(64)[:, None] / 63
    dark, mid, light = np.array(hue) * 0.22, np.array(hue), np.array(hue) * 0.4 + 255 * 0.6
    ramp = np.where(steps < 0.5, dark + (mid - dark) * steps * 2, mid + (light - mid) * (steps * 2 - 1))
    ramp = np.clip(np.floor(ramp), 8, 247).astype(np.int64)
    ink = (ramp[(tone * 63 + 0.5).astype(np.int64)] * body[..., None]) >> 8
    ink += (8 * (weight - body)[..., None]) >> 8
    inverse = (256 - weight)[..., None]
    return ink.astype(np.uint16), inverse.astype(np.uint16), np.minimum(body, 255).astype(np.uint8), foot
