"""Hostile names and tags through a whole audit: no output lets one act."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import re
import subprocess
import sys
import unicodedata
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import cached_property
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from finops_kit import NOW, environment, write_checks
from markdown_it import MarkdownIt

from pytest_finops.cli import main as cli
from pytest_finops.reports.text import cell_width
from pytest_finops.testing import Estate, Fault, ReplayEndpoint

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "image": '"><img src=x onerror=alert(1)>',
    "formula": "=cmd|' /C calc'!A0",
    "formula-at": "@SUM(1+1)*cmd|' /C calc'!A0",
    "ansi": "\x1b[31mred\x1b]0;title\x07\x1b[2J",
    "eight-bit": "\x9b31mred",
    "command": "::error::x",
    "command-line": "x\n::error::x\r\n##[error]x",
    "link": "[link](javascript:x)",
    "picture": "![x](https://evil.example/x.png)",
    "table": "a | b\n|---|---|",
    "mention": "@everyone #1",
    "markup": "[bold]red[/bold]",
    "template": "{{ 7 * 7 }}{% for x in y %}",
    "percent": "%(name)s %s {0}",
    "long": "x" * 256,
    "emoji": "\N{PILE OF POO}\N{ZERO WIDTH JOINER}\N{PILE OF POO}",
    "emoji-too": "\N{GRINNING FACE}\N{ZERO WIDTH JOINER}\N{GRINNING FACE}",
    "right-to-left": "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
    "nul": "a\x00b",
    "quotes": "'\";--",
    "path": "../../etc/passwd",
    "blank": " ",
}
#: XML 1.0 has no such characters: EC2 cannot answer with them.
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
ACCOUNTS = {f"{100000000000 + n}": text for n, text in enumerate(HOSTILE.values())}
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069]")
FORMATS = ("json", "csv", "markdown", "html")
DENIED = next(account for account, text in ACCOUNTS.items() if text == HOSTILE["script"])


#: A check that says hostile things itself: in a crash, as a reason, in a note and as evidence.
TEAM = """
@finops.rule("ebs-team")
def test_team(ebs_volumes, findings):
    for number, volume in enumerate(ebs_volumes):
        text = volume.tags["team"]
        if int(volume.account_id) % 2:
            raise ValueError(f"{text}\\n{text}")
        if number:
            findings.not_evaluated(volume, text)
        else:
            findings.note(volume, text)
            findings.report(volume, current=text, evidence={text: text})
"""


def estate() -> Estate:
    """An account for each hostile text, that also stands in the id and in every tag of its lost volume."""
    made = Estate(NOW)
    made.account("111111111111", "hub", access_key="AKIAMAIN")
    for number, (account, text) in enumerate(ACCOUNTS.items()):
        made.account(account, "x")
        tag = NOT_IN_XML.sub("\x9b", text)
        for name, volume in (("plain", f"vol-{number}"), ("named", f"{tag}{number}")):
            made.add(
                account, "us-east-1", "ec2.describe_volumes", VolumeId=volume, Size=80, VolumeType="gp3",
                State="available", CreateTime="-45d", Iops=3000, Throughput=125, Attachments=[],
                Tags=[{"Key": key, "Value": tag} for key in ("Name", "owner", "team", "Environment", tag, name)],
            )  # fmt: skip
    return made


def quoted(text: str) -> str:
    """Return ``text`` as YAML that holds no control character itself."""
    return re.sub(
        "[\x7f-\x9f]", lambda found: f"\\x{ord(found[0]):02x}", json.dumps(text, ensure_ascii=False)
    )


class Page(html.parser.HTMLParser):
    """Collects the elements, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@dataclass(frozen=True)
