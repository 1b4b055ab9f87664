"""One environment for all checks, also for kernels that run lessons: offline, quiet, the same on every machine."""

import os
import sys
from pathlib import Path

import hypothesis

ROOT = Path(__file__).resolve().parent

os.environ.pop("MPLBACKEND", None)  # kernels choose the inline backend only where this is not set
os.environ.pop("NBGRADER_EXECUTION", None)
os.environ.pop("VTM_WORK", None)  # what a check finds here is not to be noted as a learner's
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
# nbgrader starts `alembic` by its bare name, and a .venv need not be activated to run its Python.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
os.environ["PYTHONHASHSEED"] = "0"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TQDM_DISABLE"] = "1"  # bars write to stderr at every machine's own pace
os.environ["JUPYTER_PLATFORM_DIRS"] = "1"
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # a "python3" kernel in the user's home is not this environment
os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers share the cores; set before torch is imported

# Shared machines are slow at times, and a check must not fail one time in a thousand.
hypothesis.settings.register_profile("course", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.load_profile("course")


def pytest_configure(config):
    import matplotlib

    matplotlib.use("agg")  # for this process only
