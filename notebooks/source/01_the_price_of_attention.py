# %% [markdown]
# # 01 The price of attention
#
# **You will** count the tokens of a film and the multiply-adds that attention spends on them · mend an attention, and
# measure its time and memory on this machine beside a fused one · predict what fewer tokens bring, and check it.
#
# **Time** 65 minutes · **Needs** [lesson 00](00_start_here.ipynb), PyTorch basics (tensors, shapes, matrix products) ·
# **Runs in** about half a minute, no GPU

# %%
from vtm_lesson import checks, plots

plots.show(checks.course_map("01"))

# %% [markdown]
# ## The question
#
# In lesson 00 you merged most tokens of a film away. Why would anybody want to? The usual answer is one sentence:
# *attention is quadratic*. This lesson takes that sentence apart. Quadratic in what? How much is that for one film?
# Is it the time or the memory that hurts? And does it still hurt with the attention that PyTorch ships today?

# %%
import os

os.environ["KINETO_LOG_LEVEL"] = "6"  # keeps torch's profiler quiet

import math
import platform
import time

import numpy as np
import torch
import torch.nn.functional as F

from vtm_lesson import checks, films, plots, video
from vtm_lesson.measuring import peak_tensors

# %% [markdown]
# ## A film as tokens
#
# A transformer reads a list of vectors: the **tokens**. To make tokens of a film, take some frames, and cut each frame
# into square **patches** like a sheet of stamps. Every patch becomes one token. An encoder turns its pixels into a
# vector of $D$ numbers; here only the number of tokens matters.
#
# `video.read` takes 60 frames, evenly spaced over the film, at 224 x 224 pixels. That is also what the VTM paper reads
# from a film of one to three minutes.

# %% [markdown] tags=["prediction"]
# **Before you run it:** the patches are 14 x 14 pixels. How many tokens do 60 frames give? Write a number in place of
# the dots, right to the order of magnitude: hundreds, thousands, tens of thousands? It is kept for you, and shown
# beside the result.

# %%
checks.predict("01-tokens", ...)

# %%
clip = video.read(films.sample("square"), frames=60, size=224)
pixels, _ = clip.patches(14)
pixels.shape

# %% [markdown]
# The first three numbers are frames, rows and columns: 60 frames of 16 x 16 patches. The last one is what a patch holds:
# 14 x 14 pixels of 3 colours.

# %%
plots.show(plots.frames(clip.frames, pick=4, grid=(60, 16, 16), title="Every white square is a token"))

# %%
frames, rows, columns, _ = pixels.shape
print(f"{frames} x {rows} x {columns} = {frames * rows * columns:,} tokens")
checks.replay("01-tokens", frames * rows * columns)

# %% [markdown]
# One sentence of text has about 20 tokens. One photograph in a ViT has 196 or 256. This short film has 15,360, and
# we took only 60 of its frames.

# %% [markdown]
# ## Your turn 1: tokens in a film
#
# Count the tokens of `frames` square frames, `size` pixels on a side, cut into square patches, `patch` pixels on a side.
# Where `patch` does not divide `size`, the strip left over at the right and at the bottom gives no token.

# %% nbgrader={"grade": false, "grade_id": "tokens-in-film", "locked": false, "schema_version": 3, "solution": true, "task": false}
def tokens_in_film(frames: int, size: int, patch: int) -> int:
    """The number of tokens: one for every patch of every frame."""
    ### BEGIN SOLUTION
    side = size // patch
    return frames * side * side
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "tokens-in-film-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.tokens_in_film(tokens_in_film)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# A frame has `size // patch` patches along each edge, so that number *squared* in all. Halving the patch makes four
# times as many tokens. Twice as many frames make twice as many.
#
# </details>

