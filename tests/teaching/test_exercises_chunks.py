"""Answers to the newer exercises of lesson 04 as learners write them: wrong ones, and right ones in another form."""

import math
import random

import numpy as np
import pytest
import torch

from vtm_lesson import checks, match, uniform


@pytest.fixture(autouse=True)
def _outside_grading(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)


def merged(x, keys, gamma):
    return match(keys, uniform(x.shape[1], gamma))(x)


def piece_by_piece(x, keys, length, gamma, last=merged, keep_last=True):
    """Chunks as torch.split makes them; the last one, if it is short, by a rule of its own."""
    pieces = [*zip(x.split(length, dim=1), keys.split(length, dim=1), strict=True)]
    done = [(merged if part.shape[1] == length else last)(part, k, gamma) for part, k in pieces]
    if not keep_last and pieces[-1][0].shape[1] < length:
        done = done[:-1]
    return torch.cat(done, dim=1) if done else x[:, :0]


def padded(x, keys, length, gamma):
    more = math.ceil(x.shape[1] / length) * length - x.shape[1]
    fill = torch.nn.functional.pad
    return piece_by_piece(fill(x, (0, 0, 0, more)), fill(keys, (0, 0, 0, more)), length, gamma)


def patch_by_patch(groups):
    """How much each patch counts, followed forward from every single patch."""
    weights = []
    for i in range(len(groups[0])):
        weight, at = 1.0, i
        for group in groups:
            weight /= int((group == group[at]).sum())
            at = int(group[at])
        weights.append(weight / len(set(groups[-1].tolist())))
    return weights


def both(groups, kept, region, weigh=patch_by_patch, total=sum, of="kept"):
    weights, inside, kept = weigh(groups), region.tolist(), kept.tolist()
    common = sum(inside[k] for k in kept)
    below = {"kept": len(kept), "region": max(1, sum(inside)), "nothing": 1}[of]
    return total([w for w, yes in zip(weights, inside, strict=True) if yes]), common / below


def mean(numbers):
    return sum(numbers) / max(1, len(numbers))


def in_runs(choose):
    """One target in every run; choose: (number of the run, its tokens, places, gamma) -> one of these tokens."""

    def answer(frames, height, width, gamma):
        n, places = frames * height * width, height * width
        runs = [range(start, min(start + gamma, n)) for start in range(0, n, gamma)]
        return torch.tensor([choose(j, run, places, gamma) for j, run in enumerate(runs)])

    return answer


def served_in_turn(frames, height, width, gamma, tie=-1):
    """Runs from the last one back; of the places served least, the last one of the run."""
    n, places = frames * height * width, height * width
    served, found = dict.fromkeys(range(places), 0), []
    for start in reversed(range(0, n, gamma)):
        run = range(start, min(start + gamma, n))
        found.append(min(run, key=lambda t: (served[t % places], tie * t)))
        served[found[-1] % places] += 1
    return found[::-1]


def by_luck(frames, height, width, gamma):
    """Random targets in every run, the first ones that reach every place of a frame, if there are any."""
    dice = random.Random(0)
    draw = in_runs(lambda j, run, places, gamma: dice.choice(run))
    for _ in range(20):
        targets = draw(frames, height, width, gamma)
        if len(set((targets % (height * width)).tolist())) == height * width:
            break
    return targets


def changed(change):
    return lambda *arguments: change(checks.alias_free_targets.answer(*arguments))


