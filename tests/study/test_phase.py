"""The phase diagram: long films composed of two, both parts resumable, rows by seed, cells chosen by rule."""

import json
from dataclasses import replace

import pytest
import torch
from helpers import Colours

from vtm_lesson import films
from vtm_lesson.__main__ import main
from vtm_lesson.datasets.toy import painted
from vtm_lesson.study import phase, phase_command
from vtm_lesson.study.phase import Cell, Phase, Point, Results

SMALL = Phase(frames=4, size=32, statures=(1.0, 1.5), shown=(1, 4), props=(1,), gammas=(2, 6), seeds=3, films=24,
              steps=3, train=16, valid=12, test=12, epochs=1, batch=8, chunks=(1, 2, 4), whole=1)  # fmt: skip
CELL = Cell(1.0, 1, 1, 6)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder in which both parts were run."""
    folder = tmp_path_factory.mktemp("phase")
    phase.screen(SMALL, folder, 1, encoder=Colours(), progress=False)
    for seed in range(SMALL.seeds):
        points = [point for point in phase.trained_points(SMALL, [CELL]) if point.seed == seed]
        phase.train(SMALL, folder, points, encoder=Colours(), progress=False)
    return folder


def test_a_composed_film_is_the_film_that_is_painted_so():
    numbers, how = [11, 12, 13], {"frames": 6, "size": 32, "encoder": Colours(), "progress": False, "stature": 1.5}
    full = painted(numbers, **how)
    empty = painted(numbers, shown=[(0, 0)] * 3, **how)
    windows = [phase.window(number, 6, 2) for number in numbers]
    straight = painted(numbers, shown=windows, **how)
    made = phase.composed(full, empty, numbers, 2)
    for name in ("tokens", "oracle", "label", "way"):
        torch.testing.assert_close(made.columns[name], straight.columns[name], rtol=0, atol=0)
    there = (made.columns["oracle"] > 0).any(-1).any(-1)
    assert [row.nonzero()[:, 0].tolist() for row in there] == [[a, a + 1] for a, _ in windows]
    assert len({phase.window(number, 48, 3)[0] for number in range(200)}) > 40, "the window may lie anywhere"


def test_another_actor_or_other_props_leave_the_rest_of_the_film_alone():
    plain = films.make(5, "roaming", frames=3, size=64)
    tall = films.make(5, "roaming", frames=3, size=64, stature=1.5)
    assert tall.share.sum() > 1.6 * plain.share.sum() and tall.label == plain.label
    far = (films.make(5, "roaming", frames=3, size=64, shown=(0, 0)).frames != tall.frames).any(-1)
    blocks = far.reshape(3, 8, 8, 8, 8).any((2, 4))
    assert blocks.any() and blocks.mean() < 0.5
    more = films.make(5, "roaming", frames=3, size=64, props=16)
    assert (more.frames != plain.frames).any() and more.label == plain.label


@pytest.mark.parametrize(
    "settings, words",
    [({"stature": 3}, "0.5 to 2"), ({"props": 5}, "0, 1, 4, 9 or 16"), ({"shown": (2, 99)}, "two frames in order")],
)
def test_films_that_cannot_be_made_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        films.make(0, frames=3, size=32, **settings)
    with pytest.raises(ValueError, match="a pair for each"):
        painted([1, 2], shown=[(0, 1)], encoder=Colours(), progress=False, frames=2, size=32)


def test_every_point_is_measured_at_its_budget(home):
    done = Results(SMALL, home).done
    assert set(done) == {*phase.screen_points(SMALL), *phase.trained_points(SMALL, [CELL])}
    assert len(phase.screen_points(SMALL)) == 2 * 2 * 3 * (1 + 2 * 3)
    for point, values in done.items():
        if point.part == "screen" and point.strategy != "none":
            once = -(-4 * 16 // int(point.gamma))
            assert values["tokens"] == -(-once // int(point.gamma)), point
    oracle = [v["recall"] for p, v in done.items() if p.strategy == "oracle" and p.part == "screen" and p.shown == 1]
    random = [v["recall"] for p, v in done.items() if p.strategy == "random" and p.part == "screen" and p.shown == 1]
    assert min(oracle) > 0.95 and max(random) < 0.7
    assert sum(p.strategy == "none" and p.part == "trained" for p in done) == SMALL.whole


def test_a_seed_learns_saliency_on_films_of_others_and_shares_none_with_them():
    for seeds in (2, 3, 5):
        for seed in range(seeds):
            own, *others = phase._needed(replace(SMALL, seeds=seeds), seed)
            assert own == seed and others and seed not in others


def test_a_stopped_study_carries_on(home, tmp_path):
    lines = (home / "results.jsonl").read_text().splitlines()
    kept = "\n".join(lines[:11]) + "\n" + lines[11][:40]
    (tmp_path / "results.jsonl").write_text(kept)
    results = Results(SMALL, tmp_path)
    assert len(results.done) == 10
    phase.screen(SMALL, tmp_path, 1, encoder=Colours(), progress=False)
    again, before = Results(SMALL, tmp_path).done, Results(SMALL, home).done
    for point in phase.screen_points(SMALL):
        assert {**again[point], "seconds": 0} == {**before[point], "seconds": 0}
    written = (tmp_path / "results.jsonl").read_text().splitlines()
    assert len(written) == 1 + 1 + len(phase.screen_points(SMALL)), "settings, the torn line, and each result once"


def test_a_folder_of_another_study_is_refused(home, tmp_path):
    with pytest.raises(ValueError, match="another steps"):
        Results(replace(SMALL, steps=4), home)
    (tmp_path / "results.jsonl").write_text("hello\n")
    with pytest.raises(ValueError, match="does not begin with the settings"):
        Results(SMALL, tmp_path)
    with pytest.raises(ValueError, match="every gamma"):
        replace(SMALL, gammas=(1,))
    with pytest.raises(ValueError, match="no cell"):
        Cell.of("1:2:3")


def record(strategy, seed, accuracy, **other):
    cell = {"part": "screen", "stature": 1.0, "shown": 3, "props": 4, "gamma": 6, "place": ""} | other
    return cell | {"strategy": strategy, "seed": seed, "accuracy": accuracy, "recall": 0.5, "tokens": 9}


def test_differences_are_taken_seed_by_seed():
    level = [0.2, 0.5, 0.8]
    records = [record("random", seed, a) for seed, a in enumerate(level)]
    records += [record("oracle", seed, a + 0.1) for seed, a in enumerate(level)][::-1]
    records += [record("learnable", seed, a) for seed, a in enumerate([0.3, 0.4, 0.8])]
    records += [record("none", 1, 0.9, gamma=1)]
    (row,) = phase.rows(records, "screen")
    assert row["minus_random"]["oracle"] == pytest.approx((0.1, 0.1, 0.1))
    assert phase.apart(row["minus_random"]["oracle"]) and not phase.apart(row["minus_random"]["learnable"])
    assert row["minus_random"]["none"][0] == pytest.approx(0.4), "against the same seed of random"


def screened(shown, random, learned, oracle):
    """Records of a cell whose learned and oracle targets are ahead by these numbers, on three seeds each."""
    gaps = {"random": (0, 0, 0), "learnable": learned, "oracle": oracle}
    return [record(name, k, random + gap, shown=shown) for name, three in gaps.items() for k, gap in enumerate(three)]


def test_cells_are_chosen_by_rule():
    table = phase.rows(
        [
            *screened(1, 0.1, (0.50, 0.51, 0.52), (0.7, 0.71, 0.72)),  # largest
            *screened(2, 0.9, (-0.02, 0.0, 0.02), (0.0, 0.01, 0.02)),  # smallest that can be read
            *screened(3, 0.1, (-0.02, 0.0, 0.02), (0.0, 0.0, 0.0)),  # nearer to 0, and nobody reads it
            *screened(4, 0.5, (0.03, 0.04, 0.05), (0.2, 0.21, 0.22)),  # boundary
            *screened(5, 0.5, (-0.3, 0.1, 0.4), (0.3, 0.31, 0.32)),  # missed
            *screened(6, 0.1, (0.44, 0.45, 0.46), (0.5, 0.51, 0.52)),  # learned: the largest is there already
        ],
        "screen",
    )
    assert {rule: cell.shown for rule, cell in phase.chosen(table).items()} == {
        "largest": 1, "smallest": 2, "boundary": 4, "missed": 5, "learned": 6,
    }  # fmt: skip
    assert phase.chosen([]) == {}


def test_a_cell_goes_through_text(tmp_path):
    assert Cell.of(str(Cell(1.5, 12, 4, 20))) == Cell(1.5, 12, 4, 20)
    points = phase.trained_points(SMALL, [Cell(1, 1, 1, 2), Cell(1, 1, 1, 6)], ["queries"])
    assert len(points) == 2 * 3 * 3 + 1, "without merging there is one network a seed, whatever gamma"
    with pytest.raises(ValueError, match="one at a time"):
        phase.train(SMALL, tmp_path, [points[0], replace(points[0], seed=2)])


def test_the_report_says_what_the_results_say(home, tmp_path):
    report = phase_command.save(SMALL, Results(SMALL, home), "python -m vtm_lesson phase", tmp_path / "phase.json")
    again = phase_command.load(tmp_path / "phase.json")
    assert again["screen"] == report["screen"] and again["trained"] == report["trained"]
    assert {"command", "machine", "study", "chosen"} <= set(again)
    text = phase_command.table(again)
    assert "the paper's order" in text and "merging before the first attention" in text
    row = next(row for row in again["screen"] if row["gamma"] == 6 and row["shown"] == 4 and row["stature"] == 1.5)
    said = f"{round(100 * row['minus_random']['oracle'][0]):+d}".replace("-", "\N{MINUS SIGN}")
    assert said in phase_command.figure(again).alt
    assert "actor x1, in 1 of 4 frames, 1 props, gamma 6" in phase_command.trained_figure(again).alt


def test_the_command_shows_a_report_and_asks_for_the_screen_first(home, tmp_path, capsys, monkeypatch):
    phase_command.save(SMALL, Results(SMALL, home), "python -m vtm_lesson phase", tmp_path / "phase.json")
    assert main(["phase", "--report", str(tmp_path / "phase.json")]) == 0
    assert (tmp_path / "phase.png").exists() and (tmp_path / "phase-trained.png").exists()
    assert main(["phase", "--report", str(tmp_path / "none.json")]) == 2
    monkeypatch.setattr(phase_command, "QUICK", SMALL)
    assert main(["phase", "--quick", "--train", "--folder", str(tmp_path / "empty")]) == 2
    assert "run --screen first" in capsys.readouterr().err
    assert phase_command.LONG.frames >= 60
    monkeypatch.setattr(phase_command, "LONG", SMALL)
    assert main(["phase", "--long", "--train", "--folder", str(tmp_path / "far")]) == 2
    assert "The screen lacks 84 results" in capsys.readouterr().err
    assert main(["phase", "--quick", "--folder", str(home), "--cells", "one"]) == 2
    assert "is no cell" in capsys.readouterr().err
    monkeypatch.setattr(phase, "load_encoder", lambda name: Colours())
    arguments = ["phase", "--quick", "--screen", "--folder", str(home), "--workers", "1", "--out"]
    assert main([*arguments, str(tmp_path / "all.json")]) == 0
    assert len(json.loads((tmp_path / "all.json").read_text())["results"]) == len(Results(SMALL, home).done)


def test_results_of_several_processes_are_lines_of_their_own(tmp_path):
    one, other = Results(SMALL, tmp_path), Results(SMALL, tmp_path)
    points = phase.screen_points(SMALL)[:4]
    for k, point in enumerate(points):
        (one, other)[k % 2].keep(point, {"accuracy": 0.5})
    assert set(one.read()) == set(other.read()) == set(points)
    assert isinstance(points[0], Point)
