"""The builder: GetProducts first, differences said, contradictions refused."""

from __future__ import annotations

import gzip
import shutil
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from price_kit import Client, Thing, book, product, usd

from pytest_finops.errors import ConfigError
from pytest_finops.prices import PriceBook, bundled, key
from pytest_finops.prices.build import ASKED, FACTS, ask, askable, build, difference, main
from pytest_finops.prices.snapshot import parse


def facts(tmp_path: Path) -> Path:
    """Small facts: the tables by hand only, the large ones without rows."""
    folder = tmp_path / "facts"
    folder.mkdir()
    for path in FACTS.iterdir():
        if path.suffix == ".csv" and path.name != "ec2_linux_karpenter.csv":
            shutil.copy(path, folder)
        else:
            header = {
                "ec2_linux_karpenter.csv": "region,instance_type,usd_per_hour,as_of",
                "rds_coroot.csv.gz": "region,engine,instance_class,variant,usd_per_hour",
                "elasticache_leanercloud.csv.gz": "region,node_type,engine,usd_per_hour",
            }.get(path.name, "region,instance_type,usd_per_hour,how")
            text = f"{header}\n".encode()
            (folder / path.name).write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return folder


def gp3(price: str, region: str, prefix: str) -> str:
    attributes = {"regionCode": region, "volumeApiName": "gp3", "usagetype": f"{prefix}EBS:VolumeUsage.gp3"}
    return product("GP3" + region, "Storage", attributes, usd(price, unit="GB-Mo"))


def test_what_getproducts_says_wins_and_unknown_prices_become_known(tmp_path: Path) -> None:
    folder = facts(tmp_path)
    before = parse(build(folder))
    volume = {"volume_type": "gp3"}
    assert before.get(key("ebs.storage", "ap-south-1", volume)) is None
    client = Client([gp3("0.0912000000", "ap-south-1", "APS3-"), gp3("0.0790000000", "us-east-1", "")])

    assert ask(["us-east-1", "ap-south-1"], book(tmp_path, client), folder) == 2

    after = parse(build(folder))
    found = after.get(key("ebs.storage", "ap-south-1", volume))
    assert found is not None
    assert (found.unit_price, found.source, found.as_of) == (Decimal("0.0912"), "getproducts", "2026-11-23")
    assert difference(before, after) == [
        "+ ebs.storage in ap-south-1 (volume_type=gp3): 0.0912",
        "~ ebs.storage in us-east-1 (volume_type=gp3): 0.08 -> 0.079",
    ]
    # Another region another day: what was asked before is kept, with its own date.
    later = book(
        tmp_path / "later", Client([gp3("0.0880000000", "eu-west-1", "EU-")]), today=date(2027, 1, 1)
    )
    assert ask(["eu-west-1"], later, folder) == 1
    dates = {price.as_of for wanted, price in parse(build(folder)).items() if price.source == "getproducts"}
    assert dates == {"2026-11-23", "2027-01-01"}


def test_a_jump_is_marked(tmp_path: Path) -> None:
    wanted = key("ebs.storage", "us-east-1", {"volume_type": "gp3"})
    was = parse(build(facts(tmp_path)))
    rows = {"ebs.storage": {"us-east-1": {wanted.text: ("0.11", 0)}}}
    (line,) = [text for text in difference(was, replace(was, _rows=rows)) if text.startswith("~")]
    assert "0.08 -> 0.11 (more than 25 %: look at the SKU)" in line


def test_contradictions_are_refused(tmp_path: Path) -> None:
    folder = facts(tmp_path)
    scalars = folder / "scalars.csv"
    good = scalars.read_text()
    for row, reason in (
        ("ebs.storage,us-east-1,volume_type=gp3,0.08,infracost-golden,2024-07-01", "two prices"),
        ("ebs.storage,us-west-1,volume_type=gp9,0.08,infracost-golden,2024-07-01", "knows no"),
        ("ebs.storage,us-west-1,volume_type=gp3,8,infracost-golden,2024-07-01", "outside"),
        ("ebs.storage,us-west-1,volume_type=gp3,0.09,nobody,2024-07-01", "does not describe nobody"),
    ):
        scalars.write_text(good + row + "\n")
        with pytest.raises(ConfigError, match=reason):
            build(folder)


def test_the_command_writes_checks_and_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, output = facts(tmp_path), tmp_path / "prices.json.gz"
    arguments = ["--facts", str(folder), "--output", str(output)]
    assert main([*arguments, "--check"]) == 1
    assert main(arguments) == 0
    assert main([*arguments, "--check"]) == 0
    scalars = folder / "scalars.csv"
    scalars.write_text(
        scalars.read_text().replace("ebs.snapshot,us-east-1,,0.05,", "ebs.snapshot,us-east-1,,0.06,")
    )
    assert main(arguments) == 0
    assert "~ ebs.snapshot in us-east-1: 0.05 -> 0.06" in capsys.readouterr().out
    assert not (folder / ASKED).exists()


def test_listable_rows_are_asked_everywhere() -> None:
    wanted = askable(
        [key("ec2.instance", "eu-west-1", {"instance_type": "m5.large"})], ["ap-south-2", "eu-west-1"]
    )
    names = {(item.dimension, item.region) for item in wanted}
    assert ("vpc.nat.hours", "ap-south-2") in names
    assert ("ec2.instance", "eu-west-1") in names
    assert ("ec2.instance", "ap-south-2") not in names


def test_old_bundled_prices_are_said_when_they_were_used(tmp_path: Path) -> None:
    built = date.fromisoformat(str(bundled().header["built_at"]))

    def said(days: int, *, used: bool = True) -> tuple[str, ...]:
        prices = PriceBook("offline", today=date.fromordinal(built.toordinal() + days))
        if used:
            prices.line("ebs.snapshot", Thing(), 1)
        return prices.warnings()

    assert said(180) == ()
    assert said(181, used=False) == ()
    (text,) = said(181)
    assert "181 days ago" in text
