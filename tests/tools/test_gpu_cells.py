"""Cells of the lessons that use a GPU: what they do without one, with stored results, and with one."""

import json

import pytest
import torch
from matplotlib import pyplot

import build_lessons
from vtm_lesson import plots
from vtm_lesson.measuring import bench_network, bench_pieces, bench_vit, clock

ROW = {"median": 0.25, "low": 0.2, "high": 0.3}
NETWORK = {
    "pass": "forward", "size": {}, "dtype": "bfloat16",
    "rows": [{"name": "learnable", "seconds": ROW, "speedup_over_fused": ROW, "speedup_over_stored": ROW}],
}  # fmt: skip
VIT_ROW = {"model": "a ViT", "batch": 1, "r": 8, "tokens": [5], "seconds": {"merged": ROW}, "merged_over_cut": ROW}
VIT_ROW |= {"speedup_over_stored": ROW, "speedup_over_fused": ROW}
VIT = {"what": "ToMe in ViTs", "dtype": "bfloat16", "rows": [VIT_ROW]}
STORED = {"network": NETWORK, "vit": VIT}


CELLS = [
    pytest.param(cell.source, id=path.stem)
    for path in build_lessons.find_sources([], build_lessons.ROOT / "notebooks" / "source")
    for cell in build_lessons.read_source(path).cells
    if "gpu" in cell.metadata.get("tags", [])
]


@pytest.fixture
def lesson(monkeypatch, tmp_path):
    """What a lesson has imported before such a cell; results are looked for in an empty folder."""
    monkeypatch.setattr(bench_pieces, "data_path", lambda name: tmp_path)
    monkeypatch.setattr(plots, "show", lambda figure: print("a figure:", figure.alt))
    yield {"torch": torch, "plots": plots, "bench_network": bench_network, "bench_pieces": bench_pieces}
    pyplot.close("all")


def test_there_are_such_cells():
    assert {cell.id for cell in CELLS} == {"03_tome_in_a_vit", "B_matcher_roofline_and_kernel"}


@pytest.mark.parametrize("code", CELLS)
def test_without_a_gpu_and_without_results_it_says_so(code, lesson, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    exec(code, lesson)
    assert capsys.readouterr().out.strip().startswith("On CUDA: not yet measured")


@pytest.mark.parametrize("code", CELLS)
def test_without_a_gpu_it_shows_what_is_stored(code, lesson, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    machine = {**clock.environment("cpu"), "device": "a GPU of ours"}
    for name, step in STORED.items():
        steps = {"bfloat16": step, "float32": {"error": "RuntimeError: too small"}}
        (tmp_path / f"cuda_{name}.json").write_text(json.dumps({"machine": machine, "steps": steps}))
    exec(code, lesson)
    said = capsys.readouterr().out
    assert "stored: a GPU of ours" in said and "0.25 (0.20-0.30)" in said and "too small" not in said


@pytest.mark.parametrize("code", CELLS)
def test_with_a_gpu_it_measures_there(code, lesson, monkeypatch, capsys):
    measured = []

    def note(result):
        return lambda *args, **options: measured.append((options["device"], options["dtype"])) or result

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU of yours")
    monkeypatch.setattr(bench_network, "network", note(NETWORK))
    monkeypatch.setattr(bench_vit, "vit", note(VIT))
    exec(code, lesson)
    assert "a GPU of yours" in capsys.readouterr().out and ("cuda", torch.bfloat16) in measured
