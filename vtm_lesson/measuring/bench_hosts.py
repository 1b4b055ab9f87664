"""Five reducers in every family of host models: `python -m vtm_lesson bench --hosts`.

For each: FLOPs, time beside the same model without merging (fused attention, taking turns), memory, and how alike the
pooled outputs are (cosine). All reducers get one budget: about half of the tokens are gone after the last block; the
one that decides itself how many ("threshold") has its threshold set for that, on other films. Inputs are frames of
painted films. Weights are random, so time and memory are those of trained models and the cosine says little, but for
the row that has weights: `--host-weights FILE`, of a ViT-S/14 of DINOv2's architecture under timm's names.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tabulate import tabulate
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .. import films, hosts
from ..merging.registry import reducer
from . import clock
from .clock import MIB, interleaved, ratio, spread

# The fifth looks at the attention itself in images, at the frame before in films. "tome": each host's default.
REDUCERS = ("tome", "drop", "energy", "threshold")
OF_IMAGES, OF_FILMS = "sharpness", "change"
PLAIN = "no merging"
WIDTH = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
NARROW = {"hidden_size": 96, "num_attention_heads": 3, "intermediate_size": 192}
TRAINED = ("timm ViT-S/14, trained", "vit_small_patch14_dinov2")


@dataclass(frozen=True)
class Size:
    """How large the models and their inputs are. frames: of a film, and images in a batch."""

    blocks: int = 6
    wide: bool = True
    side: int = 224
    patch: int = 16
    frames: int = 16
    images: int = 8


QUICK = Size(blocks=2, wide=False, side=64, patch=16, frames=8, images=2)


def _timm(size: Size) -> nn.Module:
    from timm.models import VisionTransformer

    width = WIDTH if size.wide else NARROW
    return VisionTransformer(
        img_size=size.side, patch_size=size.patch, embed_dim=width["hidden_size"], depth=size.blocks,
        num_heads=width["num_attention_heads"], num_classes=0,
    )  # fmt: skip


def _transformers(name: str, video: bool = False, **more: Any) -> Callable[[Size], nn.Module]:
    """A model of transformers by the name of its class, of a Size."""

    def make(size: Size) -> nn.Module:
        import transformers

        config = {**(WIDTH if size.wide else NARROW), "num_hidden_layers": size.blocks, "image_size": size.side, **more}
        if video:
            config["num_frames"] = size.frames
        if name == "VivitModel":
            config["tubelet_size"] = [2, size.patch, size.patch]
        else:
            config["patch_size"] = size.patch
        if name == "Dinov2Model":  # it has no other width of the MLP
            config["mlp_ratio"] = config.pop("intermediate_size") // config["hidden_size"]
        kind = name.removesuffix("Model") + "Config"
        made: nn.Module = getattr(transformers, name)(getattr(transformers, kind)(**config))
        return made

    return make


# Host -> how it is made, and whether it takes films.
HOSTS: dict[str, tuple[Callable[[Size], nn.Module], bool]] = {
    "timm ViT": (_timm, False),
    "CLIP": (_transformers("CLIPVisionModel"), False),
    "SigLIP": (_transformers("SiglipVisionModel"), False),
    "DINOv2": (_transformers("Dinov2Model"), False),
    "VideoMAE": (_transformers("VideoMAEModel", video=True, tubelet_size=2), True),
    "ViViT": (_transformers("VivitModel", video=True), True),
}


def painted(size: Size, video: bool, seed: int = 0, mean: Tensor | float = 0.5, std: Tensor | float = 0.5) -> Tensor:
    """Frames of a painted film for a host, (x - mean) / std of x from 0 to 1: (images, 3, H, W), or (1, frames, 3, H,
    W)."""
    count = size.frames if video else size.images
    film = films.make(seed, frames=count, size=size.side, patch=size.side // 16)
    pixels = torch.as_tensor(film.frames).permute(0, 3, 1, 2).float() / 255
    pixels = (pixels - mean) / std
    return pixels[None] if video else pixels


def pooled(model: Any, pixels: Tensor) -> Tensor:
    """What a host says of each image or film, (B, C): its pooled output, or the mean of its tokens."""
    output = model(pixels)
    if isinstance(output, Tensor):
        return output
    summary = getattr(output, "pooler_output", None)
    result: Tensor = output.last_hidden_state.mean(1) if summary is None else summary
    return result


def flops(model: Any, pixels: Tensor) -> int:
    """FLOPs of one pass, counted by torch as it runs; with stored scores, as it counts no fused attention on a CPU."""
    counted = copy.deepcopy(model)
    if hasattr(counted, "set_attn_implementation"):
        counted.set_attn_implementation("eager")
    else:
        for block in counted.blocks:
            block.attn.fused_attn = False
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        counted(pixels)
    return counter.get_total_flops()


def merging(model: nn.Module, name: str, r: int, others: Tensor, left: int) -> nn.Module:
    """A copy of the model with a reducer in it, r tokens a block; or as many as it takes to have about `left` left of
    other inputs."""
    if name == "tome":
        return hosts.apply(copy.deepcopy(model), r)
    plug: Any = reducer(name)
    knob = getattr(plug, "knob", None)
    if knob is None:
        return hosts.apply(copy.deepcopy(model), r, reducer=plug)
    setting, fewest, most = knob
    for _ in range(12):  # to a four-thousandth of the range
        middle = (fewest + most) / 2
        host: Any = hosts.apply(copy.deepcopy(model), reducer=reducer(name, **{setting: middle}))
        with torch.inference_mode():
            host(others)
        if _left(host) > left:
            most = middle
        else:
            fewest = middle
    return host


def _left(host: Any) -> float:
    """Tokens after the last block, on average."""
    merge = host.merges
    return merge.n_out if merge.count is None else merge.count.float().mean().item()


def host_rows(
    name: str,
    plain: Any,
    size: Size,
    video: bool,
    rounds: int,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    memory: bool = True,
    mean: Tensor | float = 0.5,
    std: Tensor | float = 0.5,
) -> list[dict]:
    """The rows of one host: without merging, and with each of five reducers. mean, std: what it expects of pixels."""
    plain = plain.to(device, dtype).eval()
    pixels, others = (painted(size, video, seed, mean, std).to(device, dtype) for seed in (0, 1))
    probe: Any = hosts.apply(copy.deepcopy(plain), 0)
    with torch.inference_mode():
        probe(pixels)
    tokens, blocks = probe.merges.n_in, len(probe.layer_merges)
    r = tokens // (2 * blocks)
    names = [*REDUCERS, OF_FILMS if video else OF_IMAGES]
    models: dict[str, Any] = {PLAIN: plain}
    models |= {each: merging(plain, each, r, others, tokens - r * blocks) for each in names}

    def inferred(model: Any) -> Callable[[], Tensor]:
        def run() -> Tensor:
            with torch.inference_mode():
                return pooled(model, pixels)

        return run

    runs = {each: inferred(model) for each, model in models.items()}
    outputs = {each: run().float() for each, run in runs.items()}
    times = interleaved(runs, rounds, 1, device, label=name)
    rows = []
    for each, model in models.items():
        row: dict[str, Any] = {"host": name, "reducer": each, "tokens": tokens}
        row["left"] = tokens if each == PLAIN else _left(model)
        row["flops"] = flops(model, pixels)
        row["seconds"] = spread(times[each])
        row["speedup_over_fused"] = ratio(times, PLAIN, each)
        row["cosine"] = F.cosine_similarity(outputs[each], outputs[PLAIN], dim=-1).mean().item()
        if memory:
            row["peak_bytes"] = (clock.peak_cuda if device == "cuda" else clock.peak_tensors)(runs[each])
        rows.append(row)
    return rows


def host_table(
    size: Size = Size(),
    names: Sequence[str] = tuple(HOSTS),
    weights: str | Path | None = None,
    rounds: int = 7,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    memory: bool = True,
) -> dict:
    """One row for each host and reducer. weights: a file for one more host, whose cosine says something.

    Without transformers its hosts are left out, and the result says so.
    """
    hosts.remove  # noqa: B018  the first touch of hosts repairs torchvision, which timm and transformers import
    there = importlib.util.find_spec("transformers") is not None
    left_out = [name for name in names if name != "timm ViT" and not there]
    rows = []
    for name in names:
        if name not in left_out:
            make, video = HOSTS[name]
            torch.manual_seed(0)
            rows += host_rows(name, make(size), size, video, rounds, device, dtype, memory)
    if weights is not None:
        from ..encoders import load_encoder

        encoder: Any = load_encoder(TRAINED[1], weights=weights, size=224)
        trained = Size(side=224, patch=14, images=size.images)
        expected = {"mean": encoder.mean, "std": encoder.std}
        rows += host_rows(TRAINED[0], encoder.model, trained, False, rounds, device, dtype, memory, **expected)
    return {
        "what": "five reducers in other people's networks, random weights where not said otherwise; about half of the"
        " tokens left after the last block; memory: tensors made in a pass",
        "dtype": str(dtype).removeprefix("torch."),
        "size": vars(size),
        "weights": None if weights is None else Path(weights).name,
        "left_out": left_out,
        "rows": rows,
    }


def text(result: dict) -> str:
    """The table for the terminal."""
    first = {row["host"]: row for row in result["rows"] if row["reducer"] == PLAIN}
    rows = []
    for r in result["rows"]:
        plain = first[r["host"]]
        row = {"host": r["host"], "reducer": r["reducer"], "tokens": r["tokens"], "left": f"{r['left']:.0f}"}
        row["FLOPs"] = f"{r['flops'] / plain['flops']:.2f}"
        row["ms"] = f"{1e3 * r['seconds']['median']:.1f}"
        row["speed\n/ fused"] = f"x{clock.words(r['speedup_over_fused'])}"
        if "peak_bytes" in r:
            row["MiB"] = f"{r['peak_bytes'] / MIB:,.1f}"
        row["cosine"] = f"{r['cosine']:.3f}"
        rows.append(row)
    table = tabulate(rows, "keys", colglobalalign="right", colalign=("left", "left"), disable_numparse=True)
    out = "".join(f"\nleft out, as transformers is not installed: {name}" for name in result["left_out"])
    return f"{result['what']}, {result['dtype']}\n{table}{out}"
