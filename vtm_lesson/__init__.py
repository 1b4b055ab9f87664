"""Video token merging, taught and measured: the package behind the lessons in `notebooks/`.

    import vtm_lesson as vtm

    merge = vtm.match(keys, vtm.uniform(n, 6))      # which token goes where: a Merge
    y = merge(x)                                    # the merged tokens

This import takes a few milliseconds, as it loads nothing: each name below is loaded when it is first used (PEP 562).
The package stands on floors, and each imports only from those before it: merging, video, films, network, hosts,
encoders, training, datasets, measuring, plots, explorers, study, teaching.
"""

from __future__ import annotations

import importlib

__version__ = "0.2.0"

# Name -> the module that has it. `__init__.pyi` says the same to type checkers and editors; a test holds them together.
_HOMES = {
    "Merge": "merging.merge",
    "match": "merging.matching",
    "match_plain": "merging.matching",
    "nearest": "merging.matching",
    "Context": "merging.strategies",
    "reducer": "merging.registry",
    "reducers": "merging.registry",
    "uniform": "merging.partition",
    "region": "merging.partition",
    "sample": "merging.partition",
    "top": "merging.partition",
    "Clip": "video.reading",
    "VideoError": "video.containers",
    "load_encoder": "encoders.frozen",
    "BlockConfig": "network.config",
    "VTMBlock": "network.block",
    "VideoClassifier": "network.model",
    "count": "network.model",
    "by_chunks": "network.streaming",
    "Live": "network.streaming",
    "merging_levels": "network.levels",
    "Items": "training.loop",
    "Recipe": "training.loop",
    "evaluate": "training.loop",
    "fit": "training.loop",
    "split": "training.loop",
    "toy_films": "datasets.toy",
    "features": "datasets.extraction",
    "data_path": "paths",
}
_RENAMED = {"read_video": ("video.reading", "read")}
_MODULES = (
    "checks", "datasets", "encoders", "explorers", "films", "hosts", "measuring", "merging", "network", "partition",
    "plots", "study", "teaching", "tome", "training", "video",
)  # fmt: skip

__all__ = sorted([*_HOMES, *_RENAMED, *_MODULES])


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _RENAMED:
        home, inner = _RENAMED[name]
    elif name in _HOMES:
        home, inner = _HOMES[name], name
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}.")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), inner)
    globals()[name] = value  # found at once the next time
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
