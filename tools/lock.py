"""Renew the pins: what pip chooses today for pyproject.toml and its extras, in a fresh environment.

requirements.txt serves everyone; requirements-all.txt has what the extra `test-all` needs beyond that. Beside each
stands its second form with the digests of every file that the package index has of those versions, by pip-tools:
requirements-hashes.txt and requirements-all-hashes.txt. `python tools/lock.py --hashes` renews only these two.

Takes minutes and gigabytes of temporary space; `make lock` runs it. The result holds on machines with and without CUDA;
for that, torch and what goes with it stay at the versions named in HELD. Their builds differ by machine, so they have
no digests.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "requirements.txt"
PINS_ALL = ROOT / "requirements-all.txt"
HASHES = {PINS: ROOT / "requirements-hashes.txt", PINS_ALL: ROOT / "requirements-all-hashes.txt"}
HEADER = """\
# Every package of the environment, the indirect ones too, at the version the lessons were made and tested with.
# Made by `make lock` from pyproject.toml; `make lab`, `make test` and environment.yml install it. Not edited by hand.
# torch stands without a build tag (+cpu, +cu...): pip takes the build that suits the machine, and with a CUDA build the
# NVIDIA libraries of that build's own choice. Triton has no wheels outside Linux.
"""
HEADER_ALL = """\
# What `make test-all` adds to requirements.txt: tools of the tests that take longer or need more. Made by `make lock`.
"""
HEADER_HASHES = """\
# {name} with the digests of the files that may be installed; torch, torchvision and triton are not in it, as
# their builds differ by machine. Made by `make lock`; `make env HASHES=1` installs it. Not edited by hand.
"""
LINUX_ONLY = {"triton"}
# Raised by hand, together, and with the lessons executed again: a CUDA build of torch accepts one Triton only, which
# pip cannot know on a machine that gets the CPU build.
HELD = ["torch==2.13.0", "torchvision==0.28.0", "triton==3.7.1; sys_platform == 'linux'"]
NOT_PINNED = re.compile(r"pip|wheel|vtm[-_]lesson|nvidia[-_].*|cuda[-_].*", re.I)  # torch's CUDA builds choose these


def pins(freeze: str, header: str = HEADER) -> str:
    """requirements.txt from the output of `pip freeze --all`."""
    lines = []
    for line in freeze.splitlines():
        name, _, version = line.strip().partition("==")
        if not version or name.startswith("#") or NOT_PINNED.fullmatch(name):
            continue
        marker = '; sys_platform == "linux"' if name.lower() in LINUX_ONLY else ""
        lines.append(f"{name}=={version.split('+')[0]}{marker}")
    return header + "\n".join(sorted(lines, key=str.lower)) + "\n"


def added(before: str, after: str) -> str:
    """requirements-all.txt from the output of `pip freeze --all` before and after the extra was installed."""
    old, new = before.splitlines(), after.splitlines()
    gone = [line for line in old if line not in new]
    if gone:
        raise ValueError(f"the extra test-all changes pins of requirements.txt: {', '.join(gone)}")
    return pins("\n".join(line for line in new if line not in old), HEADER_ALL)


def names_of(pinned: str) -> list[str]:
    """The names that a list of pins has, as the index spells them: small letters, "-" between words."""
    found = re.findall(r"^([\w.-]+)==", pinned, re.M)
    return [re.sub(r"[-_.]+", "-", name).lower() for name in found]


def hashed(compiled: str, pinned: str, header: str) -> str:
    """What pip-compile wrote with digests, of these pins only and without torch and its kin.

    Raises
    ------
    ValueError
        Where a pin has no digest.
    """
    entries = re.findall(r"^\S.*(?:\n {4}--hash=.*)+", compiled, re.M)
    by_name = {names_of(entry)[0]: entry for entry in entries}
    held = {names_of(pin)[0] for pin in HELD}
    wanted = [name for name in names_of(pinned) if name not in held]
    missing = [name for name in wanted if name not in by_name]
    if missing:
        raise ValueError(f"no digest for {', '.join(missing)}")
    return header + "\n".join(by_name[name] for name in wanted) + "\n"


def fresh(folder: str) -> str:
    """A new environment in this folder: its Python."""
    venv.create(folder, with_pip=True)
    return str(Path(folder) / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))


def lock_hashes(python: str) -> None:
    """Write the two lists with digests, by the index alone: what a machine has in folders of its own is not asked."""
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "pip-tools"], check=True)
    print("Asking the index for digests: some 3 minutes.", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        wanted, found = Path(folder) / "wanted.in", Path(folder) / "found.txt"
        wanted.write_text("".join(path.read_text(encoding="utf-8") for path in HASHES), encoding="utf-8")
        options = "--generate-hashes --no-header --no-annotate --strip-extras --allow-unsafe --no-emit-options --quiet"
        command = [python, "-m", "piptools", "compile", *options.split(), "-o", str(found), str(wanted)]
        env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        kept = {name: os.environ[name] for name in ("PIP_CERT", "PIP_PROXY") if name in os.environ}
        subprocess.run(command, check=True, env=env | kept | {"PIP_CONFIG_FILE": os.devnull})
        compiled = found.read_text(encoding="utf-8")
    for path, target in HASHES.items():
        text = hashed(compiled, path.read_text(encoding="utf-8"), HEADER_HASHES.format(name=path.name))
        target.write_text(text, encoding="utf-8")
        print(f"{target.name}: {text.count('--hash=')} digests")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--hashes", action="store_true", help="only the digests, of the pins as they stand")
    hashes_only = parser.parse_args().hashes
    if sys.version_info[:2] != (3, 11):
        sys.exit(f"lock: the pins are made with Python 3.11, the oldest they serve; this is {sys.version.split()[0]}")
    if hashes_only:
        with tempfile.TemporaryDirectory() as folder:
            lock_hashes(fresh(folder))
        return
    print("Resolving into a temporary environment: minutes, about 2.5 GB.", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        python = fresh(folder)
        pip = [python, "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", "--upgrade", "setuptools"], check=True)
        subprocess.run([*pip, "install", "--quiet", f"{ROOT}[kernels,lessons,test]", *HELD], check=True)
        subprocess.run([*pip, "check"], check=False)  # says what it thinks; torch's build tags can confuse it
        freeze = [*pip, "freeze", "--all"]
        everyone = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout
        subprocess.run([*pip, "install", "--quiet", f"{ROOT}[kernels,lessons,test,test-all]", *HELD], check=True)
        everything = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout
        for path, text in ((PINS, pins(everyone)), (PINS_ALL, added(everyone, everything))):
            path.write_text(text, encoding="utf-8")
            print(f"{path.name}: {sum(not line.startswith('#') for line in text.splitlines())} packages")
        lock_hashes(python)


if __name__ == "__main__":
    main()
