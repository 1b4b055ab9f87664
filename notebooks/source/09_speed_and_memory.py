# %% [markdown]
# # 09 Speed and memory
#
# **You will** find out where the time of the paper's network goes, before and after merging · make it faster in steps, and say
# beforehand what each step can bring · work out what "6.89 times as fast" becomes beside another baseline.
#
# **Time** 80 minutes · **Needs** [lesson 01](01_the_price_of_attention.ipynb) (stored and fused attention) and
# [lesson 04](04_naive_vtm.ipynb) (the network) · **Runs in** about half a minute, no GPU

# %%
from vtm_lesson import checks, plots

plots.show(checks.course_map("09"))

# %% [markdown]
# ## The question
#
# The VTM paper reports 6.89 times the throughput and 84% less memory than "the baseline". Two numbers, and a word that hides
# a lot. 6.89 times as fast *as what*? Where did the time go before, and where does what is left of it go now?
#
# A rule for such questions: **measure before you think, and guess before you measure.**

# %%
import json
import os
import statistics
import time
from statistics import median

os.environ["KINETO_LOG_LEVEL"] = "6"  # keeps torch's profiler quiet

import itertools

import torch

from vtm_lesson import checks, data_path, measuring, plots
from vtm_lesson.merging import match
from vtm_lesson.network import VideoClassifier, by_chunks, count
from vtm_lesson.partition import uniform
from vtm_lesson.study import labelled, report
from vtm_lesson.study.report import percent
from vtm_lesson.study.statistics import difference

torch.set_num_threads(1)

# %% [markdown]
# Here is learnable merging at the paper's size, with $\gamma = 6$ and every source merged. This project's benchmark measured three ways
# to build it, each beside two baselines without merging. One film, one machine, called A.

# %% tags=["nbval-ignore-output"]
RESULTS = data_path("results")
record = json.loads((RESULTS / "bench_network_machine_A_run_1.json").read_text())
on_a = {row["name"]: row for row in record["rows"]}
WAYS = {"the paper's order": "", "merged scores": ", merged scores", "merging first": ", merging first"}
PAPER = (6.89, "the paper: 6.89")


def gains(row, word):
    """(median, low, high): times as fast as no merging with fused or stored attention."""
    return tuple(row[f"speedup_over_{word}"][key] for key in ("median", "low", "high"))


faster = {
    f"beside {word} attention": {way: gains(on_a[f"learnable, gamma 6, R = |S|{ending}"], word) for way, ending in WAYS.items()}
    for word in ("stored", "fused")
}
plots.show(plots.panels(faster, "times as fast (median and middle half of the rounds)", "One budget, six numbers, one machine",
                        level=PAPER, mark={}))  # fmt: skip

# %% [markdown]
# The longest bar is many times the shortest, and both were measured in the same way. At the end of this lesson you will know what each
# of them compares, and how the second and the third way work. A second machine will check the first way's two bars.
#
# From here on everything runs on one core, as in lesson 01. All times come from the machine that ran the cells; the text says only
# what we expect on any machine.
#
# ## A network a quarter the size
#
# At the paper's size, 60 frames of 16 x 16 tokens with 1,024 channels, one run of the baseline takes seconds and gigabytes. We take a
# quarter of the tokens, 8 x 8 a frame, and a quarter of the channels, 256. Attention costs $N \cdot n \cdot C$ for chunks of $n$ tokens, the
# linear layers $N \cdot C^2$. With a quarter of everything each shrinks 64 times, so their *shares* stay, as the ledger of lesson 04 can check:

# %%
CHUNKS = (6, 30, 60)
small = count({"dim": 256, "chunks": CHUNKS, "gamma": 1}, 60, 8, 8)
large = count({"dim": 1024, "chunks": CHUNKS, "gamma": 1}, 60, 16, 16)
for i, (s, b) in enumerate(zip(small.blocks, large.blocks, strict=True), 1):
    print(f"block {i}: {s.total / 1e9:5.2f} GFLOPs here, {b.total / 1e9:6.1f} at the paper's size: x{b.total / s.total:.0f}")

# %% [markdown]
# (One thing does not: an attention matrix has $n^2$ scores, whatever $C$ is, so it shrinks 16 times only, and what *storing* it
# costs should weigh more here.)
#
# Here are two networks with the same weights: the baseline, which stores its scores, and naive VTM at $R = |S|$.


# %%
def network(**options):
    """The paper's network at a quarter of its size, ready to run."""
    torch.manual_seed(0)
    return VideoClassifier(256, chunks=CHUNKS, **options).eval()


