"""Time and memory, measured so that two figures can be compared: side by side, in rounds, with their spread.

Time. Versions take turns, round after round, so that whatever else the machine does hits all of them. A ratio is
taken within each round; the median and the quartiles over the rounds are given.

Memory. `peak_tensors` adds up what torch allocates and frees (torch's profiler sees every tensor): exact,
repeatable, and blind to what libraries use besides tensors. `peak_process` looks from outside: it runs a case in a
process of its own and reads the highest resident memory from the operating system. On CUDA both are
`torch.cuda.max_memory_allocated`.
"""

from __future__ import annotations

import datetime
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from .machine import cores

MIB = 2**20


def seconds(run: Callable[[], object], device: torch.device | str = "cpu") -> float:
    """How long one call takes; on CUDA between two events on the device's own clock."""
    if torch.device(device).type == "cuda":
        before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        before.record()
        run()
        after.record()
        after.synchronize()
        return before.elapsed_time(after) / 1e3
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def interleaved(
    runs: Mapping[str, Callable[[], object]],
    rounds: int = 7,
    warmup: int = 1,
    device: torch.device | str = "cpu",
    label: str | None = None,
) -> dict[str, list[float]]:
    """Seconds of every run in every round. Runs take turns; `warmup` rounds are not counted. label: of the bar."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    with tqdm(total=(rounds + warmup) * len(runs), desc=label, disable=label is None, leave=False) as bar:
        for i in range(rounds + warmup):
            for name, run in runs.items():
                elapsed = seconds(run, device)
                if i >= warmup:
                    times[name].append(elapsed)
                bar.update()
    return times


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles: {"median", "low", "high"}; with fewer than four values, the lowest and the highest."""
    if not values:
        raise ValueError("there are no values; a spread needs at least one.")
    if len(values) < 4:
        return {"median": statistics.median(values), "low": min(values), "high": max(values)}
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": middle, "low": low, "high": high}


def ratio(times: dict[str, list[float]], of: str, against: str) -> dict[str, float]:
    """The spread of of/against, taken round by round: below 1 where `of` is faster."""
    return spread([a / b for a, b in zip(times[of], times[against], strict=True)])


def words(value: dict[str, float], digits: int = 2) -> str:
    """A spread as text: median (low-high), each with so many digits behind the point."""
    return f"{value['median']:.{digits}f} ({value['low']:.{digits}f}-{value['high']:.{digits}f})"


def peak_tensors(run: Callable[[], object]) -> int:
    """The most bytes that tensors made during the call filled at one moment, on the CPU. Exact and repeatable."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else every call writes two lines of no use to a reader
    from torch.autograd.profiler import profile  # torch.profiler's own warns in some versions, at every call

    with profile(use_kineto=True, profile_memory=True) as recorded:
        result = run()
    events = [e for e in recorded.kineto_results.events() if e.name() == "[memory]"]
    del result
    filled = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        filled += event.nbytes()
        peak = max(peak, filled)
    return peak


LEFT = "VTM_SECONDS_LEFT"  # set by whoever has only so much time for processes that are started


def seconds_left() -> float | None:
    """How long a process may take that is started now; None: as long as it wants."""
    return float(os.environ[LEFT]) if LEFT in os.environ else None


def peak_resident(run: Callable[[], object]) -> tuple[int, object]:
    """How many bytes the process grew at most during the call, and the call's result.

    Meant for a process of its own (`peak_process`): memory that was filled and freed before would hide growth. On
    Linux the kernel's high-water mark is set back before; elsewhere it is the growth of the highest mark so far.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        result = run()
        return max(0, _status("VmHWM") - before), result
    except OSError:
        before = _highest()
        result = run()
        return max(0, _highest() - before), result


def peak_cuda(run: Callable[[], object]) -> int:
    """The most bytes that torch had allocated on the GPU during one call, beyond what was there before."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def peak_process(function: Callable[..., dict], **arguments) -> dict:
    """Call function(**arguments) in a new Python process; it returns a dict for JSON.

    function: one that a module holds under its own name, so that the new process finds it.
    """
    return in_process(function, arguments)


def in_process(
    function: Callable[..., dict], arguments: dict[str, Any], variables: dict[str, str] | None = None
) -> dict:
    """`peak_process`, with variables that the new process finds in its environment."""
    name = function.__qualname__
    code = f"from {__name__} import call_and_print; call_and_print()"
    command = [sys.executable, "-c", code, function.__module__, name, json.dumps(arguments)]
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    own = {**os.environ, "PYTHONPATH": paths, **(variables or {})}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=own, timeout=seconds_left())
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{name}({arguments}) was stopped after {error.timeout:.0f} seconds.") from error
    if done.returncode:
        # Killed without a word: the kernel's answer to a process that wants more memory than there is.
        silent = f"it ended with code {done.returncode} and said nothing, most likely out of memory"
        reason = (done.stderr.strip().splitlines() or [silent])[-1]
        raise RuntimeError(f"{name}({arguments}) failed in its own process: {reason}")
    return json.loads(done.stdout.splitlines()[-1])


def ceilings(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """The most that the device was seen to reach: FLOP/s of matrix products of three sizes, bytes/s of a large copy.

    Measured from below: on a machine whose speed changes, other work may later be a little faster.
    """
    cuda = torch.device(device).type == "cuda"
    sizes, elements = ((4096, 8192, 16384), 1 << 28) if cuda else ((512, 1024, 2048), 1 << 25)
    reached = []
    for size in sizes:
        a = torch.randn(size, size, device=device).to(dtype)
        out = torch.empty_like(a)
        times = interleaved({"": partial(torch.mm, a, a, out=out)}, 20, 2, device)[""]
        reached.append(2 * size**3 / min(times))
    source = torch.ones(elements, device=device, dtype=dtype)
    target = torch.empty_like(source)
    copy = interleaved({"": lambda: target.copy_(source)}, 20, 2, device)[""]
    return {
        "flops_per_second": max(reached),
        "bytes_per_second": 2 * source.numel() * source.element_size() / min(copy),
    }


def bounds(flops: float, moved: float, ceiling: dict[str, float]) -> dict[str, float]:
    """Seconds that `ceilings` allow at best: for the arithmetic, for moving the bytes, and the larger of both."""
    arithmetic, memory = flops / ceiling["flops_per_second"], moved / ceiling["bytes_per_second"]
    return {
        "flop_bound_seconds": arithmetic,
        "memory_bound_seconds": memory,
        "bound_seconds": max(arithmetic, memory),
    }


def environment(device: torch.device | str = "cpu") -> dict[str, object]:
    """What a figure was measured on: processor, cores, threads, device, versions, date."""
    cuda = torch.device(device).type == "cuda"
    return {
        "processor": _processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if cuda else "cpu",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "date": datetime.date.today().isoformat(),
    }


def save(path: str | Path, record: dict) -> Path:
    """Write a record as JSON. Numbers keep five digits: the rest is noise, and makes differences hard to read.

    At every moment the file is the old one or the new one, never half of it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(_rounded(record), indent=1) + "\n")
    part.replace(path)
    return path


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(v) for v in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field} in /proc/self/status")


def _highest() -> int:
    try:
        import resource
    except ImportError as error:
        raise RuntimeError("peak memory of a process is measured on Linux and macOS only.") from error
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def call_and_print() -> None:
    """What `peak_process` runs in the new process: the command line names a module, a function and its arguments."""
    module, name, arguments = sys.argv[1:]
    print(json.dumps(getattr(importlib.import_module(module), name)(**json.loads(arguments))))
