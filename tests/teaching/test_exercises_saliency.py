"""The newer exercises of lessons 05 and 06: wrong answers as learners write them, and right ones of another form."""

import math
import random

import numpy as np
import pytest
import torch

from vtm_lesson import checks, region, sample, uniform


@pytest.fixture(autouse=True)
def _nothing_is_recorded(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.setattr("vtm_lesson.teaching.exercise.record_solved", lambda *_: None)


# ---------------------------------------------------------------------------------------------------------------
# Each of these is right by default
# ---------------------------------------------------------------------------------------------------------------


def places_of(frames, height, width, box):
    """Positions in the box and outside of it, one list a frame."""
    top, left, rows, columns = box
    inside, outside = [[] for _ in range(frames)], [[] for _ in range(frames)]
    for position in range(frames * height * width):
        t, y, x = position // (height * width), position // width % height, position % width
        is_in = top <= y < top + rows and left <= x < left + columns
        (inside if is_in else outside)[t].append(position)
    return inside, outside


def one_outside_first(
    frames, height, width, gamma, box, recall, count=math.ceil, per_frame=math.ceil, least=1, order=True
):
    """One outside and enough inside in every frame, then anything, at random."""
    inside, outside = places_of(frames, height, width, box)
    dice = random.Random(0)
    chosen = []
    for within, around in zip(inside, outside, strict=True):
        chosen += dice.sample(around, least) + dice.sample(within, per_frame(recall * len(within)))
    spare = [*set(range(frames * height * width)) - set(chosen)]
    chosen += dice.sample(spare, count(frames * height * width / gamma) - len(chosen))
    return torch.tensor(sorted(chosen) if order else chosen)


def as_many_inside_as_can_be(frames, height, width, gamma, box, recall):
    """No look at `recall`: one outside in every frame, and the box as full as the budget allows."""
    inside, outside = places_of(frames, height, width, box)
    count = math.ceil(frames * height * width / gamma)
    chosen = [around[-1] for around in outside]
    rounds = zip(*inside, strict=True)  # frame by frame, one place of each box at a time
    chosen += [place for places in rounds for place in places][: count - len(chosen)]
    spare = [place for around in outside for place in around[:-1]]
    return np.array(sorted(chosen + spare[: count - len(chosen)]))


def over_all_frames(frames, height, width, gamma, box, recall):
    """The recall of the whole film: its first frames get all of it."""
    inside, outside = ([p for frame in each for p in frame] for each in places_of(frames, height, width, box))
    count, within = math.ceil(frames * height * width / gamma), math.ceil(recall * len(inside))
    rest = count - within
    spread = [outside[i * len(outside) // rest] for i in range(rest)]
    return torch.tensor(sorted(inside[:within] + spread))


def painted(blocks, height, width, first=lambda middle, length: middle - length // 2, way=None):
    moved = [[0.0] * width for _ in range(height)]
    for w, h, x, y, dx, dy, scale in blocks.tolist():
        for row in range(first(y, h), min(first(y, h) + h, height)):
            for column in range(first(x, w), min(first(x, w) + w, width)):
                moved[row][column] = (way or (lambda a, b, s: (a * a + b * b) ** 0.5 / s))(dx, dy, scale)
    return torch.tensor(moved)


def counted(blocks, share, ratio):
    """With odds, which grow by `ratio` in every block."""
    if share == 1:
        return 1.0
    odds = share / (1 - share) * ratio**blocks
    return odds / (1 + odds)


def fitted_by_hand(vectors, weight, power=1.0, constant=True, part=lambda rest, model: rest, over=None):
    """Normal equations, one frame at a time. over: the frames that a model is fitted to, by default its own."""
    frames, height, width, _ = vectors.shape
    place = [[float(constant), column - 2.0, row - 1.0] for row in range(height) for column in range(width)]
    a = torch.tensor(place, dtype=torch.float64)
    found = []
    for frame in range(frames):
        wa, wb = torch.zeros(3, 3, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.float64)
        for other in over(frames) if over else [frame]:
            w = weight[other].flatten().double() ** power
            wa, wb = wa + a.T @ (w[:, None] * a), wb + a.T @ (w[:, None] * vectors[other].reshape(-1, 2).double())
        model = a @ torch.linalg.pinv(wa) @ wb
        found.append(part(vectors[frame].reshape(-1, 2).double() - model, model).norm(dim=-1).view(height, width))
    return torch.stack(found)


WRONG = [
    ("guesses_that_pay", "shares", "divide both by 1/6", lambda: ("boundary", 0.33, 0.07, 2)),
    ("guesses_that_pay", "centre", "off the middle", lambda: ("centre", 2.0, 0.4, 2)),
    ("guesses_that_pay", "three panels", "too many or too few", lambda: ["boundary", 1.98, 0.42, 3]),
    ("guesses_that_pay", "the shortest of the panel", "the shortest bar divided", lambda: ("boundary", 2, 0.77, 2)),
    ("guesses_that_pay", "gain and loss exchanged", None, lambda: ("boundary", 0.4, 2.0, 2)),
    ("box_targets", "every gamma-th", "places are targets", lambda f, h, w, g, box, r: uniform(f * h * w, g)),
    ("box_targets", "at the boundary", "places are targets", lambda f, h, w, g, box, r: region(f, h, w, g, "boundary")),
    ("box_targets", "rounded down", "places are targets", lambda *a: one_outside_first(*a, per_frame=math.floor)),
    ("box_targets", "no one outside", "no target outside", lambda *a: one_outside_first(*a, least=0)),
    ("box_targets", "over all frames", "in frame", over_all_frames),
    ("box_targets", "T rounded down", "targets are asked for", lambda *a: one_outside_first(*a, count=math.floor)),
    ("box_targets", "not sorted", "are to ascend", lambda *a: one_outside_first(*a, order=False)),
    ("box_targets", "the first one twice", "are to ascend", lambda *a: torch.cat([a_box(*a)[:1], a_box(*a)[:-1]])),
    ("box_targets", "counted from the end", "positions go from 0", lambda *a: one_outside_first(*a) - math.prod(a[:3])),
    ("centre_share", "one block", "repeat it", lambda b, s, r: counted(1, s, r)),
    ("centre_share", "a power", "gains is gained outside", lambda b, s, r: s * r**b),
    ("centre_share", "how many times it grew", "asked is the share", lambda b, s, r: counted(b, s, r) / s if s else 0),
    ("centre_share", "odds", "both together", lambda b, s, r: s / (1 - s) * r**b if s < 1 else math.inf),
    ("centre_share", "one block more", "no more often", lambda b, s, r: counted(b + 1, s, r)),
    ("motion_map", "the broken one", "Both faults", lambda *a: painted(*a, first=lambda m, _: m, way=longer)),
    ("motion_map", "no scale", "still in parts of a pixel", lambda *a: painted(*a, way=longer)),
    ("motion_map", "the corner", "too far down", lambda *a: painted(*a, first=lambda middle, _: middle)),
    ("motion_map", "whole pixels", "Use /, not //", lambda *a: painted(*a, way=lambda x, y, s: math.hypot(x, y) // s)),
    ("motion_map", "a sum", "you add the two parts", lambda *a: painted(*a, way=lambda x, y, s: (abs(x) + abs(y)) / s)),
    ("motion_map", "times the scale", "do not multiply", lambda *a: painted(*a, way=lambda *v: v[2] * longer(*v))),
    ("motion_map", "always 4", None, lambda *a: painted(*a, way=lambda x, y, s: math.hypot(x, y) / 4)),
    ("motion_map", "turned round", "yours covers other pixels", lambda b, h, w: painted(b, w, h).T),
    ("affine_camera", "no weights", "weights have no effect", lambda v, w: fitted_by_hand(v, w, power=0.0)),
    ("affine_camera", "weights twice", "counts twice", lambda v, w: fitted_by_hand(v, w, power=2.0)),
    ("affine_camera", "one camera", "One camera for the whole film", lambda v, w: fitted_by_hand(v, w, over=range)),
    ("affine_camera", "the camera", "asked is what is left", lambda v, w: fitted_by_hand(v, w, part=lambda _, m: m)),
    ("affine_camera", "the median", "your turn 5", lambda v, w: checks.without_camera.answer(v)),
    ("affine_camera", "no constant", None, lambda v, w: fitted_by_hand(v, w, constant=False)),
]  # fmt: skip

RIGHT = [
    ("guesses_that_pay", "more digits, in a list", lambda: ["boundary", 1.98, 0.42, 2]),
    ("box_targets", "at random", one_outside_first),
    ("box_targets", "the fullest box, an array", as_many_inside_as_can_be),
    ("box_targets", "a list", lambda *a: one_outside_first(*a).tolist()),
    ("centre_share", "odds", counted),
    ("motion_map", "pixel by pixel", painted),
    ("affine_camera", "normal equations", fitted_by_hand),
]


def a_box(*arguments):
    return one_outside_first(*arguments)


def longer(x, y, scale):
    return math.hypot(x, y)


@pytest.mark.parametrize(("name", "what", "told", "answer"), WRONG, ids=[f"{row[0]}: {row[1]}" for row in WRONG])
def test_wrong_answers_are_refused_and_the_usual_ones_named(name, what, told, answer, capsys):
    exercise = getattr(checks, name)
    exercise(answer)
    said = capsys.readouterr().out
    assert said.startswith("✗"), said
    if told is None:
        assert not any(words in said for words, _ in exercise.mistakes), said
    else:
        assert told in said


@pytest.mark.parametrize(("name", "answer"), [(n, a) for n, _, a in RIGHT], ids=[f"{n}: {i}" for n, i, _ in RIGHT])
def test_a_right_answer_of_another_form_is_taken(capsys, name, answer):
    getattr(checks, name)(answer)
    assert capsys.readouterr().out.startswith("✓")


def test_what_is_no_row_of_positions_is_refused_in_words(capsys):
    for result in ("words", torch.ones(2, 3), torch.rand(4), torch.ones(5, dtype=torch.bool), [], None, 3):
        checks.box_targets(lambda *_, result=result: result)
        assert capsys.readouterr().out.startswith("✗")


def test_every_input_of_the_box_can_be_answered_and_none_by_drawing_blindly():
    """The tight ones leave one target outside in every frame, and no more."""
    tight = 0
    for _, arguments in checks.box_targets.cases():
        frames, height, width, gamma, box, recall = arguments
        needed = frames * (math.ceil(recall * box[2] * box[3]) + 1)
        count = math.ceil(frames * height * width / gamma)
        assert needed <= count
        tight += needed == count
        assert checks.box_targets.wrong(checks.box_targets.answer(*arguments), arguments, None) is None
    assert tight >= 2
    blind = sample(torch.zeros(1, 1728), 6, torch.Generator().manual_seed(0))[0]
    assert "places are targets" in checks.box_targets.wrong(blind, (12, 12, 12, 6, (4, 1, 4, 2), 0.9), None)


def test_centres_of_odd_grids_have_two_right_answers_and_are_not_asked_for():
    """Half of 7 rows is 3 by `height // 2`, and 4 by the package's `round`."""

    def centre(frames, height, width, gamma):
        rows, columns = height // 2, width // 2
        mask = torch.zeros(frames, height, width, dtype=torch.bool)
        top, left = (height - rows) // 2, (width - columns) // 2
        mask[:, top : top + rows, left : left + columns] = True
        count = math.ceil(frames * height * width / gamma)
        places = [(mask.flatten() == inside).nonzero()[:, 0] for inside in (True, False)]
        counts = (round(count / 2), count - round(count / 2))
        spread = [p[[i * len(p) // k for i in range(k)]] for p, k in zip(places, counts, strict=True)]
        return torch.cat(spread).sort().values

    grids = [grid for _, grid in checks.centre_targets.cases()]
    grids += [grid for seed in (1, 2) for _, grid in checks.centre_targets.variant(seed).cases()]
    assert all(height % 2 == width % 2 == 0 for _, height, width, _ in grids)
    assert checks.centre_targets.problem(centre) is None and checks.centre_targets.problem(region) is None
    assert centre(1, 7, 7, 4).tolist() != region(1, 7, 7, 4).tolist()