# %% [markdown]
# ## Attention by hand
#
# Take three tokens with $D = 2$ numbers each. To keep it small, let queries, keys and values all be the tokens themselves:
#
# $$ x_1 = (1, 0) \qquad x_2 = (0, 1) \qquad x_3 = (1, 1) $$
#
# What does attention give for token 1? Three steps:
#
# 1. **Scores**: the product of its query with every key, divided by $\sqrt D = 1.41$.
#    $x_1 \cdot x_1 = 1$, $x_1 \cdot x_2 = 0$, $x_1 \cdot x_3 = 1$. Divided: $0.71,\ 0,\ 0.71$.
# 2. **Softmax**: $e$ to the power of each, divided by the sum. $2.03,\ 1,\ 2.03$ add up to $5.06$, so the weights are
#    $0.40,\ 0.20,\ 0.40$.
# 3. **Weighted sum** of the values: $0.40 \cdot (1, 0) + 0.20 \cdot (0, 1) + 0.40 \cdot (1, 1) = (0.80, 0.60)$.
#
# Here are the same three steps in code, written in a hurry. The first row should be (0.80, 0.60):

# %%
def hurried(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Scores, softmax, weighted sum: but something is wrong."""
    scores = q @ k.transpose(-2, -1)
    weights = scores.softmax(dim=-2)
    return weights @ v


x = torch.tensor([[1.0, 0], [0, 1], [1, 1]])
hurried(x, x, x).round(decimals=2)

# %% [markdown]
# It is not. To see the weights themselves, put the identity matrix in place of the values: its rows are (1, 0, 0),
# (0, 1, 0) and (0, 0, 1), so the weighted sum of token 1 is nothing but its three weights.

# %%
plots.show(plots.attention(hurried(x, x, torch.eye(3)), names=["1", "2", "3"], title="The weights, in a hurry"))

# %% [markdown]
# By hand, the weights of token 1 were 0.40, 0.20 and 0.40: a row that adds up to 1. Here it is the columns that add up
# to 1.

# %% [markdown]
# ## Your turn 2: mend the attention
#
# Two places of `hurried` are wrong. Do token 2 with pen and paper first; then write attention so that it gives what the
# hand gives. It must work for any shape in which the last two dimensions are tokens and numbers, so for a batch of films
# or several heads, too. It stores every score, hence the name; a rival that does not will follow. Later cells time it on
# 4,096 tokens, so let matrix products do the work, not loops over single numbers.

# %% nbgrader={"grade": false, "grade_id": "stored-attention", "locked": false, "schema_version": 3, "solution": true, "task": false}
def stored_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(Q K^T / sqrt(D)) V. q: (..., N, D), k: (..., M, D), v: (..., M, E). Returns (..., N, E)."""
    ### BEGIN SOLUTION
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)
    weights = scores.softmax(dim=-1)
    return weights @ v
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "stored-attention-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.stored_attention(stored_attention)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# The scores have a row for each query and a column for each key. The softmax has to run along a row, which is the last
# axis, `dim=-1`. The root of D was left out: a score is a sum of D products, and grows with D. Without the root, the
# softmax of long vectors gives nearly all the weight to one key. It makes no difference to the result whether the
# queries are divided or the scores; there are fewer numbers in the queries.
#
# </details>

# %%
attention = checks.stored_attention.mine()
weights = torch.as_tensor(attention(x, x, torch.eye(3)))
plots.show(plots.attention(weights, names=["1", "2", "3"], title="The weights: every row adds up to 1"))

# %% [markdown]
# Token 3 points in both directions, so all three tokens look at it, and it looks mostly at itself. From here on, later
# cells use your functions where they pass their checks, and the package's where they do not.

# %% [markdown]
# Now count instead of computing. A **multiply-add** is one product, added to a sum. For all three tokens:
#
# | step | how many results | multiply-adds each | together |
# |---|---|---|---|
# | scores | 3 x 3 | 2 | 18 |
# | weighted sum | 3 x 2 | 3 | 18 |
#
# In a network, queries, keys and values are not the tokens themselves. Each is the tokens times a $D \times D$ matrix, and
# the result is multiplied by one more. These are the four **projections**:
#
# | step | how many results | multiply-adds each | together |
# |---|---|---|---|
# | Q, K, V and output projection | 4 x (3 x 2) | 2 | 48 |
#
# That makes 84 in all, for three tokens.

# %% [markdown] tags=["prediction"]
# **Before you go on:** six tokens in place of three. What do 18, 18 and 48 become?
#
# *My guess:*

# %% [markdown]
# The scores and the weighted sum become 72 each: four times as much. The projections become 96: only twice as much. So
# an attention layer has a quadratic part and a linear part. Which one counts depends on $N$ and $D$.

