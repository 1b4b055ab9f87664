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

`ChunkAttention.queried` is no fourth kind but another network: the queries of a group are averaged before the softmax
and not its rows after it, so that there are far fewer scores from the start (merge_at="queries", for any heads).
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
        return self._attended(x, qkv, chunks, saliency), self._keys(qkv)

    def with_stats(self, x: Tensor, chunks: Chunks) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """A call, and what this attention looked at: "attention" and "entropy", (B, N) each (`attention_stats`)."""
        qkv = self.qkv(self.norm(x))
        q, k, _ = qkv.detach().chunk(3, dim=-1)
        return self._attended(x, qkv, chunks, None), self._keys(qkv), self._stats(q, k, chunks)

    @torch.no_grad()
    def stats(self, projected: tuple[Tensor, Tensor], chunks: Chunks) -> dict[str, Tensor]:
        """What attention would look at, without attending, for who merges before it. projected: `norm_and_keys`."""
        normed, keys = projected
        return self._stats(self._project(normed, 0), keys.detach(), chunks)

    @property
    def can_merge(self) -> bool:
        """Whether "merged" would be right and of use now: no dropout, a plain `qkv` (its weights are taken out of it),
        and no autograd, which would keep every tile of scores."""
        return not self.dropout.training and type(self.qkv) is nn.Linear and not torch.is_grad_enabled()

    def norm_and_keys(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The first half of "merged" and of merged queries: tokens after layer norm, and keys, (B, N, C) both."""
        normed = self.norm(x)
        return normed, self.keys(normed)

    def keys(self, normed: Tensor) -> Tensor:
        """The keys of tokens after layer norm: (B, N, C) -> (B, N, C)."""
        return self._project(normed, 1)

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

    def queried(
        self,
        x: Tensor,
        merged: Tensor,
        normed: Tensor,
        keys: Tensor | None,
        chunks: tuple[Chunks, Chunks],
        saliency: Tensor | None = None,
    ) -> Tensor:
        """Queries merged before attention: what the M groups of N tokens get, (B, M, C).

        A group has one query, made of the average of its normed tokens, and looks at all tokens of its chunk. x: its
        tokens averaged as they came, (B, M, C), for the residual. merged: their average after layer norm, (B, M, C).
        normed, keys: of all N tokens, (B, N, C) each; no keys where nobody else needs them, with one head. chunks: of
        the N tokens, and of the M groups. saliency: (B, N), as in a call.
        """
        queries = self._project(merged, 0)
        if keys is None:  # q . (W x) = (W^T q) . x: a few queries go through W, and not all tokens
            queries, keys = queries @ self.to_keys, normed
        # With one head V = x W, and P (x W) = (P x) W: values are made last, for groups only.
        values = normed if self.heads == 1 else self._project(normed, 2)
        before, after = chunks
        bias = None if saliency is None else before.split(saliency[..., None])
        parts = zip(after.split(queries), before.split(keys), before.split(values), strict=True)
        outputs = []
        for i, ((q, _), (k, present), (v, _)) in enumerate(parts):
            q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
            outputs.append(self._weighted(q, k, v, present, None if bias is None else bias[i][0]))
        y = after.join(outputs)
        y = self._project(y, 2) if self.heads == 1 else y
        dropped: Tensor = self.dropout(y)
        return x + dropped if self.residual else dropped

    @property
    def to_keys(self) -> Tensor:
        """(C, C): keys are normed @ to_keys.T."""
        return self.qkv.weight.chunk(3)[1]

    @property
    def can_do_without_keys(self) -> bool:
        """Whether `queried` can: with one head, and a plain `qkv`, whose weights are taken out of it."""
        return self.heads == 1 and type(self.qkv) is nn.Linear

    def _project(self, x: Tensor, which: int) -> Tensor:
        """Queries (0), keys (1) or values (2) alone. A layer in the place of `qkv` makes all three."""
        if type(self.qkv) is nn.Linear:
            return F.linear(x, self.qkv.weight.chunk(3)[which])
        part: Tensor = self.qkv(x).chunk(3, dim=-1)[which]
        return part

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

    def _attended(self, x: Tensor, qkv: Tensor, chunks: Chunks, saliency: Tensor | None) -> Tensor:
        """(B, N, C) and its queries, keys and values (B, N, 3C) -> (B, N, C)."""
        bias = None if saliency is None else chunks.split(saliency[..., None])
        pieces = chunks.split(qkv)
        outputs = [self._attend(*piece, None if bias is None else bias[i][0]) for i, piece in enumerate(pieces)]
        y: Tensor = self.dropout(chunks.join(outputs))
        y = x + y if self.residual else y
        return y

    def _keys(self, qkv: Tensor) -> Tensor:
        return self.mean_keys(qkv.chunk(3, dim=-1)[1])

    def mean_keys(self, keys: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C / heads), averaged over heads: what tokens are matched by."""
        if self.heads > 1:  # a mean over one head would copy them all
            keys = keys.unflatten(-1, (self.heads, -1)).mean(2)
        return keys

    def _stats(self, queries: Tensor, keys: Tensor, chunks: Chunks) -> dict[str, Tensor]:
        found = []
        for (q, present), (k, _) in zip(chunks.split(queries), chunks.split(keys), strict=True):
            q, k = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k))
            padding = None if present is None else torch.zeros_like(q[:, 0, :, 0]).masked_fill(~present, -torch.inf)
            found.append(torch.stack(attention_stats(q, k, bias=padding), dim=-1))
        received, entropy = chunks.join(found).unbind(-1)
        return {"attention": received, "entropy": entropy}

    def _attend(self, qkv: Tensor, present: Tensor | None, saliency: Tensor | None) -> Tensor:
        """(chunks, n, 3C) -> (chunks, n, C). present: (chunks, n) bool, false where a chunk is filled up."""
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self._weighted(q, k, v, present, saliency)

    def _weighted(self, q: Tensor, k: Tensor, v: Tensor, present: Tensor | None, saliency: Tensor | None) -> Tensor:
        """softmax(q k^T / sqrt(D) + bias) v: (chunks, heads, m, D), (chunks, heads, n, D) twice -> (chunks, m, C)."""
        bias = None
        if saliency is not None:
            bias = self.guidance * saliency[:, None, None, :, 0] / math.sqrt(q.shape[-1])
        if present is not None:
            bias = torch.zeros_like(q[:, :1, :1, :1]) if bias is None else bias
            bias = bias.masked_fill(~present[:, None, None, :], -torch.inf)
        # Few queries have few scores: some chunks' at a time cost less than the fused kernel, which is made for many.
        at_once = TILE.get(q.device.type, TILE["cpu"]) // (q.shape[1] * q.shape[2] * k.shape[2])
        few = q.shape[2] < k.shape[2] and at_once > 0 and not torch.is_grad_enabled()
        if self.kind == "stored" or few:
            done, step = [], at_once if few else len(q)
            for i in range(0, len(q), step):
                here = slice(i, i + step)
                scores = q[here] @ k[here].transpose(-2, -1) / math.sqrt(q.shape[-1])
                done.append((scores if bias is None else scores + bias[here]).softmax(-1) @ v[here])
            y = done[0] if len(done) == 1 else torch.cat(done)
        else:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        joined: Tensor = y.transpose(1, 2).flatten(2)
        return joined


