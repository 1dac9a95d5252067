"""pytest-html's own report: what a check covers and found, one row each, and the audit at its head."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .run import AuditRun


class HtmlHooks:
    """Hooks of pytest-html; they are never called where that plugin is absent or switched off."""

    def __init__(self, run: AuditRun) -> None:
        self._run = run
        self._headed = False

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """Add the columns of a check before the links."""
        from .reports import pytest_html

        self._headed = True
        cells[-1:-1] = pytest_html.header_cells()

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: Any, cells: list[str]) -> None:
        """Fill them; leave out the row of a call whose check ends as an error."""
        if not self._headed:
            return
        if getattr(report, "finops_hidden", False):
            del cells[:]
            return
        cells[-1:-1] = self._cells(dict(getattr(report, "user_properties", ())))

    def _cells(self, properties: dict[str, str]) -> list[str]:
        from .reports import pytest_html

        if "finops_rule" not in properties:
            return pytest_html.empty_cells()
        names = {target.account_id: target.name or target.account_id for target in self._run.targets}
        return pytest_html.cells(
            properties["finops_rule"],
            [names.get(account, account) for account in properties["finops_account"].split(",")],
            properties["finops_region"].split(","),
            int(properties["finops_findings"]),
            Decimal(properties["finops_savings"]),
        )

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_summary(self, prefix: list[str]) -> None:
        """Put the audit at the head of the report."""
        from .reports import pytest_html

        if self._run.audit is not None:
            prefix.extend(pytest_html.summary(self._run.audit))
