"""Ids of elements."""

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from regiond.web.html_ids import html_id


class HtmlIdTests(SynchronousTestCase):
    @given(st.text())
    def test_it_needs_no_quotation_marks(self, name: str) -> None:
        """In a page or a selector, whatever the name."""
        self.assertTrue(re.fullmatch(r"[a-z][A-Za-z0-9_-]{8}", html_id("i", name)))

    def test_other_names_have_others(self) -> None:
        """And other kinds of the same name, too."""
        found = {html_id(kind, name) for kind in "ir" for name in ("a", "b", "é")}
        self.assertEqual(len(found), 6)
