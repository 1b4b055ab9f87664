"""Reducers, one a file: each is a small frozen dataclass that takes a `Context` and returns a `Merge`.

Merging, each kept token the average of its group:

    bipartite.py        choose targets, match, merge: ToMe and the four of VTM; the others by their names
    threshold.py        match, and merge what is more alike than a threshold
    cells.py            a random target in every cell of every frame: ToMeSD
    energy.py           tokens of large clusters merge, those that stand alone are protected: PiToMe
    norm_preserving.py  drop in early blocks, merge with the norm kept in late ones: ToFu
    sharpness.py        sources count by how sharply they look: vid-TLDR
    decoupled.py        match on an embedding learned for it: DTEM
    time_space.py       whole frames first, then patches in each: TESTA
    window.py           into an anchor frame, near the same place: TTF
    quadtree.py         alike squares, coarse ones first, then chains in time: STTM

Dropping, each kept token itself:

    drop.py             by chance, or sampled by a score: the control
    top.py              the highest scores stay: EViT without fusion
    frames.py           whole frames stay, evenly spaced
    run_length.py       a token stays where the picture changed: RLT
    change.py           those that changed most stay: EVS
    anchor_frames.py    frames that differ, and what differs from an anchor frame: LongVU

    places.py           no reducer: which tokens lie at the same place of the frame, who stands for the dropped

What a reducer says about itself, beside its call:

    ragged = True                      it keeps a different number of tokens in each item
    knob = ("above", -1.0, 1.0)        of a ragged one: the field that moves how many it keeps, monotonically, and its
                                       values for the fewest and the most
    signal = "attention"               what it needs from the Context beside the keys, a name of `strategies.SIGNALS`,
                                       or several as a tuple; networks compute attention and entropy only then
    linear = False                     its Merges may have `norm`
    source = "EVS (2510.14624, 2025)"  the paper, with equation or section
    cost = "2 n D"                     in words, for `registry.describe`: n tokens, T targets, D channels of keys
    flops(n, n_targets, dim) -> int    what one call costs on n tokens with keys of D = dim: matrix products, and dot
                                       products of pairs of tokens
    memory(n, n_targets, dim) -> int   bytes that it holds at once for one item beside its keys, in float32; left out:
                                       no more than a few numbers a token

What belongs here: reducers. A new one is one file here and one line in `registry.py`.
"""
