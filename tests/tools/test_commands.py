"""The commands of the README, and the environment they make."""

import ast
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
import venv
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import lock
import setup_env
from vtm_lesson import paths
from vtm_lesson.teaching import lab, work

ROOT = Path(setup_env.__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]


def read_pins(name: str) -> list[Requirement]:
    return [Requirement(line) for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]


PINS, MORE = read_pins("requirements.txt"), read_pins("requirements-all.txt")
PINNED = {canonicalize_name(pin.name): pin for pin in PINS}
PINNED_ALL = PINNED | {canonicalize_name(pin.name): pin for pin in MORE}
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed here")


def version(pin: Requirement) -> str:
    return str(pin.specifier).removeprefix("==")


# ---------------------------------------------------------------------------------------------------------- the pins


def test_every_line_is_an_exact_pin_without_a_build():
    for pin in PINS + MORE:
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), f"{pin}: one exact version, without +cpu or +cu"
        assert not canonicalize_name(pin.name).startswith(("nvidia-", "cuda-")), f"{pin}: torch chooses these itself"
    assert len(PINNED) == len(PINS) and len(PINNED_ALL) == len(PINS) + len(MORE), "a package is pinned twice"
    assert str(PINNED["triton"].marker) == 'sys_platform == "linux"'
    assert "setuptools" in PINNED, "needed to install this package without fetching anything"


def test_pins_satisfy_the_ranges_of_the_package():
    for extra, texts in {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}.items():
        for requirement in map(Requirement, texts):
            # Those extras are installed by `make test-all` only.
            everywhere = extra not in ("test-all", "hosts", "cluster", "logs", "bench", "site")
            pin = (PINNED if everywhere else PINNED_ALL).get(canonicalize_name(requirement.name))
            assert pin is not None, f"{requirement.name} is not pinned: run make lock"
            assert requirement.specifier.contains(version(pin)), f"pinned {pin}, but pyproject.toml says {requirement}"


def test_ranges_admit_the_pair_of_builds_that_gpu_machines_have():
    ranges = {r.name: r.specifier for r in map(Requirement, PROJECT["dependencies"])}
    assert ranges["torch"].contains("2.11.0") and ranges["torchvision"].contains("0.26.0")


def test_indirect_packages_are_pinned_too():
    """Walk the installed packages' own requirements: whatever is reached must be pinned."""
    extras = [text for extra in PROJECT["optional-dependencies"].values() for text in extra]
    of_test_all = {canonicalize_name(Requirement(text).name) for text in PROJECT["optional-dependencies"]["test-all"]}
    assert of_test_all.isdisjoint(PINNED), "make lab does not install what only make test-all needs"
    todo = [(Requirement(text), "") for text in PROJECT["dependencies"] + extras]
    seen, missing = set(), []
    while todo:
        requirement, by = todo.pop()
        name = canonicalize_name(requirement.name)
        if name.startswith(("nvidia-", "cuda-")):
            continue
        if name not in PINNED_ALL:
            missing.append(f"{name} (for {by})")
            continue
        for extra in {"", *requirement.extras} - {e for n, e in seen if n == name}:
            seen.add((name, extra))
            try:
                texts = importlib.metadata.requires(name) or []
            except importlib.metadata.PackageNotFoundError:
                continue
            for inner in map(Requirement, texts):
                if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                    todo.append((inner, name))
    assert not missing, f"not pinned: {', '.join(sorted(missing))}; run make lock"
    assert len({name for name, _ in seen}) > 100


def test_lock_writes_pins_that_hold_everywhere():
    freeze = "b==2\ntorch==2.13.0+cpu\nnvidia-cublas==13.0\ncuda-bindings==1\npip==26\nwheel==1\nA==1\ntriton==3.7.1\n"
    freeze += (
        "-e git+https://example.org/vtm#egg=vtm_lesson\nvtm-lesson @ file:///x\nvtm-lesson==0.1.0\nsetuptools==84\n"
    )
    freeze += "# Editable install with no version control (vtm-lesson==0.1.0)\n"
    lines = [line for line in lock.pins(freeze).splitlines() if not line.startswith("#")]
    assert lines == ["A==1", "b==2", "setuptools==84", "torch==2.13.0", 'triton==3.7.1; sys_platform == "linux"']


