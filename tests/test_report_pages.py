"""What people see: colours that can be read, pages that fit, decisions that add up, long audits that stay readable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from importlib import resources
from itertools import cycle, islice
from pathlib import Path

import pytest
from audit_samples import DEV, PROD, sample_audit
from browser_kit import Page, browser

from pytest_finops import overlaps, priorities, reports, totals
from pytest_finops.audit import Account, Audit
from pytest_finops.billed import CUT
from pytest_finops.findings import BILLED, Finding, cents, finding_id
from pytest_finops.reports import terminal, text
from pytest_finops.reports.view import HELD, LEADING, view

CSS = (resources.files("pytest_finops.report_templates") / "report.css").read_text(encoding="utf-8")


def with_findings(audit: Audit, findings: list[Finding]) -> Audit:
    """Return ``audit`` with other findings, counted and ranked as a run would."""
    ranked = tuple(priorities.rank(overlaps.count(findings)))
    return replace(audit, findings=ranked, totals=totals.totals(ranked), accepted=())


def of_many(number: int) -> Audit:
    """Return an audit of ``number`` findings in 37 accounts."""
    sample = sample_audit()
    accounts = [f"{100000000000 + n}" for n in range(37)]
    made = []
    for index, finding in enumerate(islice(cycle(sample.findings), number)):
        account, name = accounts[index % 37], f"{finding.resource_id}-{index}"
        made.append(
            replace(
                finding, account_id=account, resource_id=name, components=(),
                id=finding_id(finding.rule_id, account, finding.region, name),
            )
        )  # fmt: skip
    named = tuple(Account(account_id=a, name=f"team-{n}") for n, a in enumerate(accounts))
    return replace(with_findings(sample, made), accounts=named)


AUDITS = {
    "sample": sample_audit,
    "nothing": lambda: with_findings(sample_audit(), []),
    "many": lambda: of_many(200),
    "single": lambda: replace(
        with_findings(sample_audit(), [f for f in sample_audit().findings if f.account_id == PROD]),
        accounts=(Account(account_id=PROD, name="a name of fifty characters, which is what AWS admit"),),
    ),
}


# --- colours ----------------------------------------------------------------------------------------------------------

#: (text, background) of everything that is written; 4.5 to 1 is WCAG AA for small text.
WRITTEN = [
    *((ink, ground) for ink in ("ink", "muted", "accent") for ground in ("page", "soft")),
    *((ink, ground) for ink in ("ink", "accent") for ground in ("good-soft", "bad-soft")),
    ("on-top", "top"), ("on-top-soft", "top"),
    *((f"{name}-ink", name) for name in ("grey", "red", "amber", "blue", "violet")),
]  # fmt: skip
#: Shapes that mean something: 3 to 1.
DRAWN = [("waste", "track"), ("opt", "track"), ("waste", "page"), ("opt", "page"), ("rule", "page")]


def palettes() -> dict[str, dict[str, str]]:
    light, dark = re.findall(r":root\{([^}]*--page[^}]*)\}", CSS)
    return {
        name: dict(re.findall(r"--([\w-]+):(#[0-9a-f]+)", block))
        for name, block in (("light", light), ("dark", dark))
    }


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_computed_as_wcag_does() -> None:
    assert round(contrast("#000", "#ffffff"), 2) == 21
    assert round(contrast("#777777", "#fff"), 2) == 4.48


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_pass_wcag_aa(scheme: str) -> None:
    colours = palettes()[scheme]
    for least, pairs in ((4.5, WRITTEN), (3.0, DRAWN)):
        for ink, ground in pairs:
            assert contrast(colours[ink], colours[ground]) >= least, (ink, ground)


def test_every_colour_is_named_and_both_schemes_name_the_same() -> None:
    light, dark = palettes().values()
    assert light.keys() == dark.keys()
    rest = re.sub(r":root\{[^}]*\}", "", CSS)
    assert not re.search(r"#[0-9a-f]{3,6}\b(?=[;},\s])", re.sub(r"#[a-z]+[\s>{]", "", rest))
    used = set(re.findall(r"var\(--([\w-]+)\)", rest))
    assert used == set(light)


# --- decisions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(AUDITS))
def test_decisions_add_up_to_the_total(name: str) -> None:
    audit = AUDITS[name]()
    shown = view(audit)
    assert sum((step.total for step in shown.steps), Decimal(0)) == audit.totals.monthly
    for chart in shown.charts:
        assert chart.total.total == audit.totals.monthly
        assert chart.total.findings == sum(f.status != "accepted" for f in audit.findings)
    listed = [item.finding.id for decision in shown.groups for item in decision.items]
    assert sorted(listed) == sorted(f.id for f in audit.findings)


def test_a_decision_is_a_rule_in_a_phase() -> None:
    shown = view(sample_audit())
    first = shown.steps[0].leading[0]
    assert shown.steps[0].title == "Quick wins"
    assert first.finding.rule_id == "ebs-unattached-volume"
    assert (len(first.items), first.total, first.accounts) == (4, Decimal("400.00"), ("dev", "prod"))
    assert first.shared == {"recommendation", "remediation_effort", "rollback"}
    orders = [[cents(d.total) for d in step.leading] for step in shown.steps]
    assert all(len(step.leading) <= max(LEADING.values()) for step in shown.steps)
    assert orders[0] == sorted(orders[0], reverse=True)
    accepted = shown.groups[-1]
    assert {item.finding.status for item in accepted.items} == {"accepted"}
    assert accepted not in [d for step in shown.steps for d in (*step.leading, *step.others)]


def test_what_is_only_an_alternative_is_no_decision() -> None:
    sample = sample_audit()
    better, worse = sample.findings[0], replace(sample.findings[5], counted_monthly_savings=Decimal(0))
    shown = view(replace(sample, findings=(better, worse), totals=totals.totals((better, worse))))
    assert [d.finding.id for step in shown.steps for d in step.leading] == [better.id]
    assert len(shown.groups) == 2


def test_a_thousand_findings_stay_readable() -> None:
    audit = of_many(1000)
    made = reports.render(audit, "html")
    assert made.count('<details class="f"') == 1000
    assert not re.search(r'<details class="g[^>]* open', made)
    assert len(re.findall(r"<tr><td>team-\d+</td>", made)) == 12
    assert "25 more" in made
    markdown = reports.render(audit, "markdown")
    # What GitHub accepts as a step summary is 1 MiB, as a comment 65,536 characters.
    assert len(markdown) < 65_536
    assert "The first 30 findings by priority" in markdown
    assert max(map(text.cell_width, terminal.summary_lines(audit, 80))) <= 80


def test_a_page_holds_no_more_than_browsers_like() -> None:
    audit = of_many(5000)
    made = reports.render(audit, "html")
    assert made.count('<details class="f"') == HELD
    beyond = re.findall(r"<p>([\d,]+) more of lower priority", made)
    assert sum(int(number.replace(",", "")) for number in beyond) == 5000 - HELD
    assert len(made) < 10_000_000


def test_what_is_not_reconciled_and_what_a_bill_took_off_is_said_everywhere() -> None:
    sample = sample_audit()
    one, two, three, *rest = (
        replace(f, status="new", net_monthly_savings=f.estimated_monthly_savings) for f in sample.findings
    )
    one = replace(one, evidence={BILLED: {"ebs:vol-1": "caps 6.40"}}, metadata={CUT: Decimal("1.536")})
    two = replace(two, evidence={BILLED: {"ebs:vol-2": "not reconciled: the bill does not name it"}})
    basis = {"net_basis": "not reconciled: ec2.describe_reserved_instances: AccessDenied"}
    three = replace(three, net_monthly_savings=None, metadata=basis)
    audit = with_findings(sample, [one, two, three, *rest])
    bill = "what was billed takes $1.54 a month off 1 finding; 1 of 2 findings is not reconciled with what was billed: the bill does not name it (1)"
    assert view(audit).caveats[0] == bill
    assert "no sum after them: ec2.describe_reserved_instances: AccessDenied (1)" in view(audit).caveats[1]
    for format_name in ("markdown", "html"):
        page = reports.render(audit, format_name)
        assert all(caveat in page for caveat in view(audit).caveats)
    said = " ".join(" ".join(terminal.summary_lines(audit)).split())
    assert all(caveat in said for caveat in view(audit).caveats)
    assert view(sample).caveats == ()


def test_no_finding_still_says_what_was_looked_at() -> None:
    audit = AUDITS["nothing"]()
    made = reports.render(audit, "html")
    assert "what could be seen holds nothing to save" in made
    assert 'class="r" open' in made
    complete = replace(audit, complete=True)
    assert "no check found anything to save" in reports.render(complete, "html")
    assert "no check found anything to save" in reports.render(complete, "markdown")


def test_emoji_do_not_break_the_columns() -> None:
    sample = sample_audit()
    names = ("❤️" * 40, "👩‍💻🏽" * 40, "日本" * 40, "e\u0301" * 80, "🇩🇪" * 40)
    odd = tuple(replace(f, resource_id=n) for f, n in zip(sample.findings, names, strict=False))
    for width in (80, 160):
        made = terminal.summary_lines(replace(sample, findings=odd), width)
        table = made[next(n for n, line in enumerate(made) if line.lstrip().startswith("#")) :][
            : len(odd) + 1
        ]
        assert {text.cell_width(line) for line in table} == {text.cell_width(table[0])}
        assert text.cell_width(table[0]) <= width


def test_account_ids_keep_their_region_at_80_columns() -> None:
    sample = replace(sample_audit(), accounts=())
    made = "\n".join(terminal.summary_lines(sample, 80))
    assert f"{PROD}-us-east-1" in made
    assert "vol-0aa00000000000001" in made


def test_short_names_keep_what_identifies() -> None:
    arn = "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/app/web/50dc6c495c0c9188"
    assert text.resource_name(arn) == "app/web/50dc6c495c0c9188"
    assert text.resource_name("arn:aws:rds:eu-west-1:1:db:orders") == "orders"
    assert text.resource_name("arn:aws:sns:eu-west-1:1:topic") == "topic"
    assert text.resource_name("vol-1") == "vol-1"
    assert text.fact("is_managed", False) == "managed: no"
    assert text.fact("savings_up_to", "3.00000000") == "savings up to: 3"
    assert text.fact("version", "16.10") == "version: 16.10"
    assert text.fact("unattached_days", 120.0) == "unattached days: 120"


# --- in a browser ------------------------------------------------------------------------------------------------------

#: Every element with text of its own: the least contrast to the first painted ground behind it.
CONTRASTS = """(() => {
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const lum = ([r, g, b]) => { const f = v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    return .2126 * f(r) + .7152 * f(g) + .0722 * f(b); };
  let least = 21;
  for (const e of document.querySelectorAll('body *')) {
    if (e.closest('svg') || !e.getClientRects().length) continue;
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    let ground = e, back = [];
    while (ground) { back = parse(getComputedStyle(ground).backgroundColor);
      if (back.length === 3 || back[3] > 0) break; ground = ground.parentElement; }
    const [a, b] = [lum(parse(getComputedStyle(e).color)), lum(back)].sort((x, y) => y - x);
    least = Math.min(least, (a + .05) / (b + .05));
  }
  return least;
})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if browser() is None:
        pytest.skip("no Chromium on this machine")
    with Page(tmp_path_factory.mktemp("profile")) as page:
        yield page


