"""What ``finops-playbook init`` writes."""

from __future__ import annotations

FINOPS_YAML = """\
# Settings of pytest-finops. Each line shows a default or an example; remove the # to set it.
# The command line and FINOPS_* variables win over this file; `finops-playbook config show` tells what holds.

# What an audit looks at. Accounts listed here count when the command line names this file (--finops-config).
# accounts:
#   - {id: "123456789012", name: prod, profile: prod-audit, regions: [eu-west-1, us-east-1]}
#   - {id: "210987654321", name: dev, role: "arn:aws:iam::210987654321:role/FinopsAudit"}
# regions: [eu-west-1, us-east-1]
# category: [compute, storage]

# What it may cost and how fast it asks.
# max_api_cost: 0.50
# rate: 0.5

# When the gate breaks. Without a limit, any new finding breaks it.
# min_savings: 1.00
# max_waste: 100
# fail_severity: medium
# baseline: finops-baseline.json

# Rules: other thresholds, severities and periods, or none.
# rules:
#   ec2-low-cpu: {severity: high, period_days: 30}
#   rds-multi-az-nonprod: {enabled: false}

# Findings that somebody accepts, until a date.
# exemptions:
#   - {rule: ec2-low-cpu, tag: "role=standby", owner: platform, reason: warm standby, expires: 2027-12-31}

# Denials that are meant, until a date: they become skips, and every report lists them.
# expected_blind_spots:
#   - {service: rds, code: AccessDenied, owner: security, reason: service control policy, expires: 2027-12-31}

# Whose a resource is.
# owners: {tags: [owner, team]}
"""

RULES_YAML = """\
version: 1
rules:
  # Declarative: no test function. Each volume that meets every condition is a finding of its full price.
  - id: ebs-forgotten-volume
    name: Forgotten EBS volumes
    description: Volumes without an instance that are older than a quarter.
    category: storage
    severity: medium
    effort: quick_win
    risk: low
    kind: waste
    action: delete
    service: ec2
    check_type: resource_state
    resources: ebs_volumes
    savings: full_price
    condition:
      - {field: state, operator: equals, value: available}
      - {field: age_days, operator: older_than_days, value: 90}
    recommendation: Take a last snapshot and delete the volume.
    remediation_effort: 10 minutes
    rollback: Create a volume from the snapshot.
    docs_url: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-deleting-volume.html
    aws_doc: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-deleting-volume.html

  # Judged by the test function of the same id in test_example.py.
  - id: ebs-scratch-volume
    name: Scratch volumes that were never removed
    description: Volumes with scratch in their name that are older than a month.
    category: storage
    severity: low
    effort: low
    risk: low
    kind: waste
    action: delete
    service: ec2
    check_type: resource_state
    condition: {field: age_days, operator: older_than_days, value: 30}
    recommendation: Ask its owner, then delete the volume.
    remediation_effort: 10 minutes
    rollback: Create a volume from a snapshot.
    docs_url: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-deleting-volume.html
    aws_doc: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-deleting-volume.html
"""

TEST_PY = '''\
"""Our own checks: arguments are fixtures, what is reported is a finding."""

import pytest_finops as finops


@finops.rule("ebs-scratch-volume")
def test_ebs_scratch_volume(ebs_volumes, prices, findings, rule):
    """Volumes with scratch in their name that are older than a month."""
    for volume in ebs_volumes:
        if "scratch" in volume.name and rule.holds(volume):
            findings.report(
                volume,
                current=f"{volume.age_days:.0f} days old",
                current_lines=volume.full_price(prices),
            )
'''

WORKFLOW_YML = """\
name: finops

on:
  schedule:
    - cron: "17 5 * * 1"
  workflow_dispatch:

permissions:
  contents: read
  id-token: write

jobs:
  audit:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.13"
      # Put a full commit hash: whoever holds a bare name in an index would run with the role below.
      - run: pip install "pytest-finops @ git+https://github.com/pytest-finops/pytest-finops@COMMIT"
      - uses: aws-actions/configure-aws-credentials@v4
        with:
          # A role with the policy that `finops-playbook iam-policy -- --pyargs pytest_finops.checks checks/` prints.
          role-to-assume: ${{ vars.FINOPS_ROLE_ARN }}
          aws-region: us-east-1
      - run: >-
          pytest --pyargs pytest_finops.checks checks/
          --finops-report=json:finops-report/audit.json
          --finops-report=html:finops-report/report.html
          --junitxml=finops-report/junit.xml
        env:
          FINOPS_PROFILE: env
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: finops-report
          path: finops-report/
"""

GITIGNORE = """\
.finops/
finops-report/
__pycache__/
.pytest_cache/
"""

#: Path below the directory, and text.
FILES: tuple[tuple[str, str], ...] = (
    ("finops.yaml", FINOPS_YAML),
    ("checks/example.yaml", RULES_YAML),
    ("checks/test_example.py", TEST_PY),
    (".github/workflows/finops.yml", WORKFLOW_YML),
    (".gitignore", GITIGNORE),
)
