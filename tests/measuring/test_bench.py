"""Measuring, the tables, and the planner. No test asks for a certain speed."""

import json
import math

import pytest
import torch
from helpers import python
from torch.utils.flop_counter import FlopCounterMode

from vtm_lesson import data_path, measuring
from vtm_lesson.measuring import bench, bench_network, bench_operator, clock, forecast, scaling
from vtm_lesson.merging import match
from vtm_lesson.network.model import VideoClassifier
from vtm_lesson.partition import uniform

# --- measuring


def test_versions_take_turns_and_warm_up_rounds_are_not_counted():
    order = []
    times = measuring.interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=3, warmup=1)
    assert order == ["a", "b"] * 4
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}


def test_ratios_are_taken_within_rounds():
    # The machine became three times slower in the second round: each round's ratio is still 2.
    times = {"slow": [2.0, 6.0, 2.0], "fast": [1.0, 3.0, 1.0]}
    assert measuring.ratio(times, "slow", "fast") == {"median": 2.0, "low": 2.0, "high": 2.0}


def test_spread_gives_median_and_quartiles():
    assert measuring.spread([5.0, 1.0, 3.0, 2.0, 4.0]) == {"median": 3.0, "low": 2.0, "high": 4.0}
    assert measuring.spread([2.0, 1.0]) == {"median": 1.5, "low": 1.0, "high": 2.0}
    with pytest.raises(ValueError, match="at least one"):
        measuring.spread([])


def test_peak_tensors_counts_what_is_there_at_one_moment():
    def run():
        a = torch.ones(1 << 18)  # 1 MiB
        b = a + 1  # 2 MiB in all
        del a
        return b * 2  # 2 MiB again

    assert measuring.peak_tensors(run) == pytest.approx(2 * measuring.MIB, rel=0.01)


