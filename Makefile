# Each target is a line or two that you could type yourself; `make help` lists them.
PYTHON ?= python3
PORT ?= 8000
JOBS ?= 2
BIN := .venv/bin
INSTRUCTOR := homework/.venv/bin
BENCH := bench/.venv/bin
NBVAL := --nbval --nbval-current-env --nbval-sanitize-with tests/nbval.cfg

.PHONY: help environment book serve lab test test-fast execute leaderboard at-scale homework-release homework-grade homework-check bench lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' Makefile

environment:
	@$(PYTHON) scripts/environment.py

book: environment ## build the rendered book; the first time this makes .venv (some minutes)
	@# a failed build must not leave its warnings cached: the next one would not see them
	$(BIN)/jupyter-book build -W --keep-going -n . || { rm -rf _build/.doctrees; exit 1; }
	@echo "The book is built. Open _build/html/index.html in a browser, or: make serve"

serve: book ## build and serve the book on this machine (PORT=8000)
	@$(BIN)/python scripts/serve.py $(PORT)

lab: environment ## open the notebooks in JupyterLab
	$(BIN)/jupyter-lab --notebook-dir=book

test: environment ## everything: package, notebooks, site, links, browser, wheel
	$(BIN)/pytest -n $(JOBS) --dist loadfile $(NBVAL) tests book

test-fast: environment ## the package's tests, under a minute
	$(BIN)/pytest -n $(JOBS) --dist loadfile -m "not slow" tests

execute: environment ## run again the notebooks whose source or package changed
	$(BIN)/python -m scripts.notebooks

leaderboard: environment ## train what the stored leaderboard lacks
	$(BIN)/python -m scripts.leaderboard

at-scale: environment ## train on Gowalla what is not stored, some hours (GOWALLA=folder with train.txt and test.txt)
	$(BIN)/python -m scripts.at_scale

homework/.venv/installed: homework/requirements-instructor.txt | environment
	$(BIN)/python -m venv --clear homework/.venv
	$(INSTRUCTOR)/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

homework-release: homework/.venv/installed ## the students' notebooks, in homework/course/release
	$(INSTRUCTOR)/python homework/course.py release

homework-grade: homework/.venv/installed ## grade homework/course/submitted/<student>/<assignment>/
	$(INSTRUCTOR)/python homework/course.py grade

homework-check: homework/.venv/installed ## test the graders, and the whole loop with made-up submissions
	cd homework && PYTHONPATH=. ../$(BIN)/pytest -q -n $(JOBS) test_problems.py
	cd homework && .venv/bin/pytest -q --noconftest -c /dev/null --rootdir . test_course.py

bench/.venv/installed: bench/requirements-bench.txt bench/requirements-recbole.txt | environment
	$(BIN)/python -m venv --clear bench/.venv
	@# the book's packages are seen from here, so that only the other libraries are installed
	$(BIN)/python -c "import site; print(*site.getsitepackages())" > "$$($(BENCH)/python -c 'import site; print(*site.getsitepackages())')/book.pth"
	@# one that cannot be installed is left out, and the page says so
	$(BENCH)/pip install --quiet --disable-pip-version-check -r $< || for name in implicit cornac scikit-surprise; do \
		$(BENCH)/pip install --quiet --disable-pip-version-check -c $< $$name || true; done
	$(BENCH)/pip install --quiet --disable-pip-version-check -r bench/requirements-recbole.txt || true
	@touch $@

bench: bench/.venv/installed ## beside other libraries: measure, store, write the page (GOWALLA=folder for Gowalla too)
	$(BENCH)/python -m bench

lock: ## resolve the requirements.in files into requirements.txt (needs uv)
	@# CUDA's packages stay out: a torch that needs them asks for them itself
	@command -v uv > /dev/null || { echo "make lock needs uv; get it with: pip install uv"; exit 1; }
	uv pip compile --quiet --universal --python-version 3.11 --no-annotate --custom-compile-command "make lock" requirements.in -o requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --no-annotate --custom-compile-command "make lock" homework/requirements-instructor.in -o homework/requirements-instructor.txt
	uv pip compile --quiet --universal --python-version 3.11 --no-annotate --custom-compile-command "make lock" bench/requirements-bench.in -o bench/requirements-bench.txt
	grep -vE '^(nvidia|cuda|triton)' requirements.txt > requirements.tmp && mv requirements.tmp requirements.txt

clean: ## remove what was built (.venv stays: rm -rf .venv)
	rm -rf _build build dist *.egg-info .pytest_cache .hypothesis jupyter_execute
