"""docs/monitoring.md, the alert rules and the dashboard speak of metrics that there are."""

import json
import re
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rackd.metrics_table import METRICS as RACK
from regiond.metrics_table import METRICS as REGION

DOCS = Path(__file__).resolve().parents[2] / "docs"
OF_EVERY_PROCESS = {"process_resident_memory_bytes"}
KNOWN = {metric.name for metric in (*REGION, *RACK)} | OF_EVERY_PROCESS


def named(text: str) -> set[str]:
    """The metrics that an expression speaks of."""
    return set(re.findall(r"\b(?:rackferry|process)_\w+", text))


class MonitoringDocumentTests(SynchronousTestCase):
    def test_every_metric_stands_in_the_document_and_no_other(self) -> None:
        """Name, kind, labels and meaning are those of the tables, in their order."""
        document = (DOCS / "monitoring.md").read_text()
        rows = re.findall(
            r"^\| `(rackferry_\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \|$", document, re.MULTILINE
        )
        wanted = [
            (each.name, each.kind, " ".join(f"`{label}`" for label in each.labels), each.help)
            for each in (*REGION, *RACK)
        ]
        self.assertEqual(rows, wanted)
        self.assertTrue(named(document.partition("## A region")[0]) <= KNOWN)

    def test_the_dashboard_asks_for_metrics_that_there_are(self) -> None:
        """A panel that stays empty says nothing."""
        dashboard = json.loads((DOCS / "monitoring" / "dashboard.json").read_text())
        for panel in dashboard["panels"]:
            asked = {name for each in panel["targets"] for name in named(each["expr"])}
            self.assertTrue(asked, panel["title"])
            self.assertEqual(asked - KNOWN, set(), panel["title"])

    def test_the_alerts_fire_when_they_should(self) -> None:
        """By their own tests, and of metrics that there are."""
        rules = (DOCS / "monitoring" / "alerts.yml").read_text()
        expressions = re.findall(r"expr: (.*)", rules)
        self.assertEqual({name for each in expressions for name in named(each)} - KNOWN, set())
        promtool = shutil.which("promtool")
        if promtool is None:
            raise SkipTest("promtool is not installed; try: apt-get install prometheus")
        for command in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")):
            run = subprocess.run(
                [promtool, *command], cwd=DOCS / "monitoring", capture_output=True, check=False
            )
            self.assertEqual(run.returncode, 0, (run.stdout + run.stderr).decode())
