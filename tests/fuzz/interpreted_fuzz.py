"""The fused kernels against float64 by loops, in Triton's interpreter. `test_fuzz_kernels.py` runs this file.

The interpreter is chosen when Triton is imported, so it needs a process of its own. It is slow: shapes stay small.
"""

import os

os.environ["TRITON_INTERPRET"] = "1"

import fuzzing
import pytest
import torch
from fuzzing import SEEDS, fuzz
from hypothesis import strategies as st
from matching_by_loops import KINDS, SIZES, check_merge, check_nearest, keys_of
from test_fuzz_cases import FOUND
from test_fuzz_matching import targets_of

from vtm_lesson.merging import fast_cuda, matching
from vtm_lesson.merging.tiled import others


@pytest.fixture(autouse=True)
def fused(monkeypatch):
    monkeypatch.setitem(matching.MATCHERS, "cpu", fast_cuda.nearest_fused)


@fuzz(
    cases=4,
    shape=st.tuples(st.integers(1, 2), st.integers(2, 40), st.integers(1, 40)),
    share=st.floats(0, 1),
    merged=st.floats(0, 1),
    alike=st.booleans(),
    kind=st.sampled_from(KINDS),
    size=st.sampled_from(SIZES),
    dtype=st.sampled_from(["float32", "bfloat16", "float16"]),
    splits=st.integers(1, 3),
    seed=SEEDS,
)
def test_fused(shape, share, merged, alike, kind, size, dtype, splits, seed):
    batch, n, _ = shape
    keys = keys_of(kind, size, dtype, shape, seed)
    if dtype == "bfloat16":  # whose denormal numbers the interpreter reads as others
        keys[keys.abs() < torch.finfo(keys.dtype).tiny] = 0
    targets = targets_of(batch, n, 1 + int(share * (n - 1)), alike, seed)
    sources, n_merge = others(targets, n), int(merged * (n - targets.shape[1]))
    while (splits - 1) * -(-targets.shape[1] // splits) >= targets.shape[1]:  # none is empty, as there
        splits -= 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_cuda, "_splits", lambda *_: splits)
        best, similarity = fast_cuda.nearest_fused(keys, targets, sources)
        merge = matching.match(keys, targets, n_merge)
    check_nearest(keys, targets, sources, best, similarity.to(torch.float32), exact=kind == "axes")
    check_merge(keys, targets, n_merge, merge, exact=kind == "axes")


@pytest.mark.parametrize("case", fuzzing.as_tests([case for case in FOUND if "interpreted" in case.check]))
def test_a_case_that_failed_once(case):
    case.run()