film = torch.randn(1, 60, 8, 8, 256, generator=torch.Generator().manual_seed(1))  # an encoder's tokens, made up
stored = network(gamma=1, attention="stored")
merging = network(gamma=6, attention="stored")
print(count(merging, 60, 8, 8))

# %% [markdown]
# ## Profile first
#
# A block's work falls into five parts: the linear layer for queries, keys and values (QKV); attention itself; merging, with
# partition and match; the linear layer that halves the channels; and the rest, layer norm and GELU.
#
# The profiler is a stopwatch at every door: PyTorch calls a **hook** whenever a module is entered or left. Ours notes the time, and which
# part has just ended. (You need not read the code.)

# %%
PARTS = ("QKV", "attention", "merging", "linear", "rest")


def parts(model):
    """One run: for each block, the milliseconds of every part."""
    marks, hooks = [], []

    def watch(register, block, part):  # `part` is what has just ended
        hooks.append(register(lambda *_: marks.append((block, part, time.perf_counter()))))

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
    table = [dict.fromkeys(PARTS, 0.0) for _ in model.blocks]
    for (_, _, before), (block, part, now) in itertools.pairwise(marks):
        if part is not None:
            table[block][part] += 1e3 * (now - before)
    return table


def profile(*models, rounds=6):
    """For each model and block, every part in its fastest round; models take turns, the first round is a warm-up."""
    found = [[parts(model) for model in models] for _ in range(rounds + 1)][1:]
    fastest = []
    for m, model in enumerate(models):
        fastest.append([{p: min(f[m][i][p] for f in found) for p in PARTS} for i in range(len(model.blocks))])
    return fastest


# %% tags=["nbval-ignore-output"]
before, after = profile(stored, merging)
rows = {f"no merging, block {i}": row for i, row in enumerate(before, 1)}
rows |= {f"merging, block {i}": row for i, row in enumerate(after, 1)}
plots.show(plots.bill(rows, "milliseconds", title="Where the time goes, scores stored"))

# %% [markdown]
# ## Your turn 1: read the profile
#
# Return four things, in this order:
#
# 1. the block with the most FLOPs without merging (from the GFLOPs printed under "A network a quarter the size");
# 2. the block that takes the most time without merging;
# 3. the part in which it spends most of that time, spelled as in the legend;
# 4. the block that takes the most time *with* merging.
#
# Blocks are counted from 1.


# %% nbgrader={"grade": false, "grade_id": "slowest-blocks", "locked": false, "schema_version": 3, "solution": true, "task": false}
def slowest_blocks() -> tuple[int, int, str, int]:
    """(most FLOPs, most time, the part of it, most time with merging)."""
    ### BEGIN SOLUTION
    return 2, 3, "attention", 1
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "slowest-blocks-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.slowest_blocks(slowest_blocks)

# %% [markdown] tags=["solution"]
# <details><summary>What the figure says</summary>
#
# By FLOPs the three blocks are nearly equal. By the clock they are not: block 3, with the longest chunk and the narrowest tokens, takes
# far more than a third of the time, nearly all of it in attention. A FLOP of attention that stores its scores costs more there than a FLOP of a
# linear layer. The roofline of [appendix B](B_matcher_roofline_and_kernel.ipynb) says why.
#
# With merging, blocks 2 and 3 have all but vanished, and block 1 is nearly everything that is left. It has to be: merging comes *after*
# attention, so attention of block 1 still sees all tokens.
#
# </details>

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
# ## Your turn 2: Amdahl's law
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

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Times add up, speed-ups do not. A part that takes 5% of the time is worth little effort: made infinitely fast, it gives
# $1/0.95$, about 5%.
#
# </details>

# %% [markdown]
# Now the law can say what merging will bring, from the profile *without* merging. The **ceiling** is blocks 2 and 3 for nothing and block 1 as
# it is. And the ledger knows how many times fewer FLOPs each block has: if time went with FLOPs inside a block, we would get the second number.

# %% tags=["nbval-ignore-output"]
my_amdahl = checks.amdahl.mine()
blocks = [sum(row.values()) for row in before]
fewer = [b.total / a.total for b, a in zip(small.blocks, count(merging, 60, 8, 8).blocks, strict=True)]
ahead = {"scores stored": {"ceiling": my_amdahl(blocks, [1, 1e9, 1e9]), "expected from the FLOPs": my_amdahl(blocks, fewer)}}
print("FLOPs, block by block: " + ", ".join(f"{f:.2f} times fewer" for f in fewer))
print("times as fast: " + ", ".join(f"{name} {value:.2f}" for name, value in ahead["scores stored"].items()))

