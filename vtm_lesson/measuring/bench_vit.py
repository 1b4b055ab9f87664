"""ToMe inside timm's ViTs: the piece "vit" of `python -m vtm_lesson bench --all`.

Six runs take turns: no merging with stored scores, no merging with fused attention, merging with and without log(size)
in the attention, ToMe's way, and the same blocks on a sequence that is merely cut to the same lengths. Merging inside
these blocks does all that the last does, and more.

"ToMe's way, stored scores" is our reading of the paper (Bolya et al., ICLR 2023), written from its formulae; it is not
ToMe's own code. It stands for the straightforward way: all scores of the attention and of the matching are stored,
log(size) is added to the former, and sums of tokens are scattered, then divided by size.
"""

from __future__ import annotations

import copy
import statistics
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
# The same with batches for a processor.
CPU_MODELS = tuple((name, batch, amounts) for (name, _, amounts), batch in zip(MODELS, (8, 8, 2, 1), strict=True))
STORED, FUSED, MERGED, CUT = "no merging, stored scores", "no merging", "merged", "cut"
UNMASKED = "merged, no log(size)"  # the mask keeps PyTorch from its FlashAttention kernel
TOME = "ToMe's way, stored scores"
SHORT = {"cut": "cut", "tome": "ToMe's way"}


def vit_runs(
    model: str, batch: int, r: int, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[dict[str, Callable[[], Tensor]], list[int]]:
    """The six runs of one row, and how many tokens each block leaves. Weights are random: time does not look at them.

    Needs timm. ValueError for a model that `hosts.apply` refuses.
    """
    hosts.remove  # noqa: B018  the first touch of hosts repairs torchvision, which timm imports

    import timm

    torch.manual_seed(0)
    plain: Any = timm.create_model(model).to(device, dtype).eval()
    side = plain.patch_embed.img_size[0]
    images = torch.randn(batch, 3, side, side).to(device, dtype)
    # All share their weights, so that none is helped or hurt by where in memory its own would lie.
    shared = {id(weight): weight for weight in plain.parameters()}
    stored: Any = copy.deepcopy(plain, dict(shared))
    merging: Any = hosts.apply(copy.deepcopy(plain, dict(shared)), r)
    unmasked: Any = hosts.apply(copy.deepcopy(plain, dict(shared)), r, proportional=False)
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
        TOME: lambda x: tomes_way(plain, x, r),
        CUT: lambda x: cut(plain, x, left),
    }
    return {name: inferred(run) for name, run in runs.items()}, left


def cut(model: Any, images: Tensor, lengths: Sequence[int]) -> Tensor:
    """What a pre-norm ViT of timm's gives when each block keeps its first tokens only: no answer, but its cost."""
    x = _embedded(model, images)
    for block, length in zip(model.blocks, lengths, strict=True):
        x = x + block.drop_path1(block.ls1(block.attn(block.norm1(x))))
        x = x[:, :length]  # where ToMe merges
        x = x + block.drop_path2(block.ls2(block.mlp(block.norm2(x))))
    logits: Tensor = model.forward_head(model.norm(x))
    return logits


def tomes_way(model: Any, images: Tensor, r: int) -> Tensor:
    """ToMe with proportional attention, from the paper's formulae, in a pre-norm ViT of timm's with one class token.

    Its tokens are in the order of `hosts.apply(..., order="tome")`: protected and unmerged ones first, then targets.
    """
    x = _embedded(model, images)
    size = torch.ones_like(x[..., :1])
    for block in model.blocks:
        attended, keys = _proportional_attention(block.attn, block.norm1(x), size)
        x = x + block.drop_path1(block.ls1(attended))
        x, size = _bipartite_soft_matching(x, size, keys, min(r, (x.shape[1] - 1) // 2))
        x = x + block.drop_path2(block.ls2(block.mlp(block.norm2(x))))
    logits: Tensor = model.forward_head(model.norm(x))
    return logits


def _embedded(model: Any, images: Tensor) -> Tensor:
    x: Tensor = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(images))))  # noqa: SLF001
    return x


