"""Reading films: evenly spaced frames, and the motion vectors that the film's own codec stored.

    formats.py      what counts as a film, and what the rest is called
    containers.py   opens a film file, and says in one sentence why it cannot
    reading.py      read(path) -> Clip: frames and motion
    sampling.py     what is taken from a film to become features: windows, frames, motion on patches

What belongs here: everything that touches FFmpeg (through PyAV) to read. Films are painted in `films`.
"""

from .containers import VideoError
from .reading import Clip, read

__all__ = ["Clip", "VideoError", "read"]
