"""What an admin says about a boot source, without a region around it."""

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.errors import WrongUsage
from regiond.source_fields import changed, credentials_of, differences, location_of
from regiond.store.sources import SourceFields

NOTHING = SourceFields("")
SOURCE = SourceFields("https://images.example/a/", keyring_filename="/k", priority=3)

GIVEN = st.fixed_dictionaries(
    {},
    optional={
        "url": st.sampled_from(["http://h/", "https://u:p@h/x", "ftp://h/", ""]),
        "keyring_filename": st.sampled_from(["/k", "/other", "k", ""]),
        "keyring_data": st.sampled_from([b"key", b""]),
        "unsigned": st.booleans(),
        "priority": st.integers(-5, 5),
        "enabled": st.booleans(),
        "username": st.sampled_from(["u", "v:w", ""]),
        "password": st.sampled_from(["p", ""]),
        "bearer_token": st.sampled_from(["t", "two words", ""]),
    },
)


class ChangedTests(SynchronousTestCase):
    def test_credentials_of_a_url_are_kept_beside_it(self) -> None:
        """The URL that is stored, and unique, holds no password."""
        fields = changed(NOTHING, {"url": "https://u:p@h/a", "unsigned": True})
        self.assertEqual((fields.url, fields.username, fields.password), ("https://h/a", "u", "p"))
        self.assertEqual(location_of(fields).authorization, "Basic dTpw")

    def test_only_what_differs_is_written(self) -> None:
        """Another admin's change of another field is not undone."""
        after = changed(SOURCE, {"priority": 3, "enabled": False})
        self.assertEqual(differences(SOURCE, after), {"enabled": False})
        self.assertEqual(differences(SOURCE, changed(SOURCE, {})), {})

    def test_limits_are_read_when_they_are_given(self) -> None:
        """They are kept as they are shown, cleared by nothing, and refused if they are none."""
        fields = changed(SOURCE, {"rate_limit": "1Gbit/s 08:00-18:00,0"})
        self.assertEqual(fields.rate_limit, "1 Gbit/s 08:00-18:00, 0")
        self.assertIsNone(changed(fields, {"rate_limit": ""}).rate_limit)
        error = self.assertRaises(WrongUsage, changed, SOURCE, {"rate_limit": "fast"})
        self.assertEqual(error.code, "wrong-value")
        self.assertIn("200 Mbit/s", error.message)

    @given(GIVEN, GIVEN)
    def test_whatever_is_given_the_fields_hold_together(
        self, first: dict[str, object], second: dict[str, object]
    ) -> None:
        """Exactly one kind of keyring, at most one of credentials, a URL; or a refusal."""
        fields = SOURCE
        for each in (first, second):
            try:
                fields = changed(fields, each)
            except WrongUsage:
                continue
            keyrings = (fields.keyring_filename, fields.keyring_data, fields.unsigned or None)
            self.assertEqual(sum(kind is not None for kind in keyrings), 1)
            self.assertNotIn("@", fields.url)
            kind = credentials_of(fields).kind
            self.assertEqual(kind == "bearer", fields.bearer_token is not None)
            self.assertEqual(kind == "basic", fields.username is not None)
            self.assertTrue(location_of(fields).base.endswith("/"))
            self.assertEqual(changed(fields, {}), fields)
            untouched = {name for name in attrs.asdict(fields) if name not in each}
            kinds = {"keyring_filename", "keyring_data", "unsigned"}
            kinds |= {"username", "password", "bearer_token"}
            self.assertEqual(fields.priority, each.get("priority", fields.priority))
            self.assertLessEqual({"ca_file", "rate_limit"}, untouched - kinds)