# %% [markdown]
# ## Measuring it, and getting it wrong
#
# Two networks take turns, round after round, so that whatever else the machine does hits both. Here are two made-up lists of seconds
# whose truth is known: 2 and 0.5, so 4 times as fast. The first round is a **warm-up**, in which libraries are loaded. In the third
# another program slowed both down, and in the last one the new network only.


# %%
def hasty_speedup(old: list[float], new: list[float], warmup: int) -> float:
    """How many times as fast `new` is. It measures wrongly."""
    return statistics.mean(old) / statistics.mean(new)


old, new = [5.0, 2.0, 4.0, 2.0, 2.0], [3.5, 0.5, 1.0, 0.5, 2.0]
print(f"the truth is x4.00, the hasty version says x{hasty_speedup(old, new, warmup=1):.2f}")

# %% [markdown]
# ## Your turn 3: mend the measurement
#
# `old` and `new` hold the seconds of every round, and the first `warmup` rounds do not count (it may be 0). Return how many times as fast `new`
# is, so that neither the warm-up nor one disturbed round decides: one ratio in each round that counts, and the median of them.


# %% nbgrader={"grade": false, "grade_id": "median-speedup", "locked": false, "schema_version": 3, "solution": true, "task": false}
def median_speedup(old: list[float], new: list[float], warmup: int) -> float:
    """How many times as fast `new` is: the median of the rounds' ratios."""
    ### BEGIN SOLUTION
    ratios = [a / b for a, b in zip(old[warmup:], new[warmup:], strict=True)]
    return statistics.median(ratios)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "median-speedup-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.median_speedup(median_speedup)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# What slows a whole round down hits both networks, and cancels in the round's ratio. What hits one of them in one round makes one odd ratio, and
# the median does not care how odd it is. A mean does. On a GPU a third mistake waits: a call returns before its work is done, so a clock that is
# stopped without waiting for the GPU measures how long it takes to *ask*.
#
# </details>

# %% [markdown]
# ## Speed-up 1: merging
#
# Every ratio from here on comes from `median_speedup`. In brackets stands the middle half of the rounds.


# %% tags=["nbval-ignore-output"]
def run(model):
    """One run of a network over the film."""
    with torch.inference_mode():
        return model(film)


def timed(rounds=8, **models):
    """Seconds of every network, or other function, in every round, in turns. The first round is a warm-up."""
    calls = {n: (lambda m=m: run(m)) if isinstance(m, torch.nn.Module) else m for n, m in models.items()}
    return measuring.interleaved(calls, rounds + 1, warmup=0)


my_speedup = checks.median_speedup.mine()


def speedup(times, old, new):
    """(median, low, high) of how many times as fast `new` is; low to high is the middle half of the rounds."""
    middle_half = measuring.ratio({name: seconds[1:] for name, seconds in times.items()}, old, new)
    return my_speedup(times[old], times[new], 1), middle_half["low"], middle_half["high"]


def words(found):
    """A speed-up as text."""
    return "x{:.2f} ({:.2f}-{:.2f})".format(*found)


print("merging against no merging, scores stored:", words(speedup(timed(stored=stored, merging=merging), "stored", "merging")))

# %% [markdown]
# **The reason:** fewer tokens in blocks 2 and 3. The limit is block 1, so a larger $\gamma$ hardly helps.
#
# ## Speed-up 2: do not store the scores
#
# Lesson 01 had two kinds of attention with the same result: one stores all scores, and PyTorch's fused one does not. The baseline above stores
# them. In our network the fused kind is what you get unless you ask for another.

# %% tags=["nbval-ignore-output"]
fused = network(gamma=1)
both = network(gamma=6)
print("same result without merging:", torch.allclose(run(stored), run(fused), atol=1e-5))
times = timed(stored=stored, fused=fused, merging=merging, both=both)
print("fused against stored, no merging:", words(speedup(times, "stored", "fused")))
print("fused against stored, merging:   ", words(speedup(times, "merging", "both")))
for name, model in {"stored": stored, "fused": fused}.items():
    start = os.times()
    for _ in range(10):
        run(model)
    own, system = (100 * (now - then) for now, then in zip(os.times()[:2], start[:2], strict=True))  # ms a run
    print(f"no merging, {name}: {own:.0f} ms of processor time in the network, {system:.0f} ms in the operating system")