class Ran:
    """The run, and what it left."""

    folder: Path
    output: str

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    @cached_property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.read("audit.json"))
        return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("hostile")
    write_checks(folder, TEAM)
    entries = [f"  - {{id: '{account}', name: {quoted(text)}}}" for account, text in ACCOUNTS.items()]
    named = [entry for entry, text in zip(entries, ACCOUNTS.values(), strict=True) if text.strip()]
    (folder / "finops.yaml").write_text("accounts:\n" + "\n".join(named) + "\n", encoding="utf-8")
    roles = [f"--finops-role=arn:aws:iam::{account}:role/audit" for account in ACCOUNTS]
    reports = [f"--finops-report={name}:audit.{name}" for name in FORMATS]
    message = "".join(NOT_IN_XML.sub("\x9b", text) for text in HOSTILE.values())
    faults = [
        Fault("error", "ec2", "describe_volumes", account_id=DENIED, code="AccessDenied", message=message)
    ]
    with ReplayEndpoint(estate(), faults=faults) as endpoint:
        done = subprocess.run(
            [
                sys.executable, "-m", "pytest", "-v", "--finops-profile=env", *roles, *reports, "checks",
                "--finops-prices=offline", f"--finops-now={NOW.isoformat()}", "--finops-save-inventory=saved",
                "--finops-regions=us-east-1", "--junitxml=junit.xml", "--html=page.html", "--self-contained-html",
            ],
            cwd=folder, env=environment(endpoint.url, folder, COLUMNS="80", PYTHONIOENCODING="utf-8"),
            encoding="utf-8", capture_output=True, timeout=180, check=False,
        )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    return Ran(folder, done.stdout + done.stderr)


def harmless(text: str) -> None:
    """Fail unless a terminal, a CI log and a reader's eyes take ``text`` as text."""
    assert not CONTROLS.search(text), CONTROLS.findall(text)
    assert not [char for char in text if unicodedata.category(char) in ("Cf", "Cs")]
    for line in text.splitlines():
        assert not line.lstrip().startswith("::")
        assert not line.lstrip().startswith("##[")


def test_the_run_saw_all_of_it(ran: Ran) -> None:
    # Two volumes an account, but where the call is denied.
    lost = [finding for finding in ran.document["findings"] if finding["rule_id"] == "ebs-lost"]
    assert len(lost) == 2 * (len(HOSTILE) - 1)
    crashed = [
        row for row in ran.document["checks"] if row["reason"].startswith("the check crashed: ValueError")
    ]
    assert len(crashed) == len(HOSTILE) // 2
    assert "ValueError: " in ran.output
    assert HOSTILE["link"] in str(ran.document["notes"]) + str(ran.document["checks"])
    names = {account["name"] for account in ran.document["accounts"]}
    # Two that would make the same test id go by their account ids.
    assert names >= {text for key, text in HOSTILE.items() if text.strip() and not key.startswith("emoji")}
    (spot,) = ran.document["blind_spots"]
    assert HOSTILE["link"] in spot["message"]


def test_json_keeps_every_text_and_no_control_character(ran: Ran) -> None:
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", ran.read("audit.json"))
    for finding in ran.document["findings"]:
        text = NOT_IN_XML.sub("\x9b", ACCOUNTS[finding["account_id"]])
        assert finding["tags"]["team"].split() == text.split()


def test_test_ids_are_plain(ran: Ran) -> None:
    ids = re.findall(
        r"^checks/(?:ebs.yaml|test_team.py)::(.*?) (?:FAILED|ERROR|PASSED)", ran.output, re.MULTILINE
    )
    assert len(set(ids)) == 2 * len(HOSTILE), ids
    for one in ids:
        assert re.fullmatch(r"test_(?:ebs_lost|team)\[[A-Za-z0-9_.-]{1,64}-us-east-1\]", one), one


def test_the_terminal_is_told_text(ran: Ran) -> None:
    harmless(ran.output)
    summary = ran.output.partition("AWS cost audit")[2].partition("short test summary")[0].splitlines()[1:-1]
    # Paths are never cut, ours and pytest's own.
    assert max(cell_width(line) for line in summary if str(ran.folder) not in line) <= 80


def test_csv_starts_no_formula(ran: Ran) -> None:
    harmless(ran.read("audit.csv"))
    rows = list(csv.DictReader(io.StringIO(ran.read("audit.csv"))))
    assert len(rows) == len(ran.document["findings"])
    for row in rows:
        for value in row.values():
            assert not re.match(r"\s*[=+@\t\r]", value), value
            assert not value.startswith("-") or re.fullmatch(r"-\d+(\.\d+)?", value), value


