# %% [markdown]
# # 04 Naive VTM
#
# **You will** build the block of the VTM network, with its slot for merging · keep the ledger of tokens and multiply-adds
# block by block, and find out where the paper's 68% may come from · see what plain merging does to the tokens that matter.
#
# **Time** 50 minutes · **Needs** [lesson 02](02_bipartite_matching.ipynb) (matching); lesson 03 helps · **Runs in** about
# a minute, no GPU

# %% [markdown]
# ## The question
#
# Lesson 02 merged tokens of one image. A film of two minutes, at 60 frames of 16 x 16 patches, has 15,360 tokens, and to
# understand it a network must look back and forth over all of it. The VTM paper builds such a network, and puts merging
# into every block of it. The simplest version treats a film as one long list of tokens and takes every $\gamma$-th as a
# target: **naive VTM**. How much does it save, where exactly, and what does it do to the film's content?

# %%
import math
import time

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
# A frozen **encoder** has looked at every frame by itself and left $H \times W$ tokens of $C$ channels. It never gets
# better or worse in this lesson. Three **blocks** follow it. Each does this:
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
# We follow the paper's list literally: no residual connection, and no position embedding of our own. (Both are options of our
# `VideoClassifier`. Its docstring lists everything that the paper leaves open, and what we chose.) The paper's rule of halving
# takes 1024 channels to 512, 256 and 128, while its appendix says 256 after the third block: `widths=(512, 256, 256)`.

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
# ## Your turn: merging in chunks
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

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1</summary>
#
# `match` works on a batch and never lets two items of it meet. What if a chunk were an item?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `x.reshape(B * chunks, n, C)` with `n = N // chunks` makes every chunk an item of the batch. The same for the keys.
#
# </details>
#
# <details><summary>Hint 3</summary>
#
# `match(reshaped keys, uniform(n, gamma))` gives the merge. Apply it to the reshaped `x`, and reshape to `(B, -1, C)`.
#
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Tokens lie in memory in the order of time, so a reshape cuts them into chunks without moving anything. Every chunk keeps the same
# number of tokens, $\lceil n / \gamma \rceil$. That is the quiet advantage of merging inside chunks: whatever the partition, also
# one that differs from film to film, nothing ever has to be padded.
#
# </details>

# %% [markdown]
# ## The block in ten lines
#
# With $K$ the keys that attention has made anyway, block by block:
#
# 1. **Partition** (VTM eqs. 1, 2): of the $n$ tokens of a chunk, $T$ = every $\gamma$-th, $|T| = \lceil n / \gamma \rceil$; the others are the
#    sources $S$.
# 2. **Match** (eq. 3): source $j$ goes to $m_j = \arg\max_{i \in T} \cos(k_i, k_j)$.
# 3. **Merge** (eqs. 4, 5): the $R$ most similar sources are averaged into their targets,
#    $y_i = \big(x_i + \sum_{j \to i} x_j\big) / \big(1 + |M_i|\big)$. Then $n - R$ tokens are left.
#
# A letter with two meanings: ToMe's $r$ (lessons 02 and 03) is a count, the number of tokens that a block merges. From here
# on `r` is the share $R / |S|$, and $R$ is the count.
#
# The paper prints the $\sqrt D$ of its attention outside the softmax; the usual form, used here, has it inside:
# $\mathrm{softmax}(QK^\top\!/\sqrt D)\,V$.

# %%
def naive_block(x, norm, qkv, linear, chunks, gamma, r=1.0):
    """(1, N, C) -> (1, chunks * (n - R), C / 2): one block of naive VTM, with R = r * |S|."""
    n = x.shape[1] // chunks
    q, k, v = qkv(norm(x)).reshape(chunks, n, -1).chunk(3, dim=-1)  # every chunk an item of the batch
    y = F.scaled_dot_product_attention(q, k, v)  # attention inside chunks
    targets = uniform(n, gamma)  # partition
    merge = match(k, targets, n_merge=math.floor(r * (n - len(targets))))  # match
    y = merge(y).reshape(1, -1, y.shape[-1])  # merge
    return F.gelu(linear(y))

# %% [markdown]
# The package's `VideoClassifier` does the same, and much more (other partitions, chunks that do not divide the film, heads,
# dropout, traces). We take its random weights and see whether both agree on a film of 12 frames of 4 x 4 tokens:

