"""Everything that can be measured on a GPU, in pieces that may be cut off: `python -m vtm_lesson bench --all`.

A *piece* has one file, `cuda_NAME.json`, and is made of *steps*. The file is written anew, as a whole, after every
step, so whoever is cut off keeps what is done; `--resume` goes on with the steps that are missing or that failed. A
step that fails (the GPU is too small, a package is missing) is noted and the next one runs.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch

from ..paths import data_path, is_checkout
from . import bench_kernels, bench_network, bench_operator, bench_vit, clock, forecast, scaling

ROOT = Path(__file__).resolve().parents[2]
DTYPES = ("float32", "bfloat16")
LESSONS = ("03_tome_in_a_vit", "B_matcher_roofline_and_kernel")  # with cells that use a GPU where there is one
SMALL = {"frames": 12, "grid": (8, 8), "dim": 256, "chunks": (3, 6, 12)}


@dataclass(frozen=True)
class Setting:
    """Where and how much is measured. rounds: None for each measurement's own."""

    device: str
    quick: bool = False
    rounds: int | None = None
    minutes: float = 9.0

    @property
    def on_cuda(self) -> bool:
        """Whether the device is a GPU."""
        return torch.device(self.device).type == "cuda"

    def options(self, dtype: str) -> dict[str, Any]:
        """What all measurements take."""
        turns = {} if self.rounds is None else {"rounds": self.rounds}
        return {"device": self.device, "dtype": getattr(torch, dtype), **turns}


Steps = dict[str, Callable[[], dict]]


@dataclass(frozen=True)
class Piece:
    """One file of results: its steps by name, in order, and how a step's record is printed."""

    about: str
    steps: Callable[[Setting], Steps]
    text: Callable[[dict], str]


def carry_over(names: Sequence[str], setting: Setting, out: Path, resume: Path | None = None) -> None:
    """See that nothing is written over, and put what an earlier run has done where this one writes.

    resume: a folder with files of an earlier run. out: where files go, the same folder or another one. ValueError for
    files that this run would write over, and for results of another device, size or version of torch.
    """
    records = {name: _earlier(name, setting, out, resume) for name in names}
    out.mkdir(parents=True, exist_ok=True)
    for name, record in records.items():
        if record is not None and not path_of(out, name, setting).exists():
            clock.save(path_of(out, name, setting), record)


def path_of(folder: Path, name: str, setting: Setting) -> Path:
    """The file of a piece."""
    return folder / f"{torch.device(setting.device).type}_{name}.json"


FAILED = {"error": "not measured"}


def is_done(record: dict) -> bool:
    """Whether a step needs no second try."""
    return "error" not in record and not record.get("failed_tests")


def stored(name: str) -> dict[str, dict]:
    """The steps of a piece that were measured on a GPU and stored, by name; said where and when. Empty: none were."""
    path = data_path("results") / f"cuda_{name}.json"
    if not path.exists():
        print("On CUDA: not yet measured. On a machine with a GPU, make cuda measures and stores it.")
        return {}
    record = json.loads(path.read_text())
    print(f"stored: {record['machine']['device']}, torch {record['machine']['torch']}, {record['machine']['date']}")
    return {key: step for key, step in record["steps"].items() if is_done(step)}


def _earlier(name: str, setting: Setting, out: Path, resume: Path | None) -> dict | None:
    """What an earlier run has noted of a piece."""
    target = path_of(out, name, setting)
    if target.exists() and (resume is None or target.resolve() != path_of(resume, name, setting).resolve()):
        raise ValueError(f"{target} is there already; continue it with --resume {out}, or give another --out.")
    if resume is None or not path_of(resume, name, setting).exists():
        return None
    return _read(path_of(resume, name, setting), setting)


def _read(file: Path, setting: Setting) -> dict:
    try:
        record: dict = json.loads(file.read_text())
        known = record["machine"]["device"], record["machine"]["torch"], record["quick"]
        steps: dict[str, dict] = record["steps"]
        {key: is_done(step) for key, step in steps.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} does not hold results of `bench --all`; give another folder to --resume.") from error
    machine = clock.environment(setting.device)
    here = machine["device"], machine["torch"], setting.quick
    if known != here:
        of, now = (
            f"{device}, torch {version}, {'with' if q else 'without'} --quick" for device, version, q in (known, here)
        )
        raise ValueError(f"{file} is from {of}; this run is on {now}, and the two do not mix: give another folder.")
    return record


