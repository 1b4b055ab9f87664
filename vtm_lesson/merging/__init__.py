"""The operator: partition, match, merge. It needs torch and nothing else.

    merge.py        Merge: which output token every input token goes into
    tiled.py        the nearest target of every source, a tile of scores at a time
    fast_cpu.py     the same sooner on processors with bfloat16; fast_cuda.py, on NVIDIA's GPUs
    matching.py     match(keys, targets, n_merge) -> Merge
    projected.py    the same where all sources merge, without making their keys
    partition.py    which tokens are targets: uniform, region, sample, top
    hierarchy.py    chunks of chunks: how long they are, how many tokens wait, their merges side by side
    camera.py       motion relative to the camera
    strategies.py   Context: what is known when targets are picked; the strategies by name
    registry.py     every reducer by its name
    reducers/       Context -> Merge, one a file

What belongs here: whatever decides or applies a merge. What does not: networks, films, figures.
"""

from .camera import relative_motion
from .matching import match, match_plain, nearest
from .merge import Merge
from .registry import reducer
from .strategies import Context

__all__ = ["Context", "Merge", "match", "match_plain", "nearest", "reducer", "relative_motion"]
