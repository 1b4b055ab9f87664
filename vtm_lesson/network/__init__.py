"""The network of the VTM paper: blocks with a slot for merging, and what they cost.

    ledger.py      tokens and FLOPs of every block, counted before anything runs
    tokens.py      tokens on their way, with position, motion and size; chunks
    attention.py   attention in chunks: fused, with stored scores, or averaged before it meets the values
    block.py       BlockConfig, VTMBlock
    model.py       VideoClassifier, count
    streaming.py   by_chunks: the same result with less memory

What belongs here: the course's own network. Merging inside other people's is in `hosts`.
"""

from .ledger import Ledger
from .model import BlockTrace, Trace, VideoClassifier, VTMBlock, count
from .streaming import by_chunks

__all__ = ["BlockTrace", "Ledger", "Trace", "VTMBlock", "VideoClassifier", "by_chunks", "count"]
