# %% [markdown]
# # 02 Bipartite matching
#
# **You will** split tokens into sources and targets, match them, and merge them: ToMe's three steps, by hand, in 15
# lines, and with the package · see why a merged token needs a *size*, and what attention does with it · break naive
# versions of the operator on purpose, and mend them.
#
# **Time** 45 minutes · **Needs** lesson 01, PyTorch basics · **Runs in** about 10 seconds, no GPU

# %%
import torch
import torch.nn.functional as F

from vtm_lesson import checks, films, plots
from vtm_lesson.merging import match, nearest

# %% [markdown]
# ## The question
#
# Lesson 01 left us with a bill that grows with the square of the number of tokens. So we want fewer tokens: `N - r`
# in place of `N`, in every block of the network, for a cost that is small beside attention's.
#
# Dropping `r` tokens is cheap, but what they carried is gone. Clustering (k-means, say) keeps more, but needs many rounds.
# *Token Merging: Your ViT But Faster* (Bolya et al., ICLR 2023; **ToMe** from here on) found a middle way: find pairs of tokens
# that say nearly the same, and average each pair. One matrix product finds the pairs.
#
# Everything later in this course, up to learnable video token merging, changes only *which tokens are targets*. The
# operator of this lesson stays.

# %% [markdown]
# ## A toy to check by hand
#
# Six tokens. Each has a **key**: the vector that attention compares. Here keys have two numbers, so that we can compare them by hand.

# %%
keys = torch.tensor(
    [
        [1.0, 0.1],  # 0  points right
        [2.0, 0.0],  # 1  points right, longer
        [0.1, 1.0],  # 2  points up
        [0.0, 1.0],  # 3  points up
        [-1.0, 1.0],  # 4  points up left
        [-1.0, 0.0],  # 5  points left
    ]
)

# %% [markdown]
# **Step 1, partition.** Every second token becomes a **target**: 1, 3, 5. The others are **sources**: 0, 2, 4.
#
# **Step 2, match.** Each source looks for the target whose key points in the most similar direction. The measure is
# the cosine, $\cos(a, b) = a \cdot b \,/\, (|a|\,|b|)$. Only directions count: token 1 is twice as long as token 0, and
# that changes nothing.
#
# Do source 4 by hand. Its key is $(-1, 1)$, of length $\sqrt 2$. With target 3, $(0, 1)$: the dot product is 1, so the
# cosine is $1/\sqrt 2 = 0.71$. With target 5, $(-1, 0)$: again 0.71. A tie. Our rule: **ties go to the lower position**, so
# source 4 goes to target 3.
#
# **Step 3, merge.** Take the `r` sources with the highest cosine and average each with its target.

# %% [markdown] tags=["prediction"]
# **Before you run it:** with `r = 2`, which two sources are merged, and into which targets? Which four tokens are left?
#
# *My guess:*

# %%
targets = torch.tensor([1, 3, 5])
plots.show(plots.matching(keys, targets, n_merge=2, title="Six tokens, r = 2"))

# %% [markdown]
# Solid lines are merged, dotted ones are not. Source 4 has the weakest match, so it stays as it is. The picture in
# numbers, from the package's `match`:

# %%
merge = match(keys[None], targets, n_merge=2)  # the package works on batches: (1, 6, 2)
print(merge)
print("group of each token:  ", merge.group[0].tolist())
print("surviving positions:  ", merge.keep[0].tolist())

# %% [markdown]
# Read the first list as "token 0 goes into output 0, token 1 into output 0, token 2 into output 1 …". A merge is nothing
# but this list. Outputs keep the order of the tokens that survive (1, 3, 4, 5): in a video that is the order of time.

# %% [markdown]
# ## The formula
#
# In the notation of *Video Token Merging* (VTM, NeurIPS 2024), with targets $i \in T$ and sources $j \in S$:
#
# $$m_j = \arg\max_{i \in T} \cos(k_i, k_j) \qquad \text{(VTM eq. 3)}$$
#
# $$y_i = \frac{x_i + \sum_{j \in M_i} x_j}{1 + |M_i|}, \qquad M_i = \{ j : m_j = i \} \qquad \text{(VTM eq. 4)}$$
#
# Keys $k$ decide *who* is merged. Values $x$ are *what* is averaged. They may be different tensors, and mostly are.
#
# You will now write the three steps. Each exercise is a function; the cell after it checks it. If you leave one open,
# the rest of the notebook still runs.

# %% [markdown]
# ## Your turn 1: alternate
#
# Return the source positions and the target positions of `n` tokens: sources 0, 2, 4, …, targets 1, 3, 5, …. `n` may be odd.

