# %% [markdown]
# # 04 Naive VTM
#
# **You will** build the block of the VTM network, and merge in it with your own functions · keep the ledger of tokens block by
# block · find out what decides how much a part of the picture counts in the end.
#
# **Time** 80 minutes · **Needs** [lesson 02](02_bipartite_matching.ipynb) (matching); lesson 03 helps · **Runs in** about
# 15 seconds, no GPU

# %%
from vtm_lesson import checks, plots

plots.show(checks.course_map("04"))

# %% [markdown]
# ## The question
#
# Lesson 02 merged tokens of one image. A film of two minutes, at 60 frames of 16 x 16 patches, has 15,360 tokens, and to
# understand it a network must look back and forth over all of it. The VTM paper builds such a network, and puts merging
# into every block of it. The simplest version treats a film as one long list of tokens and takes every $\gamma$-th as a
# target: **naive VTM**. How much does it save, where exactly, and what does it do to the film's content?
#
# This lesson trains nothing. What merging does by itself can be seen with random weights, and better so, as nothing else
# changes. Training starts in [lesson 07](07_learnable.ipynb), and [lesson 08](08_the_comparison.ipynb) compares trained networks.

# %%
import math

import torch
import torch.nn.functional as F

from vtm_lesson import checks, films, plots, video
from vtm_lesson.encoders import load_encoder
from vtm_lesson.merging import match
from vtm_lesson.network import VideoClassifier, count
from vtm_lesson.partition import sample, uniform

# %% [markdown]
# ## The network
#
# A frozen **encoder** has looked at every frame by itself and left $H \times W$ tokens of $C$ channels. Three **blocks**
# follow it. Each does this:
#
# | step | what it does | tokens | channels |
# |---|---|---|---|
# | layer norm | | $N$ | $C$ |
# | self-attention inside chunks | tokens of $L_i$ consecutive frames see each other | $N$ | $C$ |
# | dropout | while training | $N$ | $C$ |
# | **merging** | **the slot of this course** | $N - R$ | $C$ |
# | linear, GELU | halves the channels | $N - R$ | $C/2$ |
#
# At the end all tokens are averaged, and a linear layer names the class.
#
# A **chunk** is a piece of $L_i$ frames. The first block looks at short chunks, the last at the whole film: the paper's best
# lengths for 60 frames are 6, 30 and 60. Early blocks see detail over a second or two, late blocks see a few large
# tokens over minutes.
#
# We follow the paper's list literally: no residual connection, and no position embedding of our own. The paper's rule of halving
# takes 1024 channels to 512, 256 and 128, while its appendix says 256 after the third block: `widths=(512, 256, 256)`.

# %%
plots.show(plots.vtm_blocks(60, chunks=(6, 30, 60), channels=(1024, 512, 256, 128), title="The network of the VTM paper, all sources merged"))

# %% [markdown]
# ## By hand: four frames of two tokens
#
# Leave attention and the linear layer out for a moment, to see the merging alone. A token has a value, and a key that points up or
# right:
#
# | frame | token | value | key |
# |---|---|---|---|
# | 1 | 0, 1 | 4, 1 | up, right |
# | 2 | 2, 3 | 3, 6 | right, up |
# | 3 | 4, 5 | 8, 1 | right, up |
# | 4 | 6, 7 | 3, 4 | up, right |
#
# Chunks of 2 frames, then of 4; $\gamma = 2$; all sources are merged, $R = |S|$.
#
# **Block 1, first chunk** (tokens 0 to 3). Targets are every second token: 0 and 2. Source 1 points right, like target 2:
# $(3 + 1)/2 = 2$. Source 3 points up, like target 0: $(4 + 6)/2 = 5$. So the chunk keeps $5$ (up) and $2$ (right).
#
# **Block 1, second chunk** (tokens 4 to 7). Targets 4 and 6. What does the chunk keep? Work it out, then block 2, which sees
# all four tokens that are left in one chunk. You should end with $3.5$ and $4$.

# %%
values = torch.tensor([4.0, 1, 3, 6, 8, 1, 3, 4]).view(1, 8, 1)
up, right = [0.0, 1.0], [1.0, 0.0]
keys = torch.tensor([up, right, right, up, right, up, up, right])[None]

for tokens_in_chunk in (4, 4):  # two chunks of 4 tokens, then one
    k = keys.reshape(-1, tokens_in_chunk, 2)
    merge = match(k, uniform(tokens_in_chunk, gamma=2))
    values = merge(values.reshape(-1, tokens_in_chunk, 1)).reshape(1, -1, 1)
    keys = merge(k).reshape(1, -1, 2)
    print(values.flatten().tolist())

