"""A kernel of its own for somebody else's code: no network, another user, limits. Standard library only.

`Jail` is what the marking process holds. Run as a script, this file is the first thing in the kernel's process: it
takes away what the submission must not have, and then becomes the kernel.

As root on Linux the kernel runs as a user that exists nowhere else, in its own network and mount namespaces: it sees no
other folder of the course, no other user's home, and a /tmp of its own. As another user there are the limits and, where
the system lets users make namespaces, walls around network, processes, homes and the course, too; but it is the same
user, who may read what lies elsewhere.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

NEW_MOUNTS, NEW_USER, NEW_NETWORK, NEW_IPC, NEW_PROCESSES = 0x20000, 0x10000000, 0x40000000, 0x8000000, 0x20000000
DIES_WITH_PARENT, NO_NEW_PRIVILEGES = 1, 38  # of prctl
BIND, RECURSIVE, PRIVATE = 0x1000, 0x4000, 0x40000
TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")
# Where a user's own things lie, or sockets by which programs outside can be asked to do something.
PERSONAL = ("/home", "/root", "/run", "/var", "/srv", "/mnt", "/media")
FIRST_USER, USERS = 700_000, 100_000


@contextlib.contextmanager
def ended_with_us() -> Iterator[None]:
    """SIGTERM stops what is inside as Ctrl-C does, so that a process in a jail is ended, too.

    It leads a session of its own, which the shell's signals do not reach.
    """
    if threading.current_thread() is not threading.main_thread():  # there Python takes no signals
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _call(name: str, *arguments: object) -> None:
    """A system call of the C library; OSError where it is refused."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    _call("mount", *(None if t is None else t.encode() for t in (source, target, kind)), flags, data and data.encode())


def _closed(path: Path) -> Path | None:
    """The topmost folder on the way to `path` that other users may not enter."""
    for folder in [*reversed(path.parents), path]:
        if not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return None


def hide(hidden: list[Path], shown: list[Path]) -> None:
    """In this process's own mounts put an empty folder over each of `hidden`, with `shown` seen through it."""
    _mount("none", "/", None, RECURSIVE | PRIVATE)
    closed = [found for path in shown if (found := _closed(path)) is not None]
    opened = {path: os.open(path, os.O_PATH) for path in shown}  # before anything lies over them
    visible = {Path("/"): True}
    for path in sorted({*closed, *hidden, *shown}):  # what holds others comes before them
        above = visible[max((p for p in visible if path.is_relative_to(p)), key=lambda p: len(p.parts))]
        visible[path] = path in opened
        if path in opened and not above:
            path.mkdir(parents=True, exist_ok=True)
            _mount(f"/proc/self/fd/{opened[path]}", str(path), None, BIND | RECURSIVE)
        elif path not in opened and above and path.exists():
            mode = "1777" if str(path) in TEMPORARY else "755"
            _mount("tmpfs", str(path), "tmpfs", 0, f"size=512m,mode={mode}")
    for number in opened.values():
        os.close(number)


def enter(wish: dict) -> list[str]:
    """Take away what `wish` says from this process; returns what could be taken, in words."""
    import resource

    done = []
    root, user = os.geteuid() == 0, wish["user"]
    hidden, shown = [Path(p) for p in wish["hidden"]], [Path(p) for p in wish["shown"]]
    if sys.platform == "linux" and root:
        with contextlib.suppress(OSError):
            _call("unshare", NEW_NETWORK)
            done.append("no network")
        with contextlib.suppress(OSError):
            _call("unshare", NEW_MOUNTS | NEW_IPC)
            hide(hidden, shown)
            done.append("other folders hidden")
    elif sys.platform == "linux":
        done += enter_as_user([*hidden, *map(Path, wish["personal"])], shown)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            _call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)  # no sudo
    limits = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": wish["file"], "RLIMIT_CPU": wish["cpu"]}
    limits |= {"RLIMIT_AS": wish["memory"], "RLIMIT_NOFILE": 1024}
    if root or ("other processes hidden" in done and _kernel() >= (5, 14)):
        limits["RLIMIT_NPROC"] = wish["processes"]  # else counted for all that the user runs
    for name, most in limits.items():
        with contextlib.suppress(OSError, ValueError, AttributeError):
            resource.setrlimit(getattr(resource, name), (most, most))
    done.append("limits")
    if root:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        done.append("a user of its own")
    os.umask(0o077)
    return done


def enter_as_user(hidden: list[Path], shown: list[Path]) -> list[str]:
    """What a user who is not root may take from this process, in words. It goes on as a child."""
    user, group = os.geteuid(), os.getegid()
    try:
        _call("unshare", NEW_USER | NEW_NETWORK | NEW_MOUNTS | NEW_IPC | NEW_PROCESSES)
    except OSError:  # some systems allow a part
        with contextlib.suppress(OSError):
            _call("unshare", NEW_NETWORK | NEW_USER)
            return ["no network"]
        return []
    with contextlib.suppress(OSError):  # some give the spaces and no rights in them: then mounts fail, too
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _go_on_as_child()
    done, processes = ["no network"], False
    with contextlib.suppress(OSError):  # a container may have a part of /proc covered, and forbid another
        _mount("proc", "/proc", "proc", 0)
        processes = True
    with contextlib.suppress(OSError):
        hide(hidden, shown)
        # Through /proc one sees what another process of the same user sees.
        done += ["other folders hidden", "other processes hidden"] if processes else []
    return done