# %% [markdown]
# **The reason:** stored scores go out to memory and come back, several times. And memory for a matrix as large as block 3's is as a rule
# asked of the operating system anew in every run, which empties each page before it hands it out (a **page fault**): compare its times.
#
# So what does the *same merging* bring beside each of the two baselines?

# %% tags=["nbval-ignore-output"]
(profiled,) = profile(fused)
blocks = [sum(row.values()) for row in profiled]
ahead["scores fused"] = {"ceiling": my_amdahl(blocks, [1, 1e9, 1e9]), "expected from the FLOPs": my_amdahl(blocks, fewer)}
for panel, pair in {"scores stored": ("stored", "merging"), "scores fused": ("fused", "both")}.items():
    ahead[panel]["measured"] = speedup(times, *pair)
plots.show(plots.panels(ahead, "times as fast as without merging", "Merging, each time beside its own baseline",
                        mark="measured", marked="measured"))  # fmt: skip

# %% [markdown]
# **The same merging looks better beside stored attention than beside fused attention.** Amdahl knows why: without stored scores, blocks 2 and 3
# are a smaller share of the time, so the ceiling is lower. Both numbers are true. (What is measured stays below what is expected, probably because
# merging takes time that FLOPs do not show: searching and sorting are not in the ledger.)
#
# ## And memory?
#
# Memory needs no stopwatch. `peak_tensors` adds up what is allocated and freed during a run.

# %% [markdown] tags=["prediction"]
# **Guess 1, before you run it.** The film's tokens take 3.75 MiB. One matrix of scores of block 3 takes $4 \cdot 3840^2$ bytes, 56 MiB. How
# many MiB is the peak without merging, for stored and for fused attention, and with merging, for stored and for fused? Write four numbers
# in place of `...`, `[1, 1, 1, 1]` say.

# %%
checks.predict("09-memory", ...)

# %% tags=["nbval-ignore-output"]
models = {"no merging: stored": stored, "no merging: fused": fused, "merging: stored": merging, "merging: fused": both}
peaks = {name: measuring.peak_tensors(lambda model=model: run(model)) / 2**20 for name, model in models.items()}
plots.show(plots.bars(peaks, "MiB at the peak", title="Memory of one run, beyond weights and input"))
checks.replay("09-memory", [round(peak, 1) for peak in peaks.values()])

# %% [markdown]
# A surprise is in there. Under fused attention merging saves *no* peak memory; here it even takes more. Q, K and V of block 1 and
# attention's output, 15 MiB, exist in both networks before anything is merged. What merging saves is scores, and fused attention stores
# none. So 84% less memory, by merging after attention, points to a baseline that stores its scores.

# %% [markdown]
# ## Your turn 4: the scores at the peak
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

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# A row of scores has `chunk` numbers, however few rows exist at a time. The number of multiplications is the same whatever `together` and
# `rows` are; only the memory changes. That is what fused attention uses, and `match`, too.
#
# </details>

# %%
my_peak = checks.peak_score_memory.mine()
for queries in (15360, 64):
    print(f"the paper's block 3, {queries:6,} queries at a time: {my_peak(15360, 15360, 1, queries) / 2**20:6.1f} MiB of scores")
print(f"the stored baseline on machine A: {on_a['no merging, stored scores']['peak_bytes'] / 2**20:,.0f} MiB at its peak")

# %% [markdown]
# The measured peak is a little more than two of those matrices: the scores before the softmax and after it.
#
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
# Above, 384 rows meet the values; below 64. (The thin boxes are drawn too thick.) Which tokens form a group must be known before. It is, because
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
# a mean. So $Q$, $K$ and $Q K^\top$ stay as they are.
#
# ## Your turn 5: what is left of the FLOPs
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

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Of five products three stay: two that make queries and keys, and the one that makes the scores. So even with $m$ close to zero at most half of
# attention's FLOPs and a third of QKV's can be saved. What is left is the new limit, as Amdahl says.
#
# </details>

# %% [markdown]
# In our network the trick is one word, `attention="merged"`, called *merged scores* from here on. `swapped_flops` says what block 1 should gain:
# ten chunks of 384 tokens, of which 64 are left.

