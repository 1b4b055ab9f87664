"""`bench --all`: pieces that keep what is done, whatever cuts them off."""

import json

import pytest
import torch

from vtm_lesson.measuring import bench, bench_pieces, clock
from vtm_lesson.measuring.bench_pieces import PIECES, Piece, Setting


@pytest.fixture
def counted(monkeypatch):
    """Two pieces whose steps note that they ran, and do what `what` says: fail, or stop the whole program."""
    ran, what = [], {}

    def step(key):
        def measure():
            ran.append(key)
            if key in what:
                raise what[key]
            return {"value": key}

        return measure

    def piece(name):
        return Piece(name, lambda setting: {key: step(f"{name}{key}") for key in "123"}, lambda r: f"is {r['value']}")

    monkeypatch.setattr(bench_pieces, "PIECES", {"a": piece("a"), "b": piece("b")})
    return ran, what


SETTING = Setting("cpu", quick=True)


def run(names, setting, out, resume=None, command=""):
    """As `bench --all` does, in one process: the highest code of all pieces."""
    bench_pieces.carry_over(names, setting, out, resume)
    return max(bench_pieces.run(name, setting, out, command) for name in names)


def steps_in(folder, name):
    return json.loads((folder / f"cpu_{name}.json").read_text())


def test_all_steps_of_all_pieces_are_kept(counted, tmp_path, capsys):
    assert run(["a", "b"], SETTING, tmp_path, command="COMMAND") == 0
    record = steps_in(tmp_path, "b")
    assert list(record["steps"]) == ["1", "2", "3"] and record["missing"] == [] and record["command"] == "COMMAND"
    assert record["steps"]["2"]["value"] == "b2" and record["steps"]["2"]["took_seconds"] >= 0
    assert record["machine"]["device"] == "cpu" and record["quick"]
    assert "is b3" in capsys.readouterr().out
    assert len(list(tmp_path.iterdir())) == 2


def test_a_step_that_fails_is_noted_and_tried_again(counted, tmp_path, capsys):
    ran, what = counted
    what["a2"] = RuntimeError("CUDA out of memory\nTried to allocate")
    assert run(["a"], SETTING, tmp_path) == 1
    record = steps_in(tmp_path, "a")
    assert record["steps"]["2"]["error"] == "RuntimeError: CUDA out of memory Tried to allocate"
    assert record["missing"] == ["2"] and f"--resume {tmp_path}" in capsys.readouterr().out
    ran.clear()
    what.clear()
    assert run(["a"], SETTING, tmp_path, tmp_path) == 0
    assert ran == ["a2"] and list(steps_in(tmp_path, "a")["steps"]) == ["1", "2", "3"]