WRONG = [
    ("merge_with_tail", "still dropped", "still lost", lambda *a: piece_by_piece(*a, keep_last=False)),
    ("merge_with_tail", "padded", "with zeros", padded),
    ("merge_with_tail", "not merged", "come through unmerged", lambda *a: piece_by_piece(*a, last=lambda x, k, g: x)),
    ("merge_with_tail", "one long chunk", "over the whole film", lambda x, k, n, g: merged(x, k, g)),
    (
        "merge_with_tail",
        "the last chunk kept as a mean",
        None,
        lambda *a: piece_by_piece(*a, last=lambda x, k, g: x.mean(1, keepdim=True)),
    ),
    ("region_weight", "recall", "recall", lambda *a: both(*a, of="region")),
    ("region_weight", "a count", "a count", lambda *a: both(*a, of="nothing")),
    ("region_weight", "mean weight", "their sum", lambda *a: both(*a, total=mean)),
    ("region_weight", "percent", "percent", lambda *a: [100 * number for number in both(*a)]),
    ("region_weight", "exchanged", "exchanged", lambda *a: both(*a)[::-1]),
    (
        "region_weight",
        "without merging",
        "share of the picture",
        lambda *a: both(*a, weigh=lambda groups: [1 / len(groups[0])] * len(groups[0])),
    ),
    ("alias_free_targets", "every gamma-th", "naive VTM itself", in_runs(lambda j, run, *_: run[0])),
    ("alias_free_targets", "by the run", "all frames look alike", in_runs(lambda j, run, p, g: run[j % g % len(run)])),
    (
        "alias_free_targets",
        "by the frame",
        "One step in every frame",
        in_runs(lambda j, run, p, g: run[run[0] // p % g % len(run)]),
    ),
    ("alias_free_targets", "staggered", "Staggered targets", lambda f, h, w, g: uniform(f * h * w, g, staggered=True)),
]


@pytest.mark.parametrize(("name", "says", "answer"), [pytest.param(n, s, a, id=f"{n}: {i}") for n, i, s, a in WRONG])
def test_a_wrong_answer_is_refused_and_its_mistake_named(name, says, answer, capsys):
    exercise = getattr(checks, name)
    exercise(answer)
    out = capsys.readouterr().out
    assert out.startswith(f"✗ {name}, "), out
    assert "stopped with" not in out, f"the answer fails in place of being wrong: {out}"
    named = {words for words, _ in exercise.mistakes if words in out}
    assert len(named) == (says is not None) and (says or "") in "".join(named), out


RIGHT = [
    ("merge_with_tail", "split", piece_by_piece),
    ("region_weight", "loops", both),
    ("region_weight", "array", lambda *a: np.array(both(*a))),
    ("region_weight", "tensors", lambda *a: tuple(map(torch.tensor, both(*a)))),
    ("alias_free_targets", "a list, from the end of the film", served_in_turn),
    ("alias_free_targets", "array", lambda *a: np.array(served_in_turn(*a, tie=1))),
]


@pytest.mark.parametrize(("name", "answer"), [pytest.param(n, a, id=f"{n}: {i}") for n, i, a in RIGHT])
def test_a_right_answer_in_another_form_is_taken(name, answer, capsys):
    getattr(checks, name)(answer)
    out = capsys.readouterr().out
    assert out.startswith(f"✓ {name}"), out


# What the judge of the design says: one sentence, about the first thing that is wrong.
DESIGNS = [
    ("one too few", changed(lambda t: t[:-1]), "so 8 targets are asked for; you have 7."),
    ("one twice", changed(lambda t: torch.cat([t[:1], t[:-1]])), "positions are to ascend"),
    ("backwards", changed(lambda t: t.flip(0)), "positions are to ascend"),
    ("beyond the film", changed(lambda t: t + 2), "positions go from 0 to 15; yours go from"),
    ("two in a run", changed(lambda t: torch.cat([t[:1], t[:1] + 1, t[2:]])), "run 0, tokens 0 to 1, holds 2 targets"),
    ("fractions", changed(lambda t: t / 1.0), "expected positions, whole numbers"),
    ("a mask", lambda f, h, w, g: torch.ones(f * h * w, dtype=torch.bool), "expected positions, whole numbers"),
    ("a comb", in_runs(lambda j, run, *_: run[0]), "2 of 4 places are a target in no frame; the first lies in row 0"),
]


@pytest.mark.parametrize(("answer", "says"), [pytest.param(a, s, id=i) for i, a, s in DESIGNS])
def test_a_design_is_told_which_demand_it_does_not_meet(answer, says, capsys):
    checks.alias_free_targets(answer)
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("✗ alias_free_targets, 4 frames of 2 x 2: ") and says in first, first


def test_chance_is_no_design(capsys):
    checks.alias_free_targets(by_luck)
    assert "places are a target in no frame" in capsys.readouterr().out


def test_the_answer_meets_the_demands_on_every_film_that_the_text_allows():
    for places in range(2, 21):
        for gamma in range(2, places + 1):
            for frames in (2 * gamma, 2 * gamma + 1):
                targets = checks.alias_free_targets.answer(frames, 1, places, gamma)
                assert checks.alias_free_targets.judge(targets, frames, 1, places, gamma) is None
