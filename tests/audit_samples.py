"""One fixed audit for tests of everything that reads audits: every kind of finding, gap and hostile string."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pytest_finops.audit import (
    Accepted,
    Account,
    ApiCalls,
    ApiUsage,
    Audit,
    BlindSpot,
    CheckRow,
    Gate,
    PriceUsage,
    RuleTally,
    Totals,
)
from pytest_finops.findings import Component, Finding, Note, NotEvaluated, PriceLine, cents, finding_id
from pytest_finops.resources import Environment

PROD, DEV = "111122223333", "444455556666"
EAST, WEST = "us-east-1", "eu-west-1"

#: Tags that attack whoever prints them: a browser, a spreadsheet, a terminal, a CI log, a table, a layout.
HOSTILE = {
    "Name": "<script>alert(1)</script>",
    "Formula": "=cmd|' /C calc'!A0",
    "Terminal": "\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b2J",
    "Log": "fine\n::error::owned",
    "Long": "x" * 256,
    "Emoji": "👩‍💻 café",
    "Bidi": "abc\u202edef\u2066ghi\u200f",
    "Table": "a | b `c` ![x](https://evil.example/p.png) @everyone",
    "Attribute": "\" onmouseover='alert(2)",
    "Surrogate": "half \ud800 pair",
}


def line(
    dimension: str, region: str, quantity: str, unit: str, price: str | None, source: str = "live"
) -> PriceLine:
    """Return a price line of the sample."""
    return PriceLine(
        dimension=dimension,
        region=region,
        quantity=Decimal(quantity),
        unit=unit,
        unit_price=None if price is None else Decimal(price),
        source="unknown" if price is None else source,
        sku="" if price is None else "SKU" + dimension.upper().replace("-", "")[:10],
        as_of="" if price is None else "2026-11-01",
        attributes=(("kind", "sample"),) if unit == "Hrs" else (),
    )


def finding(
    rule: str,
    name: str,
    category: str,
    resource: str,
    account: str,
    region: str,
    current: list[PriceLine],
    target: list[PriceLine],
    **changes: Any,
) -> Finding:
    """Return a finding whose figures follow from its price lines."""
    priced = all(item.amount is not None for item in current + target)
    before = sum((item.amount or Decimal(0) for item in current), Decimal(0))
    after = sum((item.amount or Decimal(0) for item in target), Decimal(0))
    saved = before - after if priced else None
    accepted = changes.get("status") == "accepted"
    values: dict[str, Any] = {
        "severity": "medium",
        "effort": "quick_win",
        "restart": False,
        "risk": "low",
        "confidence": "high",
        "kind": "waste",
        "action": "delete",
        "resource_type": "AWS::EC2::Volume",
        "resource_arn": f"arn:aws:ec2:{region}:{account}:volume/{resource}",
        "environment": Environment("prod" if account == PROD else "nonprod", "account", "high"),
        "current_monthly_cost": before if priced else None,
        "target_monthly_cost": after if priced else None,
        "estimated_monthly_savings": saved,
        "counted_monthly_savings": Decimal(0) if accepted or saved is None else saved,
        "components": (Component(f"ebs:{resource}", before if priced else None, saved),),
        "current_lines": tuple(current),
        "target_lines": tuple(target),
        "recommendation": "Snapshot it, wait a week, then delete it.",
        "remediation_effort": "10 minutes",
        "rollback": "Restore it from the snapshot.",
        "docs_url": f"https://example.org/checks/{rule}",
        "aws_doc": "https://docs.aws.amazon.com/ebs/latest/userguide/ebs-deleting-volume.html",
        "phase": "quick_win",
    }
    return Finding(
        id=finding_id(rule, account, region, resource),
        rule_id=rule,
        name=name,
        category=category,
        resource_id=resource,
        account_id=account,
        region=region,
        **(values | changes),
    )


def _findings() -> list[Finding]:
    places = [(PROD, EAST), (PROD, WEST), (DEV, EAST), (DEV, WEST)]
    made = []
    for index, (account, region) in enumerate(places):
        made.append(
            finding(
                "ebs-unattached-volume", "Unattached EBS volume", "storage", f"vol-0aa00000000000{index:03}",
                account, region, [line("ebs-gp3-storage", region, str(500 * (4 - index)), "GB-Mo", "0.08")], [],
                current_value=f"unattached for {40 + index} days", threshold="> 7 days",
                evidence={"unattached_days": 40 + index, "last_attached": "2026-09-12"},
                tags=HOSTILE if index == 0 else {"Team": "data"}, owner="ana@example.org", team="data",
            )
        )  # fmt: skip
        made.append(
            finding(
                "ec2-low-cpu", "EC2 instance with low CPU", "compute", f"i-0bb00000000000{index:03}",
                account, region, [line("ec2-m6i.2xlarge-linux", region, "730", "Hrs", "0.384")],
                [line("ec2-m6i.large-linux", region, "730", "Hrs", "0.096")],
                kind="optimisation", action="rightsize", effort="medium", restart=True, risk="medium",
                confidence="medium", phase="plan", severity="high", resource_type="AWS::EC2::Instance",
                resource_arn=f"arn:aws:ec2:{region}:{account}:instance/i-0bb00000000000{index:03}",
                current_value=f"{4 + index}.2% CPU on average", threshold="< 20%",
                evidence={"cpu_maximum": 31.5, "days": 14, "coverage": "100%"},
                net_monthly_savings=Decimal("105.12") if index == 0 else None,
                recommendation="Stop the instance, change its type to m6i.large, start it.\nWatch CPU and memory for a week.",
                rollback="Stop it and change the type back to m6i.2xlarge.", remediation_effort="1 hour",
                tags={"Service": "checkout", "aws:autoscaling:groupName": ""},
            )
        )  # fmt: skip
        made.append(
            finding(
                "ebs-gp2-volume", "gp2 volume that gp3 serves for less", "storage", f"vol-0cc00000000000{index:03}",
                account, region, [line("ebs-gp2-storage", region, "333", "GB-Mo", "0.1", "cache")],
                [line("ebs-gp3-storage", region, "333", "GB-Mo", "0.08", "cache")],
                kind="optimisation", action="upgrade", severity="low",
                current_value="gp2, 333 GB, 999 IOPS", threshold="gp3",
                recommendation="Modify the volume to gp3; it stays in use.", rollback="Modify it back to gp2 after six hours.",
                status="known" if index == 3 else "new",
            )
        )  # fmt: skip
        made.append(
            finding(
                "eip-unassociated", "Elastic IP address that nothing uses", "network", f"eipalloc-0dd0000000000{index:03}",
                account, region, [line("public-ipv4-idle", region, "730", "Hrs", "0.005", "snapshot")], [],
                severity="low", resource_type="AWS::EC2::EIP",
                current_value="not associated", threshold="associated",
                recommendation="Release the address.", rollback="None: the address goes back to AWS.",
                status="accepted" if index == 1 else "new",
            )
        )  # fmt: skip
    made.append(
        finding(
            "nat-idle", "NAT gateway without traffic", "network", "nat-0ee0000000000001", PROD, EAST,
            [line("nat-gateway-hours", EAST, "730", "Hrs", "0.045")], [], severity="high", risk="medium",
            resource_type="AWS::EC2::NatGateway", current_value="0 bytes in 14 days", threshold="> 0 bytes",
            alternative_to=(finding_id("nat-per-zone", PROD, EAST, "vpc-1"),),
        )
    )  # fmt: skip
    made.append(
        finding(
            "rds-idle", "Database without connections", "database", "orders-replica-2", PROD, WEST,
            [line("rds-db.r6g.xlarge-postgresql", WEST, "730", "Hrs", "0.502"), line("rds-gp3-storage", WEST, "400", "GB-Mo", "0.127")],
            [line("rds-gp3-storage", WEST, "400", "GB-Mo", "0.095")], action="stop", severity="critical", risk="high",
            confidence="medium", effort="low", phase="plan", resource_type="AWS::RDS::DBInstance",
            current_value="0 connections in 14 days", threshold="> 0", team="orders",
        )
    )  # fmt: skip
    made.append(
        finding(
            "redshift-idle", "Redshift cluster without queries", "database", "analytics-old", DEV, EAST,
            [line("redshift-ra3.4xlarge", EAST, "730", "Hrs", None)], [], severity="high", confidence="low",
            phase="strategic", effort="high", resource_type="AWS::Redshift::Cluster",
            current_value="0 queries in 30 days", threshold="> 0",
        )
    )  # fmt: skip
    made.append(
        finding(
            "log-group-no-retention", "Log group that keeps everything", "observability",
            "=HYPERLINK(\"https://evil.example\")<img src=x onerror=alert(3)>", DEV, WEST,
            [line("logs-storage", WEST, "1234.5678", "GB-Mo", "0.0333333")],
            [line("logs-storage", WEST, "100", "GB-Mo", "0.0333333")],
            kind="optimisation", action="configure", resource_type="AWS::Logs::LogGroup",
            resource_arn="arn:aws:logs:eu-west-1:444455556666:log-group:=HYPERLINK",
            current_value="never expires", threshold="30 days", owner="-2+3", team="@here",
        )
    )  # fmt: skip
    order = {"quick_win": 0, "plan": 1, "strategic": 2}
    return sorted(made, key=lambda item: (order[item.phase], -item.counted_monthly_savings, item.id))


def sample_audit() -> Audit:
    """Return the audit: 20 findings over two accounts and two regions."""
    import dataclasses

    findings = tuple(
        dataclasses.replace(item, priority=number) for number, item in enumerate(_findings(), start=1)
    )

    def total(**wanted: str) -> Decimal:
        return sum(
            (
                cents(item.counted_monthly_savings)
                for item in findings
                if all(getattr(item, key) == value for key, value in wanted.items())
            ),
            Decimal(0),
        )

    rules = sorted({item.rule_id for item in findings})
    tallies = tuple(
        RuleTally(
            rule_id=rule,
            expected=4,
            failed=len(
                {(f.account_id, f.region) for f in findings if f.rule_id == rule and f.status == "new"}
            ),
            xfailed=sum(f.rule_id == rule and f.status != "new" for f in findings),
            passed=4 - len({(f.account_id, f.region) for f in findings if f.rule_id == rule}),
            evaluated=25,
            findings=sum(f.rule_id == rule for f in findings),
        )
        for rule in rules
    )
    tallies += (
        RuleTally(rule_id="s3-no-lifecycle", expected=4, passed=2, error=1, skipped=1, evaluated=12),
        RuleTally(rule_id="elb-idle", expected=4, passed=4, evaluated=9),
        RuleTally(rule_id="lambda-oversized", expected=4, passed=3, not_run=1, evaluated=40),
    )
    checks = tuple(
        CheckRow(
            rule_id=item.rule_id, account_id=item.account_id, region=item.region,
            outcome="failed" if item.status == "new" else "xfailed", evaluated=7, findings=1,
            not_evaluated=(
                (NotEvaluated("i-0ff1", "no datapoints"), NotEvaluated("i-0ff2", "too young"), NotEvaluated("i-0ff3", "no datapoints"))
                if item.rule_id == "ec2-low-cpu" and item.account_id == PROD else ()
            ),
        )
        for item in findings
    )  # fmt: skip
    checks += (
        CheckRow(
            rule_id="s3-no-lifecycle", account_id=DEV, region="global", outcome="error",
            reason="s3.get_bucket_lifecycle_configuration: AccessDenied", evaluated=3,
            not_evaluated=(NotEvaluated("team-<b>bucket</b>", "AccessDenied", fault=True),),
        ),
        CheckRow(rule_id="s3-no-lifecycle", account_id=PROD, region=WEST, outcome="skipped", reason="no spend in this region"),
        CheckRow(rule_id="lambda-oversized", account_id=DEV, region=WEST, outcome="not_run"),
    )  # fmt: skip
    return Audit(
        tool_version="0.1.0",
        scan_timestamp="2026-11-20T08:00:00Z",
        finished_at="2026-11-20T08:01:30Z",
        selection={"profiles": ["prod", "dev"], "categories": [], "min_savings": Decimal("1.00")},
        complete=False,
        exit_status=1,
        accounts=(
            Account(account_id=PROD, name="prod", organizational_unit="ou-live"),
            Account(account_id=DEV, name="dev"),
        ),
        regions=(EAST, WEST),
        totals=Totals(
            waste=total(kind="waste"),
            optimisation=total(kind="optimisation"),
            gross=sum((cents(f.estimated_monthly_savings) for f in findings if f.estimated_monthly_savings), Decimal(0)),
            net=Decimal("1234.50"),
            unpriced_findings=1,
            accepted=Decimal("3.65"),
            known=total(status="known"),
        ),
        findings=findings,
        notes=(
            Note("ebs-unattached-volume", DEV, EAST, "vol-0small", "below the minimum savings", Decimal("0.08")),
            Note("ebs-gp2-volume", PROD, WEST, "vol-0::error::", "=1+1 <b>no owner tag</b>"),
        ),
        rules=tallies,
        checks=checks,
        blind_spots=(
            BlindSpot(
                account_id=DEV, region="global", service="s3", operation="get_bucket_lifecycle_configuration",
                code="AccessDenied", message="User: arn:aws:sts::444455556666:assumed-role/audit/x is not authorized\n::error::x",
                rules=("s3-no-lifecycle",),
            ),
            BlindSpot(
                account_id=PROD, region=EAST, service="ce", operation="get_cost_and_usage", code="AccessDeniedException",
                message="denied by an organization policy", rules=("spend-anomaly",), expected=True,
            ),
        ),
        accepted=tuple(
            Accepted(finding_id=f.id, reason="kept for the partner's allow list", owner="net@example.org", expires="2027-03-31")
            for f in findings
            if f.status == "accepted"
        ),
        api_usage=ApiUsage(
            predicted_lower=Decimal("0.012"),
            predicted_upper=Decimal("0.018"),
            predicted_exact=False,
            actual_cost=Decimal("0.01234"),
            calls=(
                ApiCalls(service="cloudwatch", operation="get_metric_data", calls=12, billable_units=1234, cost=Decimal("0.01234")),
                ApiCalls(service="ec2", operation="describe_volumes", calls=4, throttled=2, retried=2),
                ApiCalls(service="ec2", operation="describe_instances", calls=4),
            ),
        ),
        prices=PriceUsage(live=12, cached=3, snapshot=2, overridden=1, unknown=1, oldest_as_of="2026-11-01"),
        gate=Gate(limits={"max_waste": Decimal("100")}, counted=Decimal("1500.25"), holds=False, reasons=("waste $1,500.25 is above $100.00",)),
        warnings=("one profile has no default region",),
    )  # fmt: skip
