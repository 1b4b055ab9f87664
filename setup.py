"""What pyproject.toml cannot say: data/ and the lessons stand at the top of the repository and travel in the package.

A wheel carries them as vtm_lesson/data and vtm_lesson/notebooks, where `vtm_lesson.paths` looks for them; an editable
installation copies nothing. Of the notebooks only lessons travel, those that have a source; of data/ what has the type
of a stored file.
"""

from pathlib import Path

from setuptools import find_packages, setup

LESSONS = sorted(path.stem for path in Path("notebooks/source").glob("*.py"))

setup(
    packages=[*find_packages(include=["vtm_lesson", "vtm_lesson.*"]), "vtm_lesson.data", "vtm_lesson.notebooks"],
    package_dir={"vtm_lesson.data": "data", "vtm_lesson.notebooks": "notebooks"},
    package_data={
        "": ["py.typed", "*.pyi"],
        "vtm_lesson.explorers": ["*.js"],
        "vtm_lesson.teaching": ["jupyter/*/*.json"],
        "vtm_lesson.data": ["README.md", "films/*.mp4", "pictures/*.webp", "results/*.json", "weights/*.safetensors"],
        "vtm_lesson.notebooks": [
            "LICENSE",
            *(f"{folder}{name}.ipynb" for folder in ("", "exercises/") for name in LESSONS),
        ],
    },
)
