"""What makes one state of a page of another."""

from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from twisted.trial.unittest import SynchronousTestCase

from regiond.web.differences import difference
from regiond.web.rendering import Page

_NAMES = st.sampled_from("abcdef")


@st.composite
def pages(draw: st.DrawFn) -> Page:
    """Two tables and a part; each row stands in one of them."""
    names = draw(st.lists(_NAMES, unique=True))
    middle = draw(st.integers(0, len(names)))
    texts = st.sampled_from(["one", "two"]).map(Markup)
    rows = {
        table: {name: draw(texts) for name in each}
        for table, each in (("t1", names[:middle]), ("t2", names[middle:]))
    }
    return Page("Images", "", parts={"p": draw(texts)}, rows=rows)


class Shown:
    """What a browser has, brought up to date as its script does."""

    def __init__(self, page: Page) -> None:
        self.html = dict(page.fragments)
        self.order = {table: list(rows) for table, rows in page.rows.items()}

    def take(self, said: dict[str, dict[str, object]]) -> None:
        """A message."""
        self.html |= said["set"]  # type: ignore[arg-type]  # of a message
        for name in said["gone"]:
            del self.html[name]
            for rows in self.order.values():
                if name in rows:
                    rows.remove(name)
        for table, names in said["rows"].items():
            for rows in self.order.values():
                rows[:] = [name for name in rows if name not in names]  # type: ignore[operator]
            self.order[table] = list(names)  # type: ignore[call-overload]


class DifferenceTests(SynchronousTestCase):
    @given(pages(), pages())
    def test_it_makes_one_state_of_the_other(self, before: Page, now: Page) -> None:
        """Whatever has come, gone, moved or changed."""
        shown = Shown(before)
        said = difference(before, now)
        if said:
            shown.take(said)
            self.assertEqual(said["seen"], now.revision)
        self.assertEqual(shown.html, now.fragments)
        self.assertEqual(shown.order, {table: list(rows) for table, rows in now.rows.items()})

    @given(pages(), pages())
    def test_a_revision_names_a_state(self, before: Page, now: Page) -> None:
        """Nothing is to be said where it is the same, and something where it is another."""
        self.assertEqual(before.revision == now.revision, difference(before, now) == {})

    def test_a_row_that_goes_takes_few_words(self) -> None:
        """The others and their order are not told again."""
        rows = {f"r{number}": Markup("x") for number in range(500)}
        before = Page("Images", "", rows={"t": rows})
        now = Page("Images", "", rows={"t": {k: v for k, v in rows.items() if k != "r7"}})
        said = difference(before, now)
        self.assertEqual((said["set"], said["gone"], said["rows"]), ({}, ["r7"], {}))
