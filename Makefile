# make lab    set up (once) and open your own copies of the lessons, in work/
# make test   set up (once) and run every check; make test-all runs those that need more
# make help   the rest

# A Python that the pins allow; `make lab PYTHON=/path/to/python3` to choose another one.
PYTHON ?= $(or $(shell for p in python3.11 python3.12 python3.13 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done),python3)
VENV := .venv/bin
# Only the lessons themselves: a learner's other notebooks in that folder are nobody else's business.
LESSONS = $(patsubst notebooks/source/%.py,notebooks/%.ipynb,$(sort $(wildcard notebooks/source/[0-9][0-9]_*.py notebooks/source/[A-Z]_*.py)))
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help env lab grade checks test test-all fuzz lessons site classroom lock wheels-for-cuda cuda clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'
	@echo 'ARGS="..." adds options to JupyterLab, to pytest, or to the lesson builder: make lab ARGS="--no-browser --port=8899"'

env:  ## make .venv with the pinned packages; a second call takes no time (HASHES=1: only files of known digests)
	@command -v $(PYTHON) >/dev/null || { echo "setup: no python3 found; install Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) tools/setup_env.py $(if $(HASHES),--hashes)

lab: env  ## copy what is new into work/, which is yours, and open it in JupyterLab
	@exec $(VENV)/python tools/lab.py $(ARGS)

grade: env  ## mark the exercises in work/solutions.py, for those who work in an editor (ARGS="02 saliency": some of them)
	@$(VENV)/python tools/grade.py $(ARGS)

checks: env  ## form, types and the order of the floors; no test is run
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports

# Threads that wait for each other would keep both cores busy; several kernels at once then hardly get on.
test test-all: export OMP_WAIT_POLICY = passive

# One pytest for everything, so that its last line speaks for everything. loadscope keeps a notebook on one kernel.
test: checks  ## the checks, the tests, and every lesson executed and compared with its stored outputs
	$(VENV)/python -m pytest tests $(LESSONS) -q -n logical --maxprocesses=4 --dist loadscope \
		--nbval --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg --nbval-cell-timeout=300 $(ARGS)

# Whoever sets VTM_TEST_ALL=1, as .ci/run does, has a test that lacks its tool fail; else it is skipped.
test-all: env  ## the tests that need more: a real browser (Chromium), the site (npm), all wrong answers of the mutation audit
	@$(VENV)/python tools/setup_env.py --all $(if $(HASHES),--hashes)
	$(VENV)/python -m pytest tests/all -q -rs -n logical --maxprocesses=2 --dist loadfile $(ARGS)

fuzz: env  ## look for faults with random cases for some minutes (ARGS="--minutes 20 --seed 7 --only films")
	@$(VENV)/python tools/fuzz.py $(ARGS)

lessons: env  ## rebuild the notebooks whose source or package code changed (ARGS="02 --force": that one, in any case)
	@$(VENV)/python tools/build_lessons.py $(ARGS)

site: env  ## the course as web pages, to be read without a network: site/index.html
	@$(VENV)/python tools/build_site.py --install $(ARGS)

classroom: env  ## the course for a class, on nbgrader, in classroom/ (ARGS="00 02 --folder DIR"); see docs/teachers.md
	@$(VENV)/python tools/classroom.py make $(ARGS)

lock: env  ## renew requirements.txt and requirements-all.txt from pyproject.toml
	@$(VENV)/python tools/lock.py

wheels-for-cuda: env  ## collect what a GPU machine without internet lacks; see CONTRIBUTING.md
	@$(VENV)/python tools/wheels_for_cuda.py

# No .venv: the machine's own Python, which has PyTorch for its GPU, unless PYTHON is given.
GPU_PYTHON = $(if $(filter file,$(origin PYTHON)),python3,$(PYTHON))
cuda:  ## measure everything on the GPU of this machine, fetching nothing; see CONTRIBUTING.md
	@command -v $(GPU_PYTHON) >/dev/null || { echo "cuda: no $(GPU_PYTHON) found; make cuda PYTHON=/path/to/python3" >&2; exit 1; }
	@exec $(GPU_PYTHON) tools/on_cuda.py $(ARGS)

clean:  ## remove .venv and caches; never notebooks, data or anything you made
	rm -rf .venv .venv.lock .cuda-site .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis build dist *.egg-info
	find vtm_lesson tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
