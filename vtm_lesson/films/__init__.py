"""The painted world of the course: films whose actor, camera and label are known.

    scenery.py   the set
    cast.py      the figures and their gestures
    making.py    make(seed, way) -> Film; write it as H.264; sample(name), the films that are shipped

What belongs here: painting and writing films. They are read back by `video`, like anybody's.
"""

from .cast import ACTOR_HUE, GESTURES, PROP_HUES
from .making import (
    ACTOR_SHARE,
    PACE,
    SHIPPED,
    STATURE,
    WAYS,
    Batch,
    Film,
    batch,
    codec_motion,
    make,
    sample,
    ship,
    write,
)

__all__ = [
    "ACTOR_HUE", "ACTOR_SHARE", "GESTURES", "PACE", "PROP_HUES", "SHIPPED", "STATURE", "WAYS", "Batch", "Film",
    "batch", "codec_motion", "make", "sample", "ship", "write",
]  # fmt: skip
