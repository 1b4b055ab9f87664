"""The hosts' table: one budget for all reducers, FLOPs that are counted, and what was left out is said."""

import importlib.util
import json

import pytest
import torch

import results_page
from vtm_lesson import hosts
from vtm_lesson.measuring import bench, bench_hosts, clock


@pytest.fixture(scope="module")
def table():
    return bench_hosts.host_table(bench_hosts.QUICK, names=("timm ViT",), rounds=1)


def test_a_row_for_each_reducer_at_one_budget(table):
    rows = {row["reducer"]: row for row in table["rows"]}
    assert list(rows) == ["no merging", "tome", "drop", "energy", "threshold", "sharpness"]
    plain = rows.pop("no merging")
    assert (plain["tokens"], plain["left"], plain["cosine"]) == (17, 17, pytest.approx(1))
    for name, row in rows.items():
        assert row["left"] == 9 or (name == "threshold" and 7 <= row["left"] <= 11)
        assert row["flops"] < plain["flops"] and 0 < row["cosine"] <= 1.00001
        assert row["speedup_over_fused"]["median"] > 0 and row["peak_bytes"] > 0
    assert table["left_out"] == []


def test_flops_are_those_of_the_layers():
    """Two blocks of width 96 on 17 tokens, written out; the hook of a reducer adds its own products."""
    plain = bench_hosts.HOSTS["timm ViT"][0](bench_hosts.QUICK).eval()
    pixels = bench_hosts.painted(bench_hosts.QUICK, False)
    n, d = 17, 96
    patches = 2 * 2 * 16 * (3 * 16 * 16) * d
    block = 2 * (4 * n * d * d + 2 * n * n * d + 8 * n * d * d)
    assert bench_hosts.flops(plain, pixels) == patches + 2 * 2 * block
    assert plain.blocks[0].attn.fused_attn, "counting leaves the model as it was"
    r = 4
    left = [(n, n - r), (n - r, n - 2 * r)]
    cut = sum(2 * (4 * m * d * d + 2 * m * m * d + 8 * k * d * d) for m, k in left)
    host = hosts.apply(plain, r, reducer="drop")
    assert bench_hosts.flops(host, pixels) == patches + 2 * cut


def test_films_and_images_are_frames_of_one_film():
    images, film = (bench_hosts.painted(bench_hosts.QUICK, video) for video in (False, True))
    assert images.shape == (2, 3, 64, 64) and film.shape == (1, 8, 3, 64, 64)
    assert film.min() >= -1 and film.max() <= 1 and not torch.equal(film[0, 0], film[0, 7])


def test_without_transformers_its_hosts_are_left_out(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = bench_hosts.host_table(bench_hosts.QUICK, names=("CLIP", "ViViT"), rounds=1)
    assert result["rows"] == [] and result["left_out"] == ["CLIP", "ViViT"]
    assert "left out, as transformers is not installed: ViViT" in bench_hosts.text(result)


def test_the_command_writes_what_the_page_reads(table, tmp_path, monkeypatch, capsys):
    measured = (lambda **options: {**table, "asked": str(options)}, bench_hosts.text, {})
    monkeypatch.setitem(bench.ALONE, "hosts", measured)
    weights = tmp_path / "weights.safetensors"
    given = ["--hosts", "--quick", "--rounds", "1", "--threads", "1", "--out", str(tmp_path)]
    assert bench.main([*given, "--host-weights", str(weights)]) == 0
    stored = json.loads((tmp_path / "bench_hosts.json").read_text())
    assert stored["command"].startswith("python -m vtm_lesson bench --hosts") and stored["machine"]["torch"]
    assert "weights.safetensors" in stored["asked"] and "'memory': True" in stored["asked"]
    assert "sharpness" in capsys.readouterr().out
    monkeypatch.setattr(results_page, "RESULTS", tmp_path)
    page = results_page.host_models()
    assert page.count("| timm ViT") == 5 and "9 of 17" in page and stored["command"] in page
    drop = next(row for row in table["rows"] if row["reducer"] == "drop")
    assert clock.words(drop["speedup_over_fused"]).split()[0] in page


@pytest.mark.parametrize("wrong", [["--hosts", "--part", "network"], ["--hosts", "--all"], ["--host-weights", "x"]])
def test_options_that_do_not_go_together(wrong, capsys):
    with pytest.raises(SystemExit):
        bench.main(wrong)
    assert "--hosts" in capsys.readouterr().err
