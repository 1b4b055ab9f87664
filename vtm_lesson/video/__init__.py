"""Reading films: evenly spaced frames, and the motion vectors that the film's own codec stored.

    formats.py      what counts as a film, and what the rest is called
    containers.py   opens a film file, and says in one sentence why it cannot
    clip.py         Clip: frames and motion, also on patches
    taking.py       takes frames from a film that goes by, and adds up the motion between them
    reading.py      read(path) -> Clip
    streaming.py    stream(path) -> one Clip after the other, in memory that does not grow; also from a live source
    sampling.py     what is taken from a film to become features: windows, frames, motion on patches

What belongs here: everything that touches FFmpeg (through PyAV) to read. Films are painted in `films`.
"""

from .clip import Clip
from .containers import VideoError
from .reading import read
from .streaming import stream

__all__ = ["Clip", "VideoError", "read", "stream"]
