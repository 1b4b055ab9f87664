"""`make cuda` and `make wheels-for-cuda`, without a GPU, without a network, with wheels made by hand."""

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import types
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import compatible_tags, cpython_tags, sys_tags
from packaging.utils import parse_wheel_filename

import on_cuda
import wheels_for_cuda

ROOT = Path(on_cuda.__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PROJECT_OF_STUBS = """\
[project]
dependencies = ["torch>=2.4", "stub_one>=1.5,<3"]
[project.optional-dependencies]
kernels = ["triton>=3.1; sys_platform == 'linux'"]
test = ["stub-tool>=1"]
"""
TORCH = """\
__version__ = "2.11.0+cu130"
class cuda:
    is_available = staticmethod(lambda: SEEN)
class version:
    cuda = "13.0"
"""
COURSE = """\
import os, sys, stub_one
print("argv", sys.argv[1:], "stub", stub_one.VERSION, "in", stub_one.__file__)
print("at work in", os.getcwd())
"""


def wheel(folder: Path, name: str, version: str = "2.0", tag: str = "py3-none-any", **files: str) -> Path:
    """A wheel of one module; more files by their names, "__" for a slash."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        packed.writestr(f"{name}-{version}.dist-info/METADATA", f"Name: {name}\nVersion: {version}\n")
        for file, text in files.items():
            packed.writestr(f"{name}-{version}.data/{file.replace('__', '/')}.py", text)
    return path


def row(path: Path, **needs: str) -> dict:
    return {"wheel": path.name, "needs": {name.replace("_", "-"): ranges for name, ranges in needs.items()}}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty project for both tools; `has` says what the machine has: {"av": "14.1"}."""
    for tool in (on_cuda, wheels_for_cuda):
        monkeypatch.setattr(tool, "ROOT", tmp_path)
        monkeypatch.setattr(tool, "WHEELS", tmp_path / "wheels-for-cuda")
    monkeypatch.setattr(on_cuda, "SITE", tmp_path / ".cuda-site")
    has: dict[str, str] = {}
    monkeypatch.setattr(on_cuda, "version_here", has.get)
    return types.SimpleNamespace(root=tmp_path, wheels=tmp_path / "wheels-for-cuda", has=has)


# ---------------------------------------------------------------------------------------------- what the run needs


def test_every_dependency_is_wanted_and_of_the_extras_what_the_list_says():
    texts = list(PROJECT["dependencies"])
    for extra, names in on_cuda.PARTS.items():
        of_extra = {Requirement(text).name: text for text in PROJECT["optional-dependencies"][extra]}
        texts += [of_extra[name] for name in names]  # KeyError: pyproject.toml no longer has that name
    expected = {on_cuda.canonical(r.name): r.specifier for r in map(Requirement, texts)}
    assert {name: SpecifierSet(ranges) for name, ranges in on_cuda.wanted().items()} == expected


@pytest.mark.parametrize("ranges", [">=2.4", ">2.4", "<2.4", "<=2.4.0", "==2.4", "==2.4.*", "!=2.4.*", "!=2.4", ""])
@pytest.mark.parametrize("more", ["", ",<3", ", ~=2.4", ",~=2.4.1"])
def test_ranges_mean_what_pip_means(ranges, more):
    both = (ranges + more).strip(", ")
    for version in ("2", "2.3.9", "2.4", "2.4.0", "2.4.1", "2.4.10", "2.5", "2.11.0+cu130", "3.0.post1", "10.1"):
        assert on_cuda.allows(both, version) == SpecifierSet(both).contains(version), f"{version} in {both!r}"


def test_packages_are_found_by_any_spelling_and_not_in_our_own_folder(tmp_path, monkeypatch):
    own, machine = tmp_path / ".cuda-site" / "0a1b", tmp_path / "machine"
    for folder, name in ((own, "stub_ours-1.0"), (machine, "Stub_Theirs-2.0")):
        (folder / f"{name}.dist-info").mkdir(parents=True)
        text = f"Name: {name.split('-')[0]}\nVersion: {name.split('-')[1]}\n"
        (folder / f"{name}.dist-info" / "METADATA").write_text(text)
    monkeypatch.setattr(on_cuda, "SITE", tmp_path / ".cuda-site")
    monkeypatch.setattr(sys, "path", [str(own), str(machine)])
    assert on_cuda.version_here("stub-theirs") == "2.0"
    assert on_cuda.version_here("stub-ours") is None, "what an earlier run unpacked is not the machine's"


def test_only_what_is_missing_is_chosen_and_what_that_needs(place):
    wheels = {name: {"wheel": f"{name}-2.0-py3-none-any.whl", "needs": {}} for name in ("a", "b", "c", "d", "e", "f")}
    wheels["a"]["needs"] = {"d": ">=1", "packaging": ">=22"}
    wheels["b"]["needs"] = {"e": ">=1"}  # b is there, so nobody asks for e
    wheels["d"]["needs"] = {"a": "", "f": ">=2"}  # a circle, and a package that is there and too old
    place.has.update({"b": "1.4+cu130", "c": "1.0", "packaging": "26.1", "f": "1.9"})
    lacks = on_cuda.missing({"a": ">=1", "b": ">=1.2", "c": ">=1.5"}, wheels)
    assert lacks == {"a": ("", ">=1"), "c": ("1.0", ">=1.5"), "d": ("", ">=1"), "f": ("1.9", ">=2")}


# ------------------------------------------------------------------------------------------------------- sentences


def said(lacks: dict, wheels: dict) -> str:
    """The one sentence with which `chosen` ends."""
    with pytest.raises(SystemExit) as stopped:
        on_cuda.chosen(lacks, wheels)
    assert isinstance(stopped.value.code, str) and "\n" not in stopped.value.code
    return stopped.value.code


def test_missing_packages_and_no_folder_of_wheels(place):
    text = said({"av": ("", ">=14"), "einops": ("0.1", ">=0.7")}, {})
    assert "lacks av, einops (0.1 is here, needed is >=0.7), and there is no finished folder of wheels" in text
    assert "run make wheels-for-cuda on a machine with internet" in text and str(place.wheels) in text
    assert on_cuda.chosen({}, {}) == [], "where nothing is missing, nobody asks for wheels"


def test_a_folder_of_wheels_that_does_not_do(place):
    av = wheel(place.wheels, "av")
    (place.wheels / on_cuda.LIST).write_text(json.dumps({"av": row(av)}))
    rows = on_cuda.listed()
    assert on_cuda.chosen({"av": ("", ">=1")}, rows) == [av]
    assert "lacks numpy (1.2 is here, needed is >=1.26), and the wheels do not hold that" in said(
        {"av": ("", ">=1"), "numpy": ("1.2", ">=1.26")}, rows
    )
    assert "lacks av, and the wheels do not hold that" in said({"av": ("", ">=3")}, rows), "a wheel that is too old"
    av.unlink()
    assert f"{place.wheels} is not complete, it lacks {av.name}" in said({"av": ("", ">=1")}, rows)
    (place.wheels / on_cuda.LIST).write_text('{"av": ')
    with pytest.raises(SystemExit, match=r"needed\.json is damaged; copy the folder again"):
        on_cuda.listed()


def test_a_wheel_for_another_python(place):
    av = wheel(place.wheels, "av", tag="cp39-cp39-manylinux_2_28_x86_64")
    (place.wheels / on_cuda.LIST).write_text(json.dumps({"av": row(av)}))
    text = said({"av": ("", ">=1")}, on_cuda.listed())
    assert f"{av.name} is made for another Python or machine than this one (Python {sys.version.split()[0]}" in text
    assert "make cuda PYTHON=/path/to/python3" in text


@pytest.mark.parametrize(
    "tag",
    [
        "py3-none-any", "py2.py3-none-any", "py311-none-any", "py312-none-any", "cp312-cp312-manylinux_2_17_x86_64",
        "cp311-abi3-manylinux_2_28_x86_64", "cp36-abi3-manylinux2010_x86_64.manylinux_2_12_x86_64", "py2-none-any",
        "cp311-cp311-manylinux_2_17_x86_64", "cp313-abi3-manylinux_2_17_x86_64", "cp312-cp312-win_amd64",
        "cp312-cp312-manylinux_2_17_aarch64", "cp312-cp312-macosx_11_0_x86_64", "cp312-cp312-linux_x86_64",
        "py3-none-manylinux2014_x86_64",
    ],
)  # fmt: skip
def test_wheels_fit_where_pip_says_so(tag):
    systems = ["manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux_2_12_x86_64", "manylinux2014_x86_64"]
    systems += ["linux_x86_64"]
    known = {*cpython_tags((3, 12), ["cp312"], systems), *compatible_tags((3, 12), "cp312", systems)}
    name = f"stub-1.0-{tag}.whl"
    assert on_cuda.fits(name, (3, 12), "x86_64") == bool(parse_wheel_filename(name)[3] & known)


def test_wheels_fit_this_python():
    best = next(iter(sys_tags()))
    if "linux" in best.platform:
        assert on_cuda.fits(f"stub-1.0-{best}.whl")
    assert on_cuda.fits(f"stub-1.0-py3{sys.version_info[1]}-none-any.whl")
    assert not on_cuda.fits(f"stub-1.0-py3{sys.version_info[1] + 1}-none-any.whl")


def fake_torch(version: str = "2.11.0+cu130", cuda: str | None = "13.0", seen: bool = False) -> types.SimpleNamespace:
    parts = {"version": types.SimpleNamespace(cuda=cuda), "cuda": types.SimpleNamespace(is_available=lambda: seen)}
    return types.SimpleNamespace(__version__=version, **parts)


@pytest.mark.parametrize(
    ("torch", "device", "sentence"),
    [
        (None, "cpu", "has no torch; name another Python with make cuda PYTHON=/path/to/python3"),
        (fake_torch("2.3.1"), "cpu", r"is 2\.3\.1, and the course needs >=2\.4; name another Python"),
        (fake_torch(), "cuda", r"torch 2\.11\.0\+cu130 of .* sees no GPU here; .*ARGS=\"--device cpu --quick"),
        (fake_torch("2.11.0+cpu", None), "cuda", r"torch 2\.11\.0\+cpu of .* is a build without CUDA; "),
        (fake_torch(), "cpu", None),
        (fake_torch(seen=True), "cuda", None),
    ],
)
def test_torch_and_gpu_are_asked_before_anything_is_unpacked(monkeypatch, torch, device, sentence):
    monkeypatch.setitem(sys.modules, "torch", torch)
    if sentence is None:
        on_cuda.check_torch(">=2.4", device)
        return
    with pytest.raises(SystemExit, match=sentence):
        on_cuda.check_torch(">=2.4", device)


def test_an_old_python_gets_a_sentence(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, and .* is 3\.10; name another"):
        on_cuda.main([])
    monkeypatch.undo()
    tree = ast.parse(Path(on_cuda.__file__).read_text(), feature_version=(3, 6))  # an old Python can read that far
    names = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names
    assert ".".join(map(str, on_cuda.OLDEST)) == PROJECT["requires-python"].removeprefix(">=")


# ---------------------------------------------------------------------------------------------------------- unpack


def test_wheels_are_unpacked_once(place):
    paths = [
        wheel(place.wheels, "one", purelib__deep__inner="x = 1\n", scripts__command="never\n"),
        wheel(place.wheels, "two"),
    ]
    site = on_cuda.unpacked(paths)
    assert (site / "one.py").is_file() and (site / "two-2.0.dist-info").is_dir()
    assert (site / "deep/inner.py").read_text() == "x = 1\n" and not list(site.glob("*.data"))
    (site / "one.py").write_text("touched\n")
    assert on_cuda.unpacked(paths) == site and (site / "one.py").read_text() == "touched\n", "made once"
    other = on_cuda.unpacked(paths[1:])
    assert set((place.root / ".cuda-site").iterdir()) == {site, other}, "a run at work keeps the folder it has"


def test_a_folder_half_made_is_never_taken(place):
    paths = [wheel(place.wheels, "one"), wheel(place.wheels, "two")]
    whole = paths[1].read_bytes()
    paths[1].write_bytes(whole[:40] + bytes(len(whole) - 40))  # the size is right, and the contents are spoilt
    with pytest.raises(SystemExit, match=r"two-2\.0-py3-none-any\.whl cannot be unpacked \(.*; copy it again, or make"):
        on_cuda.unpacked(paths)
    assert not list((place.root / ".cuda-site").iterdir())
    paths[1].write_bytes(whole)
    assert (on_cuda.unpacked(paths) / "two.py").is_file()


# ------------------------------------------------------------------------------------------------------ make cuda


@pytest.fixture
def project(tmp_path):
    """A project of stubs, and a function that runs tools/on_cuda.py in it, in a process of its own."""
    root, machine = tmp_path / "project", tmp_path / "machine"
    (root / "tools").mkdir(parents=True)
    (root / "vtm_lesson").mkdir()
    shutil.copy(on_cuda.__file__, root / "tools")
    (root / "pyproject.toml").write_text(PROJECT_OF_STUBS)
    (root / "vtm_lesson" / "__main__.py").write_text(COURSE)
    (machine / "triton-3.6.dist-info").mkdir(parents=True)
    (machine / "triton-3.6.dist-info" / "METADATA").write_text("Name: triton\nVersion: 3.6\n")
    stub = wheel(root / "wheels-for-cuda", "stub_one", "2.0")
    (root / "wheels-for-cuda" / "needed.json").write_text(json.dumps({"stub-one": row(stub)}))

    def run(*arguments: str, seen: bool = True) -> tuple[int, str, str]:
        (machine / "torch.py").write_text(f"SEEN = {seen}\n{TORCH}")
        command = [sys.executable, str(root / "tools" / "on_cuda.py"), *arguments]
        env = os.environ | {"PYTHONPATH": str(machine), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return types.SimpleNamespace(root=root, machine=machine, run=run)


def put(machine: Path, version: str) -> None:
    """Install stub_one on the machine."""
    for old in machine.glob("stub_one*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    with zipfile.ZipFile(wheel(machine / "shelf", "stub_one", version)) as packed:
        packed.extractall(machine)


def test_one_command_unpacks_what_is_missing_and_hands_arguments_on(project):
    before = set(project.machine.iterdir())
    code, out, err = project.run("--piece", "a b", "--out", "x")
    assert code == 0, err
    assert "Unpacking 1 wheels" in out
    assert "argv ['bench', '--device', 'cuda', '--all', '--piece', 'a b', '--out', 'x'] stub 2.0 in" in out
    assert str(project.root / ".cuda-site") in out and f"at work in {project.root}\n" in out
    code, again, _ = project.run("--piece", "a b", "--out", "x")
    assert code == 0 and again == out.split("\n", 1)[1], "the second call unpacks nothing"
    assert set(project.machine.iterdir()) == before | {project.machine / "torch.py"}, "the machine's own stays as it is"


def test_what_the_machine_has_serves_and_what_is_too_old_there_does_not(project):
    put(project.machine, "1.7")
    code, out, _ = project.run()
    assert code == 0 and "stub 1.7 in" in out and not (project.root / ".cuda-site").exists()
    put(project.machine, "1.4")
    code, out, _ = project.run()
    assert code == 0 and "stub 2.0 in" in out, "the wheel goes before the old version"


def test_without_a_gpu_there_is_a_rehearsal(project):
    code, out, err = project.run(seen=False)
    assert code == 1 and not out and "sees no GPU here" in err and err.count("\n") == 1
    assert not (project.root / ".cuda-site").exists()
    for device in (["--device", "cpu"], ["--device=cpu"]):
        code, out, err = project.run("--quick", *device, seen=False)
        assert code == 0, err
        assert f"argv {['bench', '--all', '--quick', *device]}" in out


def test_triton_is_asked_for_where_there_is_a_gpu(place, monkeypatch):
    (place.root / "pyproject.toml").write_text(PROJECT_OF_STUBS)
    place.has["stub-one"] = "2.0"
    ran = []
    monkeypatch.setattr(os, "execve", lambda *what: ran.append(what))
    monkeypatch.setitem(sys.modules, "torch", fake_torch(seen=True))
    monkeypatch.chdir(place.root)
    with pytest.raises(SystemExit, match="this machine lacks triton, and there is no finished folder"):
        on_cuda.main([])
    assert not ran
    on_cuda.main(["--device", "cpu"])  # builds without CUDA bring none
    ((program, command, env),) = ran
    assert program == command[0] == sys.executable and command[-2:] == ["--device", "cpu"]
    assert env["PYTHONPATH"].split(os.pathsep)[0] == str(place.root), "nothing was unpacked"


@pytest.mark.parametrize(
    ("arguments", "device"),
    [([], None), (["--device"], ""), (["--out", "cpu"], None), (["--device", "cpu", "--device=cuda"], "cuda")],
)
def test_the_device_is_read_from_the_arguments(arguments, device):
    assert (on_cuda.device_of(arguments) or None) == (device or None)


def make(*arguments: str, **env: str) -> str:
    if shutil.which("make") is None:
        pytest.skip("make is not installed here")
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHON", "MAKEFLAGS", "MAKEOVERRIDES")}
    command = ["make", "-n", *arguments]
    return subprocess.run(command, cwd=ROOT, env=clean | env, capture_output=True, text=True, check=True).stdout


def test_make_cuda_takes_the_first_python3_unless_one_is_given():
    assert "exec python3 tools/on_cuda.py --piece x --quick\n" in make("cuda", "ARGS=--piece x --quick")
    assert "exec /a/python tools/on_cuda.py" in make("cuda", "PYTHON=/a/python")
    assert "exec /a/python tools/on_cuda.py" in make("cuda", PYTHON="/a/python")
    assert "setup_env" not in make("cuda"), "a machine without internet has no .venv"
    assert "setup_env.py" in make("wheels-for-cuda"), "the requirements are read from .venv"


def test_no_file_of_ours_hides_nvidias_bindings():
    """PyTorch imports the package `cuda`; these tests and `make cuda` have tools/ in front on the path."""
    assert not (ROOT / "tools" / "cuda.py").exists()


def test_git_leaves_both_folders_alone():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"wheels-for-cuda/", ".cuda-site/"} <= set(ignored)
    assert on_cuda.WHEELS.parent == on_cuda.SITE.parent == ROOT
    assert {f"{on_cuda.WHEELS.name}/", f"{on_cuda.SITE.name}/"} <= set(ignored)


# ------------------------------------------------------------------------------------------- make wheels-for-cuda


def test_the_walk_stops_at_what_the_machine_has(monkeypatch):
    requires = {
        "stub-a": ["stub-b>=1,<3", "torch>=2; python_version >= '3.12'", "stub-c[more]>=1", "debugpy>=1"],
        "stub-b": ["stub-old; python_version < '3.12'", "stub-win; sys_platform == 'win32'", "stub_A", "Numpy>=1.25"],
        "stub-c": ["stub-more>=4; extra == 'more'", "stub-less; extra == 'less'"],
        "stub-more": None,
    }
    asked = []

    def of(name: str) -> list[str] | None:
        asked.append(name)
        return requires[name]  # KeyError for torch, numpy and what the target does not need

    monkeypatch.setattr(importlib.metadata, "requires", of)
    assert wheels_for_cuda.walk({"stub-a": ">=1", "torch": ">=2.4"}) == {
        "stub-a": {"stub-b": "<3,>=1", "torch": ">=2", "stub-c": ">=1"},
        "stub-b": {"stub-a": "", "numpy": ">=1.25"},
        "stub-c": {"stub-more": ">=4"},
        "stub-more": {},
    }
    assert wheels_for_cuda.THERE.isdisjoint(asked)


def test_the_walk_through_the_real_requirements():
    wants = on_cuda.wanted()
    found = wheels_for_cuda.walk(wants)
    assert {"av", "ipython", "pyzmq", "matplotlib", "nbval", "traitlets", "pluggy"} <= set(found)
    assert set(found).isdisjoint(wheels_for_cuda.THERE | set(wheels_for_cuda.LEFT_OUT))
    assert set(found) <= set(wheels_for_cuda.pins())
    inner = {name for needs in found.values() for name in needs}
    assert set(wants) | inner >= wheels_for_cuda.THERE, "what nobody asks for need not be named"
    assert (set(wants) | inner) - wheels_for_cuda.THERE == set(found)
    asked = {on_cuda.canonical(Requirement(t).name) for n in found for t in importlib.metadata.requires(n) or []}
    assert set(wheels_for_cuda.LEFT_OUT) <= asked, "what nobody asks for need not be left out"
    for ranges in [*wants.values(), *(ranges for needs in found.values() for ranges in needs.values())]:
        assert on_cuda.allows(ranges, "1.0") in (True, False), "every range can be read without pip"


def test_a_package_that_is_not_installed_or_not_pinned_gets_a_sentence(monkeypatch):
    with pytest.raises(SystemExit, match=r"stub-nowhere is not installed in this Python .*: make env"):
        wheels_for_cuda.walk({"stub-nowhere": ""})
    monkeypatch.setattr(wheels_for_cuda, "walk", lambda wants: {"stub-new": {}})
    with pytest.raises(SystemExit, match=r"requirements\.txt has no version of stub-new: make lock"):
        wheels_for_cuda.main()


@pytest.fixture
def index(place, monkeypatch):
    """pip, played by a function: it has plain wheels of some packages and compiled ones of others."""
    played = types.SimpleNamespace(plain={"one", "two"}, compiled={"two", "three"}, **vars(place))
    played.asked, played.interrupt = [], False

    def download(what: str, kind: tuple[str, ...], folder: Path) -> str:
        name, _, version = what.partition("==")
        plain = "any" in kind
        played.asked.append((name, "plain" if plain else "compiled"))
        if name not in (played.plain if plain else played.compiled):
            return "ERROR: No matching distribution found"
        wheel(folder, name, version, "py3-none-any" if plain else "cp312-cp312-manylinux_2_28_x86_64")
        if played.interrupt:
            raise KeyboardInterrupt
        return ""

    monkeypatch.setattr(wheels_for_cuda, "download", download)
    return played


def test_wheels_are_fetched_once_plain_ones_first_and_old_ones_go(index, capsys):
    found = wheels_for_cuda.collect({"one": "1.0", "three": "3.0", "two": "2.0"})
    assert index.asked == [("one", "plain"), ("three", "plain"), ("three", "compiled"), ("two", "plain")]
    names = ["one-1.0-py3-none-any.whl", "three-3.0-cp312-cp312-manylinux_2_28_x86_64.whl", "two-2.0-py3-none-any.whl"]
    assert sorted(path.name for path in index.wheels.iterdir()) == names == sorted(p.name for p in found.values())
    assert capsys.readouterr().out.startswith("one 1.0 0.0 MiB\n")
    index.asked.clear()
    assert wheels_for_cuda.collect({"one": "1.0", "three": "3.0", "two": "2.0"}) == found
    assert not index.asked, "what is there is not fetched again"
    wheels_for_cuda.collect({"one": "1.1", "two": "2.0"})
    assert index.asked == [("one", "plain")]
    assert sorted(path.name for path in index.wheels.iterdir()) == ["one-1.1-py3-none-any.whl", names[2]]


def test_an_interrupted_collection_goes_on(index):
    wheels_for_cuda.collect({"one": "1.0"})
    index.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        wheels_for_cuda.collect({"one": "1.0", "three": "3.0"})
    assert [path.name for path in index.wheels.glob("*.whl")] == ["one-1.0-py3-none-any.whl"], "nothing half done"
    index.interrupt = False
    index.asked.clear()
    wheels_for_cuda.collect({"one": "1.0", "two": "2.0"})  # and meanwhile the pins have changed
    assert index.asked == [("two", "plain")]
    assert len(list(index.wheels.iterdir())) == 2, "what the interruption left behind is gone"


def test_a_wheel_that_pip_does_not_have_gets_a_sentence(index):
    with pytest.raises(SystemExit, match=r"no wheel of four 4\.0 for Python 3\.12 on Linux, x86-64: ERROR: No"):
        wheels_for_cuda.collect({"four": "4.0"})


def test_pip_is_asked_for_one_wheel_and_for_no_index(monkeypatch, tmp_path):
    calls = []

    def run(command, **how):
        calls.append(command)
        return subprocess.CompletedProcess(command, len(calls) - 1, "", "first\nlast line\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert wheels_for_cuda.download("av==1", wheels_for_cuda.COMPILED, tmp_path) == ""
    assert wheels_for_cuda.download("av==1", wheels_for_cuda.PURE, tmp_path) == "last line"
    for command in calls:
        assert {"--no-deps", "--only-binary=:all:", "av==1"} <= set(command)
        assert command[command.index("--python-version") + 1] == wheels_for_cuda.PYTHON
        assert not any("index" in word or "://" in word for word in command), "pip's own settings say where from"
    for system in ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"):
        assert system in calls[0] and system not in calls[1]


def test_large_wheels_are_packed_smaller_and_hold_the_same(index, monkeypatch):
    rows = "".join(f"row {i * i % 977} of {i}\n" for i in range(20000))
    small = wheel(index.root, "one", purelib__table=rows).stat().st_size
    monkeypatch.setattr(wheels_for_cuda, "LARGE", 1000)
    monkeypatch.setattr(
        wheels_for_cuda, "download", lambda what, kind, folder: wheel(folder, "one", purelib__table=rows) and ""
    )
    path = wheels_for_cuda.collect({"one": "2.0"})["one"]
    assert path.stat().st_size < 0.9 * small
    on_cuda.unpack(path, index.root / "site")
    assert (index.root / "site/table.py").read_text() == rows and (index.root / "site/one.py").is_file()
    with zipfile.ZipFile(path) as packed:
        assert {entry.compress_type for entry in packed.infolist()} == {zipfile.ZIP_LZMA}
        assert packed.testzip() is None


def test_the_size_of_both_together_is_told_and_limited(capsys, monkeypatch):
    wheels_for_cuda.report(40 * 2**20, 8 * 2**20)
    assert capsys.readouterr().out == "wheels 40.0 MiB, checkout 8.0 MiB, together 48.0 MiB of at most 60.\n"
    wheels_for_cuda.report(52 * 2**20, 8 * 2**20)
    with pytest.raises(SystemExit, match=r"wheels 52\.0 MiB, checkout 8\.1 MiB, and together they may have 60"):
        wheels_for_cuda.report(52 * 2**20, 8 * 2**20 + 60000)


def test_the_checkout_is_what_git_follows(place, capsys):
    if shutil.which("git") is None:
        pytest.skip("git is not installed here")
    assert wheels_for_cuda.checkout_size() == 0 and "is not counted" in capsys.readouterr().out
    (place.root / "in git ä.txt").write_bytes(bytes(1000))
    (place.root / "gone.txt").write_bytes(bytes(10))
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *command], cwd=place.root, check=True, capture_output=True)
    (place.root / "gone.txt").unlink()
    (place.root / "not in git.txt").write_bytes(bytes(77))
    assert wheels_for_cuda.checkout_size() == 1000


def test_what_one_tool_collects_the_other_one_takes(index, monkeypatch, capsys):
    (index.root / "pyproject.toml").write_text(PROJECT_OF_STUBS.replace("stub_one>=1.5,<3", "One>=1.0"))
    (index.root / "requirements.txt").write_text("# pins\none==1.0\nThree==3.0\ntwo==2.0\n")
    requires = {"one": ["three>=2", "numpy>=1"], "three": ["two"], "two": []}
    monkeypatch.setattr(importlib.metadata, "requires", requires.__getitem__)
    wheels_for_cuda.main()
    assert re.search(r"^wheels 0\.0 MiB, checkout 0\.0 MiB, together 0\.0 MiB", capsys.readouterr().out, re.M)
    index.has.update({"torch": "2.11", "triton": "3.6", "numpy": "2.5", "two": "9.9"})
    rows = on_cuda.listed()
    assert rows["one"]["needs"] == {"numpy": ">=1", "three": ">=2"}
    lacks = on_cuda.missing(on_cuda.wanted(), rows)
    assert set(lacks) == {"one", "three"}
    monkeypatch.setattr(on_cuda, "fits", lambda name: True)
    assert [path.name.split("-")[0] for path in on_cuda.chosen(lacks, rows)] == ["one", "three"]
