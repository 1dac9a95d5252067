"""What our own test suite needs before anything is collected; users need nothing from here."""

import os

for _name in [n for n in os.environ if n.startswith(("AWS_", "FINOPS_")) or n == "PYTEST_ADDOPTS"]:
    del os.environ[_name]
