"""Takes the picture of the sample estate's report that README.md shows; needs Chromium."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from generate import NOW, ROOT, clean_environment

SIZE = "1200,1500"


def main() -> None:
    """Write docs/images/report.png."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise SystemExit("no Chromium on this machine")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        subprocess.run(
            [sys.executable, "-m", "pytest", "--finops-demo", "checks", "-q", f"--finops-now={NOW}",
             f"--finops-report=html:{page}"],
            cwd=ROOT, env=clean_environment(), stdout=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        target = ROOT / "docs" / "images" / "report.png"
        target.parent.mkdir(exist_ok=True)
        subprocess.run(
            [browser, "--headless", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={folder}/profile",
             f"--window-size={SIZE}", f"--screenshot={target}", page.as_uri()],
            stderr=subprocess.DEVNULL, check=True,
        )  # fmt: skip
    print(f"wrote {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