# %%
torch.manual_seed(0)
network = VideoClassifier(dim=32, chunks=(3, 6, 12), gamma=4, r=0.75, classes=8).eval()
film_tokens = torch.randn(1, 12, 4, 4, 32)

x = film_tokens.reshape(1, -1, 32)
with torch.no_grad():
    for block, chunks in zip(network.blocks, (4, 2, 1), strict=True):
        x = naive_block(x, block.attention.norm, block.attention.qkv, block.linear, chunks, gamma=4, r=0.75)
    ours = network.head(x.mean(dim=1))
    print("same logits:", torch.allclose(ours, network(film_tokens), atol=1e-5))

# %% [markdown]
# ## The token ledger
#
# How many tokens are left? Now at the paper's size: 60 frames of 16 x 16 tokens, chunks (6, 30, 60), $\gamma = 4$, $R = |S|$.

# %% [markdown] tags=["prediction"]
# **Before you run it:** how many tokens are left after each of the three blocks?
#
# *My guess:*

# %% [markdown]
# ## Your turn: keep the ledger
#
# Count the tokens after every block. Each length in `chunks` divides `frames` here, and each divides the next.

# %% nbgrader={"grade": false, "grade_id": "tokens-after", "locked": false, "schema_version": 3, "solution": true, "task": false}
def tokens_after(frames: int, per_frame: int, chunks: tuple, gamma: int, r: float) -> tuple:
    """Tokens of the whole film after each block; R = floor(r * |S|) sources are merged in every chunk."""
    ### BEGIN SOLUTION
    n, left = frames * per_frame, []
    for length in chunks:
        number = frames // length
        inside = n // number
        sources = inside - math.ceil(inside / gamma)
        n = number * (inside - math.floor(r * sources))
        left.append(n)
    return tuple(left)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "tokens-after-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.tokens_after(tokens_after)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1</summary>
#
# Work out one chunk: how many tokens does it hold, how many are targets, how many sources?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A chunk of `m` tokens has `math.ceil(m / gamma)` targets. Of the other tokens, `math.floor(r * sources)` disappear.
#
# </details>
#
# <details><summary>Hint 3</summary>
#
# After a block, `n` is the number of chunks times what a chunk keeps. The next block starts from that `n`, not from the full film.
#
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Every chunk rounds by itself, so the film's count is a multiple of the number of chunks. With $R = |S|$ and a $\gamma$ that divides
# everything, a block simply divides the count by $\gamma$.
#
# </details>

# %% [markdown]
# `count` from the package keeps the whole ledger: tokens, and multiply-adds of all matrix products. (A test compares it with
# what torch counts while the network runs.) It counts FLOPs, 2 for every multiply-add.

# %%
paper = {"dim": 1024, "chunks": (6, 30, 60), "classes": 9}
baseline = count(dict(**paper, partition=None), frames=60, height=16, width=16)
naive = count(dict(**paper, gamma=4), frames=60, height=16, width=16)
print("no merging", baseline, "\nnaive VTM, gamma = 4, R = |S|", naive, sep="\n")

# %% [markdown]
# $\gamma$ acts three times over. $R$ is the gentler knob: below $|S|$, the sources that fit worst stay as they are.

# %%
settings = {f"gamma {g}": {"gamma": g} for g in (2, 4, 6, 10)}
settings |= {f"gamma 6, R = {r} |S|": {"gamma": 6, "r": r} for r in (0.8, 0.5)}
rows = {name: count(dict(**paper, **options), 60, 16, 16) for name, options in settings.items()}
plots.show(plots.ledger({name: row.tokens for name, row in rows.items()}, title="60 x 16 x 16 tokens through three blocks"))

# %% [markdown]
# Read off the price of $R$: with $\gamma = 6$, going from $R = |S|$ to $0.8\,|S|$ leaves twice the tokens after block 1 and
# eight times as many at the end. (The paper's best accuracy is at $\gamma = 6$ and $R = 0.8\,|S|$.) If you ever compare two
# mergers, compare them at *equal counts*, never at equal $\gamma$ with different $R$.

# %% [markdown]
# ### Why chunks?
#
# How much of the bill does attention inside chunks save? Below, FLOPs without merging for three choices of chunks, and with
# merging at $\gamma = 6$ for the last.