# %% [markdown]
# Two things to remember from the toy. Every chunk merges by itself: the ups of chunk 1 and chunk 2 meet only in block 2. And
# the order in time survives, as a merged token takes the place of its target.

# %% [markdown]
# ## Your turn 1: merging in chunks
#
# Merge a film of `chunks` chunks at once, without a loop over chunks: partition each chunk with `uniform`, match on `keys`,
# merge `x`, all sources. `gamma` need not be whole.

# %% nbgrader={"grade": false, "grade_id": "merge-in-chunks", "locked": false, "schema_version": 3, "solution": true, "task": false}
def merge_in_chunks(x: torch.Tensor, keys: torch.Tensor, chunks: int, gamma: float) -> torch.Tensor:
    """x (B, N, C), keys (B, N, D), N = chunks * n -> (B, chunks * ceil(n / gamma), C)."""
    ### BEGIN SOLUTION
    n = x.shape[1] // chunks
    merge = match(keys.reshape(-1, n, keys.shape[2]), uniform(n, gamma))
    return merge(x.reshape(-1, n, x.shape[2])).reshape(x.shape[0], -1, x.shape[2])
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "merge-in-chunks-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.merge_in_chunks(merge_in_chunks)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Tokens lie in memory in the order of time, so a reshape cuts them into chunks without moving anything. Every chunk keeps the same
# number of tokens, $\lceil n / \gamma \rceil$. That is the quiet advantage of merging inside chunks: whatever the partition, also
# one that differs from film to film, nothing ever has to be padded.
#
# </details>

# %% [markdown]
# ### The same from your own parts
#
# `match` did the matching and the merging above. You have written both yourself: `nearest_target` in lesson 02 finds the
# target of every source, `group_mean` in lesson 00 averages the groups. Together they merge one chunk.

# %%
my_merge = checks.merge_in_chunks.mine()
my_nearest, my_mean = checks.nearest_target.mine(), checks.group_mean.mine()


def merge_chunk(x: torch.Tensor, keys: torch.Tensor, gamma: int) -> torch.Tensor:
    """(n, C) -> (ceil(n / gamma), C): one chunk, all of its sources merged."""
    is_target = torch.arange(len(x)) % gamma == 0
    targets, sources = torch.where(is_target)[0], torch.where(~is_target)[0]
    group = torch.arange(len(x)) // gamma  # right for the targets
    group[sources] = my_nearest(keys, sources, targets)[0]
    return my_mean(x, group)


generator = torch.Generator().manual_seed(0)
x, keys = (torch.randn(1, 40, 8, generator=generator) for _ in range(2))  # four chunks of 10 tokens
one_by_one = torch.cat([merge_chunk(x[0, i : i + 10], keys[0, i : i + 10], gamma=4) for i in range(0, 40, 10)])
print("chunk by chunk as all at once:", torch.allclose(one_by_one, my_merge(x, keys, 4, 4)[0], atol=1e-5))

# %% [markdown]
# ToMe's step of lesson 02 is the same operator again. Its targets are the odd positions, and it merges only the best $r$ of its
# sources. What differs is who is a target, and how many sources are merged.

# %% [markdown]
# ## Your turn 2: mend the end of the film
#
# Films are rarely a whole number of chunks long. The function below cuts a film into chunks of `length` tokens. Run it: ten tokens
# with the values 1 to 10, keys that are alike in pairs, chunks of four, $\gamma = 2$.

# %%
def merge_whole_chunks(x, keys, length, gamma):
    chunks = x.shape[1] // length
    n = chunks * length
    return my_merge(x[:, :n], keys[:, :n], chunks, gamma)


ten = torch.arange(1.0, 11).view(1, 10, 1)
pairs = torch.tensor([up, up, right, right, up, up, right, right, up, up])[None]
print(merge_whole_chunks(ten, pairs, 4, 2).flatten().tolist(), "is all that is left of 1 to 10")

# %% [markdown]
# Tokens 9 and 10 took part in nothing: no group, no mean. No error says so, and the shape looks reasonable. Write it so that no
# token is lost: **the tokens that are left over form a last, shorter chunk, merged by the same rule.** A film may also be
# shorter than one chunk, or a whole number of chunks long. You may call your `merge_in_chunks`, or `my_merge` from above.

