# %% [markdown]
# # 11 Longer films
#
# **You will** merge a film that never lies in memory as a whole, chunks of chunks, frame by frame · keep the map back from every token to its second · find out
# whether twelve seconds can be found again in an hour, and who finds them.
#
# **Time** 65 minutes · **Needs** [lesson 04](04_naive_vtm.ipynb) (chunks) and [lesson 07](07_learnable.ipynb) (saliency) · **Runs in** about
# half a minute, no GPU

# %%
from vtm_lesson import checks, plots

plots.show(checks.course_map("11"))

# %% [markdown]
# ## The question
#
# The longest films of the VTM paper are cut into pieces of a minute or two. A match lasts ninety minutes, a shift eight hours, and a camera at a door never stops. Take an hour,
# one frame a second, 14 x 14 patches a frame: 3,600 frames, **705,600 tokens**. Three things break:
#
# - **Memory.** All frames and all tokens at once fill gigabytes at a real encoder's size, and a camera that never stops fills any memory.
# - **Time.** Where all tokens meet each other, an hour costs 3,600 times as much as a minute, not 60 times.
# - **The needle.** If a few hundred tokens are kept of an hour, and what matters took twelve seconds, is any of it among them?
#
# The first two have one answer. The third depends on who decides.

# %%
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from vtm_lesson import checks, films, plots, video
from vtm_lesson.encoders import load_encoder
from vtm_lesson.network import Live, VideoClassifier, merging_levels
from vtm_lesson.study import hours
from vtm_lesson.study.hours_command import length, load, memory_figure, recall_figure, time_figure
from vtm_lesson.study.report import percent

torch.set_num_threads(1)
HOUR, PATCHES, KEEP = 3600, 14 * 14, 196

# %% [markdown]
# ## Chunks of chunks
#
# Lesson 04's first block looks at chunks of a few frames, and its last block at the whole film. Make it a **tree**. Level 1 merges every chunk of 6 frames, $6 \cdot 196 = 1{,}176$
# tokens, to 196. Level 2 takes the 196 tokens of *six such chunks*, 1,176 again, and merges them to 196. And so on, until one chunk is the whole film. **No level ever
# meets more than 1,176 tokens at once.**
#
# A chunk can be merged as soon as its parts are there. After that its parts are not needed any more. So at any moment only a few parts wait. Here it is with three parts a chunk,
# which fit the page:

# %%
captions = ["chunks of 6 s\n1,176 tokens become 196", "chunks of 18 s\n588 tokens become 196", "54 s: the film\n588 tokens become 196"]
plots.show(plots.chunk_tree(3, 3, 7, captions, "After 42 seconds. Filled: waits. Pale: merged on, and gone. Dashed: still to come"))

# %% [markdown]
# By hand: a film of 8 frames, chunks of 2 frames, then 2 chunks make one of the next level. Level 1 has 4 chunks, level 2 has 2, level 3 has 1: the list 4, 2, 1. With 9 frames a fifth chunk
# begins, and is not full: 5, 3, 2, 1.
#
# ## Your turn 1: how many chunks
#
# Return the number of chunks of each level, from level 1 up, until there is one. A last chunk may be short of parts.

