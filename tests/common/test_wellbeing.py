"""Whether all is well."""

from twisted.trial.unittest import SynchronousTestCase

from common.wellbeing import verdict

ERROR, WARNING = {"severity": "error"}, {"severity": "warning"}


class VerdictTests(SynchronousTestCase):
    def test_nothing_is_wrong(self) -> None:
        """No open problem, and nothing else to look at."""
        quiet = {"well": True, "verdict": "all is well"}
        self.assertEqual(verdict([]), quiet)
        self.assertEqual(verdict([], {("rack unknown", "racks unknown"): 0}), quiet)

    def test_what_is_wrong_is_counted(self) -> None:
        """Errors, warnings, then the rest; one of something is one."""
        self.assertEqual(
            verdict([ERROR, WARNING, ERROR], {("rack unknown", "racks unknown"): 1}),
            {"well": False, "verdict": "2 errors, 1 warning, 1 rack unknown"},
        )
        self.assertEqual(
            verdict([], {("rack unknown", "racks unknown"): 2})["verdict"], "2 racks unknown"
        )