def _proportional_attention(attn: Any, x: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """softmax(q k^T / sqrt(d) + log(size)) v with all scores stored; and the keys' mean over heads."""
    batch, n, dim = x.shape
    q, k, v = attn.qkv(x).reshape(batch, n, 3, attn.num_heads, attn.head_dim).permute(2, 0, 3, 1, 4)
    scores = (q * attn.scale) @ k.transpose(2, 3) + size.log()[:, None, None, :, 0]
    out = (scores.softmax(dim=3) @ v).transpose(1, 2).reshape(batch, n, dim)
    return attn.proj(out), k.mean(dim=1)


def _bipartite_soft_matching(x: Tensor, size: Tensor, keys: Tensor, r: int) -> tuple[Tensor, Tensor]:
    """Merge the r tokens of even place (A, with the class token) that are most similar to one of odd place (B)."""
    unit = keys / keys.norm(dim=2, keepdim=True)
    scores = unit[:, ::2] @ unit[:, 1::2].transpose(1, 2)
    scores[:, 0] = -torch.inf  # the class token goes nowhere
    similarity, nearest = scores.max(dim=2)
    rank = similarity.argsort(dim=1, descending=True)[..., None]
    gone, stays = rank[:, :r], rank[:, r:].sort(dim=1).values  # so that the class token is first again
    into = nearest[..., None].gather(1, gone)

    def summed(values: Tensor) -> Tensor:
        a, b = values[:, ::2], values[:, 1::2]
        width = values.shape[2]
        moved = a.gather(1, gone.expand(-1, -1, width))
        b = b.scatter_reduce(1, into.expand(-1, -1, width), moved, "sum")
        return torch.cat([a.gather(1, stays.expand(-1, -1, width)), b], dim=1)

    total = summed(size)
    return summed(x * size) / total, total


def vit(
    models: Sequence[tuple[str, int, Sequence[int]]] | None = None,
    rounds: int = 9,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> dict:
    """One row for each model and r: seconds of the six runs, and what merging is worth beside each of them.

    models: (timm name, batch, amounts r) each; default: `MODELS` on a GPU, `CPU_MODELS` on a processor.
    """
    if models is None:
        models = MODELS if torch.device(device).type == "cuda" else CPU_MODELS
    rows = []
    for name, batch, amounts in models:
        for r in amounts:
            runs, left = vit_runs(name, batch, r, device, dtype)
            times = interleaved(runs, rounds, 2, device, label=f"{name}, r {r}")
            row: dict[str, Any] = {"model": name, "batch": batch, "r": r, "tokens": left}
            row["seconds"] = {run: spread(values) for run, values in times.items()}
            row["speedup_over_stored"] = ratio(times, STORED, MERGED)
            row["speedup_over_fused"] = ratio(times, FUSED, MERGED)
            row["merged_over_cut"] = ratio(times, MERGED, CUT)
            row["merged_over_tome"] = ratio(times, MERGED, TOME)
            if torch.device(device).type == "cuda":
                row["peak_bytes"] = {run: clock.peak_cuda(call) for run, call in runs.items()}
            rows.append(row)
    return {
        "what": "ToMe in timm's ViTs, random weights; cut: the same blocks, sequences cut to the same lengths;"
        " ToMe's way: our reading of the paper, not its code",
        "dtype": str(dtype).removeprefix("torch."),
        "rows": rows,
        "geometric_means": {
            key: statistics.geometric_mean(row[key]["median"] for row in rows)
            for key in ("merged_over_cut", "merged_over_tome")
        },
    }


def text(result: dict) -> str:
    """The table for the terminal."""
    rows = []
    for r in result["rows"]:
        row = {"model": r["model"], "batch": r["batch"], "r": r["r"], "tokens left": r["tokens"][-1]}
        row |= {f"{name}\nms": f"{1e3 * seconds['median']:.2f}" for name, seconds in r["seconds"].items()}
        row |= {f"speed\n/ {key}": f"x{clock.words(r[f'speedup_over_{key}'])}" for key in ("stored", "fused")}
        for key in ("cut", "tome"):
            if f"merged_over_{key}" in r:  # what was measured before there was a row for ToMe's way has none
                row[f"merged\n/ {SHORT[key]}"] = clock.words(r[f"merged_over_{key}"])
        row |= {f"{name}\nMiB": f"{filled / MIB:,.0f}" for name, filled in r.get("peak_bytes", {}).items()}
        rows.append(row)
    table = tabulate(rows, "keys", colglobalalign="right", colalign=("left",), disable_numparse=True)
    means = [
        f"merged / {SHORT[key.removeprefix('merged_over_')]} {mean:.3f}"
        for key, mean in result.get("geometric_means", {}).items()
    ]
    last = f"\ngeometric means over the rows: {', '.join(means)}" if means else ""
    return f"{result['what']}, {result['dtype']}\n{table}{last}"