# %% nbgrader={"grade": false, "grade_id": "level-chunks", "locked": false, "schema_version": 3, "solution": true, "task": false}
def level_chunks(frames: int, first: int, ratio: int) -> list[int]:
    """Chunks of `first` frames at level 1; `ratio` chunks of a level make one of the next."""
    ### BEGIN SOLUTION
    counts = [-(-frames // first)]
    while counts[-1] > 1:
        counts.append(-(-counts[-1] // ratio))
    return counts
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "level-chunks-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.level_chunks(level_chunks)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# `-(-a // b)` rounds up. Each level has about a sixth of the chunks of the one below, and every merge costs the same, so all levels above the first together cost
# $1/6 + 1/36 + \ldots = 1/5$ of the first. A sum that ends at a fifth, whatever the length: that is why time grows with the film's length and not faster.
#
# </details>

# %%
my_chunks = checks.level_chunks.mine()
for seconds in (600, HOUR, 4 * HOUR):
    counts = my_chunks(seconds, 6, 6)
    print(f"{length(seconds):>6s}: {counts}, merges above level 1: {sum(counts[1:]) / counts[0]:.1%} of those in it")

# %% [markdown] tags=["prediction"]
# **Guess 1.** While an hour goes by, frame by frame, how many tokens wait at the worst moment, of 705,600? Six parts make a chunk, each is merged to 196 tokens, and an hour needs five levels.

# %%
checks.predict("11-waiting", ...)

# %% [markdown]
# ## Your turn 2: the budget
#
# The worst moment: the last frame of a chunk of level 1 has arrived, and nothing of it is merged yet. `chunk` tokens lie there. At each of the other levels all parts of a chunk wait but the last
# one, which is just being made; a part has `keep` tokens. How many tokens is that together?

# %% nbgrader={"grade": false, "grade_id": "tokens-waiting", "locked": false, "schema_version": 3, "solution": true, "task": false}
def tokens_waiting(keep: int, levels: int, ratio: int, chunk: int) -> int:
    """The most tokens that wait at one moment."""
    ### BEGIN SOLUTION
    parts = (levels - 1) * (ratio - 1)
    return chunk + parts * keep
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "tokens-waiting-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.tokens_waiting(tokens_waiting)

# %%
my_waiting = checks.tokens_waiting.mine()
checks.replay("11-waiting", my_waiting(KEEP, 5, 6, 6 * PATCHES))
for seconds in (600, HOUR, 4 * HOUR, 24 * HOUR):
    levels = len(my_chunks(seconds, 6, 6))
    print(f"{length(seconds):>6s}: {seconds * PATCHES:12,} tokens, {my_waiting(KEEP, levels, 6, 6 * PATCHES):5,} wait at most, {levels} levels")

# %% [markdown]
# Six times as long is one level more: 980 tokens. This is the *fixed memory budget*: choose what a chunk keeps, and the rest follows.
#
# ## A film that is never there as a whole
#
# The film has to arrive in the same way. `video.stream` reads one piece after the other and gives the very frames and motion that `video.read` gives, in memory that does not depend on the length. The same function
# takes a camera: anything that gives frames one by one.
#
# Our film is painted: ten minutes, one frame a second, filmed by a moving hand, and its actor is there for twelve seconds. It is written as H.264 and read back.

# %%
study = hours.Hours()
film = hours.film(study, 600, "handheld", seed=1)
enters, leaves = hours.shown_at(film.seed, 600, study.shown)
folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "ten_minutes.mp4"
films.write(path, film)
actor = torch.from_numpy(film.actor)
print(f"{len(film.frames)} frames; the actor is there from second {enters} to {leaves - 1}, on {int(actor.sum())} of {actor.numel():,} patches")
seen = sorted((10, 150, enters + 2, enters + 8, 450, 580))
plots.show(plots.frames(film.frames, seen, "Orange: the actor", captions=[f"second {s}" for s in seen]))

# %%
pieces = video.stream(path, frames=600, size=None, piece=60, progress=False)
one = next(pieces)
print(one, "of ten; seconds", one.times[[0, -1]])
pieces.close()

camera = iter(film.frames[:5])  # whatever gives frames
print([len(clip.frames) for clip in video.stream(camera, size=None, rate=1, piece=2, motion=False)], "frames in the pieces of a live source")

# %% [markdown]
# ## The map back
#
# A token that is left in the end is a mean of patches from many seconds. *Which* ones? Every merge is a map: into which output does each input go (lesson 02's `group`)? Level 1 has one map for each chunk.
# The level above numbers all that is left through, chunk after chunk.
#
# By hand: two chunks of 4 tokens with the groups `0 1 1 0` and `0 0 1 1`. Each leaves two tokens; the level above sees four, and its own groups are `0 1 1 0`. The first token of
# chunk 2 goes to output 0 *of its chunk*, which is number 2 above, which goes to 1. The whole film: `0 1 1 0 1 1 0 0`.
#
# ## Your turn 3: the map of the film
#
# Put the maps of the chunks and that of the level above together: for each token of the film, its group in the end.

# %% nbgrader={"grade": false, "grade_id": "film-map", "locked": false, "schema_version": 3, "solution": true, "task": false}
def film_map(chunks: list[torch.Tensor], above: torch.Tensor) -> torch.Tensor:
    """Groups (n,) of each chunk, and the groups of all that they leave -> (N,), N = the sum of all n."""
    ### BEGIN SOLUTION
    groups, start = [], 0
    for group in chunks:
        groups.append(above[group + start])
        start += int(group.max()) + 1
    return torch.cat(groups)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "film-map-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.film_map(film_map)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Two maps after each other are one map: `above[group]`. What is new is only the shift. Applied level by level this gives the map of any tree; in the package it is `Merge.then`, after `side_by_side`. The map takes
# 8 bytes a patch, 5.6 MB an hour: the one thing here that grows with the film. Who needs no map leaves it out.
#
# </details>

# %% [markdown]
# ## Who is kept: a score of one's own
#
# At every level the tokens compete again, now against those of neighbouring chunks. With what score? A merged token stands for many patches. Two ways:
#
# - the **mean** of its group's scores. Four tokens with scores 0.9, 0.1, 0.6, 0.6, in chunks of two, one is kept of each chunk: the means are 0.5 and 0.6. The token with 0.9, the best of all, loses at level 2.
# - its **own**: that of the patch which it continues. 0.9 wins against 0.6.
#
# With its own score there is a small theorem. **The best of the bests are the best of all:** a token among the film's $K$ highest is among the $K$ highest of every chunk that it is in, so no level can lose it. The
# tree keeps exactly what one pass over the whole film would, and never needs the whole film.
#
# ## Your turn 4: a film that goes by
#
# Write the smallest such tree: frames come in, a state is kept, and it can be read at any time. The state: `scores` and `positions` of what is kept so far, in the order of time. `new` holds the scores of
# the next tokens, which stand at `first`, `first + 1`, ... Return the new state: the `keep` best of all, in the order of time. Of equal scores the earlier token stays.
#
# Example: kept are 0.9 at position 1 and 0.4 at 2; the new scores 0.1 and 0.7 stand at 4 and 5; `keep` is 2. Kept now: 0.9 at 1, 0.7 at 5.

# %% nbgrader={"grade": false, "grade_id": "keep-best", "locked": false, "schema_version": 3, "solution": true, "task": false}
def keep_best(scores: torch.Tensor, positions: torch.Tensor, new: torch.Tensor, first: int, keep: int) -> tuple[torch.Tensor, torch.Tensor]:
    """scores (k,), positions (k,) int64, new (n,) -> scores and positions of the `keep` best, or of all if they are fewer."""
    ### BEGIN SOLUTION
    scores = torch.cat([scores, new])
    positions = torch.cat([positions, torch.arange(first, first + len(new))])
    best = scores.argsort(descending=True, stable=True)[:keep].sort().values
    return scores[best], positions[best]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "keep-best-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.keep_best(keep_best)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Whoever is among the best of all so far was among the best whenever we looked. Old tokens stand before new ones, and a stable sort leaves equals in that order.
#
# </details>

# %% [markdown]
# ## Ten minutes, live
#
# Now all together. `Live` takes frames as they arrive, runs every chunk as soon as it is complete, and can say at any time what it has. The saliency has been learned from the labels of 120 *other* films, short ones
# (lesson 07's idea without attention: pool the tokens with softmax of the score, tell the gesture from the pool). Three choose the targets: chance, the codec's motion, and that saliency.

# %% [markdown] tags=["prediction"]
# **Guess 2.** 196 of 117,600 tokens are kept. What share of the actor's patches is among them, if chance chooses, if motion does, if learned saliency does? Write three numbers from 0 to 1, as a list.

# %%
checks.predict("11-found", ...)

# %%
encoder = load_encoder("patch")
saliency = hours.other_saliency(study, seed=1)
lives = {
    "random": Live(merging_levels("random", 600, KEEP), torch.Generator().manual_seed(0)),
    "motion": Live(merging_levels("motion", 600, KEEP)),
    "learned": Live(merging_levels("learnable", 600, KEEP, saliency=saliency), trace=True),
}
my_best = checks.keep_best.mine()
state, waits, done = (torch.empty(0), torch.empty(0, dtype=torch.int64)), [], 0
for clip in video.stream(path, frames=600, size=None, piece=6, progress=False):
    tokens = encoder.encode(clip.frames)[None]
    motion = torch.from_numpy(clip.patches(8)[1])[None]
    for live in lives.values():
        live.push(tokens, motion)
    waits.append(lives["learned"].held)
    state = my_best(*state, saliency.score(tokens.flatten(1, 3))[0], done, KEEP)
    done += tokens[0, ..., 0].numel()
kept = {name: live.kept().position[0] for name, live in lives.items()}
print("tokens kept:", {name: len(position) for name, position in kept.items()}, "of", f"{done:,}")
print("the tree keeps what keep_best keeps:", torch.equal(kept["learned"], state[1]))

# %%
minutes = [6 * (k + 1) / 60 for k in range(len(waits))]
plots.show(plots.curves(minutes, {"tokens that wait": waits}, "minutes of film", "tokens", "What waits between two chunks",
                        reference=(my_waiting(KEEP, 4, 6, 6 * PATCHES), "most, by your formula")))  # fmt: skip

# %% [markdown]
# Each level fills like a digit of a counter in base 6, and is emptied when it is full. (The formula's most is a little higher: it counts the chunk that is about to be merged, and the figure looks after it was.)
#
# ## Your turn 5: found again?
#
# Which of the kept tokens continue a patch of the actor? Return two shares: of the actor's patches those that are kept (**recall**); and of the seconds that show the actor those of which one such patch is kept, or more.
#
# Example: 3 seconds of 2 x 2 patches; the actor is on patches 4, 5, 8 and 11, and 0, 4 and 9 are kept. Recall is 1/4. The actor is there in two seconds, and one of them is found: 1/2.

# %% nbgrader={"grade": false, "grade_id": "found-again", "locked": false, "schema_version": 3, "solution": true, "task": false}
def found_again(positions: torch.Tensor, actor: torch.Tensor) -> tuple[float, float]:
    """positions (K,) int64 of the kept tokens, actor (L, H, W) bool -> (recall, share of the seconds found)."""
    ### BEGIN SOLUTION
    kept = torch.zeros(actor.numel(), dtype=torch.bool)
    kept[positions] = True
    met = kept.view(actor.shape) & actor
    seconds = actor.flatten(1).any(1)
    return float(met.sum() / actor.sum()), float(met.flatten(1).any(1).sum() / seconds.sum())
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "found-again-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.found_again(found_again)

# %% tags=["nbval-ignore-output"]
my_found = checks.found_again.mine()
found = {name: my_found(position, actor) for name, position in kept.items()}
for name, (recall, seconds) in found.items():
    print(f"{name:8s} {recall:4.0%} of the actor's patches, {seconds:4.0%} of the seconds")
checks.replay("11-found", [round(recall, 2) for recall, _ in found.values()])
when = {name: position // PATCHES for name, position in kept.items()}
plots.show(plots.timeline(when, 600, (enters, leaves), "When the kept tokens are from; orange: the seconds that show the actor"))

# %% [markdown]
# One film proves little; other seeds and all ways of filming follow below. But look at the middle row. In the film of a moving hand motion is everywhere, in all ten minutes, and twelve seconds of it are nothing special.
#
# And the map leads back. Take the kept tokens of the actor, and ask which patches went into them:

# %% tags=["nbval-ignore-output"]
merge, left = lives["learned"].merge(), lives["learned"].kept()
ours = actor.flatten()[left.position[0]]  # kept tokens that continue a patch of the actor
inside = ours[merge.group[0]]  # the patches that went into one of these
print(f"{merge}; {int(ours.sum())} kept tokens continue a patch of the actor")
print(f"{int(inside.sum()):,} patches went into these, {float(actor.flatten()[inside].float().mean()):.0%} of them the actor's")

# %% [markdown]
# Being kept is one thing, staying pure another. All 117,600 patches have to go somewhere, and each of them joined the kept token that it is most like, level after level.
#
# ## A network that takes frames as they come
#
# The same `Live` takes a `VideoClassifier`. Give it a block for each level, and logits come out at any time, equal to those of one pass over all frames so far. (Random weights: this is about sums, not about answers.)

# %%
torch.manual_seed(0)
net = VideoClassifier(48, blocks=3, chunks=(6, 36, 216), gamma=6, widths=(48, 48, 48), classes=8).eval()
live, some = Live(net), encoder.encode(film.frames[:72])[None]
for second, frame in enumerate(some.split(1, dim=1), 1):
    live.push(frame)
    if second in (5, 36, 72):
        with torch.no_grad():
            same = torch.allclose(live.logits(), net(some[:, :second]), atol=1e-4)
        print(f"after {second:2d} s: {live.held:4d} tokens held, logits as in one pass: {same}")

# %% [markdown]
# ## An hour, and four
#
# The rest was measured beforehand: `python -m vtm_lesson hours` does it again, in less than an hour. First the time. Decode, encode, and merge with the levels above; and two networks with random weights: one whose last block
# looks at the whole film in one chunk, and one of chunks of chunks.

# %% tags=["nbval-ignore-output"]
stored = load()
plots.show(time_figure(stored))
for name, (power, error) in stored["exponents"].items():
    print(f"{name:36s} grows as length to the power {power:.2f} ± {error:.2f}")
hour, four = ({row["seconds"]: row for row in stored["time"]}[seconds] for seconds in (HOUR, 4 * HOUR))
print(f"an hour: decode {hour['decode']['median']:.1f} s, encode {hour['encode']['median']:.1f} s, merge {hour['merge']['median']:.1f} s;"
      f" four hours: {four['all']['median'] / hour['all']['median']:.1f} times as long in all")  # fmt: skip

# %% [markdown]
# Chunks of chunks are a straight line of slope one. Matching all tokens of a film with a sixth of them is the square, as expected: that is what naive VTM over a whole film in one chunk would cost. The network whose last block
# sees the whole film grows a little faster than its length only, since two blocks have merged 36 tokens to one before: its square is there, but small until some hours.
#
# Two things to be careful with. The encoder is the course's own, and tiny: with a real one nearly all time is *encode*, and merging is free. And these films have one frame a second. An hour of a real one
# has 90,000 frames, which all have to be decoded to take 3,600 of them.
#
# Then the memory. Each bar is the most that a process held, with all libraries, and no child process was needed.

# %% tags=["nbval-ignore-output"]
plots.show(memory_figure(stored))
for row in (row for row in stored["memory"] if "all at once" in row):
    parts = row["decode, encode, merge"], row["all at once"]
    print(f"{length(row['seconds']):>6s}: {parts[0]['peak'] / 2**20:5,.0f} MiB piece by piece, of which {parts[0]['grown'] / 2**20:4,.0f} for this film;"
          f" at once {parts[1]['peak'] / 2**20:6,.0f}, of which {parts[1]['grown'] / 2**20:6,.0f}")  # fmt: skip

# %% [markdown]
# ## Twelve seconds in an hour
#
# Films of ten minutes and of an hour, in three ways of filming; 196 tokens are kept of either. Saliency was learned anew for every seed, from other films.

# %%
NAMES = ("random", "uniform", "motion", "relative", "learnable, means", "learnable, drawn", "learnable", "oracle")
plots.show(recall_figure(stored, "recall", NAMES))

# %%
rows = {(row["seconds"], row["name"]): row for row in stored["recall"]}
print("seeds:", {length(seconds): rows[seconds, "random"]["seeds"] for seconds in (600, HOUR)}, "with a film in each way of filming\n")
print(f"{'an hour':18s}{'recall':>14s}{'seconds found':>16s}" + "".join(f"{way:>14s}" for way in films.WAYS))
for name in NAMES:
    row = rows[HOUR, name]
    ways = "".join(f"{percent(row['recall_by_way'][way]):>14s}" for way in films.WAYS)
    print(f"{name:18s}{percent(row['recall']):>14s}{percent(row['seconds_found']):>16s}{ways}")
print("\nten minutes, 784 tokens in place of 196:")
for name in ("random", "motion", "relative"):
    small, large = rows[600, name], rows[600, f"{name}, larger budget"]
    print(f"{name:18s}{percent(small['recall']):>14s} -> {percent(large['recall'])}")

# %% [markdown]
# Read it from below. The **oracle**, who knows where the actor is, keeps every patch: the budget is large enough, and the levels lose nothing. **Learned** saliency keeps nine patches in ten, and some of every
# second, of ten minutes. Of an hour it keeps nearly as many, and still some of every
# second: six times as much film takes little from it. Its two weaker forms say what the levels need. *Drawn* targets are drawn anew at every level, and chance gets another chance each time. With
# *means* for scores the rare is diluted. Both lose a part of the actor.
#
# **Motion** is a matter of the way of filming: it finds four patches in five where nothing but the actor moves, and next to none where the camera moves or others walk about. Taking the camera's motion away (*relative*) does not help here: vectors are
# noisy, and of ten minutes of noise the largest 196 values beat any actor. Four times the budget helps *relative* a little. That is a negative result for a score that did well in lesson 06, where the actor was there all film long.
# **Chance** and **uniform** targets keep nothing: 196 of 705,600 is one token in 3,600.
#
# (Seeds are few, and the saliency of one of them is clearly worse than that of the others: hence the wide intervals.)
#
# ## What the paper reports, and what we just measured
#
# VTM was measured on films of one to two minutes, 60 frames each, and does not say what happens beyond. Our numbers are for painted films, an actor of one hue, and a saliency that knew from other films' labels what an actor looks like.
# They say: *length by itself is no obstacle*, neither to memory nor to time; and what is found again in a long film is decided by the score, all the more the longer the film is.

# %% [markdown]
# ## Your own film
#
# One variable: the path of a film of yours, as long as you like. Nobody has labels for it, so motion relative to the camera chooses (lesson 06). Shown are the seconds of which most tokens are kept: a summary of a kind.

# %%
MY_FILM, RATE = films.sample("square"), 12  # yours: MY_FILM, RATE = "holiday.mp4", 1


def summary(path, rate, size=112, keep=KEEP, shown=6):
    """The frames of which most tokens are kept, in the order of time, and their seconds."""
    live, per_frame = Live(merging_levels("relative", 24 * HOUR, keep)), (size // 8) ** 2
    for clip in video.stream(path, size=size, rate=rate):
        live.push(encoder.encode(clip.frames)[None], vectors=torch.from_numpy(clip.vectors(8))[None])
    counts = Counter((live.kept().position[0] // per_frame).tolist())
    best, number, found = sorted(frame for frame, _ in counts.most_common(shown)), 0, []
    for clip in video.stream(path, size=size, rate=rate, motion=False):  # once more, for the pictures
        found += [(frame, seconds) for k, (frame, seconds) in enumerate(zip(clip.frames, clip.times, strict=True), number) if k in best]
        number += len(clip.frames)
    return [frame for frame, _ in found], [f"{seconds:.1f} s" for _, seconds in found]


pictures, seconds = summary(MY_FILM, RATE)
plots.show(plots.frames(np.stack(pictures), range(len(pictures)), "What is kept most of", captions=seconds))

# %% [markdown]
# ## Where it fails
#
# - **The score must know what to look for.** A saliency that was learned from other films finds what they had. Something that no label ever spoke of has no score, and the tree drops it at the first level, for good.
# - **What moves is not what matters.** In the long film of a moving hand there is always something that moves more.
# - **A mean forgets.** With the mean of its group as a score, a token gets weaker with each level. Its *own* score costs nothing.
# - **A fixed budget is fixed.** 196 tokens of an hour are one every 18 seconds. An hour with a hundred things to find needs more.
# - **Being kept is not being understood.** No network was trained here. Whether one can read an answer off 196 tokens of an hour is another question, and these films have no answer that takes an hour to know.

# %% [markdown]
# ## Recap
#
# - Chunks of chunks: every level merges a few parts to one budget. Time grows with the length, memory with its logarithm.
# - Levels fill like the digits of a counter. A film may arrive frame by frame and be asked at any time.
# - Maps compose: from every kept token back to its patches and seconds, 8 bytes a patch.
# - With a score of one's own, the best of the bests are the best of all; with means they are not.
# - Chance keeps next to nothing of twelve seconds in an hour. A score decides, and it has to know what to look for.
#
# **Quiz**
#
# <details><summary>1. A camera runs for a day in place of an hour: 24 times as many tokens. How many more tokens wait at the worst moment?</summary>
#
# One or two levels' worth: a day of 86,400 frames needs 7 levels in place of 5, so 2 times 980 more.
#
# </details>
#
# <details><summary>2. Somebody keeps the mean of the scores "because features are averaged, too". On ten minutes the recall is a little lower. What will happen at ten hours?</summary>
#
# There are more levels, and each averages once more: the rare is lost in its groups. In one pass there is no such loss, so the tree no longer does what one pass would.
#
# </details>
#
# <details><summary>3. Motion finds the actor in films where nothing else moves, ten minutes or an hour. Is it a good score for a film of a door camera?</summary>
#
# If nothing moves but who comes in, yes: the camera stands still. Trees in the wind, rain and headlights move, too, for hours, and twelve seconds compete with all of them.
#
# </details>
#
# **Next:** [lesson 12](12_real_datasets.ipynb) has films that nobody painted. [The table of lessons](../README.md#what-you-will-learn) leads to all others.
