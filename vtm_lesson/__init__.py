"""Video token merging, taught and measured: the package behind the lessons in `notebooks/`."""

from contextlib import suppress as _suppress

import torch as _torch

__version__ = "0.1.0"

if _torch.cuda.is_available():
    with _suppress(ImportError):  # no Triton: match() keeps its tiled version
        from . import kernels as _kernels  # noqa: F401  (importing it puts the fused matcher behind match())
