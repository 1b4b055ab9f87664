# %% [markdown]
# # 13 Your own strategy
#
# **You will** write a partition and a reducer of your own, in fewer than 20 lines each, and see their curves beside all others · hear in plain words what a
# wrong one does wrong · run them in a timm model and on a film of yours, and send them to the leaderboard, beside the VTM that you built in lesson 07.
#
# **Time** 95 minutes · **Needs** lessons 07 and 08 · **Runs in** about a minute, no GPU

# %%
from vtm_lesson import checks, plots

plots.show(checks.course_map("13"))

# %%
import os
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

import vtm_lesson as vtm
from vtm_lesson import checks, films, hosts, plots, video
from vtm_lesson.encoders import load_encoder, tiny_vit
from vtm_lesson.merging import Merge
from vtm_lesson.merging.camera import relative_motion
from vtm_lesson.merging.strategies import Context, reduce
from vtm_lesson.study import budgets, leaderboard
from vtm_lesson.study.own import OwnError, tried
from vtm_lesson.study.probe import learn_saliency, linear_probe, retain

# %% [markdown]
# ## The question
#
# So far the ideas were those of others. Each was one answer to the same question: **what of a film may be averaged away?** What is yours?
#
# An idea is worth little before it stands beside the others: at the same budget, on films that nobody tuned it on, with intervals. Most ideas lose, and
# that is no shame. You need a way to find out in minutes. This lesson is that way.

# %% [markdown]
# ## What a strategy is
#
# There are two plugs, a small one and a large one.
#
# - A **partition** says *who are the targets*. Matching does the rest: every source joins the target that it is most similar to (lesson 02).
# - A **reducer** says *who joins whom*. It may match, drop, cut the film into boxes: whatever ends in groups.
#
# Six tokens with the keys a a b b a b, and a budget of two. The partition "tokens 0 and 2" leaves two groups, by likeness: {0, 1, 4} and {2, 3, 5}. The
# reducer "halves of the list" leaves {0, 1, 2} and {3, 4, 5}, and asks no key.
#
# Both get a `Context` with all that is known about the tokens. What comes out is a `Merge`, as in lesson 02, and everything in the course takes it.

# %%
plug = {
    "Context": "keys (B, n, D)\nframe, row, column, size\nmotion, relative, saliency\nn_targets, n_keep\ndraw(score)",
    "your function": "a partition:\nwho are the targets\nor a reducer:\nwho joins whom",
    "Merge": "group (B, n):\ninto which output token\nkeep (B, M):\nwhich token it continues",
    "taken by": "probe, study, board\nVideoClassifier\ntimm, transformers\nyour own mp4",
}
plots.show(plots.flow(plug, here="your function"))

# %% [markdown]
# `B` films, `n` tokens each. `frame`, `row`, `column`, `size`, `motion`, `relative` (motion less the camera's) and `saliency` are (B, n), one number a token. A
# network or a model that does not know one of them has `None` there.
#
# **The two templates.** A partition may ask for fields of the Context by name, as `newest` does, or take all of it. A reducer takes all of it.

# %%
def newest(n, n_targets):
    """A partition: the last tokens of the film are the targets."""
    return torch.arange(n - n_targets, n)


def neighbours(context):
    """A reducer: runs of the list of tokens, all about equally long, become one token each."""
    group = torch.arange(context.n) * context.n_keep // context.n
    first = torch.searchsorted(group, torch.arange(context.n_keep))
    return Merge(group.repeat(len(context.keys), 1), first.repeat(len(context.keys), 1))


keys = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1], [1, 0], [0, 1]])[None]
six = Context(keys, gamma=3, frames=1, height=2, width=3, position=torch.arange(6)[None], size=torch.ones(1, 6))
shown = {name: reduce(tried(function), six).group[0] for name, function in (("newest", newest), ("neighbours", neighbours))}
plots.show(plots.puzzle({"token": range(6), "key": [0, 0, 1, 1, 0, 1]} | shown, {}, colour=list(shown), title="Into which group"))

# %% [markdown]
# `newest` makes tokens 4 and 5 the targets; they happen to have different keys, so everybody finds an equal. `neighbours` is blind. `tried` tries a function
# out, on awkward inputs, and makes a reducer of it, whichever of the two it is. `reduce` runs a reducer.
#
# What a partition returns: whole numbers, ascending, each from 0 to n - 1, `n_targets` of them for each film: (T,), or (B, T) if films differ. A reducer
# leaves `n_keep` tokens.
#
# ## Step 1: a partition
#
# What does everybody do who watches a film in a hurry? Look at a few whole frames. It is the plainest strategy in time, and a good template.
#
# 8 frames of 8 x 8 tokens, `gamma` 6: of 512 tokens 86 are targets. That is one frame and 22 tokens. So there are $k = \lceil 86/64 \rceil = 2$ frames, spread
# evenly, and the second one is cut:

# %%
film = films.make(seed=131, way="roaming", frames=8, size=64, patch=8)
plots.show(plots.targets(film.frames, torch.tensor([*range(64), *range(256, 278)]), (8, 8, 8), pick=8, title="86 targets: frame 0, and 22 tokens of frame 4"))

