# %% [markdown]
# # 09 Speed and memory
#
# **You will** find out where the time of the paper's network goes, before and after merging · speed it up in four ways,
# one at a time, each predicted first · measure what "6.89 times as fast" depends on.
#
# **Time** 55 minutes · **Needs** [lesson 01](01_the_price_of_attention.ipynb) (stored and fused attention) and
# [lesson 04](04_naive_vtm.ipynb) (the network) · **Runs in** about a minute and a half, no GPU

# %% [markdown]
# ## The question
#
# The VTM paper reports 6.89 times the throughput and 84% less memory than "the baseline". Two numbers, and a word that hides
# a lot. 6.89 times as fast *as what*? Where did the time go before, and where does what is left of it go now? And is there
# more to be had?
#
# There is a rule for such questions: **measure before you think, and guess before you measure.** The guess shows you what
# you believed. Keep a sheet of paper at hand; you will be asked for nine guesses.

# %%
import json
import os
import time
from statistics import median

os.environ["KINETO_LOG_LEVEL"] = "6"  # keeps torch's profiler quiet; it is read when torch is imported

import itertools

import torch

from vtm_lesson import checks, data_path, measuring, plots
from vtm_lesson.measuring import bench_network, bench_pieces, forecast, scaling
from vtm_lesson.measuring import roofline as bounds
from vtm_lesson.merging import match, match_plain, nearest
from vtm_lesson.network import VideoClassifier, by_chunks, count
from vtm_lesson.partition import uniform

torch.set_num_threads(1)

# %% [markdown]
# How much does that word hide? Here is learnable merging at the paper's size, with $\gamma = 6$ and every source merged, measured by this
# project's benchmark: three ways to build it, each beside two baselines without merging. One film, one run, on one machine, A; a second
# one, B, comes later.

# %% tags=["nbval-ignore-output"]
RESULTS = data_path("results")
record = json.loads((RESULTS / "bench_network.json").read_text())
found = {row["name"]: row for row in record["rows"]}
faster = {}
for way, ending in {"the paper's order": "", "merged scores": ", merged scores", "merging first": ", merging first"}.items():
    row = found["learnable, gamma 6, R = |S|" + ending]
    for word in ("fused", "stored"):
        gain = row[f"speedup_over_{word}"]
        faster[f"{way}: beside {word} attention"] = gain["median"], gain["low"], gain["high"]
plots.show(plots.bars(faster, "times as fast (median and middle half of the rounds)", title="Learnable merging: one budget, six numbers, one machine"))

# %% [markdown]
# The longest bar is many times the shortest, and every bar is honest. At the end of this lesson you will know what each of them
# compares, which of them a second machine confirms, and how the second and the third way work.
#
# Everything from here on runs on one core, as in lesson 01: the picture is then the same on a busy machine. All times stored in this
# notebook come from the machine that built it. Run the cells, and yours take their place. The text states only what we
# expect on any machine.

# %% [markdown]
# ## A network a quarter the size
#
# At the paper's size, 60 frames of 16 x 16 tokens with 1,024 channels, one run of the baseline takes many seconds and
# gigabytes. We take a quarter of the tokens, 8 x 8 a frame, and a quarter of the channels, 256. Is that still the
# same network? Attention costs $N \cdot n \cdot C$ for chunks of $n$ tokens, the linear layers $N \cdot C^2$. With a
# quarter of everything, each shrinks 64 times, so their *shares* stay. The ledger of lesson 04 can check that:

# %%
CHUNKS = (6, 30, 60)
small = count({"dim": 256, "chunks": CHUNKS, "gamma": 1}, 60, 8, 8)
large = count({"dim": 1024, "chunks": CHUNKS, "gamma": 1}, 60, 16, 16)
for i, (s, b) in enumerate(zip(small.blocks, large.blocks, strict=True), 1):
    print(f"block {i}: {s.total / 1e9:5.2f} GFLOPs here, {b.total / 1e9:6.1f} at the paper's size: x{b.total / s.total:.0f}")

# %% [markdown]
# One thing does not keep its share. An attention matrix has $n^2$ scores, whatever $C$ is; it shrinks 16 times only.
# So whatever *storing* scores costs should weigh more here than at the paper's size. Remember that when ratios come.
#
# Here are the networks. All have the same weights, as the seed is the same.

# %%
def network(**options):
    """The paper's network at a quarter of its size, ready to run."""
    torch.manual_seed(0)
    return VideoClassifier(256, chunks=CHUNKS, **options).eval()


film = torch.randn(1, 60, 8, 8, 256, generator=torch.Generator().manual_seed(1))  # an encoder's tokens, made up
stored = network(gamma=1, attention="stored")  # the baseline: no merging, scores are stored
merging = network(gamma=6, attention="stored")  # naive VTM, R = |S|
print(count(merging, 60, 8, 8))

# %% [markdown]
# ## Profile first
#
# A block's work falls into five parts: the linear layer for queries, keys and values (QKV); attention itself; merging, with
# partition and match; the linear layer that halves the channels; and the rest, layer norm and GELU.

# %% [markdown] tags=["prediction"]
# **Guess 1, before you run it.** Without merging, scores stored. The ledger above says that the three blocks cost 3.3, 4.2
# and 3.9 GFLOPs. Which block takes the most *time*? And which of the five parts?
#
# *My guess:*

# %% [markdown]
# The profiler is a stopwatch at every door: PyTorch calls a **hook** whenever a module is entered or left. Ours writes into `marks` the time
# and which step has just ended.

# %%
STEPS = ("QKV", "attention", "merging", "linear", "rest")


def steps(model):
    """One run: for each block, the milliseconds of every step."""
    marks, hooks = [], []

    def watch(register, block, step):  # `step` is what has just ended
        hooks.append(register(lambda *_: marks.append((block, step, time.perf_counter()))))

    for i, block in enumerate(model.blocks):
        watch(block.register_forward_pre_hook, i, None)
        watch(block.attention.norm.register_forward_hook, i, "rest")
        watch(block.attention.qkv.register_forward_hook, i, "QKV")
        watch(block.attention.register_forward_hook, i, "attention")
        watch(block.linear.register_forward_pre_hook, i, "merging")
        watch(block.linear.register_forward_hook, i, "linear")
        watch(block.register_forward_hook, i, "rest")
    with torch.inference_mode():
        model(film)
    for hook in hooks:
        hook.remove()
    table = [dict.fromkeys(STEPS, 0.0) for _ in model.blocks]
    for (_, _, before), (block, step, now) in itertools.pairwise(marks):
        if step is not None:
            table[block][step] += 1e3 * (now - before)
    return table


