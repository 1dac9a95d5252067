"""Every report of one fixed audit: golden files, the schema, round trips, hostile content, widths."""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import html.parser
import io
import json
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from audit_samples import HOSTILE, sample_audit

from pytest_finops import reports
from pytest_finops.audit import Audit
from pytest_finops.errors import AuditError, ConfigError, FinopsError
from pytest_finops.reports import as_csv, as_json, junit, pytest_html, terminal, text

GOLDEN = Path(__file__).parent / "golden"
#: Not FINOPS_UPDATE_GOLDEN: conftest.py drops the caller's FINOPS_ variables before any test is collected.
UPDATE = os.environ.get("UPDATE_GOLDEN") == "1"
SCHEMA = Path(as_json.__file__).parent.parent / "audit.schema.json"
ENDINGS = {"json": "json", "csv": "csv", "markdown": "md", "html": "html"}
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]")


@pytest.fixture(scope="module")
def audit() -> Audit:
    return sample_audit()


def compare(name: str, made: str) -> None:
    path = GOLDEN / name
    data = made.encode()
    if UPDATE:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    assert path.read_bytes() == data, f"{name} changed; look at it, then run with UPDATE_GOLDEN=1"


@pytest.mark.parametrize("name", sorted(ENDINGS))
def test_golden_reports(audit: Audit, name: str) -> None:
    compare(f"report.{ENDINGS[name]}", reports.render(audit, name))


@pytest.mark.parametrize("width", [80, 160])
def test_golden_terminal(audit: Audit, width: int) -> None:
    compare(f"terminal-{width}.txt", "\n".join(terminal.summary_lines(audit, width)) + "\n")


# --- JSON -----------------------------------------------------------------------------------------------------


def test_audit_file_follows_its_schema(audit: Audit) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(json.loads(as_json.render(audit)))
    empty = Audit(tool_version="0", scan_timestamp="2026-01-01T00:00:00Z", finished_at="2026-01-01T00:00:00Z")
    validator.validate(as_json.to_builtins(empty))


def test_schema_refuses_floats_and_missing_keys(audit: Audit) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    made = as_json.to_builtins(audit)
    made["findings"][0]["counted_monthly_savings"] = 1.5
    assert not validator.is_valid(made)
    made = as_json.to_builtins(audit)
    del made["gate"]
    assert not validator.is_valid(made)


def test_money_in_the_audit_file(audit: Audit) -> None:
    made = as_json.to_builtins(audit)
    for row in made["findings"]:
        saved = row["estimated_monthly_savings"]
        if saved is None:
            assert row["estimated_annual_savings"] is None
            continue
        sides = {"current": Decimal(0), "target": Decimal(0)}
        for line in row["price_lines"]:
            assert Decimal(line["amount"]) == Decimal(line["quantity"]) * Decimal(line["unit_price"])
            sides[line["side"]] += Decimal(line["amount"])
        exact = sides["current"] - sides["target"]
        assert Decimal(saved) == text.cents(exact)
        assert Decimal(row["estimated_annual_savings"]) == text.cents(exact * 12)
    counted = sum(Decimal(row["counted_monthly_savings"]) for row in made["findings"])
    assert Decimal(made["total_monthly_savings"]) == counted
    assert Decimal(made["total_annual_savings"]) == counted * 12


@pytest.mark.parametrize(
    ("amount", "written"),
    [("1E+3", "1000"), ("1E-7", "0.0000001"), ("-0.00", "0.00"), ("-1.5", "-1.5"), ("0E+2", "0")],
)
def test_money_is_never_an_exponent(amount: str, written: str) -> None:
    assert text.plain(Decimal(amount)) == written


def test_half_a_cent_rounds_up(audit: Audit) -> None:
    finding = dataclasses.replace(audit.findings[0], counted_monthly_savings=Decimal("0.125"))
    assert as_json.finding_to_builtins(finding)["counted_monthly_savings"] == "0.13"


