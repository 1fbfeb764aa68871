# Two commands: `make demo` trains a first autoencoder, `make test` runs the checks. `make thorough` runs the slow tests
# that it leaves out, `make clusters` those of Ray, SLURM and searches, `make extras` what is built on the packages of
# others, `make textual` tests the dashboard on the oldest and the newest Textual that pyproject.toml allows, `make
# faults` reads 20,000 damaged run directories and documents that nobody wrote, and kills 200 trainings (an hour), `make
# gpu` tests and measures on the cards of this machine.
# Each sets up .venv once; a second run installs nothing.

PYTHON ?= python3
BIN := .venv/bin

# Without bytecode each of the thousand processes of the tests would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test thorough textual extras clusters faults bench gpu clean

demo: .venv/.installed
	$(BIN)/tuiae run presets/quickstart.toml
	@echo 'Next: $(BIN)/tuiae opens the dashboard on this run; $(BIN)/tuiae --help lists the commands.'

test: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 4 --dist worksteal

thorough: .venv/.installed-dev
	$(BIN)/python -m pytest -n 4 --dist worksteal -m thorough

faults: .venv/.installed-dev
	TUIAE_TEST_MUTATIONS=20000 $(BIN)/python -m pytest -n 2 --timeout 0 tests/test_mutations.py tests/test_input.py
	TUIAE_TEST_EXAMPLES=1000 $(BIN)/python -m pytest -n 2 --timeout 0 tests/test_documents.py
	TUIAE_TEST_KILLS=100 $(BIN)/python -m pytest -n 2 --timeout 0 -m '' tests/test_resume.py -k killed_at
	$(BIN)/python -m pytest -n 2 -m thorough tests/test_disks.py

# The callbacks in the trainers of others, the import of what other trackers wrote, and what others read of ours.
extras: .venv/.installed-extras
	$(BIN)/python -m pytest -n 2 tests/test_integrations.py tests/test_exports.py

TEXTUALS := ==8.0.0 <9
SMOKE := tests/test_private_names.py tests/test_key_line.py tests/test_bursts.py -k 'not answered_once' # which trains

textual: .venv/.installed-dev
	@for versions in $(foreach textual,$(TEXTUALS),'textual$(textual)'); do \
	  rm -rf .venv/textual && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target .venv/textual "$$versions" && \
	  export PYTHONPATH=$(CURDIR)/.venv/textual && \
	  $(BIN)/python -c 'import textual; print(textual.__file__, textual.__version__)' && \
	  $(BIN)/python -m pytest -n 3 $(SMOKE) && unset PYTHONPATH || exit 1; \
	done

clusters: .venv/.installed-clusters
	$(BIN)/python -m pytest -n 2 -m clusters tests/test_clusters.py tests/test_search.py

bench: .venv/.installed-bench
	$(BIN)/python -m tests.benchmarks

gpu: .venv/.installed-dev
	$(BIN)/python -m pytest -m gpu tests/gpu
	$(BIN)/python -m tests.benchmarks gpu

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tuiae needs Python 3.11 or newer: make PYTHON=python3.11")'
	@$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml
	@echo 'Installing tuiae with PyTorch, scikit-learn and matplotlib into .venv, once: about 6 GB with CUDA, in two to five minutes.'
	@$(BIN)/python -m pip install --disable-pip-version-check --editable '.[studies]'
	@touch $@

.venv/.installed-dev: .venv/.installed
	@echo 'Installing what the checks need (pytest, ruff, mypy, import-linter) into .venv, once: about 80 MB.'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.venv/.installed-extras: .venv/.installed-dev
	@echo 'Installing what the extras are tested with (Lightning, Keras, TensorBoard, W&B, ONNX, Arrow) into .venv, once: about 400 MB.'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[lightning,keras,import,extras]'
	@touch $@

.venv/.installed-bench: .venv/.installed-dev
	@echo 'Installing what the benchmarks compare with (Lightning, Keras, JAX) into .venv, once: about 600 MB.'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

.venv/.installed-clusters: .venv/.installed-dev
	@echo 'Installing what runs studies on clusters and searches (Ray, submitit, Optuna) into .venv, once: about 300 MB.'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[ray,slurm,search]'
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache
