"""The network of the VTM paper: blocks with a slot for merging, and what they cost.

    ledger.py      tokens and FLOPs of every block, counted before anything runs
    tokens.py      tokens on their way, with position, motion and size; chunks
    attention.py   attention in chunks: fused, with stored scores, averaged before it meets the values, or few queries
    config.py      BlockConfig: what decides what a block is
    choosing.py    gradients through the choice of targets, in place of the auxiliary path
    traces.py      what a block decided, and what it tells of it
    block.py       VTMBlock
    model.py       VideoClassifier, count
    denormals.py   numbers too small to matter, taken as 0 for a while
    streaming.py   Live: takes frames as they arrive; by_chunks: the same result with less memory
    levels.py      levels that merge and do nothing else, for films of any length

What belongs here: the course's own network. Merging inside other people's is in `hosts`.
"""

from .block import VTMBlock
from .config import BlockConfig
from .ledger import Ledger
from .levels import MergeLevel, merging_levels
from .model import Trace, VideoClassifier, count
from .streaming import Live, by_chunks
from .tokens import Tokens
from .traces import BlockTrace

__all__ = [
    "BlockConfig",
    "BlockTrace",
    "Ledger",
    "Live",
    "MergeLevel",
    "Tokens",
    "Trace",
    "VTMBlock",
    "VideoClassifier",
    "by_chunks",
    "count",
    "merging_levels",
]