# %% [markdown]
# ## Your turn 3: the bill of an attention layer
#
# Count one attention layer with one head, for $N$ tokens of $D$ numbers:
#
# 1. the multiply-adds of scores, weighted sum and all four projections (3 tokens with $D = 2$ give 84);
# 2. the bytes that the matrix of scores takes when all of it is stored in float32, 4 bytes a number.

# %% nbgrader={"grade": false, "grade_id": "attention-cost", "locked": false, "schema_version": 3, "solution": true, "task": false}
def attention_cost(n: int, dim: int) -> tuple[int, int]:
    """(multiply-adds of the layer, bytes of its scores) for n tokens of dim numbers."""
    ### BEGIN SOLUTION
    quadratic = 2 * n * n * dim
    linear = 4 * n * dim * dim
    return quadratic + linear, 4 * n * n
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "attention-cost-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.attention_cost(attention_cost)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# The rule "rows x columns x what is summed over" gives all six products. The next section writes it out.
#
# </details>

# %% [markdown]
# ## The formula
#
# $$ \underbrace{4\,N D^2}_{\text{projections}} \;+\; \underbrace{N^2 D}_{\text{scores}} \;+\;
#    \underbrace{N^2 D}_{\text{weighted sum}} \qquad\text{with}\qquad N = L \cdot H \cdot W $$
#
# $L$ frames of $H \times W$ patches make $N$ tokens. The softmax needs no multiply-adds, but $N^2$ exponentials: the
# count leaves it out, the clock will not.
#
# The VTM paper prints the cost of its attention as $O(L^2 H^2 W^2 D^2)$. The usual count has $D$ where the paper has $D^2$:
# each of the $N^2$ scores is a sum of $D$ products. The slip changes nothing in the paper's argument. The square that
# hurts is the one over $L \cdot H \cdot W$.

# %%
def bill(n: int, dim: int) -> dict[str, int]:
    """Multiply-adds of one attention layer, part by part."""
    return {"projections": 4 * n * dim**2, "scores": n * n * dim, "softmax": 0, "weighted sum": n * n * dim}


print(bill(3, 2), "->", sum(bill(3, 2).values()))

# %% [markdown]
# The quadratic part overtakes the linear one where $2 N^2 D = 4 N D^2$, that is at $N = 2 D$ tokens. Here is your count
# beside its two parts, for tokens of the VTM paper, which have $D = 1024$ numbers:

# %%
my_cost = checks.attention_cost.mine()
sizes = [2**i for i in range(6, 15)]
counted = {
    "the layer": [float(my_cost(n, 1024)[0]) / 1e9 for n in sizes],
    "scores and sum": [2 * bill(n, 1024)["scores"] / 1e9 for n in sizes],
    "projections": [bill(n, 1024)["projections"] / 1e9 for n in sizes],
}
title = "The bill of one attention layer, D = 1024, and its two parts"
plots.show(plots.cost(sizes, counted, "billion multiply-adds", title=title, guides=()))

# %% [markdown]
# Both axes are logarithmic: every step along the lower one doubles the tokens. The projections double with them; scores
# and weighted sum grow four times, so their line is twice as steep. The two cross at $2 \cdot 1024 = 2048$ tokens. The
# layer runs along the projections before, and along the scores after.
#
# One frame of the paper's film (256 tokens) is far below the crossing, and the whole film (15,360) far above:

# %%
rows = {f"{n:,} tokens": bill(n, 1024) for n in (256, 6 * 256, 30 * 256, 60 * 256)}
shares = {name: {part: 100 * v / sum(row.values()) for part, v in row.items()} for name, row in rows.items()}
plots.show(plots.bill(shares, "share of the multiply-adds, %", title="One attention layer, D = 1024, counted"))

# %%
for name, row in rows.items():
    print(f"{name:>13}: {sum(row.values()) / 1e9:6.1f} billion multiply-adds")

# %% [markdown]
# From one frame to 60, the tokens grow 60 times and the bill grows about 450 times.

# %% [markdown]
# ## The bill, measured
#
# A count is not a clock. So we time it: `attention`, the mended one, which stores every score, beside PyTorch's
# `F.scaled_dot_product_attention`. The second one is **fused**: it works through the scores tile by tile, keeps a running
# softmax, and throws each tile away. It computes the same thing.

