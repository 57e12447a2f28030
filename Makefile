# Two commands are all a newcomer needs: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
WORKERS = -n 2 --dist loadscope --no-loadscope-reorder   # in the order of tests/conftest.py
# torch, and what only its build for CUDA needs.
NOT_LOCKED = torch triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti \
  nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand \
  nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink \
  nvidia-nvshmem-cu13 nvidia-nvtx

# The tests start hundreds of interpreters; without compiled modules each takes a second longer.
unexport PYTHONDONTWRITEBYTECODE

SHARD ?= 1
SHARDS ?= 1

.PHONY: demo test test-arm test-slow shard durations coverage lint types wheel lock docs system clean

demo: $(VENV)/rtl.stamp          ## checkpoint -> low-bit model -> verified hardware -> report
	$(BIN)/python examples/demo.py --out demo

test: lint types                 ## lint, types and the default tests
	$(BIN)/python -m pytest $(WORKERS)

test-slow: $(VENV)/dev.stamp     ## everything, the tests marked slow included
	$(BIN)/python -m pytest $(WORKERS) --slow

test-arm: $(VENV)/dev.stamp      ## the software on an emulated ARM CPU, as root; some ten minutes of CPU
	$(BIN)/python tests/aarch64/run.py

shard: $(VENV)/dev.stamp         ## one of SHARDS parts of the default tests, of about equal length
	$(BIN)/python -m pytest $(WORKERS) --splits $(SHARDS) --group $(SHARD)

durations: $(VENV)/dev.stamp     ## record how long each test takes, for the shards
	$(BIN)/python -m pytest $(WORKERS) --store-durations

coverage: $(VENV)/dev.stamp      ## which lines the default tests run; compiled functions do not count
	COVERAGE_CORE=sysmon $(BIN)/python -m pytest $(WORKERS) --cov=trilobite --cov-report=term --cov-report=html

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .

types: $(VENV)/dev.stamp         ## the types of all that the package has
	mkdir -p build/types && ln -sfn ../.. build/types/trilobite
	$(BIN)/mypy

wheel: $(VENV)/dev.stamp         ## dist/: the wheel, tested outside of the repository, and its SBOM
	rm -rf dist && $(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	$(PYTHON) -m venv dist/venv
	dist/venv/bin/pip install --quiet dist/*.whl
	cd dist && venv/bin/trilobite quantize demo-bitnet -o ternary --format ternary && \
	  venv/bin/trilobite generate ternary -p "def f(" -n 8
	$(BIN)/cyclonedx-py environment --of JSON -o dist/sbom.cdx.json dist/venv/bin/python
	rm -rf dist/venv dist/ternary

lock: $(VENV)/bin/python         ## requirements/dev.lock anew, from pyproject.toml
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --generate-hashes --no-annotate \
	  --extra rtl --extra synth --extra board --extra dev $(NOT_LOCKED:%=--no-emit-package %) \
	  --custom-compile-command 'make lock' --output-file requirements/dev.lock

docs: $(VENV)/docs.stamp         ## the documentation as a site; a warning is an error
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs build/docs
	@echo "Open build/docs/index.html"

system:                          ## what the system must have, on Debian and Ubuntu
	@command -v apt-get >/dev/null || { \
	  echo "No apt-get here: install a C++ compiler, make, perl, zlib headers and, optionally, iverilog"; exit 1; }
	if [ "$$(id -u)" = 0 ]; then SUDO=; else SUDO=sudo; fi; \
	  $$SUDO apt-get update -qq && \
	  $$SUDO apt-get install -y -qq --no-install-recommends g++ make perl iverilog liblz4-dev zlib1g-dev && \
	  { $$SUDO apt-get install -y -qq --no-install-recommends chromium-headless-shell || \
	    echo "No headless Chromium here: the report's browser tests will be skipped"; }

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

$(VENV)/rtl.stamp: pyproject.toml $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[rtl]'
	touch $@

$(VENV)/docs.stamp: pyproject.toml $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[docs]'
	touch $@

# Versions and hashes of the lock file; torch apart, since its build for the CPU alone is another file.
$(VENV)/dev.stamp: requirements/dev.lock pyproject.toml $(VENV)/bin/python
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/dev.lock
	$(BIN)/pip install --quiet "$$(sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml)"
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/pip check
	touch $@ $(VENV)/rtl.stamp $(VENV)/docs.stamp

clean:
	rm -rf $(VENV) build demo *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
