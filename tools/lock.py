"""Renew the pins: what pip chooses today for pyproject.toml and its extras, in a fresh environment.

requirements.txt serves everyone; requirements-all.txt has what the extra `test-all` needs beyond that.

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
PINS_ALL = ROOT / "requirements-all.txt"
HEADER = """\
# Every package of the environment, the indirect ones too, at the version the lessons were made and tested with.
# Made by `make lock` from pyproject.toml; `make lab`, `make test` and environment.yml install it. Not edited by hand.
# torch stands without a build tag (+cpu, +cu...): pip takes the build that suits the machine, and with a CUDA build the
# NVIDIA libraries of that build's own choice. Triton has no wheels outside Linux.
"""
HEADER_ALL = """\
# What `make test-all` adds to requirements.txt: tools of the tests that take longer or need more. Made by `make lock`.
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
        freeze = [*pip, "freeze", "--all"]
        everyone = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout
        subprocess.run([*pip, "install", "--quiet", f"{ROOT}[kernels,lessons,test,test-all]", *HELD], check=True)
        everything = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout
    for path, text in ((PINS, pins(everyone)), (PINS_ALL, added(everyone, everything))):
        path.write_text(text, encoding="utf-8")
        print(f"{path.name}: {sum(not line.startswith('#') for line in text.splitlines())} packages")


if __name__ == "__main__":
    main()
