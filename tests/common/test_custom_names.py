"""Names and versions of custom images."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.custom_names import (
    check_base_image,
    custom_key,
    demand_free,
    doubt_of_base_image,
    next_version,
)
from common.errors import WrongUsage
from common.names import is_segment

OFFERED = [("ubuntu", "jammy"), ("centos", "centos70"), ("freebsd", "14")]
TODAY = date(2026, 11, 22)


class NameTests(SynchronousTestCase):
    def test_where_maas_puts_them(self) -> None:
        """``os/release`` under its system, any other name under custom."""
        for name, architecture, place in (
            ("my-image", "amd64", "custom/amd64/generic/my-image/uploaded"),
            ("custom/my-image", "amd64", "custom/amd64/generic/my-image/uploaded"),
            ("windows/win2016", "amd64/generic", "windows/amd64/generic/win2016/uploaded"),
            ("rhel/8", "ppc64el", "rhel/ppc64el/generic/8/uploaded"),
            ("esxi/7.0", "amd64", "esxi/amd64/generic/7.0/uploaded"),
            ("x", "arm64/xgene", "custom/arm64/xgene/x/uploaded"),
        ):
            self.assertEqual(str(custom_key(name, architecture)), place)

    def test_no_names(self) -> None:
        """What cannot be a directory, or is no system, is refused with what can be."""
        for name in ("", "/", "a/b/c", "..", "custom/..", "../x", "a b", "-x", ".x", "é", "beos/5",
                     "x" * 256):  # fmt: skip
            error = self.assertRaises(WrongUsage, custom_key, name, "amd64")
            self.assertEqual(error.code, "custom-name")
            self.assertTrue(error.remedy)

    def test_no_architectures(self) -> None:
        """They are refused by name."""
        for architecture in ("", "amd46", "amd64/a/b", "amd64/..", "*"):
            error = self.assertRaises(WrongUsage, custom_key, "x", architecture)
            self.assertEqual(error.code, "custom-architecture")

    @given(st.text(), st.text())
    def test_any_words(self, name: str, architecture: str) -> None:
        """Whatever is typed is an image that a rack can lay out, or refused."""
        try:
            key = custom_key(name, architecture)
        except WrongUsage:
            return
        self.assertTrue(all(map(is_segment, str(key).split("/"))))

    def test_reserved_names(self) -> None:
        """Systems, what sources offer, and how CentOS is called: none is for others."""
        for name in ("jammy", "ubuntu", "windows", "centos70", "centos8", "freebsd", "14",
                     "custom", "bootloader", "centos/centos70"):  # fmt: skip
            error = self.assertRaises(WrongUsage, demand_free, custom_key(name, "amd64"), OFFERED)
            self.assertEqual(error.code, "custom-reserved")
        for name in ("ubuntu/jammy", "ubuntu-core/20", "bootloader/uefi"):
            error = self.assertRaises(WrongUsage, custom_key, name, "amd64")
            self.assertEqual((error.code, error.object), ("custom-reserved", f"name={name}"))
            self.assertIn("for example my-", error.remedy)
        for name in ("my-jammy", "centos/8-ours", "rhel/jammy", "centos123"):
            demand_free(custom_key(name, "amd64"), OFFERED)

    def test_base_images(self) -> None:
        """A Linux with a release, or none."""
        for good in ("", "ubuntu/jammy", "rhel/8"):
            check_base_image(good)
        for bad in ("ubuntu", "ubuntu/", "windows/win2016", "ubuntu/a/b", "/jammy", "x"):
            error = self.assertRaises(WrongUsage, check_base_image, bad)
            self.assertEqual(error.code, "custom-base-image")

    def test_base_images_that_are_not_there(self) -> None:
        """What racks hold is well; what is only offered, or unknown, deserves a word."""
        held = [("rhel", "8")]
        for good in ("", "rhel/8"):
            self.assertEqual(doubt_of_base_image(good, held, OFFERED), "")
        self.assertIn("select it", doubt_of_base_image("ubuntu/jammy", held, OFFERED))
        self.assertIn('did you mean "ubuntu/jammy"?',
                      doubt_of_base_image("ubuntu/jamy", held, OFFERED))  # fmt: skip
        self.assertTrue(doubt_of_base_image("suse/15", (), ()).endswith("by a boot source"))


class VersionTests(SynchronousTestCase):
    def test_several_on_one_day(self) -> None:
        """The day, then a count that also grows in byte order."""
        known: list[str] = []
        for _ in range(22):
            known.append(next_version(TODAY, known))
        self.assertEqual(known[:3], ["20261122", "20261122.1", "20261122.2"])
        self.assertEqual(known[9:12], ["20261122.9", "20261122.91", "20261122.92"])
        self.assertEqual(known, sorted(known))

    @given(st.lists(st.integers(-3, 3), max_size=60))
    def test_the_next_is_always_the_newest(self, days: list[int]) -> None:
        """On any days, the clock going back, too; never the same twice."""
        known: list[str] = []
        for day in days:
            known.append(next_version(TODAY + timedelta(days=day), known))
        self.assertEqual(known, sorted(set(known)))

    @given(st.lists(st.text("0123456789._v", min_size=1), max_size=5))
    def test_whatever_there_is(self, known: list[str]) -> None:
        """It comes behind."""
        self.assertGreater(next_version(TODAY, known), max(known, default=""))
