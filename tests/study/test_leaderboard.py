"""Own entries on the board: beside all others, blind for the actor, and every try counted."""

import json

import pytest
import torch
from helpers import Colours
from matplotlib.colors import to_hex

from vtm_lesson.merging.merge import Merge
from vtm_lesson.merging.strategies import STRATEGIES
from vtm_lesson.study import leaderboard
from vtm_lesson.study.leaderboard import CONTROLS, RIVALS, Plan, board, figure, practice
from vtm_lesson.study.own import OwnError

SMALL = Plan(practice=48, sets=3, each=20, frames=3, size=32)


def newest(n, n_targets):
    return torch.arange(n - n_targets, n)


def halves(context):
    """Ragged by what it says: half of the tokens, whatever the budget."""
    return Merge.of((torch.arange(context.n) // 2 * 2).repeat(len(context.keys), 1))


halves.ragged = True


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="module")
def encoder():
    return Colours()


@pytest.fixture
def on_board(home, encoder, monkeypatch):
    monkeypatch.setattr(leaderboard, "_session", {"public": set(), "final": set()})
    return lambda entries, plan=SMALL, **more: board(
        entries, plan=plan, folder=home, encoder=encoder, progress=False, **more
    )


def test_every_one_stands_there_best_first_at_one_budget(on_board):
    found = on_board({"newest": newest})
    assert {row.name for row in found.rows} == {*CONTROLS, *RIVALS, "newest"}
    means = [row.accuracy[0] for row in found.rows]
    assert means == sorted(means, reverse=True)
    for row in found.rows:
        assert len(row.by_set) == 3 and row.tokens == (48 if row.name == "none" else 8), row
        assert row.whose == (
            "yours" if row.name == "newest" else "a control" if row.name in CONTROLS else "the course's"
        )
    random = next(row for row in found.rows if row.name == "random")
    assert random.beyond_random == (0, 0, 0)
    oracle = next(row for row in found.rows if row.name == "oracle")
    gains = [a - b for a, b in zip(oracle.by_set, random.by_set, strict=True)]
    assert oracle.beyond_random[0] == pytest.approx(sum(gains) / 3)
    assert oracle.recall > random.recall


def test_films_are_those_of_nobody_else_and_the_final_ones_are_others(on_board, monkeypatch):
    seen = []

    def spy(n, seed, **options):
        seen.append((seed, n))
        return real(n, seed, **options)

    real = leaderboard.toy_films
    monkeypatch.setattr(leaderboard, "toy_films", spy)
    plan = Plan(practice=40, sets=2, each=20, frames=2, size=32)  # not the films that are kept from other tests
    on_board({}, plan)
    public = {seed for seed, _ in seen}
    seen.clear()
    on_board({}, plan, final=True)
    final = {seed for seed, n in seen if n == 40} - {leaderboard.PRACTICE_SEED}
    used = {11, 12, 13}  # by the studies
    assert len(public - used) == len(final - used) == 1 and not public & final


def test_an_entry_is_measured_as_the_courses_own_are(on_board):
    found = {row.name: row for row in on_board({"mine": STRATEGIES["motion"], "other": newest}).rows}
    mine, course = found["mine"], found["motion"]
    assert (mine.by_set, mine.recall, mine.tokens) == (course.by_set, course.recall, course.tokens)
    assert found["other"].by_set != course.by_set or found["other"].recall != course.recall


def test_recall_is_that_of_the_targets_where_a_reducer_has_some(on_board):
    found = {row.name: row for row in on_board({"by threshold": ("threshold", lambda keys: keys[..., 0])}).rows}
    assert found["by threshold"].recall == found["uniform"].recall, "both take every sixth token"
    assert found["by threshold"].tokens > found["uniform"].tokens


def test_the_actor_is_hidden_from_entries(on_board):
    seen = []

    def curious(context):
        seen.append(context.oracle)
        return context.draw(context.motion)

    on_board({"curious": curious})
    assert seen[-1] is None
    with pytest.raises(OwnError, match="cheat, on the board's films"):
        on_board({"cheat": lambda context: context.draw(context.oracle)})
    with pytest.raises(OwnError, match="told asks for the actor"):
        on_board({"told": STRATEGIES["oracle"]})


def test_a_pair_brings_its_own_saliency_and_others_have_the_courses(on_board):
    seen = []

    def spy(context):
        seen.append((context.keys, context.saliency))
        return context.draw(context.saliency)

    on_board({"pair": (spy, lambda keys: keys[..., 0])})
    keys, own = seen[-1]
    torch.testing.assert_close(own, keys[..., 0])
    on_board({"alone": spy})
    keys, given = seen[-1]
    assert given.abs().max() < 1 and not torch.allclose(given, keys[..., 0])
    named = on_board({"named": ("learnable", lambda keys: keys[..., 0])})
    assert "named" in {row.name for row in named.rows}


@pytest.mark.parametrize(
    "entries, says",
    [
        ([newest], "give a dict"),
        ({"motion": newest}, "give yours another"),
        ({"mine": 3}, "mine is a int"),
        ({"mine": ("nobody", lambda keys: keys[..., 0])}, "mine: reducer is 'nobody'"),
        ({"mine": ("learnable", lambda keys: keys)}, "its score gave"),
        ({"mine": ("learnable", lambda keys: keys[..., 0] / 0)}, "finite numbers"),
        ({"mine": ("learnable", lambda keys: keys.nothing)}, "it stops with AttributeError"),
        ({"mine": lambda n: torch.arange(n)}, "mine, tried on"),
    ],
)
def test_what_is_wrong_with_an_entry_is_told(on_board, entries, says):
    with pytest.raises(OwnError, match=says):
        on_board(entries)


def open_marks(fig):
    return sum(to_hex(marks.get_facecolor()[0]) == "#ffffff" for marks in fig.axes[0].collections)


def test_another_budget_has_a_star_and_an_open_mark(on_board):
    found = on_board({"newest": newest, "halves": halves})
    assert "24*" in str(found) and "no equal comparison" in str(found)
    fig = figure(found)
    order = [fig.alt.index(f"{row.name} ({row.whose})") for row in found.rows]
    assert order == sorted(order)
    assert "halves (yours)" in fig.alt and ", 24 tokens" in fig.alt and fig.alt.count(" tokens") == 1
    assert open_marks(fig) == 1
    plain = on_board({"newest": newest})
    assert open_marks(figure(plain)) == 0
    assert "*" not in str(plain) and "another token budget" not in [
        text.get_text() for text in figure(plain).axes[0].get_legend().get_texts()
    ]


def test_tries_are_counted_and_equal_results_are_one(on_board):
    assert on_board({"newest": newest}).tries == 1
    assert on_board({"renamed": newest}).tries == 1
    assert on_board({"newest": newest, "oldest": lambda n_targets: torch.arange(n_targets)}).tries == 2
    final = on_board({"newest": newest}, final=True)
    assert final.tries == 1 and "as many as it is meant for" in str(final)
    assert "less final" in str(on_board({"motion, again": STRATEGIES["motion"]}, final=True))
    assert "tried 2 entries" in str(on_board({}))


def test_tries_are_noted_in_the_learners_folder_only(on_board, tmp_path, monkeypatch):
    work = tmp_path / "work"
    (work / "solved").mkdir(parents=True)
    monkeypatch.setenv("VTM_WORK", str(work))
    note = work / leaderboard.NOTE
    for folder in (tmp_path, work / "solved"):
        monkeypatch.chdir(folder)
        on_board({"newest": newest})
        assert not note.exists(), folder
    monkeypatch.setattr(leaderboard, "_session", {"public": set(), "final": set()})
    monkeypatch.chdir(work)
    on_board({"newest": newest})
    on_board({"newest": newest})
    (line,) = note.read_text().splitlines()
    assert json.loads(line)["entry"] == "newest" and json.loads(line)["board"] == "public"
    note.write_text(f"{line}\n{line[:20]}\n")  # as a power cut leaves it
    monkeypatch.setattr(leaderboard, "_session", {"public": set(), "final": set()})  # Python is started again
    assert on_board({"motion, again": STRATEGIES["motion"]}).tries == 2
    assert note.read_text().startswith(line)


def test_practice_films_have_channels_of_one_scale(home, encoder):
    items = practice(SMALL, folder=home, encoder=encoder, progress=False)
    tokens = items.columns["tokens"]
    assert len(items) == 48 and tokens.shape[1:4] == (3, 4, 4)
    torch.testing.assert_close(tokens.mean((0, 1, 2, 3)), torch.zeros(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(tokens.std((0, 1, 2, 3)), torch.ones(6), atol=1e-2, rtol=0)
