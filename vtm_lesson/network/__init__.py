"""The network of the VTM paper: blocks with a slot for merging, and what they cost.

    ledger.py      tokens and FLOPs of every block, counted before anything runs
    tokens.py      tokens on their way, with position, motion and size; chunks
    attention.py   attention in chunks: fused, with stored scores, averaged before it meets the values, or few queries
    config.py      BlockConfig: what decides what a block is
    block.py       VTMBlock
    model.py       VideoClassifier, count
    denormals.py   numbers too small to matter, taken as 0 for a while
    streaming.py   by_chunks: the same result with less memory

What belongs here: the course's own network. Merging inside other people's is in `hosts`.
"""

from .block import BlockTrace, VTMBlock
from .config import BlockConfig
from .ledger import Ledger
from .model import Trace, VideoClassifier, count
from .streaming import by_chunks
from .tokens import Tokens

__all__ = [
    "BlockConfig",
    "BlockTrace",
    "Ledger",
    "Tokens",
    "Trace",
    "VTMBlock",
    "VideoClassifier",
    "by_chunks",
    "count",
]
