# Two commands do all the set-up: `make demo` and `make test`.
.DEFAULT_GOAL := help
.PHONY: help demo test lint unit wheel-test lowest bench bench-parts soak bundle lock clean

PYTHON ?= python3
VENV := .venv
WHEEL_VENV := .venv-wheel
LOWEST_VENV := .venv-lowest
BIN := $(VENV)/bin
SOAK_SECONDS ?= 600
SPREAD := -n 3 --dist worksteal

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/ready broker ## Devices, broker, IOC and agent on this machine, with a broker outage in the middle
	$(BIN)/oc-sim demo

test: lint wheel-test ## Everything: lint, types, import rules, and all tests on the built wheel

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=bench $(BIN)/mypy -p gateways
	$(BIN)/lint-imports

unit: $(VENV)/ready debian ## All tests on the checkout
	$(BIN)/pytest -q $(SPREAD)

wheel-test: $(WHEEL_VENV)/ready debian
	cd tests && PYTHONSAFEPATH=1 OC_TEST_INSTALLED=1 ../$(WHEEL_VENV)/bin/pytest -q $(SPREAD) -c ../pyproject.toml --rootdir=.. .

lowest: $(VENV)/ready debian ## The tests on the lowest versions that pyproject.toml allows
	$(BIN)/uv venv --quiet --clear --seed $(LOWEST_VENV)
	$(BIN)/uv pip install --quiet --python $(LOWEST_VENV) --resolution lowest-direct .
	$(BIN)/uv pip install --quiet --python $(LOWEST_VENV) --group test ".[sim]"
	cd tests && PYTHONSAFEPATH=1 OC_TEST_INSTALLED=1 ../$(LOWEST_VENV)/bin/pytest -q -c ../pyproject.toml --rootdir=.. .

bench: $(VENV)/ready $(WHEEL_VENV)/ready broker ## Our agent and other gateways at the same work (an hour; QUICK=1: nine minutes; PI="zero2 3 4": on such boards; SECONDS=N, RUNS=N, ONLY=, SCENES=)
	cd bench && ../$(BIN)/python -m gateways $(if $(QUICK),--quick) $(if $(SECONDS),--seconds $(SECONDS)) \
		$(if $(RUNS),--runs $(RUNS)) $(if $(PI),--boards $(PI)) $(if $(ONLY),--only $(ONLY)) $(if $(SCENES),--scenes $(SCENES))

bench-parts: $(VENV)/ready ## What was measured to choose a library, a bad RS-485 bus, the cost of the store, of simulated devices and of one device
	$(BIN)/python bench/validation_libraries.py
	$(BIN)/python bench/modbus_bus.py
	$(BIN)/python bench/store.py
	$(BIN)/python bench/simulated_modbus.py
	$(BIN)/python bench/floor.py

soak: $(VENV)/ready debian lowest ## The long tests, and the tests on the lowest versions
	$(BIN)/pytest -q --soak --soak-seconds $(SOAK_SECONDS) -rP

bundle: $(VENV)/ready ## One file per architecture to install from without internet, in dist/
	$(BIN)/python packaging/bundle.py aarch64 x86_64 --if-possible armv7l

lock: $(VENV)/ready ## Pin every dependency anew, with hashes
	$(BIN)/uv pip compile pyproject.toml --extra sim --extra uvloop --group test --group bundle --universal --generate-hashes --upgrade \
		--no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet -o requirements.lock

clean: ## Remove what was built
	rm -rf $(VENV) $(WHEEL_VENV) $(LOWEST_VENV) .bench dist build .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.PHONY: broker debian
broker: # a real MQTT broker; the demo falls back to an embedded one
	@./.ci/install-debian-packages mosquitto

debian: # and a Modbus client of others, and what checks units and rules; their tests are skipped without, but not in CI
	@./.ci/install-debian-packages mosquitto mbpoll systemd:systemd-analyze udev:udevadm shellcheck man-db:man mandoc

$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "oc-agent needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

$(WHEEL_VENV)/ready: requirements.lock pyproject.toml $(shell find agent drivers simulators config docs/contract docs/tester/example -type f -not -name '*.pyc') | $(VENV)/ready
	rm -f dist/*.whl
	$(BIN)/python -m build --wheel --no-isolation . >/dev/null
	test -x $(WHEEL_VENV)/bin/python || $(PYTHON) -m venv $(WHEEL_VENV)
	$(WHEEL_VENV)/bin/pip install --quiet --require-hashes -r requirements.lock
	$(WHEEL_VENV)/bin/pip install --quiet --no-deps --force-reinstall dist/*.whl
	touch $@
