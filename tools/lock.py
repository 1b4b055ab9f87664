"""Renew requirements.txt: what pip chooses today for pyproject.toml and all its extras, in a fresh environment.

Takes minutes and gigabytes of temporary space; `make lock` runs it. The result holds on machines with and without CUDA;
for that, torch and what goes with it stay at the versions named in HELD.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "requirements.txt"
HEADER = """\
# Every package of the environment, the indirect ones too, at the version the lessons were made and tested with.
# Made by `make lock` from pyproject.toml; `make lab`, `make test` and environment.yml install it. Not edited by hand.
# torch stands without a build tag (+cpu, +cu...): pip takes the build that suits the machine, and with a CUDA build the
# NVIDIA libraries of that build's own choice. Triton has no wheels outside Linux.
"""
LINUX_ONLY = {"triton"}
# Raised by hand, together, and with the lessons executed again: a CUDA build of torch accepts one Triton only, which
# pip cannot know on a machine that gets the CPU build.
HELD = ["torch==2.13.0", "torchvision==0.28.0", "triton==3.7.1; sys_platform == 'linux'"]
NOT_PINNED = re.compile(r"pip|wheel|vtm[-_]lesson|nvidia[-_].*|cuda[-_].*", re.I)  # torch's CUDA builds choose these


def pins(freeze: str) -> str:
    """requirements.txt from the output of `pip freeze --all`."""
    lines = []
    for line in freeze.splitlines():
        name, _, version = line.strip().partition("==")
        if not version or NOT_PINNED.fullmatch(name):
            continue
        marker = '; sys_platform == "linux"' if name.lower() in LINUX_ONLY else ""
        lines.append(f"{name}=={version.split('+')[0]}{marker}")
    return HEADER + "\n".join(sorted(lines, key=str.lower)) + "\n"


def main() -> None:
    if sys.version_info[:2] != (3, 11):
        sys.exit(f"lock: the pins are made with Python 3.11, the oldest they serve; this is {sys.version.split()[0]}")
    print("Resolving into a temporary environment: minutes, about 2.5 GB.", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))
        pip = [python, "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", "--upgrade", "setuptools"], check=True)
        subprocess.run([*pip, "install", "--quiet", f"{ROOT}[kernels,lessons,test]", *HELD], check=True)
        subprocess.run([*pip, "check"], check=False)  # says what it thinks; torch's build tags can confuse it
        freeze = subprocess.run([*pip, "freeze", "--all"], check=True, capture_output=True, text=True).stdout
    PINS.write_text(pins(freeze), encoding="utf-8")
    print(f"{PINS.name}: {len(pins(freeze).splitlines()) - len(HEADER.splitlines())} packages")


if __name__ == "__main__":
    main()