def profile(*models, rounds=6):
    """For each model and block, every step in its fastest round; models take turns, the first round is a warm-up."""
    found = [[steps(model) for model in models] for _ in range(rounds + 1)][1:]
    fastest = []
    for m, model in enumerate(models):
        fastest.append([{s: min(f[m][i][s] for f in found) for s in STEPS} for i in range(len(model.blocks))])
    return fastest


def rows(table, name):
    """The profile as rows of a figure."""
    return {f"{name}block {i}": row for i, row in enumerate(table, 1)}

# %% tags=["nbval-ignore-output"]
(before,) = profile(stored)
plots.show(plots.bill(rows(before, ""), "milliseconds", title="Where the time goes without merging, scores stored"))

# %% [markdown]
# What to see: by FLOPs the three blocks are nearly equal. By the clock they are not. Block 3, which has the longest chunk and
# the narrowest tokens, takes far more than a third of the time, and nearly all of it is attention. A FLOP of attention that stores its
# scores is more expensive there than a FLOP in a linear layer. Why? Keep the question; the roofline below has an answer.

# %% [markdown] tags=["prediction"]
# **Guess 2.** Now with merging, $\gamma = 6$, $R = |S|$. The tokens go 3,840 → 640 → 108 → 18. Which block takes the
# most time now? Which part of it? And does matching eat up what merging saves?
#
# *My guess:*

# %% tags=["nbval-ignore-output"]
before, after = profile(stored, merging)
plots.show(plots.bill(rows(before, "") | rows(after, "merging, "), "milliseconds",
                      title="Where the time goes, without merging and with it"))  # fmt: skip

# %% [markdown]
# Blocks 2 and 3 have all but vanished, and **block 1 is nearly everything that is left**. It has to be: merging comes
# *after* attention, so attention of block 1 still sees all tokens. Merging itself is a small part of the whole. Some of it is start-up, the
# same for few tokens as for many: in block 3, where little is left of anything, it may well be the largest part.

# %% [markdown]
# ## How much can be won at all?
#
# That is a law with a name: **Amdahl's**. By hand: a program takes 10 seconds, 6 in attention, 3 in linear layers, 1 in
# the rest. Somebody makes attention 3 times as fast. It now takes $2 + 3 + 1 = 6$ seconds: the whole is $10/6 = 1.67$
# times as fast, not 3 times. With attention infinitely fast it would be $10/4 = 2.5$ times. What you do not touch
# sets the limit.
#
# $$ \text{speed-up} = \frac{\sum_i t_i}{\sum_i t_i / f_i} $$
#
# where part $i$ takes $t_i$ seconds, and becomes $f_i$ times as fast.

# %% [markdown]
# ## Your turn: Amdahl's law
#
# Part `i` takes `seconds[i]` and is made `speedups[i]` times as fast. How many times as fast is the whole?

# %% nbgrader={"grade": false, "grade_id": "amdahl", "locked": false, "schema_version": 3, "solution": true, "task": false}
def amdahl(seconds: list[float], speedups: list[float]) -> float:
    """The speed-up of the whole."""
    ### BEGIN SOLUTION
    left = sum(s / f for s, f in zip(seconds, speedups, strict=True))
    return sum(seconds) / left
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "amdahl-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.amdahl(amdahl)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1</summary>
#
# A speed-up is a ratio of two times: all of it before, all of it after. Write down both.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A part that took $s$ seconds and runs $f$ times as fast takes $s / f$ seconds.
#
# </details>
#
# <details><summary>Hint 3</summary>
#
# Divide `sum(seconds)` by the sum of all `s / f`.
#
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Times add up, speed-ups do not. A part that takes 5% of the time is worth little effort: made infinitely fast, it gives
# $1/0.95$, about 5%.
#
# </details>

# %% [markdown]
# ## Speed-up 1: merging
#
# Now predict the speed-up from the profile without merging. The ledger knows how many FLOPs each block loses. If
# time went with FLOPs inside a block, we would get:

# %% tags=["nbval-ignore-output"]
blocks = [sum(row.values()) for row in before]
fewer = [b.total / a.total for b, a in zip(small.blocks, count(merging, 60, 8, 8).blocks, strict=True)]
predicted = bounds.amdahl(blocks, fewer)
print("FLOPs, block by block: " + ", ".join(f"{f:.2f} times fewer" for f in fewer))
print(f"predicted: {predicted:.1f} times as fast; with blocks 2 and 3 for nothing {sum(blocks) / blocks[0]:.1f} times")

# %% [markdown]
# And measured: the two networks take turns, so that whatever else the machine does hits both. The ratio is taken inside each
# round; printed are its median and, in brackets, the middle half of the rounds.

# %% tags=["nbval-ignore-output"]
def run(model):
    """One run of a network over the film."""
    with torch.inference_mode():
        return model(film)


def timed(rounds=8, **models):
    """Seconds of every network, or other function, in every round, in turns."""
    calls = {n: (lambda m=m: run(m)) if isinstance(m, torch.nn.Module) else m for n, m in models.items()}
    return measuring.interleaved(calls, rounds)


times = timed(stored=stored, merging=merging)
gain = measuring.words(measuring.ratio(times, "stored", "merging"))
print(f"merging against no merging, both with stored scores: x{gain}")

# %% [markdown]
# **The reason:** fewer tokens in blocks 2 and 3, where the cost goes with the square. The limit is block 1. A larger
# $\gamma$ hardly helps: blocks 2 and 3 are nothing already. (If measurement and prediction differ, look at the network *without*
# merging: it moves 117 MiB of scores about, and its time scatters most of all.)

# %% [markdown]
# ## Speed-up 2: do not store the scores
#
# Lesson 01 had two kinds of attention with the same result: one that stores all scores, and PyTorch's fused one. The
# baselines above store theirs. The fused kind is one word in the code.

# %%
fused = network(gamma=1)  # fused is what our network does unless it is told otherwise
both = network(gamma=6)
print("same result without merging:", torch.allclose(run(stored), run(fused), atol=1e-5))

# %% [markdown] tags=["prediction"]
# **Guess 3.** How many times as fast is the network *without* merging when its attention is fused? And the network *with*
# merging? In which of the two does it bring more, and why?
#
# *My guess:*

# %% tags=["nbval-ignore-output"]
times = timed(stored=stored, fused=fused, merging=merging, both=both)
for name, slow, fast in [
    ("no merging: fused against stored", "stored", "fused"),
    ("merging:    fused against stored", "merging", "both"),
    ("stored:     merging against none", "stored", "merging"),
    ("fused:      merging against none", "fused", "both"),
]:
    print(f"{name}  x{measuring.words(measuring.ratio(times, slow, fast))}")
