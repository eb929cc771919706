"""docs/configuration.md says what can be set at run time: no setting is missing there."""

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from common.settings import shown
from regiond.settings_table import SETTINGS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


class SettingsDocumentTests(SynchronousTestCase):
    def test_every_setting_stands_in_the_document_and_no_other(self) -> None:
        """Name, default and what it may be are those of the table, in its order."""
        rows = re.findall(
            r"^\| `(\w+)` \| `(\w+)` \| ([^|]+) \| [^|]{20,} \|$",
            DOCUMENT.read_text().partition("\n## Settings\n")[2],
            re.MULTILINE,
        )
        self.assertEqual(
            rows, [(each.name, shown(each.default), each.values.wanted) for each in SETTINGS]
        )
