# Two commands for a newcomer: `make demo` and `make test`. Both install what they need into .venv.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := dev,graphql,ml,optimize,otel,rabbitmq,speech,studio

.PHONY: demo test check bench serve studio install lock

demo: install
	$(BIN)/agent demo

test: install
	$(BIN)/python -m pytest -n 3 --dist worksteal

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/project/test_readme.py tests/project/test_settings.py

bench: install
	$(BIN)/python -m benchmarks

serve: install
	$(BIN)/agent serve

studio: install
	LANGGRAPH_CLI_NO_ANALYTICS=1 $(BIN)/langgraph dev --no-browser

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, then run make again."; exit 1; }
	@echo "Installing into $(VENV): about a minute, once."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# The newest versions that fit together on the oldest Python that is supported.
lock:
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && python3.11 -m venv "$$folder" && \
	"$$folder/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]' && \
	{ echo '# Every package of an installation with every extra, pinned. Made by `make lock`.'; \
	  "$$folder/bin/python" -m pip freeze --exclude-editable; } > requirements.lock

.env.example: $(wildcard src/agent/settings/*.py) | install
	$(BIN)/python -c 'from agent.settings import env_example; print(env_example(), end="")' > $@
