"""What an audit of the sample estate must find, worked out by hand from list prices (730 hours a month)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from pytest_finops.testing.demo import DEV, EU, PROD, US, balancer_arn, identifier

# (rule id, account id, region, resource id)
Key = tuple[str, str, str, str]


def _i(account: str, region: str, name: str) -> str:
    return identifier("i", account, region, name)


def _vol(account: str, region: str, name: str) -> str:
    return identifier("vol", account, region, name)


def _snap(account: str, region: str, name: str) -> str:
    return identifier("snap", account, region, name)


def _eip(account: str, region: str, name: str) -> str:
    return identifier("eipalloc", account, region, name)


def _nat(account: str, region: str, name: str) -> str:
    return identifier("nat", account, region, name)


def _lb(account: str, region: str, kind: str, name: str) -> str:
    return balancer_arn(account, region, kind, name)


#: Finding -> its own monthly savings in USD, rounded half up to the cent; None: no price is known.
EXPECTED: dict[Key, str | None] = {
    # -- ec2-low-cpu: (price now - price one size down) x 730 --------------------------------------------
    # m5.xlarge 0.192 - m5.large 0.096 = 0.096 x 730
    ("ec2-low-cpu", PROD, US, _i(PROD, US, "api-1")): "70.08",
    ("ec2-low-cpu", PROD, US, _i(PROD, US, "api-2")): "70.08",
    # m5.2xlarge 0.384 - m5.xlarge 0.192 = 0.192 x 730; one hour at 100 % a week is above no p95
    ("ec2-low-cpu", PROD, US, _i(PROD, US, "pricing-engine")): "140.16",
    # r5.2xlarge 0.504 - r5.xlarge 0.252 = 0.252 x 730
    ("ec2-low-cpu", PROD, US, _i(PROD, US, "feature-store")): "183.96",
    # seen in 20 of 24 hours (83 %): 730 x 280/336 = 608.33 h; 0.096 x 608.33 = 58.39968
    ("ec2-low-cpu", PROD, US, _i(PROD, US, "etl-runner")): "58.40",
    # m4.2xlarge 0.40 - m4.xlarge 0.20 = 0.20 x 730
    ("ec2-low-cpu", PROD, US, _i(PROD, US, "legacy-erp-app")): "146.00",
    # Windows: m5.large is known, m5.xlarge is not
    ("ec2-low-cpu", PROD, US, _i(PROD, US, "crm-windows")): None,
    # m5.2xlarge 0.428 - m5.xlarge 0.214 = 0.214 x 730
    ("ec2-low-cpu", PROD, EU, _i(PROD, EU, "eu-api")): "156.22",
    # m5.2xlarge 0.384 - m5.xlarge 0.192 = 0.192 x 730
    ("ec2-low-cpu", DEV, US, _i(DEV, US, "jenkins")): "140.16",
    # t3.large 0.0832 - t3.medium 0.0416 = 0.0416 x 730 = 30.368; 4 % is below the baseline of 20 %
    ("ec2-low-cpu", DEV, US, _i(DEV, US, "dev-desktop")): "30.37",
    # m5.xlarge 0.214 - m5.large 0.107 = 0.107 x 730
    ("ec2-low-cpu", DEV, EU, _i(DEV, EU, "eu-dev-runner")): "78.11",
    # -- ec2-old-generation: (price now - same size of the successor) x 730 ------------------------------
    # m4.2xlarge 0.40 - m6i.2xlarge 0.384 = 0.016 x 730
    ("ec2-old-generation", PROD, US, _i(PROD, US, "legacy-erp-app")): "11.68",
    # m4.xlarge 0.20 - m6i.xlarge 0.192 = 0.008 x 730
    ("ec2-old-generation", PROD, US, _i(PROD, US, "legacy-erp-db")): "5.84",
    # c4.2xlarge 0.398 - c6i.2xlarge 0.34 = 0.058 x 730
    ("ec2-old-generation", PROD, US, _i(PROD, US, "legacy-search")): "42.34",
    # t2.medium 0.05 - t3.medium 0.0456 = 0.0044 x 730 = 3.212
    ("ec2-old-generation", PROD, EU, _i(PROD, EU, "eu-mail")): "3.21",
    # r4.xlarge 0.29637 - r6i.xlarge 0.282 = 0.01437 x 730 = 10.4901
    ("ec2-old-generation", PROD, EU, _i(PROD, EU, "eu-analytics")): "10.49",
    # c5.2xlarge 0.384 - c6i.2xlarge 0.3648 = 0.0192 x 730 = 14.016: cheaper in this region only
    ("ec2-old-generation", PROD, EU, _i(PROD, EU, "eu-encoder")): "14.02",
    # m3.large 0.133 - m6i.large 0.096 = 0.037 x 730
    ("ec2-old-generation", DEV, US, _i(DEV, US, "dev-legacy")): "27.01",
    # c4.xlarge 0.199 - c6i.xlarge 0.17 = 0.029 x 730
    ("ec2-old-generation", DEV, US, _i(DEV, US, "dev-search")): "21.17",
    # m4.large 0.111 - m6i.large 0.107 = 0.004 x 730
    ("ec2-old-generation", DEV, EU, _i(DEV, EU, "eu-dev-legacy")): "2.92",
    # -- ebs-unattached: the whole price -----------------------------------------------------------------
    # gp3: 500 x 0.08 = 40.00; (6000 - 3000) x 0.005 = 15.00; (250 - 125) x 0.04 = 5.00
    ("ebs-unattached", PROD, US, _vol(PROD, US, "old-warehouse")): "60.00",
    # io1: 200 x 0.125 = 25.00; 5000 x 0.065 = 325.00
    ("ebs-unattached", PROD, US, _vol(PROD, US, "migrated-oracle")): "350.00",
    # st1: 1000 x 0.045
    ("ebs-unattached", PROD, US, _vol(PROD, US, "log-archive")): "45.00",
    # gp2: 100 x 0.10
    ("ebs-unattached", PROD, US, _vol(PROD, US, "forgotten-scratch")): "10.00",
    # gp3: 200 x 0.088
    ("ebs-unattached", PROD, EU, _vol(PROD, EU, "eu-detached")): "17.60",
    # sc1 has no price here
    ("ebs-unattached", PROD, EU, _vol(PROD, EU, "eu-cold")): None,
    # gp3: 100 x 0.08
    ("ebs-unattached", DEV, US, _vol(DEV, US, "dev-old-desktop")): "8.00",
    # gp2: 250 x 0.10
    ("ebs-unattached", DEV, US, _vol(DEV, US, "dev-oracle-dump")): "25.00",
    # magnetic: 80 x 0.05
    ("ebs-unattached", DEV, US, _vol(DEV, US, "dev-magnetic")): "4.00",
    # sc1: 1000 x 0.015
    ("ebs-unattached", DEV, US, _vol(DEV, US, "dev-cold-logs")): "15.00",
    # io1: 100 x 0.138 = 13.80; 1000 x 0.072 = 72.00
    ("ebs-unattached", DEV, EU, _vol(DEV, EU, "eu-dev-io1")): "85.80",
    # -- ebs-gp2-to-gp3: gp2 - gp3 with the same IOPS (3 a GiB) and, from 334 GiB, 250 MiB/s -------------
    # 100.00 - (80.00 + 125 x 0.04 = 5.00)
    ("ebs-gp2-to-gp3", PROD, US, _vol(PROD, US, "erp-data")): "15.00",
    # 200.00 - (160.00 + 3000 x 0.005 = 15.00 + 5.00)
    ("ebs-gp2-to-gp3", PROD, US, _vol(PROD, US, "erp-archive")): "20.00",
    # 533.40 - (426.72 + 13000 x 0.005 = 65.00 + 5.00)
    ("ebs-gp2-to-gp3", PROD, US, _vol(PROD, US, "search-index")): "36.68",
    # 33.40 - (26.72 + 5.00): the first size that keeps 250 MiB/s
    ("ebs-gp2-to-gp3", PROD, US, _vol(PROD, US, "search-logs")): "1.68",
    # 17.10 - 13.68: 125 MiB/s up to 333 GiB
    ("ebs-gp2-to-gp3", PROD, US, _vol(PROD, US, "erp-exports")): "3.42",
    # 5.00 - 4.00: exactly the minimum is a finding
    ("ebs-gp2-to-gp3", PROD, US, _vol(PROD, US, "erp-spool")): "1.00",
    # 10.00 - 8.00
    ("ebs-gp2-to-gp3", PROD, US, _vol(PROD, US, "forgotten-scratch")): "2.00",
    # 110.00 - (88.00 + 125 x 0.044 = 5.50)
    ("ebs-gp2-to-gp3", PROD, EU, _vol(PROD, EU, "eu-analytics-data")): "16.50",
    # 33.00 - 26.40
    ("ebs-gp2-to-gp3", PROD, EU, _vol(PROD, EU, "eu-mail-spool")): "6.60",
    # 25.00 - 20.00
    ("ebs-gp2-to-gp3", DEV, US, _vol(DEV, US, "dev-oracle-dump")): "5.00",
    # -- ebs-old-snapshots: the newest of a lineage that goes as a whole, full size x 0.05 ---------------
    # 80 x 0.05; the older two of the lineage have no sure saving
    ("ebs-old-snapshots", PROD, US, _snap(PROD, US, "wiki-final")): "4.00",
    ("ebs-old-snapshots", PROD, US, _snap(PROD, US, "wiki-2024")): None,
    ("ebs-old-snapshots", PROD, US, _snap(PROD, US, "wiki-2023")): None,
    # the newest snapshot of its volume stays
    ("ebs-old-snapshots", PROD, US, _snap(PROD, US, "erp-data-old")): None,
    # its newer sibling is shared and stays
    ("ebs-old-snapshots", PROD, US, _snap(PROD, US, "half-shared-old")): None,
    # 200 x 0.05: a copy is a lineage of its own
    ("ebs-old-snapshots", PROD, US, _snap(PROD, US, "dr-copy")): "10.00",
    # 160 x 0.05
    ("ebs-old-snapshots", PROD, EU, _snap(PROD, EU, "eu-old-export")): "8.00",
    # 50 x 0.05
    ("ebs-old-snapshots", DEV, US, _snap(DEV, US, "dev-before-upgrade")): "2.50",
    # 400 x 0.05
    ("ebs-old-snapshots", DEV, US, _snap(DEV, US, "dev-load-test-data")): "20.00",
    # -- eip-unassociated: 0.005 x 730 -------------------------------------------------------------------
    ("eip-unassociated", PROD, US, _eip(PROD, US, "old-vpn-1")): "3.65",
    ("eip-unassociated", PROD, US, _eip(PROD, US, "old-vpn-2")): "3.65",
    ("eip-unassociated", PROD, EU, _eip(PROD, EU, "eu-former-partner")): "3.65",
    ("eip-unassociated", DEV, US, _eip(DEV, US, "dev-demo")): "3.65",
    ("eip-unassociated", DEV, US, _eip(DEV, US, "dev-old-bastion")): "3.65",
    ("eip-unassociated", DEV, EU, _eip(DEV, EU, "eu-dev-unused")): "3.65",
    # -- rds-low-cpu: (class now - one size down) x 730 --------------------------------------------------
    # PostgreSQL db.r5.xlarge 0.50 - db.r5.large 0.25 = 0.25 x 730
    ("rds-low-cpu", PROD, US, "reporting"): "182.50",
    # MySQL Multi-AZ db.m5.xlarge 0.684 - db.m5.large 0.342 = 0.342 x 730
    ("rds-low-cpu", PROD, US, "catalog"): "249.66",
    # Oracle has no price
    ("rds-low-cpu", PROD, US, "ledger-oracle"): None,
    # PostgreSQL db.m5.xlarge 0.394 - db.m5.large 0.197 = 0.197 x 730
    ("rds-low-cpu", PROD, EU, "eu-invoices"): "143.81",
    # as catalog: Multi-AZ prices while it is Multi-AZ
    ("rds-low-cpu", DEV, US, "dev-users"): "249.66",
    # -- rds-multi-az-nonprod: half of the hours and of the storage --------------------------------------
    # (0.684 - 0.342) x 730 = 249.66; 100 GiB gp3 x (0.23 - 0.115) = 11.50
    ("rds-multi-az-nonprod", DEV, US, "dev-users"): "261.16",
    # (0.356 - 0.178) x 730 = 129.94; 200 GiB gp2 x (0.23 - 0.115) = 23.00
    ("rds-multi-az-nonprod", DEV, US, "staging-orders"): "152.94",
    # (0.136 - 0.068) x 730 = 49.64; 50 GiB gp3 x 0.115 = 5.75; non-production by a word of its name
    ("rds-multi-az-nonprod", DEV, US, "qa-metrics"): "55.39",
    # io1 storage of Multi-AZ has no price
    ("rds-multi-az-nonprod", DEV, US, "dev-perf"): None,
    # (0.378 - 0.189) x 730 = 137.97; 100 GiB gp3 x (0.254 - 0.127) = 12.70
    ("rds-multi-az-nonprod", DEV, EU, "eu-test-users"): "150.67",
    # -- nat-gateway-count: (hours + addresses - what then crosses zones, both ways) ---------------------
    # (0.045 + 0.005) x 730; 2.5 % of the traffic of the other gateway of its zone
    ("nat-gateway-count", PROD, US, _nat(PROD, US, "core-a-legacy")): "36.50",
    # the same; no private subnet of its zone is routed to a NAT gateway
    ("nat-gateway-count", PROD, US, _nat(PROD, US, "shared-c")): "36.50",
    # 36.50 - 0.1 GiB x 730 h = 73 GB x 2 x 0.01 = 1.46
    ("nat-gateway-count", DEV, US, _nat(DEV, US, "dev-b")): "35.04",
    # (0.045 + 2 x 0.005) x 730 = 40.15 - 0.02 GiB x 730 h = 14.6 GB x 0.02 = 0.292: 39.858
    ("nat-gateway-count", DEV, US, _nat(DEV, US, "dev-c")): "39.86",
    # -- elb-idle: hours + a public address in each zone -------------------------------------------------
    # 0.0225 x 730 = 16.425; 3 x 3.65 = 10.95: 27.375
    ("elb-idle", PROD, US, _lb(PROD, US, "app", "legacy-portal")): "27.38",
    # internal: 16.425
    ("elb-idle", PROD, US, _lb(PROD, US, "app", "orphaned-internal")): "16.43",
    # 16.425 + 2 x 3.65 = 23.725
    ("elb-idle", PROD, US, _lb(PROD, US, "net", "old-ingest")): "23.73",
    # 0.0252 x 730 = 18.396
    ("elb-idle", PROD, EU, _lb(PROD, EU, "app", "eu-campaign")): "18.40",
    # Network Load Balancers have no price here
    ("elb-idle", PROD, EU, _lb(PROD, EU, "net", "eu-ingest")): None,
    # 16.425 + 7.30 = 23.725
    ("elb-idle", DEV, US, _lb(DEV, US, "app", "dev-preview")): "23.73",
    # internal: 16.425
    ("elb-idle", DEV, US, _lb(DEV, US, "app", "k8s-dev-ingress")): "16.43",
    # 0.025 x 730 = 18.25; 2 x 3.65 = 7.30
    ("elb-idle", DEV, US, "dev-classic"): "25.55",
}

#: Where the total counts less than the finding alone would save; unpriced findings count 0.00, others all.
COUNTED: dict[Key, str] = {
    # Deleting the volume leaves nothing to move to gp3.
    ("ebs-gp2-to-gp3", PROD, US, _vol(PROD, US, "forgotten-scratch")): "0.00",
    ("ebs-gp2-to-gp3", DEV, US, _vol(DEV, US, "dev-oracle-dump")): "0.00",
    # Rightsizing takes 146.00 of 292.00 first; the upgrade takes 11.68/292.00 = 4 % of the 146.00 left.
    ("ec2-old-generation", PROD, US, _i(PROD, US, "legacy-erp-app")): "5.84",
    # Single-AZ takes 249.66 of 499.32 first; one size down halves the 249.66 left.
    ("rds-low-cpu", DEV, US, "dev-users"): "124.83",
}

#: The sum of what is counted.
TOTAL = "3614.57"

#: What is left after commitments: feature-store's r5.2xlarge is reserved, and nothing else could use half of it, so
#: that a smaller size loses nothing on the bill: 3614.57 - 183.96.
NET = "3430.61"

#: What no rule may report: resources that look like waste and are not, or cannot be judged.
TRAPS: set[str] = {
    # Managed by auto scaling, EKS, Karpenter, Beanstalk, EMR, a fleet, an operator.
    *(_i(PROD, US, f"shop-asg-{number}") for number in (1, 2, 3)),
    *(_i(PROD, US, f"eks-node-{number}") for number in (1, 2)),
    _i(PROD, US, "karpenter-node"),
    _i(PROD, US, "auto-mode-node"),
    _i(DEV, US, "beanstalk-app"),
    _i(DEV, US, "emr-core"),
    _i(DEV, US, "fleet-worker"),
    # Spot, a dedicated host, bare metal, GPU, stopped.
    _i(PROD, US, "render-spot"),
    _i(PROD, US, "sql-on-host"),
    _i(PROD, US, "bare-metal-kvm"),
    _i(PROD, US, "inference-1"),
    _i(PROD, US, "old-reports"),
    # Young, gaps in the datapoints, no datapoints, p95 too high for a smaller size.
    _i(PROD, US, "billing-blue"),
    _i(PROD, US, "flaky-agent"),
    _i(PROD, US, "no-monitoring"),
    _i(PROD, US, "month-end-batch"),
    # No successor in the zone; below the minimum; above the baseline of the smaller size; smallest size.
    _i(PROD, US, "zone-bound"),
    _i(PROD, US, "bastion"),
    _i(PROD, US, "credits-eater"),
    _i(DEV, US, "dev-sandbox"),
    # Volumes: below the minimum, young, managed, restored by AWS Backup, being made, in use.
    _vol(PROD, US, "small-gp2"),
    _vol(PROD, US, "just-detached"),
    _vol(PROD, US, "operator-volume"),
    _vol(PROD, US, "eks-pv"),
    _vol(PROD, US, "backup-restore"),
    _vol(PROD, US, "being-made"),
    _vol(PROD, US, "feature-data"),
    _vol(DEV, EU, "eu-dev-young"),
    # Snapshots: last backup, AMI, disabled AMI, templates, shared, backup services, archived, young, foreign.
    *(
        _snap(PROD, US, name)
        for name in (
            "audit-log-only-backup",
            "erp-data-last-week",
            "golden-base",
            "golden-retired",
            "reference-genome",
            "legacy-lc-data",
            "half-shared-new",
            "public-dataset",
            "backup-recovery-point",
            "dlm-monthly",
            "seven-year-archive",
            "last-month",
            "failed-copy",
            "ubuntu-public",
        )
    ),
    _snap(PROD, EU, "eu-recent"),
    _snap(DEV, US, "dev-tiny"),
    _snap(DEV, EU, "eu-dev-kept"),
    # Addresses: of a NAT gateway, brought along, of a service, of EKS, of an interface, of an instance.
    _eip(PROD, US, "core-a-0"),
    *(
        _eip(PROD, US, name)
        for name in ("byoip-1", "alb-managed", "eks-ingress", "transfer-endpoint", "bastion")
    ),
    # Databases: Multi-AZ in production, little free memory, p95, whole words of names, young, gaps, smallest
    # class, stopped, above its baseline.
    "orders",
    "eu-orders",
    "buffer-pool",
    "month-end",
    "contest",
    "latest-results",
    "launch-day",
    "gappy",
    "floor",
    "parked",
    "burstable",
    # Members of clusters.
    "shop-aurora-1",
    "shop-aurora-2",
    "content-docdb-1",
    "graph-neptune-1",
    # NAT gateways: one a zone in production, a busy pair, failed, deleted, private, regional; traffic that
    # would cost more across zones; no datapoints; young.
    *(
        _nat(PROD, US, name)
        for name in (
            "core-a",
            "core-b",
            "core-c",
            "data-b-1",
            "data-b-2",
            "core-failed",
            "core-deleted",
            "core-private",
            "edge-regional",
        )
    ),
    _nat(PROD, EU, "eu-core-a"),
    _nat(PROD, EU, "eu-core-b"),
    *(_nat(DEV, US, name) for name in ("dev-a", "perf-a", "perf-b", "sandbox-a", "sandbox-b")),
    *(_nat(DEV, EU, name) for name in ("eu-dev-a", "eu-dev-b")),
    # Load balancers: flows without requests, no datapoints, redirects, web sockets, young, not yet active.
    _lb(PROD, US, "net", "mqtt"),
    _lb(PROD, US, "net", "silent-net"),
    *(
        _lb(PROD, US, "app", name)
        for name in ("shop", "redirects", "websockets", "next-release", "coming-up")
    ),
    _lb(PROD, US, "gwy", "firewall"),
    _lb(PROD, EU, "app", "eu-shop"),
    "dev-classic-busy",
}

#: What must be named as not evaluated: nobody can know.
NOT_EVALUATED: set[Key] = {
    ("ec2-low-cpu", PROD, US, _i(PROD, US, "billing-blue")),
    ("ec2-low-cpu", PROD, US, _i(PROD, US, "flaky-agent")),
    ("ec2-low-cpu", PROD, US, _i(PROD, US, "no-monitoring")),
    # A Windows m5.xlarge has no price, so that nobody knows whether its successor costs less.
    ("ec2-old-generation", PROD, US, _i(PROD, US, "crm-windows")),
    ("rds-low-cpu", PROD, US, "launch-day"),
    ("rds-low-cpu", PROD, US, "gappy"),
    ("rds-multi-az-nonprod", PROD, US, "contest"),
    ("rds-multi-az-nonprod", PROD, US, "latest-results"),
    ("nat-gateway-count", DEV, US, _nat(DEV, US, "sandbox-b")),
    ("nat-gateway-count", DEV, EU, _nat(DEV, EU, "eu-dev-a")),
    ("nat-gateway-count", DEV, EU, _nat(DEV, EU, "eu-dev-b")),
    ("elb-idle", PROD, US, _lb(PROD, US, "app", "next-release")),
    ("elb-idle", PROD, US, _lb(PROD, US, "net", "silent-net")),
}


def counted(key: Key) -> Decimal:
    """What the total counts of a finding."""
    return Decimal(COUNTED.get(key) or EXPECTED[key] or "0.00")


def check_audit(audit: Mapping[str, Any]) -> None:
    """Compare an audit of the sample estate with the tables above: findings exactly, money to the cent."""
    keyed = [((f["rule_id"], f["account_id"], f["region"], f["resource_id"]), f) for f in audit["findings"]]
    found: dict[Key, Any] = dict(keyed)
    assert len(found) == len(keyed), "a finding is there twice"
    check_traps(audit)
    _none("findings that nobody expects", set(found) - set(EXPECTED))
    _none("findings that are missing", set(EXPECTED) - set(found))
    check_amounts(found)
    check_total(audit)
    check_not_evaluated(audit)


def check_traps(audit: Mapping[str, Any]) -> None:
    """No trap is reported, by any rule."""
    caught = {(f["rule_id"], f["resource_id"]) for f in audit["findings"] if f["resource_id"] in TRAPS}
    _none("traps that were walked into", caught)


def check_amounts(found: Mapping[Key, Mapping[str, Any]]) -> None:
    """Each finding saves and counts what was worked out by hand; no price is never a number."""
    wrong = [
        (key, name, actual, wanted)
        for key, finding in found.items()
        for name, actual, wanted in (
            ("estimated_monthly_savings", finding["estimated_monthly_savings"], EXPECTED[key]),
            ("counted_monthly_savings", finding["counted_monthly_savings"], f"{counted(key):.2f}"),
        )
        if actual != wanted
    ]
    _none("amounts that differ (found, by hand)", wrong)


def check_total(audit: Mapping[str, Any]) -> None:
    """The total is the sum of what the findings count."""
    summed = sum((Decimal(f["counted_monthly_savings"]) for f in audit["findings"]), Decimal(0))
    totals = {
        "summed": summed,
        "reported": Decimal(audit["total_monthly_savings"]),
        "by hand": Decimal(TOTAL),
    }
    assert len(set(totals.values())) == 1, totals
    assert audit["totals"]["net"] == NET
    kinds = Decimal(audit["totals"]["waste"]) + Decimal(audit["totals"]["optimisation"])
    assert kinds == summed, f"waste and optimisation are {kinds}, not {summed}"
    unpriced = sum(amount is None for amount in EXPECTED.values())
    assert audit["totals"]["unpriced_findings"] == unpriced, f"{unpriced} findings have no price"


def check_not_evaluated(audit: Mapping[str, Any]) -> None:
    """What nobody can know is named, with a reason."""
    named = {
        (row["rule_id"], row["account_id"], row["region"], item["resource_id"]): item["reason"]
        for row in audit["checks"]
        for item in row["not_evaluated"]
    }
    _none("not named as not evaluated", NOT_EVALUATED - {key for key, reason in named.items() if reason})


def _none(what: str, items: Iterable[object]) -> None:
    """Nothing is there; else every item stands in the message (pytest rewrites no asserts of this file)."""
    listed = sorted(items, key=str)
    assert not listed, "\n".join([f"{what}:", *map(str, listed)])