def test_markdown_is_text(ran: Ran) -> None:
    made = ran.read("audit.markdown")
    # Our own: it keeps an at sign from calling somebody.
    harmless(made.replace("\N{ZERO WIDTH SPACE}", ""))
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(made)
    flat = [*tokens, *(child for token in tokens for child in token.children or ())]
    assert not [token.content for token in flat if token.type in ("html_inline", "html_block", "image")]
    links = [str(token.attrs["href"]) for token in flat if token.type == "link_open"]
    assert not [
        link for link in links if not link.startswith(("#", "https://example.com/", "https://docs.aws"))
    ]
    shown = "".join(token.content for token in flat if token.type in ("text", "code_inline"))
    for name in ("script", "link", "picture", "markup", "template"):
        assert HOSTILE[name] in shown or name == "script", name
    assert not re.search(r"(?<![\w.])@\w", made)


def test_html_shows_and_runs_nothing(ran: Ran) -> None:
    made = ran.read("audit.html")
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e]", made)
    page = Page(made)
    assert not {tag for tag, _ in page.elements} & {"script", "img", "iframe", "object", "bold"}
    for _, attrs in page.elements:
        assert not [key for key in attrs if key.startswith("on")]
        href = attrs.get("href") or "#"
        assert href.startswith(("#", "https://docs.aws.amazon.com/", "https://example.com/")), href
    for name in ("image", "formula", "link", "markup", "template", "percent"):
        assert HOSTILE[name] in page.text, name


def test_junit_is_valid_and_plain(ran: Ran) -> None:
    made = ran.read("junit.xml")
    suite = ElementTree.fromstring(made)
    texts = [unescape(text) for case in suite.iter() for text in (*case.attrib.values(), case.text or "")]
    for text in texts:
        assert not re.search("[\x7f-\x9f\u202a-\u202e]", text)
        for line in text.splitlines():
            assert not line.lstrip().startswith("::")
    assert "\x1b" not in made
    assert "<script" not in made


def test_pytest_html_runs_nothing_of_ours(ran: Ran) -> None:
    made = ran.read("page.html")
    page = Page(made)
    assert "alert(1)" not in "".join(re.findall(r"<script[^>]*>(.*?)</script>", made, re.DOTALL))
    assert not [attrs for tag, attrs in page.elements if tag == "img" and attrs.get("src") == "x"]
    blob = next(attrs["data-jsonblob"] for _, attrs in page.elements if "data-jsonblob" in attrs)
    for rows in json.loads(blob or "{}")["tests"].values():
        for row in rows:
            # What the page's own script puts into the document as HTML.
            for cell in (*row["resultsTableRow"], *row.get("tableHtml", ()), row.get("log", "")):
                inner = Page(cell)
                assert not {tag for tag, _ in inner.elements} & {"script", "img", "iframe"}, cell
                assert not [attrs for _, attrs in inner.elements for key in attrs if key.startswith("on")]
                assert not CONTROLS.search(inner.text), cell


def test_explain_and_report_tell_text(ran: Ran) -> None:
    runner = CliRunner()
    saved = str(ran.folder / "saved")
    for finding in ran.document["findings"]:
        done = runner.invoke(
            cli.main,
            ["explain", finding["id"], "--audit", str(ran.folder / "audit.json"), "--inventory", saved],
        )
        assert done.exit_code == 0, done.output
        harmless(done.output)
        assert "ec2.describe_volumes (us-east-1): " in done.output
    for name in FORMATS:
        again = runner.invoke(cli.main, ["report", str(ran.folder / "audit.json"), "--format", name])
        assert again.stdout.splitlines() == ran.read(f"audit.{name}").splitlines(), name
    for name in HOSTILE.values():
        refused = runner.invoke(cli.main, ["explain", name + "?", "--audit", str(ran.folder / "audit.json")])
        harmless(refused.output)