# %%
torch.manual_seed(0)
q, k, v = (torch.randn(1, 1, 300, 64) for _ in range(3))  # one film, one head, 300 tokens, D = 64
fused = F.scaled_dot_product_attention
difference = (fused(q, k, v) - torch.as_tensor(attention(q, k, v))).abs().max()
print("the same to five digits:", bool(difference < 1e-5))

# %% [markdown]
# Two measuring tools. Time is processor time on one core, averaged over several runs: what other programs take is not in
# it, so the picture stays clear on a busy machine. (More cores make everything faster and change none of the slopes.)
# Memory is the most that tensors made during the call fill at one moment; `peak_tensors` has PyTorch's profiler write down
# every piece that is taken or given back. The inputs are not in it, the output is.

# %%
torch.set_num_threads(1)


def seconds(fn, *args) -> float:
    """Processor time of one call: the average over three calls or more, in at least a quarter of a second."""
    fn(*args)  # the first call is slower: it warms up
    calls, start = 0, time.process_time()
    while calls < 3 or time.process_time() - start < 0.25:
        fn(*args)
        calls += 1
    return (time.process_time() - start) / calls


def peak_memory(fn, *args) -> float:
    """The most that fn's tensors held at once, in MiB (1 MiB is 2**20 bytes)."""
    return peak_tensors(lambda: fn(*args)) / 2**20

# %% [markdown] tags=["prediction"]
# **Before you run it:** we go from 256 to 4,096 tokens, doubling each time. By what is the time of stored attention
# multiplied with every doubling, and its peak memory? And the time of fused attention, and its peak memory? Write four
# numbers in this order, as in `[1, 2, 3, 4]`.

# %%
checks.predict("01-doubling", ...)

# %% [markdown]
# All figures stored in this notebook come from the machine that built it. Run the cells, and yours take their place.

# %% tags=["nbval-ignore-output"]
print(f"torch {torch.__version__.split('+')[0]} on {platform.machine()}, {torch.get_num_threads()} core")

sizes = [256, 512, 1024, 2048, 4096]
timed, held = {"stored": [], "fused": []}, {"stored": [], "fused": []}
for n in sizes:
    q, k, v = (torch.randn(1, 1, n, 64) for _ in range(3))
    for name, fn in (("stored", attention), ("fused", fused)):
        timed[name].append(1000 * seconds(fn, q, k, v))
        held[name].append(peak_memory(fn, q, k, v))

# %% tags=["nbval-ignore-output"]
plots.show(plots.cost(sizes, timed, ylabel="milliseconds", title="Time of one attention, D = 64, on this machine"))

# %% tags=["nbval-ignore-output"]
plots.show(plots.cost(sizes, held, ylabel="MiB", title="Peak memory of the same"))

# %% [markdown]
# The dashed lines grow with the tokens (slope 1) and with their square (slope 2). On such axes a power law $t = c\,N^a$ is
# a straight line, and its slope is the exponent $a$. Let us fit $a$ where it is cleanest, over the larger sizes:

