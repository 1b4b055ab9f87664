"""The fused matcher for CUDA: `match()` without ever storing a score.

`nearest_tiled` in `tiled.py` writes each tile of scores to memory, then reads it again to find the maxima. On a
GPU that traffic, not the arithmetic, sets the time. Here one Triton kernel multiplies a block of sources with one
block of targets after the other, and keeps for each source the best target so far: scores live in registers alone.

`match()` uses it for tensors on CUDA. Without CUDA it runs in Triton's interpreter only (set
TRITON_INTERPRET=1 before importing), which is slow and meant for tests.

Precision. Sums run in float32. bfloat16 and float16 keys enter the product as they are: a product of two such
numbers fits into float32, so nothing is rounded before the sum. float32 keys use "tf32x3", three tensor-core products
of split numbers that err about as little as float32 sums do. Plain "tf32" would keep 10 bits of each key, enough to
swap neighbours; "ieee" would leave the tensor cores unused.

Speed on CUDA: not yet measured. The kernels were run by the interpreter and compiled for sm_80 and sm_90 only.
"""

from __future__ import annotations

import os

import torch
import triton
import triton.language as tl
from torch import Tensor

from .tiled import nearest_tiled

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if INTERPRETED and triton.__version__.startswith("3.6."):
    # Its interpreter makes an int of an array with one element, which NumPy since 2.5 refuses. Triton 3.7 does as here.
    from triton.runtime import interpreter

    _of_triton = interpreter._patch_lang_tensor  # noqa: SLF001

    def _patch_lang_tensor(tensor, scope):
        _of_triton(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.squeeze()))

    interpreter._patch_lang_tensor = _patch_lang_tensor  # noqa: SLF001

# Each keeps its tiles within the 163 KiB of shared memory of an A100, in float32 too. The first one is used where
# nothing can be tuned.
CONFIGS = [
    triton.Config({"BLOCK_S": s, "BLOCK_T": t, "BLOCK_D": d}, num_warps=warps, num_stages=stages)
    for s, t, d, warps, stages in [
        (64, 128, 32, 4, 3),
        (128, 128, 32, 8, 3),
        (128, 128, 64, 8, 2),
        (64, 64, 64, 4, 3),
        (32, 64, 64, 4, 4),
    ]
]


