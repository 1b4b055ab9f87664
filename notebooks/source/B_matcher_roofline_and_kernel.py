# %% [markdown]
# # B The matcher, the roofline and the kernel
#
# **You will** look inside `match`: tiles, and a rough guess in bfloat16 that is made exact · find out from two numbers of your machine
# why some FLOPs cost more than others · mend the loop that a GPU kernel for matching is built on.
#
# **Time** 50 minutes · **Needs** [lesson 02](02_bipartite_matching.ipynb) (matching) and
# [lesson 09](09_speed_and_memory.ipynb) (stored and fused attention, the profile) · **Runs in** about half a minute, no GPU

# %%
from vtm_lesson import checks, plots

plots.show(checks.course_map("B"))

# %% [markdown]
# ## The question
#
# Lesson 09 found that a network's time does not go with its FLOPs. Where attention stores its scores, a FLOP costs more than in a linear
# layer. Why? And matching, too, compares everything with everything: why does it not eat up what merging saves?
#
# **Numbers have to be moved before they can be worked on.** This appendix is about what that costs, and how to move fewer of them.

# %%
import json
import os

os.environ["KINETO_LOG_LEVEL"] = "6"  # keeps torch's profiler quiet

import torch

from vtm_lesson import checks, data_path, measuring, plots
from vtm_lesson.measuring import bench_network, bench_pieces, forecast, scaling
from vtm_lesson.measuring import roofline as bounds
from vtm_lesson.merging import match, match_plain, nearest
from vtm_lesson.partition import uniform

torch.set_num_threads(1)

# %% [markdown]
# As in lesson 09, everything runs on one core, and all times stored in this notebook come from the machine that built it. Run the cells, and
# yours take their place.
#
# ## Inside the matcher
#
# Matching compares all sources with all targets. Written down plainly, it stores all scores, as attention does in its stored kind: that
# is `match_plain`. `match` goes through them in **tiles**, a few rows at a time, and keeps of each row only the best. It is the same function.

# %%
keys = torch.randn(1, 4096, 64, generator=torch.Generator().manual_seed(2))
targets = uniform(4096, gamma=6)
plain, tiled = match_plain(keys, targets), match(keys, targets)
print("same assignment:", torch.equal(plain.group, tiled.group))

# %% [markdown] tags=["prediction"]
# **Guess 1, before you run it.** From 8,192 tokens to 16,384: by which factor does the memory of `match_plain` grow, and by which that of
# `match`? Write two numbers in place of `...`.

# %%
checks.predict("B-memory", ...)

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
checks.replay("B-memory", [round(found[-1] / found[-2], 1) for found in peaks.values()])

# %% [markdown]
# At twice the tokens there are four times as many scores. The plain version stores all of them, so its memory grows by nearly four in the end.
# `match` grows as fast only while all scores fit into one tile (16 MiB at most). From there on, what still grows is a few numbers for each token.
#
# For few tokens there is no time to gain. For many, a tile stays in the processor's cache while its maxima are looked for. And on some
# processors there is one more trick.

# %% [markdown]
# ## Rough first, then exact
#
# Some processors multiply **bfloat16** by themselves, about twice as fast as float32. A bfloat16 has 8 significant bits in place of 24, so
# cosines come out a little wrong. But only the *best* target of each source matters. So make all cosines roughly, keep those targets that can
# still be the best, and multiply only these again in float32. The result is that of float32.
#
# Which ones can still be the best? By hand: four rough cosines are $0.5$, $0.25$, $0.125$ and $0.4375$, each off by at most $0.0625$. The
# first one is truly at least $0.4375$. The last is truly at most $0.5$: it may win. The second is at most $0.3125$: it cannot.

# %% [markdown]
# ## Your turn 1: who can still win?
#
# `rough` holds rough cosines, a row for each source and a column for each target. Each is off by at most `bound`, upwards or downwards. Return
# a mask of the same shape: True for each target whose true cosine may be the highest of its row, or as high as the highest.


# %% nbgrader={"grade": false, "grade_id": "candidates", "locked": false, "schema_version": 3, "solution": true, "task": false}
def candidates(rough: torch.Tensor, bound: float) -> torch.Tensor:
    """Which targets can be the best of each source, (S, T) bool, by their rough cosines (S, T)."""
    ### BEGIN SOLUTION
    best = rough.max(dim=1, keepdim=True).values
    return rough >= best - 2 * bound
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "candidates-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.candidates(candidates)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Two numbers are uncertain. The best rough cosine may be too high by the bound, and the other one too low by the bound. So a target drops
# out only when it is more than twice the bound below.
#
# </details>