# %% nbgrader={"grade": false, "grade_id": "alternate", "locked": false, "schema_version": 3, "solution": true, "task": false}
def alternate(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(sources, targets), both int64, ascending."""
    ### BEGIN SOLUTION
    return torch.arange(0, n, 2), torch.arange(1, n, 2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "alternate-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.alternate(alternate)

# %% [markdown]
# ## Your turn 2: the nearest target
#
# For every source, return the *number of its best target* (0 for the first target, 1 for the second, …) and the cosine
# with it. No loop is needed: one matrix product gives all cosines. A key of zeros (padding, often) has no direction;
# its cosine with everything shall be 0, not NaN. Ties go to the first target.

# %% nbgrader={"grade": false, "grade_id": "nearest", "locked": false, "schema_version": 3, "solution": true, "task": false}
def nearest_target(
    keys: torch.Tensor, sources: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """keys (N, D), sources (S,), targets (T,) -> best (S,) int64 in 0 ... T-1, similarity (S,)."""
    ### BEGIN SOLUTION
    unit = F.normalize(keys, dim=1)  # length 1; zeros stay zeros
    scores = unit[sources] @ unit[targets].T  # (S, T)
    best = scores.argmax(dim=1)  # the first one in a tie
    return best, scores.gather(1, best[:, None])[:, 0]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "nearest-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.nearest_target(nearest_target)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1</summary>
#
# Cosine looks at directions only. What must happen to the keys before they are multiplied?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `F.normalize(keys, dim=1)` divides every key by its length, and leaves zeros alone.
#
# </details>
#
# <details><summary>Hint 3</summary>
#
# `scores = unit[sources] @ unit[targets].T` has a row for every source and a column for every target.
#
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# After division by the lengths, a dot product *is* the cosine. `argmax` returns the first of equal maxima, which is our tie
# rule. Dividing by `keys.norm(dim=1)` without care makes 0/0 = NaN of a zero key, and `argmax` takes NaN for the largest
# number of all: one padded target would then swallow every source. You will see that below.
#
# </details>

# %% [markdown]
# ## Your turn 3: the whole step
#
# Put it together: split, match, and merge the `r` most similar sources with **plain averages**. Return the `N - r` tokens
# that are left, in their old order. Ties, between sources and between targets, go to the lower position.

# %% nbgrader={"grade": false, "grade_id": "tome-step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def tome_step(x: torch.Tensor, keys: torch.Tensor, r: int) -> torch.Tensor:
    """x (N, C), keys (N, D) -> (N - r, C)."""
    ### BEGIN SOLUTION
    sources, targets = torch.arange(0, len(x), 2), torch.arange(1, len(x), 2)
    unit = F.normalize(keys, dim=1)
    similarity, best = (unit[sources] @ unit[targets].T).max(dim=1)
    merged = similarity.argsort(descending=True, stable=True)[:r]
    total, count = x.clone(), torch.ones(len(x))
    total.index_add_(0, targets[best[merged]], x[sources[merged]])
    count.index_add_(0, targets[best[merged]], torch.ones(r))
    stays = torch.ones(len(x), dtype=torch.bool)
    stays[sources[merged]] = False
    return (total / count[:, None])[stays]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "tome-step-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.tome_step(tome_step)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1</summary>
#
# You have steps 1 and 2 already. For step 3, `similarity.argsort(descending=True, stable=True)[:r]` are the sources to merge.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Keep a running total and a count for every token, both starting with the token itself: `x.clone()` and ones.
# `index_add_` adds many rows at once, also when several go to the same place.
#
# </details>
#
# <details><summary>Hint 3</summary>
#
# At the end divide total by count, and leave out the merged sources with a boolean mask. A mask keeps the order.
#
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Every token starts as a group of one. A merged source adds itself to its target's total and raises the count, so
# total / count is VTM eq. 4. The mask removes the merged sources and keeps everything else where it was.
#
# </details>

# %% [markdown]
# ## Why halves, and why every second token?
#
# Why not simply merge each token with its most similar one, whichever it is? Let us look at a picture: one frame of a
# course film, cut into 24 x 24 patches of 8 x 8 pixels. A token is a patch's pixels, minus the mean patch.

# %%
film = films.make(seed=4, way="roaming", frames=1, size=192, patch=8)
side = 24
pixels = torch.from_numpy(film.frames[0]).float() / 255
patches = pixels.unfold(0, 8, 8).unfold(1, 8, 8).permute(0, 1, 3, 4, 2).reshape(side * side, -1)  # (576, 192)
keys = patches - patches.mean(0)

unit = F.normalize(keys, dim=1)
cosines = (unit @ unit.T).fill_diagonal_(-1)
favourite = cosines.argmax(dim=1)
mutual = favourite[favourite] == torch.arange(side * side)
print(f"{len(keys)} tokens; {mutual.float().mean():.0%} are their favourite's favourite")

# %% [markdown]
# Only a third of the tokens form a mutual pair. The others make chains: *a* wants *b*, *b* wants *c*, *c* wants *d*. Either
# the whole chain becomes one token (how far does it reach?) or someone has to solve the puzzle of pairs, one step after
# another. That is slow on hardware that likes to do everything at once.
#
# ToMe's answer is to make the graph **bipartite**: edges run from sources to targets only. A source has exactly one edge,
# a target never moves. Chains cannot form, and one matrix product and one argmax do it all. The price: two similar
# sources cannot meet, unless at the same target.
#
# But which half? Nearby patches look alike. If sources and targets **alternate**, every source has neighbours among the
# targets.

# %% [markdown] tags=["prediction"]
# **Before you run it:** compare three ways of choosing 288 targets of 576: every second one, the lower half of the
# picture, a random half. Order them by the mean cosine of the sources with their best targets.
#
# *My guess:*

# %%
n = side * side
random_half = torch.randperm(n, generator=torch.Generator().manual_seed(0))[: n // 2].sort().values
halves = {
    "every second token": torch.arange(1, n, 2),
    "random half": random_half,
    "lower half": torch.arange(n // 2, n),
}
found = {name: nearest(keys[None], half)[1].mean().item() for name, half in halves.items()}
found["no halves: any other token"] = cosines.amax(dim=1).mean().item()
plots.show(plots.bars(found, xlabel="mean cosine with the best partner", title="Where sources look for a partner"))

# %% [markdown]
# Alternating and random halves lose little against free choice; the lower half loses more, because sky finds no sky there.
# Alternating has one more merit: it needs no random numbers. (It also has a trap, which waits in lesson 04: in a video, a
# regular pattern can hit the same places in every frame.)

# %% [markdown]
# ## On an image
#
# Three rounds of merging on that frame, each on the tokens that the last one left. `merge.then(next)` composes two merges
# into one, from the original patches to the final tokens; `unmerge` gives every patch the average of its group, so that we
# can look at it.

# %%
x, so_far, pictures = keys[None], None, [pixels]
for r in (144, 144, 144):
    odd = torch.arange(1, x.shape[1], 2)
    step = match(x, odd, n_merge=r)
    x = step(x)
    so_far = step if so_far is None else so_far.then(step)
    mosaic = so_far.unmerge(so_far(patches[None]))[0]
    pictures.append(mosaic.view(side, side, 8, 8, 3).permute(0, 2, 1, 3, 4).reshape(192, 192, 3))
print(so_far)
captions = ["576 tokens", "432 tokens", "288 tokens", "144 tokens"]
plots.show(plots.frames(torch.stack(pictures), pick=4, title="One frame, merged round by round", captions=captions))

# %% [markdown]
# The first round costs little that the eye would miss: it takes wall and sky, where there is plenty of the same (the sun
# pays first). The last round has to merge things that differ: figures get patches of wall, and the wall gets patches of
# figures. Merging is a compression that spends its tokens where the picture is rich, but it has no idea of what *matters*.
# Lessons 05 to 07 are about that.
#
# How close is your operator to the package's? `match` with the odd positions is the same function:

# %%
y_plain = match(keys[None], torch.arange(1, n, 2), n_merge=144)(patches[None])[0]
y_formula = checks.tome_step.answer(patches, keys, 144)
print("same tokens as the exercise's answer:", torch.allclose(y_plain, y_formula, atol=1e-5))

# %% [markdown]
# ## Token size
#
# Look at the second round again. A token that already stands for five patches meets one that stands for one. VTM eq. 4
# takes the plain average: each counts one half. So the one patch weighs as much as the other five together.
#
# ToMe counts differently. It carries a **size** with every token, how many originals it stands for, and weights by it:
#
# $$y_i = \frac{s_i x_i + \sum_{j \in M_i} s_j x_j}{s_i + \sum_{j \in M_i} s_j}, \qquad s_i \leftarrow s_i + \sum_{j \in M_i} s_j$$
#
# A weighted average of averages is the average of all originals. Check it on numbers:

# %%
first = match(torch.ones(1, 6, 1), torch.tensor([2, 5]), n_merge=4)  # equal keys: the four sources go to target 2
values = torch.tensor([[[0.0], [2.0], [4.0], [6.0], [8.0], [40.0]]])
five = first(values)
print("groups", first.group[0].tolist(), "values", five[0, :, 0].tolist(), "sizes", first.size()[0].tolist())

last = match(torch.ones(1, 2, 1), torch.tensor([1]))
print("plain average of the two:   ", last(five).item())
print("size-weighted average:      ", last(five, weight=first.size()).item())
print("average of the six originals:", values.mean().item())

# %% [markdown]
# Which is better? ToMe, which is put into a *trained* network without training it again, needs the size-weighted one: the
# network expects the average of what was there. VTM trains with merging, and reports the plain average as better (its
# table 7). A possible reason can be seen here: **with size weights, the mean over all tokens at the end is the same as
# without any merging.** Where that mean is all that is read, it does not matter which tokens were selected. With plain
# averages, tokens in small groups gain weight: merging becomes a way to say what matters. (In a network, layers stand
# between merging and the mean. Lesson 08 trains both kinds, and cannot tell them apart.)

# %%
tokens = torch.randn(1, 100, 3, generator=torch.Generator().manual_seed(1))
some = match(tokens, torch.arange(0, 100, 6))
weighted, size = some(tokens, weight=torch.ones(1, 100)), some.size()


def told(mean: torch.Tensor) -> str:
    return "  ".join(f"{value:+.3f}" for value in mean[0].tolist())


print("mean of the original tokens:        ", told(tokens.mean(1)))
print("size-weighted pooling after merging:", told((weighted * size[..., None]).sum(1) / 100))
print("plain pooling after merging:        ", told(some(tokens).mean(1)))

# %% [markdown]
# ## Proportional attention
#
# Now attention meets a merged token. Suppose three tokens had exactly the same key $k$ and value $v$. Before merging, a
# query $q$ gave them, in the softmax, three times $e^{q \cdot k / \sqrt D}$. After merging, one token is there, and gets it
# once. Attention to the rest has grown, though nothing in the film has changed.
#
# To get the old result back, count the token as often as its size $s$ says:
#
# $$s\, e^{q \cdot k / \sqrt D} = e^{q \cdot k / \sqrt D + \log s}$$
#
# So: **add $\log s$ to the scores** of each key, after the division by $\sqrt D$. That is ToMe's *proportional
# attention*. For equal tokens it is exact, not an approximation. It also tells us **why keys are compared**: two tokens
# with equal keys draw equal attention from every query, so attention cannot tell them apart. Merging by keys merges
# what attention would have treated alike. (What is lost, is the difference of their values; the average keeps the best
# single stand-in for it.)

# %% [markdown]
# ## Your turn 4: proportional attention
#
# One head, no batch. `size` has one number for each key.

# %% nbgrader={"grade": false, "grade_id": "proportional", "locked": false, "schema_version": 3, "solution": true, "task": false}
def proportional_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, size: torch.Tensor
) -> torch.Tensor:
    """q (Q, D), k (K, D), v (K, C), size (K,) -> (Q, C)."""
    ### BEGIN SOLUTION
    scores = q @ k.T / q.shape[1] ** 0.5 + size.log()
    return scores.softmax(dim=1) @ v
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "proportional-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.proportional_attention(proportional_attention)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1</summary>
#
# A token of size 3 should draw as much attention as three equal tokens would.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Three equal tokens put $3 \cdot e^{\text{score}}$ into the softmax. Move the 3 into the exponent.
#
# </details>
#
# <details><summary>Hint 3</summary>
#
# Add `size.log()` to the scores, after they were divided by $\sqrt D$.
#
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# `size.log()` has shape (K,) and is added to every row of the (Q, K) scores: a bonus for each key, the same for all
# queries. In practice it goes in as the mask of PyTorch's fused attention, `attn_mask=size.log()[:, None, None, :]`, so
# nothing slow is needed.
#
# </details>

# %% [markdown]
# The test that matters: five tokens, three of them equal. Attention over all five, and over the three tokens left after
# the equal ones were merged.

# %%
g = torch.Generator().manual_seed(2)
q, v = torch.randn(1, 1, 2, 8, generator=g), torch.randn(5, 8, generator=g)
k = torch.randn(5, 8, generator=g)
k[[1, 3]], v[[1, 3]] = k[0].clone(), v[0].clone()  # tokens 0, 1 and 3 are the same
merge = match(k[None], torch.tensor([0, 2, 4]))
size = merge.size()
k_few, v_few = merge(k[None])[None], merge(v[None])[None]

full = F.scaled_dot_product_attention(q, k[None, None], v[None, None])
few = F.scaled_dot_product_attention(q, k_few, v_few)
few_proportional = F.scaled_dot_product_attention(q, k_few, v_few, attn_mask=size.log()[:, None, None, :])
print("sizes after merging", size[0].tolist())
print(f"largest error, plain attention:        {(few - full).abs().max():.3f}")
print(f"largest error, proportional attention: {(few_proportional - full).abs().max():.3f}")

# %% [markdown]
# ## Where naive versions fail
#
# Merging looks like ten lines, and versions of it circulate that fail in silence. Four failures, each shown, each covered by
# a test of this package.
#
# **1. Padding.** A token of zeros has length 0. Dividing by it gives NaN, and NaN wins every argmax.

# %%
padded = torch.randn(1, 8, 4, generator=torch.Generator().manual_seed(3))
padded[0, 1] = 0  # target 1 is padding
naive = padded / padded.norm(dim=-1, keepdim=True)
naive_best = (naive[0, 0::2] @ naive[0, 1::2].T).argmax(dim=1)
careful = match(padded, torch.arange(1, 8, 2))
print("naive: sources go to targets", (2 * naive_best + 1).tolist(), " <- all swallowed by the padding")
print("match: sources go to targets", careful.keep[0][careful.group[0, 0::2]].tolist())

# %% [markdown]
# **2. Order.** It is easy to return "unmerged sources, then targets". For a picture classifier that is harmless. In a
# video the tokens of frame 0 and frame 50 are then shuffled together, and chunks (lesson 04) cut through the wrong place.

# %%
position = torch.arange(12.0).view(1, 12, 1)
step = match(torch.randn(1, 12, 4, generator=torch.Generator().manual_seed(4)), torch.arange(1, 12, 2), n_merge=3)
merged_away = sorted(set(range(12)) - set(step.keep[0].tolist()))
two_heaps = [i for i in range(0, 12, 2) if i not in merged_away] + list(range(1, 12, 2))
print("two heaps:", two_heaps)
print("match:    ", step.keep[0].tolist())

# %% [markdown]
# **3. The tail.** With every fourth token a target and 10 tokens, code that reshapes to groups of four forgets the last two.
#
# **4. Sizes in half precision.** bfloat16 keeps 8 bits of a number. It cannot count past 256 one by one.

# %%
full_size = match(torch.randn(1, 10, 3, generator=torch.Generator().manual_seed(5)), torch.arange(0, 10, 4)).size()
print("10 tokens, targets 0, 4, 8: sizes", full_size[0].tolist(), "sum", full_size.sum().item())
count = torch.tensor(256.0, dtype=torch.bfloat16)
print("256 + 1 in bfloat16 =", (count + 1).item(), "· sizes of a Merge are always", full_size.dtype)

# %% [markdown]
# ## What the papers report, and what we have measured
#
# ToMe reports twice the throughput of large ViTs on images, for 0.2 to 0.3 points of accuracy, without training. We have
# measured no speed yet, and no accuracy: this lesson showed that the operator does what its formulae say (your
# functions, the package and the formula agree), that alternating halves cost little similarity on one frame, and that proportional
# attention is exact for equal tokens. Speed and fidelity in a real ViT are lesson 03; speed limits are lesson 09.
#
# **Where it fails.** The match sees one thing, the similarity of keys. It will merge a face into a wall of the same colour.
# And the bipartite rule forbids the best pairs now and then: two similar sources may only meet at a third token.

# %% [markdown]
# ## Recap
#
# - **Partition, match, merge**: targets and sources, one cosine product, averages.
# - Bipartite, because chains cannot form; alternating, because neighbours look alike.
# - A merge is an assignment, `group`. Apply it to anything, compose it, undo it.
# - **Size** weights make averages of averages right; plain averages let small groups speak louder.
# - $\log s$ in the scores makes attention count a merged token as often as it should.
#
# **Quiz**
#
# <details><summary>1. Twelve tokens, targets 1, 3, 5, …, 11. What is the largest possible r?</summary>
#
# Six: all sources are merged, and the six targets are left. ToMe can at most halve the tokens in a block.
#
# </details>
#
# <details><summary>2. All keys are equal. Which tokens are merged at r = 2, and into what?</summary>
#
# Every cosine is 1, so ties decide: sources 0 and 2, both into target 1. One token then stands for three.
#
# </details>
#
# <details><summary>3. A token of size 4 and one of size 1 are merged with size weights; then mean pooling weights every token by its
# size. How much does the small token count in the pooled mean?</summary>
#
# As much as one of the originals, as if nothing had been merged. With plain averages and plain pooling it would count half of its
# group.
#
# </details>
#
# **Next:** [03 ToMe in a ViT](03_tome_in_a_vit.ipynb): the same operator inside a real network, without copying its code.
