"""The token ledger: how many tokens enter and leave every block, and what that costs, before anything is run.

`plan` says into which chunks a block cuts the video and how many tokens each of them keeps. The network follows it
and `model.count` adds it up, so the counts that are printed are those that are computed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby

from tabulate import tabulate

from ..merging.partition import n_merged, n_targets

Segments = tuple[tuple[int, int], ...]  # (frames, tokens) of neighbouring stretches of the video, in order


@dataclass(frozen=True)
class ChunkRun:
    """Neighbouring chunks of the same size: how many, and what each of them holds."""

    chunks: int
    frames: int
    tokens: int
    targets: int
    merged: int

    @property
    def left(self) -> int:
        """The tokens of one chunk after merging: N - R (VTM eq. 5)."""
        return self.tokens - self.merged


@dataclass(frozen=True)
class BlockPlan:
    """What one block does to the token counts: exactly, or where its reducer keeps a different number in each video,
    at most (unless it was told how many were left).

    attend: the chunks of attention, by their tokens before merging. match: the chunks within which tokens are
    matched: the same, or the whole video. ragged: chunks hold different numbers of tokens from video to video, and
    `attend` is what they hold on average. after: (frames, tokens) of the stretches that the block leaves.
    """

    attend: tuple[ChunkRun, ...]
    match: tuple[ChunkRun, ...]
    ragged: bool
    after: Segments

    @property
    def tokens_in(self) -> int:
        """Tokens of one video before the block."""
        return sum(run.chunks * run.tokens for run in self.match)

    @property
    def tokens_out(self) -> int:
        """Tokens of one video after the block."""
        return sum(run.chunks * run.left for run in self.match)


@dataclass(frozen=True)
class BlockCount:
    """One row of the ledger: token counts of one video, and the FLOPs of the block by what they are spent on."""

    tokens_in: int
    targets: int
    merged: int
    tokens_out: int
    chunks: int
    width_in: int
    width_out: int
    flops: dict[str, int] = field(default_factory=dict)
    memory: int = 0  # bytes that the reducer holds at once beside its keys, in float32, by its own count

    @property
    def total(self) -> int:
        """All FLOPs of the block."""
        return sum(self.flops.values())


@dataclass(frozen=True)
class Ledger:
    """Token counts and FLOPs of one video through the network."""

    blocks: tuple[BlockCount, ...]
    head: int
    at_most: bool = False  # the reducer keeps a different number in each video, and merges nothing in the worst one

    @property
    def flops(self) -> int:
        """All FLOPs: 2 per multiply-add of a matrix product, as torch counts them."""
        return self.head + sum(block.total for block in self.blocks)

    @property
    def memory(self) -> int:
        """Bytes that the reducer of the block that needs most holds at once."""
        return max(block.memory for block in self.blocks)

    @property
    def tokens(self) -> tuple[int, ...]:
        """Tokens at the start and after each block."""
        return (self.blocks[0].tokens_in, *(block.tokens_out for block in self.blocks))

    def __str__(self) -> str:
        rows = []
        for i, b in enumerate(self.blocks, 1):
            width = f"{b.width_in} -> {b.width_out}"
            rows.append((i, b.chunks, b.tokens_in, b.targets, b.merged, b.tokens_out, width, b.total / 1e9))
        names = ("block", "chunks", "tokens in", "targets", "merged", "tokens out", "width", "GFLOPs")
        table = tabulate(rows, names, intfmt=",", floatfmt=",.2f", stralign="right")
        most = "at most " if self.at_most else ""
        return f"{table}\nin all {most}{self.flops / 1e9:,.2f} GFLOPs"


def plan(
    segments: Segments,
    chunk: int,
    gamma: float,
    r: float,
    merging: bool = True,
    match_within: str = "chunk",
    left: int | None = None,
) -> BlockPlan:
    """Cut the video into chunks of `chunk` frames, and count what each keeps.

    segments: (frames, tokens) of the stretches that cannot be cut again: single frames at first, the chunks of the
    block before it later. R = floor(r * |S|) of the |S| = n - ceil(n / gamma) sources are merged (VTM eq. 5).
    """
    pieces: dict[int, list[int]] = {}
    start, ragged = 0, False
    for frames, tokens in segments:
        ragged |= start // chunk != (start + frames - 1) // chunk
        held = pieces.setdefault(start // chunk, [0, 0])
        held[0] += frames
        held[1] += tokens
        start += frames
    if ragged and match_within == "chunk":
        raise ValueError(
            f"chunks of {chunk} frames would cut through the chunks of the block before; each length in chunks must be"
            ' a multiple of the one before it, or use match_within="video".'
        )
    if ragged:
        total, ends = sum(tokens for _, tokens in segments), [*range(chunk, start, chunk), start]
        edges = [0] + [round(total * end / start) for end in ends]
        pieces = {i: [min(chunk, start - i * chunk), edges[i + 1] - edges[i]] for i in range(len(ends))}
    whole = sum(tokens for _, tokens in segments)
    share = None if left is None else left / whole
    attend = _runs(tuple((held[0], held[1]) for held in pieces.values()), gamma, r, merging, share)
    if match_within == "chunk":
        after = tuple((run.frames, run.left) for run in attend for _ in range(run.chunks))
        return BlockPlan(attend, attend, False, after)
    match = _runs(((start, whole),), gamma, r, merging, share)
    after = ((start, match[0].left),) if match[0].merged else segments
    return BlockPlan(attend, match, ragged, after)


def block_count(
    plan: BlockPlan,
    dim: int,
    out: int,
    heads: int = 1,
    merge_first: bool = False,
    merged_scores: bool = False,
    merged_queries: bool = False,
    keyless: bool = False,
    matching: int = 0,
    saliency: bool = False,
    aux: bool = False,
    stats: bool = False,
    memory: int = 0,
) -> BlockCount:
    """The ledger row of one block. FLOPs are those of matrix products, 2 per multiply-add.

    Layer norm, softmax, GELU and the averages of merging grow with N * C only and are left out, as torch's own
    counter leaves them out. dim, out: channels before and after. merge_first: merging before attention, on the
    tokens themselves. merged_scores: attention's scores are averaged over each group before they meet the tokens, and
    values are made after that. merged_queries: a group has one query, made before attention; keyless: which goes
    through the keys' weights, so that no token's key is made. matching: FLOPs of the reducer, by its own count.
    saliency: with the score head of eq. 9. aux: with the auxiliary path of training. stats: what attention looks at is
    computed for the reducer: its scores once more, where merging is first the queries and keys too, and with merged
    queries every token's query. memory: as in `BlockCount`.
    """
    n_in, n_out = plan.tokens_in, plan.tokens_out
    key_dim = dim if merge_first else dim // heads
    # Merging first leaves each chunk its share of the tokens.
    attended = [(run.chunks, run.left if merge_first and not plan.ragged else run.tokens) for run in plan.attend]
    if merge_first and (plan.ragged or len(plan.match) < len(plan.attend)):
        attended = [(run.chunks, round(run.tokens * n_out / n_in)) for run in plan.attend]
    n = n_out if merge_first else n_in
    flops = {
        "queries, keys, values": 2 * n * dim * 3 * dim,
        "attention": sum(k * 4 * m * m * dim for k, m in attended),
        "matching": matching,
        "saliency": 2 * n_in * key_dim if saliency else 0,
        "linear": 2 * n_out * dim * out,
        "auxiliary path": 0,
    }
    if merged_queries:
        values = n_out if heads == 1 else n_in
        flops["queries, keys, values"] = 2 * dim * dim * (n_out + (n_out if keyless else n_in) + values)
        flops["saliency"] += 2 * dim * dim if keyless and saliency else 0  # U goes through the keys' weights, too
        flops["attention"] = sum(4 * run.chunks * run.left * run.tokens * dim for run in plan.attend)
    if merged_scores:
        flops["queries, keys, values"] = 2 * dim * dim * (2 * n_in + n_out)
        flops["attention"] = sum(2 * run.chunks * (run.tokens + run.left) * run.tokens * dim for run in plan.attend)
    if stats:
        flops["signals"] = sum(2 * run.chunks * run.tokens**2 * dim for run in plan.attend)
        flops["signals"] += 2 * n_in * dim * dim * (2 if merge_first else merged_queries)
    if aux and merged_queries:
        projected = 2 * dim * dim * (3 * n_out if heads == 1 else 2 * n_in + n_out)
        flops["auxiliary path"] = projected + flops["attention"] + flops["linear"]
    elif aux:
        attention = sum(4 * run.chunks * run.tokens**2 * dim for run in plan.attend)
        flops["auxiliary path"] = 2 * n_in * dim * 3 * dim + attention + flops["linear"]
    targets = sum(run.chunks * run.targets for run in plan.match)
    chunks = sum(run.chunks for run in plan.attend)
    return BlockCount(n_in, targets, n_in - n_out, n_out, chunks, dim, out, flops, memory)


def _runs(pieces: Segments, gamma: float, r: float, merging: bool, share: float | None = None) -> tuple[ChunkRun, ...]:
    """Chunks of (frames, tokens) with what each keeps; share: of their tokens, in place of gamma and r."""
    chunks, seen = [], 0
    for frames, tokens in pieces:
        merges = merging and tokens > 0  # of an uneven plan's chunks some hold no token on average
        count = n_targets(tokens, gamma) if merges else tokens
        merged = n_merged(tokens, gamma, r) if merges else 0
        if share is not None:  # rounded so that all chunks together keep their share
            merged = tokens - (round(share * (seen + tokens)) - round(share * seen))
        seen += tokens
        chunks.append((frames, tokens, count, merged))
    return tuple(ChunkRun(len(list(same)), *chunk) for chunk, same in groupby(chunks))
