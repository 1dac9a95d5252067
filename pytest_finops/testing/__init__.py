"""What runs instead of AWS: an estate of accounts and the endpoint that serves it."""

from pytest_finops.testing.estate import Estate
from pytest_finops.testing.replay import Fault, LoggedRequest, ReplayEndpoint

__all__ = ["Estate", "Fault", "LoggedRequest", "ReplayEndpoint"]
