"""Measure on a GPU in one command, on a machine with PyTorch and perhaps no internet: `make cuda`.

The machine's own packages serve first. What the course needs beyond them is unpacked from wheels-for-cuda/ (made by
`make wheels-for-cuda` where there is internet) into .cuda-site/, which this run alone looks into: the machine's Python
stays as it is. Then `python -m vtm_lesson bench --device cuda --all` runs, with what ARGS adds. A second call finds
everything in place.

Standard library only. The file is not named cuda.py: PyTorch imports NVIDIA's bindings as `cuda`, and would find it.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

OLDEST = (3, 11)  # as pyproject.toml says, which an old Python cannot read
ROOT = Path(__file__).resolve().parent.parent
WHEELS = ROOT / "wheels-for-cuda"
LIST = "needed.json"  # in that folder: what each wheel is for, and what it needs in its turn
SITE = ROOT / ".cuda-site"
# Beside the package's dependencies, of each extra in pyproject.toml, what a run on a GPU uses.
PARTS = {
    "kernels": ("triton",),  # the fused matcher
    "test": ("pytest", "pytest-xdist", "nbval", "hypothesis"),  # tests and lessons, executed there
    "lessons": ("ipykernel",),  # what executes a lesson; nobody reads or edits one there
}


def stop(sentence):
    sys.stdout.flush()
    sys.exit(f"cuda: {sentence}")


# ------------------------------------------------------------------------------------------------- names and versions


def canonical(name):
    """A package's name as pip compares names: "scikit-learn" of "Scikit_Learn"."""
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted():
    """What the run needs and in which range: {"torch": ">=2.4", ...}, from pyproject.toml."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = {}
    for extra, texts in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        for text in texts:
            name, ranges = re.fullmatch(r"([\w.-]+)\s*([^;]*?)\s*(?:;.*)?", text).groups()
            if not extra or name in PARTS.get(extra, ()):
                found[canonical(name)] = ranges
    return found


def allows(ranges, version):
    """Whether a range such as ">=2.4, !=2.5.*" admits a version such as "2.11.0+cu130"."""
    return all(holds(part.strip(), numbers(version)) for part in ranges.split(",") if part.strip())


def numbers(version):
    """Version 2.11.0rc1+cu130 as (2, 11, 0): a trial of it counts as the version itself."""
    return tuple(map(int, re.match(r"\d+(\.\d+)*", version).group().split(".")))


def holds(part, version):
    sign, text, star = re.fullmatch(r"(~=|==|!=|<=|>=|<|>)\s*([\d.]+?)(\.\*)?", part).groups()
    limit = numbers(text)
    size = max(len(limit), len(version))
    low, have = (each + (0,) * (size - len(each)) for each in (limit, version))
    family = limit if star else limit[:-1]  # 3.4.* and ~=3.4.2: the beginning that has to agree
    within = have[: len(family)] == family
    return {
        "~=": have >= low and within,
        "==": within if star else have == low,
        "!=": not within if star else have != low,
        "<=": have <= low,
        ">=": have >= low,
        "<": have < low,
        ">": have > low,
    }[sign]


def version_here(name):
    """The version of a package that this Python finds without our help; None where it finds none."""
    path = [folder for folder in sys.path if SITE not in Path(folder).resolve().parents]
    return next((found.version for found in importlib.metadata.distributions(name=name, path=path)), None)


# -------------------------------------------------------------------------------------------------- what is missing


def listed():
    """What the list in the folder of wheels says: {"av": {"wheel": "av-18...whl", "needs": {}}, ...}."""
    file = WHEELS / LIST
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError:
        stop(f"{file} is damaged; copy the folder again, or make it again with make {WHEELS.name}.")


def missing(wants, wheels):
    """What this machine lacks, and whatever that needs in its turn: {"av": ("", ">=14.1"), ...}, version and range."""
    found, todo = {}, list(wants.items())
    while todo:
        name, ranges = todo.pop(0)
        version = version_here(name)
        if name in found or (version is not None and allows(ranges, version)):
            continue
        found[name] = (version or "", ranges)
        todo += wheels.get(name, {}).get("needs", {}).items()
    return found


def chosen(lacks, wheels):
    """The wheels of what is missing; a sentence where they do not do."""
    if not lacks:
        return []
    bring = f"run make {WHEELS.name} on a machine with internet, and copy that folder to {WHEELS}."
    if not (WHEELS / LIST).is_file():
        stop(f"this machine lacks {told(lacks)}, and there is no finished folder of wheels: {bring}")
    without = {name: lack for name, lack in lacks.items() if not serves(wheels, name, lack[1])}
    if without:
        stop(
            f"this machine lacks {told(without)}, and the wheels do not hold that: install it for {sys.executable}, "
            f"or, where pyproject.toml is newer than the wheels, {bring}"
        )
    paths = [WHEELS / wheels[name]["wheel"] for name in sorted(lacks)]
    gone = [path.name for path in paths if not path.is_file()]
    if gone:
        stop(f"{WHEELS} is not complete, it lacks {', '.join(gone)}: {bring}")
    for path in paths:
        if not fits(path.name):
            stop(
                f"{path.name} is made for another Python or machine than this one (Python {sys.version.split()[0]}, "
                f"{sys.platform} {platform.machine()}); name one it is made for: make cuda PYTHON=/path/to/python3"
            )
    return paths


def serves(wheels, name, ranges):
    """Whether there is a wheel of this package, in a version that the range allows."""
    return name in wheels and allows(ranges, wheels[name]["wheel"].split("-")[1])


def told(lacks):
    return ", ".join(
        f"{name} ({version} is here, needed is {ranges})" if version else name
        for name, (version, ranges) in sorted(lacks.items())
    )


def fits(wheel, python=None, machine=None):
    """Whether a wheel is made for this Python on Linux, by its file name: NAME-VERSION-PYTHON-ABI-MACHINE.whl."""
    python, machine = python or sys.version_info[:2], machine or platform.machine()
    tags, abis, machines = (part.split(".") for part in wheel.removesuffix(".whl").split("-")[-3:])
    for tag in tags:
        kind, major, minor = re.fullmatch(r"(cp|py)(\d)(\d*)", tag).groups()
        made_for = (int(major), int(minor or 0))
        newer_too = kind == "py" or "abi3" in abis
        if made_for == python or (newer_too and made_for[0] == python[0] and made_for <= python):
            return any(place == "any" or ("linux" in place and place.endswith(f"_{machine}")) for place in machines)
    return False


# ------------------------------------------------------------------------------------------------------------ unpack


def unpacked(paths):
    """The folder with the contents of these wheels, made if it is not there; a folder half made is never taken."""
    sizes = [f"{path.name} {path.stat().st_size}" for path in paths]
    site = SITE / hashlib.sha256("\n".join(sizes).encode()).hexdigest()[:12]
    if site.is_dir():
        return site
    print(f"Unpacking {len(paths)} wheels into {site}.", flush=True)
    SITE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SITE, prefix="new-") as new:
        ready = Path(new) / "site"
        for path in paths:
            unpack(path, ready)
        try:
            ready.rename(site)
        except OSError:
            if not site.is_dir():  # not made meanwhile by another run
                raise
    return site


def unpack(wheel, site):
    """A wheel is a zip: its top is what site-packages gets; commands and manuals in NAME.data/ are not needed here."""
    try:
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(site)
    except OSError:  # a full disk, say
        raise
    except Exception as error:  # a spoilt file, of which each kind of compression speaks in its own way
        stop(f"{wheel} cannot be unpacked ({error}); copy it again, or make it again with make {WHEELS.name}.")
    for data in site.glob("*.data"):
        for part in ("purelib", "platlib"):
            if (data / part).is_dir():
                shutil.copytree(data / part, site, dirs_exist_ok=True)
        shutil.rmtree(data)


# --------------------------------------------------------------------------------------------------------------- run


def check_torch(ranges, device):
    """Stop with a sentence unless torch loads, has a version that pyproject.toml allows, and sees the device."""
    other = "name another Python with make cuda PYTHON=/path/to/python3"
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name == "torch":
            stop(f"{sys.executable} has no torch; {other}.")
        stop(f"the torch of {sys.executable} does not load: {error}; {other}.")
    except (ImportError, OSError) as error:
        stop(f"the torch of {sys.executable} does not load: {error}; {other}.")
    if not allows(ranges, torch.__version__):
        stop(f"the torch of {sys.executable} is {torch.__version__}, and the course needs {ranges}; {other}.")
    if device.startswith("cuda") and not torch.cuda.is_available():
        why = "is a build without CUDA" if torch.version.cuda is None else "sees no GPU here"
        stop(
            f"torch {torch.__version__} of {sys.executable} {why}; {other}, or rehearse without a GPU: "
            'make cuda ARGS="--device cpu --quick --out runs/rehearsal"'
        )


def device_of(arguments):
    """What ARGS says of the device, None where it says nothing. Of two, the last one counts, as for `bench`."""
    found = None
    for here, after in zip(arguments, [*arguments[1:], ""], strict=False):
        if here == "--device" or here.startswith("--device="):
            found = here.partition("=")[2] or after
    return found


def command(arguments):
    """`bench` with everything, on CUDA unless ARGS names another device."""
    device = [] if device_of(arguments) else ["--device", "cuda"]
    return [sys.executable, "-m", "vtm_lesson", "bench", *device, "--all", *arguments]


def main(arguments):
    if sys.version_info < OLDEST:
        version = ".".join(map(str, sys.version_info[:2]))
        stop(
            f"the course needs Python {OLDEST[0]}.{OLDEST[1]} or newer, and {sys.executable} is {version}; "
            "name another one with make cuda PYTHON=/path/to/python3"
        )
    wants, device = wanted(), device_of(arguments) or "cuda"
    check_torch(wants.pop("torch"), device)
    if device == "cpu":
        wants.pop("triton")  # comes with PyTorch's CUDA builds
    wheels = listed()
    paths = chosen(missing(wants, wheels), wheels)
    own = [str(unpacked(paths))] if paths else []
    # In front: it holds only what the machine lacks, or has in a version that does not do.
    search = [*own, str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execve(sys.executable, command(arguments), {**os.environ, "PYTHONPATH": os.pathsep.join(search)})


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        stop("interrupted; the same command goes on.")
    except OSError as error:  # a full disk, a folder that may not be written
        stop(f"{error}; when that is mended, give the same command again.")
