"""Where values come from."""

from twisted.trial.unittest import SynchronousTestCase

from common.shell.live_values import Candidate, live_values, setting_values


class LiveValueTests(SynchronousTestCase):
    """What each is explained by (which there are: ``test_completion``)."""

    def test_ids_are_explained(self) -> None:
        """Beside a number stands what it is of."""
        row = {"id": 3, "name": "ubuntu/jammy", "architecture": "amd64/ga", "label": "stable"}
        self.assertEqual(
            live_values("image", "", {}, lambda _: [row]),
            [Candidate("3", "ubuntu/jammy amd64/ga stable")],
        )
        row = {"id": 1, "os": "ubuntu", "release": "jammy", "arches": ["amd64", "arm64"]}
        self.assertEqual(
            live_values("selection", "", {"source": "1"}, lambda _: [row]),
            [Candidate("1", "ubuntu jammy amd64,arm64")],
        )

    def test_a_selection_without_its_source(self) -> None:
        """Nothing is asked before it is known of which source."""
        self.assertEqual(live_values("selection", "", {}, self.fail), [])

    def test_an_unknown_kind(self) -> None:
        """What nobody knows is nothing, and nobody is asked."""
        self.assertEqual(live_values("nonsense", "", {}, self.fail), [])

    def test_an_unknown_setting(self) -> None:
        """A setting that the daemon does not have has no values."""
        self.assertEqual(setting_values("x", lambda _: []), [])
