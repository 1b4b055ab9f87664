"""New ratios beside stored ones: what counts as worse, in both directions, and what the command does with it."""

import json

import pytest

from vtm_lesson.measuring import against, bench
from vtm_lesson.paths import data_path

MACHINE = {"processor": "a", "cores": 2, "threads": 2, "device": "cpu", "torch": "2"}


def spread(low, median, high):
    return {"low": low, "median": median, "high": high}


def row(name="a", **ratios):
    return {"name": name, "seconds": spread(1, 2, 3), **ratios}


def result(*rows, **more):
    return {"machine": MACHINE, "dtype": "float32", "rows": list(rows), **more}


STORED = result(
    row("a", ours_over_stored=spread(0.4, 0.45, 0.5), speedup_over_fused=spread(2, 2.2, 2.4), memory_of_fused=0.5),
    row("b", merged_over_cut=spread(1.0, 1.1, 1.2)),
)


def test_equal_results_have_nothing_worse():
    found = against.compare(STORED, STORED)
    assert (found.worse, found.better, found.missing, found.notes, found.same) == ([], [], [], [], 4)


@pytest.mark.parametrize(
    ("name", "lower_is_better"), [("ours_over_stored", True), ("merged_over_cut", True), ("speedup_over_fused", False)]
)
def test_a_ratio_is_judged_by_its_direction_and_by_both_spreads(name, lower_is_better):
    def judged(low, median, high):
        new, stored = (result(row(**{name: value})) for value in (spread(low, median, high), spread(0.4, 0.45, 0.5)))
        found = against.compare(new, stored)
        return len(found.worse), len(found.better), found.same

    higher, lower = judged(0.51, 0.55, 0.6), judged(0.3, 0.35, 0.39)
    assert higher == ((1, 0, 0) if lower_is_better else (0, 1, 0))
    assert lower == ((0, 1, 0) if lower_is_better else (1, 0, 0))
    assert judged(0.49, 0.55, 0.6) == judged(0.3, 0.39, 0.41) == (0, 0, 1)  # intervals that touch


def test_memory_has_no_spread_and_may_differ_a_little():
    def judged(value):
        found = against.compare(result(row(memory_of_fused=value)), result(row(memory_of_fused=0.5)))
        return len(found.worse), len(found.better)

    assert judged(0.52) == judged(0.48) == (0, 0)
    assert judged(0.53) == (1, 0) and judged(0.47) == (0, 1)


def test_a_worse_row_is_named_with_both_values():
    new = json.loads(json.dumps(STORED))
    new["rows"][1]["merged_over_cut"] = spread(1.3, 1.4, 1.5)
    (line,) = against.compare(new, STORED).worse
    assert line == "b: merged_over_cut 1.40 (1.30-1.50), stored 1.10 (1.00-1.20)"


def test_rows_of_one_side_are_listed_and_not_judged():
    found = against.compare(result(row("c", ours_over_stored=spread(9, 9, 9)), STORED["rows"][1]), STORED)
    assert found.missing == ["a (stored only)", "c (new)"] and not found.worse and found.same == 1


def test_rows_are_told_apart_by_all_that_names_them():
    def rows(first, second):
        return result(
            {"tokens": 1536, "channels": 64, "gamma": 2.0, "ours_over_stored": first},
            {"tokens": 1536, "channels": 64, "gamma": 6.0, "ours_over_stored": second},
        )

    low, high = spread(0.4, 0.4, 0.4), spread(0.6, 0.6, 0.6)
    found = against.compare(rows(low, high), rows(high, low))
    assert [line.split(":")[0] for line in found.worse] == ["tokens 1536, channels 64, gamma 6"]
    assert [line.split(":")[0] for line in found.better] == ["tokens 1536, channels 64, gamma 2"]


