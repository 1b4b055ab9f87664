"""`python -m vtm_lesson.encoders train patch|tiny_vit` trains one of the course's two small networks again."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..paths import data_path, is_checkout
from . import patch, tiny_vit


def main(argv: Sequence[str] | None = None) -> None:
    """Train, store, and say how good it is on scenes or films that it has not seen."""
    parser = argparse.ArgumentParser(prog="python -m vtm_lesson.encoders", description=__doc__)
    parser.add_argument("command", choices=("train",))
    parser.add_argument("network", choices=("patch", "tiny_vit"), nargs="?", default="patch")
    parser.add_argument("--out", type=Path, help="where the weights go (default: data/weights, or here if installed)")
    parser.add_argument("--steps", type=int, default=1200, help="of the tiny ViT")
    parser.add_argument("--films", type=int, default=tiny_vit.FILMS, help="of the tiny ViT")
    given = parser.parse_args(argv)
    module = patch if given.network == "patch" else tiny_vit
    stored = data_path() / module.WEIGHTS
    path = given.out or (stored if is_checkout() else Path(stored.name))
    if given.network == "patch":
        print("Some minutes on two cores: scenes first, then training.")
        made = patch.train(path)
        print("unseen scenes: " + ", ".join(f"{name} {share:.3f}" for name, share in patch.accuracy(made).items()))
    else:
        print(f"About ten minutes on one core: films first, then {given.steps} steps.")
        print(f"right on new frames: {tiny_vit.train(path, given.steps, n_films=given.films):.1%}")
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