# %% tags=["nbval-ignore-output"]
averaged = network(gamma=6, attention="merged")
my_flops = checks.swapped_flops.mine()
usual_way, swapped_way = my_flops(384, 64, 256)
whole = count(both, 60, 8, 8).flops
print("same result:", torch.allclose(run(both), run(averaged), atol=1e-5))
print(f"attention and QKV of block 1: {usual_way / swapped_way:.2f} times fewer FLOPs")
print(f"the whole network: {whole / (whole - 10 * (usual_way - swapped_way)):.2f} times fewer")
print("measured against fused attention:", words(speedup(timed(both=both, averaged=averaged), "both", "averaged")))

# %% [markdown]
# **The reason:** fewer FLOPs, in the one block that matters. Expect less than the FLOPs promise: the scores are now written and read
# again, if only in tiles small enough for the processor's cache. All this is for inference, as training would have to keep every tile,
# and for one head: with several, each has scores of its own to average.
#
# ## Two steps further
#
# **Chunk by chunk.** Block 1 holds the peak of memory. But its ten chunks never look at each other: run block 1 on the first chunk, keep the 64
# tokens that it leaves, go on to the next. `by_chunks` does that for all blocks: the same sums in another order. Memory falls to about
# what one chunk needs; time does not fall.
#
# **Merging first.** To be rid of block 1's queries, keys and scores over all tokens, one has to merge *before* the first attention, on the
# encoder's tokens. That is **another network with another result**; what it costs in accuracy no stopwatch can tell.

# %%
first = network(gamma=6, merge_at="before_attention")
print("by chunks, same result:", torch.allclose(run(both), by_chunks(both, film), atol=1e-5))
print("merging first, same result:", torch.allclose(run(both), run(first), atol=1e-5))
for name, model in {"merging after attention": both, "merging first": first}.items():
    flops = count(model, 60, 8, 8).blocks[0].flops
    print(f"block 1, {name:24s}" + ", ".join(f"{part} {v / 1e6:,.0f}" for part, v in flops.items() if v) + " million FLOPs")

# %% [markdown]
# Merging first leaves block 1 about a seventh of its FLOPs. Expect less from the clock: finding out what to merge takes as long as before.
# Amdahl again.
#
# ## A step that the paper did not take: one query a group
#
# Merged scores still make all scores. Merging first makes few, but then a group has been one token before it looked at anything. Is there
# something in between? Matching needs keys and nothing else. So match first. Then let each group have *one query*, the average of its tokens'
# queries, which looks at all tokens of the chunk.
#
# By hand, with one number for each query and each key. Two tokens will be merged. Their queries are $0$ and $4$; the chunk has two keys, $0$ and
# $1$. After the softmax the first token's weights are $(0.50, 0.50)$ and the second's $(0.02, 0.98)$: on average $(0.26, 0.74)$. The
# average query is $2$, and *its* weights are $(0.12, 0.88)$. Near, and not the same. In one line, $M$ has moved inside the softmax:
#
# $$ M\,\mathrm{softmax}(Q K^\top)\,V \;\longrightarrow\; \mathrm{softmax}\big((M Q)\,K^\top\big)\,V $$
#
# So this, too, is **another network**. Only where a group's queries are alike is it the same one.
#
# It saves more than scores. $K = x W_k$, so $(M Q) K^\top = (M Q\,W_k^\top)\,x^\top$: send the few queries through $W_k^\top$, and they meet the
# tokens as they are. Nobody needs the keys of all tokens any more. (Matching needs those of the targets alone, as long as all sources merge:
# what is most similar to a source does not depend on the source's own length.)

# %%
plots.show(plots.products({
    "merged scores": [("Q", 384, 256), "·", ("Kᵀ", 256, 384), "→ softmax →", ("P", 384, 384), "→ M →", ("M P", 64, 384)],
    "merged queries": [("M Q", 64, 256), "·", ("Kᵀ", 256, 384), "→ softmax →", ("P'", 64, 384)],
    "without keys": [("M Q", 64, 256), "·", ("Wᵀ", 256, 256), "·", ("xᵀ", 256, 384), "→ softmax →", ("P'", 64, 384)],
}, marked=("Q", "P"), title="One chunk at gamma 6: what becomes small"))  # fmt: skip

# %%
with_keys = (merge(q) @ k.transpose(1, 2) / 16).softmax(-1) @ x @ wv
one_query = merge(x) @ wq @ wk.T / 16  # through the keys' weights
without = (one_query @ x.transpose(1, 2)).softmax(-1) @ x @ wv
print(without.shape, "with keys and without, same result:", torch.allclose(with_keys, without, atol=1e-4))
print("the paper's order, same result:", torch.allclose(usual, without, atol=1e-4))

