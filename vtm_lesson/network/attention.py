"""Self-attention inside chunks, as a block of the network uses it: fused, with stored scores, or merged with them.

The three kinds have the same result, up to rounding. They differ in what they keep and in what they multiply:

    "stored"   all scores exist at once, as in a plain implementation: the kind of baseline of published speed-ups
    "fused"    torch's scaled_dot_product_attention: the same FLOPs, a few scores at a time
    "merged"   for inference, where the outputs are merged right away. Attention P V and merging M are both linear, so
               M (P V) = (M P) V: average the rows of the softmax P over every group first, and far fewer rows are
               left to multiply by the values. With one head, V = x W, and M (P V) = ((M P) x) W: then the values are
               made for merged tokens only, too. Scores cannot be saved: a softmax has to see all of them.

"merged" is for one head. With more, there are as many times more scores to average, and values are needed for all
tokens: with 8 heads and more it was no faster than "fused", and often slower.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..merging.merge import Merge
from .tokens import Chunks

# "merged" makes its scores in tiles of about this many numbers. Two such arrays exist at once: Q K^T and its softmax,
# then that and its product with each query's share of its group. 1M floats are 4 MiB: both stay in a processor's cache.
# (`merging.tiled.TILE` is larger: matching has one array of scores.)
TILE = {"cpu": 1 << 20, "cuda": 1 << 26}


class ChunkAttention(nn.Module):
    """Layer norm, self-attention inside chunks, dropout: (B, N, C) -> (B, N, C), and the keys (B, N, D).

    Keys are averaged over heads, so D = C / heads. kind: "fused", "stored" or "merged" (see above). A call is what
    "fused" does for the last one, too; its own way are `norm_and_keys` and `merged`, which run no dropout, and do not
    go through the module `qkv`: its hooks do not fire.
    With a saliency (B, N) it is VTM eq. 10: softmax((Q K^T + guidance * 1 s^T) / sqrt(D)) V.
    """

    def __init__(self, dim: int, heads: int, dropout: float, kind: str, residual: bool, guidance: float = 1.0):
        super().__init__()
        self.heads, self.kind, self.residual, self.guidance = heads, kind, residual, guidance
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, chunks: Chunks, saliency: Tensor | None = None) -> tuple[Tensor, Tensor]:
        qkv = self.qkv(self.norm(x))
        bias = None if saliency is None else chunks.split(saliency[..., None])
        pieces = chunks.split(qkv)
        outputs = [self._attend(*piece, None if bias is None else bias[i][0]) for i, piece in enumerate(pieces)]
        y = self.dropout(chunks.join(outputs))
        keys = qkv.chunk(3, dim=-1)[1]
        if self.heads > 1:  # a mean over one head would copy them all
            keys = keys.unflatten(-1, (self.heads, -1)).mean(2)
        return (x + y if self.residual else y), keys

    @property
    def can_merge(self) -> bool:
        """Whether "merged" would be right and of use now: no dropout, a plain `qkv` (its weights are taken out of it),
        and no autograd, which would keep every tile of scores."""
        return not self.dropout.training and type(self.qkv) is nn.Linear and not torch.is_grad_enabled()

    def norm_and_keys(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The first half of "merged": tokens (B, N, C) after layer norm, and their keys, (B, N, C) both."""
        normed = self.norm(x)
        return normed, F.linear(normed, self.qkv.weight.chunk(3)[1])

    def merged(self, normed: Tensor, keys: Tensor, chunks: Chunks, merge: Merge, weight: Tensor | None) -> Tensor:
        """The second half, once it is known what merges: attention's outputs, merged, (B, M, C), without residual.

        normed, keys: (B, N, C), from the first half. merge: of tokens of one chunk only. weight: (B, N), what each
        token counts in the averages, or None. Of the scores a few tiles exist at one moment, and the averages of one
        chunk, M x n numbers for its n tokens.
        """
        share = merge.share(weight, normed.dtype)
        pieces = [chunks.split(value) for value in (normed, keys, merge.group[..., None], share[..., None])]
        outputs = []
        for i, run in enumerate(chunks.runs):
            x, k, group, of_group = (piece[i][0] for piece in pieces)
            outputs.append(self._merged_run(run.left, x, k, group, of_group))
        return chunks.join(outputs)

    def _merged_run(self, left: int, x: Tensor, k: Tensor, group: Tensor, share: Tensor) -> Tensor:
        """Chunks of n tokens of which `left` are left: x, k (chunks, n, C), group, share (chunks, n, 1) -> (chunks,
        left, C). A tile is several small chunks, or some queries of a large one."""
        (count, n), tile = x.shape[:2], TILE.get(x.device.type, TILE["cpu"])
        chunks_at_once, queries_at_once = max(1, tile // (n * n)), max(1, min(n, tile // n))
        group = group[..., 0] - group.amin(1)  # `join_merges` numbers a chunk's groups one after the other: from 0 now
        done = []
        for i in range(0, count, chunks_at_once):
            here = slice(i, i + chunks_at_once)
            first = torch.arange(len(x[here]), device=x.device)[:, None] * left
            rows = x.new_zeros(len(x[here]) * left, n, dtype=share.dtype)  # M P
            for j in range(0, n, queries_at_once):
                some = slice(j, j + queries_at_once)
                scores = self._softmax(x[here, some], k[here]) * share[here, some]
                # On a GPU these sums run in any order, unless torch.use_deterministic_algorithms(True) is on.
                rows.index_add_(0, (group[here, some] + first).flatten(), scores.flatten(0, 1))
            done.append(rows.to(x.dtype).view(-1, left, n) @ x[here])  # (M P) x
        return F.linear(torch.cat(done), self.qkv.weight.chunk(3)[2])

    def _softmax(self, x: Tensor, k: Tensor) -> Tensor:
        """P for some queries: x (chunks, queries, C), k (chunks, n, C) -> (chunks, queries, n)."""
        q = F.linear(x, self.qkv.weight.chunk(3)[0])
        return (q / math.sqrt(q.shape[-1]) @ k.transpose(-2, -1)).softmax(-1)

    def _attend(self, qkv: Tensor, present: Tensor | None, saliency: Tensor | None) -> Tensor:
        """(chunks, n, 3C) -> (chunks, n, C). present: (chunks, n) bool, false where a chunk is filled up."""
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        bias = None
        if saliency is not None:
            bias = self.guidance * saliency[:, None, None, :, 0] / math.sqrt(q.shape[-1])
        if present is not None:
            bias = torch.zeros_like(q[:, :1, :1, :1]) if bias is None else bias
            bias = bias.masked_fill(~present[:, None, None, :], -torch.inf)
        if self.kind == "stored":
            scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
            y = (scores if bias is None else scores + bias).softmax(-1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        joined: Tensor = y.transpose(1, 2).flatten(2)
        return joined
