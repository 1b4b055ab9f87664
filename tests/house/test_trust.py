"""What comes from outside is never run, and what goes out names no machine."""

import ast
import contextlib
import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = sorted(path for folder in ("vtm_lesson", "tools") for path in (ROOT / folder).rglob("*.py"))

# Where Python objects are read, and why that is safe.
PICKLES = {
    "vtm_lesson/teaching/classroom/marking.py": "in the learner's process, what the teacher's sent there",
    "vtm_lesson/datasets/cluster.py": "an encoder that this program itself sent to its own workers",
}


def readers_of_pickles(source: str) -> list[str]:
    """Calls that build any Python object from what they read, also those in a string of code."""
    found = []
    trees = [ast.parse(source)]
    for node in ast.walk(trees[0]):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "pickle" in node.value:
            with contextlib.suppress(SyntaxError):
                trees.append(ast.parse(node.value))
    for node in (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)):
        call, options = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
        if re.search(r"pickle\.(loads?|Unpickler)$|^(joblib|marshal|shelve|dill)\.", call):
            found.append(call)
        if call in ("torch.load", "load") and "torch" in call and options.get("weights_only") != "True":
            found.append(f"{call} without weights_only=True")
        if options.get("allow_pickle") == "True" or call in ("yaml.load", "yaml.unsafe_load", "pandas.read_pickle"):
            found.append(call)
    return found


def test_nothing_reads_a_pickle_but_the_places_that_say_why():
    found = {path.relative_to(ROOT).as_posix(): readers_of_pickles(path.read_text(encoding="utf-8")) for path in CODE}
    assert {name for name, calls in found.items() if calls} == set(PICKLES), found


@pytest.mark.parametrize(
    "line",
    [
        "import pickle\npickle.loads(data)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "numpy.load(path, allow_pickle=True)",
        "yaml.load(text, Loader)",
        "CODE = 'import pickle; pickle.load(file)'",
    ],
)
def test_a_reader_of_pickles_is_seen(line):
    assert readers_of_pickles(line)
    assert not readers_of_pickles("torch.load(path, weights_only=True); numpy.load(path); json.load(file)")


# ------------------------------------------------------------------------------------------------------ stored files

FOLDER = re.compile(rb"(?<![\w.:/])(/home/|/root/|/tmp/|/Users/|/var/folders/|/mnt/|[A-Z]:\\\\?Users)")
STORED = ("notebooks/*.ipynb", "data/results/*", "data/weights/*", "*.md", "docs/*", "requirements*.txt")


def tracked(*patterns: str) -> list[Path]:
    said = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True)
    if said.returncode:
        pytest.skip("this is no git checkout, so nobody knows which files are stored")
    return [ROOT / name for name in said.stdout.decode().split("\0") if name]


def test_no_stored_file_names_a_folder_of_a_machine():
    files = tracked(*STORED)
    assert len(files) > 60
    text = [path for path in files if path.suffix not in (".png", ".webp", ".mp4", ".svg", ".js", ".css", ".woff2")]
    here = str(ROOT).encode() + b"/"
    named = {p.relative_to(ROOT).as_posix(): FOLDER.findall(p.read_bytes()) or here in p.read_bytes() for p in text}
    assert {name: found for name, found in named.items() if found} == {}
    assert FOLDER.search(b'"folder": "/home/ann/vtm"') and FOLDER.search(b"C:\\Users\\ann")


def test_no_stored_result_names_who_or_where():
    """A machine is described by its processor and versions, not by its name, its user or its address."""
    for path in tracked("data/results/*.json"):
        machine = json.loads(path.read_text(encoding="utf-8")).get("machine", {})
        words = machine if isinstance(machine, dict) else {}
        assert not {"host", "hostname", "node", "user", "ip"} & set(words), path.name
