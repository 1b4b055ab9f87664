"""The exercises of lesson 12: wrong answers as learners write them, and right ones in another form."""

import random
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from helpers import assert_refused

from vtm_lesson import checks
from vtm_lesson.datasets.extraction import Settings, features
from vtm_lesson.datasets.lists import labelled
from vtm_lesson.datasets.stand_in import stand_in


@pytest.fixture(autouse=True)
def _outside_grading(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)


def own_interval(values):
    return checks.mean_interval.answer(values)


def parts_of(groups, split):
    """Group -> the parts in which its films are."""
    found = defaultdict(set)
    for group, part in zip(groups, split, strict=True):
        found[group].add(part)
    return found


def of_each(values, groups, what):
    found = defaultdict(list)
    for value, group in zip(values, groups, strict=True):
        found[group].append(value)
    return [what(own) for own in found.values()]


def bytes_by(windows, each=2):
    return lambda f, w, *n: sum(windows(s / w) for s in f) * np.prod(n).item() * each


def film_by_film(choose):
    return lambda x, f: torch.stack([choose(x[f == i]) for i in f.unique()])


def greedy(groups, labels):
    """Takes groups by size only."""
    test, count = set(), Counter(groups)
    for name, _ in count.most_common():
        if sum(count[own] for own in test) < len(groups) / 5:
            test.add(name)
    return [group in test for group in groups]


def tried(groups, labels):
    """Random choices of groups until one is fair: as good as going through all of them."""
    dice, names = random.Random(0), sorted(set(groups))
    while True:
        test = set(dice.sample(names, dice.randint(1, len(names) - 1)))
        part = [group in test for group in groups]
        kinds = {(label, there) for label, there in zip(labels, part, strict=True)}
        if 0.2 <= sum(part) / len(part) <= 0.4 and len(kinds) == 2 * len(set(labels)):
            return part


WRONG = [
    # exercise, what is said (None: only the right result is shown), answer
    ("leaking_groups", "An empty name", lambda g, s: sorted(a for a, p in parts_of(g, s).items() if len(p) > 1)),
    (
        "leaking_groups",
        "leaks as well",
        lambda g, s: sorted(a for a, p in parts_of(g, s).items() if a and {"train", "test"} <= p),
    ),
    (
        "leaking_groups",
        "does not leak; it does where",
        lambda g, s: sorted(a for a, n in Counter(g).items() if a and n > 1),
    ),
    ("feature_bytes", "float32 would take 4", bytes_by(lambda many: max(1, round(many)), 4)),
    ("feature_bytes", "shorter than a window", bytes_by(round)),
    ("feature_bytes", "more than half a window", bytes_by(lambda many: max(1, int(many)))),
    ("film_prediction", "let the windows vote", film_by_film(lambda rows: rows.argmax(1).mode()[0])),
    ("film_prediction", "average probabilities", film_by_film(lambda rows: rows.softmax(1).sum(0).argmax())),
    ("film_prediction", "one class for each window", lambda x, f: x.max(1).indices),
    ("mean_predictor_error", "which nobody may know", lambda a, b: b.var(correction=0).item()),
    ("mean_predictor_error", "on the training films", lambda a, b: a.var(correction=0).item()),
    ("mean_predictor_error", "has none", lambda a, b: float(((b - a.mean()) ** 2).mean().sqrt())),
    ("fair_split", "two films of one group", lambda g, y: [i < len(g) / 3 for i in range(len(g))]),
    ("grouped_interval", "one session is one observation", lambda v, g: own_interval(v)),
    ("grouped_interval", "not by their sum", lambda v, g: own_interval(of_each(v, g, sum))),
]


@pytest.mark.parametrize("name, said, answer", WRONG, ids=[f"{row[0]}-{i}" for i, row in enumerate(WRONG)])
def test_wrong_answers_are_refused_and_named(name, said, answer, capsys):
    assert_refused(getattr(checks, name), said, answer, capsys)


@pytest.mark.parametrize(
    "answer, said",
    [
        (greedy, "class|of the films are in the test part"),
        (lambda g, y: [True] * len(g), "100% of the films"),
        (lambda g, y: [False] * len(g), "0% of the films"),
        (lambda g, y: [True], "you have 1 booleans"),
        (lambda g, y: sorted(set(g))[:2], "a list of booleans"),
        (lambda g, y: [1] * len(g), "a list of booleans"),
    ],
)
def test_splits_that_are_not_fair_are_told_why(answer, said, capsys):
    checks.fair_split(answer)
    out = capsys.readouterr().out
    assert out.startswith("✗") and any(words in out for words in said.split("|")), out


def by_numpy(values, groups):
    return np.array(own_interval(of_each(values, groups, lambda own: float(np.mean(own)))))


RIGHT = [
    ("leaking_groups", lambda g, s: sorted(a for a, p in parts_of(g, s).items() if a and len(p) > 1)),
    ("feature_bytes", lambda f, w, *n: np.int64(sum(max(1, round(s / w)) for s in f)) * np.prod(n) * 2),
    ("film_prediction", lambda x, f: torch.zeros(int(f.max()) + 1, x.shape[1]).index_add(0, f, x).argmax(1).numpy()),
    ("film_prediction", lambda x, f: [int(x[f == i].mean(0).argmax()) for i in range(int(f.max()) + 1)]),
    ("mean_predictor_error", lambda a, b: np.mean((b.numpy() - a.numpy().mean()) ** 2)),
    ("mean_predictor_error", lambda a, b: b.var(correction=0) + (b.mean() - a.mean()) ** 2),
    ("fair_split", tried),
    ("fair_split", lambda g, y: np.array(tried(g, y))),
    ("grouped_interval", by_numpy),
]


@pytest.mark.parametrize("name, answer", RIGHT, ids=[f"{row[0]}-{i}" for i, row in enumerate(RIGHT)])
def test_right_answers_in_another_form_are_taken(name, answer, capsys):
    getattr(checks, name)(answer)
    out = capsys.readouterr().out
    assert out.startswith("✓"), out


def test_bytes_are_those_on_the_disk(tmp_path):
    """What the exercise computes is what `features` writes, but for the shards' heads."""
    stand_in("scene", tmp_path, films_per_class=3, frames=4, size=32)
    found = labelled_as_one(tmp_path)
    store = features(
        found, tmp_path / "features", settings=Settings(frames=4, size=32, patch=8, motion=False),
        progress=False, say=lambda line: None,
    )  # fmt: skip
    expected = checks.feature_bytes.answer([0.3] * len(found), 60.0, 4, 16, 48)
    assert sum(store[i]["tokens"].nbytes for i in range(len(store))) == expected


def labelled_as_one(home):
    """The films of a stand-in as a list of one's own, of two classes."""
    table = home / "own.csv"
    rows = [f"{path.name},{'a' if i % 2 else 'b'}" for i, path in enumerate(sorted((home / "videos").glob("*.mp4")))]
    table.write_text("\n".join(["file,label", *rows]) + "\n")
    return labelled(home / "videos", table)
