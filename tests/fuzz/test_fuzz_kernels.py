"""The fused kernels in Triton's interpreter, which needs a process of its own."""

import os
from pathlib import Path

import pytest
from helpers import python


def test_in_tritons_interpreter():
    pytest.importorskip("triton")
    if os.environ.get("VTM_FUZZ_SEED"):
        pytest.skip("tools/fuzz.py runs interpreted_fuzz.py itself")
    file = Path(__file__).with_name("interpreted_fuzz.py")
    alone = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", file)
    done = python(*alone, TRITON_INTERPRET="1", PYTEST_ADDOPTS="")
    assert done.returncode == 0, done.stdout + done.stderr
