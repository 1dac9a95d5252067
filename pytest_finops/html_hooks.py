"""pytest-html's own report: what a check covers and found, one row each, and the audit at its head."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .run import AuditRun


class HtmlHooks:
    """Hooks of pytest-html; they are never called where that plugin is absent or switched off."""

    def __init__(self, run: AuditRun) -> None:
        self._run = run
        self._report: Any = None
        self._headed = self._collected = self._filled = False

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_report_title(self, report: Any) -> None:
        """Keep the report: its headings are asked for before anybody knows what will be collected."""
        self._report = report

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """Add the columns of a check before the links, unless there is none."""
        self._head(cells)

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_finish(self) -> Iterator[None]:
        """Take the columns back where no check was collected: FINOPS_PROFILE may stand in every job of a CI."""
        yield
        self._collected = True
        # A file that could not be collected has its row already, with the columns.
        if self._report is not None and not self._filled:
            self._head(self._report.table_header)

    def _head(self, cells: list[str]) -> None:
        from .reports import pytest_html

        ours = pytest_html.header_cells()
        checks = self._run.plan is not None and bool(self._run.plan.checks)
        if self._headed:
            cells[:] = [cell for cell in cells if cell not in ours]
        self._headed = checks or not self._collected
        if self._headed:
            cells[-1:-1] = ours

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: Any, cells: list[str]) -> None:
        """Fill them; leave out the row of a call whose check ends as an error."""
        if not self._headed:
            return
        self._filled = True
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