for name, model in {"stored": stored, "fused": fused}.items():
    start = os.times()
    for _ in range(10):
        run(model)
    own, system = (100 * (now - then) for now, then in zip(os.times()[:2], start[:2], strict=True))  # ms a run
    print(f"no merging, {name}: {own:.0f} ms of processor time in the network, {system:.0f} ms in the operating system")

# %% [markdown]
# **The reason:** stored scores go out to memory and come back, several times. And memory for a matrix as large as block 3's is as a rule
# asked of the operating system anew in every run, which hands it out page by page and empties each page first (a **page fault**): compare
# the system's times in the last two lines. Without merging there are many scores in blocks 2 and 3, so fused attention brings a lot; with
# merging few are left. So **the same merging looks better beside stored attention than beside fused attention** (third line and fourth), by
# as much as storing scores costs on *this machine*. Both are true: the third is the gain over attention that stores its scores, the fourth
# that over the attention that PyTorch has today.

# %% [markdown]
# ### And memory?
#
# Memory needs no stopwatch. `peak_tensors` adds up what is allocated and freed during a run.

# %% [markdown] tags=["prediction"]
# **Guess 4.** The film's tokens take 3.75 MiB. One matrix of scores of block 3 takes $4 \cdot 3840^2$ bytes, 56 MiB. What is the
# peak of each of the four networks? Which of merging and fused attention saves more, and what do both together save?
#
# *My guess:*

# %% tags=["nbval-ignore-output"]
memory = {}
for name, model in [("no merging, stored", stored), ("no merging, fused", fused),
                    ("merging, stored", merging), ("merging, fused", both)]:  # fmt: skip
    memory[name] = measuring.peak_tensors(lambda model=model: run(model)) / 2**20
plots.show(plots.bars(memory, "MiB at the peak", title="Memory of one run, beyond weights and input"))

# %% [markdown]
# A surprise is in there. With fused attention merging saves *no* peak memory to speak of: Q, K and V of block 1 and
# attention's output, 15 MiB, exist in both networks before anything is merged. What merging saves is scores, and fused attention has none:
# it saves more than merging with stored scores does, and every token is still there. So 84% less memory, by merging after attention, points to a baseline that stores its scores. (At the paper's
# size one matrix of block 3 takes 900 MiB, and there are two at the peak.)

# %% [markdown]
# ## Your turn: the scores at the peak
#
# Scores need not all exist at one moment. `n` tokens attend in chunks of `chunk` tokens (`chunk` divides `n`). The
# computer works on `together` chunks at a time, and in each of them on `rows` queries at a time, against all keys of their
# chunk. How many bytes of float32 scores exist at one moment, at the most? Beware of `together` and `rows` that are
# larger than what there is.

