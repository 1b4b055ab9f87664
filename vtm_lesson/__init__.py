"""Video token merging, taught and measured: the package behind the lessons in `notebooks/`."""

__version__ = "0.1.0"
