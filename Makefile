.DEFAULT_GOAL := help
PYTHON ?= python3

help:  ## list the chores
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup:  ## make .venv from the lock file and unpack Triton's server (no root; nothing to do: 0.1 s)
	@$(PYTHON) scripts/setup.py

fmt: setup  ## format the code and fix what ruff can fix
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

check: setup  ## lint, format, types, import table, stub drift (2 minutes at most)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright
	.venv/bin/pytest tests/repository

test: setup  ## all tests but the slow ones, against real Redis and Triton processes (15 minutes at most)
	.venv/bin/pytest -m "not slow" --durations=20

test-slow: setup  ## the slow tests: kill drills, quality gates, long conversations
	.venv/bin/pytest -m slow --durations=20

protos: setup  ## generate the stubs in gen/ from protos/
	.venv/bin/python scripts/protos.py

lock: setup  ## resolve pyproject.toml anew into requirements.lock
	scripts/lock.sh

up: setup  ## run the whole stack here until Ctrl-C
	@.venv/bin/vita up

down:  ## stop the stack that `make up` started
	@.venv/bin/vita down

demo: setup  ## hold a spoken conversation about a picture, show each stage's time, write the answers as WAV
	@.venv/bin/vita demo

tiny: setup  ## train the tiny model from nothing into .vita/training/tiny: about 2.5 hours on 2 cores, resumable; VERSION=of its components
	.venv/bin/python -m vita_training.recipe.tiny
	.venv/bin/python -m vita_training.recipe.export --out .vita/training/tiny/checkpoint \
		--version $(or $(VERSION),$(shell date -u +%Y%m%d-%H%M%S))

bench: setup  ## what streaming is worth on a real stack, then what the plumbing costs; alone on 2 cores, 10 minutes at most
	.venv/bin/python -m vita_evaluation.latency.bench --own-stack --pairs 2
	.venv/bin/python -m vita_evaluation.plumbing.bench --write

variants: setup  ## make test material for A/B from the tiny checkpoint: another codebook, a dull voice; RUN=folder: another generator
	.venv/bin/python -m vita_training.speaking.variants $(if $(RUN),--run $(RUN))

eval: setup  ## what the model hears, sees, remembers and says that training never met, against the bars (15 minutes at most)
	.venv/bin/python -m vita_evaluation.quality --write

.PHONY: help setup fmt check test test-slow protos lock up down demo tiny bench eval variants
