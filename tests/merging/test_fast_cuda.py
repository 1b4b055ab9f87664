"""The fused CUDA matcher, without CUDA: run by Triton's interpreter, and compiled for three generations of GPUs."""

import os
from pathlib import Path

import pytest
import torch
from helpers import python, random

from vtm_lesson.merging import matching, tiled
from vtm_lesson.partition import sample, uniform

triton = pytest.importorskip("triton", reason="the fused kernels need Triton")
HERE = Path(__file__).parent


def test_results_in_the_interpreter():
    """All of interpreted_kernels.py, in a process of its own: the interpreter is chosen once per process."""
    done = python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", HERE / "interpreted_kernels.py",
        OMP_NUM_THREADS="1", TRITON_INTERPRET="1", PYTEST_ADDOPTS="",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_works_without_triton():
    code = """
import sys
sys.modules["triton"] = None  # makes `import triton` fail
import torch
import vtm_lesson
from vtm_lesson.merging import match
print(match(torch.randn(1, 9, 4), torch.tensor([0, 5])))
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "9 -> 2" in done.stdout


TYPES = {
    "keys": None, "scale": "*fp32", "inverse": "*fp32", "targets": "*i64", "sources": "*i64", "best": "*i64",
    "similarity": "*fp32", "n": "i32", "dim": "i32", "n_targets": "i32", "n_sources": "i32", "target_stride": "i32",
    "split_size": "i32", "n_rows": "i32", "magnitude": "i32",
}  # fmt: skip


def compiled(kernel, constants, keys, capability, **options):
    """The kernel compiled for a GPU that need not be here. Pointers and dim are taken as multiples of 16."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    types = {**TYPES, "keys": "*" + keys}
    signature = {name: "constexpr" if name in constants else types[name] for name in kernel.arg_names}
    aligned = [i for i, name in enumerate(kernel.arg_names) if signature[name].startswith("*") or name == "dim"]
    source = ASTSource(
        fn=kernel, signature=signature, constexprs=constants, attrs={(i,): [["tt.divisibility", 16]] for i in aligned}
    )
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


# Shared memory a program may use: NVIDIA's CUDA C++ Programming Guide, table of compute capabilities.
SHARED = {80: 163 * 1024, 90: 227 * 1024, 100: 227 * 1024}


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter does not compile")
@pytest.mark.parametrize("capability", SHARED)
@pytest.mark.parametrize("keys", ["fp32", "bf16", "fp16"])
def test_compiles_for_gpus_that_are_not_here(keys, capability, monkeypatch, tmp_path):
    import triton.language as tl

    from vtm_lesson.merging import fast_cuda

    monkeypatch.setattr(triton.knobs.cache, "dir", str(tmp_path))  # compile anew: nothing left from earlier runs
    dtype = {"fp32": tl.float32, "bf16": tl.bfloat16, "fp16": tl.float16}[keys]
    for config in fast_cuda.CONFIGS if keys == "fp32" else fast_cuda.CONFIGS[:1]:  # float32 needs the most room
        constants = {**config.kwargs, "PRODUCT": dtype, "RESCALE": keys != "fp16"}
        options = {"num_warps": config.num_warps, "num_stages": config.num_stages}
        binary = compiled(fast_cuda.nearest_kernel, constants, keys, capability, **options)
        assert len(binary.asm["cubin"]) > 0
        assert binary.metadata.shared <= SHARED[capability]
        # Tensor cores do the products, in float32 too.
        assert "mma" in binary.asm["ptx"]
    constants = {"RESCALE": keys != "fp16", "BLOCK_N": 16, "BLOCK_D": 128}
    assert len(compiled(fast_cuda.lengths_kernel, constants, keys, capability).asm["cubin"]) > 0


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_matching_and_merging_compile_without_graph_breaks(backend):
    targets = uniform(60, 4)

    def two_rounds(keys, x, weight):
        first = matching.match(keys, targets, 30)
        y = first(x, weight=weight)
        second = matching.match(y, uniform(first.n_out, 2))
        both = first.then(second)
        return both.group, both.keep, second(y), both.unmerge(second(y)), first.size()

    keys, x, weight = torch.randn(2, 60, 8), torch.randn(2, 60, 5, requires_grad=True), torch.rand(2, 60)
    torch._dynamo.reset()
    compiled_rounds = torch.compile(two_rounds, fullgraph=True, backend=backend)
    for found, expected in zip(compiled_rounds(keys, x, weight), two_rounds(keys, x, weight), strict=True):
        torch.testing.assert_close(found, expected)
    compiled_rounds(keys, x, weight)[2].square().sum().backward()
    gradient, x.grad = x.grad, None
    two_rounds(keys, x, weight)[2].square().sum().backward()
    torch.testing.assert_close(gradient, x.grad)


