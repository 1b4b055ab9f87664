"""Collect in wheels-for-cuda/ what a GPU machine without internet lacks: `make wheels-for-cuda`, then see `make cuda`.

Follows what the run needs (`on_cuda.wanted`) through the installed packages' own requirements, stops at what such a
machine has, and fetches each package's wheel in the version of requirements.txt. A wheel that is there is kept; one of
another version goes.

Folder and checkout are copied to the machine together, so they are kept small: a wheel in plain Python is preferred to
a compiled one, what the run has no use for is left out, and large wheels are packed with LZMA, which saves a fifth.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

from on_cuda import LIST, ROOT, WHEELS, canonical, wanted

PYTHON = "3.12"
# A wheel is named after the oldest glibc it runs on, and pip compares word for word: any up to 2.28, of 2018, will do.
SYSTEMS = (*(f"manylinux_2_{age}_x86_64" for age in range(28, 16, -1)), "manylinux2014_x86_64")
PURE = ("--implementation", "py", "--abi", "none", "--platform", "any")
COMPILED = ("--implementation", "cp", *(word for system in SYSTEMS for word in ("--platform", system)))
# What machines with PyTorch, timm, Transformers, scikit-learn and hypothesis have, these and what they need themselves.
THERE = {"torch", "torchvision", "triton", "timm", "safetensors", "numpy", "scipy", "scikit-learn", "hypothesis"}
THERE |= {"packaging", "pillow", "pygments", "tqdm", "typing-extensions"}
# Named by others as needed, and not needed here.
LEFT_OUT = {
    "debugpy": "ipykernel runs without it; only a debugger would ask for it",
    "jedi": "IPython completes names less well without it, and nobody types there",
    "jupyterlab-widgets": "the half of ipywidgets that draws in the browser",
    "widgetsnbextension": "the same, for the older Notebook",
}
MARKERS = {
    "python_version": PYTHON,
    "python_full_version": f"{PYTHON}.0",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "platform_machine": "x86_64",
    "platform_system": "Linux",
    "sys_platform": "linux",
    "os_name": "posix",
}
LARGE = 2**20  # bytes; packing a smaller one anew gains nothing worth the time
LIMIT = 60 * 2**20  # of folder and checkout together


def stop(sentence: str) -> None:
    sys.stdout.flush()
    sys.exit(f"wheels-for-cuda: {sentence}")


def needs(name: str, extras: set[str]) -> dict[str, tuple[str, set[str]]]:
    """What an installed package needs on the machine: {name: (range, extras)}, what is left out apart."""
    found: dict[str, tuple[str, set[str]]] = {}
    for inner in map(Requirement, importlib.metadata.requires(name) or []):
        asked = inner.marker is None or any(inner.marker.evaluate({**MARKERS, "extra": e}) for e in {"", *extras})
        if asked and canonical(inner.name) not in LEFT_OUT:
            ranges, more = found.get(canonical(inner.name), ("", set()))
            both = ",".join(filter(None, [ranges, str(inner.specifier)]))
            found[canonical(inner.name)] = (both, more | inner.extras)
    return found


def walk(wants: dict[str, str]) -> dict[str, dict[str, str]]:
    """Every package to bring, and what each needs: {"ipython": {"traitlets": ">=5.13", ...}, "traitlets": {}, ...}."""
    found: dict[str, dict[str, str]] = {}
    done: set[tuple[str, frozenset[str]]] = set()
    todo = [(name, set()) for name in wants]
    while todo:
        name, extras = todo.pop()
        if name in THERE or (name, frozenset(extras)) in done:
            continue
        done.add((name, frozenset(extras)))
        try:
            inner = needs(name, extras)
        except importlib.metadata.PackageNotFoundError:
            stop(f"{name} is not installed in this Python ({sys.executable}), so what it needs is unknown: make env")
        found[name] = found.get(name, {}) | {n: ranges for n, (ranges, _) in inner.items()}
        todo += [(n, more) for n, (_, more) in inner.items()]
    return found


def pins() -> dict[str, str]:
    """The versions of requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonical(pin.name): str(pin.specifier).removeprefix("==") for pin in pinned}


