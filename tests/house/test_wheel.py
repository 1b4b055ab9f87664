"""The package as others install it: built without a network, and used where no checkout is."""

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOLDERS = [".ci", ".devcontainer", ".github", "data", "notebooks", "tests", "tools", "vtm_lesson"]
TASKS = "## Five tasks, five lines each\n"
# What a learner may have lying about, and what must stay at home.
OF_A_LEARNER = [
    "notebooks/mine.ipynb",
    "notebooks/00_start_here.new.ipynb",
    "notebooks/00_start_here.new2.ipynb",
    "notebooks/.ipynb_checkpoints/00_start_here-checkpoint.ipynb",
    "notebooks/exercises/mine.ipynb",
    "notebooks/exercises/00_start_here.new.ipynb",
    "data/films/half.mp4.part",
    "data/weights/epoch3.pt",
    "runs/compare/job.json",
]


def without_network() -> list[str]:
    """The command that runs another one with no network at all, where the system has one and allows it."""
    command = ["unshare", "--map-root-user", "--net"]
    try:
        return command if subprocess.run([*command, "true"], capture_output=True).returncode == 0 else []
    except OSError:
        return []


def run(*command, cwd: Path) -> str:
    """What a command prints, away from the network and from this checkout. Its failure is the test's."""
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    env |= {"PIP_NO_INDEX": "1", "MPLBACKEND": "agg", "VTM_LESSON_CACHE": str(cwd / "cache")}
    done = subprocess.run([*without_network(), *map(str, command)], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


class Installed:
    """A wheel in a folder of its own, and a Python that sees this folder and the libraries, but not the checkout."""

    def __init__(self, folder: Path):
        self.sdist, self.wheel = build(folder)
        self.target = folder / "installed"
        self.away = folder / "away"  # where its processes work
        self.away.mkdir()
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
        run(*install, "--target", self.target, self.wheel, cwd=self.away)
        place = folder / "python"
        venv.create(place, symlinks=os.name != "nt")
        self.interpreter = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        # The libraries come from the environment of the tests as a plain folder: .pth files in it, as the one that
        # leads to the checkout, are not read.
        libraries = sorted({sysconfig.get_path(kind) for kind in ("purelib", "platlib")})
        (own,) = place.rglob("site-packages")
        (own / "libraries.pth").write_text("\n".join([str(self.target), *libraries]) + "\n", encoding="utf-8")

    def python(self, *arguments) -> str:
        return run(self.interpreter, *arguments, cwd=self.away)


def left_out(folder: str, names: list[str]) -> list[str]:
    """What the copy of a checkout does without: other folders, caches, a learner's films."""
    paths = [Path(folder) / name for name in names]
    other = [path.name for path in paths if path.parent == ROOT and path.is_dir() and path.name not in FOLDERS]
    large = [path.name for path in paths if path.is_file() and path.stat().st_size > 20_000_000]
    return ["__pycache__", *other, *large]


def build(folder: Path) -> tuple[Path, Path]:
    """The sdist of a copy of the checkout, and the wheel that is made from this sdist."""
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=left_out, ignore_dangling_symlinks=True)
    for name in OF_A_LEARNER:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("mine")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", source, cwd=folder)
    (sdist,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    return Installed(tmp_path_factory.mktemp("wheel"))


def on_disk(*folders: str) -> set[str]:
    """The files of these folders, from the root; hidden ones and caches do not count."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    names = {path.relative_to(ROOT).as_posix() for path in paths}
    return {name for name in names if not re.search(r"(^|/)(\.|__pycache__/)", name)}


def committed(*folders: str) -> set[str]:
    """Those of them that are the project's; without git, all."""
    try:
        command = ["git", "ls-files", "--", *folders]
        names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return on_disk(*folders)
    return on_disk(*folders) & set(names)


# --------------------------------------------------------------------------------------------------- what it is made of


def test_the_wheel_holds_the_package_its_data_and_the_lessons(installed):
    with zipfile.ZipFile(installed.wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    data = {name.removeprefix("vtm_lesson/") for name in found if name.startswith("vtm_lesson/data/")}
    assert committed("data") <= data <= on_disk("data")
    lessons = [path.stem for path in (ROOT / "notebooks" / "source").glob("*.py")]
    notebooks = {f"{folder}{name}.ipynb" for folder in ("", "exercises/") for name in lessons} | {"LICENSE"}
    travelling = data | {f"notebooks/{name}" for name in notebooks}
    assert found == on_disk("vtm_lesson") | {f"vtm_lesson/{name}" for name in travelling}
    assert len(data) > 10 and len(lessons) >= 10 and {"vtm_lesson/py.typed", "vtm_lesson/__init__.pyi"} <= found


def test_the_sdist_holds_what_the_checkout_does(installed):
    with tarfile.open(installed.sdist) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    assert committed(*FOLDERS) <= found
    read_by_tests = {"conftest.py", "Makefile", "environment.yml", "requirements-all.txt", ".importlinter", ".ci/run"}
    assert {"pyproject.toml", "setup.py", "requirements.txt"} | read_by_tests <= found
    assert found.isdisjoint(OF_A_LEARNER)


def test_an_editable_installation_copies_nothing():
    from vtm_lesson import paths

    assert paths.is_checkout() and paths.data_path() == ROOT / "data" and paths.notebooks_path() == ROOT / "notebooks"


# --------------------------------------------------------------------------------------------------- what it can do


def test_it_reads_its_films_weights_results_and_lessons(installed):
    code = """
import sys
from pathlib import Path

import vtm_lesson as vtm
from vtm_lesson import paths
from vtm_lesson.encoders import tiny_vit
from vtm_lesson.study import report, variants

home, checkout = map(Path, sys.argv[1:])
assert Path(vtm.__file__).parent == home / "vtm_lesson", vtm.__file__
assert checkout not in map(Path, sys.path) and not paths.is_checkout()
assert vtm.read_video(vtm.films.sample()).frames.shape[1:] == (224, 224, 3)
assert vtm.load_encoder("patch") and tiny_vit.load()
assert report.load() and variants.load()
assert paths.notebooks_path("00_start_here.ipynb").is_relative_to(home)
assert paths.notebooks_path("exercises/00_start_here.ipynb").is_file()
"""
    installed.python("-c", code, installed.target.resolve(), ROOT)


def test_every_module_can_be_imported_without_the_libraries_of_the_extras(installed):
    code = """
import importlib, pkgutil, sys

import vtm_lesson

extras, skipped = set(sys.argv[1].split(",")), 0
sys.modules |= dict.fromkeys(extras)  # an import of these fails from now on
for module in pkgutil.walk_packages(vtm_lesson.__path__, "vtm_lesson."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        assert error.name in extras, error
        skipped += 1
assert skipped == 1, "only the room of the fused CUDA matcher is closed"
keys = importlib.import_module("torch").randn(1, 12, 4)
assert vtm_lesson.match(keys, vtm_lesson.uniform(12, 6))(keys).shape == (1, 2, 4)
"""
    installed.python("-W", "ignore", "-c", code, "triton")


def test_its_command_answers(installed):
    assert "--quick" in installed.python("-m", "vtm_lesson", "compare", "--help")


def test_its_lab_copies_the_lessons_into_the_current_folder(installed):
    installed.python("-m", "vtm_lesson", "lab", "--version")  # JupyterLab's own, which then stops
    assert (installed.away / "vtm-lessons" / "00_start_here.ipynb").is_file()
    assert (installed.away / "vtm-lessons" / "solved" / "00_solved_start_here.ipynb").is_file()


def test_what_it_makes_goes_into_the_current_folder(installed):
    before = {path: path.stat().st_mtime for path in installed.target.rglob("*") if path.suffix in (".json", ".webp")}
    code = """
from pathlib import Path
from vtm_lesson.measuring import bench, bench_operator
from vtm_lesson.plots.__main__ import main

bench.PARTS = {"operator": (lambda **_: {"rows": []}, lambda _: "measured", {})}
bench.main(["--part", "operator"])
main(["readme"])
print(sorted(path.name for path in Path().iterdir() if path.suffix in (".json", ".webp")))
"""
    assert installed.python("-W", "ignore", "-c", code).splitlines()[-1] == "['bench_operator.json', 'merging.webp']"
    assert all(path.stat().st_mtime == then for path, then in before.items())


def test_its_description_is_the_projects(installed):
    code = "import importlib.metadata as m, sys; print(m.version('vtm-lesson'), *m.requires('vtm-lesson'), sep='\\n')"
    version, *requires = installed.python("-c", code).splitlines()
    text = (ROOT / "vtm_lesson" / "__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{version}"' in text
    plain = [Requirement(line) for line in requires if "extra ==" not in line]
    assert set(plain) == set(map(Requirement, PROJECT["dependencies"]))


def five_tasks() -> list[str]:
    """The pieces of Python below README's heading of the five tasks."""
    _, heading, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition(TASKS)
    assert heading, f"README.md has no heading {TASKS.strip()!r}"  # how its tasks look is for test_readme.py
    return re.findall(r"^```python\n(.*?)^```$", rest.split("\n## ")[0], flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(1, 6))
def test_a_task_of_the_readme_runs_as_it_stands(installed, number):
    tasks = five_tasks()
    assert len(tasks) == 5
    installed.python("-W", "error", "-c", tasks[number - 1])


# --------------------------------------------------------------------------------------------------- what it declares


def imported(path: Path) -> set[str]:
    """The libraries that a module imports anywhere, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module)
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"vtm_lesson"}


def declared(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def test_every_import_of_the_package_is_declared():
    """Those of an extra are declared too; that the rest of the package works without them has its own test."""
    extras = ("kernels", "lessons", "hosts", "cluster", "logs", "bench")
    allowed = declared(sum((PROJECT["optional-dependencies"][extra] for extra in extras), PROJECT["dependencies"]))
    # What an extra brings need not be installed where this test runs; then its name is the package's, but for one.
    homes = {"cv2": ["opencv-python-headless"], **{name: [name] for name in ("transformers", "ray", "huggingface_hub")}}
    homes |= importlib.metadata.packages_distributions()
    files = sorted((ROOT / "vtm_lesson").rglob("*.py"))
    missing = {
        f"{name} in {path.relative_to(ROOT)}"
        for path in files
        for name in imported(path)
        if not {canonicalize_name(home) for home in homes.get(name, [])} & allowed
    }
    assert not missing, f"pyproject.toml does not declare {sorted(missing)}"
    assert {"torch", "numpy", "PIL", "psutil"} <= set().union(*map(imported, files))


def test_explorers_bring_their_browser_modules(installed):
    code = "from vtm_lesson.explorers import gallery; print(['function explore(el' in one.page() for one in gallery()])"
    assert installed.python("-c", code).splitlines()[-1] == str([True] * 6)