def _go_on_as_child() -> None:
    """Fork: only children are in the new namespace of processes. All that is in there ends with the first of them."""
    child = os.fork()
    if child == 0:
        _call("prctl", DIES_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the child's business
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:  # ended by a signal: so is this one
        with contextlib.suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _kernel() -> tuple[int, ...]:
    """Linux's version, as (6, 1)."""
    return tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])


def temporary() -> list[str]:
    """The folders for temporary files that there are."""
    return [str(p.resolve()) for p in (*map(Path, TEMPORARY), Path(tempfile.gettempdir())) if p.is_dir()]


def _personal() -> list[str]:
    """The home of the one who marks, and the folders of PERSONAL that there are."""
    places = [p for p in (Path.home(), *map(Path, PERSONAL)) if p.is_dir()]
    return [str(p.resolve()) for p in places if p != Path("/")]  # which is the home of some services


def user_of(process: int) -> int:
    """The user whose kernel the marking process of that number starts."""
    return FIRST_USER + process % USERS


def end_all(user: int) -> None:
    """End every process of a jail's user. As anybody but root there is no such user, and nothing happens."""
    if hasattr(os, "geteuid") and os.geteuid() == 0 and FIRST_USER <= user < FIRST_USER + USERS:
        script = "import os, signal, sys; u = int(sys.argv[1]); os.setgroups([]); os.setgid(u); os.setuid(u); "
        subprocess.run([sys.executable, "-I", "-c", script + "os.kill(-1, signal.SIGKILL)", str(user)], check=False)


class Jail:
    """The folder, the user and the command of one kernel.

    Parameters
    ----------
    course : Path
        The course's folder, which the kernel must not see.
    packages : list of Path
        Folders that it must see: Python's, and this package's.
    memory, file : int
        Bytes of address space, and of one file.
    cpu, processes : int
        Seconds of processor, and processes and threads at once.
    """

    def __init__(self, course: Path, packages: list[Path], memory: int, file: int, cpu: int, processes: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kernel-")).resolve()
        self.user = user_of(os.getpid()) if os.geteuid() == 0 else os.geteuid()
        for name in ("home", "work"):
            (self.folder / name).mkdir()
        shown = [self.folder, *(p.resolve() for p in packages if p.exists())]
        self.wish = {
            "user": self.user,
            "hidden": [str(course.resolve()), *temporary()],
            "personal": _personal(),
            "shown": [str(p) for p in shown],
            "memory": memory,
            "file": file,
            "cpu": cpu,
            "processes": processes,
            "report": str(self.folder / "isolated.json"),
        }

    @property
    def connection_file(self) -> str:
        return str(self.folder / "k.json")

    def take(self, source: Path) -> None:
        """Copy the submission's other files to where the kernel works; no links are followed."""
        for path in source.iterdir():
            if path.is_symlink() or path.suffix == ".ipynb":
                continue
            if path.is_dir():
                shutil.copytree(path, self.folder / "work" / path.name, symlinks=True)
            elif path.is_file():
                shutil.copy(path, self.folder / "work" / path.name)

    def command(self, command: list[str]) -> list[str]:
        """The command that enters the jail and then becomes `command`; all files are the kernel's user's by then."""
        if os.geteuid() == 0:
            for folder, folders, files in os.walk(self.folder):
                for name in [".", *folders, *files]:
                    os.chown(Path(folder, name), self.user, self.user, follow_symlinks=False)
        self.folder.chmod(0o700)
        return [sys.executable, "-I", str(Path(__file__).resolve()), json.dumps(self.wish), *command]

    def environment(self, **more: str) -> dict[str, str]:
        """What the kernel knows of its surroundings: nothing of the teacher's but where programs lie."""
        home = str(self.folder / "home")
        kept = {k: os.environ[k] for k in ("PATH", "LANG", "LC_ALL", "OMP_NUM_THREADS", "TZ") if k in os.environ}
        return kept | {"HOME": home, "IPYTHONDIR": f"{home}/.ipython", "MPLCONFIGDIR": f"{home}/.matplotlib"} | more

    def isolated(self) -> list[str]:
        """What was taken from the kernel, in words."""
        try:
            return [str(word) for word in json.loads((self.folder / "isolated.json").read_text())]
        except (OSError, ValueError):
            return []

    def close(self) -> None:
        """End every process of the jail's user, and remove its folder."""
        end_all(self.user)
        shutil.rmtree(self.folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("wish", type=json.loads)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    cwd = Path.cwd()
    with Path(args.wish["report"]).open(
        "w"
    ) as report:  # opened before other folders are hidden and the user is another
        json.dump(enter(args.wish), report)
    os.chdir(cwd)  # the mounts may be others now
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.execv(args.command[0], args.command)


if __name__ == "__main__":
    main()
