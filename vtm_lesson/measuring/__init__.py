"""Time, memory and FLOPs, measured side by side, and what they tell.

    machine.py          what this machine is
    clock.py            time and memory, in rounds, with their spread
    scaling.py          how cost grows with the number of tokens
    roofline.py         what bounds a speed-up: Amdahl's law, the machine's two ceilings
    forecast.py         what a network will cost, predicted
    bench_operator.py   match and merge beside a plain implementation
    bench_network.py    the whole network beside its baselines
    bench_vit.py        ToMe in timm's ViTs
    bench_hosts.py      five reducers in every family of host models
    bench_reading.py    films read and made into features
    bench_kernels.py    the fused CUDA matcher, tile by tile
    bench_pieces.py     all of it on a GPU, in pieces that may be cut off
    against.py          new ratios beside stored ones: what got worse beyond the spread
    bench.py            python -m vtm_lesson bench

What belongs here: how things are measured. What is measured about accuracy is in `study`.
"""

from .clock import (
    MIB,
    ceilings,
    environment,
    interleaved,
    peak_cuda,
    peak_process,
    peak_resident,
    peak_tensors,
    ratio,
    save,
    seconds,
    spread,
    words,
)

__all__ = [
    "MIB", "ceilings", "environment", "interleaved", "peak_cuda", "peak_process", "peak_resident", "peak_tensors",
    "ratio", "save", "seconds", "spread", "words",
]  # fmt: skip