def test_a_process_of_its_own_sees_memory_that_is_freed_again():
    n, dim = 3000, 128  # wide enough that what imports left free on the heap, nearly 1 MB, does not hide the scores
    found = measuring.peak_process(
        bench_operator.operator_memory, version="stored", n=n, dim=dim, gamma=2.0, dtype="float32", threads=1
    )
    scores = (n // 2) ** 2 * 4
    assert scores < found["bytes"] < 3 * scores


def test_a_process_that_fails_says_so():
    with pytest.raises(RuntimeError, match=r"operator_memory.*KeyError"):
        measuring.peak_process(
            bench_operator.operator_memory, version="none", n=64, dim=4, gamma=2.0, dtype="float32", threads=1
        )


# --- the operator's table


@pytest.mark.parametrize("gamma", [2, 3.5])
def test_the_straightforward_version_merges_the_same(gamma):
    generator = torch.Generator().manual_seed(0)
    keys, x = torch.randn(2, 50, 8, generator=generator), torch.randn(2, 50, 5, generator=generator)
    size = torch.randint(1, 5, (2, 50, 1), generator=generator).float()
    targets = uniform(50, gamma)
    merged, sizes = bench_operator.stored_scores(keys, x, size, targets)
    merge = match(keys, targets)
    torch.testing.assert_close(merged, merge(x, weight=size))
    torch.testing.assert_close(sizes[..., 0], merge.size(size[..., 0]))


def test_the_straightforward_version_with_sources_left_alone():
    generator = torch.Generator().manual_seed(1)
    keys, x = torch.randn(1, 30, 8, generator=generator), torch.randn(1, 30, 1, generator=generator)
    targets = uniform(30, 3)
    merged, _ = bench_operator.stored_scores(keys, x, torch.ones(1, 30, 1), targets, n_merge=12)
    ours = match(keys, targets, 12)(x)
    assert merged.shape == (1, 18, 1)
    torch.testing.assert_close(merged.sort(1).values, ours.sort(1).values)  # theirs come in another order


@pytest.fixture
def known_ceilings(monkeypatch):
    """No test needs to know how fast this machine is."""
    monkeypatch.setattr(clock, "ceilings", lambda *_: {"flops_per_second": 1e11, "bytes_per_second": 1e10})


def test_rows_of_the_operator_table(known_ceilings):
    result = bench.operator(shapes=((128, 8),), gammas=(2.0, 4.0), rounds=1, memory=False, films=())
    first, second = result["rows"]
    assert (first["targets"], second["targets"]) == (64, 32)
    assert first["flops"] == 2 * 64 * 64 * 8
    assert first["bound_seconds"] == pytest.approx((2 * 128 + 64) * 8 * 4 / 1e10)  # bytes, not FLOPs, set the bound
    ratios = [row["ours_over_stored"]["median"] for row in result["rows"]]
    assert result["geometric_mean"] == pytest.approx(math.sqrt(ratios[0] * ratios[1]))
    assert result["worst"] == max(ratios)
    assert 0.5 < first["bfloat16_keys"]["same_targets"] <= 1
    assert 0 <= first["bfloat16_keys"]["cosine_lost"] < 2**-7
    assert "geometric mean" in bench_operator.text(result)


def test_keys_of_a_film_are_its_patches():
    keys = bench_operator.film_keys(bench_operator.FILMS[0], frames=2)
    assert keys.shape == (1, 2 * 14 * 14, 768)
    assert keys.mean(1).abs().max() < 1e-4


# --- the network's table

SMALL = {"frames": 6, "grid": (4, 4), "dim": 32, "chunks": (2, 6, 6)}


def test_flops_of_the_network_table_match_the_ledger():
    from vtm_lesson.network.model import count

    for name, options in bench_network.NETWORKS.items():
        model = VideoClassifier(SMALL["dim"], chunks=SMALL["chunks"], **options)
        expected = count(model, SMALL["frames"], *SMALL["grid"]).flops
        # By chunks, U goes through the keys' weights once a chunk: a little, but not in so small a network.
        off = 0.02 if name.endswith("by chunks") else 0.01
        assert bench_network.network_flops(name, False, **SMALL) == pytest.approx(expected, rel=off), name


def test_backward_costs_about_twice_the_forward_pass():
    forward, both = (bench_network.network_flops(bench_network.FUSED, b, **SMALL) for b in (False, True))
    assert 2.5 * forward < both < 3.6 * forward


def test_rows_of_the_network_table(known_ceilings):
    names = (bench_network.BASELINE, bench_network.FUSED, "learnable, gamma 6, R = |S|, by chunks")
    result = bench.network(names, rounds=1, memory=False, size=SMALL)
    assert [row["name"] for row in result["rows"]] == list(names)
    assert result["rows"][0]["speedup_over_stored"]["median"] == 1
    assert result["rows"][2]["tokens"] == (96, 18, 3, 1)  # 3 chunks of 32 keep 6 each, then 18 keep 3, then 1
    assert "GFLOPs" in bench_network.text(result)
    assert bench.training(names[:1], rounds=1, memory=False, size=SMALL)["pass"] == "forward and backward"


# --- growth


def test_the_exponent_of_a_known_power():
    sizes = [1000, 2000, 4000, 8000]
    slope, error = scaling.exponent(sizes, [3e-9 * n**1.7 for n in sizes])
    assert slope == pytest.approx(1.7) and error == pytest.approx(0, abs=1e-9)
    _, error = scaling.exponent(sizes, [1, 4.4, 15, 64])
    assert error > 0.01
    with pytest.raises(ValueError, match="three or more"):
        scaling.exponent([1, 2], [1, 2])


def test_growth_leaves_out_what_takes_too_long_or_too_much_room():
    result = scaling.growth(sizes=(64, 128, 256), limit=0.0, room=1e5, rounds=1)
    tokens = {name: [p["tokens"] for p in points] for name, points in result["points"].items()}
    assert all(found == [64] for found in tokens.values())  # the first size is always measured, if there is room
    result = scaling.growth(sizes=(64, 128, 256), limit=9.0, room=8 * 128**2, rounds=1)
    assert [p["tokens"] for p in result["points"]["attention, scores stored"]] == [64, 128]
    assert [p["tokens"] for p in result["points"]["matching"]] == [64, 128, 256]
    assert scaling.text(result)


# --- up to a million tokens


@pytest.fixture
def scaled(monkeypatch):
    """A small one in this process, with the threads that it has."""
    monkeypatch.setattr(scaling, "peak_process", lambda function, **arguments: function(**arguments))
    monkeypatch.setattr(scaling, "GRID", (2, 2))
    monkeypatch.setattr(scaling, "FITTED_FROM", 0)
    return scaling.scale(sizes=(1024, 2048, 4096), frames=(60, 120, 180), dim=8, gamma=4, rounds=2)


def test_scale_measures_each_operation_at_each_size(scaled):
    tokens = {name: [p["tokens"] for p in points] for name, points in scaled["points"].items()}
    matched = {key: [1024, 2048, 4096] for key in (scaling.WHOLE, scaling.CHUNKED, scaling.MERGING)}
    assert tokens == matched | {scaling.NETWORK: [240, 480, 720]}
    left = {name: [p["left"] for p in points] for name, points in scaled["points"].items()}
    assert left == {key: [256, 512, 1024] for key in matched} | {scaling.NETWORK: [4, 8, 12]}
    assert all(scaled["exponents"][name]["seconds"]["to"] == seen[-1] for name, seen in tokens.items())
    assert all(name in scaling.scale_text(scaled) for name in tokens)


def test_what_a_second_machine_needs():
    point = {"tokens": 1000, "seconds": {"median": 4.0, "low": 4.0, "high": 4.0}, "left": 100}
    whole, chunked = (scaling._second_machine(name, point, 8, 10) for name in (scaling.WHOLE, scaling.CHUNKED))
    assert whole["saved_at_best"] == 2
    assert whole["sent_bytes"] == 500 * 32 + 100 * 32 and whole["back_bytes"] == 500 * 8  # half the keys, all targets
    assert chunked["sent_bytes"] == 500 * 32 and chunked["line_needed"] == (16_000 + 4000) / 2
    assert scaling._second_machine(scaling.MERGING, point, 8, 10)["back_bytes"] == 50 * 32


# --- the planner


@pytest.fixture
def one_thread():
    """Fused attention has scratch memory for each thread, which weighs in networks as small as a test's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


FAST = forecast.Calibration(fixed=1e-3, pace=1e-11, toll=1e-9, copies=20.0, room=8.0)


@pytest.mark.parametrize("options", [{"gamma": 1}, {"gamma": 6, "r": 0.8}, {"gamma": 4, "attention": "stored"}])
def test_planned_flops_are_those_that_are_run(options):
    plan = forecast.predict(6, (4, 4), 32, (2, 6, 6), calibration=FAST, **options)
    # On the meta device: torch does not count the fused attention of the CPU.
    model = VideoClassifier(32, chunks=(2, 6, 6), **options).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.randn(1, 6, 4, 4, 32, device="meta"))
    assert plan.flops + 2 * 4 * 10 == counter.get_total_flops()  # the head: 4 channels to 10 classes


def test_planned_seconds_follow_the_calibration():
    block = forecast.predict(4, (2, 2), 8, (4,), gamma=1, attention="stored", calibration=FAST).blocks[0]
    assert block.seconds == pytest.approx(1e-3 + 1e-11 * block.flops + 1e-9 * 16 * 16)
    assert block.bytes == pytest.approx(20 * 16 * 8 + 8 * 16 * 16)
    assert (block.tokens_in, block.tokens_out) == (16, 16)


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (3, 6, 6), "gamma": 3},
        {"chunks": (3, 6, 6), "gamma": 3, "attention": "stored"},
        {"chunks": (3, 6, 6), "gamma": 3, "attention": "stored", "heads": 4},
        {"chunks": (12, 12, 12), "gamma": 2},  # as many targets as screening begins with
    ],
)
def test_planned_memory_within_a_quarter_of_what_is_used(options, one_thread):
    """Memory of tensors does not depend on how busy a machine is; times do, and are compared in the bench."""
    dim, frames = (64, 12) if "attention" not in options and options["gamma"] == 2 else (32, 6)
    calibration = forecast.calibrate(dim, options.get("attention", "fused"), 1)
    plan = forecast.predict(frames, (10, 10), dim, calibration=calibration, **options)
    measured = forecast.block_costs(frames, (10, 10), dim, rounds=1, **options)
    for predicted, (_, _, peak) in zip(plan.blocks, measured, strict=True):
        assert predicted.bytes == pytest.approx(peak, rel=0.25)
    assert "GFLOPs" in str(plan)


def test_what_the_planner_does_not_know_it_refuses():
    with pytest.raises(ValueError, match="merge after attention"):
        forecast.predict(6, (10, 10), 32, (3, 6, 6), merge_at="before_attention", calibration=FAST)
    with pytest.raises(ValueError, match="'fused' and 'stored'"):
        forecast.predict(6, (10, 10), 32, (3, 6, 6), attention="merged", calibration=FAST)


def test_the_fit_finds_known_weights_and_never_negative_ones():
    import numpy as np

    a, b = np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, 1.0, 2.0, 8.0])
    assert forecast.fitted([a, b], list(2 * a + 1e-9 * b)) == pytest.approx([2, 1e-9], abs=1e-8)
    assert min(forecast.fitted([a, b], list(2 * a - 0.1 * b))) == 0


# --- the tables

EXACT = {"median": 1.5, "low": 1.25, "high": 2.0}


def test_a_forecast_as_a_table():
    blocks = (
        forecast.Prediction(15360, 2560, 202_670_000_000, 1.5, 300 * measuring.MIB),
        forecast.Prediction(2560, 428, 11_320_000_000, 0.125, 2000 * measuring.MIB),
    )
    assert str(forecast.Forecast(blocks)).splitlines() == [
        "  block    tokens in    tokens out    GFLOPs    seconds    MiB",
        "-------  -----------  ------------  --------  ---------  -----",
        "      1       15,360         2,560    202.67      1.500    300",
        "      2        2,560           428     11.32      0.125  2,000",
        "in all 213.99 GFLOPs, 1.625 s",
    ]


def test_growth_as_tables_leaves_out_what_was_not_measured():
    points = {"attention": [{"tokens": 1024, "seconds": EXACT}], "merging": [{"tokens": 1024, "seconds": EXACT}]}
    points["merging"] = [*points["merging"], {"tokens": 16384, "seconds": EXACT}]
    fit = {"exponent": 2.0, "standard_error": 0.25, "from": 1024, "to": 16384}
    result = {"what": "seconds of one call", "points": points, "exponents": {"merging": fit}}
    assert scaling.text(result).splitlines()[2:] == [
        "  tokens    attention    merging",
        "--------  -----------  ---------",
        "   1,024       1.5000     1.5000",
        "  16,384                  1.5000",
        "",
        "seconds = a * N^p       p    +-    from tokens    to tokens",
        "-------------------  ----  ----  -------------  -----------",
        "merging              2.00  0.25          1,024       16,384",
    ]
    assert "N^p" not in scaling.text(result | {"exponents": {}})


def test_networks_as_a_table():
    row = {"name": "naive, gamma 6", "seconds": EXACT, "flops": 2183.4e9, "speedup_over_fused": EXACT}
    memory = {"peak_bytes": 3892 * measuring.MIB, "memory_of_fused": 0.15}
    result = {"pass": "forward", "size": {}, "dtype": "float32", "rows": [row | memory]}
    assert bench_network.text(result).splitlines()[2:] == [
        "network           seconds    GFLOPs    MiB              speed     memory",
        "                                                      / fused    / fused",
        "--------------  ---------  --------  -----  -----------------  ---------",
        "naive, gamma 6       1.50   2,183.4  3,892  x1.50 (1.25-2.00)       -85%",
    ]
    assert "MiB " not in bench_network.text(result | {"rows": [row]}).splitlines()[2]


@pytest.mark.parametrize("name", ["operator", "network", "training", "growth", "planner"])
def test_the_stored_results_fit_their_tables(name):
    """Each case is a row, and no table is wider than a wide terminal."""
    record = json.loads(data_path(f"results/bench_{name}.json").read_text())
    _, text, _ = bench.PARTS[name]
    lines = text(record).splitlines()
    rules = [i for i, line in enumerate(lines) if line.startswith("---")]
    assert rules and all(len(lines[i + 1]) <= len(lines[i]) < 160 for i in rules)
    cases = {row.get("name", row.get("trial")) for row in record.get("rows", ())} | set(record.get("points", ()))
    assert all(case in text(record) for case in cases if case)


# --- the command


def test_the_command_writes_what_was_measured_where_and_when(tmp_path, capsys):
    assert bench.main(["--part", "growth", "--quick", "--threads", "1", "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "bench_growth.json").read_text())
    assert record["command"].startswith("python -m vtm_lesson bench --part growth --quick")
    assert {"processor", "cores", "threads", "torch", "date"} <= record["machine"].keys()
    assert record["machine"]["threads"] == 1
    assert set(record["points"]) == {"attention, scores stored", "attention, fused", "matching", "merging"}
    assert "bench_growth.json" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--part", "speed"], ["--rounds", "0"], ["--threads", "0"]])
def test_the_command_refuses_nonsense(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        bench.main(arguments)
    assert stopped.value.code == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_the_command_says_so(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--device", "cuda"])
    assert "no CUDA device" in capsys.readouterr().err


def test_the_package_knows_the_command():
    done = python("-m", "vtm_lesson", "bench", "--help")
    assert done.returncode == 0 and "--part" in done.stdout
