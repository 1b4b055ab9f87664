"""What this machine is: printed once in lesson 00, so that measured times can be read with it in mind."""

from __future__ import annotations

import os
import platform
import time

import av
import torch


def report() -> None:
    """Print versions, cores, memory, CUDA or not, and how fast a matrix product runs. Takes about a second."""
    from vtm_lesson import __version__

    print(f"vtm_lesson  {__version__} on Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    print(f"torch       {torch.__version__}, PyAV {av.__version__}")
    print(f"processor   {cores()} cores for this process, torch uses {torch.get_num_threads()}")
    print(f"memory      {memory()}")
    if torch.cuda.is_available():
        device = torch.cuda.get_device_properties(0)
        print(f"CUDA        {device.name}, {device.total_memory / 2**30:.0f} GiB, torch built for {torch.version.cuda}")
    else:
        print("CUDA        none found: everything runs on the processor, as the lessons expect")
    print(f"speed       {speed():,.0f} GFLOP/s in a float32 matrix product on the processor")


def cores() -> int:
    """How many processor cores this process may use (a container or a scheduler may allow fewer than there are)."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


def memory() -> str:
    """Main memory in words; what a container is allowed may be less."""
    try:
        import psutil
    except ImportError:
        return "unknown (psutil is not installed)"
    now = psutil.virtual_memory()
    return f"{now.total / 2**30:.1f} GiB, {now.available / 2**30:.1f} GiB of it free"


def speed(size: int = 1024) -> float:
    """Billions of float32 operations a second in a size x size matrix product; the best of five."""
    a = torch.ones(size, size)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9
