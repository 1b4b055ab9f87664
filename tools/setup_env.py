"""Make .venv with the pinned packages, once: `make env`, or `py tools/setup_env.py` where there is no make.

With --all, the tools of `make test-all` (requirements-all.txt) are added to it.

Standard library only, and no syntax younger than Python 3.6, so that an old Python gets the sentence below and not a
traceback. A second call compares one digest and returns. An installation that was interrupted is started over.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

OLDEST = (3, 11)  # as pyproject.toml says, which an old Python cannot read
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
DONE = VENV / "installed.json"  # what was installed; written last
DONE_ALL = VENV / "installed-all.json"  # the same of requirements-all.txt
BUSY = VENV / "installing"  # the process at work; still there afterwards only if it was interrupted


def wanted(*names):
    """What an up-to-date environment was made from, and where: its scripts hold the folder's name."""
    files = [(ROOT / name).read_bytes() for name in names]
    return {"files": hashlib.sha256(b"\0".join(files)).hexdigest(), "folder": str(ROOT)}


def installed(done):
    try:
        return json.loads(done.read_text()) if PYTHON.exists() else None
    except (OSError, ValueError):
        return None


def stop(sentence):
    sys.stdout.flush()
    sys.exit("setup: " + sentence)


def install(*what):
    run(PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-user", *what)


def run(*command):
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET")}
    status = subprocess.call([str(part) for part in command], cwd=str(ROOT), env=env)
    if status:
        stop("the installation stopped (the reason is above); the same command starts it again.")


def check_python():
    if sys.version_info < OLDEST:
        stop(
            "this course needs Python {}.{} or newer, and {} is {}.{}; "
            "name another one with make lab PYTHON=/path/to/python3".format(
                *OLDEST, sys.executable, *sys.version_info[:2]
            )
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        stop(f"{sys.executable} lacks its module {error.name}; on Debian and Ubuntu: apt install python3-venv")


def other_setup():
    """The number of another process that is installing just now, or None. (No such check on Windows.)"""
    try:
        number = int(BUSY.read_text())
        if os.name != "nt":
            os.kill(number, 0)
            return number
    except PermissionError:
        return number
    except (OSError, ValueError):
        pass
    return None


def quiet_news():
    """JupyterLab asks at its first start whether it may fetch news: the course needs no network, so it does not ask."""
    settings = VENV / "share/jupyter/lab/settings"
    settings.mkdir(parents=True, exist_ok=True)
    values = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    (settings / "overrides.json").write_text(json.dumps(values, indent=2) + "\n")


def main():
    want, have = wanted("requirements.txt", "pyproject.toml"), installed(DONE)
    if have == want and not BUSY.exists():
        return
    check_python()
    if other_setup():
        stop(f"process {other_setup()} is setting up .venv right now; wait for it.")
    start = time.time()
    quiet = []
    moved = have is not None and have.get("folder") != want["folder"]
    if BUSY.exists() or moved or not PYTHON.exists():
        print("Making .venv: once, some minutes, about 2.5 GB (more if pip picks PyTorch's CUDA build).", flush=True)
        run(sys.executable, "-m", "venv", "--clear", VENV)
    else:
        print("Bringing .venv up to date.", flush=True)
        quiet = ["--quiet"]  # a fresh installation shows pip's progress; here most lines would say "already satisfied"
    BUSY.write_text(str(os.getpid()))
    install(*quiet, "-r", ROOT / "requirements.txt")
    install(*quiet, "--no-deps", "--no-build-isolation", "--editable", ROOT)
    quiet_news()
    DONE.write_text(json.dumps(want))
    BUSY.unlink()
    print(f"Set up in {time.time() - start:.0f} s.", flush=True)


def add_all():
    """The tools of `make test-all`, into the environment that `main` has made."""
    want = wanted("requirements.txt", "requirements-all.txt")
    if installed(DONE_ALL) != want:
        print("Adding the tools of make test-all.", flush=True)
        install("--quiet", "-r", ROOT / "requirements-all.txt")
        DONE_ALL.write_text(json.dumps(want))


if __name__ == "__main__":
    main()
    if "--all" in sys.argv[1:]:
        add_all()