def test_saved_audit_reads_the_same(audit: Audit, tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    reports.write(audit, "json", path)
    again = as_json.load(path)
    for name in ENDINGS:
        assert reports.render(again, name) == reports.render(audit, name)
    assert terminal.summary_lines(again) == terminal.summary_lines(audit)
    assert again.findings[0].tags == HOSTILE
    assert [f.estimated_monthly_savings for f in again.findings] == [
        f.estimated_monthly_savings for f in audit.findings
    ]


def break_file(audit: Audit, change: Any) -> str:
    data = as_json.to_builtins(audit)
    change(data)
    with pytest.raises(AuditError) as caught:
        as_json.from_builtins(data, source="audit.json")
    return str(caught.value)


def test_malformed_audits_name_file_and_place(audit: Audit) -> None:
    said = break_file(audit, lambda data: data["findings"][3].update(severity="awful"))
    assert "audit.json: findings[3].severity" in said
    said = break_file(audit, lambda data: data["findings"][0].pop("counted_monthly_savings"))
    assert said == "audit.json: findings[0]: missing counted_monthly_savings"
    said = break_file(audit, lambda data: data["findings"][0].update(counted_monthly_savings="NaN"))
    assert "findings[0].counted_monthly_savings" in said
    said = break_file(audit, lambda data: data["findings"][0]["price_lines"][0].update(quantity=1.5))
    assert "findings[0].price_lines[0].quantity" in said
    said = break_file(audit, lambda data: data.update(checks={}))
    assert "audit.json: checks: expected a list" in said
    said = break_file(audit, lambda data: data.update(schema_version="2"))
    assert said == "audit.json: schema_version: '2' is not supported; this version reads '1'"
    said = break_file(audit, lambda data: data.pop("schema_version"))
    assert "no schema_version" in said


@pytest.mark.parametrize(
    "content", [b"", b'{"schema_version": "1"', b"\xff\xfe", b"[]", b'{"schema_version": "1"}']
)
def test_unreadable_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(AuditError, match=r"broken\.json"):
        as_json.load(path)
    with pytest.raises(AuditError, match=r"absent\.json"):
        as_json.load(tmp_path / "absent.json")


# --- hostile content ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(ENDINGS))
def test_no_report_holds_control_characters(audit: Audit, name: str) -> None:
    made = reports.render(audit, name)
    assert not CONTROLS.search(made)
    made.encode("utf-8")


@pytest.mark.parametrize("name", sorted(ENDINGS))
def test_no_line_is_a_workflow_command(audit: Audit, name: str) -> None:
    assert not [line for line in reports.render(audit, name).splitlines() if line.lstrip().startswith("::")]


class Page(html.parser.HTMLParser):
    """Collects the elements and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_html_runs_and_loads_nothing(audit: Audit) -> None:
    made = reports.render(audit, "html")
    page = Page()
    page.feed(made)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "img", "iframe", "object", "link", "b-bucket"}
    for _, attrs in page.tags:
        assert not [key for key in attrs if key.startswith("on") or key in ("style", "src", "srcset")]
        href = attrs.get("href") or "#"
        assert href.startswith(("#", "https://docs.aws.amazon.com/", "https://example.org/"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in made
    policy = next(attrs["content"] or "" for tag, attrs in page.tags if "http-equiv" in attrs)
    css = re.search(r"<style>(.*?)</style>", made, re.DOTALL)
    assert css
    digest = base64.b64encode(hashlib.sha256(css[1].encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert "url(" not in css[1]
    assert "@import" not in css[1]


def test_every_chart_has_a_table(audit: Audit) -> None:
    made = reports.render(audit, "html")
    assert made.count("<svg") == 4  # by category, account, region and organizational unit
    assert len(re.findall(r"</svg>\s*<table>", made)) == 4


def test_links_that_are_not_https_are_dropped(audit: Audit) -> None:
    bad = dataclasses.replace(
        audit.findings[0], docs_url="javascript:alert(1)", aws_doc='https://x.example/"><b>'
    )
    made = reports.render(dataclasses.replace(audit, findings=(bad,)), "html")
    assert "javascript:" not in made
    assert "x.example" not in made


def test_csv_has_no_formula_and_keeps_numbers(audit: Audit) -> None:
    negative = dataclasses.replace(audit.findings[0], estimated_monthly_savings=Decimal("-5"), team="\t=1+1")
    made = as_csv.render(dataclasses.replace(audit, findings=(negative, *audit.findings[1:])))
    rows = list(csv.DictReader(io.StringIO(made)))
    assert len(rows) == len(audit.findings)
    assert rows[0]["estimated_monthly_savings"] == "-5.00"
    assert rows[0]["team"] == "'=1+1"
    numbers = re.compile(r"-\d+(\.\d+)?")
    for row in rows:
        for value in row.values():
            assert not value.startswith(("=", "+", "@", "\t", "\r")), value
            assert not value.startswith("-") or numbers.fullmatch(value), value
    assert all(line.startswith('"') for line in made.splitlines())


def test_markdown_stays_text(audit: Audit) -> None:
    made = reports.render(audit, "markdown")
    assert "<" not in made
    assert "![" not in made
    assert "https://" not in made
    assert not re.search(r"(?<![\w.])@\w", made)
    for table in re.findall(r"(?:^\|.*\n)+", made, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table


@pytest.mark.parametrize("width", [80, 100, 160])
def test_terminal_fits(audit: Audit, width: int) -> None:
    made = terminal.summary_lines(audit, width)
    assert max(map(text.cell_width, made)) <= width
    assert not CONTROLS.search("".join(made))
    assert any("…" in line for line in terminal.summary_lines(audit, 80))
    wide = terminal.summary_lines(audit, 160)
    assert any("ebs-unattached-volume" in line and "prod-us-east-1" in line for line in wide)


def test_terminal_says_what_it_did_not_see(audit: Audit) -> None:
    made = "\n".join(terminal.summary_lines(audit))
    for part in (
        "Blind spots: 1",
        "no datapoints (4)",
        "without a price",
        "predicted $0.012 to $0.018",
        "2026-11-01",
    ):
        assert part in made


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("a\x9b2Jb", "ab"),
        ("one\r\n::error::two", "one ::error::two"),
        ("a\u202eb\u2069c\u200fd", "abcd"),
        ("half \ud800", "half \N{REPLACEMENT CHARACTER}"),
        ("\x00\x07\x1b", ""),
    ],
)
def test_safe(raw: str, shown: str) -> None:
    assert text.safe(raw) == shown


def test_fit_counts_columns() -> None:
    assert text.fit("日本語", 4) == "日… "
    assert text.fit("e\u0301", 3) == "e\u0301  "
    assert text.fit("x", 3, right=True) == "  x"


# --- templates, files, helpers --------------------------------------------------------------------------------


def test_own_templates_come_first(audit: Audit, tmp_path: Path) -> None:
    (tmp_path / "report.md.j2").write_text(
        "# {{ company }} {{ total|money }}\n{{ items[4].finding.resource_id }}\n"
    )
    made = reports.render(audit, "markdown", templates=tmp_path, context={"company": "A|B"})
    assert made.startswith("# A\\|B $1,728.48\n")
    assert "&lt;img" in made
    (tmp_path / "own.html.j2").write_text("<p>{{ items[4].finding.resource_id }}</p>")
    assert "&lt;img" in reports.render(audit, "template:own.html.j2", templates=tmp_path)


def test_template_mistakes_are_named(audit: Audit, tmp_path: Path) -> None:
    (tmp_path / "bad.txt.j2").write_text("{{ nothing }}")
    (tmp_path / "worse.txt.j2").write_text("one\n{% if %}")
    with pytest.raises(ConfigError, match=r"bad\.txt\.j2.*nothing"):
        reports.render(audit, "template:bad.txt.j2", templates=tmp_path)
    with pytest.raises(ConfigError, match=r"worse\.txt\.j2, line 2"):
        reports.render(audit, "template:worse.txt.j2", templates=tmp_path)
    with pytest.raises(ConfigError, match=r"no template 'absent\.j2'"):
        reports.render(audit, "template:absent.j2", templates=tmp_path)
    with pytest.raises(ConfigError, match="no directory"):
        reports.render(audit, "html", templates=tmp_path / "absent")


def test_an_empty_audit_renders() -> None:
    empty = Audit(tool_version="0", scan_timestamp="2026-01-01T00:00:00Z", finished_at="2026-01-01T00:00:00Z")
    for name in ENDINGS:
        assert reports.render(empty, name)
    assert terminal.summary_lines(empty)


def test_write(audit: Audit, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "deep" / "audit.csv"
    reports.write(audit, "csv", path)
    assert path.read_text(encoding="utf-8") == as_csv.render(audit)
    reports.write(audit, "csv")
    assert capsys.readouterr().out == as_csv.render(audit)
    with pytest.raises(FinopsError, match="cannot write the csv report"):
        reports.write(audit, "csv", path / "below-a-file.csv")
    with pytest.raises(FinopsError, match="no report format 'pdf'"):
        reports.write(audit, "pdf")


def test_pytest_html_cells_escape_and_sort_as_numbers() -> None:
    made = pytest_html.cells("ec2-x", ["<b>prod</b>", "dev"], ["us-east-1"], 3, Decimal("12.345"))
    assert made == [
        '<td class="col-finops_rule">ec2-x</td>',
        '<td class="col-finops_account">&lt;b&gt;prod&lt;/b&gt;, dev</td>',
        '<td class="col-finops_region">us-east-1</td>',
        '<td class="col-finops_findings">       3</td>',
        '<td class="col-finops_savings">          $12.35</td>',
    ]
    assert len(pytest_html.header_cells()) == len(made) == len(pytest_html.empty_cells())
    assert "2,000 accounts" in pytest_html.cells("r", [str(n) for n in range(2000)], ["r"], 0, Decimal(0))[1]
    more = pytest_html.cells("ec2-x", ["dev"], ["us-east-1"], 12, Decimal("1000"))
    assert made[3] < more[3]
    assert made[4] < more[4]


def test_pytest_html_summary(audit: Audit) -> None:
    made = "".join(pytest_html.summary(audit))
    assert "$1,728.48 a month" in made
    assert "incomplete" in made


def test_junit_properties() -> None:
    assert junit.properties("ec2-x", [("2", "b"), ("1", "a"), ("1", "b")], 2, Decimal("1.005")) == [
        ("finops_rule", "ec2-x"),
        ("finops_account", "1,2"),
        ("finops_region", "a,b"),
        ("finops_findings", "2"),
        ("finops_savings", "1.01"),
    ]


def test_reports_load_jinja_only_when_needed() -> None:
    code = "import sys, pytest_finops.reports, pytest_finops.reports.terminal, pytest_finops.reports.junit; "
    code += "sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
