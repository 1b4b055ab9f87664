"""A dry run: what the features of a list would cost, judged by a few of its films; nothing is written."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import psutil

from ..video.sampling import Settings
from .costs import Costs, cores, forecast, size_words
from .lists import Entry
from .one_film import Encoder, alike, extract, on_gpu

SAMPLE = 5  # films that are really decoded and encoded


def rehearse(
    todo: Sequence[Entry],
    folder: Path,
    encoder: Encoder,
    settings: Settings,
    *,
    workers: int = 0,
    together: bool = False,
    sample: int = SAMPLE,
) -> str:
    """Decode and encode a few films, evenly from the list, and say what all of it would cost.

    Parameters
    ----------
    todo : sequence of Entry
        Films with files.
    folder : Path
        Where the features would go; it need not be there.
    encoder : Encoder
        As for `features`.
    settings : Settings
        As for `features`.
    workers : int, optional
        As for `features`.
    together : bool, optional
        Each worker decodes and encodes, as on a cluster.
    sample : int, optional
        How many films.

    Returns
    -------
    str
        Some lines: time, disk, films that cannot be read, and the memory of this process.

    Raises
    ------
    StoreError
        Where the features are larger than what is left on the disk.

    Notes
    -----
    Films are of very different lengths, and five are few: take it as a rough guess. The memory does not grow with the
    list, beyond its names.
    """
    if not todo:
        return "Nothing is left to do."
    workers = workers or max(1, cores() - 1)
    step = max(1, len(todo) / sample)
    chosen = [todo[int((i + 0.5) * step)] for i in range(min(sample, len(todo)))]
    decoding = encoding = size = 0.0
    read, wrong = 0, []
    with alike(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for entry in chosen:
            made = extract(encoder, str(entry.file), settings)
            if made.why:
                wrong.append(f"  cannot be read: {entry.id}: {made.why}")
                continue
            decoding, encoding, size, read = (
                decoding + made.decoding, encoding + made.encoding, size + made.bytes, read + 1,
            )  # fmt: skip
    if not read:
        return "\n".join([f"None of {len(chosen)} films could be read:", *wrong])
    decoding, encoding, size = decoding / read, encoding / read, size / read
    encoders = 0 if together else 1 if on_gpu(encoder) else workers
    seconds = Costs(workers=workers, encoders=encoders).pace(decoding, encoding)
    judged = f"{read} of them, with {workers} worker{'s' * (workers != 1)}"
    memory = psutil.Process().memory_info().rss
    return "\n".join(
        [
            forecast(len(todo), seconds, size, folder, judged),
            f"  a film: decoded in {decoding:.2f} s, encoded in {encoding:.2f} s, {size_words(size)} on the disk",
            f"  memory of this process: {size_words(memory)}, however many films there are",
            *wrong,
        ]
    )