def test_another_machine_is_said_and_another_size_is_not_compared():
    other = STORED | {"machine": MACHINE | {"threads": 16, "device": "NVIDIA"}}
    (note,) = against.compare(other, STORED).notes
    assert "threads 2 there, 16 here" in note and "device cpu there, NVIDIA here" in note and "cores 2" not in note
    found = against.compare(STORED | {"size": {"dim": 64}}, STORED | {"size": {"dim": 1024}})
    assert "Nothing can be compared" in found.notes[0] and found.same == 0
    assert against.compare(STORED | {"size": {"grid": (4, 4)}}, STORED | {"size": {"grid": [4, 4]}}).same == 4


def test_growth_has_no_ratios_and_a_mean_no_spread():
    assert "no ratios" in against.compare({"points": {}}, {"points": {}}).notes[0]
    mean = against.compare(result(geometric_means={"merged_over_cut": 2.0}), result(geometric_means={}))
    assert (mean.worse, mean.missing) == ([], [])


@pytest.mark.parametrize("name", ["operator", "network", "training", "hosts", "reading"])
def test_every_ratio_of_the_stored_results_has_a_name_of_its_own(name):
    record = against.load(data_path(f"results/bench_{name}.json"))
    keys = [key for key, _ in against._ratios(record)]
    assert keys and len(set(keys)) == len(keys)
    assert against.compare(record, record).same == len(keys)


# --- the command


@pytest.fixture
def files(tmp_path):
    new = json.loads(json.dumps(STORED))
    new["rows"][1]["merged_over_cut"] = spread(1.3, 1.4, 1.5)
    for folder, record in (("new", new), ("old", STORED)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "bench_network.json").write_text(json.dumps(record))
    return tmp_path


def test_files_and_folders_are_compared_without_measuring(files, capsys):
    for new in (files / "new", files / "new" / "bench_network.json"):
        for old in (files / "old", files / "old" / "bench_network.json"):
            assert bench.main(["--compare", str(new), "--against", str(old)]) == 1
            assert "  worse: b: merged_over_cut" in capsys.readouterr().out
            assert bench.main(["--compare", str(old), "--against", str(old)]) == 0
            assert "0 worse, 0 better, 4 within the spread" in capsys.readouterr().out


def test_what_is_measured_is_compared_before_anything_of_it_is_stored(files, monkeypatch, capsys):
    worse = json.loads((files / "new" / "bench_network.json").read_text())
    monkeypatch.setitem(bench.PARTS, "network", (lambda **options: worse, lambda found: "the table", {}))
    stored = (files / "old" / "bench_network.json").read_text()
    monkeypatch.setattr(bench, "_results", lambda: pytest.fail("a comparison is stored only with --out"))
    assert bench.main(["--part", "network", "--against", str(files / "old")]) == 1
    assert "1 worse" in capsys.readouterr().out and (files / "old" / "bench_network.json").read_text() == stored
    with pytest.raises(SystemExit):
        bench.main(["--part", "network", "--against", str(files / "old"), "--out", str(files / "old")])
    assert "would replace" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--part", "growth", "--against", "{}/old"], "bench_growth.json is not there"),
        (["--compare", "{}/new", "--against", "{}"], "no file bench_*.json of the same name"),
        (["--compare", "{}/new/none.json", "--against", "{}/old/bench_network.json"], "cannot be read"),
    ],
)
def test_a_wrong_path_is_said_before_anything_is_measured(files, arguments, said, monkeypatch, capsys):
    monkeypatch.setitem(bench.PARTS, "growth", (lambda **options: pytest.fail("measured"), str, {}))
    assert bench.main([argument.format(files) for argument in arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--compare", "x"], "--against"),
        (["--all", "--against", "x"], "--compare FOLDER"),
        (["--vit", "--scale"], "leave"),
    ],
)
def test_options_that_do_not_go_together(arguments, said, capsys):
    with pytest.raises(SystemExit):
        bench.main(arguments)
    assert said in capsys.readouterr().err
