# make demo: the main job on the bundled model. make test: every test. Both set themselves up in .venv.

VENV ?= .venv
PYTHON ?= python3
PYTHONS ?= 3.11 3.12 3.13
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo install test smoke zoo soak lint bench test-pythons docs tables vendor screenshots clean

demo: install
	$(BIN)/bitpick compare

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	@touch $@

# Two files of tests at a time, the long ones first (tests/conftest.py): most of each one's time goes to waiting for a
# process that it started. Threads of libraries would only take turns. The slowest tests are printed at the end: keep the
# whole under 15 minutes.
test: export OMP_NUM_THREADS := 1
test: install
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 20 $(PYTEST_ARGS)

# A small form of every script, with its checks: none can break unnoticed. make smoke/scripts/tables.py runs one.
SMOKES := $(patsubst %,smoke/%,$(wildcard benchmarks/*.py scripts/*.py training/*.py))
.PHONY: $(SMOKES)
smoke:
	$(MAKE) --jobs 2 --output-sync=target --keep-going --no-print-directory $(SMOKES)
$(SMOKES): smoke/%: install
	$(BIN)/python $* --smoke

# Every model of the zoo through every engine, and 2,000 random graphs through ONNX Runtime (BITPICK_RANDOM_GRAPHS).
zoo: install
	$(BIN)/python -m pytest tests/zoo -m zoo --numprocesses 2 --dist load $(PYTEST_ARGS)

# Two hundred rounds of kills, every call of the system that can fail, and eight runs over one store: hours.
soak: export BITPICK_SOAK := 200
soak: export BITPICK_FAULTS_EVERY := 1
soak: install
	$(BIN)/python -m pytest tests/faults --numprocesses 2 --dist loadfile $(PYTEST_ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/cost.py
	$(BIN)/python benchmarks/calibration_memory.py
	$(BIN)/python benchmarks/bench_honesty.py
	$(BIN)/python benchmarks/bench_honesty.py --load 4
	$(BIN)/python benchmarks/image_folder.py
	$(BIN)/python benchmarks/hop_tolerance.py
	$(BIN)/python benchmarks/real_size.py

# The base install (no framework but ONNX Runtime) and the unit tests on each declared Python. Where pyenv manages them, its
# commands python3.12 and so on work once PYENV_VERSION names the installed ones.
test-pythons: export PYENV_VERSION := $(shell pyenv versions --bare 2>/dev/null | grep -E '^3\.1[0-9]\.' | paste -sd: -)
test-pythons:
	for version in $(PYTHONS); do \
		python$$version -m venv .venv-$$version && \
		.venv-$$version/bin/python -m pip install --quiet --constraint constraints.txt --editable . pytest hypothesis scikit-learn statsmodels && \
		.venv-$$version/bin/python -m pytest -m 'not frameworks and not data' $(PYTEST_ARGS) || exit 1; \
	done

# The site, in site/: its start page opens from the folder. What generates it takes a warning for an error.
docs: install
	$(BIN)/zensical build --strict --clean

# The tables in the docs that are made of the code.
tables: install
	$(BIN)/python scripts/tables.py

# The JavaScript that report.html and the site hold, again from npm: the versions and digests are in the script.
vendor:
	$(PYTHON) scripts/vendor.py

# The pictures in the README, of a run of the bundled model, or of one that is there: make screenshots RUN=runs/….
screenshots: install
	$(BIN)/python scripts/screenshots.py $(RUN)

clean:
	rm -rf $(VENV) $(addprefix .venv-,$(PYTHONS)) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
