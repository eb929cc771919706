"""What is said of a blob that went bad: what it is of, and what is to be done."""

from twisted.trial.unittest import SynchronousTestCase

from common.events import Severity
from common.images import ImageKey
from regiond.damaged_blobs import LostFile, Uses, blob_damaged

NAME = "ab" * 32


def lost(
    os: str = "ubuntu", release: str = "noble", path: str | None = "a", id: int = 3
) -> LostFile:
    """A file of an image."""
    key = ImageKey(os, "amd64", "generic", release, "stable")
    source_id = None if path is None else 1
    return LostFile(id, key, "20250718", "root-tgz", NAME, 9, source_id, path)


class EventTests(SynchronousTestCase):
    def test_of_a_source(self) -> None:
        """An import fetches it again; what its source has no more can be let go."""
        event = blob_damaged(NAME, "chunk 2 is missing", Uses([lost()]))
        self.assertEqual(event.object, f"blob {NAME}")
        self.assertEqual(event.severity, Severity.ERROR)
        self.assertIn(
            "of ubuntu/amd64/generic/noble/stable 20250718 (root-tgz) went bad: chunk 2 is missing",
            event.cause,
        )
        self.assertIn("boot-resources import fetches", event.remedy)
        self.assertIn("boot-resource delete 3", event.remedy)

    def test_of_an_upload(self) -> None:
        """The line that sends it again is given, whatever it is called."""
        for os, name in (("custom", "mine"), ("windows", "windows/mine")):
            event = blob_damaged(NAME, "x", Uses([lost(os, "mine", None)]))
            self.assertTrue(
                event.remedy.endswith(
                    f": boot-resources create name={name} architecture=amd64/generic"
                    " filetype=tgz content@=FILE"
                ),
                event.remedy,
            )

    def test_of_both(self) -> None:
        """What a source has, too, need not be sent."""
        event = blob_damaged(NAME, "x", Uses([lost("custom", "mine", None), lost()]))
        self.assertIn("boot-resources import", event.remedy)

    def test_of_documents_or_of_nothing(self) -> None:
        """A signed document is read anew; what nothing needs is no problem."""
        event = blob_damaged(NAME, "x", Uses(documents=["boot-source 1's streams/v1/index.sjson"]))
        self.assertIn("copy of boot-source 1's streams/v1/index.sjson went bad", event.cause)
        self.assertIn("boot-resources import", event.remedy)
        event = blob_damaged(NAME, "x", Uses())
        self.assertEqual(event.severity, Severity.INFO)
        self.assertIn("which nothing needs", event.cause)

    def test_of_many(self) -> None:
        """One line names some."""
        event = blob_damaged(NAME, "x", Uses([lost(id=n) for n in range(9)]))
        self.assertEqual(event.cause.count("noble"), 4)
        self.assertIn(", ... went bad", event.cause)
