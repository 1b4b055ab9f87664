"""Reducers, one a file: each is a small frozen dataclass that takes a `Context` and returns a `Merge`.

    bipartite.py   choose targets, match, merge: ToMe and the four of VTM; the others by their names

What a reducer may say about itself, beside its call:

    ragged = True                      it keeps a different number of tokens in each item
    signal = "saliency"                what it needs from the Context beside the keys: "motion", "saliency", "oracle"
    flops(n, n_targets, dim) -> int    what one call costs in matrix products on n tokens with keys of D = dim

A new one is one file here and one line in `registry.py`.
"""