# %% tags=["nbval-ignore-output"]
queries = network(gamma=6, merge_at="queries")
for name, model in {"fused": both, "merged scores": averaged, "merging first": first, "merged queries": queries}.items():
    flops = count(model, 60, 8, 8).flops
    print(f"{name:16s}{flops / 1e9:5.2f} GFLOPs, {count(fused, 60, 8, 8).flops / flops:5.2f} times fewer than no merging", end="")
    print("; measured beside it, fused:", words(speedup(timed(fused=fused, model=model), "fused", "model")))

# %% [markdown]
# At the paper's size, on a third machine, C, the benchmark has it beside fused attention:

# %% tags=["nbval-ignore-output"]
on_c = {row["name"]: row for row in json.loads((RESULTS / "bench_network.json").read_text())["rows"]}
fastest = {
    f"gamma {gamma}": {way: gains(on_c[f"learnable, gamma {gamma}, R = |S|{ending}"], "fused") for way, ending in {
        "the paper's order": "", "merged scores": ", merged scores", "merged queries": ", merged queries",
        "the same in bfloat16": ", merged queries, bfloat16"}.items()}
    for gamma in (6, 10)
}  # fmt: skip
plots.show(plots.panels(fastest, "times as fast as no merging with fused attention, float32", "The paper's size, on C", mark={}))

# %% [markdown]
# What does the other network know? No stopwatch can tell; lesson 08's study can. It trained networks with merged queries on the same
# films as the others, with the same recipe and five seeds each. Test films, percent right:

# %%
places = {"queries": "merged queries", "after_attention": "paper's order", "before_attention": "merging first"}
found = {
    (row["place"], row["strategy"]): row
    for stored_study in ("compare_queries", "compare")
    for row in report.load(RESULTS / f"{stored_study}.json")["rows"]
    if row["evidence"] == "c"
}
print(f"{'':12s}" + "".join(f"{name:>16s}" for name in places.values()) + "   queries minus the paper's order")
for who in ("random", "uniform", "learnable", "oracle"):
    line = "".join(f"{percent(found[place, who]['accuracy']['all']['interval']):>16s}" for place in places)
    gap, low, high = (100 * x for x in difference(found["queries", who], found["after_attention", who]))
    print(f"{who:12s}{line}   {gap:+.1f} ({low:+.1f} to {high:+.1f})")
print("no merging:", percent(found["", "none"]["accuracy"]["all"]["interval"]))

# %% [markdown]
# On these films merged queries are as good as the paper's order, as far as five seeds can tell: every interval in the last column holds
# zero. They are better than merging first. Why may that be? A group's tokens were put together because their *keys* are alike, and then their
# queries are often not far apart. But these are painted films of eight frames, and small networks. So once more with filmed clips, the yoga poses
# of lesson 12: networks trained at $\gamma = 6$, in all three places, and tested on sessions of recording that they never saw.

# %%
yoga = labelled.load("real_yoga_places")
for row in yoga["rows"]:
    if row.get("place") == "queries":
        print(f"{row['row']:12s}{labelled.span(row['accuracy']):24s}minus the paper's order {labelled.span(row['minus_paper'], '+')}")

# %% [markdown]
# Not told apart there, either. With random and with uniform targets even the same clips are right, one by one: the two networks start from the same
# numbers, draw the same targets, and end as nearly the same network. That is 75 clips and three seeds. Whoever leaves the paper's order should measure on films of
# their own; `merge_at="queries"` is one word, and the weights of a trained network fit.
#
# ## What the paper reports, and what we just measured
#
# All ways once more, in turns, each against both baselines, with the learnable merger, as the paper's 6.89 is for it. (A ratio is the median
# of the ratios inside the rounds, so it need not be the quotient of two times in the first column.)

# %% tags=["nbval-ignore-output"]
learnable = network(gamma=6, partition="learnable")
ways = {
    "no merging, stored": stored,
    "no merging, fused": fused,
    "learnable, stored": network(gamma=6, partition="learnable", attention="stored"),
    "learnable, fused": learnable,
    "learnable, merged scores": network(gamma=6, partition="learnable", attention="merged"),
    "learnable, fused, by chunks": lambda: by_chunks(learnable, film),
    "learnable, merging first": network(gamma=6, partition="learnable", merge_at="before_attention"),
    "learnable, merged queries": network(gamma=6, partition="learnable", merge_at="queries"),
}
calls = {name: (lambda way=way: run(way)) if isinstance(way, torch.nn.Module) else way for name, way in ways.items()}
memory = {name: measuring.peak_tensors(call) / 2**20 for name, call in calls.items()}
times = timed(**ways)
print(f"{'':28s}   ms    MiB   beside stored scores   beside fused attention")
for name in ways:
    line = f"{name:28s}{1e3 * median(times[name][1:]):5.0f} {memory[name]:6.1f}"
    for baseline in ("no merging, stored", "no merging, fused"):
        line += f"   x{speedup(times, baseline, name)[0]:5.2f}  {memory[name] / memory[baseline] - 1:+5.0%} memory"
    print(line)

