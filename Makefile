# What is checked, by name. Why make: nox would fill an environment of 1.4 GB for each task, and just has to be installed first.
# `python3 quickstart.py setup` makes .venv. Windows has no make; its users type a recipe's lines, with BIN=.venv\Scripts.

BIN ?= .venv/bin
TOOLS := $(abspath $(BIN))
LINKS := build/links

.PHONY: help setup lint format types layers links docs build minimum test thorough all-fast

help:  ## This list.
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile

setup:  ## .venv with all that the tasks need.
	python3 quickstart.py setup

lint:  ## ruff's rules, and its format.
	$(BIN)/ruff check --output-format concise
	$(BIN)/ruff format --check

format:  ## What ruff can repair by itself.
	$(BIN)/ruff check --fix --output-format concise
	$(BIN)/ruff format

links:
	$(BIN)/python tools/links.py

types: links  ## mypy --strict over all that ships, its benchmarks, training and tools; from build/links, see tools/links.py.
	cd $(LINKS) && $(TOOLS)/mypy --config-file $(CURDIR)/pyproject.toml -p youtu_onnx -p benchmarks -p training -p docs
	$(BIN)/mypy tools quickstart.py setup.py

layers: links  ## Imports go one way, those inside functions too.
	cd $(LINKS) && $(TOOLS)/lint-imports --no-logo --no-cache $(CURDIR)/pyproject.toml

docs: links  ## The site, into build/site. A broken link is an error.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

build:  ## Wheel and sdist into dist, what is in them, and the wheel alone in an empty environment.
	$(BIN)/python -m tools.distribution

minimum:  ## Tests with the lowest versions that pyproject.toml allows. Downloads them: minutes.
	$(BIN)/python -m tools.minimum

test:  ## All tests; pytest's arguments in ARGUMENTS.
	python3 quickstart.py test $(ARGUMENTS)

thorough:  ## All tests, with five times as many cases by chance.
	YOUTU_ONNX_TEST_EFFORT=5 python3 quickstart.py test $(ARGUMENTS)

all-fast: lint types layers docs build  ## Everything but the tests, in some two minutes.
