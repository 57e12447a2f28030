# Two commands are all a newcomer needs: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test test-slow lint system clean

demo: $(VENV)/rtl.stamp          ## checkpoint -> low-bit model -> verified hardware -> report
	$(BIN)/python examples/demo.py --out demo

test: $(VENV)/dev.stamp          ## lint and the default tests
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n 2 --dist loadscope

test-slow: $(VENV)/dev.stamp     ## everything, the tests marked slow included
	$(BIN)/python -m pytest -n 2 --dist loadscope --slow

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .

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

$(VENV)/dev.stamp: pyproject.toml $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[rtl,synth,dev]'
	touch $@ $(VENV)/rtl.stamp

clean:                           ## also Numba's compiled code, which does not notice every edit
	rm -rf $(VENV) build demo *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
