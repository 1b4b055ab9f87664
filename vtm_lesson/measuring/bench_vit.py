"""ToMe inside timm's ViTs: the piece "vit" of `python -m vtm_lesson bench --all`.

Five runs take turns: no merging with stored scores, no merging with fused attention, merging with and without log(size)
in the attention, and the same blocks on a sequence that is merely cut to the same lengths. Nothing that merges inside
these blocks can be faster than the last.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor

from .. import hosts
from . import clock
from .clock import MIB, interleaved, ratio, spread

# Models with their batch on a GPU, and r for about half and for three quarters of the tokens that merging can save.
MODELS = (
    ("vit_tiny_patch16_224", 256, (8, 12)),
    ("deit_small_patch16_224", 128, (8, 12)),
    ("vit_base_patch16_224", 64, (8, 12)),
    ("vit_base_patch16_384", 16, (23, 35)),
)
STORED, FUSED, MERGED, CUT = "no merging, stored scores", "no merging", "merged", "cut"
UNMASKED = "merged, no log(size)"  # the mask keeps PyTorch from its FlashAttention kernel


def vit_runs(
    model: str, batch: int, r: int, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[dict[str, Callable[[], Tensor]], list[int]]:
    """The five runs of one row, and how many tokens each block leaves. Weights are random: time does not look at them.

    Needs timm. ValueError for a model that `hosts.apply` refuses.
    """
    hosts.remove  # noqa: B018  the first touch of hosts repairs torchvision, which timm imports

    import timm

    torch.manual_seed(0)
    plain: Any = timm.create_model(model).to(device, dtype).eval()
    side = plain.patch_embed.img_size[0]
    images = torch.randn(batch, 3, side, side).to(device, dtype)
    stored: Any = copy.deepcopy(plain)
    merging: Any = hosts.apply(copy.deepcopy(plain), r)
    unmasked: Any = hosts.apply(copy.deepcopy(plain), r, proportional=False)
    for block in stored.blocks:
        block.attn.fused_attn = False
    with torch.inference_mode():
        merging(images)
    left = [merge.n_out for merge in merging.layer_merges]

    def inferred(run: Callable[[Tensor], Tensor]) -> Callable[[], Tensor]:
        def timed() -> Tensor:
            with torch.inference_mode():
                return run(images)

        return timed

    runs: dict[str, Callable[[Tensor], Tensor]] = {
        STORED: stored,
        FUSED: plain,
        MERGED: merging,
        UNMASKED: unmasked,
        CUT: lambda x: cut(plain, x, left),
    }
    return {name: inferred(run) for name, run in runs.items()}, left


def cut(model: Any, images: Tensor, lengths: Sequence[int]) -> Tensor:
    """What a pre-norm ViT of timm's gives when each block keeps its first tokens only: no answer, but its cost."""
    x = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(images))))  # noqa: SLF001
    for block, length in zip(model.blocks, lengths, strict=True):
        x = x + block.drop_path1(block.ls1(block.attn(block.norm1(x))))
        x = x[:, :length]  # where ToMe merges
        x = x + block.drop_path2(block.ls2(block.mlp(block.norm2(x))))
    logits: Tensor = model.forward_head(model.norm(x))
    return logits


def vit(
    models: Sequence[tuple[str, int, Sequence[int]]] = MODELS,
    rounds: int = 9,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> dict:
    """One row for each model and r: seconds of the five runs, and what merging is worth beside each of them."""
    rows = []
    for name, batch, amounts in models:
        for r in amounts:
            runs, left = vit_runs(name, batch, r, device, dtype)
            times = interleaved(runs, rounds, 2, device, label=f"{name}, r {r}")
            row = {"model": name, "batch": batch, "r": r, "tokens": left}
            row["seconds"] = {run: spread(values) for run, values in times.items()}
            row["speedup_over_stored"] = ratio(times, STORED, MERGED)
            row["speedup_over_fused"] = ratio(times, FUSED, MERGED)
            row["merged_over_cut"] = ratio(times, MERGED, CUT)
            if torch.device(device).type == "cuda":
                row["peak_bytes"] = {run: clock.peak_cuda(call) for run, call in runs.items()}
            rows.append(row)
    return {
        "what": "ToMe in timm's ViTs, random weights; cut: the same blocks, sequences cut to the same lengths",
        "dtype": str(dtype).removeprefix("torch."),
        "rows": rows,
    }


def text(result: dict) -> str:
    """The table for the terminal."""
    rows = []
    for r in result["rows"]:
        row = {"model": r["model"], "batch": r["batch"], "r": r["r"], "tokens left": r["tokens"][-1]}
        row |= {f"{name}\nms": f"{1e3 * seconds['median']:.2f}" for name, seconds in r["seconds"].items()}
        row |= {f"speed\n/ {key}": f"x{clock.words(r[f'speedup_over_{key}'])}" for key in ("stored", "fused")}
        row["merged\n/ cut"] = clock.words(r["merged_over_cut"])
        row |= {f"{name}\nMiB": f"{filled / MIB:,.0f}" for name, filled in r.get("peak_bytes", {}).items()}
        rows.append(row)
    table = tabulate(rows, "keys", colglobalalign="right", colalign=("left",), disable_numparse=True)
    return f"{result['what']}, {result['dtype']}\n{table}"
