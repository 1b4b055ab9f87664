"""The right answers of lesson 04 written out, and what is said to a slip in one place of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...merging.matching import match
from ...merging.partition import uniform
from .making import slips


def _tokens_after(frames: int, per_frame: int, chunks: tuple, gamma: int, share: float) -> tuple:
    n, left = frames * per_frame, []
    for length in chunks:
        number = frames // length
        inside = n // number
        sources = inside - math.ceil(inside / gamma)
        n = number * (inside - math.floor(share * sources))
        left.append(n)
    return tuple(left)


TOKENS_AFTER = slips(
    _tokens_after,
    (
        "frames * per_frame",
        "At first the film has frames * per_frame tokens.",
        "frames + per_frame; frames; per_frame; per_frame * per_frame",
    ),
    (
        "for length in chunks:",
        "Go through all blocks: each has its own length of chunk.",
        "for length in []:",
    ),
    (
        "frames // length",
        "A film of `frames` frames has frames // length chunks.",
        "frames; length",
    ),
    (
        "n // number",
        "All chunks share the n tokens that are left: each has n // (number of chunks).",
        "n; number; n // frames",
    ),
    (
        "inside - math.ceil(inside / gamma)",
        "The sources of a chunk are not right: those of its tokens that are no targets, and every gamma-th is one.",
        "inside + math.ceil(inside / gamma); math.ceil(inside / gamma) - inside; inside; math.ceil(inside / gamma); "
        "frames - math.ceil(inside / gamma); inside - math.ceil(inside * gamma); inside - math.ceil(gamma / inside); "
        "inside - math.ceil(inside); inside - math.ceil(gamma); inside - math.ceil(frames / gamma); inside - "
        "math.ceil(inside / share)",
    ),
    (
        "inside - math.ceil(inside / gamma)",
        "Targets are ceil(n / gamma): round up, not to the nearest, and do not leave it unrounded.",
        "inside - round(inside / gamma); inside - inside / gamma",
    ),
    (
        "number * (inside - math.floor(share * sources))",
        "The film keeps what one chunk keeps, times the number of chunks.",
        "number + (inside - math.floor(share * sources)); number; inside - math.floor(share * sources); "
        "inside * (inside - math.floor(share * sources)); number * math.floor(share * sources)",
    ),
    (
        "inside - math.floor(share * sources)",
        "A chunk keeps what was inside, less floor(share * |S|) merged sources; you keep another number.",
        "inside + math.floor(share * sources); math.floor(share * sources) - inside; "
        "sources - math.floor(share * sources); inside - math.floor(share + sources); inside - math.floor(share); "
        "inside - math.floor(length * sources); inside - math.floor(share * frames)",
    ),
    (
        "inside - math.floor(share * sources)",
        "R is rounded down, floor(share * |S|).",
        "inside - math.ceil(share * sources); inside - round(share * sources); inside - share * sources",
    ),
)


def _merge_in_chunks(x: Tensor, keys: Tensor, chunks: int, gamma: float) -> Tensor:
    n = x.shape[1] // chunks
    merge = match(keys.reshape(-1, n, keys.shape[2]), uniform(n, gamma))
    return merge(x.reshape(-1, n, x.shape[2])).reshape(x.shape[0], -1, x.shape[2])


MERGE_IN_CHUNKS = slips(
    _merge_in_chunks,
    (
        "x.shape[1] // chunks",
        "A chunk has N / chunks tokens, and N is x.shape[1].",
        "chunks; x.shape[0] // chunks; x.shape[1] // gamma; x.shape[2] // chunks",
    ),
    (
        "uniform(n, gamma)",
        "uniform takes the number of tokens of a chunk, then gamma.",
        "uniform(gamma, n); uniform(n, n)",
    ),
    (
        "reshape(x.shape[0], -1, x.shape[2])",
        "The result begins with the axis of the films, B = x.shape[0].",
        "reshape(x.shape[2], -1, x.shape[2]); reshape(x.shape[-1], -1, x.shape[2]); reshape(chunks, -1, x.shape[2])",
    ),
    (
        "reshape(x.shape[0], -1, x.shape[2])",
        "Each merged token has the C numbers of x: the result is (B, -1, x.shape[2]).",
        "reshape(x.shape[0], -1, keys.shape[2]); reshape(x.shape[0], -1, x.shape[1])",
    ),
)


def _pooled_weight(groups: tuple) -> Tensor:
    final = int(groups[-1].max()) + 1
    weight = torch.full((final,), 1 / final)
    for group in reversed(groups):
        weight = (weight / torch.bincount(group))[group]
    return weight


POOLED_WEIGHT = slips(
    _pooled_weight,
    (
        "int(groups[-1].max()) + 1",
        "Your weights do not add up to 1: a final token counts 1 / M, and M is the largest group number plus 1.",
        "int(groups[-1].max()); 1",
    ),
    (
        "1 / final",
        "Each of the M final tokens counts 1 / M at the start.",
        "1 * final; 2 / final; 0 / final",
    ),
    (
        "for group in reversed(groups):",
        "Go back through all blocks; your weights are those of the final tokens.",
        "for group in []:",
    ),
    (
        "weight / torch.bincount(group)",
        "A group's weight is divided by the number of its members; you combine the two in another way.",
        "weight * torch.bincount(group); torch.bincount(group) / weight",
    ),
    (
        "(weight / torch.bincount(group))",
        "You give each patch the size of its group: a large group's patches weigh less, not more.",
        "torch.bincount(group)",
    ),
    (
        "return weight",
        "Return the weights of the patches.",
        "return group",
    ),
)


def _merge_with_tail(x: Tensor, keys: Tensor, length: int, gamma: float) -> Tensor:
    whole = x.shape[1] // length * length
    parts = []
    if whole > 0:
        parts.append(_merge_in_chunks(x[:, :whole], keys[:, :whole], whole // length, gamma))
    if whole < x.shape[1]:
        parts.append(_merge_in_chunks(x[:, whole:], keys[:, whole:], 1, gamma))
    return torch.cat(parts, dim=1)


MERGE_WITH_TAIL = slips(
    _merge_with_tail,
    (
        "whole = x.shape[1] // length * length",
        "The number of tokens in whole chunks is not right: N // length * length, a multiple of length.",
        "whole = x.shape[1] // length + length; whole = x.shape[1] * length; whole = length * "
        "length; whole = x.shape[1] // gamma * length; whole = x.shape[1] // length * gamma; whole "
        "= x.shape[1] % length; whole = int(x.shape[1] // length * gamma); whole = int(x.shape[1] "
        "// gamma * length)",
    ),
    (
        "if whole > 0:",
        "The whole chunks are missing: only the tokens left over are in your result.",
        "if whole < 0:; if False:",
    ),
    (
        "x[:, :whole]",
        "You merged the keys; they only say who is matched with whom.",
        "keys[:, :whole]",
    ),
    (
        "whole // length, gamma",
        "The whole chunks are whole // length chunks; you hand on another number of them.",
        "whole, gamma; length, gamma; int(whole // gamma), gamma; whole // gamma, gamma; 1, gamma",
    ),
    (
        "whole // length, gamma",
        "Hand gamma on to both calls as it is.",
        "whole // length, whole; whole // length, int(gamma)",
    ),
    (
        "if whole < x.shape[1]:",
        "The tokens after the last whole chunk are missing in some of your results: any number of them must be merged.",
        "if whole > x.shape[1]:; if whole < x.shape[2]:; if whole < x.shape[0]:; if whole < x.shape[1] - 1:",
    ),
    (
        "x[:, whole:]",
        "The keys of the tokens left over are in your result; merge x.",
        "keys[:, whole:]",
    ),
    ("1, gamma", "The tokens left over are one chunk.", "2, gamma"),
    (
        "1, gamma",
        "Hand gamma on to both calls as it is.",
        "1, whole; 1, int(gamma)",
    ),
)


def _region_weight(groups: tuple, kept: Tensor, region: Tensor) -> tuple:
    weight = _pooled_weight(groups)[region].sum()
    share = region[kept].float().mean()
    return (float(weight), float(share))


REGION_WEIGHT = slips(
    _region_weight,
    (
        "_pooled_weight(groups)[region].sum()",
        "The first number is the mean weight of the region's patches; what the region weighs is their sum.",
        "_pooled_weight(groups)[region].mean(); _pooled_weight(groups)[region].median()",
    ),
    (
        "_pooled_weight(groups)[region]",
        "Take the weights of the region's patches: index the N_0 weights with the mask `region`.",
        "_pooled_weight(groups)[groups]; _pooled_weight(groups)[kept]; _pooled_weight(groups)[~region]; "
        "_pooled_weight(groups)[groups[0]]",
    ),
    (
        "_pooled_weight(groups)",
        "Give pooled_weight all blocks; the weights are those of the mean of the final tokens.",
        "_pooled_weight(groups[:1])",
    ),
    (
        "region[kept].float().mean()",
        "The second number is a share: the mean of yes and no over the kept patches.",
        "region[kept].float().median(); region[kept].float().max(); region[kept].float().min()",
    ),
    (
        "region[kept]",
        "Index the mask `region` with the positions `kept`: one yes or no for each kept patch.",
        "region[region]; region[groups[-1]]; region[groups[0]]",
    ),
    (
        "(float(weight), float(share))",
        "Return the weight first, then the share.",
        "(float(share), float(share)); (float(weight), float(weight))",
    ),
)


def _alias_free_targets(frames: int, height: int, width: int, gamma: int) -> Tensor:
    places = height * width
    seen = torch.zeros(places, dtype=torch.long)
    targets = []
    for start in range(0, frames * places, gamma):
        run = torch.arange(start, frames * places)[:gamma]
        target = run[seen[run % places].argmin()]
        seen[target % places] += 1
        targets.append(target)
    return torch.stack(targets)


ALIAS_FREE_TARGETS = slips(
    _alias_free_targets,
    (
        "height * width",
        "A frame has height * width places.",
        "height + width; height; width; width * width; height * gamma; height * height",
    ),
    (
        "range(0, frames * places, gamma)",
        "Runs begin at 0, gamma, 2 gamma, ... and go on to the end of the film: N = frames * height * width tokens.",
        "range(0, frames * places - 1, gamma); range(0, frames * places, gamma + 1); "
        "range(0, frames * places, gamma - 1); range(1, frames * places, gamma); range(-1, frames * places, gamma); "
        "range(0, frames + places, gamma); range(0, frames, gamma); range(0, places, gamma); "
        "range(0, height * places, gamma); range(0, frames * places, places); range(0, frames * places - gamma, gamma)",
    ),
    (
        "torch.arange(start, frames * places)",
        "A run begins at its first token.",
        "torch.arange(start + 1, frames * places); torch.arange(start - 1, frames * places); "
        "torch.arange(frames * places)",
    ),
    (
        "[:gamma]",
        "A run has gamma tokens; you choose among another number.",
        "[:gamma - 1]; [:height]; [:width]; [:2]",
    ),
    (
        "seen[run % places]",
        "Token t lies on place t % places of its frame; ask how often that place has been a target.",
        "seen[run // places]; seen[run // places % places]",
    ),
    (
        ".argmin()",
        "You take the place that has been a target most often; take the least.",
        ".argmax()",
    ),
    (
        "seen[target % places] += 1",
        "Count the place that you have just made a target, target % places, so that the next run knows.",
        "seen[target // places] += 1; seen[frames % places] += 1; seen[start % places] += 1",
    ),
)