# %%
PARTS = {"projections": "queries, keys, values", "attention": "attention", "matching": "matching", "linear": "linear"}


def gflop(**options) -> dict[str, float]:
    """What one film costs, part by part, in billions of FLOPs."""
    ledger = count({"dim": 1024} | options, 60, 16, 16)
    return {part: sum(block.flops[name] for block in ledger.blocks) / 1e9 for part, name in PARTS.items()}


table = {str(chunks): gflop(chunks=chunks, partition=None) for chunks in ((60, 60, 60), (4, 20, 60), (6, 30, 60))}
table["(6, 30, 60), gamma 6"] = gflop(chunks=(6, 30, 60), gamma=6)
plots.show(plots.bill(table, "GFLOP for one film", title="What three blocks cost"))

# %% [markdown]
# Short chunks in the first block, where channels are widest, take most of the quadratic part away. Merging shrinks blocks 2 and 3 to
# almost nothing. What is left is block 1, which always sees the full film: merging sits *behind* its attention.

# %%
for name, ledger in {"no merging": baseline, "gamma 6": rows["gamma 6"]}.items():
    print(f"{name:>10}: " + ", ".join(f"block {i} {b.total / ledger.flops:.0%}" for i, b in enumerate(ledger.blocks, 1)))

# %% [markdown]
# ## Where does 68% come from?
#
# The paper says that with $\gamma = 4$ and $R = |S|$, "68% of the tokens are gradually removed". It does not say how that was
# counted. We have the ledger, so let us try every sensible way.

# %%
n = naive.tokens
ways = {
    "tokens gone at the end": 1 - n[3] / n[0],
    "tokens gone, mean over what leaves the 3 blocks": 1 - sum(n[1:]) / 3 / n[0],
    "tokens gone, mean over what enters the 3 blocks": 1 - sum(n[:3]) / 3 / n[0],
    "tokens gone, mean over input and all 3 outputs": 1 - sum(n) / 4 / n[0],
    "FLOPs saved": 1 - naive.flops / baseline.flops,
}
for way, share in ways.items():
    print(f"{share:6.1%}  {way}")

# %% [markdown]
# Two candidates, 66.8% and the 68.3% of the *FLOPs*; but the paper speaks of tokens. Neither is proof. Take this home
# instead: "68% of the tokens" can describe a network that ends with 1.6% of them. Ask *counted where?*

# %% [markdown]
# ## A film in the network
#
# Now real tokens. The encoder is the course's own: a small convolutional network, trained once to tell the hue and the gesture of
# any figure in a patch. It does not know which figure matters. Its weights are in the repository.

# %%
film = films.make(7, "centred", frames=36, size=128)
encoder = load_encoder("patch")
tokens = encoder.encode(film.frames)[None]
grid = tuple(tokens.shape[1:4])
print(film, "->", tuple(tokens.shape))

# %%
torch.manual_seed(0)
network = VideoClassifier(encoder.dim, chunks=(6, 18, 36), gamma=6, classes=8).eval()
with torch.no_grad():
    _, trace = network(tokens, trace=True)
print([block.tokens_out for block in trace.blocks], "tokens after the blocks;", trace.merge)

# %% [markdown]
# The network is untrained. Its keys are a random projection of the tokens, and a random projection roughly keeps angles: so
# the first block's groups make sense already. The trace holds one `Merge` per block. `first.then(second)` composes them into a map from the
# original patches to the tokens after any block.

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
# ## Your turn: the weight of a patch
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

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1</summary>
#
# Start at the end, where all is simple: each of the $M$ final tokens counts $1/M$. Then go back block by block.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `torch.bincount(group)` has the number of members of every group. A group hands each member its weight divided by that number.
#
# </details>
#
# <details><summary>Hint 3</summary>
#
# `(weight / torch.bincount(group))[group]` turns the weights of a block's outputs into the weights of its inputs.
#
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Averaging is linear, so the final mean is a weighted sum of patches, and going backwards collects the weights: this is the chain
# rule, by hand. Indexing with `[group]` is what `Merge.unmerge` does.
#
# </details>

# %% [markdown]
# `trace.weight()` is the package's version. Here it is on the film, for naive VTM. (Attention also moves content between tokens;
# that is not in it. This is what merging alone does.)

