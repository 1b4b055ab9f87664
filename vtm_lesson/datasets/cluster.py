"""The same features by the machines of a cluster: Ray's actors do what is done with one film, this process writes.

    features(found, "features/", engine="ray")          # python -m vtm_lesson features ... --engine ray

Ray Data hands the paths of the films to its actors, each with its own copy of the encoder, and the tensors come back
through its object store as bytes. So nothing is half-written, whatever happens to a machine: an actor that is killed is
started again, and the films that it had are done again. Every machine finds the films by the same paths, in a file
system that they share, and has this package installed.

Which cluster: the one that `ray.init` was called for, else the one that RAY_ADDRESS names, else this machine.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load, save

from ..video.sampling import Settings
from .lists import Entry
from .one_film import Encoder, Films, Made, alike, extract, on_gpu

ROOT = Path(__file__).resolve().parents[2]
MISSING = 'Ray is missing: install it with pip install "vtm-lesson[cluster]", or take engine="local".'
LARGEST = (1 << 31) - (1 << 20)  # bytes that a row of Ray Data's tables can hold, less a little


class Extractor:
    """What an actor does with a film: its path in, its tensors out, as the bytes of a safetensors file.

    Parameters
    ----------
    encoder : ray.ObjectRef
        Of the pickled encoder.
    settings : Settings
        How films become features.
    """

    def __init__(self, encoder: Any, settings: Settings):
        import ray

        from ..hosts import torchvision_repair  # noqa: F401  must come before timm, which the encoder may be of

        self.encoder: Encoder = ray.cloudpickle.loads(ray.get(encoder))
        self.settings = settings

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """{"film", "file"} -> {"film", "tensors", "why", "decoding", "encoding"}."""
        with warnings.catch_warnings(), alike():
            warnings.simplefilter("ignore")  # damage and codecs without vectors: a film is used for what it has
            made = extract(self.encoder, row["file"], self.settings)
        if made.bytes > LARGEST:
            made = Made({}, "its features are more than 2 GiB, and Ray Data hands no more over: take longer windows.")
        tensors = save({name: value.contiguous() for name, value in made.tensors.items()})
        times = {"decoding": made.decoding, "encoding": made.encoding}
        return {"film": row["film"], "tensors": tensors, "why": made.why, **times}


@contextlib.contextmanager
def connected() -> Iterator[None]:
    """Ray is there inside. A cluster that was there before stays; one that is started here is shut down again.

    Raises
    ------
    ImportError
        Where Ray is missing.
    """
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    paths = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), paths]))  # its processes find this package
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        yield
    finally:
        ray.shutdown()
        if paths is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = paths


def actors(wanted: int, films: int, encoder: Encoder) -> int:
    """How many actors there will be: as many as wanted, or as fit the cluster; no more than films.

    Parameters
    ----------
    wanted : int
        0: as many as the cluster has cores, or GPUs for an encoder that is on one.
    films : int
        How many there are to do.
    encoder : Encoder
        What they have.

    Returns
    -------
    int
        At least 1.
    """
    fit = int(_ray().cluster_resources().get("GPU" if on_gpu(encoder) else "CPU", 1))
    return max(1, min(wanted or fit, films))


def on_cluster(todo: Sequence[Entry], encoder: Encoder, settings: Settings, workers: int) -> Films:
    """The films as they are finished, in no order.

    Parameters
    ----------
    todo : sequence of Entry
        Films with files.
    encoder : Encoder
        It is sent to every actor once.
    settings : Settings
        How films become features.
    workers : int
        How many actors.

    Yields
    ------
    str, Made
        A film's id, and what became of it.
    """
    ray = _ray()
    with _quiet(ray):
        sent = ray.put(ray.cloudpickle.dumps(encoder))
        rows = [{"film": entry.id, "file": str(Path(entry.file or "").absolute())} for entry in todo]
        # A block a film: no film is done again because another one's actor was killed.
        films = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            Extractor,
            fn_constructor_args=(sent, settings),
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
            num_cpus=1,
            num_gpus=1 if on_gpu(encoder) else None,
        )
        for row in films.iter_rows():
            yield row["film"], Made(load(row["tensors"]), row["why"], row["decoding"], row["encoding"])


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it reports to its makers, where there is internet
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError(MISSING) from error
    return ray


@contextlib.contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Ray Data's own bars and lines stay away: there is one bar for all films."""
    context, log = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    before, level = context.enable_progress_bars, log.level
    context.enable_progress_bars = False
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars = before
        log.setLevel(level)