def test_sampled_targets_compile_too():
    def merge(score, x):
        return matching.match(x, sample(score, 4), 10)(x)

    torch._dynamo.reset()
    y = torch.compile(merge, fullgraph=True, backend="aot_eager")(torch.randn(2, 40), torch.randn(2, 40, 8))
    assert y.shape == (2, 30, 8)


def test_compiled_keys_that_are_no_numbers_stay_in_their_row():
    """Where values are not looked at beforehand, as on CUDA, a NaN must not make positions that do not exist."""
    keys = torch.randn(1, 40, 4)
    keys[0, 7] = float("nan")  # a source
    torch._dynamo.reset()
    merge = torch.compile(lambda k: matching.match(k, uniform(40, 4), 10)._bags, fullgraph=True, backend="eager")
    order, offsets = merge(keys)
    assert order.sort().values.tolist() == list(range(40))
    assert offsets.shape == (30,) and (offsets.diff() > 0).all()


def test_no_graph_recompiles_for_new_values():
    """Shapes are known from shapes: other keys, the same graph."""
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()
    torch._dynamo.reset()
    merge = torch.compile(lambda keys: matching.match(keys, uniform(40, 4), 10)(keys), fullgraph=True, backend=counter)
    for seed in range(3):
        merge(random(1, 40, 4, seed=seed))
    assert counter.frame_count == 1


@pytest.mark.cuda
class TestCuda:
    """On a GPU: `make cuda` runs these."""

    def test_a_large_problem_is_not_run_with_the_tiles_of_a_small_one(self):
        """Tuning again must not change the answer, and happens once for each magnitude."""
        from vtm_lesson.merging import fast_cuda

        for n in (40, 4000, 41, 4001):
            keys, targets = torch.randn(1, n, 72, device="cuda"), uniform(n, 3, device="cuda").expand(1, -1)
            matching.nearest(keys, targets)
        assert len([key for key in fast_cuda._search.cache if key[0] == 72]) == 2

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
    @pytest.mark.parametrize("shape", [(2, 300, 40), (1, 4097, 96)])
    def test_same_as_the_tiled_version(self, shape, dtype):
        keys = torch.randn(shape, device="cuda").to(dtype)
        targets = uniform(shape[1], 3).cuda().expand(shape[0], -1)
        sources = tiled.others(targets, shape[1])
        best, similarity = matching.nearest(keys, targets)
        assert matching.MATCHERS["cuda"].__name__ == "nearest_fused"
        expected, cosine = tiled.nearest_tiled(keys.double(), targets, sources)
        torch.testing.assert_close(similarity.double(), cosine, atol=5e-6, rtol=0)
        assert (best == expected).float().mean() > 0.999  # the rest are ties within rounding

    def test_nothing_waits_for_the_device(self):
        keys, targets = torch.randn(2, 300, 40, device="cuda"), uniform(300, 3).cuda()
        matching.match(keys, targets, 50)(keys)  # tune first
        torch.cuda.set_sync_debug_mode("error")
        try:
            matching.match(keys, targets, 50)(keys)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    def test_can_be_recorded_in_a_cuda_graph(self):
        keys, targets = torch.randn(2, 300, 40, device="cuda"), uniform(300, 3).cuda()
        expected = matching.match(keys, targets, 50)(keys)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = matching.match(keys, targets, 50)(keys)
        graph.replay()
        torch.testing.assert_close(y, expected)
