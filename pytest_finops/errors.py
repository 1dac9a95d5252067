"""Every exception of the project, in one tree.

FinopsError
├── ConfigError            a mistake in options, finops.yaml, or a rule file (shown as a usage error)
├── DeclarationError       an @inventory, @metric or @rule that cannot be right
├── PlanError              a check reads what it did not declare
├── CollectError           AWS could not be asked
│   ├── CostLimitError     the next billable call would pass --finops-max-api-cost
│   └── WriteRefusedError  a call that is not a declared read tried to leave the process
└── AuditError             a saved audit or inventory cannot be read
FindingsFound (AssertionError)   a check found something: the only exception that is a finding
BlindTargets  (FinopsError)      a check could not look
"""

from __future__ import annotations


class FinopsError(Exception):
    """Something that pytest-finops refuses or cannot do; the message names the value and the cure."""


class ConfigError(FinopsError):
    """A mistake in an option, an environment variable, ``finops.yaml`` or a rule file."""


class DeclarationError(FinopsError):
    """A declaration (``@inventory``, ``@metric``, ``@rule``) that cannot be right."""


class PlanError(FinopsError):
    """A check or fixture read an inventory that its test did not declare."""


class CollectError(FinopsError):
    """AWS could not be asked, or refused; ``code`` is AWS's own error code where there is one."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class CostLimitError(CollectError):
    """The next billable call would pass ``--finops-max-api-cost``."""


class WriteRefusedError(CollectError):
    """A call that is not a declared read tried to leave the process."""


class AuditError(FinopsError):
    """A saved audit or a saved inventory cannot be read; the message names file and place."""


class BlindTargets(FinopsError):
    """A check could not look at some or all of its targets."""


class FindingsFound(AssertionError):
    """A check found something; raised by the engine after the check returned, never by a check."""
