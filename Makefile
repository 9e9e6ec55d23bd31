# All that a person or CI does with this repository. `make help` lists the targets.
# Needs Python 3.11 or newer with venv, and make; every target installs what it needs into $(VENV).

PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/
INSTALL := $(RUN)python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test stress lint format models samples photo-figure figures constraints wheel clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-24s %s\n", $$1, $$2}'

demo: $(VENV)/.runtime  ## install the runtime alone and classify the sample images
	@$(RUN)fmnist-edge classify samples/*.png

test: $(VENV)/.dev  ## install everything, get the dataset, run all tests
	@echo "== dataset"
	@$(RUN)fmnist-edge data fetch
	@echo "== tests"
	@$(RUN)python -m pytest

.PHONY: devices devices-quick devices-page
devices: $(VENV)/.dev  ## run the models on every device: docs/devices.md (options: DEVICES="--only arm --allow-missing")
	@$(RUN)fmnist-edge data fetch
	@$(RUN)python -m fmnist_bench.devices $(DEVICES)

devices-quick: $(VENV)/.dev  ## run the fast rows of the device matrix, under four minutes
	@$(RUN)fmnist-edge data fetch
	@$(RUN)python -m fmnist_bench.devices --quick $(DEVICES)

devices-page: $(VENV)/.dev  ## write docs/devices.md from the last run of `make devices`
	@$(RUN)python -m fmnist_bench.devices.page

stress: $(VENV)/.dev  ## run the long tests, among them the report in a real browser (needs chromium)
	@$(RUN)python -m pytest -m stress

lint: $(VENV)/.dev  ## check style, types and who imports whom
	@echo "== ruff" && $(RUN)ruff check . && $(RUN)ruff format --check .
	@echo "== mypy" && $(RUN)mypy
	@echo "== import-linter" && $(RUN)lint-imports

format: $(VENV)/.dev  ## put the code into the common form
	@$(RUN)ruff check --fix . ; $(RUN)ruff format .

models: $(VENV)/.dev  ## train and convert the shipped classifier again (about five minutes)
	$(RUN)fmnist-edge data fetch
	$(RUN)fmnist-edge train --recipe default --seed 0 -o build/models
	cp build/models/fmnist-mlp.keras train/artifacts/fmnist-mlp.keras
	cp build/models/training.json train/artifacts/fmnist-mlp.training.json
	$(MAKE) convert-models

.PHONY: convert-models
convert-models: $(VENV)/.dev  ## convert the committed Keras original again
	$(RUN)fmnist-edge convert train/artifacts/fmnist-mlp.keras -o build/models
	cp build/models/fmnist-mlp.int8.* runtime/fmnist_edge/models/
	$(RUN)fmnist-edge verify

PHOTO := build/photo
SEGMENTER := fmnist-photo-segmenter.keras

photo-models: $(VENV)/.dev  ## train and convert both parts of the photo model again (needs the photos; about half an hour)
	$(RUN)fmnist-edge data fetch
	@[ -n "$$FMNIST_PHOTOS" ] || $(RUN)fmnist-edge data fetch --photos
	$(RUN)fmnist-edge train --part segmenter -o $(PHOTO)/drawn
	$(RUN)fmnist-edge train --part segmenter --recipe photos --segmenter $(PHOTO)/drawn/$(SEGMENTER) -o $(PHOTO)
	$(RUN)fmnist-edge train --part photo-head --segmenter $(PHOTO)/$(SEGMENTER) -o $(PHOTO)
	cp $(PHOTO)/fmnist-photo-*.keras $(PHOTO)/fmnist-photo-*.json train/artifacts/
	$(MAKE) convert-photo-models

.PHONY: photo-models convert-photo-models photo-model-fmnist-only
convert-photo-models: $(VENV)/.dev  ## convert the committed parts of the photo model again
	$(RUN)fmnist-edge convert train/artifacts/$(SEGMENTER) train/artifacts/fmnist-photo-head.keras \
	  --model-version 1.1.0 -o build/models
	cp build/models/fmnist-photo.int8.* runtime/fmnist_edge/models/

photo-model-fmnist-only: $(VENV)/.dev  ## make build/fmnist-only: a photo model that has seen no photo
	$(RUN)fmnist-edge data fetch
	$(RUN)fmnist-edge train --part segmenter -o $(PHOTO)/drawn
	$(RUN)fmnist-edge train --part photo-head --recipe fmnist-only --segmenter $(PHOTO)/drawn/$(SEGMENTER) -o build/fmnist-only
	$(RUN)fmnist-edge convert $(PHOTO)/drawn/$(SEGMENTER) build/fmnist-only/fmnist-photo-head.keras -o build/fmnist-only

samples: $(VENV)/.dev  ## draw the sample images again from the dataset
	$(RUN)python samples/make_samples.py

photo-figure: $(VENV)/.dev  ## draw the README's first picture again
	@rm -rf build/figure && $(RUN)fmnist-edge classify samples/scenes/7-sneaker.jpg --save-input build/figure
	@mkdir -p docs/figures && cp build/figure/7-sneaker.png docs/figures/photo-input.png

figures: photo-figure  ## draw the pictures of the README and docs/tour.md again
	bash docs/make_figures.sh $(RUN)fmnist-edge

wheel: $(VENV)/.dev  ## build the wheel into dist/
	$(RUN)python -m pip wheel --quiet --no-deps --wheel-dir dist .

constraints: $(VENV)/.made  ## write constraints.txt anew: the newest versions that work together
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	{ sed -n '/^#/p' constraints.txt; build/constraints/bin/python -m pip freeze --exclude-editable; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:  ## remove what the targets made (not the dataset)
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "fmnist-edge needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...")'
	@echo "== making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.made pyproject.toml constraints.txt
	@echo "== installing the runtime"
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	@echo "== installing the runtime, TensorFlow and the tools (a minute or two)"
	@$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.runtime