# %% nbgrader={"grade": false, "grade_id": "peak-score-memory", "locked": false, "schema_version": 3, "solution": true, "task": false}
def peak_score_memory(n: int, chunk: int, together: int, rows: int) -> int:
    """Bytes of scores at one moment, one matrix of them."""
    ### BEGIN SOLUTION
    chunks = min(together, n // chunk)
    queries = min(rows, chunk)
    return 4 * chunks * queries * chunk
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "peak-score-memory-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.peak_score_memory(peak_score_memory)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1</summary>
#
# Draw the scores of one chunk: a square, queries downwards, keys to the right. Which part of how many such squares exists?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `rows` queries against all keys of the chunk are `rows * chunk` scores. There are `n // chunk` chunks in all.
#
# </details>
#
# <details><summary>Hint 3</summary>
#
# `min(together, n // chunk)` squares, and of each `min(rows, chunk)` rows of `chunk` scores. Four bytes each.
#
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# The paper's block 3: one chunk of 15,360 tokens, 900 MiB for all rows, less than 4 MiB for 64 rows at a time. The number of
# multiplications is the same. That is what fused attention does, and what `match` does.
#
# </details>

# %% [markdown]
# ## Speed-up 3: merge the scores
#
# Block 1 is nearly everything that is left. Look at what it does to a chunk of 384 tokens: attention makes 384 outputs, and
# the next step averages them into 64. Nobody else ever looks at the 384. Need they be made?
#
# By hand: two tokens will be merged. After the softmax, the first has the weights $(0.5, 0.5)$ and the second $(0.1, 0.9)$ for two values,
# $10$ and $20$. Attention gives $0.5 \cdot 10 + 0.5 \cdot 20 = 15$ and $0.1 \cdot 10 + 0.9 \cdot 20 = 19$; merged, $17$. Now
# average the *weights* first: $(0.3, 0.7)$. One output is left to make, $0.3 \cdot 10 + 0.7 \cdot 20 = 17$.
#
# It is no accident. Attention multiplies the values $V$ by a matrix $P$, the scores after the softmax. Merging multiplies by a matrix, too: $M$
# has a row for each output token, with $1/\text{size}$ at each member of its group; by hand that was $(0.5, 0.5)$. And in a product of three
# matrices one may start with the left pair or with the right one:
#
# $$ M\,(P V) = (M P)\,V $$
#
#                  P  384 x 384         V            P V             M (P V)
#                 ┌────────────┐    ┌────────┐    ┌────────┐
#         usual   │            │    │        │    │        │        ┌────────┐
#                 │            │ ·  │        │ =  │        │ → M →  └────────┘
#                 │            │    │        │    │        │         64 x 256
#                 └────────────┘    └────────┘    └────────┘
#                                    384 x 256     384 x 256
#
#                 ┌────────────┐    ┌────────┐    ┌────────┐
#       swapped   └────────────┘ ·  │        │ =  └────────┘
#                  M P  64 x 384    │        │     64 x 256
#                                   │        │
#                                   └────────┘
#
# Above, 384 rows meet the values; below 64. (The thin boxes are drawn too thick.) Which tokens form a group must be known before; it is, because
# matching looks at the keys, which come before attention. With one head it goes on: $V = x W$, so $(M P)\,x\,W$, and
# values are made for 64 tokens in place of 384.

# %%
g = torch.Generator().manual_seed(4)
x = torch.randn(1, 384, 256, generator=g)  # one chunk
wq, wk, wv = torch.randn(3, 256, 256, generator=g) / 16  # the root of 256: keys stay as long as tokens
q, k = x @ wq, x @ wk
merge = match(k, uniform(384, gamma=6))  # from the keys alone
P = (q @ k.transpose(1, 2) / 16).softmax(-1)
usual = merge(P @ (x @ wv))  # M (P V): 384 rows meet the values
swapped = merge(P) @ x @ wv  # ((M P) x) W: 64 rows do
print(usual.shape, "same result:", torch.allclose(usual, swapped, atol=1e-5))

# %% [markdown]
# What it cannot save is the scores themselves. The softmax is not linear: the mean of two softmaxes is not the softmax of
# a mean. So $Q$, $K$ and $Q K^\top$ stay as they are. In our network the trick is one word again, `attention="merged"` ("merged scores" below).

# %%
averaged = network(gamma=6, attention="merged")
print("same result:", torch.allclose(run(both), run(averaged), atol=1e-5))

# %% [markdown]
# ## Your turn: what is left of the FLOPs
#
# One chunk of `n` tokens with `dim` channels attends to itself, with one head, and merging leaves `m` tokens. How many FLOPs do the matrix
# products take on the way from tokens to merged outputs: the usual way $M (P V)$, and the swapped way $((M P)\,x)\,W$? Averaging by
# $M$ is a few additions and no matrix product here: leave it out. The product of an $a \times b$ and a $b \times c$ matrix takes $2abc$ FLOPs.

# %% nbgrader={"grade": false, "grade_id": "swapped-flops", "locked": false, "schema_version": 3, "solution": true, "task": false}
def swapped_flops(n: int, m: int, dim: int) -> tuple[int, int]:
    """FLOPs of one chunk: (the usual way, the swapped way)."""
    ### BEGIN SOLUTION
    queries_or_keys = 2 * n * dim * dim
    scores = 2 * n * n * dim
    usual = 3 * queries_or_keys + scores + 2 * n * n * dim
    swapped = 2 * queries_or_keys + scores + 2 * m * n * dim + 2 * m * dim * dim
    return usual, swapped
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "swapped-flops-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.swapped_flops(swapped_flops)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1</summary>
#
# Write down every matrix product of each way, with its three sizes. Do not forget those that make queries, keys and values.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Usual: three products of $n \times d$ by $d \times d$, then $n \times d$ by $d \times n$, then $n \times n$ by $n \times d$. Swapped:
# $M P$ has $m$ rows, and the values are made from what it gives. Which products stay as they were?
#
# </details>
#
# <details><summary>Hint 3</summary>
#
# Queries, keys and $Q K^\top$ stay. `2 * m * n * dim` for $(M P)\,x$, and `2 * m * dim * dim` for $W$.
#
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Of five products three stay: two that make queries and keys, and the one that makes the scores. So even with $m$ close to zero at most half of
# attention's FLOPs and a third of QKV's can be saved. What is left is the new limit, as Amdahl says.
#
# </details>

# %% [markdown]
# The ledger counts the same for block 1, in all ten chunks:

# %%
def first_block(name, model):
    """Print the FLOPs of block 1, by what they are spent on."""
    parts = count(model, 60, 8, 8).blocks[0].flops
    print(f"{name:24s} " + ", ".join(f"{part} {v / 1e6:,.0f}" for part, v in parts.items() if v) + " million FLOPs")


first_block("fused attention", both)
first_block("merged scores", averaged)

# %% [markdown] tags=["prediction"]
# **Guess 5.** How many times as fast is the whole network, beside merging with fused attention? As many times as it has fewer FLOPs?
#
# *My guess:*

# %% tags=["nbval-ignore-output"]
fewer = count(both, 60, 8, 8).flops / count(averaged, 60, 8, 8).flops
times = timed(both=both, averaged=averaged)
memory["merging, merged scores"] = measuring.peak_tensors(lambda: run(averaged)) / 2**20
print(f"{fewer:.2f} times fewer FLOPs; merged scores against fused attention: x{measuring.words(measuring.ratio(times, 'both', 'averaged'))}")
print(f"peak {memory['merging, fused']:.1f} MiB with fused attention, {memory['merging, merged scores']:.1f} MiB with merged scores")

# %% [markdown]
# **The reason:** fewer FLOPs, in the one block that matters. Expect less than the FLOPs promise, probably because the scores are now
# written, read by the softmax and read again by the averages, if only in tiles small enough for the processor's cache.
# Memory is saved, too: queries exist for a tile only, values for merged tokens only. In a network
# as small as ours the tiles take most of that back; at the paper's size they do not (the stored figures below). All this is for inference (to
# train, every tile would have to be kept) and for one head: with several, each has scores of its own to average.

# %% [markdown]
# ## Less memory: chunk by chunk
#
# Block 1 holds the peak. But its ten chunks never look at each other. Nothing forces us to keep all ten in memory: run
# block 1 on the first chunk, keep the 64 tokens that it leaves, go on to the next. `by_chunks` does it, for all blocks.

# %% [markdown] tags=["prediction"]
# **Guess 6.** Chunk by chunk with fused attention and merging. What happens to the result, the time, and the peak of memory?
#
# *My guess:*

# %%
print("same result:", torch.allclose(run(both), by_chunks(both, film), atol=1e-5))

# %% tags=["nbval-ignore-output"]
times = timed(at_once=both, by_chunks=lambda: by_chunks(both, film))
memory["merging, fused, by chunks"] = measuring.peak_tensors(lambda: by_chunks(both, film)) / 2**20
print(f"time by chunks / at once: {measuring.words(measuring.ratio(times, 'by_chunks', 'at_once'))}")
print(f"peak {memory['merging, fused']:.1f} MiB at once, {memory['merging, fused, by chunks']:.1f} MiB by chunks")

# %% [markdown]
# **The reason:** the same sums in another order, so memory falls to about what one chunk needs (here one chunk in ten). Time
# does not fall: nothing is left out, and ten small pieces cost more start-up than a large one. The larger the pieces, the less that counts. `by_chunks` also takes a function that *reads* frames; then not even the input has to be in memory. This is how a
# film of an hour goes through.

# %% [markdown]
# ## Speed-up 4: merging first
#
# What takes the time now is block 1's queries, keys and scores over all tokens. To be rid of those, too, one has to merge *before* the first
# attention, on the encoder's tokens. That is **another network with another result**. What it costs in accuracy no stopwatch
# can tell.

# %% [markdown] tags=["prediction"]
# **Guess 7.** Merging before attention at $\gamma = 6$: block 1's attention sees 64 tokens of each chunk in place of 384. How
# many times as fast as merging after attention?
#
# *My guess:*

# %%
first = network(gamma=6, merge_at="before_attention")
first_block("merging after attention", both)
first_block("merging before attention", first)

# %% tags=["nbval-ignore-output"]
times = timed(after=both, before=first)
memory["merging first, fused"] = measuring.peak_tensors(lambda: run(first)) / 2**20
memory["merging first, fused, by chunks"] = measuring.peak_tensors(lambda: by_chunks(first, film)) / 2**20
print(f"merging before against after attention: x{measuring.words(measuring.ratio(times, 'after', 'before'))}")

# %% [markdown]
# Block 1 has 7 times fewer FLOPs by the ledger. Matching still makes 105 million of them, now a quarter. Expect less from the clock: finding out
# what to merge takes as long as before, and longer than its FLOPs say, as searching and sorting are not in the ledger. Amdahl again.

# %% [markdown]
# ## Inside the matcher
#
# Matching compares all sources with all targets. Written down plainly, it stores all scores, as attention did:
# `match_plain`. `match` goes through them in tiles, and keeps of each row only the best. It is the same function.

# %%
keys = torch.randn(1, 4096, 64, generator=torch.Generator().manual_seed(2))
targets = uniform(4096, gamma=6)
plain, tiled = match_plain(keys, targets), match(keys, targets)
print("same assignment:", torch.equal(plain.group, tiled.group))

# %% [markdown] tags=["prediction"]
# **Guess 8.** At twice the tokens, how much does the memory of `match_plain` grow? That of `match`? And which one is faster?
#
# *My guess:*

# %% tags=["nbval-ignore-output"]
sizes, peaks, faster = [1024, 2048, 4096, 8192, 16384], {"plain": [], "match": []}, []
for n in sizes:
    keys, targets = torch.randn(1, n, 64), uniform(n, gamma=6)
    versions = {"plain": lambda k=keys, t=targets: match_plain(k, t), "match": lambda k=keys, t=targets: match(k, t)}
    for name, version in versions.items():
        peaks[name].append(measuring.peak_tensors(version) / 2**20)
    took = measuring.interleaved(versions, rounds=9 if n < 8192 else 4)
    faster.append(f"{n:6,} tokens: x{measuring.words(measuring.ratio(took, 'plain', 'match'))}")
plots.show(plots.cost(sizes, peaks, ylabel="MiB", title="Peak memory of matching, gamma = 6, D = 64"))
print("match against match_plain", *faster, sep="\n")

# %% [markdown]
# The plain version's memory goes up by three at first and by nearly four in the end, as the scores take over. The memory of `match` does so
# only until the scores fill a tile (16 MiB); from there on it grows in proportion to the tokens at most. For few tokens there is no time to gain.
# For many, tiles stay in the processor's cache while their maxima are looked for, and on some processors there is one more trick.
#
# It is for processors that multiply **bfloat16** by themselves, about twice as fast as float32, with 8 significant bits in
# place of 24. Only the *best* target of each source matters. So, with 512 targets or more, `match` first makes all cosines in bfloat16. They are off by
# about 0.004 at most here. A target further below the best than twice that cannot be the best. Usually one or two candidates are left of each
# row, and only those are multiplied again in float32. The result is exact; `vtm_lesson/merging/fast_cpu.py` has the bound.

# %% [markdown]
# ## The roofline: what the machine allows
#
# Why is a FLOP of attention dearer than a FLOP of a linear layer? A processor has two ceilings: how fast it computes, and how fast
# it fetches numbers from memory. Which of the two a piece of work meets depends on one number, its **arithmetic
# intensity**: the FLOPs it makes with each byte it moves.
#
# By hand, two pieces of work on matrices of 100 x 100 float32 numbers, which read two matrices and write one:
# $3 \cdot 100^2 \cdot 4 = 120{,}000$ bytes both times.
#
# | work | FLOPs | FLOPs per byte |
# |---|---|---|
# | sum $A + B$ | $100^2 = 10{,}000$ | $0.083$ |
# | product $A B$ | $2 \cdot 100^3 = 2{,}000{,}000$ | $16.7$ |
#
# Take a machine that computes 30 GFLOP/s and moves 10 GB/s. For the sum, memory delivers enough for
# $0.083 \cdot 10 = 0.83$ GFLOP/s: the processor waits most of the time. For the product it would be enough for $167$, so the
# processor is the limit: 30. The two ceilings meet at $30 / 10 = 3$ FLOPs per byte, the **ridge**.
#
# $$ \text{attainable} = \min(\text{peak},\ \text{intensity} \times \text{bandwidth}) $$

# %% [markdown]
# ## Your turn: under the roof
#
# Return the intensity of a piece of work, and the FLOP/s that a machine can reach on it at best.

# %% nbgrader={"grade": false, "grade_id": "roofline", "locked": false, "schema_version": 3, "solution": true, "task": false}
def roofline(flops: float, moved: float, peak: float, bandwidth: float) -> tuple[float, float]:
    """(FLOPs per byte, FLOP/s at best): moved in bytes, peak in FLOP/s, bandwidth in bytes/s."""
    ### BEGIN SOLUTION
    intensity = flops / moved
    return intensity, min(peak, intensity * bandwidth)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "roofline-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.roofline(roofline)

# %% [markdown] tags=["hint"]
# <details><summary>Hint 1</summary>
#
# Intensity: how many FLOPs are made with each byte that is moved?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `bandwidth` bytes come in each second. How many FLOPs can be made with them? And how many can the processor make?
#
# </details>
#
# <details><summary>Hint 3</summary>
#
# `intensity * bandwidth` is what memory feeds, `peak` is what the processor computes. The smaller one counts.
#
# </details>

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Memory and processor work at the same time, and the slower one decides. Left of the ridge that is memory: to be faster, move
# less. Right of it the processor: to be faster, compute less.
#
# </details>

# %% [markdown]
# Now our operators, $N$ tokens of $D$ channels. Three intensities by hand, with 4 bytes a number:
#
# - **Layer norm** reads and writes every number, and makes about 8 FLOPs with it: $8ND / 8ND = 1$. However many tokens.
# - **Attention that stores its scores** makes $4N^2D$ FLOPs. The $N^2$ scores are written by the first product, read and written to
#   divide them by $\sqrt D$, read and written by the softmax, and read by the second product: six times 4 bytes. That is
#   $4N^2D / 24N^2 = D/6$. However many tokens. A film that is longer does not help; narrower tokens hurt.
# - **Fused attention** makes the same FLOPs, but reads Q, K and V and writes its result once: $4N^2D / 16ND = N/4$. It *grows*
#   with the tokens.

# %% [markdown] tags=["prediction"]
# **Guess 9.** At $N = 2048$, $D = 64$: which of these end up left of this machine's ridge: merging, softmax, layer norm, Q K V,
# stored attention, matching, fused attention?
#
# *My guess:*

# %% [markdown]
# First the ceilings: matrix products of three sizes, and a large copy. The fastest of many short runs counts here.

# %% tags=["nbval-ignore-output"]
product, copy = [], (torch.ones(2**24), torch.empty(2**24))  # 64 MiB each: no cache holds them
for size in (256, 512, 1024):
    a, out = torch.randn(size, size), torch.empty(size, size)
    took = measuring.interleaved({"": lambda a=a, out=out: torch.mm(a, a, out=out)}, rounds=20)[""]
    product.append(2 * size**3 / min(took))
took = measuring.interleaved({"": lambda: copy[1].copy_(copy[0])}, rounds=20)[""]
peak, bandwidth = max(product), 2 * 4 * 2**24 / min(took)
print(f"computes {peak / 1e9:.0f} GFLOP/s, moves {bandwidth / 1e9:.0f} GB/s; the ridge: {peak / bandwidth:.1f} FLOPs per byte")

# %% tags=["nbval-ignore-output"]
works = bounds.workloads(n=2048, dim=64, gamma=6)
took = measuring.interleaved({name: work.run for name, work in works.items()}, rounds=10)
reached = {name: (work.flops / work.moved, work.flops / min(took[name])) for name, work in works.items()}
plots.show(plots.roofline(reached, peak, bandwidth, title="One core of this machine: what it allows, and what is reached"))

# %% [markdown]
# What to see:
#
# - **Left: merging, softmax, layer norm.** They move numbers more than they compute. They stay well below the roof, too, probably by work
#   that our FLOPs do not count: merging sorts the tokens by group, the softmax takes exponentials, layer norm starts anew for each short row.
# - **Right: Q K V, matching, fused attention.** Mostly matrix products, below the flat roof for reasons of
#   their own: narrow matrices, the exponentials, the search for the best target.
# - **Stored attention** makes the same FLOPs as the fused one, and reaches fewer of them in a second. Its two products stand on the right,
#   the division and the softmax between them far on the left, and times add up.
#   The narrower the tokens ($D/6$), the more the left part counts. Blocks 2 and 3 have the narrowest tokens: there is one
#   part of the answer to the question of the profile. The other: block 3 has a matrix of 56 MiB of scores, more than a cache holds.
#
# (A point may stand above the slanted roof: its numbers were still in the processor's cache.)

# %% [markdown]
# ## How cost grows
#
# One more picture from lesson 01, with the operators of this course: time against tokens, and the exponent $p$ of
# $t = a N^p$.

# %% tags=["nbval-ignore-output"]
sizes = [1024, 2048, 4096, 8192]
grown = scaling.growth(sizes, dim=64, limit=10.0, rounds=5)["points"]
series = {name: [1e3 * point["seconds"]["median"] for point in points] for name, points in grown.items()}
plots.show(plots.cost(sizes, series, ylabel="milliseconds", title="Cost against tokens, D = 64, gamma = 6"))
for name, milliseconds in series.items():
    power, error = scaling.exponent(sizes, milliseconds)
    print(f"{name:26s} N^{power:.1f} +- {error:.1f}")

# %% [markdown]
# Attention and matching compare everything with everything, so their exponents should be 2 in the end, and that of merging 1. Over a range as short
# as ours lines bend: a fixed cost per call pulls an exponent down, and so does any trick that starts at a certain size (`match` has
# two); leaving the cache, and page faults, push that of stored scores up. Matching is quadratic, too! It is cheaper than
# attention because it makes one product in place of two, with $\frac{1}{\gamma}(1 - \frac{1}{\gamma})$ of the pairs (0.14 at
# $\gamma = 6$), and no softmax. For its exponent one has to go further. A stored run of the
# benchmark (two threads) goes on to 262,144 tokens, with every operator until one call takes too long or needs too much memory:

# %% tags=["nbval-ignore-output"]
record = json.loads((RESULTS / "bench_growth.json").read_text())
print(record["command"], "on", record["machine"]["processor"], record["machine"]["date"])
for name, points in record["points"].items():
    last, fit = points[-1], record["exponents"][name]
    line = f"{name:26s} {last['tokens']:7,} tokens in {last['seconds']['median']:6.2f} s;  N^{fit['exponent']:.2f}"
    print(f"{line} +- {fit['standard_error']:.2f} from {fit['from']:,} tokens on")

# %% [markdown]
# ### The planner
#
# If cost is so regular, it can be predicted. `plan` runs two small networks, fits the time for each FLOP and for each block, and
# predicts any other. Let us ask for a film twice as long, which neither of the two has seen, and then run it.

# %% tags=["nbval-ignore-output"]
print("predicted, 120 frames:")
print(forecast.predict(120, (8, 8), 256, CHUNKS, gamma=6))
measured = forecast.block_costs(120, (8, 8), 256, CHUNKS, gamma=6)
print("measured:")
for i, (_, seconds, held) in enumerate(measured, 1):
    print(f"block {i}: {seconds:.3f} s, {held / 2**20:.0f} MiB")
print(f"in all {sum(seconds for _, seconds, _ in measured):.3f} s")

# %% [markdown]
# The prediction is as good as the machine is quiet, and better for the whole than for small blocks. Use it to choose, not to quote times.

# %% [markdown]
# ## What the paper reports, and what we just measured
#
# All versions once more, in turns, each against both baselines. The paper's 6.89 is for its learnable merger, so that one is
# here, too. (A ratio is the median of the ratios inside the rounds, so it need not be the quotient of two times in the first column.)

# %% tags=["nbval-ignore-output"]
learnable = network(gamma=6, partition="learnable")
learnable_averaged = network(gamma=6, partition="learnable", attention="merged")
versions = {
    "no merging, stored": stored,
    "no merging, fused": fused,
    "merging, stored": merging,
    "merging, fused": both,
    "learnable, fused": learnable,
    "merging, merged scores": averaged,
    "learnable, merged scores": learnable_averaged,
    "merging, fused, by chunks": lambda: by_chunks(both, film),
    "merging first, fused": first,
    "merging first, fused, by chunks": lambda: by_chunks(first, film),
}
memory["learnable, fused"] = measuring.peak_tensors(lambda: run(learnable)) / 2**20
memory["learnable, merged scores"] = measuring.peak_tensors(lambda: run(learnable_averaged)) / 2**20
times = timed(**versions)
base, today = "no merging, stored", "no merging, fused"
print(f"{'':33s}   ms      MiB   beside fused attention  beside stored scores")
ratios = {}
for name in versions:
    ms = 1e3 * median(times[name])
    line = f"{name:33s}{ms:5.0f} {memory[name]:8.1f}"
    for against, word in ((today, "fused"), (base, "stored")):
        gain = measuring.ratio(times, against, name)["median"]
        line += f"   x{gain:5.2f}  {memory[name] / memory[against] - 1:+5.0%} memory"
        ratios[f"{name}: beside {word}"] = gain
    print(line)

# %% tags=["nbval-ignore-output"]
chosen = {n: ratio for n, ratio in ratios.items() if not n.startswith("no merging") and "by chunks" not in n}
plots.show(plots.bars(chosen, "times as fast", title="The same networks beside two baselines without merging"))

# %% [markdown]
# One network, two honest numbers. What lies between them is the gain of fused attention alone. In the memory column, too: the row "no
# merging, fused" saves a large part of the stored baseline's memory with every token still there. So 6.89 says nothing until you know:
#
# 1. **the baseline's attention**, stored or fused;
# 2. **the size**: longer chunks and narrower tokens should make merging look better, as more of the time is in blocks 2 and 3;
# 3. **where merging stands**: block 1 is nearly everything that is left, wherever merging stands; before its attention merging makes it 7
#    times smaller by FLOPs, after it (the paper's place) with merged scores 1.5 times;
# 4. **what is counted**: with the encoder, which is frozen and runs in any case, every ratio shrinks (Amdahl);
# 5. **the machine**: its two ceilings, what new memory costs there, and how many videos run at once.
#
# No code was published with the paper, so nobody can look up its baseline's attention. Nor can our ratios be laid beside 6.89 digit by digit:
# ours is a quarter-size network on one core. The project's benchmark, `python -m vtm_lesson bench --part network`, runs the paper's full size.
# It ran on two machines of the same description, once on A and twice on B. It measures both ceilings, too. Side by side:

# %% tags=["nbval-ignore-output"]
files = [RESULTS / "bench_network.json", *sorted(RESULTS.glob("bench_network_machine_*.json"))]
runs = [json.loads(path.read_text()) for path in files]
names = ["A", *(path.stem.removeprefix("bench_network_machine_").replace("_run_", "") for path in files[1:])]
for name, record in zip(names, runs, strict=True):
    machine, ceiling = record["machine"], record["ceilings"]
    stored_seconds, fused_seconds = (row["seconds"]["median"] for row in record["rows"][:2])
    print(f"{name:2s} {machine['processor']}, {machine['threads']} threads, {machine['date']}", end="; ")
    print(f"{ceiling['flops_per_second'] / 1e9:.0f} GFLOP/s, a copy {ceiling['bytes_per_second'] / 1e9:.0f} GB/s", end="; ")
    print(f"no merging: fused {fused_seconds:.1f} s, stored {stored_seconds:.1f} s")
columns = "".join(f"{name:>6s}" for name in names)
print(f"\n{'R = |S| unless it says otherwise':48s}MiB, A   FLOPs  fused:{columns}  stored:{columns}")
for same in zip(*(record["rows"] for record in runs), strict=True):  # one version in all runs
    name, fewer = same[0]["name"].replace(", R = |S|", ""), runs[0]["rows"][1]["flops"] / same[0]["flops"]
    fused_gains, stored_gains = ("".join(f"{row[key]['median']:6.2f}" for row in same) for key in ("speedup_over_fused", "speedup_over_stored"))
    print(f"{name:48s}{same[0]['peak_bytes'] / 2**20:6,.0f}{fewer:8.2f}{'':8s}{fused_gains}{'':9s}{stored_gains}")

# %% [markdown]
# Read the columns beside *fused* attention first. They stay near what the FLOPs allow (no strict limit: it takes all versions to reach the same
# FLOP/s), and the machines differ little. Look for the learnable rows with $\gamma = 6$: fused attention, merged scores (less time *and*
# memory), by chunks (a fraction of the memory), merging first (another network). For $\gamma = 10$ the paper reports 7.49.
#
# Beside *stored* scores the machines differ a lot, and the baselines' seconds say why. With fused attention, which mostly
# computes, A took about a fifth longer than B; with stored scores, 70 to 80% longer, and every ratio in the last columns has that in it. The
# ceilings are nearly the same. But the copy reuses its memory, and stored scores ask for new memory in each run (the page
# faults above). That this was dearer on A is a guess; the benchmark did not record it. So **whoever quotes a ratio to
# stored scores quotes the machine's memory with it**, and the seconds of both baselines.
#
# Training, on one machine, is another matter. Nothing may be thrown away before the backward pass, and learnable merging runs its auxiliary path:

# %% tags=["nbval-ignore-output"]
def show_stored(pattern: str) -> None:
    """Print stored network figures, or say that there are none."""
    files = sorted(RESULTS.glob(pattern))
    if not files:
        print("not yet measured: no stored result here")
    for path in files:
        record = json.loads(path.read_text())
        machine = record["machine"]
        print(f"{machine['processor']}, {machine['threads']} threads, device {machine['device']}, {machine['date']}")
        print(f"one film, {record['dtype']}, {record['pass']}: {record['size']}")
        for r in record["rows"]:
            line = f"{r['name']:54s}{r['seconds']['median']:7.2f} s"
            line += f"{r['peak_bytes'] / 2**20:6.0f} MiB" if "peak_bytes" in r else ""
            for key in ("fused", "stored"):
                line += f"  x{r[f'speedup_over_{key}']['median']:.2f} {key}" if f"speedup_over_{key}" in r else ""
            print(line)


show_stored("bench_training.json")

# %% [markdown]
# ## What a GPU changes
#
# No CUDA device has been at hand for this project so far. So here are reasons, and no results: **everything about CUDA in
# this section is not yet measured.** If you have a GPU, the next cell measures on yours.
#
# - Data sheets give GPUs far higher ceilings, and a ridge much further right. If so, more of our operators are limited by
#   memory, and storing scores hurts more (not yet measured).
# - Starting a piece of work costs more, relative to the work. Small blocks like our 2 and 3 after merging may be all start-up
#   (not yet measured). The remedy is to record all the pieces once and start them together, which CUDA calls a graph; merging is made for it, as
#   the number of tokens left is known beforehand.
# - Nothing on the merging path may ask the GPU for a number and wait for it. Hence no `nonzero`, and no check of values there.

# %% tags=["gpu", "nbval-ignore-output"]
if torch.cuda.is_available():
    print("The paper's full size, on", torch.cuda.get_device_name())
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    on_gpu = {name: bench_network.network(device="cuda", dtype=kind) for name, kind in kinds.items()}
else:
    on_gpu = bench_pieces.stored("network")
for name, result in on_gpu.items():
    print(bench_network.text(result))
    faster = {row["name"]: row["speedup_over_fused"]["median"] for row in result["rows"] if "speedup_over_fused" in row}
    if faster:
        plots.show(plots.bars(faster, "times as fast as no merging, fused attention", f"On a GPU, {name}"))

# %% [markdown]
# ### The fused matcher
#
# `match` in tiles still writes each tile of scores, and reads it again. On a GPU one can do without. The scores of a block of
# sources against a block of targets fit into **registers**, the numbers a processor has at its fingertips. Look for the
# best there, keep it, forget the scores:
#
#                  targets, block by block →
#              ┌──────┬──────┬──────┬──────┐
#     sources  │ tile │ tile │ tile │ tile │    for every block of sources, all at the same time:
#     one      └──────┴──────┴──────┴──────┘        best ← -infinity, winner ← none        (registers)
#     block      │ max  │ max  │ max  │ max         for every block of targets, in order:
#                ▼      ▼      ▼      ▼                 tile ← sources · targetsᵀ           (registers)
#              best so far, winner so far               tile ← tile / length of the targets
#                           │                           where a row's max > best: best, winner ← max, its place
#                           ▼                       write best / length of the source, winner
#              2 numbers for each source
#
# Two details. *Strictly* greater: of equal scores the first target stays, as everywhere in this course. And a source's own
# length changes no ranking among targets, so it waits until the end. In PyTorch, to see that it works:

# %%
def nearest_in_blocks(source: torch.Tensor, target: torch.Tensor, block: int) -> torch.Tensor:
    """The number of the most similar target for each source, without ever holding more than a tile of scores."""
    length = target.norm(dim=1)
    best = torch.full((len(source),), -torch.inf)
    winner = torch.zeros(len(source), dtype=torch.int64)
    for start in range(0, len(target), block):
        here = slice(start, start + block)
        tile = source @ target[here].T / length[here]
        top, place = tile.max(dim=1)
        better = top > best
        winner = torch.where(better, start + place, winner)
        best = torch.where(better, top, best)
    return winner


place = torch.arange(1000)
keys = torch.randn(1000, 32, generator=torch.Generator().manual_seed(3))
source, target = keys[place % 6 > 0], keys[::6]
best, _ = nearest(keys[None], place[::6])
print("same targets:", torch.equal(nearest_in_blocks(source, target, block=64), best[0]))

# %%
sources, targets = 15_360 - 2_560, 2_560  # the paper's film at gamma 6, if all its tokens were matched at once
print(f"all scores: {4 * sources * targets / 2**20:.0f} MiB; what the fused matcher writes: {12 * sources / 2**20:.2f} MiB")

# %% [markdown]
# In PyTorch each line is still a trip through memory. The real one, `vtm_lesson/merging/fast_cuda.py`, is written in Triton, a language for
# such kernels inside Python. Triton can *interpret* a kernel on the CPU, slowly, to show that it is right:

# %% tags=["nbval-ignore-output"]
import importlib.util
import subprocess
import sys

CODE = """
import torch
from vtm_lesson import merging
from vtm_lesson.merging import fast_cuda
place = torch.arange(200)
keys = torch.randn(1, 200, 32, generator=torch.Generator().manual_seed(0))
targets, sources = place[::6][None], place[place % 6 > 0][None]
best, _ = fast_cuda.nearest_fused(keys, targets, sources)
print("the Triton kernel, interpreted:", len(best[0]), "sources, same targets:", bool(torch.equal(best, merging.nearest(keys, targets)[0])))
"""
if importlib.util.find_spec("triton") is None:
    print("Triton is not installed here (it comes with PyTorch on Linux), so the kernel is not shown.")
else:  # in a process of its own: Triton looks at this variable once, when it is imported
    done = subprocess.run([sys.executable, "-c", CODE], env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    print(done.stdout or done.stderr[-300:])

# %% [markdown]
# `tests/merging/test_fast_cuda.py` does this with ties and ragged sizes, and compiles the kernel for three generations of GPUs (sm_80,
# sm_90 and sm_100). That it is *fast* there: not yet measured.

# %% [markdown]
# ## Where this fails
#
# - **Counted is not measured.** FLOPs said that the three blocks are nearly equal.
# - **One film, one core, and mostly forward.** Training gains less, as the stored figures say, and can use neither merged scores nor chunks.
# - **Noise.** On a busy machine a time is off by a factor. Ratios within a round are better, medians of them better still. A single run,
#   or a single machine, is an anecdote.
# - **Small is not large.** By counting, storing scores should weigh more in our small network than at the paper's size. Compare fused
#   with stored attention in the two tables: does it?
# - **Fast is not good.** Nothing here says what the network still knows after merging. Merging first was the fastest, and it is the
#   boldest: it throws tokens together before any of them has looked at its neighbours. Lesson 08 measured what that costs on toy
#   films, at $\gamma = 6$: naive merging loses 3 points of accuracy when it comes first and 1 in the paper's order, learnable merging 2 and none.

# %% [markdown]
# ## Recap
#
# - Profile, then guess what a change can bring with Amdahl's law: what you do not touch sets the limit. After merging it is block 1.
# - Merging saves time; beside stored scores it also saves memory. Fused attention saves the scores without merging anything.
# - What is linear may change places: averaging the scores before they meet the values is the same network in fewer FLOPs.
# - Chunk by chunk gives the same result in a fraction of the memory. Merging before attention gives another network, and the largest
#   gain in time.
# - Intensity decides whether memory or processor is the limit: $D/6$ for stored attention, $N/4$ for fused, about 1 for layer norm.
# - A speed-up is a ratio. Ask for its baseline, its size, its machine, and what was counted.
#
# **Three questions**
#
# 1. The encoder takes 9 seconds for a film, the network without merging 3. Merging makes the network 6 times as fast. What does
#    the user of the whole see?
# 2. Somebody merges tokens in a network with fused attention, after block 1's attention, and is disappointed: peak memory is the
#    same as before. What happened, and what would you suggest?
# 3. A step makes 1 FLOP with each byte, on a machine whose ridge is at 5. A colleague halves its FLOPs; it moves the same bytes.
#    How much faster does it get, at best?
#
# <details><summary>Answers</summary>
#
# 1. $12 / (9 + 0.5) = 1.26$ times as fast. The encoder is what is left.
# 2. The peak is in block 1 before merging, and there are no stored scores to save. Merge the scores, go chunk by chunk, or merge before attention.
# 3. By the roofline, not at all. Left of the ridge memory sets the pace, at a fifth of the peak here. It would have to move fewer
#    bytes: by being done together with the step before it, say, so that the numbers are already there.
#
# </details>
#
# This is the last lesson. [The table of lessons](../README.md#what-you-will-learn) leads back to all of them.