# %% [markdown]
# Two true numbers in each row. What lies between them is the gain of fused attention alone. That holds for memory, too: the second
# row saves most of the stored baseline's memory with every token still there. So 6.89 says little until you know
#
# 1. **the baseline's attention**, stored or fused;
# 2. **the size**: longer chunks and narrower tokens should make merging look better, as more of the time is in blocks 2 and 3;
# 3. **where merging stands**: after block 1's attention (the paper's place) or before it;
# 4. **what is counted**: with the encoder, which is frozen and runs in any case, every ratio shrinks (Amdahl);
# 5. **the machine**: how fast it computes, what new memory costs there, and how many videos run at once.
#
# The authors published no code, so the baseline's attention cannot be looked up. But one can compute what the claim *would be* beside another
# baseline. By hand: a network is 4 times as fast as a baseline of 8 seconds and 400 MiB, and saves 75% of its memory. So it takes 2 seconds and
# 100 MiB. Beside a baseline of 4 seconds and 200 MiB the same network is 2 times as fast and saves 50%.

# %% [markdown] tags=["prediction"]
# **Guess 2.** Suppose the paper's baseline stored its scores and ran on our machine A. What do 6.89 and 0.84 become beside the baseline with
# fused attention on A? Write two numbers: times as fast, and the share of memory that is saved. The first figure helps with one of them.

# %%
checks.predict("09-other-baseline", ...)

# %% [markdown]
# ## Your turn 6: another baseline
#
# A network is `gain` times as fast as the baseline `old`, and saves the share `saved` of its memory. Both baselines are pairs: seconds, MiB.
# Return how many times as fast the network is as the baseline `new`, and what share of *its* memory it saves. A share may be below zero.


# %% nbgrader={"grade": false, "grade_id": "other-baseline", "locked": false, "schema_version": 3, "solution": true, "task": false}
def other_baseline(gain: float, saved: float, old: tuple[float, float], new: tuple[float, float]) -> tuple[float, float]:
    """(times as fast as `new`, share of its memory that is saved)."""
    ### BEGIN SOLUTION
    seconds = old[0] / gain
    memory = old[1] * (1 - saved)
    return new[0] / seconds, 1 - memory / new[1]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "other-baseline-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.other_baseline(other_baseline)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# The network stays what it is: so many seconds, so many MiB. Only what it is divided by changes. A percentage cannot be carried over from one
# baseline to another without going back to the amount that is left.
#
# </details>

# %% [markdown]
# Now with the real baselines, and beside that what we measured. The benchmark ran the paper's full size on two machines of the same
# description, once on A and twice on B. (Memory was noted on A only; B's lines use it, too.)

# %% tags=["nbval-ignore-output"]
my_baseline = checks.other_baseline.mine()
files = sorted(RESULTS.glob("bench_network_machine_[AB]_*.json"))
names = ["A", *(path.stem.removeprefix("bench_network_machine_").replace("_run_", ", run ") for path in files[1:])]
runs = {name: json.loads(path.read_text())["rows"] for name, path in zip(names, files, strict=True)}
mib = [row["peak_bytes"] / 2**20 for row in runs["A"][:2]]
claims = {}
for name, found in runs.items():
    old, new = ((row["seconds"]["median"], space) for row, space in zip(found[:2], mib, strict=True))
    claims[name] = my_baseline(6.89, 0.84, old, new)
    print(f"{name:9s}no merging: stored {old[0]:.1f} s, {old[1]:,.0f} MiB; fused {new[0]:.1f} s, {new[1]:,.0f} MiB", end="; ")
    print("6.89 and 0.84 become {:.2f} and {:.2f}".format(*claims[name]))
checks.replay("09-other-baseline", [round(number, 2) for number in claims["A"]])
ours = {f"beside {word} attention": {name: gains(found, word) for name, rows in runs.items() for found in rows
                                     if found["name"] == "learnable, gamma 6, R = |S|"} for word in ("stored", "fused")}  # fmt: skip