# %% tags=["nbval-ignore-output"]
keys = torch.randn(4096, 64, generator=torch.Generator().manual_seed(2))
unit = keys / keys.norm(dim=1, keepdim=True)
place = torch.arange(4096)
source, target = unit[place % 6 > 0], unit[::6]
exact = source @ target.T
rough = (source.bfloat16() @ target.bfloat16().T).float()
error = (rough - exact).abs().max()
my_candidates = checks.candidates.mine()
left = my_candidates(rough, float(error))
print(f"largest error of a rough cosine: {error:.3f}")
print(f"targets that can still win: {left.sum(1).float().mean():.1f} of {target.shape[0]} for each source")
print("best among them, exactly = best of all:", torch.equal(exact.masked_fill(~left, -torch.inf).argmax(1), exact.argmax(1)))

# %% [markdown]
# Of hundreds one or two are left. This toy looked the error up, for which it needed the exact cosines. `match` cannot do that:
# `vtm_lesson/merging/fast_cpu.py` has a bound that follows from the 8 bits alone. It uses the trick from 512 targets on.

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
# ## Your turn 2: under the roof
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
#
# First the ceilings of this machine: matrix products of three sizes, and a large copy. The fastest of many short runs counts here.

# %% tags=["nbval-ignore-output"]
product, copy = [], (torch.ones(2**24), torch.empty(2**24))  # 64 MiB each: no cache holds them
for size in (256, 512, 1024):
    a, out = torch.randn(size, size), torch.empty(size, size)
    took = measuring.interleaved({"": lambda a=a, out=out: torch.mm(a, a, out=out)}, rounds=20)[""]
    product.append(2 * size**3 / min(took))
took = measuring.interleaved({"": lambda: copy[1].copy_(copy[0])}, rounds=20)[""]
peak, bandwidth = max(product), 2 * 4 * 2**24 / min(took)
print(f"computes {peak / 1e9:.0f} GFLOP/s, moves {bandwidth / 1e9:.0f} GB/s; the ridge: {peak / bandwidth:.1f} FLOPs per byte")

# %% [markdown] tags=["prediction"]
# **Guess 2.** At $N = 2048$, $D = 64$ we measure seven: merging, softmax, layer norm, Q K V, stored attention, matching, fused attention.
# How many of them stand left of this machine's ridge?

# %%
checks.predict("B-left", ...)

# %% tags=["nbval-ignore-output"]
my_roofline = checks.roofline.mine()
works = bounds.workloads(n=2048, dim=64, gamma=6)
took = measuring.interleaved({name: work.run for name, work in works.items()}, rounds=10)
reached, roof = {}, {}
for name, work in works.items():
    intensity, roof[name] = my_roofline(work.flops, work.moved, peak, bandwidth)
    reached[name] = intensity, work.flops / min(took[name])
plots.show(plots.roofline(reached, peak, bandwidth, title="One core of this machine: what it allows, and what is reached"))
for name, (_, speed) in reached.items():
    print(f"{name:26s}{speed / 1e9:6.1f} of {roof[name] / 1e9:6.1f} GFLOP/s, {speed / roof[name]:4.0%} of its roof")
checks.replay("B-left", sum(intensity < peak / bandwidth for intensity, _ in reached.values()))

# %% [markdown]
# What to see:
#
# - **Left: merging, softmax, layer norm.** They move numbers more than they compute. They stay well below the roof, too, probably by work
#   that our FLOPs do not count: merging sorts the tokens by group, the softmax takes exponentials, layer norm starts anew for each short row.
# - **Right: Q K V, matching, fused attention.** Mostly matrix products, below the flat roof for reasons of
#   their own: narrow matrices, the exponentials, the search for the best target.
# - **Stored attention** makes the same FLOPs as the fused one, and reaches fewer of them in a second. Its two products stand on the right,
#   the division and the softmax between them far on the left, and times add up. The narrower the tokens ($D/6$), the more the left part counts.
#
# That is one part of the answer to lesson 09's question: blocks 2 and 3 have the narrowest tokens. The other part: block 3 has a matrix of
# 56 MiB of scores, more than a cache holds.
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
# as ours lines bend. A fixed cost per call pulls an exponent down, and so does any trick that starts at a certain size: `match` has
# two. Leaving the cache, and asking for new memory in each run, push that of stored scores up.
#
# Matching is quadratic, too. It is cheaper than attention because it makes one product in place of two, with
# $\frac{1}{\gamma}(1 - \frac{1}{\gamma})$ of the pairs (0.14 at $\gamma = 6$), and no softmax. For its exponent one has to go further. A
# stored run of the benchmark (two threads) goes on to 262,144 tokens, with every operator until one call takes too long or needs too much memory:

# %% tags=["nbval-ignore-output"]
record = json.loads((data_path("results") / "bench_growth.json").read_text())
print(record["command"], "on", record["machine"]["processor"], record["machine"]["date"])
for name, points in record["points"].items():
    last, fit = points[-1], record["exponents"][name]
    line = f"{name:26s} {last['tokens']:7,} tokens in {last['seconds']['median']:6.2f} s;  N^{fit['exponent']:.2f}"
    print(f"{line} +- {fit['standard_error']:.2f} from {fit['from']:,} tokens on")

# %% [markdown]
# ### To a million tokens
#
# A film of an hour has a million tokens. What grows like $N^2$ does not get there by patience; what can be cut into chunks does. Another stored
# run: matching all tokens with all, the same within chunks of 1,024, merging, and the paper's network chunk by chunk (64 channels).

# %% tags=["nbval-ignore-output"]
record = json.loads((data_path("results") / "bench_scale.json").read_text())
plots.show(plots.growth(record, title="One call, from 1,024 to a million tokens"))
for row in record["second_machine"]:
    line = f"{row['name']:24s} {row['tokens']:9,} tokens: half on a second machine saves {row['saved_at_best']:6.2f} s at best"
    print(f"{line}, if it gets {(row['sent_bytes'] + row['back_bytes']) / 1e6:.0f} MB faster than {row['line_needed'] / 1e6:.0f} MB/s")

# %% [markdown]
# A gigabit line carries 125 MB a second at best. Where the last number is below that, a second machine can pay off; where it is above, sending
# the tokens takes longer than the work. Whole films on several machines need no sending at all, and that is what one does (lesson 12).
#
# ### The planner
#
# If cost is so regular, it can be predicted. `forecast.predict` runs two small networks, fits the time for each FLOP and for each block, and
# predicts any other. Let us ask for a film twice as long as lesson 09's, which neither of the two has seen, and then run it.

# %% tags=["nbval-ignore-output"]
CHUNKS = (6, 30, 60)
print("predicted, 120 frames:")
print(forecast.predict(120, (8, 8), 256, CHUNKS, gamma=6))
measured = forecast.block_costs(120, (8, 8), 256, CHUNKS, gamma=6)
print("measured:")
for i, (_, seconds, held) in enumerate(measured, 1):
    print(f"block {i}: {seconds:.3f} s, {held / 2**20:.0f} MiB")
print(f"in all {sum(seconds for _, seconds, _ in measured):.3f} s")

# %% [markdown]
# The prediction is as good as the machine is quiet. Use it to choose, not to quote times.

# %% [markdown]
# ## What a GPU changes
#
# No CUDA device has been at hand for this project so far. So here are reasons, and no results: **everything about CUDA in
# this appendix is not yet measured.** If you have a GPU, the next cell measures on yours.
#
# - Data sheets give GPUs far higher ceilings, and a ridge much further right. If so, more of our operators are limited by
#   memory, and storing scores hurts more (not yet measured).
# - Starting a piece of work costs more, relative to the work. Small blocks like 2 and 3 after merging may be all start-up
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
# ## The fused matcher
#
# `match` in tiles still writes each tile of scores, and reads it again. On a GPU one can do without. The scores of a block of
# sources against a block of targets fit into **registers**, the numbers a processor has at its fingertips. Look for the
# best there, keep it, forget the scores:
#
#                  targets, block by block →
#              ┌──────┬──────┬──────┬──────┐
#     sources  │ tile │ tile │ tile │ tile │    for every block of sources, all at the same time:
#     one      └──────┴──────┴──────┴──────┘        best, winner ← nothing yet             (registers)
#     block      │ max  │ max  │ max  │ max         for every block of targets, in order:
#                ▼      ▼      ▼      ▼                 tile ← sources · targetsᵀ           (registers)
#              best so far, winner so far               tile ← tile / length of the targets
#                           │                           where a row's max takes the lead: best, winner ← max, its place
#                           ▼                       write best / length of the source, winner
#              2 numbers for each source
#
# A source's own length changes no ranking among targets, so it waits until the end.
#
# The rule of this course for equal scores is that the first target counts. A loop over tiles forgets it easily. Here is one that looks right.
# Its two tiles hold the scores of two sources with four targets:


# %%
def hasty_argmax(tiles: list[torch.Tensor]) -> torch.Tensor:
    """The number of the best target for each source, tile by tile. It is wrong for some scores."""
    best = torch.zeros(len(tiles[0]))
    winner = torch.zeros(len(tiles[0]), dtype=torch.int64)
    start = 0
    for tile in tiles:
        top, place = tile.max(dim=1)
        better = top >= best
        winner = torch.where(better, start + place, winner)
        best = torch.where(better, top, best)
        start += tile.shape[1]
    return winner


