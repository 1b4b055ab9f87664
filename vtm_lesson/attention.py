"""Self-attention inside chunks, as a block of the network uses it: fused, with stored scores, or merged with them.

The three kinds have the same result. They differ in what they keep and in what they multiply:

    "stored"   all scores exist at once, as in a plain implementation: the kind of baseline of published speed-ups
    "fused"    torch's scaled_dot_product_attention: the same FLOPs, a few scores at a time
    "merged"   for inference, where the outputs are merged right away. Attention P V and merging M are both linear, so
               M (P V) = (M P) V: average the rows of the softmax P over every group first, and far fewer rows are
               left to multiply by the values. With one head, V = x W, and M (P V) = ((M P) x) W: then the values are
               made for merged tokens only, too. Scores cannot be saved: a softmax has to see all of them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .merging import Merge
from .tokens import Chunks

# "merged" makes its scores in tiles of about this many numbers. There are three of each at a time: the product, its
# softmax and that times the shares. 1M floats are 4 MiB, so that all three stay in a processor's cache.
TILE = {"cpu": 1 << 20, "cuda": 1 << 26}


class ChunkAttention(nn.Module):
    """Layer norm, self-attention inside chunks, dropout: (B, N, C) -> (B, N, C), and the keys (B, N, D).

    Keys are averaged over heads, so D = C / heads. kind: "fused", "stored" or "merged" (see above); the last one is
    "fused" when called, and has its own way by `keys` and `merged`.
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
        keys = self.for_matching(qkv.chunk(3, dim=-1)[1])
        return (x + y if self.residual else y), keys

    def for_matching(self, keys: Tensor) -> Tensor:
        """The mean of the keys (B, N, C) over heads: (B, N, D)."""
        return keys if self.heads == 1 else keys.unflatten(-1, (self.heads, -1)).mean(2)  # one head: no copy of them

    def keys(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The first half of "merged": the tokens after layer norm, and their keys, both (B, N, C)."""
        normed = self.norm(x)
        return normed, F.linear(normed, self.qkv.weight.chunk(3)[1])

    def merged(self, normed: Tensor, keys: Tensor, chunks: Chunks, merge: Merge, weight: Tensor | None) -> Tensor:
        """The second half, when it is known what merges: merge(attention of x, weight), (B, M, C), without residual.

        merge: within chunks. Of the scores a few tiles exist at one moment, and one chunk's averages of them, M x n.
        """
        whole = normed, keys, merge.group[..., None], merge.share(weight, normed.dtype)[..., None]
        parts = zip(chunks.runs, *(chunks.split(value) for value in whole), strict=True)
        made = [self._merged_run(run.left, *(piece for piece, _ in pieces)) for run, *pieces in parts]
        return torch.cat([part.reshape(len(normed), -1, part.shape[-1]) for part in made], dim=1)

    def _merged_run(self, left: int, x: Tensor, k: Tensor, group: Tensor, share: Tensor) -> Tensor:
        """Chunks of one size: x, k (chunks, n, C), group, share (chunks, n, 1) -> (chunks, left, C)."""
        count, n, heads = *x.shape[:2], self.heads
        k = k.unflatten(-1, (heads, -1)).transpose(1, 2)
        group = group[..., 0] - group.amin(1)  # groups of a chunk are neighbours: counted from 0 now
        tile = TILE.get(x.device.type, TILE["cpu"])
        together, step = max(1, tile // (heads * n * n)), max(1, min(n, tile // (heads * n)))
        done = []
        for i in range(0, count, together):
            here = slice(i, i + together)
            items = len(x[here])
            first = torch.arange(items * heads, device=x.device).view(items, heads, 1) * left
            rows = x.new_zeros(items * heads * left, n, dtype=share.dtype)  # M P
            for j in range(0, n, step):
                some = slice(j, j + step)
                # On a GPU these sums run in any order, unless torch.use_deterministic_algorithms(True) is on.
                rows.index_add_(
                    0,
                    (group[here, None, some] + first).flatten(),
                    (self._softmax(x[here, some], k[here]) * share[here, None, some]).flatten(0, 2),
                )
            done.append(self._values(rows.to(x.dtype).view(items, heads, left, n), x[here]))
        return done[0] if len(done) == 1 else torch.cat(done)

    def _softmax(self, x: Tensor, k: Tensor) -> Tensor:
        """P for some queries: x (chunks, rows, C), k (chunks, heads, n, D) -> (chunks, heads, rows, n)."""
        q = F.linear(x, self.qkv.weight.chunk(3)[0]).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return (q / math.sqrt(q.shape[-1]) @ k.transpose(-2, -1)).softmax(-1)

    def _values(self, rows: Tensor, x: Tensor) -> Tensor:
        """(M P) V: rows (chunks, heads, left, n), x (chunks, n, C) -> (chunks, left, C)."""
        w = self.qkv.weight.chunk(3)[2]
        if self.heads == 1:
            return F.linear(rows[:, 0] @ x, w)
        v = F.linear(x, w).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return (rows @ v).transpose(1, 2).flatten(2)

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
        return y.transpose(1, 2).flatten(2)