def test_lock_writes_apart_what_only_test_all_needs():
    assert lock.added("a==1\nc==3\n", "a==1\nb==2\nc==3\nd==4\n").removeprefix(lock.HEADER_ALL) == "b==2\nd==4\n"
    with pytest.raises(ValueError, match="a==1"):
        lock.added("a==1\n", "a==2\nb==2\n")


def digests(name: str) -> dict[str, tuple[str, int]]:
    """Name -> version, how many digests, of a list that pip would take with --require-hashes."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = re.findall(r"^([\w.-]+)==([\w.]+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", text, re.MULTILINE)
    assert len(found) == len(re.findall(r"^[^#\s]", text, re.MULTILINE)), "a line that is no pin with digests"
    return {canonicalize_name(pin): (version, more.count("--hash=")) for pin, version, more in found}


def test_every_pin_has_digests_but_torch_and_its_kin():
    held = {canonicalize_name(Requirement(text).name) for text in lock.HELD}
    assert held == {"torch", "torchvision", "triton"}
    for name, pins in (("requirements-hashes.txt", PINS), ("requirements-all-hashes.txt", MORE)):
        expected = {canonicalize_name(pin.name): version(pin) for pin in pins}
        found = digests(name)
        assert {k: v for k, (v, _) in found.items()} == {k: v for k, v in expected.items() if k not in held}, (
            "renew them: python tools/lock.py --hashes"
        )


def test_lock_keeps_the_digests_of_what_is_pinned_and_no_other():
    compiled = (
        "a-b==1 \\\n    --hash=sha256:11 \\\n    --hash=sha256:22\nnvidia-x==3 \\\n    --hash=sha256:33\n"
        "torch==2.13.0 \\\n    --hash=sha256:44\n"
    )
    assert lock.hashed(compiled, "# head\nA_b==1\ntorch==2.13.0\n", "# top\n") == (
        "# top\na-b==1 \\\n    --hash=sha256:11 \\\n    --hash=sha256:22\n"
    )
    with pytest.raises(ValueError, match="no digest for missing"):
        lock.hashed(compiled, "missing==1\n", "")


def test_what_lock_holds_is_what_is_pinned():
    for held in map(Requirement, lock.HELD):
        assert PINNED[held.name].specifier == held.specifier and PINNED[held.name].marker == held.marker


def test_conda_users_get_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [item for item in environment["dependencies"] if isinstance(item, str)]
    (pip,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    assert len(conda) == 2 and conda[1] == "pip", "conda gives Python and pip; a package named here could drift"
    assert pip == ["-r requirements.txt", "-e ."], "pip gives the rest from requirements.txt, and this package"


def test_the_lowest_python_is_the_same_everywhere():
    lowest = PROJECT["requires-python"].removeprefix(">=")
    major, minor = map(int, lowest.split("."))
    assert (major, minor) == setup_env.OLDEST
    assert SETTINGS["tool"]["ruff"]["target-version"] == f"py{major}{minor}"
    assert SETTINGS["tool"]["mypy"]["python_version"] == lowest
    assert yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][0] == f"python={lowest}"
    readme, makefile = (ROOT / "README.md").read_text(encoding="utf-8"), (ROOT / "Makefile").read_text()
    assert set(re.findall(r"Python (\d\.\d+)", readme + makefile)) == {lowest}
    assert re.findall(r"py -(\d\.\d+)", readme) == [lowest]
    assert re.findall(r"version_info < \((.*?)\)", makefile) == [f"{major}, {minor}"]
    workflows = "".join(path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml"))
    assert set(re.findall(r'python-version: "(.*?)"|py -(\d\.\d+)', workflows)) == {(lowest, ""), ("", lowest)}
    newer = SpecifierSet(PROJECT["requires-python"])
    assert lowest in newer and "3.12" in newer and f"{major}.{minor - 1}" not in newer


# ------------------------------------------------------------------------------------------------------------ set up


@pytest.fixture
def setup(tmp_path: Path, monkeypatch):
    """setup_env in an empty project, its commands recorded instead of run."""
    made = tmp_path / ".venv"
    for name, path in {
        "ROOT": tmp_path,
        "VENV": made,
        "PYTHON": made / "bin/python",
        "DONE": made / "installed.json",
        "DONE_ALL": made / "installed-all.json",
        "BUSY": made / "installing",
        "MADE": made / "made-by-set-up",
        "HAND": made / "made-by-hand",
        "LOCK": tmp_path / ".venv.lock",
    }.items():
        monkeypatch.setattr(setup_env, name, path)
    (tmp_path / "requirements.txt").write_text("a==1\n")
    (tmp_path / "pyproject.toml").write_text("")
    calls: list[str] = []

    def create(folder, **how):
        calls.append(f"make {folder}")
        setup_env.PYTHON.parent.mkdir()
        setup_env.PYTHON.touch()

    monkeypatch.setattr(venv, "create", create)
    monkeypatch.setattr(setup_env, "run", lambda *command, **how: calls.append(" ".join(map(str, command))))

    def again() -> list[str]:
        calls.clear()
        setup_env.main()
        return list(calls)

    again.calls = calls
    return again


def test_the_second_set_up_does_nothing(setup):
    first = setup()
    assert len(first) == 4 and first[0].startswith("make ") and "-Im ensurepip" in first[1]
    assert "-r " in first[2] and "--editable" in first[3]
    assert "--no-build-isolation" in first[3] and "--no-deps" in first[3], "nothing beyond the pins is fetched"
    assert setup() == []


def test_new_pins_are_installed_into_the_old_environment(setup, tmp_path):
    setup()
    (tmp_path / "requirements.txt").write_text("a==2\n")
    assert [" pip install " in call for call in setup()] == [True, True], "only pip, twice"
    assert setup() == []


def test_a_list_of_what_was_installed_that_cannot_be_read_is_made_anew(setup):
    setup()
    for damaged in ("", "[]", "{"):
        setup_env.DONE.write_text(damaged)
        assert [" pip install " in call for call in setup()] == [True, True]
        assert setup() == []


def test_the_tools_of_test_all_are_added_once(setup, tmp_path):
    (tmp_path / "requirements-all.txt").write_text("b==1\n")
    setup()
    setup.calls.clear()
    setup_env.add_all()
    setup_env.add_all()
    (call,) = setup.calls
    assert call.endswith(f"-r {tmp_path / 'requirements-all.txt'}")
    assert setup() == [], "and the rest of the environment stays as it is"
    (tmp_path / "requirements-all.txt").write_text("b==2\n")
    setup.calls.clear()
    setup_env.add_all()
    assert len(setup.calls) == 1


def test_with_hashes_all_that_has_digests_is_installed_by_them_first(setup, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["setup_env.py", "--all", "--hashes"])
    (tmp_path / "requirements-all.txt").write_text("b==1\n")
    hashed, plain, _ = setup()[2:]
    assert hashed.endswith(f"--require-hashes --no-deps -r {tmp_path / 'requirements-hashes.txt'}")
    assert plain.endswith(f"-r {tmp_path / 'requirements.txt'}") and "--require-hashes" not in plain
    setup.calls.clear()
    setup_env.add_all()
    hashed, plain = setup.calls
    assert hashed.endswith(f"--require-hashes --no-deps -r {tmp_path / 'requirements-all-hashes.txt'}")


def test_a_moved_folder_gets_a_new_environment(setup, tmp_path):
    setup()
    (setup_env.VENV / "bin" / "jupyter").write_text("#!/somewhere/else/.venv/bin/python")
    setup_env.DONE.write_text(setup_env.DONE.read_text().replace(str(tmp_path), "/somewhere/else"))
    assert setup()[0].startswith("make ")
    assert not (setup_env.VENV / "bin" / "jupyter").exists()
    assert setup() == []


def test_an_interrupted_installation_is_started_over(setup, monkeypatch):
    run = setup_env.run

    def interrupted(*command, **how):
        run(*command)
        if "-r" in command:
            raise KeyboardInterrupt

    monkeypatch.setattr(setup_env, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        setup()
    monkeypatch.setattr(setup_env, "run", run)
    assert setup()[0].startswith("make ")
    assert setup() == []


@pytest.mark.parametrize("left", ["its own number", "1", "", "no number"])
def test_what_an_interrupted_set_up_left_blocks_no_other(setup, left):
    setup()
    # In a container, numbers of processes come again.
    setup_env.BUSY.write_text(str(os.getpid()) if left == "its own number" else left)
    assert setup()[0].startswith("make ")
    assert setup() == []


def own_venv() -> Path:
    """A .venv of somebody's own, with a file in it that is nobody else's."""
    setup_env.PYTHON.parent.mkdir(parents=True)
    setup_env.PYTHON.touch()
    (setup_env.VENV / "pyvenv.cfg").write_text(f"command = python -m venv --clear {setup_env.VENV}\n")
    mine = setup_env.VENV / "mine.txt"
    mine.write_text("mine")
    return mine


def test_an_environment_made_by_hand_is_completed_not_emptied(setup, tmp_path, monkeypatch):
    mine, run = own_venv(), setup_env.run
    settings = setup_env.VENV / "share/jupyter/lab/settings/overrides.json"
    settings.parent.mkdir(parents=True)
    settings.write_text("{}")

    def without_pip(*command, **how):
        setup_env.stopped()

    monkeypatch.setattr(setup_env, "run", without_pip)
    for _ in range(2):
        with pytest.raises(SystemExit, match=r"set-up did not make this \.venv and never empties it"):
            setup()
    monkeypatch.setattr(setup_env, "run", run)
    assert [" pip install " in call for call in setup()] == [True, True]
    assert setup() == []

    setup_env.DONE.write_text(setup_env.DONE.read_text().replace(str(tmp_path), "/somewhere/else"))
    assert [" pip install " in call for call in setup()] == [True, True], "a moved one is not emptied either"
    setup_env.PYTHON.unlink()
    with pytest.raises(SystemExit, match="was not made by set-up, so it is not emptied, and holds no Python"):
        setup()
    assert mine.read_text() == "mine" and settings.read_text() == "{}" and setup.calls == []


@pytest.mark.skipif(os.name == "nt", reason="not everybody may make a link on Windows")
def test_a_link_is_not_followed_to_empty_what_lies_behind(setup, tmp_path, monkeypatch):
    behind = tmp_path / "behind"
    behind.mkdir()
    (behind / "keep.txt").write_text("kept")
    setup_env.VENV.symlink_to(behind, target_is_directory=True)
    with pytest.raises(SystemExit, match="is a link, so it is not emptied, and holds no Python; move it away"):
        setup()
    assert setup.calls == [] and [path.name for path in behind.iterdir()] == ["keep.txt"]

    (behind / "made-by-set-up").touch()  # by that of another checkout
    (behind / "bin").mkdir()
    setup_env.PYTHON.touch()
    setup_env.BUSY.touch()
    assert [" pip install " in call for call in setup()] == [True, True]
    assert (behind / "keep.txt").read_text() == "kept"


def test_a_file_named_venv_gets_a_sentence_and_an_empty_folder_an_environment(setup):
    setup_env.VENV.write_text("mine")
    with pytest.raises(SystemExit, match="was not made by set-up"):
        setup()
    assert setup_env.VENV.read_text() == "mine"
    setup_env.VENV.unlink()
    setup_env.VENV.mkdir()
    assert setup()[0].startswith("make ")


def test_what_earlier_set_ups_made_goes_on_working(setup, tmp_path):
    setup()
    setup_env.MADE.unlink()
    cfg = setup_env.VENV / "pyvenv.cfg"
    cfg.write_text(f"version = 3.11.7\ncommand = /usr/bin/python3.11 -m venv --clear {setup_env.VENV}\n")
    assert setup() == [], "without a mark, and without a rebuild"
    setup_env.BUSY.write_text("123")
    before = cfg.read_text()
    assert setup()[0].startswith("make "), "known by how it was made, so it may be emptied"
    assert not cfg.exists()

    setup_env.MADE.unlink()
    cfg.write_text(before)
    (tmp_path / "requirements.txt").write_text("a==2\n")
    assert [" pip install " in call for call in setup()] == [True, True] and setup_env.MADE.exists()

    setup_env.MADE.unlink()
    cfg.write_text(before.replace("--clear ", ""))
    setup_env.BUSY.touch()
    assert [" pip install " in call for call in setup()] == [True, True], "made by hand, then completed"
    assert cfg.exists()


# A set-up of its own process, which stops in the middle of its work until the file "go" is there.
SLOW = """
import pathlib, sys, time, venv