# %% nbgrader={"grade": false, "grade_id": "merge-with-tail", "locked": false, "schema_version": 3, "solution": true, "task": false}
def merge_with_tail(x: torch.Tensor, keys: torch.Tensor, length: int, gamma: float) -> torch.Tensor:
    """x (B, N, C), keys (B, N, D), chunks of `length` tokens and a shorter last one -> (B, M, C)."""
    ### BEGIN SOLUTION
    whole = x.shape[1] // length * length
    parts = []
    if whole > 0:
        parts.append(merge_in_chunks(x[:, :whole], keys[:, :whole], whole // length, gamma))
    if whole < x.shape[1]:
        parts.append(merge_in_chunks(x[:, whole:], keys[:, whole:], 1, gamma))
    return torch.cat(parts, dim=1)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "merge-with-tail-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.merge_with_tail(merge_with_tail)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# The whole chunks go through `merge_in_chunks` as before, and the rest goes through it once more as a film of one chunk. Padding the
# rest with zeros up to a full chunk looks simpler, but then padding becomes a target and takes part in means.
#
# </details>

# %%
my_tail = checks.merge_with_tail.mine()
print(my_tail(ten, pairs, 4, 2).flatten().tolist())
row = count({"dim": 8, "blocks": 1, "chunks": 4, "gamma": 2}, frames=10, height=1, width=1)
print("tokens left in a block of the package's network:", row.tokens[1])

# %% [markdown]
# ## The block in a few lines
#
# With the keys that attention has made anyway, in every chunk of $n$ tokens:
#
# 1. **Partition** (VTM eqs. 1, 2): the targets $T$ are every $\gamma$-th token, $|T| = \lceil n / \gamma \rceil$; the others are
#    the sources $S$.
# 2. **Match** and **merge** (eqs. 3 to 5, as in lesson 02): the $R$ most similar sources are averaged into their targets. Then
#    $n - R$ tokens are left.
#
# ToMe's $r$ is a count, the number of tokens that a block merges. VTM's $R$ is a count too, but the paper gives it as a share of
# the sources, $R/|S|$. We write that share out. (The package's networks take it as their argument `r`.)

# %%
def naive_block(x, norm, qkv, linear, chunks, gamma):
    """(1, N, C) -> (1, chunks * ceil(n / gamma), C / 2): one block of naive VTM, with R = |S|."""
    q, k, v = qkv(norm(x)).reshape(chunks, x.shape[1] // chunks, -1).chunk(3, dim=-1)  # every chunk an item of the batch
    y = F.scaled_dot_product_attention(q, k, v)  # attention inside chunks
    y, k = (part.reshape(1, x.shape[1], -1) for part in (y, k))
    return F.gelu(linear(my_merge(y, k, chunks, gamma)))  # your merging, then half the channels

# %% [markdown]
# The package's `VideoClassifier` does the same, with more options. We take its random weights and see whether both agree on a
# film of 12 frames of 4 x 4 tokens:

# %%
torch.manual_seed(0)
network = VideoClassifier(dim=32, chunks=(3, 6, 12), gamma=4, classes=8).eval()
film_tokens = torch.randn(1, 12, 4, 4, 32)

x = film_tokens.reshape(1, -1, 32)
with torch.no_grad():
    for block, chunks in zip(network.blocks, (4, 2, 1), strict=True):
        x = naive_block(x, block.attention.norm, block.attention.qkv, block.linear, chunks, gamma=4)
    ours = network.head(x.mean(dim=1))
    print("same logits:", torch.allclose(ours, network(film_tokens), atol=1e-5))

# %% [markdown]
# ## The token ledger
#
# How many tokens are left? Now at the paper's size: 60 frames of 16 x 16 tokens, chunks (6, 30, 60), $\gamma = 4$, $R = |S|$.

# %% [markdown] tags=["prediction"]
# **Before you count:** how many tokens are left after each of the three blocks? Write three numbers in place of the dots.

# %%
checks.predict("04-tokens", ...)

# %% [markdown]
# ## Your turn 3: keep the ledger
#
# Count the tokens after every block. Each length in `chunks` divides `frames` here, and each divides the next. `share` is $R/|S|$:
# every chunk merges $R = \lfloor \mathrm{share} \cdot |S| \rfloor$ of its sources.

# %% nbgrader={"grade": false, "grade_id": "tokens-after", "locked": false, "schema_version": 3, "solution": true, "task": false}
def tokens_after(frames: int, per_frame: int, chunks: tuple, gamma: int, share: float) -> tuple:
    """Tokens of the whole film after each block; R = floor(share * |S|) sources are merged in every chunk."""
    ### BEGIN SOLUTION
    n, left = frames * per_frame, []
    for length in chunks:
        number = frames // length
        inside = n // number
        sources = inside - math.ceil(inside / gamma)
        n = number * (inside - math.floor(share * sources))
        left.append(n)
    return tuple(left)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "tokens-after-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.tokens_after(tokens_after)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Every chunk rounds by itself, so the film's count is a multiple of the number of chunks. With $R = |S|$ and a $\gamma$ that divides
# everything, a block simply divides the count by $\gamma$.
#
# </details>

# %%
my_ledger = checks.tokens_after.mine()
checks.replay("04-tokens", list(my_ledger(60, 256, (6, 30, 60), 4, 1.0)))

# %% [markdown]
# All rows below are counted by the same function. $\gamma$ acts three times over. $R$ is the gentler knob: below $|S|$, the
# sources that fit worst stay as they are.

# %%
settings = {f"gamma {g}": (g, 1.0) for g in (2, 4, 6, 10)}
settings |= {f"gamma 6, R/|S| = {share}": (6, share) for share in (0.8, 0.5)}
rows = {name: [15360, *my_ledger(60, 256, (6, 30, 60), *pair)] for name, pair in settings.items()}
plots.show(plots.ledger(rows, title="60 x 16 x 16 tokens through three blocks"))

# %% [markdown]
# Read off the price of $R$: with $\gamma = 6$, going from $R = |S|$ to $R/|S| = 0.8$ leaves twice the tokens after block 1 and
# eight times as many at the end. (The paper's best accuracy is at $\gamma = 6$ and $R/|S| = 0.8$.) If you ever compare two
# mergers, compare them at *equal counts*, never at equal $\gamma$ with different $R$.
#
# Tokens are not yet a price. The package's `count` adds up the FLOPs of all matrix products, 2 for every multiply-add:

# %%
def paper(**options):
    return count({"dim": 1024, "chunks": (6, 30, 60), "classes": 9} | options, 60, 16, 16)


none, four, six = paper(partition=None), paper(gamma=4), paper(gamma=6)
floor = sum(none.blocks[0].flops[part] for part in ("queries, keys, values", "attention"))
print(f"without chunks, nothing merged: {paper(chunks=(60, 60, 60), partition=None).flops / none.flops:.1f} times the FLOPs")
print(f"gamma 6: {none.flops / six.flops:.1f} times fewer FLOPs; block 1 has {six.blocks[0].total / six.flops:.0%} of what is left")
print(f"a gamma so large that nothing comes after block 1's attention: {none.flops / floor:.1f} times fewer")

# %% [markdown]
# Chunks save before anything is merged. Merging then shrinks blocks 2 and 3 to almost nothing. What is left is block 1, which
# always sees the full film: merging sits *behind* its attention. That is the floor in the last line.
#
# **Where may the paper's 68% come from?** It says that with $\gamma = 4$ and $R = |S|$, "68% of the tokens are gradually removed",
# and not how that was counted. Three ways to count:

# %%
n = four.tokens
ways = {
    "tokens gone at the end": 1 - n[3] / n[0],
    "tokens gone, mean over input and all 3 outputs": 1 - sum(n) / 4 / n[0],
    "FLOPs saved": 1 - four.flops / none.flops,
}
for way, share in ways.items():
    print(f"{share:6.1%}  {way}")

# %% [markdown]
# Two come near, and neither is proof: the paper speaks of tokens, not of FLOPs. Take this home instead: "68% of the tokens" can
# describe a network that ends with 1.6% of them. Ask *counted where?*

# %% [markdown]
# ## A film in the network
#
# Now real tokens. The encoder is the course's own: a small convolutional network, trained once to tell the hue and the gesture of
# any figure in a patch. It does not know which figure matters. The network behind it has random weights. So its keys are a random
# projection of the tokens, which roughly keeps angles: the first block's groups make sense already.

# %%
film = films.make(7, "centred", frames=36, size=128)
encoder = load_encoder("patch")
tokens = encoder.encode(film.frames)[None]
grid = tuple(tokens.shape[1:4])
print(film, "->", tuple(tokens.shape))

torch.manual_seed(0)
network = VideoClassifier(encoder.dim, chunks=(6, 18, 36), gamma=6, classes=8).eval()
with torch.no_grad():
    _, trace = network(tokens, trace=True)
print([block.tokens_out for block in trace.blocks], "tokens after the blocks;", trace.merge)

# %% [markdown]
# The trace holds one `Merge` per block. `first.then(second)` composes them into a map from the original patches to the tokens after
# any block.

# %%
after = {"block 1": trace.blocks[0].merge}
after["block 2"] = after["block 1"].then(trace.blocks[1].merge)
after["block 3"] = after["block 2"].then(trace.blocks[2].merge)
named = {f"{name}: {merge.n_out}": merge for name, merge in after.items()}
plots.show(plots.groups(film.frames, named, grid, pick=5, film="film", title="Patches in the mean colour of their group"))

# %% [markdown]
# Block 1 merges like with like within 6 frames: figures keep their colours at a sixth of the tokens. Later blocks must merge what is
# not alike, because the count has to go down: parts of the actor join another figure or the ground. At the end 43 tokens stand for 9,216 patches.

# %% [markdown]
# ## What merging does to the tokens that matter
#
# The label of this film is the gesture of the orange actor. The network's last step averages all tokens. So ask: **how much does the
# actor count in that average?** Without merging the answer is easy: as much as its share of the picture.
#
# With merging, every final token counts $1/M$. Inside a group, a plain average shares that equally among the members, and each of those
# shares its part among *its* members, back to the patches. For six patches, groups `0 0 0 1 1 2` in block 1 and `0 0 1` in
# block 2:
#
# - two final tokens count 1/2 each; the first was made of 2 tokens: 1/4 each; the second of 1: 1/2;
# - the 1/4 of the first token is shared by 3 patches: 1/12 each; the 1/4 of the second by 2: 1/8 each; the last patch keeps its 1/2.
#
# One patch of six counts half.

# %% [markdown]
# ## Your turn 4: the weight of a patch
#
# `groups[k]` gives the group number of every token that enters block $k$. Return how much each patch counts in the mean of the final
# tokens.

# %% nbgrader={"grade": false, "grade_id": "pooled-weight", "locked": false, "schema_version": 3, "solution": true, "task": false}
def pooled_weight(groups: tuple) -> torch.Tensor:
    """groups: (N_k,) int64 for each block, first block first -> (N_0,) weights that sum to 1."""
    ### BEGIN SOLUTION
    final = int(groups[-1].max()) + 1
    weight = torch.full((final,), 1 / final)
    for group in reversed(groups):
        weight = (weight / torch.bincount(group))[group]
    return weight
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "pooled-weight-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.pooled_weight(pooled_weight)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Averaging is linear, so the final mean is a weighted sum of patches, and going backwards collects the weights: this is the chain
# rule, by hand. Indexing with `[group]` is what `Merge.unmerge` does.
#
# </details>

# %% [markdown]
# Here are the weights of the film above, for naive VTM. (Attention also moves content between tokens; that is not in it. This is
# what merging alone does.)

# %% tags=["nbval-ignore-output"]
my_weight = checks.pooled_weight.mine()
weight = my_weight(tuple(block.merge.group[0] for block in trace.blocks))
plots.show(
    plots.saliency(
        film.frames, weight * 9216, grid, actor=film.actor, pick=5, label="weight",
        title="How much each patch counts in the final mean (1: its share of the picture)",
    )
)

# %% [markdown]
# Most patches count almost nothing, a few count ten times their share or more. Those are targets that few sources chose: a group of one
# keeps a token for itself, a group of hundreds shares it. But which patches come off well looks like chance.

# %% [markdown]
# ## The hinge of the course: weight and targets
#
# Now not one film but thirty, and not naive VTM only. Let us compare ways of choosing targets that differ in one thing: how many of
# the targets are the actor's. The number of tokens, the match and the average stay the same.

# %% [markdown] tags=["prediction"]
# **Before you compute it:** thirty films, all three ways of filming; the actor fills about 5% of the picture; merging at $\gamma = 6$, three
# blocks. What does the actor weigh in the final mean, in percent, with naive VTM? And if an oracle made every patch
# of the actor a target, as far as there is room? Write two numbers.

# %%
checks.predict("04-actor", ...)

# %% [markdown]
# ## Your turn 5: a region's weight, and its share of the targets
#
# Compute both for one film. A region is a part of the film's patches, such as the actor's. `kept` are the positions of the patches
# that the final tokens stand for: after one block its targets, after several the targets that stayed targets. Return
#
# 1. how much the region counts in the mean of the final tokens (0 to 1), with your `pooled_weight`, or `my_weight` from above;
# 2. which share of the patches in `kept` is the region's (0 to 1).

# %% nbgrader={"grade": false, "grade_id": "region-weight", "locked": false, "schema_version": 3, "solution": true, "task": false}
def region_weight(groups: tuple, kept: torch.Tensor, region: torch.Tensor) -> tuple[float, float]:
    """groups as in pooled_weight; kept: (M,) int64 patches; region: (N_0,) bool -> its weight, its share of kept."""
    ### BEGIN SOLUTION
    weight = pooled_weight(groups)[region].sum()
    share = region[kept].float().mean()
    return float(weight), float(share)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "region-weight-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.region_weight(region_weight)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Weights of patches add up, as they are parts of one whole. The second number looks at the targets only: which share of *them* is the
# region's. Do not mix it up with recall, the share of *the region's patches* that are targets. Both use the same intersection, and divide it by
# something else.
#
# </details>

# %% [markdown]
# The partitions: naive VTM; lesson 05's, with more targets in the middle of the frame; an oracle that takes every patch of the actor
# as far as there is room; and three that draw at random, with the actor's patches more or less likely than others. A partition is any function of
# what a block knows. Its arguments are filled in by name.

# %%
batch = films.batch(30, seed=4, frames=12, size=128, progress=False)
batch_tokens = encoder.encode(batch.frames)
actor = torch.from_numpy(batch.actor)


def actor_times(odds: float):
    """Targets drawn at random, a patch of the actor `odds` times as likely as another."""
    return lambda oracle, gamma, generator: sample(oracle.float() * torch.tensor(odds).log(), gamma, generator)


partitions = {
    "actor never a target": actor_times(1e-9),
    "naive VTM": "uniform",
    "more in the middle": "centre",
    "actor 3 times as likely": actor_times(3),
    "actor 10 times as likely": actor_times(10),
    "oracle": "oracle",
}

# %%
my_region = checks.region_weight.mine()
measured = {}  # partition -> share of block 1's targets, weight after block 1, weight at the end: means over the films
for name, partition in partitions.items():
    torch.manual_seed(0)
    network = VideoClassifier(encoder.dim, chunks=(3, 6, 12), partition=partition, gamma=6).eval()
    with torch.no_grad():
        _, trace_30 = network(batch_tokens, oracle=actor, trace=True, generator=torch.Generator().manual_seed(1))
    merges, found = [block.merge for block in trace_30.blocks], []
    for i, region in enumerate(actor.flatten(1)):
        groups = tuple(merge.group[i] for merge in merges)
        weight_1, share_1 = my_region(groups[:1], merges[0].keep[i], region)
        weight_3, _ = my_region(groups, trace_30.merge.keep[i], region)
        found.append([share_1, weight_1, weight_3])
    measured[name] = 100 * torch.tensor(found).mean(0)

panels = ("share of block 1's targets", "weight after block 1", "weight after 3 blocks")
table = {panel: {name: round(float(row[k]), 1) for name, row in measured.items()} for k, panel in enumerate(panels)}
plots.show(plots.panels(table, "percent, mean of 30 films", "The actor, 5% of the patches", mark="naive VTM",
                       marked="every sixth token", form=".1f"))  # fmt: skip

# %%
checks.replay("04-actor", [round(float(measured[name][2])) for name in ("naive VTM", "oracle")])

# %% [markdown]
# Read each row from left to right. The first two panels are nearly the same picture:
#
# > **A region's weight in the mean is, roughly, its share of the targets.**
#
# The reason takes two lines. With $R = |S|$ the targets are all that is left, and each counts $1/|T|$, whatever it stands for. If like
# merges with like, the actor's sources join the actor's targets, and everything of the actor lies in those groups and nothing else does.
#
# *Roughly*, because a source must go somewhere. An actor without any target is merged into others' tokens and keeps a little weight there
# (first row). An actor with nearly all targets has to take in the rest of the film: after three blocks the oracle's actor does
# not weigh 100% (last row). In between, each block chooses targets anew among the tokens that are left, so an advantage in block 1 grows
# from block to block.
#
# Naive VTM takes a sixth of everything, of the sky as of the actor. So it leaves the actor's weight about where it was: it saves time, and
# changes nothing about *what the network listens to*. The other rows show what is possible with the same number of tokens, only by
# *choosing other targets*. That gap is what lessons 05 to 07 are about.

# %% [markdown]
# ### Weighting by size takes it all away
#
# ToMe averages with weights: a token that stands for many patches counts more. Do that in every merge and in the final mean, and
# every patch counts exactly $1/N$ again, whatever was merged (lesson 02 showed it on random tokens). For a pretrained ViT that must
# not change (lesson 03), that is the point. For a network trained with merging it throws away the one thing that merging by itself
# can do for accuracy. The paper found plain averages better than size-weighted ones (its table 7), without saying why; this may be a
# reason. ([Appendix C](C_the_papers_tables.ipynb) does not find the difference in its toy films: there attention may do what the
# weights do not.)

# %% [markdown]
# ## Where it fails: the comb
#
# Naive VTM takes every $\gamma$-th token. Lesson 00 took one of every six, but not always the same one of the six. Here is
# its film again, 60 frames of 14 x 14 patches, with every sixth patch as a target.

# %% [markdown] tags=["prediction"]
# **Before you run it:** these are 1,960 targets, for 196 places of the frame. How many of the 196 places are ever a target?

# %%
checks.predict("04-places", ...)

# %%
square = video.read(films.sample("square"), frames=60, size=224)
patches = torch.from_numpy(square.patches(16)[0]).reshape(1, -1, 768) / 255
total, places = patches.shape[1], 14 * 14
colours = patches - patches.mean(1, keepdim=True)  # lesson 00's keys
merges = {
    "every sixth token": match(colours, uniform(total, 6)),
    "one of every six, as in lesson 00": match(colours, uniform(total, 6, staggered=True)),
}
plots.show(plots.groups(square.frames, merges, (60, 14, 14), paint="patch", pick=[0, 12, 24], outline=False))

# %% [markdown]
# And as they play. Look at what stands still, the moon and the lamps:

# %%
names = ("every sixth token", "one of every six")
plots.player(square.frames, dict(zip(names, merges.values(), strict=True)), (60, 14, 14), fps=12)

# %%
checks.replay("04-places", len(torch.unique(uniform(total, 6) % places)))
for g in (2, 5, 6, 20):
    plain, staggered = (len(torch.unique(uniform(total, g, staggered=s) % places)) for s in (False, True))
    print(f"gamma {g:2}: {plain:3} of {places} places are ever a target; staggered, {staggered:3}")

# %% [markdown]
# In the upper row a piece of the moon, the lamp at the left and the face of the figure at the upper left have become one group, and
# bits of figures lie on the pavement. 6 and 14 are even, so every target lies in an even column. A patch in an odd column cannot join
# itself in another frame, however long it stands still. In general, target $j$ lies on
# place $j\gamma \bmod HW$, and this comes round to 0 as soon as $j\gamma$ is a multiple of $HW$. So only
#
# $$ HW \,/ \gcd(\gamma, HW) $$
#
# places are ever reached, however many frames there are: **aliasing**, or, as it looks, a **comb**. The paper's $\gamma = 6$ on
# 16 x 16 tokens is no exception: in block 1 it leaves out the same 128 of 256 places in every chunk.
#
# By the hinge above, a part of the picture that lies between the teeth has no target of its own.

# %% [markdown]
# ## Your turn 6: targets without a comb
#
# Design a partition for a film of `frames` frames of `height` x `width` tokens and a whole `gamma`. Cut the list of the film's
# tokens into runs of `gamma`: 0 to `gamma` - 1, `gamma` to 2 `gamma` - 1, and so on; the last run may be shorter. Demanded:
#
# 1. ascending positions, **exactly one target in every run** (so there are $\lceil N/\gamma \rceil$ of them, and every frame has its share);
# 2. **every place of the frame is a target** in at least one frame.
#
# The films of the check have at least 2 `gamma` frames. Many answers are right, and the check takes all of them.

# %% nbgrader={"grade": false, "grade_id": "alias-free-targets", "locked": false, "schema_version": 3, "solution": true, "task": false}
def alias_free_targets(frames: int, height: int, width: int, gamma: int) -> torch.Tensor:
    """Positions of the targets, one in every run of gamma tokens, (ceil(N / gamma),) int64, ascending."""
    ### BEGIN SOLUTION
    places = height * width
    seen = torch.zeros(places, dtype=torch.long)  # how often each place has been a target
    targets = []
    for start in range(0, frames * places, gamma):
        run = torch.arange(start, frames * places)[:gamma]
        target = run[seen[run % places].argmin()]
        seen[target % places] += 1
        targets.append(target)
    return torch.stack(targets)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "alias-free-targets-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.alias_free_targets(alias_free_targets)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works, and another way</summary>
#
# In every run the token is taken whose place has been a target least often, so no place is forgotten. Where $\gamma$ divides $HW$ a
# formula will do, too: every frame is cut at the same places, and in frame $f$ one takes token $f \bmod \gamma$ of every run. Where it
# does not, runs begin at another place in every frame, and a rule that is right in one film leaves out a place in the next. And a rule
# that looks slanted within a frame helps little if it is the same in every frame.
#
# Nothing was demanded of a single frame. On 12 x 12 tokens this answer sweeps two columns over the film, so in some frames
# an actor has no target at all. Staggered targets lie scattered in every frame. Can you demand that, too, and meet it?
#
# </details>

# %% [markdown]
# Your design (or the package's, as the first line says) in one of 30 films, 12 frames of 12 x 12 tokens. Targets are bright, the
# actor is outlined.

# %%
my_design = checks.alias_free_targets.mine()
small = films.batch(30, seed=4, frames=12, size=96, progress=False)
n = 12 * 144
designs = {"every 6th": uniform(n, 6), "staggered": uniform(n, 6, staggered=True), "designed": my_design(12, 12, 12, 6)}
plots.show(plots.targets(small.frames[0], designs, (12, 12, 12), actor=small.actor[0], pick=6, title="gamma 6, 12 frames"))

# %%
flat = torch.from_numpy(small.actor).flatten(1).float()
designs["random"] = sample(torch.zeros(30, n), 6, generator=torch.Generator().manual_seed(0))
for name, targets in designs.items():
    chosen = torch.zeros(30, n).scatter_(1, targets.expand(30, -1), 1.0)
    recall = 100 * (flat * chosen).sum(1) / flat.sum(1)
    print(f"{name:9}: recall {recall.mean():.0f}% on average; lowest film {recall.min():.0f}%, highest {recall.max():.0f}%")

# %% [markdown]
# **Recall** is the share of the actor's patches that are targets. With every sixth token the targets are columns 0 and 6 *of every row of
# every frame*: an actor who keeps beside those columns is never a target, one who stands across column 6 has targets in every frame.
# The averages are all near a sixth. But with the comb it is luck which film comes off well. That is a fault of the layout, not of the
# idea, and it concerns everybody who compares mergers: beside a baseline with a comb, another merger may look better than it is. This is
# why lesson 08 has a control with random targets.

# %% [markdown]
# ### Under your own hand
#
# A film of 12 frames, 10 x 10 patches each. Try gamma 5, then 4, 3 and 6: which of them make a comb, and why? Move `offset` at
# gamma 5 and watch the actor's share of the targets, and its weight in the mean. Then mark places of the frame yourself (click in the right
# picture) and give the actor more.

# %% tags=["nbval-ignore-output"]
from vtm_lesson import explorers

explorers.paint_targets()

# %% [markdown]
# The package's `staggered=True` takes in run $j$ the token that lies a share $0.618\,j \bmod 1$ into it. (0.618 is the golden ratio
# less one: these shares are spread evenly and never repeat.) It needs to know nothing of the grid, and so it works in later blocks, too,
# where tokens no longer lie on one. In a network it goes in as any partition does:
# `VideoClassifier(..., partition=lambda n, gamma: uniform(n, gamma, staggered=True))`.

# %% [markdown]
# ## What the paper reports, and what we counted
#
# | | the paper | here |
# |---|---|---|
# | tokens removed at $\gamma = 4$, $R = \lvert S\rvert$ | 68% | 66.8% or 98.4%, depending on where they are counted; 68.3% of the FLOPs |
# | FLOPs against no merging, $\gamma = 6$ | not given | 3.4 times fewer; at most 3.8 at any $\gamma$ |
# | throughput against no merging (learnable VTM, $\gamma = 6$) | x 6.89 | [lesson 09](09_speed_and_memory.ipynb) measures it |
# | memory | -84% | lesson 09 |
# | accuracy | better than no merging | [lesson 08](08_the_comparison.ipynb) |
#
# 6.89 is more than any $\gamma$ can save in FLOPs here. A larger ratio in *time* must come from what FLOPs do not show, such as
# moving stored scores through memory.

# %% [markdown]
# ## Recap
#
# - A block: attention inside chunks, merging, half the channels. Three of them, chunks growing to the whole film.
# - $\gamma$ and $R$ set the ledger: with $R = |S|$ a block leaves $N / \gamma$ tokens. A share of removed tokens means nothing without
#   saying where it is counted.
# - **The hinge:** with plain averages, a region's weight in the mean is roughly its share of the targets. Uniform targets are spread
#   like the picture; size-weighted averages always give back the picture. So targets decide who is heard.
# - Naive VTM leaves that to the layout: every $\gamma$-th token reaches only $HW / \gcd(\gamma, HW)$ places of the frame. Staggered or random
#   targets reach them all, given frames enough.
# - With a large $R$ the last block merges whatever is left, like or unlike.
#
# **Quiz**
#
# <details><summary>1. Chunks (6, 30, 60), R = |S|. Which block's attention does merging at γ = 6 not make cheaper?</summary>
#
# The first one's. Merging comes after its attention, so it works on all 15,360 tokens. Nearly all of the remaining cost is there.
#
# </details>
#
# <details><summary>2. A grid of 14 x 14 tokens a frame, and many frames. For which of γ = 4, 5, 6, 7, 10 does every γ-th token reach every place of
# the frame?</summary>
#
# Only for 5, which shares no factor with 196. 4 reaches 49 places, 6 and 10 reach 98, and 7 reaches 28: columns 0 and 7 in every row.
#
# </details>
#
# <details><summary>3. Two networks remove the same number of tokens in each block. In one the actor's patches are all targets, in the other all
# are sources. Are both as fast? Do both hear the actor as well?</summary>
#
# As fast, yes: only the counts matter. In the first the actor keeps a token for each of its patches. In the second all of them are
# averaged into tokens of others, and the actor's share of the mean shrinks.
#
# </details>
#
# **Next:** [05 Region-concentrated merging](05_region_concentrated.ipynb): the first guess at what matters.