# %% tags=["nbval-ignore-output"]
weight = trace.weight()[0]
plots.show(
    plots.saliency(
        film.frames, weight * 9216, grid, actor=film.actor, pick=5, label="weight",
        title="How much each patch counts in the final mean (1: its share of the picture)",
    )
)

# %% [markdown]
# Most patches count almost nothing, a few count ten times their share or more. Those are targets that few sources chose: a group of one
# keeps a token for itself, a group of hundreds shares it. But which patches come off well looks like chance.

# %% [markdown] tags=["prediction"]
# **Before you run it:** thirty films, all three ways of filming; the actor fills about 5% of the picture. What does it weigh
# in the final mean after naive VTM, on average: about 1%, 5%, 20%? And if an oracle made every patch of the actor a target?
#
# *My guesses:*

# %%
batch = films.batch(30, seed=4, frames=12, size=128, progress=False)
batch_tokens = encoder.encode(batch.frames)
actor = torch.from_numpy(batch.actor)


def actor_weight(partition) -> torch.Tensor:
    """(30,): how much the actor's patches count together, in each film, in percent."""
    torch.manual_seed(0)
    network = VideoClassifier(encoder.dim, chunks=(3, 6, 12), partition=partition, gamma=6).eval()
    with torch.no_grad():
        _, trace = network(batch_tokens, oracle=actor, trace=True)
    return 100 * (trace.weight() * actor.flatten(1)).sum(1)


weights = {"no merging": actor_weight(None), "naive": actor_weight("uniform"), "oracle": actor_weight("oracle")}
means = {name: round(float(w.mean())) for name, w in weights.items()}
points = {name: w.tolist() for name, w in weights.items()}
plots.show(plots.bars(means, "weight of the actor in the final mean, %", "30 films, a dot each", points=points))

# %% [markdown]
# Naive VTM leaves the actor's weight about where it was. Uniform targets are a sixth of everything, of the sky as of the
# actor. If like merges with like, a region that held 5% of the tokens holds 5% of them afterwards. So naive merging
# saves time, and changes nothing about *what the network listens to*, apart from luck: the dots spread from less than half of that
# share to twice as much.
#
# The oracle shows what is possible with the same number of tokens, the same match and the same average, only by *choosing other
# targets*. The actor's patches are 5% of the tokens. Make all of them targets, and after block 1 they are $5\% \cdot 6 = 30\%$ of the
# tokens that are left. In block 2 they take every place, and the rest of the film has to join them; hence not quite 100%. **A region's
# weight in the final mean is, roughly, its share of the targets.** That gap is what lessons 05 to 07 are about.

# %% [markdown]
# ### Weighting by size takes it all away
#
# ToMe averages with weights: a token that stands for many patches counts more. Do that in every merge and in the final mean, and
# every patch counts exactly $1/N$ again, whatever was merged. The network pools as if nothing had been merged:

# %%
sizes = torch.ones(1, 9216)
pooled = tokens.reshape(1, 9216, -1)
for block in trace.blocks:
    pooled = block.merge(pooled, weight=sizes)
    sizes = block.merge.size(sizes)
final_mean = (pooled * sizes[..., None]).sum(1) / sizes.sum()
print("same as the mean of all patches:", torch.allclose(final_mean, tokens.reshape(1, 9216, -1).mean(1), atol=1e-4))

# %% [markdown]
# For a pretrained ViT that must not change (lesson 03), that is the point. For a network trained with merging it
# throws away the one thing that merging by itself can do for accuracy. The paper found plain averages better than size-weighted ones
# (its table 7), without saying why; this may be a reason. (Lesson 08 does not find the difference in its toy films: there attention
# may do what the weights do not.)

# %% [markdown]
# ## Where it fails: the comb
#
# Naive VTM takes every $\gamma$-th token. Lesson 00 took one of every six, but not always the same one of the six. Here is
# its film again, 60 frames of 14 x 14 patches, with every sixth patch as a target.

# %% [markdown] tags=["prediction"]
# **Before you run it:** these are 1,960 targets, for 196 places of the frame. How many of the 196 places are ever a target? And
# what will suffer from it, beside the walking figure?
#
# *My guess:*

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