def run(name: str, setting: Setting, out: Path, command: str = "") -> int:
    """Measure the steps of a piece that are missing in `out`. 0 if all is done, 1 if a step failed or time ran out."""
    piece, started, file = PIECES[name], time.perf_counter(), path_of(out, name, setting)
    earlier = _read(file, setting) if file.exists() else {"steps": {}}
    steps = piece.steps(setting)
    record: dict[str, Any] = {
        "what": piece.about, "command": command, "machine": clock.environment(setting.device), "quick": setting.quick,
        "steps": {key: earlier["steps"][key] for key in steps if is_done(earlier["steps"].get(key, FAILED))},
        "missing": [],
    }  # fmt: skip
    record["missing"] = [key for key in steps if key not in record["steps"]]
    words = f"{len(record['missing'])} of {len(steps)} steps to do, {setting.minutes:g} minutes at most"
    print(f"\n== {name}: {piece.about}; {words}", flush=True)
    for key in list(record["missing"]):
        left = 60 * setting.minutes - (time.perf_counter() - started)
        if left <= 0:
            break
        print(f"\n-- {name}, {key}", flush=True)
        before = time.perf_counter()
        result = _one(steps[key], piece.text, left)
        record["steps"][key] = {**result, "took_seconds": time.perf_counter() - before}
        # In the order of the steps, whatever was done first; a step that failed counts as missing.
        record["steps"] = {k: record["steps"][k] for k in steps if k in record["steps"]}
        record["missing"] = [k for k in steps if not is_done(record["steps"].get(k, FAILED))]
        clock.save(file, record)
    if record["missing"]:
        print(f"{name}: not done: {'; '.join(record['missing'])}. Go on with --resume {out}")
    return int(bool(record["missing"]))


def _one(step: Callable[[], dict], text: Callable[[dict], str], left: float) -> dict:
    """Run a step. Whatever goes wrong belongs to the step, and the others can still be measured."""
    os.environ[clock.LEFT] = f"{left:.0f}"
    try:
        result = step()
        print(text(result), flush=True)
        return result
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        print(f"failed: {words}", flush=True)
        return {"error": words}
    finally:
        os.environ.pop(clock.LEFT)
        gc.collect()
        with contextlib.suppress(Exception):  # after some errors of CUDA's everything there fails
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


# --- the pieces


def _tests(setting: Setting) -> Steps:
    lessons = {f"lesson {name}": partial(_pytest, "--nbval-lax", f"notebooks/{name}.ipynb") for name in LESSONS}
    # Tests of tools/ need what only the checkout's own .venv has; none of them needs a GPU.
    return {"tests": partial(_pytest, "-m", "cuda", "tests", "--ignore=tests/tools", some=setting.on_cuda), **lessons}


def _pytest(*arguments: str, some: bool = False) -> dict:
    """Run pytest on what is named: how many passed, failed and were skipped, and why. some: at least one must pass."""
    if not is_checkout():
        raise RuntimeError("tests and notebooks are in the repository, not in the installed package: clone it.")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        notebooks = ["--nbval-current-env", "--nbval-cell-timeout=500"] if "--nbval-lax" in arguments else []
        quietly = ["-q", "-W", "default", "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", *quietly, f"--junitxml={report}"]
        done = subprocess.run(
            [*command, *arguments, *notebooks], cwd=ROOT, capture_output=True, text=True,
            timeout=clock.seconds_left(),
        )  # fmt: skip
        if not report.exists():
            raise RuntimeError(f"pytest ended with code {done.returncode}: {(done.stdout + done.stderr)[-300:]}")
        cases = list(ElementTree.parse(report).iter("testcase"))
    if not cases:
        raise RuntimeError(f"pytest found no test for {' '.join(arguments)}.")
    found: dict[str, dict[str, str]] = {"failure": {}, "error": {}, "skipped": {}}
    for case in cases:
        for kind, said in found.items():
            for part in case.findall(kind):
                said[f"{case.get('classname')}::{case.get('name')}"] = (part.get("message") or "")[:300]
    failed = {**found["failure"], **found["error"]}
    passed = len(cases) - len(failed) - len(found["skipped"])
    if some and not passed and not failed:
        raise RuntimeError(f"of {len(cases)} tests none ran: {next(iter(found['skipped'].values()))}")
    return {
        "what": " ".join(arguments), "passed": passed,
        "failed_tests": failed, "skipped_tests": found["skipped"],
    }  # fmt: skip