# %% [markdown]
# ## Your turn 1: whole frames
#
# Return the positions of the targets: the tokens of $k$ frames, $k = \lceil$ `n_targets` / (`height` · `width`) $\rceil$, frame number $\lfloor i \cdot$ `frames` $/ k \rfloor$ for
# $i = 0, \dots, k - 1$. Each frame's tokens in order; the last frame is cut so that exactly `n_targets` are left. Ascending, int64.
#
# The arguments have the names of the Context's fields. So what you write here runs everywhere at once.

# %% nbgrader={"grade": false, "grade_id": "frame-targets", "locked": false, "schema_version": 3, "solution": true, "task": false}
def frame_targets(frames: int, height: int, width: int, n_targets: int) -> torch.Tensor:
    """Positions of the targets, (n_targets,) int64, ascending: whole frames, spread evenly, the last one cut."""
    ### BEGIN SOLUTION
    places = height * width
    k = -(-n_targets // places)
    first = torch.arange(k) * frames // k * places
    return (first[:, None] + torch.arange(places)).flatten()[:n_targets]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "frame-targets-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.frame_targets(frame_targets)

# %% [markdown]
# ## Its curve beside others
#
# 300 painted films to practise on. A linear reader is fitted on 180 of them and reads the other 120: the probe of lesson 08, with one round of merging.
# Making films takes about 15 seconds the first time; they are kept.

# %%
items = leaderboard.practice(workers=2)
fit, look = items[:180], items[180:]
learned = learn_saliency(fit, seed=0)  # the course's learnable: by pooling, from labels


def measure(strategy, gamma):
    """(recall, accuracy) of a partition or reducer on practice films."""
    plug = {"strategy": strategy} if isinstance(strategy, str) or strategy is learned else {"reducer": tried(strategy)}
    fitted, seen = (retain(some, gamma=gamma, rounds=1, **plug) for some in (fit, look))
    guess = linear_probe(fitted.features, fit.columns["label"], seen.features)
    return seen.recall.mean().item(), (guess == look.columns["label"]).float().mean().item()

# %% [markdown] tags=["prediction"]
# **Before you run it:** will whole frames keep more or less of the gesture than as many targets spread over all frames (uniform)? Write `"more"`, `"less"` or `"the same"`
# in place of the dots.

# %%
checks.predict("13-frames", ...)

# %%
my_frames = checks.frame_targets.mine()
several = {"whole frames": my_frames, "learnable": learned} | {name: name for name in ("uniform", "random", "centre", "relative", "oracle")}
gammas = [2, 6, 20]
table = {name: [measure(strategy, gamma) for gamma in gammas] for name, strategy in several.items()}

# %% tags=["nbval-ignore-output"]
lines = {name: [accuracy for _, accuracy in row] for name, row in table.items()}
plots.show(plots.curves(gammas, lines, xlabel="gamma", ylabel="accuracy of a linear reader", logx=True, reference=(1 / 8, "chance"),
                        title="Whole frames as targets, 120 practice films"))  # fmt: skip
for name, row in table.items():
    print(f"{name:13s} recall of the actor " + "  ".join(f"{recall:.2f}" for recall, _ in row))
gap = sum(a - b for a, b in zip(lines["whole frames"], lines["uniform"], strict=True)) / len(gammas)
checks.replay("13-frames", "the same" if abs(gap) < 0.05 else "more" if gap > 0 else "less")

# %% [markdown]
# Whole frames take their share of the actor, as every blind choice does: recall is about $1/\gamma$. So they stay near uniform and random: with 120 films a difference
# of a few points says nothing (lesson 08). Who does not look at the film does not get far. And labels are worth most: learnable saliency is near the oracle.
#
# ## What a wrong function is told
#
# A function of yours goes wrong sooner or later. It is told in terms of the plug: what it was given, what came back, what belongs there. Three that are wrong, each
# in its own way:

# %%
def moving(context):
    return context.motion > 1.0


def every_eighth(n_targets):
    return 8 * torch.arange(n_targets)


def by_lot(context):
    return torch.randperm(context.n)[: context.n_targets].sort().values


for function in (moving, every_eighth, by_lot):
    try:
        tried(function)
    except OwnError as error:
        print(f"{error}\n")

# %% [markdown]
# A mask is no list of positions, and a threshold keeps no budget. Every eighth token runs past the end of the list where `gamma` is 4. And chance has to come from the
# Context's generator, so that a run can be repeated: `context.draw(score)` takes care of that.
#
# There is one more thing to know. After a first merge **tokens are no full grid**: `context.frame`, `row` and `column` still say where each token comes from, but
# token 64 is no longer the first of frame 1. Your `frame_targets` takes it for granted; with a large budget, in a second block, it points past the end.
#
# **The same from the command line.** Put the function into a file, then
#
#     python -m vtm_lesson compare --strategy my_file.py:NAME --quick
#
# `NAME` may be a partition or a reducer. With `--quick` its row stands beside the controls, in a minute or two; without, at four budgets and beside the stored rows of all others, in table and
# figure. With `--data FOLDER` it runs on labelled clips of your own (lesson 12).

# %% [markdown]
# ## Step 2: a reducer
#
# Most of a film is what was there before. So keep a token where the picture *changes*, and let it stand for what follows. That is **run-length** coding, the oldest trick of
# video. Four frames of three places; a change below 0.5 is none:
#
# | change to the frame before | place 0 | place 1 | place 2 | | groups | place 0 | place 1 | place 2 |
# |---|---|---|---|---|---|---|---|---|
# | | | | | | frame 0 | 0 | 1 | 2 |
# | frame 1 | 0.1 | 0.9 | 0.0 | | frame 1 | 0 | **3** | 2 |
# | frame 2 | 0.2 | 0.1 | 0.7 | | frame 2 | 0 | 3 | **4** |
# | frame 3 | 0.1 | 0.3 | 0.5 | | frame 3 | 0 | 3 | **5** |
#
# Six groups for twelve tokens. Place 0 never changes, and one token says it all.

# %%
toy = torch.tensor([[0.1, 0.9, 0.0], [0.2, 0.1, 0.7], [0.1, 0.3, 0.5]])
rows = {"frame": [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], "place": [0, 1, 2] * 4}
wanted = {"group": [0, 1, 2, 0, 3, 2, 0, 3, 4, 0, 3, 5]}
plots.show(plots.puzzle(rows, wanted, colour=["group"], title="The twelve tokens in one list"))

# %% [markdown]
# ## Your turn 2: runs
#
# `changes` (T - 1, P) says how much the token at each place of frame t + 1 differs from that of frame t. Return the groups, (T, P) int64: a token that changes by **less than**
# `threshold` joins the group of its place in the frame before; any other begins a new one. Groups are numbered 0, 1, 2, ... in the order in which they begin, frame by
# frame, and within a frame place by place.

# %% nbgrader={"grade": false, "grade_id": "run-groups", "locked": false, "schema_version": 3, "solution": true, "task": false}
def run_groups(changes: torch.Tensor, threshold: float) -> torch.Tensor:
    """(T - 1, P) changes -> (T, P) int64, the group of every token."""
    ### BEGIN SOLUTION
    begins = torch.cat([torch.ones(1, changes.shape[1], dtype=torch.bool), changes >= threshold])
    number = begins.flatten().cumsum(0).view(begins.shape) - 1
    return torch.where(begins, number, 0).cummax(0).values
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "run-groups-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.run_groups(run_groups)

# %%
my_runs = checks.run_groups.mine()
plots.show(plots.puzzle(rows, wanted, lambda changes: torch.as_tensor(my_runs(changes, 0.5)).flatten(), (toy,), colour=["group"]))

# %% [markdown]
# From groups to a reducer it is not far. Changes are those of the keys, in units of the mean key. `Merge.of` takes for each token the position of the one that it ends up in: the first of
# its group. And as films differ in how much changes, so does the number of tokens that are left: such a reducer is **ragged**, and says so.

# %%
def still(context, threshold=0.75):
    """A reducer: what does not change joins what was there before."""
    places = context.height * context.width
    if context.n != context.frames * places:  # after an earlier merge there is no grid
        return Merge.identity(len(context.keys), context.n)
    x = context.keys.unflatten(1, (context.frames, places))
    changes = x.diff(dim=1).abs().mean(-1) / x.abs().mean((1, 2, 3))[:, None, None]
    groups = torch.stack([torch.as_tensor(my_runs(film, threshold)).flatten() for film in changes])
    first = torch.full_like(groups, context.n).scatter_reduce(1, groups, torch.arange(context.n).expand_as(groups), "amin")
    return Merge.of(first.gather(1, groups))


still.ragged = True
one = look[1:2].columns
there = Context(one["tokens"].flatten(1, 3), 6, 8, 8, 8, torch.arange(512)[None], torch.ones(1, 512))
merge = reduce(tried(still), there)
print(merge)

# %%
roaming = films.make(11 * 2**20 + 181, "roaming", frames=8, size=64, patch=8)  # the same film, to be looked at
plots.show(plots.groups(roaming.frames, {"what is left": merge}, (8, 8, 8), pick=8, film="the film", paint="patch"))

# %% [markdown]
# The set stands still, and became one token a place, for the whole film. Where the actor walks, tokens stay; but it is smeared. A figure that changes a little from frame to frame stays below the
# threshold each time, and in the end a run is the average of pictures far apart. Whoever compares neighbours only does not see what *drifts*.
#
# How many tokens are left over all practice films?

# %%
left = [reduce(still, Context(one[None].flatten(1, 3), 6, 8, 8, 8, torch.arange(512)[None], torch.ones(1, 512))).n_out for one in look.columns["tokens"]]
way = look.columns["way"].tolist()
counts = {name: [n for n, w in zip(left, way, strict=True) if w == i] for i, name in enumerate(films.WAYS)}
plots.show(plots.bars({name: sum(found) / len(found) for name, found in counts.items()}, xlabel="tokens left of 512 (mean, and every film)", points=counts,
                      title="Ragged: every film keeps what it needs", reference=(86, "gamma 6")))  # fmt: skip

# %% [markdown]
# In handheld films the set moves through the frame, and twice as many tokens are left as in roaming ones: at a *place* everything changes. A ragged count says something of
# the film, and keeps no budget. Whoever compares it with others has to move its threshold until the mean count meets theirs, as `python -m vtm_lesson reducers` does.
#
# ## A threshold on likeness
#
# The same question for matching. Naive VTM merges every source, like or unlike. Merge only those whose best target has a cosine **above** a threshold: how many tokens are left?

# %% [markdown]
# ## Your turn 3: predict, then compute
#
# `best` (B, S) holds for each film the cosine of each source with its best target. A source is merged where that is greater than `threshold`; targets stay, and so do all other
# sources. Return how many tokens are left of each film, (B,) int64.
#
# **First your guess:** the practice films, 86 targets (gamma 6), threshold 0.9. How many of 512 tokens are left on average? Put a number in place of the dots.

# %%
checks.predict("13-left", ...)

# %% nbgrader={"grade": false, "grade_id": "left-at", "locked": false, "schema_version": 3, "solution": true, "task": false}
def left_at(best: torch.Tensor, threshold: float, n_targets: int) -> torch.Tensor:
    """(B, S) cosines of sources with their best target -> (B,) int64, tokens that are left."""
    ### BEGIN SOLUTION
    return n_targets + (best <= threshold).sum(1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "left-at-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.left_at(left_at)

# %%
my_left = checks.left_at.mine()
targets = vtm.uniform(512, 6)
sources = torch.tensor(sorted(set(range(512)) - set(targets.tolist())))
_, best = vtm.nearest(look.columns["tokens"].flatten(1, 3), targets, sources)
thresholds = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99]
means = {
    name: [torch.as_tensor(my_left(best[look.columns["way"] == i], t, 86)).float().mean().item() for t in thresholds]
    for i, name in enumerate(films.WAYS)
}

# %% tags=["nbval-ignore-output"]
plots.show(plots.curves(thresholds, means, xlabel="threshold on the cosine", ylabel="tokens left of 512", reference=(86, "all sources merged"),
                        title="How many tokens a threshold leaves"))  # fmt: skip
checks.replay("13-left", round(torch.as_tensor(my_left(best, 0.9, 86)).float().mean().item()))

# %% [markdown]
# With the keys of this encoder most tokens stay at 0.9. With another encoder the same threshold leaves another number: it has to be set anew each time.

# %% [markdown]
# ## Energy: who stands alone
#
# The other way round: protect what has no double. PiToMe gives every token an **energy**, high in a large cluster:
#
# $$E_i = \frac 1n \sum_j f(c_{ij}), \qquad f(c) = c \text{ where } c \ge m, \text{ else } e^{\,c - m} - 1$$
#
# $c_{ij}$ is the cosine of the keys of tokens $i$ and $j$ ($j = i$ is counted, too), $m$ the margin. Tokens of high energy are merged; those of low energy are left alone.
# By hand: two equal keys and one at right angles, $m = 0.5$. The twins: $(1 + 1 + e^{-0.5} - 1)/3 = 0.54$. The other one: $(1 - 0.39 - 0.39)/3 = 0.07$.
#
# Somebody wrote it down like this:

# %%
def energy_of_lengths(keys: torch.Tensor, margin: float) -> torch.Tensor:
    """Broken: (n, D) -> (n,)."""
    alike = keys @ keys.T
    return torch.where(alike >= margin, alike, torch.exp(alike - margin) - 1).mean(1)


angles = torch.tensor([0.0, 0.1, 0.2, 0.15, 1.6])
five = torch.stack([angles.cos(), angles.sin()], 1) * torch.tensor([1, 1, 1, 1, 3.0])[:, None]
written = {f"token {i}": value for i, value in enumerate(energy_of_lengths(five, 0.5).tolist())}
plots.show(plots.bars(written, xlabel="energy, as it was written down", title="Tokens 0 to 3 are alike; token 4 stands alone, and its key is long"))

# %% [markdown]
# Token 4, like nobody, has the *highest* energy, and would be merged away first.
#
# ## Your turn 4: mend it
#
# Write the energy as the formula has it: (n, D) keys and the margin to (n,). A key of zeros has cosine 0 with all.

# %% nbgrader={"grade": false, "grade_id": "energy-score", "locked": false, "schema_version": 3, "solution": true, "task": false}
def energy_score(keys: torch.Tensor, margin: float) -> torch.Tensor:
    """(n, D) -> (n,): PiToMe's energy, high in a large cluster."""
    ### BEGIN SOLUTION
    unit = F.normalize(keys, dim=1)
    alike = unit @ unit.T
    return torch.where(alike >= margin, alike, torch.exp(alike - margin) - 1).mean(1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "energy-score-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.energy_score(energy_score)

# %%
my_energy = checks.energy_score.mine()
print("now:", [round(value, 2) for value in torch.as_tensor(my_energy(five, 0.5)).tolist()])
energy = torch.as_tensor(my_energy(there.keys[0], 0.375))
plots.show(plots.saliency(roaming.frames, -energy, (8, 8, 8), actor=roaming.actor, pick=8, title="Who stands alone", label="- energy"))

# %% [markdown]
# Low energy (bright) finds figures: there are few of them, and much of everything else. But it does not know which figure counts. Here the props stand out, and the actor, outlined, less. Every score by
# keys alone has to live with that. And it takes all pairs, $n^2$, where a match takes sources times targets.

# %% [markdown]
# ## Every reducer side by side
#
# `vtm.reducers()` has names for all of these. What they keep:
#
# | name | what is left | from |
# |---|---|---|
# | `uniform` | every gamma-th token is a target | VTM |
# | `random` | targets by lot | control |
# | `centre`, `boundary` | more targets in the middle, or at the border | VTM |
# | `motion`, `relative` | targets where it moves; where it moves against the camera | VTM; this course |
# | `learnable` | targets by learned saliency | VTM |
# | `oracle` | targets on the actor | control |
# | `drop` | tokens by lot, or by a score; the others vanish | control |
# | `top` | the tokens of highest score, without chance | EViT |
# | `frames` | whole frames; the others vanish | control |
# | `threshold` | targets, and sources that are like none of them | this course, after ATM |
# | `run_length` | the first token of each run at a place | RLT |
# | `change` | the tokens that changed most since the frame before | EVS |
# | `window` | an anchor frame, and what is in no small window of it | TTF |
# | `quadtree` | large squares where all is alike, small ones elsewhere; then chains in time | STTM |
# | `anchor_frames` | frames that differ, and of the others the tokens that differ | LongVU |
# | `cells` | one random target in each small cell | ToMeSD |
# | `energy` | what stands alone, and half of the clusters | PiToMe |
# | `norm_preserving` | as `uniform`, averages as long as their longest token | ToFu |
# | `sharpness` | as `uniform`, sources count by how sharply they look | vid-TLDR |
# | `time_space` | frames merged into frames, then patches inside them | TESTA |
# | `decoupled` | as `uniform`, matched by an embedding of its own | DTEM |
#
# `run_length`, `threshold`, `window`, `quadtree` and `anchor_frames` are ragged. All of them at every budget, on 1,200 test films, nobody tuned (this command made it):

# %%
report = budgets.load()
print(report["command"])
plots.show(budgets.figure(report, gamma=6))

# %% [markdown]
# Two things are wanted at once: accuracy, and little time. Who is slower *and* worse than another is out of the race. Those that are left are the **Pareto front**: to be better than
# one of them you have to be slower, or cleverer than everybody here.

# %% [markdown]
# ## Your turn 5: the front
#
# Row $i$ takes `times[i]` and has `accuracies[i]`. A row **beats** another if it is faster and at least as good, or better and at least as fast. Return the indices of the rows that no
# other beats, in order of time (equal times: in the order of the rows). Two rows that are equal in both do not beat each other.

# %% nbgrader={"grade": false, "grade_id": "pareto-front", "locked": false, "schema_version": 3, "solution": true, "task": false}
def pareto_front(times: list[float], accuracies: list[float]) -> list[int]:
    """Indices of the rows that no other row beats, in order of time."""
    ### BEGIN SOLUTION
    rows = list(zip(times, accuracies, strict=True))
    front = [
        i
        for i, (time, good) in enumerate(rows)
        if not any((t < time and a >= good) or (t <= time and a > good) for t, a in rows)
    ]
    return sorted(front, key=lambda i: times[i])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "pareto-front-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.pareto_front(pareto_front)

# %%
my_front = checks.pareto_front.mine()
for title, leave_out in {"all of them": (), "without those that learned from labels": ("saliency",)}.items():
    print(title)
    for gamma in sorted({row["gamma"] for row in report["rows"]} - {1.0}):
        race = [row for row in report["rows"] if row["gamma"] == gamma and row["strategy"] not in budgets.CONTROLS]
        race = [row for row in race if budgets.need(row["strategy"]) not in leave_out]
        times = [row["time"]["median"] for row in race]
        good = [row["accuracy"]["all"][0] for row in race]
        names = [f"{race[i]['strategy']} {good[i]:.0%} (x{times[i]:.2f})" for i in my_front(times, good)]
        print(f"  one token in {gamma:g} left: " + ", ".join(names))

# %% [markdown]
# (Times are of uniform's, and hold what a reducer looks at: attention, the camera's motion, the score of saliency.) Read the front with lesson 08 in mind: it is made of
# *means*, and rows that no seeds tell apart push each other off it by luck.
#
# Two things stand out.
#
# - **Dropping is hard to beat.** Once saliency is learned, whoever keeps its targets and lets the rest vanish is ahead of whoever merges the rest into them, and most at one token in 60. There a group has 60 tokens, and its
#   average is mostly the set. This reader wants one figure, and nothing of the rest. In a task that asks about the whole picture, dropping loses what merging keeps.
# - **Most rules without labels are near random targets here.** These films ask for *one* figure among many that move and stand out. A rule that looks for what is unusual, still or repeated has no way to know which one
#   is meant. It was made for another question: the same answers from fewer tokens, in a network that looks at everything.

# %% [markdown]
# ## In somebody else's model
#
# `hosts.apply` takes your function as it is: `partition=` a partition, `reducer=` a reducer. Here it is lesson 03's tiny ViT, built of timm's blocks and trained without merging. In each of
# 6 blocks 12 tokens go. An image has no motion, and such a model knows no saliency: so what you use there has to live on keys and places.

# %%
model = tiny_vit.load()
stills = films.batch(90, seed=131, frames=1, size=96, patch=8, progress=False)
images = tiny_vit.pixels(stills.frames[:, 0])
with torch.no_grad():
    before = model(images)
    for name, option in {"ToMe": {}, "newest": {"partition": newest}, "neighbours": {"reducer": neighbours}, "drop": {"reducer": "drop"}}.items():
        torch.manual_seed(0)
        hosts.apply(model, r=12, **option)
        same = (model(images).argmax(1) == before.argmax(1)).float().mean()
        print(f"{name:11s} {model.merges}: {same:.0%} of the answers are the same")
    hosts.remove(model)
    print("removed; the same logits as before:", torch.equal(model(images), before))

# %% [markdown]
# Any plain ViT of timm does, and CLIP, SigLIP, DINOv2, VideoMAE, ViViT of transformers: `hosts.supported()`. In one of the course's networks it is
# `vtm.VideoClassifier(..., partition=my_partition)` or `reducer=my_reducer`, trained by `vtm.fit`.
#
# ## On a film of yours
#
# The strategy sees a film as tokens, motion, and places. What did it keep? Put your own file in place of the sample.

# %%
FILM = films.sample("handheld")  # or FILM = "party.mp4"
encoder = load_encoder("patch")


def context_of(clip: video.Clip, gamma: float) -> Context:
    """All that is known about the patches of 8 x 8 pixels of a film."""
    tokens = encoder.encode(torch.as_tensor(clip.frames)[None])
    motion, vectors = torch.from_numpy(clip.patches(8)[1]), torch.from_numpy(clip.vectors(8))
    n = tokens[0, ..., 0].numel()
    context = Context(tokens.flatten(1, 3), gamma, *tokens.shape[1:4], torch.arange(n)[None], torch.ones(1, n), motion.reshape(1, n))
    context.relative = relative_motion(vectors).reshape(1, n)
    context.generator = torch.Generator().manual_seed(0)
    return context


clip = video.read(FILM, frames=12, size=96, progress=False)
mine = context_of(clip, gamma=6)
chosen = {"whole frames": my_frames(12, 12, 12, mine.n_targets), "relative": vtm.merging.strategies.STRATEGIES["relative"](mine)[0]}
plots.show(plots.targets(clip.frames, chosen, (12, 12, 12), pick=range(0, 12, 2), title="Targets (bright), gamma 6"))

# %% [markdown]
# ## Step 3: your idea
#
# What will you look at? A few observations of the course to begin with:
#
# - Motion relative to the camera finds what walks by itself (lesson 06), the props as well.
# - Who films holds what matters near the middle. (In handheld films of this course the actor is never *in* it.)
# - What stands alone has low energy. A score by keys alone does not know which figure counts.
# - Sampling from a score leaves some targets to the rest, which is needed there: sources want someone who is like them.
#
# Measure on practice films, `measure(own_partition, 6)`, as often as you like. Recall is a help, not the aim.

# %% [markdown]
# ## Your turn 6: your own partition
#
# A function of the Context, fewer than 20 lines. The check demands what any partition has to do, and tells you which of it is missing: as many targets as the budget asks for, in
# range, distinct, ascending; on any grid and after earlier merges; the same again with the same seed; no look at `context.oracle`; and it has to **look at the film**: other films, other targets.
# How good it is, no check asks. That is the board's part.

# %% nbgrader={"grade": false, "grade_id": "own-partition", "locked": false, "schema_version": 3, "solution": true, "task": false}
def own_partition(context: Context) -> torch.Tensor:
    """Your targets: (B, T) int64, ascending."""
    ### BEGIN SOLUTION
    moves = context.keys.norm(dim=-1) if context.relative is None else context.relative  # images do not move
    moves = (moves - moves.mean(1, keepdim=True)) / moves.std(1, keepdim=True, correction=0).clamp(min=1e-6)
    y = 2 * context.row / max(context.height - 1, 1) - 1  # from -1 at the top to 1
    x = 2 * context.column / max(context.width - 1, 1) - 1
    return context.draw(2 * moves - 3 * (x**2 + y**2))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "own-partition-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.own_partition(own_partition)

# %% tags=["nbval-ignore-output"]
my_partition = checks.own_partition.mine()
for name, strategy in {"own_partition": my_partition, "neighbours": neighbours, "newest": newest}.items():
    recall, accuracy = measure(strategy, 6)
    print(f"{name:14s} recall {recall:.2f}, accuracy {accuracy:.2f} on practice films")

# %%
plots.show(plots.targets(clip.frames, {"yours": my_partition(mine)[0]}, (12, 12, 12), pick=range(0, 12, 2), title="Your targets in the film above"))

# %% [markdown] tags=["solution"]
# <details><summary>The idea of this answer</summary>
#
# Two weak hints together: what moves against the camera, and what is not at the border. Each alone is wrong in one way of filming. On practice films a prior of 3 was better than 1.5,
# and adding the keys' length raised the *recall*, and lowered the accuracy: it meets the actor more often, and the props, too.
#
# </details>

# %% [markdown]
# ## Your VTM of lesson 07 enters
#
# There you built a network whose targets go to the actor, from labels alone. Here it is trained again, on the practice films and by your own functions where they are solved. What it learned is a score, and a score
# and a partition are an entry: `("learnable", score)`. About 10 seconds, with the package's functions.

# %%
my_block, my_saliency = checks.vtm_block.mine(), checks.saliency.mine()


class OwnVTM(nn.Module):
    """Lesson 07's: a block, the average of the tokens that are left, a linear head. Takes one film, (N, C)."""

    def __init__(self, width: int = 48, classes: int = 8):
        super().__init__()
        self.main, self.aux = (nn.Parameter(torch.randn(3, width, width) / width**0.5) for _ in range(2))
        self.U = nn.Parameter(torch.zeros(width, 1))
        self.norm, self.linear, self.head = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, classes)

    def forward(self, film: torch.Tensor) -> torch.Tensor:
        x, noise = self.norm(film), -torch.empty(len(film)).exponential_().log()
        merged = my_block(x, x, self.main, self.aux, self.U, 6, noise, self.training)
        return torch.stack([self.head(F.gelu(self.linear(y.float())).mean(0)) for y in (merged if self.training else [merged])])

# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
network, label = OwnVTM(), items.columns["label"]
optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
tokens = items.columns["tokens"][:, ::2].flatten(1, 3)  # every second frame, to spare your time
steps = [i for _ in range(3) for i in torch.randperm(300).split(16)]
losses = []
for i in tqdm(steps, desc="your VTM", unit="step", leave=False):
    loss = F.cross_entropy(torch.stack([network(film) for film in tokens[i]]).flatten(0, 1), label[i].repeat_interleave(2))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print(f"loss: {sum(losses[:5]) / 5:.2f} over the first five steps, {sum(losses[-5:]) / 5:.2f} over the last five")


@torch.no_grad()
def vtm_score(tokens: torch.Tensor) -> torch.Tensor:
    """Saliency of each film's tokens: (B, n, C) -> (B, n)."""
    keys = network.norm(tokens) @ network.main[1]
    return torch.stack([torch.as_tensor(my_saliency(k, network.U.detach())).float() for k in keys])

# %% [markdown]
# ## The leaderboard
#
# 400 films that no other lesson and no study uses, in five sets. Beside your entries stand all strategies of the course at the settings they come with, and the controls. Intervals are over the sets: they say how
# other *films* would scatter, which lesson 08 could not say.

# %% [markdown] tags=["prediction"]
# **Before you run it:** who will be first of yours, and will it be ahead of `relative`? Of `learnable`?
#
# *My guess:*

# %% [markdown]
# Making the films takes about 20 seconds the first time.

# %% tags=["nbval-ignore-output"]
entries = {"your VTM": ("learnable", vtm_score), "own_partition": my_partition, "frame_targets": my_frames, "neighbours": neighbours, "still": still}
public = leaderboard.board(entries, workers=2)
print(public)
plots.show(leaderboard.figure(public))

# %% [markdown]
# Look at four things.
#
# - **Beyond random.** An interval that leaves out zero: these sets of films tell your entry from random targets. Most blind ones are not, or are below.
# - **None.** No merging at all is no bad rival: who is below it has lost some of the gesture.
# - **Neighbours.** Two rows whose intervals overlap widely are not told apart by this table, whatever their order.
# - **The star.** `still` keeps another number of tokens. It stands there, and is no equal comparison.
#
# Your VTM saw labels, and so did `learnable`; the others did not. So they are two races in one table. And compare your own partition with what you measured on the practice films: where something was chosen
# by its result, the result flatters it. (Ours was: 58% there, ten points less here.)
#
# Under the table stands how often you have tried. If you now change a number and run the board again, and again, the best of your tries is *tuned to these films*: with twenty equal
# ideas, the best of them looks better than it is. Change it on practice films, and come here seldom.
#
# ## The final board, once
#
# So there are films for one look at the end. Choose **one** entry first, by what you know now.

# %% tags=["nbval-ignore-output"]
MY_CHOICE = "own_partition"  # a name from entries
final = leaderboard.board({MY_CHOICE: entries[MY_CHOICE]}, final=True, workers=2)
print(final)

# %% tags=["nbval-ignore-output"]
(was, now) = (next(row for row in found.rows if row.name == MY_CHOICE) for found in (public, final))
print(f"{MY_CHOICE}: public {was.accuracy[0]:.0%}, final {now.accuracy[0]:.0%}, beyond random {100 * now.beyond_random[0]:+.0f} points")

# %% [markdown]
# Two numbers for one thing, a few points apart: that is what other films do. The final one is what you may tell others, *whatever it is*.
#
# In a class there is a third board: `python -m vtm_lesson leaderboard FOLDER` ranks what was handed in on films that nobody has seen. Hand in a file with `own_partition`, or with `entry`, and with `score(tokens)` if it has one.
#
# ## Into the package
#
# An idea that holds can be given a name that everything knows, from `vtm.reducers()` to the command line and the hosts. One file in `vtm_lesson/merging/reducers/`, here `neighbours.py`:
#
# ```python
# """Runs of the list of tokens become one token each: a control that looks at nothing."""
#
# from dataclasses import dataclass
#
# import torch
#
# from ..merge import Merge
# from ..strategies import Context
#
#
# @dataclass(frozen=True)
# class Neighbours:
#     """Cut the list of tokens into n - R runs of about equal length, a token each. It fails everywhere alike."""
#
#     source = "control"
#     cost = "0"
#
#     def __call__(self, context: Context) -> Merge:
#         group = torch.arange(context.n, device=context.device) * context.n_keep // context.n
#         first = torch.searchsorted(group, torch.arange(context.n_keep, device=context.device))
#         return Merge(group.repeat(len(context.keys), 1), first.repeat(len(context.keys), 1))
#
#     @staticmethod
#     def flops(n: int, n_targets: int, dim: int) -> int:
#         """Nothing is matched."""
#         return 0
# ```
#
# and one line in `vtm_lesson/merging/registry.py`, in `REDUCERS`:
#
# ```python
#     "neighbours": "neighbours.Neighbours",
# ```
#
# That is all. `.venv/bin/python -m pytest tests/merging -q` tries it on everything that any reducer has to hold; [CONTRIBUTING](../CONTRIBUTING.md) says the rest.
#
# Without touching the package the command line does as well. The template as a file:

# %%
folder = Path(tempfile.mkdtemp())
(folder / "my_file.py").write_text('''import torch


def newest(n, n_targets):
    return torch.arange(n - n_targets, n)


def too_many(n):
    return torch.arange(n)
''')
for name in ("newest", "too_many"):
    try:
        found, function = vtm.study.own.load(f"{folder / 'my_file.py'}:{name}")
        print(f"{found} can be compared")
    except OwnError as error:
        print(str(error).replace(str(folder) + os.sep, ""))

# %% [markdown]
# ## What the paper reports, and what you have now
#
# VTM reports its five mergers on LVU, one number each. You have a bench on which a sixth, or a sixtieth, takes minutes: at an equal budget, on hidden films, with intervals, with the number of tries beside it. What
# it measures is *retention*: what is left of the answer, when nothing but an average stands between the tokens and the reader. In a trained network attention can save much of what a
# bad partition loses (lesson 08, evidence (c)); and real footage is no painted film (lesson 12).
#
# ## Where it fails
#
# - **A board of painted films rewards what suits painted films.** An actor of one hue, small, in three ways of filming: a strategy may learn just that.
# - **A linear reader of averages** likes few tokens of the actor and no others. A task that needs the *order* of events asks for something else.
# - **Equal tokens are not equal time.** The board has no clock. `python -m vtm_lesson reducers` has one.
# - **Hidden films stay hidden by your will only.** Their seeds stand in the code, as everything here. A teacher's board (`python -m vtm_lesson leaderboard`) draws films that nobody has
#   seen; your `own_partition` goes in as you wrote it.

# %% [markdown]
# ## Recap
#
# - A partition says who are the targets, a reducer who joins whom. Context in, Merge out.
# - What is wrong with a function is told in terms of the plug: shape, range, order, budget, seed.
# - Ragged reducers keep what a film needs; at equal budgets their threshold has to be set by the films.
# - Choose by the Pareto front, and remember that it is made of means.
# - Tune on practice films, show on the public board, tell the final number.
#
# **Quiz**
#
# <details><summary>1. Your partition returns 86 targets for every film, always the same ones. Which of the two boards will tell you first that it is of no use?</summary>
#
# The public one: it will not be told apart from random targets, or be below them. The check says it before any board: it does not look at the film.
#
# </details>
#
# <details><summary>2. A ragged reducer keeps 300 of 512 tokens and has the accuracy of no merging. Is it good?</summary>
#
# It threw away 212 tokens for nothing, which is something. But others stand there with 86. Set its threshold so that 86 are left on average, and look again.
#
# </details>
#
# <details><summary>3. You tried thirty ideas on the public board. The best is 4 points ahead of the second. What do you tell others?</summary>
#
# Its number on the final board, looked at once, with the interval, and that there were thirty.
#
# </details>
#
# **What to read next:** ToMe (2210.09461) and VTM (2410.23782) themselves; you have built every equation of them. Then, each a different answer to "what may be averaged away": PiToMe (2405.16148) protects what
# stands alone, vid-TLDR (2403.13347) weighs by attention, RLT (2411.05222) drops what does not change, TESTA (2310.19060) merges frames first, LongVU (2410.17434) works before a language model. And the
# [appendix on the matcher](B_matcher_roofline_and_kernel.ipynb), if you want yours to be fast.