@triton.jit
def lengths_kernel(
    keys,  # (rows, dim), contiguous
    scale,  # (rows,) float32, out: a power of two near 1 / the row's largest number
    inverse,  # (rows,) float32, out: 1 / the row's length after scaling, 0 for a row of zeros
    n_rows,
    dim,
    RESCALE: tl.constexpr,  # False: scale is 1
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """What turns raw products into cosines, for every token.

    Scaling by a power of two rounds nothing, and keeps squares of huge or tiny keys inside float32.
    """
    row = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    column = tl.arange(0, BLOCK_D)
    place = keys + row[:, None] * dim + column[None, :]
    here = row < n_rows

    factor = tl.full([BLOCK_N], 1.0, tl.float32)
    if RESCALE:
        largest = tl.zeros([BLOCK_N], tl.float32)
        for start in range(0, dim, BLOCK_D):
            x = tl.load(place + start, mask=here[:, None] & (start + column < dim)[None, :], other=0.0)
            largest = tl.maximum(largest, tl.max(tl.abs(x.to(tl.float32)), axis=1))
        # The exponent field e of a float32 stands for 2^(e - 127), so 254 - e stands for the inverse.
        exponent = (largest.to(tl.int32, bitcast=True) >> 23) & 0xFF
        factor = (tl.maximum(254 - exponent, 1) << 23).to(tl.float32, bitcast=True)

    total = tl.zeros([BLOCK_N], tl.float32)
    for start in range(0, dim, BLOCK_D):
        x = tl.load(place + start, mask=here[:, None] & (start + column < dim)[None, :], other=0.0)
        x = x.to(tl.float32) * factor[:, None]
        total += tl.sum(x * x, axis=1)
    tl.store(scale + row, factor, mask=here)
    # A row of zeros has no direction: 0 here makes all its similarities 0.
    tl.store(inverse + row, tl.where(total > 0, 1.0 / tl.sqrt(tl.where(total > 0, total, 1.0)), 0.0), mask=here)


@triton.jit(do_not_specialize=["magnitude"])
def nearest_kernel(
    keys,  # (B, N, dim), contiguous
    scale,  # (B, N) float32, from lengths_kernel
    inverse,  # (B, N) float32, from lengths_kernel
    targets,  # (B, T) int64, rows target_stride apart (0: one row for all)
    sources,  # (B, S) int64, contiguous
    best,  # (B, splits, S) int64, out: the number of the best target of this split
    similarity,  # (B, splits, S) float32, out
    n,
    dim,
    n_targets,
    n_sources,
    target_stride,
    split_size,
    magnitude,  # of the problem: only tuning looks at it
    PRODUCT: tl.constexpr,  # the dtype in which keys enter the product
    RESCALE: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One program: BLOCK_S sources against the targets of one split, BLOCK_T at a time."""
    split, splits = tl.program_id(1), tl.num_programs(1)
    item = tl.program_id(2).to(tl.int64)
    keys += item * n * dim
    scale += item * n
    inverse += item * n
    column = tl.arange(0, BLOCK_D)

    s = tl.program_id(0) * BLOCK_S + tl.arange(0, BLOCK_S)
    s_here = s < n_sources
    s_row = tl.load(sources + item * n_sources + s, mask=s_here, other=0)
    s_place = keys + s_row[:, None] * dim + column[None, :]
    s_scale = tl.load(scale + s_row)

    highest = tl.full([BLOCK_S], float("-inf"), tl.float32)
    winner = tl.zeros([BLOCK_S], tl.int32) + split * split_size
    last = tl.minimum((split + 1) * split_size, n_targets)
    for t_start in range(split * split_size, last, BLOCK_T):
        t = t_start + tl.arange(0, BLOCK_T)
        t_here = t < last
        t_row = tl.load(targets + item * target_stride + t, mask=t_here, other=0)
        t_place = keys + t_row[None, :] * dim + column[:, None]
        t_scale = tl.load(scale + t_row)
        t_inverse = tl.load(inverse + t_row)
        scores = tl.zeros([BLOCK_S, BLOCK_T], tl.float32)
        for start in range(0, dim, BLOCK_D):
            inside = start + column < dim
            a = tl.load(s_place + start, mask=inside[None, :], other=0.0)
            b = tl.load(t_place + start, mask=inside[:, None], other=0.0)
            if RESCALE:
                a = a.to(tl.float32) * s_scale[:, None]
                b = b.to(tl.float32) * t_scale[None, :]
            scores = tl.dot(a.to(PRODUCT), b.to(PRODUCT), scores, input_precision="tf32x3")
        cosine = scores * t_inverse[None, :]
        # Keys on a GPU are not looked at beforehand; a target that is NaN or infinite is like one of zeros.
        scores = tl.where(cosine == cosine, cosine, 0.0)
        scores = tl.where(t_here[None, :], scores, float("-inf"))
        top, place = tl.max(scores, axis=1, return_indices=True, return_indices_tie_break_left=True)
        # Strictly greater: of equal scores the first target stays.
        better = top > highest
        winner = tl.where(better, t_start + place, winner)
        highest = tl.where(better, top, highest)

    out = (item * splits + split) * n_sources + s
    tl.store(best + out, winner.to(tl.int64), mask=s_here)
    # Dividing by the source's own length changes no ranking among targets, so it waits until here.
    cosine = highest * tl.load(inverse + s_row)
    # A source that is NaN or infinite merges last.
    tl.store(similarity + out, tl.where(cosine == cosine, cosine, float("-inf")), mask=s_here)


# Tuning runs every configuration for each new width of keys and each new magnitude of the problem: tiles that are best
# for a few tokens are not for many. It waits for the device, so it has to be over before a CUDA graph is recorded.
TUNED = torch.cuda.is_available() and not INTERPRETED
_search = triton.autotune(CONFIGS, key=["dim", "magnitude"])(nearest_kernel) if TUNED else nearest_kernel


def nearest_fused(keys: Tensor, targets: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    """`matching.nearest` by the fused kernels: the most similar target of every source, and how similar it is.

    keys (B, N, D) float32, bfloat16 or float16 (others go to the tiled version); targets (B, T), sources (B, S) int64.
    Returns best (B, S) int64, from 0 to T - 1, ties to the lower, and similarity (B, S) float32. Nothing is read back
    from the device, and shapes depend on shapes alone, so it can be recorded in a CUDA graph and compiled.
    """
    if keys.dtype not in (torch.float32, torch.bfloat16, torch.float16) or sources.shape[1] == 0:
        return nearest_tiled(keys, targets, sources)
    found: tuple[Tensor, Tensor] = _nearest(keys, targets, sources)
    return found


# As an operator of its own, torch.compile takes it as one step and does not look inside.
@torch.library.custom_op("vtm_lesson::nearest", mutates_args=())
def _nearest(keys: Tensor, targets: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    return launch(keys, targets, sources)


def launch(
    keys: Tensor, targets: Tensor, sources: Tensor, config: triton.Config | None = None
) -> tuple[Tensor, Tensor]:
    """Run the kernels: `nearest_fused` with tiles as `config` says, or else as tuning found (one of CONFIGS)."""
    keys, sources = keys.contiguous(), sources.contiguous()
    if targets.stride(1) != 1:
        targets = targets.contiguous()
    (batch, n, dim), n_targets, n_sources = keys.shape, targets.shape[1], sources.shape[1]
    # float16 squares cannot leave float32; keys of the other types can.
    rescale = keys.dtype != torch.float16
    # The interpreter's product of bfloat16 is wrong, and nothing says so.
    product = tl.float32 if INTERPRETED or keys.dtype == torch.float32 else _TRITON[keys.dtype]

    scale = keys.new_empty(batch, n, dtype=torch.float32)
    inverse = torch.empty_like(scale)
    splits = _splits(batch, n_sources, n_targets, keys.device)
    split_size = triton.cdiv(n_targets, splits)
    best = sources.new_empty(batch, splits, n_sources)
    similarity = scale.new_empty(batch, splits, n_sources)
    kernel, tiles = _search, {}
    if config is not None or not TUNED:
        kernel, config = nearest_kernel, config or CONFIGS[0]
        tiles = {**config.kwargs, "num_warps": config.num_warps, "num_stages": config.num_stages}
    with torch.cuda.device_of(keys):  # Triton starts kernels on the current device, whatever its arguments are on
        lengths_kernel[(triton.cdiv(batch * n, 16),)](
            keys, scale, inverse, batch * n, dim, RESCALE=rescale, BLOCK_N=16, BLOCK_D=128
        )
        kernel[lambda meta: (triton.cdiv(n_sources, meta["BLOCK_S"]), splits, batch)](
            keys, scale, inverse, targets, sources, best, similarity,
            n, dim, n_targets, n_sources, targets.stride(0), split_size, magnitude(batch * n_sources, n_targets),
            PRODUCT=product, RESCALE=rescale, **tiles,
        )  # fmt: skip
    if splits == 1:
        return best[:, 0], similarity[:, 0]
    winner = similarity.argmax(1, keepdim=True)  # the first of equal ones, and splits lie in the targets' order
    return best.gather(1, winner)[:, 0], similarity.gather(1, winner)[:, 0]


@_nearest.register_fake
def _(keys: Tensor, targets: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(sources), sources.new_empty(sources.shape, dtype=torch.float32)


_TRITON = {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}


def magnitude(n_sources: int, n_targets: int) -> int:
    """One number for problems of about the same size: how many bits the sources of all items have, and the targets."""
    return 64 * n_sources.bit_length() + n_targets.bit_length()


def _splits(batch: int, n_sources: int, n_targets: int, device: torch.device) -> int:
    """Into how many parts the targets are cut, so that few sources still fill all multiprocessors."""
    if device.type != "cuda":
        return 1
    programs: int = batch * triton.cdiv(n_sources, 128)
    wanted: int = 2 * torch.cuda.get_device_properties(device).multi_processor_count
    return max(1, min(wanted // programs, n_targets // 512))


def usable() -> bool:
    """Whether the kernels run on this machine's GPU: NVIDIA's, and not in the interpreter."""
    return torch.cuda.is_available() and torch.version.cuda is not None and not INTERPRETED
