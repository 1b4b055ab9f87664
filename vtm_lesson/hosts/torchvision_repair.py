"""Make `import torchvision`, and with it `import timm`, work beside a CPU build of torch.

Package indexes hand out torch and torchvision separately, so a machine without CUDA can end up with a CPU torch and a
torchvision whose compiled extension wants CUDA. That extension then cannot be loaded, which alone would be harmless:
nobody here calls its operators. But torchvision, while it is imported, also describes two of them to torch, `nms` and
`qnms`, whether or not the extension is there, and torch refuses to describe an operator that does not exist ("operator
torchvision::nms does not exist"). So we declare the two operators, without any implementation. Everything in plain
PyTorch works from then on, and calling `torchvision.ops.nms` still fails with an error that says so.

Import this module before timm or torchvision. On any other combination of builds it does nothing.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import torch

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def mismatched() -> bool:
    """True for a torchvision built against CUDA beside a torch that was not."""
    if torch.version.cuda is not None or torch.version.hip is not None:
        return False
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return False
    try:
        # Read, not imported: importing it is what fails. The wheel's metadata leaves out the "+cu130".
        version = Path(found.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"__version__ = '[^']*\+cu\d+'", version) is not None


def declare() -> torch.library.Library:
    """Declare the two operators; they vanish again with the returned object."""
    library = torch.library.Library("torchvision", "DEF")
    for schema in OPERATORS:
        library.define(schema)
    return library


_declared = declare() if "torchvision" not in sys.modules and mismatched() else None
