"""A block of the network of the VTM paper (sec. 3.2), with a slot for merging.

    layer norm, self-attention inside chunks of L_i frames, dropout, [merging], linear that halves C, GELU

What the paper leaves open is decided here as follows; each choice is a field of `BlockConfig` (`network.config`).

* No residual connection: the paper's list of a block's parts has none. `residual=True` adds one round attention.
* Attention has no output projection (the halving linear follows, and two linear maps are one) and no biases (a bias
  of the keys cancels in the softmax, but would turn all cosines of matching).
* Tokens are matched within the chunk they attend in, on keys that attention made there. Every chunk then keeps the
  same number of tokens, so chunks are one batch without padding. `match_within="video"` matches over all tokens.
* A merged token sits where its target sat. Its motion is the mean of its group, as its features are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..merging.merge import Merge
from ..merging.partition import n_targets
from ..merging.reducers.bipartite import Bipartite
from ..merging.strategies import Context, is_ragged, reduce, signals
from . import choosing
from .attention import ChunkAttention
from .config import BlockConfig
from .ledger import BlockCount, BlockPlan, Segments, block_count, plan
from .tokens import Chunks, Tokens, join_merges, reduce_alike
from .traces import BlockTrace, Choice, Given

NOTHING: Mapping[str, Tensor] = MappingProxyType({})


class VTMBlock(nn.Module):
    """One block of the network, with the merging slot: `block(Tokens) -> (Tokens, BlockTrace)`.

    Parameters
    ----------
    config : BlockConfig
        Everything that decides what the block is.

    Notes
    -----
    VTM sec. 3.2 and fig. 2; eqs. 9 and 10 for blocks that learn saliency.

    Examples
    --------
    >>> import torch, vtm_lesson as vtm
    >>> from vtm_lesson.network import Tokens
    >>> block = vtm.VTMBlock(vtm.BlockConfig(8, chunk=2, gamma=4)).eval()
    >>> tokens, trace = block(Tokens.start(torch.randn(1, 4, 2, 2, 8)))
    >>> tokens.x.shape, trace.merge
    (torch.Size([1, 4, 4]), Merge(16 -> 4 tokens, batch 1))
    """

    def __init__(self, config: BlockConfig):
        super().__init__()
        self.config = config
        self.reducer = config.chosen_reducer()
        self.ragged = is_ragged(self.reducer)
        self.wanted = signals(self.reducer)
        self.depth: tuple[int, int] | None = None  # which block it is, of how many, where a network says so
        shape = (config.dim, config.heads, config.dropout, config.attention, config.residual)
        self.attention = ChunkAttention(*shape)
        self.linear = nn.Linear(config.dim, config.width)
        self.aux: ChunkAttention | None = None
        self.learns = config.learns_saliency()
        self.progress = 0.0  # the share of training that is over, for gradient="annealed"
        if self.learns:
            if config.gradient == "auxiliary":
                self.aux = ChunkAttention(*shape, config.guidance)
            self.U = nn.Parameter(torch.zeros(self._key_dim, 1))
        if config.gradient == "relaxed" and self.learns:  # DTEM's match keys; at first they are the keys themselves
            self.embed = nn.Linear(self._key_dim, self._key_dim, bias=False)
            nn.init.eye_(self.embed.weight)

    @property
    def _key_dim(self) -> int:
        return self.config.dim if self.config.merge_first else self.config.dim // self.config.heads

    def forward(self, tokens: Tokens, generator: torch.Generator | None = None) -> tuple[Tokens, BlockTrace]:
        """Tokens of B videos through the block; generator: for draws of targets."""
        if self.config.softens and self.training:
            return self._forward_softly(tokens, generator)
        todo = self.plan(tokens.segments)
        chunks = self._chunks(todo, tokens)
        if self.config.merge_first:
            main, choice = self._merge_then_attend(tokens, todo, chunks, generator)
        elif self._merges_queries(todo):
            main, choice = self._merge_queries(tokens, todo, chunks, generator)
        elif self._averages_scores(todo, self.training) and self.attention.can_merge and not self._uneven(todo, tokens):
            main, choice = self._attend_merging_scores(tokens, todo, chunks, generator)
        else:
            main, choice = self._attend_then_merge(tokens, todo, chunks, generator)
        main = replace(main, segments=todo.after, aux=None)
        if self.aux is not None and self.training:
            main = self._join_auxiliary(main, tokens, todo, chunks, choice)
        main = replace(main, x=F.gelu(self.linear(main.x)))
        patches = tokens.position.gather(1, choice.targets)
        return main, BlockTrace(
            choice.targets, patches, choice.merge, choice.saliency, main.position, main.size, choice.log_probability
        )

    def _attend_then_merge(
        self, tokens: Tokens, todo: BlockPlan, chunks: Chunks, generator: torch.Generator | None
    ) -> tuple[Tokens, Choice]:
        """The paper's order."""
        looked: dict[str, Tensor] = {}
        if self._looks:
            y, keys, looked = self.attention.with_stats(tokens.x, chunks)
        else:
            y, keys = self.attention(tokens.x, chunks, self._presence(tokens))
        choice = self._choose(tokens, keys, todo, chunks, generator, looked)
        return self._merged(replace(tokens, x=y), choice), choice

    def _merge_then_attend(
        self, tokens: Tokens, todo: BlockPlan, chunks: Chunks, generator: torch.Generator | None
    ) -> tuple[Tokens, Choice]:
        """Merging first, on the tokens themselves: attention meets fewer."""
        looked = {}
        if self._looks:
            looked = self.attention.stats(self.attention.norm_and_keys(tokens.x), chunks)
        choice = self._choose(tokens, tokens.x, todo, chunks, generator, looked)
        main = self._merged(tokens, choice)
        x, _ = self.attention(main.x, self._chunks_after(todo, main, chunks), self._presence(main))
        return replace(main, x=x), choice

    def _merge_queries(
        self, tokens: Tokens, todo: BlockPlan, chunks: Chunks, generator: torch.Generator | None
    ) -> tuple[Tokens, Choice]:
        """Matching needs keys only: choose first, then let each group have one query, which looks at every token."""
        attention = self.attention
        normed, keys = attention.norm(tokens.x), None
        if self._needs_no_keys:
            choice = self._choose(tokens, normed, todo, chunks, generator, projection=attention.to_keys)
        else:
            keys = attention.keys(normed)
            looked = attention.stats((normed, keys), chunks) if self._looks else {}
            choice = self._choose(tokens, attention.mean_keys(keys), todo, chunks, generator, looked)
        merge, weight = choice.merge, tokens.weight(self.config.average)
        main = tokens.merged(merge, x=merge(normed, weight))
        both = chunks, self._chunks_after(todo, main, chunks)
        x = merge(tokens.x, weight) if self.config.residual else main.x
        return replace(main, x=attention.queried(x, main.x, normed, keys, both)), choice

    def _attend_merging_scores(
        self, tokens: Tokens, todo: BlockPlan, chunks: Chunks, generator: torch.Generator | None
    ) -> tuple[Tokens, Choice]:
        """The paper's order in fewer FLOPs: scores are averaged over each group before they meet the values."""
        normed, keys = self.attention.norm_and_keys(tokens.x)
        choice = self._choose(tokens, keys, todo, chunks, generator)
        weight = self._counting(tokens, choice).weight(self.config.average)
        if choice.merge.norm:  # lengths are no averages: they need every token's output
            y, _ = self.attention(tokens.x, chunks)
            return replace(tokens, x=y).merged(choice.merge, self.config.average), choice
        y = self.attention.merged(normed, keys, chunks, choice.merge, weight)
        if self.config.residual:
            y = choice.merge(tokens.x, weight) + y
        return tokens.merged(choice.merge, x=y), choice

    def _forward_softly(self, tokens: Tokens, generator: torch.Generator | None) -> tuple[Tokens, BlockTrace]:
        """Training with gates between 0 and 1 (`choosing.SOFT`): all tokens go on, and those of gate 0 say nothing."""
        c = self.config
        todo = plan(tokens.segments, c.chunk, 1, 1.0, False)
        chunks, state = self._chunks(todo, tokens), tokens
        keys = tokens.x
        if not c.merge_first:
            x, keys = self.attention(tokens.x, chunks, self._presence(tokens))
            state = replace(tokens, x=x)
        saliency = torch.tanh(keys @ self.U)[..., 0]
        before = torch.ones_like(saliency) if tokens.gate is None else tokens.gate
        parts = zip(*map(chunks.split, (state.x, keys, saliency[..., None], before[..., None])), strict=True)
        found = [self._softly(x, k, s, z, generator) for (x, _), (k, _), (s, _), (z, _) in parts]
        gate = chunks.join([gates[..., None] for _, gates in found])[..., 0]
        main = replace(state, x=chunks.join([x for x, _ in found]), gate=gate)
        if c.merge_first:
            main = replace(main, x=self.attention(main.x, chunks, self._presence(main))[0])
        main = replace(main, x=F.gelu(self.linear(main.x)), segments=todo.after)
        merge = Merge.identity(len(tokens.x), tokens.x.shape[1], tokens.x.device)
        return main, BlockTrace(merge.keep, tokens.position, merge, saliency, main.position, main.size)

    def _softly(
        self, x: Tensor, keys: Tensor, saliency: Tensor, before: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """x, keys (chunks, n, C), saliency and gates so far (chunks, n, 1) -> x, gates (chunks, n)."""
        saliency, before = saliency[..., 0], before[..., 0]
        held = round(float(before.detach().sum(1).mean()))
        scores = self._temperature * saliency + before.clamp(min=choosing.TINY).log()
        gates, cosines = choosing.soft_gates(
            self.config.gradient, scores, n_targets(held, self.config.gamma), self._setting, self.progress, generator
        )
        return choosing.soft_merge(x, self._match_keys(keys), gates, cosines, before), gates

    def _merged(self, tokens: Tokens, choice: Choice) -> Tokens:
        """The tokens after a choice, with their gates."""
        main = self._counting(tokens, choice).merged(choice.merge, self.config.average)
        gate = main.gate if choice.weight is None else None  # a weight counts in this average, and in nothing after it
        if choice.gates is not None:
            gate = choice.gates if gate is None else gate * choice.gates
        return replace(main, gate=gate)

    def _counting(self, tokens: Tokens, choice: Choice) -> Tokens:
        """The tokens, each counting in averages what the choice says."""
        return tokens if choice.weight is None else replace(tokens, gate=choice.weight)

    def _presence(self, tokens: Tokens) -> Tensor | None:
        return choosing.presence(tokens.gate, self.config.dim // self.config.heads)

    def _match_keys(self, keys: Tensor) -> Tensor:
        """What tokens are matched on: their keys, or what "relaxed" learned to make of them."""
        return self.embed(keys.detach()) if self.config.gradient == "relaxed" and self.learns else keys

    @property
    def _temperature(self) -> float:
        return choosing.TEMPERATURE if self.config.temperature is None else self.config.temperature

    @property
    def _setting(self) -> float:
        return choosing.SETTINGS[self.config.gradient] if self.config.setting is None else self.config.setting

    def _join_auxiliary(self, main: Tokens, tokens: Tokens, todo: BlockPlan, chunks: Chunks, choice: Choice) -> Tokens:
        """Sampling has no gradient: U_s learns from what saliency does to this attention (VTM eq. 10)."""
        assert self.aux is not None
        x, merge = tokens.x if tokens.aux is None else tokens.aux, choice.merge
        if self._merges_queries(todo):
            normed, both = self.aux.norm(x), (chunks, self._chunks_after(todo, main, chunks))
            keys = None if self.aux.can_do_without_keys else self.aux.keys(normed)
            guided = self.aux.queried(merge(x), merge(normed), normed, keys, both, choice.saliency)
        else:
            guided = merge(self.aux(x, chunks, choice.saliency)[0])
        x = main.x + guided if self.config.aux == "add" else main.x
        return replace(main, x=x, aux=F.gelu(self.linear(guided)))

    def plan(self, segments: Segments, left: int | None = None) -> BlockPlan:
        """How this block cuts a video into chunks and how many tokens it keeps of each.

        left: how many tokens of the video it was seen to leave, where that differs from video to video.
        """
        c = self.config
        if self.ragged and left is None:  # at most: all
            left = sum(tokens for _, tokens in segments)
        reduces = self.reducer is not None
        return plan(segments, c.chunk, c.gamma, c.r, reduces, c.match_within, left if self.ragged else None)

    def count(self, segments: Segments, training: bool = False, left: int | None = None) -> tuple[BlockCount, Segments]:
        """Token counts and FLOPs for one video, and what the next block starts from. left: as in `plan`."""
        c, todo, learns = self.config, self.plan(segments, left), self.learns
        if training and c.softens:
            todo = plan(segments, c.chunk, 1, 1.0, False)
        matched = [run for run in todo.match if run.merged or self.ragged]

        def spent(on: str) -> int:
            """Of the reducer's `flops` or `memory`, by its own count, over all chunks."""
            by: Callable[[int, int, int], int] = getattr(self.reducer, on, lambda *_: 0)
            return sum(run.chunks * by(run.tokens, run.targets, self._key_dim) for run in matched)

        merged_queries = self._merges_queries(todo) and todo.tokens_out < todo.tokens_in
        keyless = merged_queries and self._needs_no_keys
        matching = spent("flops")
        if keyless:  # of each target the key, carried back; then every token with every target
            matching = sum(2 * run.chunks * run.targets * c.dim * (2 * c.dim + run.tokens) for run in matched)
        if c.gradient == "relaxed" and learns:
            matching += 2 * todo.tokens_in * self._key_dim**2
        if training and c.softens:  # every token with every token: their cosines, and what they give each other
            matching += sum(2 * run.chunks * run.tokens**2 * (self._key_dim + c.dim) for run in todo.attend)
        row = block_count(
            todo,
            c.dim,
            c.width,
            c.heads,
            c.merge_first,
            self._averages_scores(todo, training),
            merged_queries,
            keyless,
            matching=matching,
            saliency=learns,
            aux=self.aux is not None and training,
            stats=self._looks and bool(matched),
            memory=spent("memory"),
        )
        return row, todo.after

    def _averages_scores(self, todo: BlockPlan, training: bool) -> bool:
        """Whether this block runs `ChunkAttention.merged`, if it can."""
        merges = todo.tokens_out < todo.tokens_in and not (self.ragged or self._looks)
        merges = merges and getattr(self.reducer, "linear", True)
        return self.attention.kind == "merged" and not training and merges

    def _merges_queries(self, todo: BlockPlan) -> bool:
        """Whether this block merges queries; where nothing merges it is a block as any other."""
        return self.config.merge_at == "queries" and (self.ragged or todo.tokens_out < todo.tokens_in)

    @property
    def _needs_no_keys(self) -> bool:
        """Whether merged queries can do without the tokens' keys: all sources merge, so nobody ranks them; and there
        are fewer targets than it takes to make that worth it (three products a target for one a token)."""
        projects = getattr(self.reducer, "projects", False) and self.config.r == 1 and not self._looks
        projects = projects and self.config.gamma > 3
        return bool(projects) and self.attention.can_do_without_keys

    @property
    def _looks(self) -> bool:
        """Whether the reducer wants to know what attention looks at."""
        return not {"attention", "entropy"}.isdisjoint(self.wanted)

    def _chunks(self, todo: BlockPlan, tokens: Tokens) -> Chunks:
        by_frame = todo.ragged or self._uneven(todo, tokens)
        return Chunks(todo.attend, tokens, self.config.chunk if by_frame else None)

    def _uneven(self, todo: BlockPlan, tokens: Tokens) -> bool:
        """Whether chunks hold other numbers of tokens than planned, by this block's reducer or an earlier one's."""
        return self.ragged or tokens.present is not None or tokens.x.shape[1] != todo.tokens_in

    def _chunks_after(self, todo: BlockPlan, main: Tokens, before: Chunks) -> Chunks:
        """The chunks of attention when merging comes first."""
        if self.ragged or main.present is not None or before.length is not None:
            return Chunks(todo.attend, main, self.config.chunk)
        if main.x.shape[1] == todo.tokens_in:
            return before
        if todo.match == todo.attend:  # also where one chunk of attention is the whole video
            runs = tuple(replace(run, tokens=run.left) for run in todo.attend)
            return Chunks(runs, main)
        return Chunks(todo.attend, main, self.config.chunk)

    def _choose(
        self,
        tokens: Tokens,
        keys: Tensor,
        todo: BlockPlan,
        chunks: Chunks,
        generator: torch.Generator | None,
        looked: Mapping[str, Tensor] = NOTHING,
        projection: Tensor | None = None,
    ) -> Choice:
        """Let the reducer decide, within each chunk. looked: "attention" and "entropy", where it asks for them.
        projection: as in a Context; then keys are what it makes keys of."""
        saliency = None
        if self.learns:
            saliency = torch.tanh(keys @ (self.U if projection is None else projection.T @ self.U))[..., 0]
            keys = self._match_keys(keys)
        known = {**tokens.known(self.wanted), "saliency": saliency, **looked}
        batch, n = tokens.position.shape
        if self.reducer is not None and self._uneven(todo, tokens):
            merge, targets = self._choose_ragged(tokens, keys.detach(), known, chunks, generator, projection)
            return Choice(merge, targets, saliency)
        if self.reducer is None or todo.tokens_out == n:
            merge = Merge.identity(batch, n, keys.device)
            merge = replace(merge, count=None if tokens.present is None else tokens.present.sum(1))
            return Choice(merge, merge.keep, saliency)
        split = Chunks(todo.match, tokens).split
        parts = {name: split(value.reshape(batch, n, -1)) for name, value in known.items() if value is not None}
        pieces = [{k: p[i][0].detach() for k, p in parts.items()} for i in range(len(todo.match))]
        pieces = [{k: v if k == "pixels" else v[..., 0] for k, v in piece.items()} for piece in pieces]
        merges, chosen = [], []
        gates: list[Tensor] = []
        chances: list[Tensor] = []
        draws = self.training and self.config.gradient in ("straight_through", "reinforce")
        for i, (run, (key, _), piece) in enumerate(zip(todo.match, split(keys.detach()), pieces, strict=True)):
            context = self._context(key, run.frames, tokens, piece, generator)
            context.projection = None if projection is None else projection.detach()
            if run.merged and draws:
                scores = self._temperature * parts["saliency"][i][0][..., 0]
                how = self.config.gradient, scores, run.targets, self._setting, generator
                targets, gate, chance = choosing.drawn(*how)
                merges.append(reduce(Bipartite(Given(targets)), context))
                chosen.append(targets)
                gates.append(gate.view(batch, -1))
                chances.append(chance.view(batch, -1).sum(1))
            elif run.merged:
                merges.append(reduce(self.reducer, context))
                chosen.append(merges[-1].keep if context.targets is None else context.targets)
            else:
                merges.append(Merge.identity(len(key), run.tokens, key.device))
                chosen.append(merges[-1].keep[:, : run.targets])
                gates.append(keys.new_ones(batch, run.chunks * run.left))
        joined = Choice(*join_merges(batch, todo.match, merges, chosen), saliency)
        if draws and self.config.gradient == "straight_through":
            return joined._replace(gates=torch.cat(gates, 1))
        if draws:
            return joined._replace(log_probability=torch.stack(chances).sum(0))
        if saliency is not None and self.config.gradient == "weighted":
            return joined._replace(weight=(self._setting * saliency).exp())
        return joined

    def _choose_ragged(
        self,
        tokens: Tokens,
        keys: Tensor,
        known: Mapping[str, Tensor | None],
        chunks: Chunks,
        generator: torch.Generator | None,
        projection: Tensor | None,
    ) -> tuple[Merge, Tensor]:
        """The same where chunks hold different numbers of tokens: those with equally many go together."""
        assert self.reducer is not None
        if self.config.match_within == "video":
            chunks = Chunks((), tokens, tokens.grid[0])

        def context(video: Tensor, place: Tensor, frames: int) -> Context:
            piece = {name: value[video, place].detach() for name, value in known.items() if value is not None}
            found = self._context(keys[video, place], frames, tokens, piece, generator)
            found.projection = None if projection is None else projection.detach()
            return found

        return reduce_alike(self.reducer, tokens, chunks, context)

    def _context(
        self, keys: Tensor, frames: int, tokens: Tokens, known: dict[str, Any], generator: torch.Generator | None
    ) -> Context:
        c = self.config
        context = Context(keys, c.gamma, frames, *tokens.grid[1:], **known)
        context.training, context.generator, context.r = self.training, generator, c.r
        context.temperature, context.top, context.depth = c.temperature, c.test_targets == "top", self.depth
        return context