@torch.no_grad()
def attention_stats(
    q: Tensor, k: Tensor, *, bias: Tensor | None = None, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """What attention looks at, a few rows of its map at a time: what each token receives, and how sharply it looks.

    Parameters
    ----------
    q, k : Tensor
        (B, heads, n, D), queries and keys.
    bias : Tensor, optional
        (B, n), added to all scores of a key: the log of its size, in proportional attention; -inf for padding, which
        neither looks nor is looked at.
    scale : float, optional
        Of the products q k; default 1 / sqrt(D).

    Returns
    -------
    received, entropy : Tensor
        (B, n) float32 or better each, of A, the softmax of the scores averaged over heads: the mean of column j over
        the queries, and sum_j A_ij log A_ij of row i, 0 where it looks at one token and -log n where at all alike.

    Notes
    -----
    The entropy is vid-TLDR's (Choi et al., CVPR 2024), with 0 log 0 = 0. Scores are made in tiles of `TILE` numbers.

    Examples
    --------
    >>> import torch
    >>> from vtm_lesson.network.attention import attention_stats
    >>> q = torch.zeros(1, 2, 4, 8)  # all scores are 0: everybody looks everywhere
    >>> received, entropy = attention_stats(q, q)
    >>> received.tolist(), round(float(entropy[0, 0].exp()), 2)
    ([[0.25, 0.25, 0.25, 0.25]], 0.25)
    """
    batch, heads, n, dim = q.shape
    tile = TILE.get(q.device.type, TILE["cpu"]) // heads
    items, rows = max(1, tile // (n * n)), max(1, min(n, tile // n))
    dtype = torch.promote_types(q.dtype, torch.float32)
    scale = 1 / math.sqrt(dim) if scale is None else scale
    looks = torch.ones_like(q[:, 0, :, 0], dtype=dtype) if bias is None else (bias > -torch.inf).to(dtype)
    received, entropy = (torch.zeros(batch, n, dtype=dtype, device=q.device) for _ in range(2))
    for i in range(0, batch, items):
        here = slice(i, i + items)
        for j in range(0, n, rows):
            some = slice(j, j + rows)
            scores = (q[here, :, some] * scale @ k[here].transpose(-2, -1)).to(dtype)
            if bias is not None:
                scores = scores + bias[here, None, None]
            A = scores.softmax(-1).mean(1)
            entropy[here, some] = torch.special.xlogy(A, A).sum(-1)
            received[here] += (A * looks[here, some, None]).sum(1)
    return received / looks.sum(1, keepdim=True).clamp(min=1), entropy
