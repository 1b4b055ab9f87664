"""Video token merging, taught and measured: the package behind the lessons in `notebooks/`."""

from contextlib import suppress as _suppress

import torch as _torch

# Importing these puts faster matchers behind match(), where the machine has what they need.
from . import screening as _screening  # noqa: F401

__version__ = "0.1.0"

if _torch.cuda.is_available():
    with _suppress(ImportError):  # no Triton: match() keeps its tiled version
        from . import kernels as _kernels  # noqa: F401