# %% tags=["nbval-ignore-output"]
def exponent(sizes, values) -> float:
    """The slope of a straight line through log(values) over log(sizes)."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


factors = []
for name in ("stored", "fused"):
    t, m = exponent(sizes[2:], timed[name][2:]), exponent(sizes[2:], held[name][2:])
    print(f"{name}: time grows as N^{t:.1f}, peak memory as N^{m:.1f}")
    factors += [round(2**t, 1), round(2**m, 1)]  # what a doubling multiplies them by
checks.replay("01-doubling", factors)

# %% [markdown]
# What to see, on any machine:
#
# - **Stored attention**: memory goes up by four with every doubling. At 4,096 tokens it holds two matrices of
#   4,096 x 4,096 numbers at once, the scores and the softmax's result: 64 MiB each. Time grows at least as fast as $N^2$
#   once $N$ is large; on many machines faster, because large matrices no longer fit in the processor's cache.
# - **Fused attention**: memory is linear at most. It holds the output and a small workspace. Time is *still quadratic*: every query still meets every key.
# - At small $N$ both lines may be flatter. Starting a function costs time too, whatever $N$ is.
# - If you wrote your attention as a loop over the queries, it never holds all scores at once, and its memory says so.
#
# So fused attention is honest competition. It removes the memory problem, without merging anything and without
# changing the result. The quadratic *time* is what is left for merging to remove.

# %% [markdown]
# ### The whole film
#
# With fused attention our 15,360 tokens should be no problem for memory. The stored kind would need this much:

# %%
n = 60 * 16 * 16
print(f"scores of {n:,} tokens: {4 * n * n / 2**20:,.0f} MiB, and as much again for the softmax's result")

# %% [markdown] tags=["prediction"]
# **Before you run it:** the film has 3.75 times as many tokens as our largest measurement. How many times as long as that
# measurement will fused attention take?

# %%
checks.predict("01-film", ...)

# %% tags=["nbval-ignore-output"]
q, k, v = (torch.randn(1, 1, n, 64) for _ in range(3))
predicted = timed["fused"][-1] * (n / sizes[-1]) ** 2
measured = 1000 * seconds(fused, q, k, v)
print(f"predicted with N^2: {predicted:.0f} ms; measured: {measured:.0f} ms, {peak_memory(fused, q, k, v):.0f} MiB")
checks.replay("01-film", round(measured / timed["fused"][-1], 1))

# %% [markdown]
# That is one head of one layer with $D = 64$. The VTM paper's tokens are 16 times as wide.

# %% [markdown]
# ## Where the time goes
#
# The count gave the softmax nothing. Here is every step on the clock, for tokens with $D = 64$, beside its share of the
# count. At $D = 64$ the quadratic part takes over at 128 tokens.

# %% [markdown] tags=["prediction"]
# **Before you run it:** at 4,096 tokens, which step takes longest: `"projections"`, `"scores"`, `"softmax"` or
# `"weighted sum"`?

# %%
checks.predict("01-step", ...)

# %% tags=["nbval-ignore-output"]
def steps(n: int, dim: int) -> dict[str, float]:
    """Seconds of each step of one attention layer with one head."""
    q, k, v, matrix = torch.randn(n, dim), torch.randn(n, dim), torch.randn(n, dim), torch.randn(dim, dim)
    scores = (q / math.sqrt(dim)) @ k.T
    weights = scores.softmax(dim=-1)
    return {
        "projections": 4 * seconds(lambda: q @ matrix),
        "scores": seconds(lambda: (q / math.sqrt(dim)) @ k.T),
        "softmax": seconds(lambda: scores.softmax(dim=-1)),
        "weighted sum": seconds(lambda: weights @ v),
    }


shares = {}
for n in (64, 512, 4096):
    for name, row in (("counted", bill(n, 64)), ("measured", steps(n, 64))):
        shares[f"{n:,} tokens, {name}"] = {part: 100 * t / sum(row.values()) for part, t in row.items()}

# %% tags=["nbval-ignore-output"]
plots.show(plots.bill(shares, "share of the layer, %", title="One attention layer, D = 64, counted and measured"))
last = shares["4,096 tokens, measured"]
checks.replay("01-step", max(last, key=last.get))

# %% [markdown]
# The projections shrink to a small part as $N$ grows, as counted. What the count does not show is the softmax. It multiplies
# nothing, yet takes a good part of the time. It moves $N^2$ numbers through memory, in and out, and memory is slower
# than arithmetic. This is also why fused attention is faster and not only smaller: it never sends the scores to main
# memory.
#
# Memory needs no clock. It follows from the shapes:

# %%
n, dim = 4096, 64
for name, shape in {
    "tokens": (n, dim), "Q, K and V": (3, n, dim), "scores": (n, n), "weights": (n, n), "output": (n, dim),
}.items():
    print(f"{name:>10} {str(shape):>14}: {4 * math.prod(shape) / 2**20:4.0f} MiB")

# %% [markdown]
# Scores and weights take 128 of the 133 MiB. With four times the tokens it would be 2,048 of 2,068 MiB.

# %% [markdown]
# ## Fewer tokens
#
# Merging takes tokens away. Suppose that it does so at no cost of its own. (Lesson 03 puts that cost on the clock.) By how
# much does the bill fall?

# %% [markdown] tags=["prediction"]
# **Before you compute it:** the whole film of the paper, 15,360 tokens with $D = 1024$, is merged at gamma = 6, so that one
# token in six is left. How many times fewer multiply-adds does an attention layer need? A sixth of the tokens, a 36th
# of the pairs: 6 times, 36 times, or where between?

# %%
checks.predict("01-gain", ...)

# %% [markdown]
# ## Your turn 4: what merging gains
#
# Divide the multiply-adds of a layer of `n` tokens by those of the same layer after merging. With `gamma`, n / gamma tokens
# are left, rounded up. Use your `attention_cost`; if it is still open, put `my_cost` in its place.

# %% nbgrader={"grade": false, "grade_id": "merging-gain", "locked": false, "schema_version": 3, "solution": true, "task": false}
def merging_gain(n: int, dim: int, gamma: int) -> float:
    """How many times as many multiply-adds a layer needs before merging as after it."""
    ### BEGIN SOLUTION
    before = attention_cost(n, dim)[0]
    after = attention_cost(math.ceil(n / gamma), dim)[0]
    return before / after
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "merging-gain-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.merging_gain(merging_gain)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Scores and weighted sum fall by gamma squared, the projections by gamma. So the gain lies between the two, and its place
# depends on which part was the larger one before. Merging moves a layer to the left on the curve above, to where the
# projections are most of the bill: the more is merged, the less the square helps.
#
# </details>

# %%
my_gain = checks.merging_gain.mine()
checks.replay("01-gain", round(float(my_gain(15360, 1024, 6)), 1))

# %%
gammas = [2, 4, 6, 10, 20, 60]
gains = {
    "pairs": [gamma**2 for gamma in gammas],
    "15,360 tokens": [round(float(my_gain(15360, 1024, gamma)), 2) for gamma in gammas],
    "1,536 tokens": [round(float(my_gain(1536, 1024, gamma)), 2) for gamma in gammas],
    "tokens": gammas,
}
plots.show(plots.cost(gammas, gains, "times fewer", "gamma", "What merging gains by the count, D = 1024", guides=()))

# %% [markdown]
# The outer lines are the two simple guesses: the bill falls as the pairs do, or as the tokens do. The whole film starts
# out beside the pairs, and leaves them: the more is merged, the less of its bill is quadratic. Six frames, 1,536 tokens,
# are below the crossing from the start, and keep nearer to the tokens.
#
# Now on the clock: half the tokens, so gamma = 2.

# %% [markdown] tags=["prediction"]
# **Before you run it:** a whole attention layer, projections included, with $D = 256$. We go from 4,096 tokens to 2,048.
# How many times faster will it be: by the count, with stored scores, and with fused attention? Write three numbers, as
# in `[1, 2, 3]`.

# %%
checks.predict("01-half", ...)

# %% tags=["nbval-ignore-output"]
matrix = torch.randn(256, 256) / 16


def layer(x, attend):
    """A whole attention layer with one head: three projections, attention, one more projection."""
    q, k, v = x @ matrix, x @ matrix, x @ matrix
    return attend(q, k, v) @ matrix


rows = []
for n in (1024, 2048, 4096):
    more, less = torch.randn(1, 1, n, 256), torch.randn(1, 1, n // 2, 256)
    stored, tiled = (seconds(layer, more, fn) / seconds(layer, less, fn) for fn in (attention, fused))
    faster = [round(float(gain), 1) for gain in (my_gain(n, 256, 2), stored, tiled)]
    rows.append(f"{n:5,} to {n // 2:5,}    x {faster[0]}    x {faster[1]}    x {faster[2]}")
print("tokens            counted   stored    fused", *rows, sep="\n")
checks.replay("01-half", faster)

# %% [markdown]
# By the count, halving brings between 2 and 4: near 2 while the projections dominate, nearer to 4 the more tokens there
# are. The clock follows with some noise. Stored attention may gain more than 4, where half the tokens bring the
# scores back into the cache. Fused attention gains what the count says, or a little less.
#
# What it does to memory follows from the shapes: a quarter of the scores if they are stored, half of everything else.

# %% [markdown]
# ## Your turn 5: how many frames fit?
#
# You have `budget` bytes for one matrix of float32 scores. A frame gives `per_frame` tokens. How many whole frames can
# attend to each other with stored scores?

# %% nbgrader={"grade": false, "grade_id": "frames-that-fit", "locked": false, "schema_version": 3, "solution": true, "task": false}
def frames_that_fit(budget: int, per_frame: int) -> int:
    """The largest number of whole frames whose scores, 4 bytes each, take no more than budget bytes."""
    ### BEGIN SOLUTION
    tokens = math.isqrt(budget // 4)
    return tokens // per_frame
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "frames-that-fit-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.frames_that_fit(frames_that_fit)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# The largest $N$ with $4 N^2 \le$ `budget` is the whole part of $\sqrt{\texttt{budget} / 4}$. Because of the root, four times
# the memory buys only twice the frames. With 256 tokens a frame, 1 GiB is enough for 64 frames and 4 GiB for 128.
#
# </details>

# %% [markdown]
# ## What the paper reports, and what we measured
#
# The VTM paper reports that its best merger takes 84% less memory than its own network without merging, and runs 6.89 times
# as fast. No code was published with it, so nobody can look up whether that network stored its scores. Here is how much
# fused attention alone brings, with every token still there:

# %% tags=["nbval-ignore-output"]
faster = timed["stored"][-1] / timed["fused"][-1]
smaller = 1 - held["fused"][-1] / held["stored"][-1]
print(f"{sizes[-1]:,} tokens, D = 64, fused beside stored: {faster:.1f} times as fast, {smaller:.0%} less memory")

# %% [markdown]
# These two are not the same experiment: a whole network there, one attention here. But they warn of the same thing.
# **A speed-up is a ratio, so always ask what it is divided by.** In this course every ratio says whether its baseline is
# stored or fused attention. Lesson 09 measures the paper's network against both.
#
# VTM saves in one more way. Its first block attends inside chunks of 6 frames, not over the film: ten small squares in place of
# a large one.

# %%
whole = sum(bill(60 * 256, 1024).values())
chunked = 10 * sum(bill(6 * 256, 1024).values())
print(f"60 frames at once: {whole / 1e9:.0f} billion multiply-adds; ten chunks of 6: {chunked / 1e9:.0f} billion")

# %% [markdown]
# ## Where this fails
#
# - **Counts are not times.** The softmax showed it. Compare methods by the clock, and on the machine that will be used.
# - **Below about $2D$ tokens** attention is not the problem. Merging then saves little more than in proportion to the tokens.
# - **One head was counted.** With $h$ heads of $D / h$ numbers each, the multiply-adds stay the same, but stored scores
#   become $h N^2$ numbers.
# - **Forward only.** Training also keeps what the backward pass needs, so it holds more.
# - **Exponents bend.** A slope fitted over a range of sizes is a summary of that range. Caches, threads and start-up costs
#   bend the line.

# %% [markdown]
# ## Recap
#
# - A film of $L$ frames with $H \times W$ patches has $N = L H W$ tokens: 15,360 for 60 frames of 16 x 16.
# - An attention layer costs $4 N D^2 + 2 N^2 D$ multiply-adds. The quadratic part leads above $N = 2D$.
# - Stored scores take $N^2$ memory. Fused attention takes linear memory, with the same result, in quadratic time.
# - Fewer tokens cut both: half the tokens cost a half to a quarter.
#
# **Three questions**
#
# 1. A film is read with 120 frames in place of 60. By how much do the tokens, the scores' memory and the projections grow?
# 2. Your tokens have $D = 768$, and you attend inside single frames of 196 tokens. Is the quadratic part the larger one?
# 3. Somebody merges half of 15,360 tokens and reports "x 4 faster, -75% memory". Which attention do you suspect?
#
# <details><summary>Answers</summary>
#
# 1. Twice, four times, twice.
# 2. No. It would have to be more than $2 \cdot 768 = 1{,}536$ tokens. Here it is $196 / 1{,}536$, about 13%, of the projections.
# 3. Stored. Memory fell by three quarters, as $N^2$ does. Fused attention would have saved about half of the memory.
#
# </details>
#
# **Next:** tokens have to go. [Lesson 02](02_bipartite_matching.ipynb) builds the operator that decides which ones.