def written(audit: Audit, folder: Path) -> Path:
    path = folder / "report.html"
    reports.write(audit, "html", path)
    return path


@pytest.mark.parametrize("name", sorted(AUDITS))
def test_nothing_scrolls_sideways(page: Page, name: str, tmp_path: Path) -> None:
    path = written(AUDITS[name](), tmp_path)
    for width in (390, 1280):
        page.open(path, width)
        for state in ("", "document.querySelectorAll('details').forEach(d => d.open = true)"):
            page.value(state)
            assert page.value("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_on_the_page_passes_wcag_aa(page: Page, dark: bool, tmp_path: Path) -> None:
    page.open(written(sample_audit(), tmp_path), 1280, dark=dark)
    page.value("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.value("getComputedStyle(document.body).backgroundColor") == (
        "rgb(18, 24, 30)" if dark else "rgb(255, 255, 255)"
    )
    assert page.value(CONTRASTS) >= 4.5


def test_twenty_findings_are_two_pages(page: Page, tmp_path: Path) -> None:
    audit = sample_audit()
    assert len(audit.findings) == 20
    page.open(written(audit, tmp_path), 1280)
    assert page.pdf(tmp_path / "report.pdf") == 2


def test_the_style_is_let_through_by_the_policy(page: Page, tmp_path: Path) -> None:
    page.open(written(sample_audit(), tmp_path), 1280)
    assert page.value("getComputedStyle(document.querySelector('.cards')).display") == "grid"
    assert DEV in reports.render(sample_audit(), "html")