def collect(versions: dict[str, str]) -> dict[str, Path]:
    """The wheel of each package in the folder: what is there is kept, what is not is fetched, all others go."""
    WHEELS.mkdir(exist_ok=True)
    found: dict[str, Path] = {}
    for path in sorted(WHEELS.glob("*.whl")):
        name, version = f"{path.name}-".split("-")[:2]
        if versions.get(canonical(name)) == version and canonical(name) not in found:
            found[canonical(name)] = path
        else:
            path.unlink()
    for name, version in sorted(versions.items()):
        if name not in found:
            print(f"{name} {version} ", end="", flush=True)
            found[name] = fetch(name, version)
            print(f"{found[name].stat().st_size / 2**20:.1f} MiB", flush=True)
    return found


def fetch(name: str, version: str) -> Path:
    """One wheel, packed; it appears in the folder only when it is whole."""
    new = WHEELS / "unfinished"
    shutil.rmtree(new, ignore_errors=True)  # of a run that was interrupted
    new.mkdir()
    failed = download(f"{name}=={version}", PURE, new) and download(f"{name}=={version}", COMPILED, new)
    if failed:
        stop(f"pip gives no wheel of {name} {version} for Python {PYTHON} on Linux, x86-64: {failed}")
    (wheel,) = new.glob("*.whl")
    if wheel.stat().st_size > LARGE:
        packed(wheel, new / "packed").replace(wheel)
    wheel = wheel.replace(WHEELS / wheel.name)
    new.rmdir()
    return wheel


def download(what: str, kind: tuple[str, ...], folder: Path) -> str:
    """pip, with whatever index it is set up for; its last line where that fails."""
    pip = (sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps")
    options = ("--only-binary=:all:", "--python-version", PYTHON, *kind, "--dest", str(folder), what)
    done = subprocess.run([*pip, *options], capture_output=True, text=True)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason given"])[-1]


def packed(wheel: Path, target: Path) -> Path:
    """The same wheel, smaller: every file in it compressed with LZMA."""
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            new.writestr(entry, old.read(entry), compress_type=zipfile.ZIP_LZMA)
    return target


def checkout_size() -> int:
    """Bytes in the files that git follows."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        print(f"git lists no files of {ROOT}, so the checkout is not counted.")
        return 0
    paths = {ROOT / name for name in listed.decode().split("\0") if name}
    return sum(path.stat().st_size for path in paths if path.is_file())


def report(wheels: int, checkout: int) -> None:
    """Say how much is to be copied, and stop where that is more than the limit."""
    sizes = f"wheels {wheels / 2**20:.1f} MiB, checkout {checkout / 2**20:.1f} MiB"
    print(f"{sizes}, together {(wheels + checkout) / 2**20:.1f} MiB of at most {LIMIT / 2**20:.0f}.")
    if wheels + checkout > LIMIT:
        stop(
            f"{sizes}, and together they may have {LIMIT / 2**20:.0f} MiB: leave out a package that the run does not "
            "use (LEFT_OUT in tools/wheels_for_cuda.py), or a large file of the checkout."
        )


def main() -> None:
    graph = walk(wanted())
    known = pins()
    unpinned = sorted(set(graph) - set(known))
    if unpinned:
        stop(f"requirements.txt has no version of {', '.join(unpinned)}: make lock")
    found = collect({name: known[name] for name in graph})
    rows = {name: {"wheel": found[name].name, "needs": dict(sorted(graph[name].items()))} for name in sorted(graph)}
    unfinished = WHEELS / f"{LIST}.part"
    unfinished.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(WHEELS / LIST)
    report(sum(path.stat().st_size for path in WHEELS.iterdir()), checkout_size())


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        stop("interrupted; the same command goes on.")
    except OSError as error:  # a full disk, say
        stop(f"{error}; when that is mended, give the same command again.")
