"""What is measured about reading and features, in its smallest form. No test asks for a certain speed."""

import json

import pytest

import results_page
from vtm_lesson.measuring import bench, bench_reading


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def record(out):
    """The command, with films of a second."""
    small = {"lengths": (40, 20), "encoders": (("patch", 3),), "sizes": (16, 32), "rounds": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(bench.ALONE, "reading", (*bench.ALONE["reading"][:2], small))
        assert bench.main(["--reading", "--quick", "--threads", "1", "--out", str(out)]) == 0
    return json.loads((out / "bench_reading.json").read_text())


def test_each_reader_gives_the_same_frames(record):
    rows = record["reading"]["rows"]
    names = [row["reader"] for row in rows if row["film"] == "long"]
    ours = [bench_reading.READ, bench_reading.READ_MOTION, bench_reading.DECODE, bench_reading.SEEK]
    assert names[:4] == ours and len(names) + 2 * len(record["reading"]["absent"]) == 6
    assert len(rows) == 2 * len(names)
    for row in rows:
        # The same decoder, and the same scaler: no pixel differs. OpenCV's scaler is another.
        assert row["difference"] == 0 if row["reader"] in ours else row["difference"] < 4, row
        assert row["over_read"]["median"] > 0
    assert rows[0]["over_read"]["median"] == 1


def test_features_are_timed_with_one_worker_and_with_two(record):
    rows = record["features"]["rows"]
    assert [(row["encoder"], row["workers"], row["films"]) for row in rows] == [("patch", 1, 3), ("patch", 2, 3)]
    for row in rows:
        assert row["films_per_second"]["median"] > 0 and 0 < row["decoding"] < 1 and 0 < row["encoding"] < 1
    assert rows[0]["over_one_worker"]["median"] == 1


def test_memory_and_the_text(record, capsys):
    assert [(row["what"], row["films"]) for row in record["memory"]["rows"]] == [
        ("dry run", 16), ("dry run", 32), ("index", 16), ("index", 32)
    ]  # fmt: skip
    assert "16 films: about" in record["memory"]["rows"][0]["said"]
    said = bench_reading.text(record)
    assert "PyAV, a seek for each frame" in said and "films a second" in said and "MiB" in said
    assert record["command"].startswith("python -m vtm_lesson bench --reading") and "processor" in record["machine"]


def test_the_page_says_what_was_measured(record, out, monkeypatch):
    monkeypatch.setattr(results_page, "RESULTS", out)
    page = results_page.reading()
    assert "60 frames of 224 pixels a side, evenly from films of 640 x 360" in page and record["command"] in page
    for row in record["reading"]["rows"]:
        assert f"| {row['reader']} " in page and f"{row['seconds']['median']:.2f} s |" in page
    assert "| patch " in page and "| dry run " in page


def test_a_dry_run_of_more_films_fills_no_more_memory():
    """Ten times as many films: what grows is their names and labels, less than 2 kB each, and not their pictures."""
    few, many = (bench_reading.dry_run_memory(count) for count in (200, 2000))
    assert many["bytes"] - few["bytes"] < 1800 * 2000 + 2e6


@pytest.mark.parametrize("wrong", [["--all"], ["--part", "growth"], ["--device", "cuda"], ["--dtype", "bfloat16"]])
def test_it_is_a_part_of_its_own(wrong, capsys):
    with pytest.raises(SystemExit):
        bench.main(["--reading", *wrong])
    alone = wrong[0] in ("--all", "--part")
    said = "--reading is a part of its own" if alone else "--reading is the processor's, in float32"
    assert said in capsys.readouterr().err