# %%
for g in (2, 6, 20, 60, 196):
    plain, staggered = (len(torch.unique(uniform(total, g, staggered=s) % places)) for s in (False, True))
    print(f"gamma {g:3}: {plain:2} of {places} places are ever a target; staggered, {staggered:3}")

change = (patches[0, places:] - patches[0, :-places]).abs().mean(1)
busy = F.pad(change, (places, 0)) >= change.topk(total // 20).values[-1]  # the twentieth that changed most
for name, merge in merges.items():
    same_place = merge.keep[0][merge.group[0]] % places == torch.arange(total) % places
    error = (merge.unmerge(merge(patches)) - patches)[0].square().mean(1)
    changing, others = (error[which].mean().sqrt().item() for which in (busy, ~busy))
    print(f"{name}: {same_place.float().mean():.0%} of the patches were merged into their own place of the frame;")
    print(f"    error of what changes {changing:.3f}, of the rest {others:.3f}: {changing / others:.0f} times")

# %% [markdown]
# The moon, the lamp at the left and the face of the figure at the upper left have become one group, and bits of figures lie
# on the pavement. 6 and 14 are even, so every target lies in an even column. A patch in an odd column cannot join itself
# in another frame, however long it stands still. (Lesson 03 met this at $\gamma = 2$.) In general, target $j$ lies on
# place $j\gamma \bmod HW$, and this comes round to 0 as soon as $j\gamma$ is a multiple of $HW$. So only
#
# $$ HW \,/ \gcd(\gamma, HW) $$
#
# places are ever reached, however many frames there are: **aliasing**, or, as it looks, a **comb**. With a comb, lesson 00 would
# have said that what changes has three times the error of the rest; without, it is nine times. The paper's $\gamma = 6$ on
# 16 x 16 tokens is no exception: in block 1 it leaves out the same 128 of 256 places in every chunk.
#
# A cure fits in three lines. A partition of your own is any function of what a block knows. Its arguments are filled in by name, and
# it returns $\lceil n / \gamma \rceil$ positions. This one is for $\gamma = 8$ and the 16 columns of our films:

# %%
def slanted(n, gamma, height, width):
    """Every gamma-th token; the comb moves on by one column in every row, and by one more in every frame."""
    p = uniform(n, gamma)
    row, column = p // width, p % width
    return (row * width + (column + row + row // height) % width).sort().values


with torch.no_grad():
    plugged = VideoClassifier(encoder.dim, chunks=(3, 6, 12), partition=slanted, gamma=8).eval()
    print("logits from a partition of our own:", tuple(plugged(batch_tokens).shape))

# %% [markdown]
# The package's `staggered=True` works for any width: one token of every run of $\gamma$, in run $j$ the one that lies a
# share $0.618\,j \bmod 1$ into it. (0.618 is the golden ratio less one: these shares are spread evenly and never repeat.)

# %%
short = films.make(4 * 2**20 + 9, "centred", frames=12, size=128)
n = 12 * 256
partitions = {"every 8th": uniform(n, 8), "slanted": slanted(n, 8, 16, 16), "staggered": uniform(n, 8, staggered=True)}
plots.show(plots.targets(short.frames, partitions, (12, 16, 16), actor=short.actor, pick=4, title="gamma 8, targets are bright"))

# %% [markdown]
# With every eighth token the targets are columns 0 and 8 *of every row of every frame*. An actor beside those columns is never
# a target; one on column 8 always is. Over the thirty films, with random targets beside them:

# %%
flat = actor.flatten(1).float()
partitions["random"] = sample(torch.zeros(30, n), 8, generator=torch.Generator().manual_seed(0))
for name, targets in partitions.items():
    chosen = torch.zeros(30, n).scatter_(1, targets.expand(30, -1), 1.0)
    share = 100 * (flat * chosen).sum(1) / flat.sum(1)
    print(f"{name:9}: {share.mean():.0f}% of the actor's patches are targets; lowest film {share.min():.0f}%, highest {share.max():.0f}%")

# %% [markdown]
# The averages agree: about an eighth. But with the comb some films never make the actor a target, and others do so with three
# times the fair share. That is a fault of the layout, not of the idea, and it concerns everybody who compares mergers:
# against a baseline with a comb, *anything* may look better. This is why lesson 08 has a control with random targets.
#
# (In later blocks tokens no longer lie on a grid, and `row` and `column` count along a list. Lesson 05 works with true
# positions, which travel with the tokens.)

# %% [markdown]
# ## What the paper reports, and what we measure
#
# The paper reports a throughput 6.89 times that of the network without merging, and 84% less memory (a GPU, a trained model, $\gamma$ = 6).
# Let us time the network at the paper's counts, with 256 channels in place of 1024 so that it takes seconds: once with attention
# that stores all its scores, once fused.

# %% [markdown] tags=["prediction"]
# **Before you run it:** how many times faster is $\gamma = 6$ than no merging? Against stored attention? Against fused attention?
#
# *My guesses:*

# %% [markdown]
# It takes about ten seconds on one core.

# %% tags=["nbval-ignore-output"]
torch.set_num_threads(1)
video_tokens = torch.randn(1, 60, 16, 16, 256)


@torch.no_grad()
def seconds(**options) -> float:
    """Processor time of one forward pass; the faster of two."""
    network = VideoClassifier(256, **options).eval()
    times = []
    for _ in range(2):
        start = time.process_time()
        network(video_tokens)
        times.append(time.process_time() - start)
    return min(times)


measured = {}
for kind in ("stored", "fused"):
    measured[f"{kind}, no merging"] = seconds(attention=kind, partition=None)
    measured[f"{kind}, gamma 6, R = 0.8 |S|"] = seconds(attention=kind, gamma=6, r=0.8)
    measured[f"{kind}, gamma 6"] = seconds(attention=kind, gamma=6)
plots.show(plots.bars(measured, "seconds of one core", "One film of 15,360 tokens, C = 256"))

# %% tags=["nbval-ignore-output"]
print(f"{'how many times as fast as':28} stored, no merging   fused, no merging")
for name, took in measured.items():
    print(f"{name:28} {measured['stored, no merging'] / took:18.1f} {measured['fused, no merging'] / took:19.1f}")

# %%
for dim in (256, 1024):
    wide, narrow = (count({"dim": dim, "partition": p, "gamma": 6}, 60, 16, 16) for p in (None, "uniform"))
    floor = sum(wide.blocks[0].flops[part] for part in ("queries, keys, values", "attention"))
    print(f"C = {dim:4}: {wide.flops / narrow.flops:.1f} times fewer FLOPs at gamma 6, {wide.flops / floor:.1f} at any gamma")

# %% [markdown]
# | | the paper | here |
# |---|---|---|
# | tokens removed at $\gamma = 4$, $R = \lvert S\rvert$ | 68% | 66.8% or 98.4%, depending on where they are counted; 68.3% of the FLOPs |
# | throughput against no merging | x 6.89 | the table above; it depends on whether the baseline stores its scores |
# | FLOPs against no merging | not given | 3.4 times fewer (C = 1024), 4.5 times (C = 256) |
# | memory | -84% | lesson 09 |
# | accuracy | better than no merging | lesson 08 |
#
# A ratio has a denominator. Against stored attention merging looks better than against fused attention, which computes the same
# thing. And there is a floor: block 1's attention always sees the whole film. However large $\gamma$, at C = 1024 the network as the paper
# describes it cannot get more than 3.8 times cheaper in FLOPs. A larger ratio in *time* must come from what FLOPs do not show, such as
# moving stored scores through memory.

# %% [markdown]
# **Where it fails, in short.** Naive VTM neither knows nor learns what matters: the actor's weight varies by luck. A $\gamma$ that
# shares a factor with the tokens of a frame makes a comb. And with a large $R$ the last block merges whatever is left,
# like or unlike.

# %% [markdown]
# ## Recap
#
# - A block: attention inside chunks, merging, half the channels. Three of them, chunks growing to the whole film.
# - $\gamma$ and $R$ set the ledger: with $R = |S|$ a block leaves $N / \gamma$ tokens.
# - A share of removed tokens means nothing without saying where it is counted.
# - With plain averages, a region's weight in the final mean is roughly its share of the targets. Uniform targets are spread like the picture;
#   size-weighted averages always give back the picture.
# - So targets decide who is heard. Naive VTM leaves that to the layout: every $\gamma$-th token reaches only $HW / \gcd(\gamma, HW)$ places
#   of the frame. Staggered or random targets reach them all, given frames enough.
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
