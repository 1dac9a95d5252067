# The one entrance: every target creates the virtualenv that it needs.
VENV := .venv
PY := $(VENV)/bin/python

.PHONY: demo test lint docs pictures venv clean

venv: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	test -x $(PY) || python3 -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

$(VENV)/.installed-run: pyproject.toml
	test -x $(PY) || python3 -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

demo: $(VENV)/.installed-run  ## Audit the embedded sample estate and leave a report worth opening
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
	$(PY) -m pytest -q

docs: venv  ## Regenerate every generated document
	$(PY) docs/generate.py
	$(PY) benchmarks/run_cost.py --write

pictures: venv  ## Take the pictures of the report anew; needs Chromium
	$(PY) docs/pictures.py

clean:
	rm -rf $(VENV) build dist *.egg-info finops-report