sys.path.insert(0, "tools")
import setup_env


def create(folder, **how):
    setup_env.PYTHON.parent.mkdir()
    setup_env.PYTHON.touch()
    print("at work", flush=True)
    while not pathlib.Path("go").exists():
        time.sleep(0.02)


venv.create = create
if "pip" not in sys.argv:
    setup_env.run = lambda *command, **how: None
    setup_env.main()
else:
    code = "import os, time; print('pip is at work', flush=True)\\nwhile not os.path.exists('go'): time.sleep(0.02)"
    with setup_env.alone():
        setup_env.run(sys.executable, "-c", code)
"""


@pytest.fixture
def start(setup, tmp_path: Path):
    """Start set-ups in processes of their own, in the same empty project."""
    (tmp_path / "tools").mkdir()
    shutil.copy(setup_env.__file__, tmp_path / "tools")
    (tmp_path / "slow.py").write_text(SLOW)
    started = []

    def start(*command: str) -> subprocess.Popen:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen([sys.executable, *command], cwd=tmp_path, **pipes))
        return started[-1]

    yield start
    (tmp_path / "go").touch()
    for process in started:
        process.kill()
        process.communicate()


def test_of_two_set_ups_at_once_the_second_waits(start, tmp_path: Path):
    first = start("slow.py")
    assert first.stdout.readline().startswith("Making .venv") and first.stdout.readline() == "at work\n"
    second = start("slow.py")
    assert second.stdout.readline().startswith("Another set-up is at work on .venv: waiting for it.")
    (tmp_path / "go").touch()
    assert first.communicate()[0].startswith("Set up in") and first.returncode == 0
    assert second.communicate() == ("", "") and second.returncode == 0, "nothing is left for it to do"


def test_a_set_up_killed_at_work_is_taken_up_at_once(setup, start):
    killed = start("slow.py")
    assert killed.stdout.readline() and killed.stdout.readline() == "at work\n"
    killed.kill()
    killed.wait()
    (setup_env.VENV / "half").touch()
    assert setup()[0].startswith("make ") and not (setup_env.VENV / "half").exists()
    assert setup() == []


@pytest.mark.skipif(os.name == "nt", reason="on Windows a lock is not handed on to other processes")
def test_the_lock_lasts_as_long_as_pip_does(start, tmp_path: Path):
    killed = start("slow.py", "pip")
    assert killed.stdout.readline() == "pip is at work\n"
    killed.kill()
    killed.wait()
    with setup_env.LOCK.open("a") as file:
        assert not setup_env.taken(file)
        (tmp_path / "go").touch()
        for _ in range(600):
            if setup_env.taken(file):
                break
            time.sleep(0.1)
        else:
            pytest.fail("the lock outlives pip")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that stands for Ctrl-C to one process")
def test_ctrl_c_gets_a_sentence(setup, start):
    # Where the tests themselves run in the background, Ctrl-C may be ignored, and what they start inherits that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with setup_env.alone():
            waiting = start("tools/setup_env.py")
            assert waiting.stdout.readline().startswith("Another set-up")
            waiting.send_signal(signal.SIGINT)
            said = waiting.communicate(timeout=60)
    finally:
        signal.signal(signal.SIGINT, before)
    assert said == ("", "setup: interrupted; the same command starts it again.\n") and waiting.returncode == 1


def test_a_file_that_cannot_be_written_gets_a_sentence(start, tmp_path: Path):
    (tmp_path / ".venv.lock").mkdir()
    said = start("tools/setup_env.py").communicate()
    assert said[0] == "" and re.fullmatch(r"setup: .*\.venv\.lock.*; when that is mended, the same .*\n", said[1])


def test_whoever_waited_looks_again(setup, tmp_path, monkeypatch):
    (tmp_path / "requirements-all.txt").write_text("b==1\n")
    done = {
        name: json.dumps(setup_env.wanted("requirements.txt", name))
        for name in ("pyproject.toml", "requirements-all.txt")
    }

    @contextlib.contextmanager
    def after_another_set_up():
        setup_env.PYTHON.parent.mkdir(parents=True, exist_ok=True)
        setup_env.PYTHON.touch()
        setup_env.DONE.write_text(done["pyproject.toml"])
        setup_env.DONE_ALL.write_text(done["requirements-all.txt"])
        yield

    monkeypatch.setattr(setup_env, "alone", after_another_set_up)
    assert setup() == []
    setup_env.DONE_ALL.unlink()
    setup_env.add_all()
    assert setup.calls == []


def test_what_set_up_makes_has_pip(tmp_path, monkeypatch):
    """The real thing, but for what pip would fetch."""
    for name in ("VENV", "PYTHON", "BUSY", "MADE"):
        path = getattr(setup_env, name)
        monkeypatch.setattr(setup_env, name, tmp_path / path.relative_to(setup_env.ROOT))
    setup_env.make_venv()
    said = subprocess.run([setup_env.PYTHON, "-m", "pip", "--version"], capture_output=True, text=True)
    assert said.returncode == 0 and str(tmp_path) in said.stdout, said.stderr


def test_an_old_python_gets_a_sentence(setup, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, and .* is 3\.9; name another"):
        setup()
    monkeypatch.undo()
    ast.parse(Path(setup_env.__file__).read_text(), feature_version=(3, 6))  # an old Python can read that far


def test_a_python_without_venv_gets_a_sentence(setup, monkeypatch):
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit, match=r"lacks its module ensurepip; .*python3-venv"):
        setup()


# --------------------------------------------------------------------------------------------------------- make lab


def test_lab_options():
    def options(env, platform="linux", root_user=False, extra=()):
        return lab.options(ROOT / "work", env, platform, root_user, list(extra))

    bare = options({})
    assert "--ServerApp.ip=127.0.0.1" in bare and "--no-browser" in bare and "--allow-root" not in bare
    assert not any("token" in option or "password" in option for option in bare), "JupyterLab makes its own token"
    assert "--allow-root" in options({}, root_user=True)
    assert "--no-browser" not in options({"DISPLAY": ":0"})
    assert "--no-browser" not in options({}, "darwin")
    given = options({}, extra=["--no-browser", "--port=8899", "--ip=0.0.0.0"])
    assert given.count("--no-browser") == 1 and given[-2:] == ["--port=8899", "--ip=0.0.0.0"]
    assert "--ServerApp.ip=127.0.0.1" not in given, "whoever names an address gets that one"


def test_lab_opens_the_copy_of_lesson_00_to_work_in(tmp_path: Path):
    assert lab.first_lesson(tmp_path / "my work", tmp_path) == "/lab/tree/my%20work"
    assert lab.first_lesson(tmp_path, tmp_path) == "/lab"
    work.update(tmp_path / "my work", say=lambda line: None)
    (tmp_path / "my work" / "00_before.ipynb").touch()  # the learner's own
    assert lab.first_lesson(tmp_path / "my work", tmp_path) == "/lab/tree/my%20work/00_start_here.ipynb"
    assert work.root_of(ROOT / "work") == ROOT, "in a checkout all of it can be looked at"
    assert work.root_of(tmp_path / "my work") == tmp_path / "my work"


@pytest.fixture
def command(monkeypatch):
    """The command `lab`; it returns how JupyterLab would be started: the options, and the environment."""
    started = []

    def start(program, command, env):
        started.append((command, env))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", start)
    monkeypatch.setattr(lab, "subprocess", type("", (), {"call": lambda command, env: start("", command, env)}))

    def call(*argv: str):
        with pytest.raises(SystemExit) as end:
            lab.main(argv)
        assert end.value.code == 0
        return started.pop()

    return call


def test_the_command_lab_hands_on_what_jupyterlab_knows(command, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "mine")
    options, env = command("--folder", str(tmp_path / "w"), "--port", "8899", "--no-browser", "--ip=::1", "--debug")
    assert options[1:3] == ["-m", "jupyterlab"] and f"--ServerApp.root_dir={tmp_path / 'w'}" in options
    assert {"--port=8899", "--no-browser", "--ip=::1", "--debug"} <= set(options)
    assert env[paths.WORK] == str(tmp_path / "w"), "for what is stored beside the copies"
    assert env["JUPYTER_CONFIG_PATH"] == os.pathsep.join([str(lab.SETTINGS), "mine"])
    assert env["PATH"].startswith(str(Path(sys.executable).parent) + os.pathsep)


def test_what_the_lab_cannot_do_gets_one_sentence(tmp_path: Path, monkeypatch, capsys):
    def refused(*argv: str) -> str:
        assert lab.main(argv) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "name another folder" in refused("--folder", str(ROOT / "notebooks" / "exercises"))
    (tmp_path / "file").touch()
    assert re.search(r"was not brought up to date: .*file.*--folder", refused("--folder", str(tmp_path / "file")))

    def full(number):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        assert "No space left on device" in refused("--folder", str(tmp_path / "w"))
    monkeypatch.setitem(sys.modules, "jupyterlab", None)
    assert re.search(r"pip install jupyterlab\. The lessons are in .*w\.$", refused("--folder", str(tmp_path / "w")))
    assert (tmp_path / "w" / "00_start_here.ipynb").is_file()


def test_nbgraders_buttons_are_off_in_this_lab_only():
    code = "from jupyterlab_server.config import get_static_page_config as c; print(c().get('disabledExtensions', {}))"

    def disabled(env: dict[str, str]) -> dict[str, bool]:
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return ast.literal_eval(done.stdout)

    here = {name: value for name, value in os.environ.items() if name != "JUPYTER_CONFIG_PATH"}
    assert disabled(lab.environment(ROOT / "work", here))["@jupyter/nbgrader"]
    assert not disabled(here).get("@jupyter/nbgrader")


def test_a_closed_home_folder_is_not_needed(tmp_path: Path, monkeypatch):
    assert lab.writable_home({"HOME": str(tmp_path)}) == {}
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    (tmp_path / "venv").mkdir()
    moved = lab.writable_home({"HOME": str(tmp_path / "missing")})
    assert {"HOME", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"} <= set(moved)
    assert all(Path(folder).is_dir() and str(tmp_path / "venv") in folder for folder in moved.values())


def test_lab_answers_on_the_loopback_address_with_its_token(tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")}
    env |= {"HOME": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path / "run")}
    log = tmp_path / "log"
    command = [sys.executable, str(ROOT / "tools" / "lab.py"), f"--folder={tmp_path / 'work'}"]
    command += ["--no-browser", f"--port={port}", "--port-retries=0"]
    with log.open("w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, env=env, cwd=ROOT)
    try:
        token, status = None, None
        for _ in range(600):
            found = re.search(rf"http://127\.0\.0\.1:{port}/lab/tree/00_\S*token=(\w+)", log.read_text())
            if found or server.poll() is not None:
                token = found and found.group(1)
                break
            time.sleep(0.1)
        assert token, log.read_text()[-3000:]
        address = f"http://127.0.0.1:{port}/api/status"
        for _ in range(300):  # the address is printed a moment before the server listens
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(address, timeout=30)
        asked = urllib.request.Request(address, headers={"Authorization": f"token {token}"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            status = answer.status
        assert status == 200
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/lab?token={token}", timeout=30) as page:
            assert re.search(r'"disabledExtensions": *\[[^]]*"@jupyter/nbgrader"', page.read().decode())
        assert "nbgrader" not in log.read_text(), "nor does its server side say that it misses a course"
    finally:
        server.terminate()
        server.wait(30)


# --------------------------------------------------------------------------------------------------- make, ci, nbval


def make(*arguments: str) -> str:
    done = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_make
def test_make_help_lists_every_target():
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M).group(1).split()
    listed = re.findall(r"^make ([\w-]+) +\S", make("help"), re.M)
    assert sorted(listed) == sorted(phony)


@needs_make
def test_make_test_runs_the_checks_the_tests_and_every_lesson():
    commands = make("-n", "test")
    assert re.findall(r"ruff check \.|ruff format --check \.|mypy$|lint-imports$|pytest tests", commands, re.M) == [
        "ruff check .",
        "ruff format --check .",
        "mypy",
        "lint-imports",
        "pytest tests",
    ]
    sources = ROOT / "notebooks" / "source"
    lessons = [*sources.glob("[0-9][0-9]_*.py"), *sources.glob("[A-Z]_*.py")]
    sanitize = "--nbval-sanitize-with tests/nbval_sanitize.cfg"
    for option in ("--nbval ", "--nbval-current-env", sanitize, "--dist loadscope"):
        assert option in commands
    for source in lessons:
        assert f"notebooks/{source.stem}.ipynb" in commands
    assert "--nbval-lax" not in commands and "exercises" not in commands


@needs_make
def test_make_test_all_adds_its_tools_and_runs_its_own_folder():
    commands = make("-n", "test-all")
    assert "setup_env.py --all" in commands and "pytest tests/all" in commands
    assert "requirements-all" not in make("-n", "lab") + make("-n", "test")
    assert "tests/all" in SETTINGS["tool"]["pytest"]["ini_options"]["norecursedirs"], "make test leaves it alone"


@needs_make
def test_make_passes_options_on():
    options = "--no-browser --port=8899"
    assert options in make("-n", "lab", f"ARGS={options}")
    assert "-k merge" in make("-n", "test", "ARGS=-k merge")


def test_make_clean_spares_the_learners_files():
    recipe = (ROOT / "Makefile").read_text().split("clean:")[1]
    assert "notebooks" not in recipe.split("##", 1)[1].split("\n", 1)[1] and "data" not in recipe.split("\n", 1)[1]
    assert "work" not in recipe.split("\n", 1)[1]
    assert "work/" in (ROOT / ".gitignore").read_text().splitlines()


def test_ci_calls_both_test_commands():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK) or os.name == "nt"
    commands = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert commands[-2:] == ["make test", "VTM_TEST_ALL=1 make test-all"]


def test_the_sanitize_file_is_read_whole():
    from nbval.plugin import get_sanitize_patterns

    text = (ROOT / "tests" / "nbval_sanitize.cfg").read_text()
    patterns = dict(get_sanitize_patterns(text))
    assert len(patterns) == text.count("regex:") == 4, "a blank line inside a pair would lose it"
    line = "<Figure size 640x480 with 1 Axes> <x at 0x7f0012345678> 12 tokens, 0.93, 3.1 ms, about 2 s"
    line += ' <video src="data:video/mp4;base64,AAAAIG0x7f001s+/8ms=" width="640">'
    for pattern, replacement in patterns.items():
        line = re.sub(pattern, replacement, line)
    told = "FIGURE <x at ADDRESS> 12 tokens, 0.93, TIME, about TIME"
    assert line == f'{told} <video src="ENCODED" width="640">'


# ------------------------------------------------------------------------------------------------------- torchvision


def test_timm_can_be_imported_whatever_builds_pip_chose():
    code = (
        "import vtm_lesson.hosts.torchvision_repair as repair, timm, torchvision;"
        "assert (repair._declared is not None) == repair.mismatched(), 'repaired where there was no need';"
        "print(timm.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == importlib.metadata.version("timm")


@pytest.mark.parametrize(
    ("cuda", "torchvision", "wrong"),
    [
        (None, "0.28.0+cu130", True),
        (None, "0.28.0+cpu", False),
        (None, "0.28.0", False),
        ("13.0", "0.28.0+cu130", False),
    ],
)
def test_the_repair_is_for_one_combination_only(tmp_path, monkeypatch, cuda, torchvision, wrong):
    import torch

    from vtm_lesson.hosts import torchvision_repair

    (tmp_path / "version.py").write_text(f"__version__ = '{torchvision}'\n")
    found = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None, raising=False)
    assert torchvision_repair.mismatched() is wrong