def _tests_text(result: dict) -> str:
    counts = f"{result['what']}: {result['passed']} passed, {len(result['failed_tests'])} failed"
    lines = [f"{counts}, {len(result['skipped_tests'])} skipped"]
    return "\n".join(lines + [f"  failed: {name}: {why}" for name, why in result["failed_tests"].items()])


def _kernels(setting: Setting) -> Steps:
    shapes = bench_kernels.REHEARSED if setting.quick or not setting.on_cuda else bench_kernels.SHAPES
    turns = setting.rounds or (9 if setting.on_cuda else 1)
    where = "cuda" if setting.on_cuda else "cpu"
    return {
        f"{dtype}, {n} x {dim}, gamma {gamma:g}": partial(bench_kernels.kernels, n, dim, gamma, where, dtype, turns)
        for dtype in DTYPES
        for n, dim, gamma in shapes
    }


def _operator(setting: Setting) -> Steps:
    shapes: tuple[tuple[int, int], ...] = bench_operator.CUDA_SHAPES if setting.on_cuda else bench_operator.SHAPES
    if setting.quick:
        shapes = ((1536, 256), (3840, 64))
    options: dict[str, Any] = {"huge": 0, "versions": ("ours", "plain", "stored", "product"), "memory": setting.on_cuda}
    steps: Steps = {}
    for dtype in DTYPES:
        measure = partial(bench_operator.operator, **options, **setting.options(dtype))
        for shape in shapes:
            steps[f"{dtype}, {shape[0]} x {shape[1]}"] = partial(measure, shapes=(shape,), films=())
        steps[f"{dtype}, films"] = partial(measure, shapes=())
    return steps


def _network(setting: Setting, backward: bool = False) -> Steps:
    options: dict[str, Any] = {"memory": setting.on_cuda}
    if setting.quick:
        options |= {"names": bench_network.TRAINED, "size": SMALL}
    measure = bench_network.training if backward else bench_network.network
    steps: Steps = {dtype: partial(measure, **options, **setting.options(dtype)) for dtype in DTYPES}
    if setting.on_cuda and not backward:
        size: dict[str, Any] = {"size": SMALL} if setting.quick else {}
        for dtype in DTYPES:
            graphs = partial(bench_network.graphs, **size, **setting.options(dtype))
            steps[f"{dtype}, recorded as CUDA graphs"] = graphs
    return steps


def _training(setting: Setting) -> Steps:
    return _network(setting, backward=True)


def _vit(setting: Setting) -> Steps:
    models: Sequence[tuple[str, int, Sequence[int]]] = bench_vit.MODELS
    if setting.quick:
        models = (("vit_tiny_patch16_224", 1, (8,)),)
    elif not setting.on_cuda:
        models = tuple((name, 1, amounts) for name, _, amounts in models)
    return {
        f"{dtype}, {model[0]}": partial(bench_vit.vit, models=(model,), **setting.options(dtype))
        for dtype in DTYPES
        for model in models
    }


def _planner(setting: Setting) -> Steps:
    options: dict[str, Any] = {"dim": 128, "chosen": forecast.TRIALS[:2]} if setting.quick else {}
    return {
        dtype: partial(forecast.trials, device=setting.device, dtype=getattr(torch, dtype), **options)
        for dtype in (DTYPES if setting.on_cuda else DTYPES[:1])
    }


def _growth(setting: Setting) -> Steps:
    options: dict[str, Any] = {"room": 16e9} if setting.on_cuda else {}
    if setting.quick:
        options |= {"sizes": (1024, 2048, 4096)}
    return {dtype: partial(scaling.growth, **options, **setting.options(dtype)) for dtype in DTYPES}


PIECES = {
    "tests": Piece("every test that needs a GPU, and lessons 03 and B from top to bottom", _tests, _tests_text),
    "kernels": Piece("the fused matcher with each of its tiles, and as tuned", _kernels, bench_kernels.text),
    "operator": Piece("match and merge beside stored scores and the bare product", _operator, bench_operator.text),
    "vit": Piece("ToMe in timm's ViTs beside no merging and sequences merely cut", _vit, bench_vit.text),
    "network": Piece("the paper's network, forward", _network, bench_network.text),
    "training": Piece("the paper's network, forward and backward", _training, bench_network.text),
    "planner": Piece("what the planner says of each block, and what is then measured", _planner, forecast.text),
    "growth": Piece("time against the number of tokens", _growth, scaling.text),
}