plots.show(plots.panels(ours, "times as fast (median and middle half of the rounds)",
                        "The paper's order at the paper's size, measured on A and on B", level=PAPER, mark={}))  # fmt: skip

# %% [markdown]
# Beside fused attention on A, the claim would be about half the speed-up and next to no memory saved. The figure
# shows what the benchmark measured for learnable merging at $\gamma = 6$ in the paper's order.
#
# Beside *fused* attention the machines agree. Beside *stored* attention A comes near the paper's 6.89, and B does not. The
# baselines' seconds say why: with fused attention, which mostly computes, A takes a little longer than B; with stored scores, far longer.
# A probable reason is that new memory (the page faults above) was dearer on A; the benchmark did not record it. So **whoever quotes
# a ratio to stored scores quotes the machine's memory with it**, and owes the reader the seconds of both baselines.
#
# That our number on A looks like the paper's proves nothing about its baseline. It says that a baseline with stored scores *could* give it.
# All networks of the benchmark stand in [RESULTS.md](../RESULTS.md).

# %% [markdown]
# ### Under your own hand
#
# Choose the network, the machine and the baseline: what is left of 6.89? Which choice changes the ratio most? All numbers are stored
# measurements; what was not measured cannot be chosen.

# %% tags=["nbval-ignore-output"]
from vtm_lesson import explorers

explorers.divide_by()

# %% [markdown]
# And a schedule of your own: chunk lengths, $\gamma$, R and widths of up to four blocks. Which block costs most? The seconds are a prediction from blocks
# that one machine measured; the line below the table says how far off such predictions were.

# %% tags=["nbval-ignore-output"]
explorers.design_schedule()

# %% [markdown]
# ## Where this fails
#
# - **Counted is not measured.** FLOPs said that the three blocks are nearly equal.
# - **One film, one core, forward.** In training nothing may be thrown away before the backward pass, and learnable merging runs its auxiliary
#   path: it gains less ([RESULTS.md](../RESULTS.md), "Training"), and can use neither merged scores nor chunks.
# - **Noise.** On a busy machine a time is off by a factor. A single run, or a single machine, is an anecdote.
# - **Fast is not good.** Nothing here says what the network still knows after merging. Merging first is the boldest: it throws tokens
#   together before any of them has looked at its neighbours. Lesson 08 measured what that costs on toy films. What merged queries cost
#   was measured on those films, too, and nowhere else.

# %% [markdown]
# ## Recap
#
# - Profile, then let Amdahl's law say what a change can bring: what you do not touch sets the limit. After merging it is block 1.
# - Compare inside rounds, leave the warm-up out, take the median.
# - Merging saves time; beside stored scores it also saves memory. Fused attention saves the scores without merging anything.
# - What is linear may change places: averaging the scores before they meet the values is the same network in fewer FLOPs.
# - What is not linear may not: averaging the queries before the softmax is another network, in far fewer. Whether it is as good is a
#   question for films, not for a stopwatch.
# - A speed-up is a ratio. Ask for its baseline, its size, its machine, and what was counted. With the baselines' seconds and bytes you can
#   compute it beside another baseline.
#
# **Three questions**
#
# 1. The encoder takes 9 seconds for a film, the network without merging 3. Merging makes the network 6 times as fast. What does
#    the user of the whole see?
# 2. Somebody merges tokens in a network with fused attention, after block 1's attention, and is disappointed: peak memory is the
#    same as before. What happened, and what would you suggest?
# 3. "Our method is 5 times as fast", says a paper, and means beside stored attention, which takes 10 seconds. The method runs on fused
#    attention, which takes 4 seconds without the method. How much of the 5 is the method's own?
#
# <details><summary>Answers</summary>
#
# 1. $12 / (9 + 0.5) = 1.26$ times as fast. The encoder is what is left.
# 2. The peak is in block 1 before merging, and there are no stored scores to save. Merge the scores, go chunk by chunk, or merge before attention.
# 3. The method takes 2 seconds, so it is 2 times as fast as fused attention alone: that much is its own. The other factor, 2.5, everybody
#    can have without it.
#
# </details>
#
# Why is a FLOP of stored attention dearer than one of a linear layer? What makes `match` fast, and what would a GPU change?
# [Appendix B](B_matcher_roofline_and_kernel.ipynb) has the answers. [The table of lessons](../README.md#what-you-will-learn) leads to all others.
