"""Rules by the wall clock."""

import os
import time
from datetime import datetime
from unittest import mock
from zoneinfo import ZoneInfo

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.bandwidth import read_windows
from common.timetable import Timetable

BERLIN = ZoneInfo("Europe/Berlin")


class TimetableTests(SynchronousTestCase):
    """In Berlin, where summer time comes and goes."""

    def setUp(self) -> None:
        patch = mock.patch.dict(os.environ, TZ="CET-1CEST,M3.5.0,M10.5.0/3")
        patch.start()
        self.addCleanup(time.tzset)
        self.addCleanup(patch.stop)
        time.tzset()
        self.clock = Clock()
        self.timetable = Timetable(self.clock.seconds)
        self.timetable.windows = read_windows("0 02:30-18:00")

    def at(self, day: str, hour: str) -> int | None:
        moment = datetime.fromisoformat(f"{day}T{hour}").replace(tzinfo=BERLIN)
        self.clock.rightNow = moment.timestamp()  # a clock that is set, in both directions
        return self.timetable.limit()

    def test_by_local_time(self) -> None:
        """The same hours of the day in summer and in winter, and after any jump."""
        for day in ("2026-01-15", "2026-07-15"):
            for hour, limit in {"12:00": 0, "02:29": None, "17:59": 0, "18:00": None}.items():
                self.assertEqual(self.at(day, hour), limit)
        self.assertEqual(self.timetable.until(), "02:30")
        self.at("2026-01-15", "12:00")
        self.assertEqual(self.timetable.until(), "18:00")

    def test_the_hour_that_is_not_there(self) -> None:
        """On the day that has no 02:30, the hours begin with 03:00."""
        self.assertIsNone(self.at("2026-03-29", "01:59"))
        self.clock.advance(60)
        self.assertEqual(self.timetable.limit(), 0)

    def test_without_rules(self) -> None:
        """There is no limit, ever."""
        self.timetable.windows = ()
        self.assertIsNone(self.timetable.limit())
        self.assertEqual(self.timetable.until(), "")