def test_whoever_is_cut_off_keeps_what_is_done(counted, tmp_path):
    ran, what = counted
    what["b2"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(["a", "b"], SETTING, tmp_path)
    assert list(steps_in(tmp_path, "b")["steps"]) == ["1"] and steps_in(tmp_path, "b")["missing"] == ["2", "3"]
    ran.clear()
    what.clear()
    assert run(["a", "b"], SETTING, tmp_path, tmp_path) == 0
    assert ran == ["b2", "b3"]


def test_results_go_on_in_another_folder(counted, tmp_path):
    """On a machine whose files come back read-only, say."""
    ran, _ = counted
    assert run(["a"], SETTING, tmp_path / "first") == 0
    assert run(["a", "b"], SETTING, tmp_path / "second", tmp_path / "first") == 0
    assert ran == ["a1", "a2", "a3", "b1", "b2", "b3"]
    assert steps_in(tmp_path / "second", "a")["steps"] == steps_in(tmp_path / "first", "a")["steps"]


def test_what_was_done_is_in_the_new_folder_before_anything_is_measured(counted, tmp_path):
    _, what = counted
    what["a3"] = RuntimeError("not now")
    run(["a", "b"], SETTING, tmp_path / "first")
    what["a3"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(["a", "b"], SETTING, tmp_path / "second", tmp_path / "first")
    assert list(steps_in(tmp_path / "second", "a")["steps"])[:2] == ["1", "2"]
    assert list(steps_in(tmp_path / "second", "b")["steps"]) == ["1", "2", "3"]


def test_an_error_that_stays_with_the_gpu_is_noted(counted, tmp_path, monkeypatch):
    _, what = counted
    what["a2"] = RuntimeError("CUDA error: an illegal memory access was encountered")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: (_ for _ in ()).throw(what["a2"]))
    assert run(["a"], SETTING, tmp_path) == 1
    assert "illegal memory" in steps_in(tmp_path, "a")["steps"]["2"]["error"]


def test_each_piece_has_a_process_of_its_own(tmp_path, monkeypatch):
    started = []
    done = type("Done", (), {"returncode": 1})
    monkeypatch.setattr(bench.subprocess, "run", lambda command: started.append(command) or done)
    assert bench.main(["--all", "--quick", "--rounds", "2", "--minutes", "3", "--out", str(tmp_path)]) == 1
    assert [command[-1] for command in started] == list(PIECES)
    for word in ("--quick", "--rounds", "2", "--minutes", "3.0", "--device", "cpu", "--resume", str(tmp_path)):
        assert word in started[0]


def test_a_process_has_only_the_time_that_is_left(monkeypatch):
    monkeypatch.setenv(clock.LEFT, "0.01")
    with pytest.raises(RuntimeError, match="was stopped after 0 seconds"):
        clock.peak_process(_pause)


def _pause():
    return {}


def test_no_step_begins_when_the_minutes_are_over(counted, tmp_path, monkeypatch):
    ran, _ = counted
    clocks = iter([0.0, *[float(second) for second in range(0, 2000, 100)]])
    monkeypatch.setattr(bench_pieces.time, "perf_counter", lambda: next(clocks))
    assert run(["a"], Setting("cpu", quick=True, minutes=3), tmp_path) == 1
    assert ran == ["a1"] and steps_in(tmp_path, "a")["missing"] == ["2", "3"]


def test_nothing_is_written_over(counted, tmp_path):
    run(["a"], SETTING, tmp_path)
    with pytest.raises(ValueError, match=r"is there already; continue it with --resume"):
        run(["b", "a"], SETTING, tmp_path)
    assert not (tmp_path / "cpu_b.json").exists(), "nothing ran before the refusal"


def test_runs_of_other_devices_and_sizes_do_not_mix(counted, tmp_path):
    run(["a"], SETTING, tmp_path)
    with pytest.raises(ValueError, match=r"with --quick; this run is on cpu, .* without --quick"):
        run(["a"], Setting("cpu"), tmp_path, tmp_path)
    record = steps_in(tmp_path, "a")
    record["machine"]["device"] = "another GPU"
    (tmp_path / "cpu_a.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"is from another GPU"):
        run(["a"], SETTING, tmp_path, tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"machine": {}}'])
def test_a_file_that_is_no_result_is_named(counted, tmp_path, text):
    (tmp_path / "cpu_a.json").write_text(text)
    with pytest.raises(ValueError, match=r"cpu_a.json does not hold results"):
        run(["a"], SETTING, tmp_path, tmp_path)


def test_a_file_is_never_half_written(tmp_path, monkeypatch):
    path = clock.save(tmp_path / "x.json", {"value": 1})
    monkeypatch.setattr(type(path), "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        clock.save(path, {"value": 2})
    assert json.loads(path.read_text()) == {"value": 1}


def test_pieces_make_eight_files_at_most_and_know_their_steps():
    assert len(PIECES) <= 8
    for name, piece in PIECES.items():
        on_gpu, rehearsed = piece.steps(Setting("cuda")), piece.steps(Setting("cpu", quick=True))
        assert on_gpu and rehearsed, name
        if name != "tests":
            assert {key.split(",")[0] for key in on_gpu} == {"float32", "bfloat16"}, name
    assert "float32, 61440 x 256" in PIECES["operator"].steps(Setting("cuda"))
    assert "bfloat16, recorded as CUDA graphs" in PIECES["network"].steps(Setting("cuda"))


@pytest.mark.parametrize("name", ["operator", "network", "growth"])
def test_a_rehearsal_of_a_piece(name, tmp_path, monkeypatch, capsys):
    """The first step of each dtype, as the command runs it."""
    monkeypatch.setattr(clock, "ceilings", lambda *_: {"flops_per_second": 1e11, "bytes_per_second": 1e10})
    whole = PIECES[name]
    few = lambda setting: dict(list(whole.steps(setting).items())[:1])  # noqa: E731
    monkeypatch.setitem(PIECES, name, Piece(whole.about, few, whole.text))
    assert bench.main(["--piece", name, "--quick", "--rounds", "1", "--out", str(tmp_path), "--threads", "1"]) == 0
    (step,) = steps_in(tmp_path, name)["steps"].values()
    assert step["dtype"] == "float32" and "error" not in step
    if name != "growth":
        assert {"flop_bound_seconds", "memory_bound_seconds"} <= step["rows"][0].keys()
    assert len(capsys.readouterr().out.splitlines()) > 5


def test_kernels_are_rehearsed_by_the_interpreter():
    pytest.importorskip("triton", reason="the kernels need Triton")
    from vtm_lesson.measuring import bench_kernels
    from vtm_lesson.merging import fast_cuda

    result = bench_kernels.kernels(40, 8, 4.0, "cpu", "float32", 1)
    assert result["failed"] == {} and len(result["seconds"]) == 3 + len(fast_cuda.CONFIGS)
    assert "BLOCK_S 64" in bench_kernels.text(result)


def test_the_vit_is_beside_a_sequence_cut_to_the_same_lengths():
    from vtm_lesson.measuring import bench_vit

    runs, left = bench_vit.vit_runs("vit_tiny_patch16_224", 1, 16)
    assert left == [197 - 16 * k for k in range(1, 12)] + [11]  # of its 20 patches the last block merges half
    logits = {name: run() for name, run in runs.items()}
    torch.testing.assert_close(logits[bench_vit.STORED], logits[bench_vit.FUSED], atol=1e-4, rtol=1e-4)
    assert all(x.shape == (1, 1000) for x in logits.values())
    assert not torch.equal(logits[bench_vit.MERGED], logits[bench_vit.CUT])


def test_pytest_is_run_and_its_failures_are_named(tmp_path, monkeypatch):
    (tmp_path / "test_some.py").write_text("def test_good(): pass\ndef test_bad(): assert 1 == 2, 'one is not two'\n")
    monkeypatch.setattr(bench_pieces, "ROOT", tmp_path)
    result = bench_pieces._pytest("test_some.py")
    assert result["passed"] == 1 and "one is not two" in result["failed_tests"]["test_some::test_bad"]
    assert not bench_pieces.is_done(result) and "1 failed" in PIECES["tests"].text(result)
    with pytest.raises(RuntimeError, match=r"no test for"):
        bench_pieces._pytest("-k", "nobody", "test_some.py")


def test_on_a_gpu_tests_that_are_all_skipped_are_not_done(tmp_path, monkeypatch):
    (tmp_path / "test_some.py").write_text("import pytest\n@pytest.mark.skip(reason='no GPU')\ndef test_it(): pass\n")
    monkeypatch.setattr(bench_pieces, "ROOT", tmp_path)
    assert bench_pieces._pytest("test_some.py")["skipped_tests"]
    with pytest.raises(RuntimeError, match=r"of 1 tests none ran: .*no GPU"):
        bench_pieces._pytest("test_some.py", some=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--all"], "is a rehearsal: say with --out"),
        (["--piece", "network"], "is a rehearsal: say with --out"),
        (["--all", "--out", "x", "--dtype", "bfloat16"], "both dtypes"),
        (["--all", "--out", "x", "--minutes", "0"], "give more than 0"),
        (["--all", "--resume", "no/such/folder"], "there is no such folder"),
        (["--resume", "."], "belongs to --all"),
    ],
)
def test_the_command_refuses_in_one_sentence(arguments, said, capsys):
    with pytest.raises(SystemExit):
        bench.main(arguments)
    assert said in capsys.readouterr().err


def test_a_refusal_of_the_pieces_is_a_sentence_too(tmp_path, capsys):
    (tmp_path / "cpu_growth.json").write_text("{}")
    assert bench.main(["--piece", "growth", "--quick", "--out", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
