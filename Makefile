# The one entrance: every target creates the virtualenv that it needs.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check

.PHONY: demo test lint docs pictures venv clean

venv: $(VENV)/.installed

# A virtualenv that was begun and not finished has python and no pip.
$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed" >&2; exit 1; }
	@.ci/need python3-venv $(PYTHON) -c 'import ensurepip, venv'
	$(PYTHON) -m venv --clear $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/pip
	$(PIP) --editable '.[test]'
	touch $@

$(VENV)/.installed-run: pyproject.toml | $(VENV)/bin/pip
	$(PIP) --editable .
	touch $@

demo: $(or $(wildcard $(VENV)/.installed),$(VENV)/.installed-run)  ## Audit the embedded sample estate and leave a report worth opening
	@$(PY) -m pytest --finops-demo checks/ \
	  --finops-report html:finops-report/report.html --finops-report json:finops-report/audit.json \
	  --finops-report markdown:finops-report/report.md; status=$$?; \
	  echo "the gate would have exited with status $$status; open finops-report/report.html"; \
	  case $$status in 0|1|7) exit 0;; *) exit $$status;; esac

lint: venv
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test: venv lint  ## Install everything and run the whole suite
	@.ci/need chromium sh -c 'command -v chromium || command -v chromium-browser || command -v google-chrome' || \
	  echo "the tests that look at the report as a page are skipped" >&2
	$(PY) -m pytest -q -rs -n 2 --dist loadfile

docs: venv  ## Regenerate every generated document
	$(PY) -m pytest_finops.prices.agreement
	$(PY) docs/generate.py
	$(PY) benchmarks/run_cost.py --write

pictures: venv  ## Take the pictures of the report anew; needs Chromium
	$(PY) docs/pictures.py

clean:
	rm -rf $(VENV) build dist *.egg-info finops-report