tiles = [torch.tensor([[0.5, 0.75], [-0.5, -0.75]]), torch.tensor([[0.75, 0.25], [-0.25, -0.5]])]
print("all scores at once:", torch.cat(tiles, dim=1).argmax(dim=1).tolist())
print("tile by tile:      ", hasty_argmax(tiles).tolist())

# %% [markdown]
# ## Your turn 3: mend the loop over tiles
#
# `tiles` are the scores of all sources with all targets, cut from left to right: each tile has a row for each source, and as many columns as it
# has targets, which may differ from tile to tile. Return for each source the number of its best target, counted over all tiles. Of equal scores
# the first one counts. Scores may be below zero, as low as they like, and a source may have none but minus infinity: then the answer is 0. Look
# at one tile at a time; a kernel never has them all.


# %% nbgrader={"grade": false, "grade_id": "tiled-argmax", "locked": false, "schema_version": 3, "solution": true, "task": false}
def tiled_argmax(tiles: list[torch.Tensor]) -> torch.Tensor:
    """The number of the best target for each source, (S,), from tiles (S, ...) of scores."""
    ### BEGIN SOLUTION
    best = torch.full((len(tiles[0]),), -torch.inf)
    winner = torch.zeros(len(tiles[0]), dtype=torch.int64)
    start = 0
    for tile in tiles:
        top, place = tile.max(dim=1)
        better = top > best
        winner = torch.where(better, start + place, winner)
        best = torch.where(better, top, best)
        start += tile.shape[1]
    return winner
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "tiled-argmax-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.tiled_argmax(tiled_argmax)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# *Strictly* greater, so that an equal score of a later tile does not take the lead; inside a tile `max` gives the first one already. And a
# beginning that any score beats: minus infinity, as cosines may be below zero.
#
# </details>

# %% [markdown]
# This loop is the whole idea of the fused matcher. Here are a thousand keys, with tiles of 64 targets:

# %%
my_argmax = checks.tiled_argmax.mine()
place = torch.arange(1000)
keys = torch.randn(1000, 32, generator=torch.Generator().manual_seed(3))
source, target = keys[place % 6 > 0], keys[::6]
tiles = [source @ block.T / block.norm(dim=1) for block in target.split(64)]
best, _ = nearest(keys[None], place[::6])
print(len(tiles), "tiles, same targets:", torch.equal(my_argmax(tiles), best[0]))
sources, targets = 15_360 - 2_560, 2_560  # the paper's film at gamma 6, if all its tokens were matched at once
print(f"the paper's film: all scores {4 * sources * targets / 2**20:.0f} MiB; what the fused matcher writes {12 * sources / 2**20:.2f} MiB")

# %% [markdown]
# In PyTorch each line is still a trip through memory, and this list even held all tiles at once. The real one,
# `vtm_lesson/merging/fast_cuda.py`, is written in Triton, a language for such kernels inside Python. Triton can *interpret* a kernel on the
# CPU, slowly, to show that it is right:

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
# - **The roof knows two ceilings.** A processor has caches between them, and work that we count as no FLOP at all: sorting, exponentials, start-up.
# - **An exponent over a short range** says as much about caches and start-up as about the method.
# - **Right is not fast.** The interpreter shows that the kernel finds the same targets. How long a GPU takes it cannot show.

# %% [markdown]
# ## Recap
#
# - `match` never holds all scores: it goes tile by tile, and keeps the best of each row.
# - A rough answer with a known error bound is a filter. What is left is computed exactly.
# - Intensity decides whether memory or processor is the limit: $D/6$ for stored attention, $N/4$ for fused, about 1 for layer norm.
# - A fused kernel keeps scores in registers. Strictly greater takes the lead, so that the first of equal targets stays.
#
# **Three questions**
#
# 1. A step makes 1 FLOP with each byte, on a machine whose ridge is at 5. A colleague halves its FLOPs; it moves the same bytes.
#    How much faster does it get, at best?
# 2. Rough cosines are off by at most 0.01. For a source the best rough cosine is 0.80, the second 0.79, the third 0.77. How many targets have
#    to be multiplied again?
# 3. Stored attention works on 2,048 tokens of 64 channels. Somebody uses 256 channels. Do its FLOPs per byte grow, and what if the film is
#    made twice as long in place of that?
#
# <details><summary>Answers</summary>
#
# 1. By the roofline, not at all. Left of the ridge memory sets the pace, at a fifth of the peak here. It would have to move fewer
#    bytes: by being done together with the step before it, say, so that the numbers are already there.
# 2. Two: 0.79 is within 0.02 of the best, 0.77 is not.
# 3. $D/6$ grows from about 11 to about 43 FLOPs per byte. With more tokens it stays: both FLOPs and bytes grow with the square.
#
# </details>
#
# Back to [lesson 09](09_speed_and_memory.ipynb), or to [the table of lessons](../README.md#what-you-will-learn).
