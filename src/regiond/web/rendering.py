"""Templates to HTML: whole pages, and the parts of which a page that is open is kept up to date.

Whatever is put into a template is escaped, so ``"<token>"`` can only come from a template: it
is where the token of the session goes that a form is sent to.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import attrs
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from common.sizes import human_size
from regiond.web.guard import form_token

Fragments = Mapping[str, Markup]

_TOKEN = '"<token>"'  # noqa: S105 - where one goes


@attrs.frozen
class Page:
    """A page as it is now.

    Attributes:
        title: also which of the pages it is.
        template: of the whole.
        live: where changes are told; "" where there are none.
        parts: by the id of their element.
        rows: the rows of each table, in order, by the id of the table's body.
        more: what else the template of the whole wants.
    """

    title: str
    template: str
    live: str = ""
    parts: Fragments = attrs.field(factory=dict)
    rows: Mapping[str, Fragments] = attrs.field(factory=dict)
    more: Mapping[str, Any] = attrs.field(factory=dict)

    @cached_property
    def fragments(self) -> Fragments:
        """All parts and rows, by their ids."""
        found = dict(self.parts)
        for rows in self.rows.values():
            found |= rows
        return found

    @cached_property
    def revision(self) -> str:
        """A short name of what is shown; another one as soon as anything of it differs."""
        shown = [*self.parts.items()]
        for table, rows in self.rows.items():
            shown += [(table, Markup()), *rows.items()]
        text = "\0".join(str(word) for each in shown for word in each)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@attrs.frozen
class Notice:
    """What the next page says, once: what was done, and what to think of."""

    said: str
    warnings: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Notice | None":
        """What ``text`` made of one; None of nothing."""
        said, *warnings = text.split("\n")
        return cls(said, tuple(warnings)) if said else None

    @property
    def text(self) -> str:
        """As it is kept."""
        return "\n".join((self.said, *self.warnings))


@attrs.frozen
class Frame:
    """What stands around every page. ``who`` is logged in; "" is nobody."""

    region: str
    who: str = ""
    secret: str = attrs.field(default="", repr=False)
    read_only: bool = False
    notice: Notice | None = None


class Templates:
    """The templates of this package."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("regiond.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {"size": human_size, "when": when, "iso": _iso}
        self._parts: Any = self._environment.get_template("parts.html").module

    def part(self, name: str, *values: Any) -> Markup:
        """One part of a page: the macro of that name."""
        return Markup(str(getattr(self._parts, name)(*values)).strip())  # noqa: S704 - a macro's

    def whole(self, page: Page, frame: Frame) -> bytes:
        """A page in its frame."""
        rows = {name: Markup("\n").join(each.values()) for name, each in page.rows.items()}
        text = self._environment.get_template(page.template).render(
            title=page.title,
            live=page.live,
            seen=page.revision if page.live else "",
            parts=page.parts,
            rows=rows,
            **{name: getattr(frame, name) for name in ("region", "who", "read_only", "notice")},
            **page.more,
        )
        return with_token(text, frame.secret).encode()


def with_token(html: str, secret: str) -> str:
    """The same with the token of a session in its forms."""
    # As a plain text: a Markup would escape the quotation marks that it puts in.
    return str(html).replace(_TOKEN, f'"{form_token(secret)}"' if secret else '""')


def when(at: float) -> str:
    """A time for people, in UTC: regions and their admins may be anywhere."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
