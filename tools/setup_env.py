"""Make .venv with the pinned packages, once: `make env`, or `py tools/setup_env.py` where there is no make.

With --all, the tools of `make test-all` (requirements-all.txt) are added to it. With --hashes, a file that is fetched
must have a digest that requirements-hashes.txt knows; but for torch and its kin, whose builds differ by machine.

Standard library only, and no syntax younger than Python 3.6, so that an old Python gets the sentence below and not a
traceback. A second call compares one digest and returns. An installation that was interrupted is started over, in an
emptied .venv; but only one that set-up made is ever emptied. One of your own gets the packages added.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

if os.name == "nt":
    import msvcrt
else:
    import fcntl

OLDEST = (3, 11)  # as pyproject.toml says, which an old Python cannot read
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
DONE = VENV / "installed.json"  # what was installed; written last
DONE_ALL = VENV / "installed-all.json"  # the same of requirements-all.txt
BUSY = VENV / "installing"  # there while set-up is at work, and afterwards only if it was interrupted
MADE = VENV / "made-by-set-up"  # the first file in a .venv that set-up makes, and the last to be emptied out
HAND = VENV / "made-by-hand"  # in somebody's own, that set-up only added to
LOCK = ROOT / ".venv.lock"  # held by the set-up at work; the file is empty, and stays


def wanted(*names):
    """What an up-to-date environment was made from, and where: its scripts hold the folder's name."""
    files = [(ROOT / name).read_bytes() for name in names]
    return {"files": hashlib.sha256(b"\0".join(files)).hexdigest(), "folder": str(ROOT)}


def installed(done):
    try:
        found = json.loads(done.read_text()) if PYTHON.exists() else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def ready(want):
    return installed(DONE) == want and not BUSY.exists()


def stop(sentence):
    sys.stdout.flush()
    sys.exit("setup: " + sentence)


def install(*what):
    run(PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-user", *what)


def run(*command, **how):
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET")}
    # close_fds: the lock goes along, so that it lasts as long as pip does, even where this process is killed before.
    done = subprocess.run([str(part) for part in command], cwd=str(ROOT), env=env, close_fds=False, **how)
    if done.returncode:
        print(done.stdout or "", end="", flush=True)
        stopped()


def stopped():
    hint = "" if made_here() else "; set-up did not make this .venv and never empties it: move it away to get a new one"
    stop(f"the installation stopped (the reason is above); the same command starts it again{hint}.")


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


@contextlib.contextmanager
def alone():
    """One set-up at a time; the next one waits. The lock is the system's: it ends with the processes that hold it."""
    with LOCK.open("a") as file:
        os.set_inheritable(file.fileno(), True)
        if not taken(file):
            print("Another set-up is at work on .venv: waiting for it. Ctrl-C stops the waiting.", flush=True)
            while not taken(file):
                time.sleep(0.2)
        yield


def taken(file):
    """Take the lock; False while another process has it."""
    try:
        if os.name == "nt":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks: better set up without one than never
        pass
    return True


def made_here():
    """True where emptying .venv loses nothing of anybody's: set-up made it, or there is nothing in it."""
    if VENV.is_symlink():
        return False
    if not VENV.exists() or (VENV.is_dir() and not any(VENV.iterdir())):
        return True
    if MADE.exists() or HAND.exists():
        return MADE.exists()
    # Set-ups before this mark left one of these two files, and always made .venv with this option, which venv notes.
    try:
        return (DONE.exists() or BUSY.exists()) and " -m venv --clear " in (VENV / "pyvenv.cfg").read_text()
    except (OSError, ValueError):
        return False


def make_venv():
    """An empty .venv with Python and pip. Killed at any moment, it leaves what the next set-up knows for its own."""
    import venv

    VENV.mkdir(exist_ok=True)
    MADE.touch()
    BUSY.touch()
    for path in VENV.iterdir():
        if path in (MADE, BUSY):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    try:
        venv.create(VENV, symlinks=os.name != "nt")
    except ValueError as error:  # a colon in the folder's name
        stop(f"{error}.")
    quietly = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "errors": "replace"}
    run(PYTHON, "-Im", "ensurepip", "--default-pip", **quietly)


def quiet_news():
    """JupyterLab asks at its first start whether it may fetch news: the course needs no network, so it does not ask."""
    settings = VENV / "share/jupyter/lab/settings/overrides.json"
    if settings.exists():  # perhaps the user's own
        return
    settings.parent.mkdir(parents=True, exist_ok=True)
    values = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    settings.write_text(json.dumps(values, indent=2) + "\n")


def pinned(name, *options):
    """Install a list of pins; before that, with --hashes, all of it that has digests. Little is left to fetch then."""
    if "--hashes" in sys.argv[1:]:
        install(*options, "--require-hashes", "--no-deps", "-r", ROOT / (name + "-hashes.txt"))
    install(*options, "-r", ROOT / (name + ".txt"))


def main():
    want = wanted("requirements.txt", "pyproject.toml")
    if ready(want):
        return
    check_python()
    with alone():
        if not ready(want):  # the one that this one waited for may have done it
            set_up(want)


def set_up(want):
    start = time.time()
    quiet = []
    have, ours = installed(DONE), made_here()
    moved = have is not None and have.get("folder") != want["folder"]
    if ours and (BUSY.exists() or moved or not PYTHON.exists()):
        print("Making .venv: once, some minutes, about 2.5 GB (more if pip picks PyTorch's CUDA build).", flush=True)
        make_venv()
    elif PYTHON.exists():
        print("Bringing .venv up to date.", flush=True)
        quiet = ["--quiet"]  # a fresh installation shows pip's progress; here most lines would say "already satisfied"
        (MADE if ours else HAND).touch()
        BUSY.touch()
    else:
        what = "is a link" if VENV.is_symlink() else "was not made by set-up"
        stop(f"{VENV} {what}, so it is not emptied, and holds no Python; move it away, and give the command again.")
    pinned("requirements", *quiet)
    install(*quiet, "--no-deps", "--no-build-isolation", "--editable", ROOT)
    quiet_news()
    DONE.write_text(json.dumps(want))
    BUSY.unlink()
    print(f"Set up in {time.time() - start:.0f} s.", flush=True)


def add_all():
    """The tools of `make test-all`, into the environment that `main` has made."""
    want = wanted("requirements.txt", "requirements-all.txt")
    if installed(DONE_ALL) == want:
        return
    with alone():
        if installed(DONE_ALL) != want:
            print("Adding the tools of make test-all.", flush=True)
            pinned("requirements-all", "--quiet")
            DONE_ALL.write_text(json.dumps(want))


if __name__ == "__main__":
    try:
        main()
        if "--all" in sys.argv[1:]:
            add_all()
    except KeyboardInterrupt:
        stop("interrupted; the same command starts it again.")
    except OSError as error:  # a full disk, a folder that may not be written
        stop(f"{error}; when that is mended, the same command starts it again.")
