# Every task, for people and CI. `make help` lists the targets.
# Needs Python 3.11 or newer with venv, and make; every target installs what it needs into $(VENV).

PYTHON ?= python3
VENV ?= .venv
LAKE_VENV ?= .venv-lake
TEST_PROCESSES ?= 2
BASE ?= HEAD~1
FIGURE ?= shirt-1
RUN := $(VENV)/bin/
LAKE := $(LAKE_VENV)/bin/
PLOT := $(RUN)fmnist-edge plot
INSTALL := $(RUN)python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test devices devices-quick stress lake lake-bench bench bench-quick bench-against bench-readme fuzz fuzz-quick lint format models convert-models photo-model photo-report page-figure figures constraints clean

help:  ## list the targets
	@awk -F':.*## ' '/^## /{print "\n" substr($$0, 4)} /^[a-z-]+:.*## /{gsub(/[$$][$$]/, "$$"); printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Use

demo: $(VENV)/.runtime  ## install the runtime alone and classify the samples
	@$(RUN)fmnist-edge classify samples/*.png samples/photos/*.jpg

test: $(VENV)/.dev  ## install everything, get the dataset, run all tests
	@echo "== dataset"
	@$(RUN)fmnist-edge data fetch
	@echo "== tests"
	@$(RUN)python -m pytest -n $(TEST_PROCESSES) --dist loadfile

lint: $(VENV)/.dev  ## check style, types and who imports whom
	@echo "== ruff" && $(RUN)ruff check . && $(RUN)ruff format --check .
	@echo "== mypy" && $(RUN)mypy
	@echo "== import-linter" && $(RUN)lint-imports

format: $(VENV)/.dev  ## put the code into the common form
	@$(RUN)ruff check --fix . ; $(RUN)ruff format .

## Long checks

stress: $(VENV)/.dev build/npm/.installed  ## run the long tests: load, kills, memory, some in a real browser and in Node (needs chromium and npm), and `make lake`
	@$(RUN)python -m pytest -m stress
	@$(MAKE) lake

fuzz: $(VENV)/.fuzz  ## try 200,000 inputs of a coverage-guided fuzzer on images and on models each (half an hour)
	@mkdir -p build/fuzz && $(RUN)python -m pip download --quiet --no-deps --no-binary pillow --dest build/fuzz \
	  "pillow==$$($(RUN)python -c 'import PIL; print(PIL.__version__)')" || echo "Pillow's own test pictures are no seeds"
	@$(RUN)python -m tests.reliability.fuzz.run --runs 200000 $$(ls build/fuzz/pillow-*.tar.gz 2>/dev/null | sed 's/^/--pillow /')

fuzz-quick: $(VENV)/.fuzz  ## fuzz for a minute
	@$(RUN)python -m tests.reliability.fuzz.run --seconds 28

devices: $(VENV)/.dev  ## run the models on every device and write the table of docs/deploy.md (DEVICES="--only arm" for some)
	@$(RUN)fmnist-edge data fetch
	@$(RUN)python -m fmnist_bench.devices.matrix $(or $(DEVICES),--allow-missing --page docs/deploy.md)

devices-quick: $(VENV)/.dev  ## run the fast rows of the device matrix (two minutes)
	@$(RUN)fmnist-edge data fetch
	@$(RUN)python -m fmnist_bench.devices.matrix --quick $(DEVICES)

lake: $(LAKE_VENV)/.installed  ## test classify-lake on a real Ray with a real S3 server, and the Spark and Dask examples (needs Java; six minutes)
	@$(LAKE)fmnist-edge data fetch
	@$(LAKE)python -m pytest -m lake tests/lake

## Measure

bench: $(VENV)/.dev  ## measure every backend (about four minutes, on a machine with nothing else to do) into build/bench/
	@$(RUN)fmnist-edge data fetch
	@$(RUN)fmnist-edge bench --require-all -o build/bench

bench-quick: $(VENV)/.dev  ## the same in under 90 seconds: does every backend run, and about how fast
	@$(RUN)fmnist-edge data fetch
	@$(RUN)fmnist-edge bench --quick --require-all --against docs/bench.json -o build/bench-quick

bench-against: $(VENV)/.dev  ## did it get slower than BASE? both in turns on this machine; fails if so (make bench-against BASE=main)
	@$(RUN)fmnist-edge bench --against "$(BASE)" -o build/bench-against

bench-readme: bench  ## measure, and write README.md's table, docs/benchmark-results.md and docs/bench.json
	$(RUN)python -m fmnist_bench.publish bench build/bench/bench.json

photo-report: $(VENV)/.dev  ## measure the photo model on the validation pictures of $$FMNIST_PHOTOS and $$FMNIST_PICTURES, and write the pages' table
	$(RUN)fmnist-edge evaluate --pictures "$$FMNIST_PHOTOS" $$(echo "$$FMNIST_PICTURES" | tr : '\n' | sed '/./s/^/--pictures /') \
	  --enlarged --format json --output docs/photos.json
	$(RUN)python -m fmnist_bench.publish photos docs/photos.json

lake-bench: $(LAKE_VENV)/.installed  ## measure classify-lake against classify (on a machine with nothing else to do) and write the table of docs/lake.md
	@$(LAKE)fmnist-edge data fetch
	@$(LAKE)python -m fmnist_bench.lake $(LAKE_BENCH)

## Make what is committed

models: $(VENV)/.dev  ## train the classifier from five seeds, keep the best on validation images, convert it (under an hour)
	$(RUN)fmnist-edge data fetch
	$(RUN)fmnist-edge train --recipe default --seeds 5 --resume -o build/models
	cp build/models/fmnist-mlp.keras train/artifacts/fmnist-mlp.keras
	cp build/models/training.json train/artifacts/fmnist-mlp.training.json
	$(MAKE) convert-models

photo-model: $(VENV)/.dev  ## train and convert the photo model (pictures from $$FMNIST_PHOTOS and $$FMNIST_PICTURES; 45 minutes on two cores)
	$(RUN)fmnist-edge data fetch
	@[ -n "$$FMNIST_PHOTOS" ] || $(RUN)fmnist-edge data fetch --photos
	$(RUN)fmnist-edge train --part photo -o build/photo
	cp build/photo/fmnist-photo.* train/artifacts/
	$(MAKE) convert-models

convert-models: $(VENV)/.dev  ## convert both committed Keras originals again
	$(RUN)fmnist-edge convert train/artifacts/fmnist-mlp.keras --model-version 1.1.0 -o build/models
	$(RUN)fmnist-edge convert train/artifacts/fmnist-photo.keras --model-version 2.0.0 -o build/models
	cp build/models/fmnist-*.int8.* runtime/fmnist_edge/models/
	$(RUN)fmnist-edge verify

figures: $(VENV)/.dev  ## draw the pictures of the README and the docs again
	$(PLOT) samples --index 20000 --dpi 80 -o docs/figures/samples.png
	$(PLOT) predictions --count 15 --dpi 80 -o docs/figures/predictions.png
	$(PLOT) confusion --dpi 80 -o docs/figures/confusion.png
	@rm -rf build/figure && $(RUN)fmnist-edge classify samples/photos/$(FIGURE).jpg --explain build/figure
	cp build/figure/$(FIGURE).explained.png docs/figures/explained.png

page-figure: $(VENV)/.dev build/npm/.installed  ## take the picture of the deploy kit's web page again (needs chromium and npm)
	bash docs/make_page_figure.sh $(RUN)

constraints: $(VENV)/.made  ## write constraints.txt anew: the newest versions that work together
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	{ sed -n '/^#/p' constraints.txt; build/constraints/bin/python -m pip freeze --exclude-editable; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:  ## remove what the targets made (not the dataset)
	rm -rf $(VENV) $(LAKE_VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# What the tests of the deploy kit need from npm. No script of a package is run.
build/npm/.installed: tests/runtime/kit/package.json
	@echo "== installing npm packages"
	@mkdir -p build/npm && cp $< build/npm/
	@cd build/npm && npm install --silent --ignore-scripts --no-audit --no-fund --no-package-lock
	@touch $@

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

# Not in $(VENV): moto and TensorFlow's plots want different versions of one library, and the runtime is all it needs.
$(LAKE_VENV)/.installed: pyproject.toml tests/lake/requirements.txt
	@echo "== installing Ray, Spark, Dask and an S3 server (a few minutes)"
	@$(PYTHON) -m venv $(LAKE_VENV)
	@$(LAKE)python -m pip install --quiet --disable-pip-version-check -r tests/lake/requirements.txt -e '.[ray]'
	@touch $@

$(VENV)/.fuzz: $(VENV)/.dev
	@echo "== installing the fuzzer"
	@$(INSTALL) 'atheris>=3'
	@touch $@
