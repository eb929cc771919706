"""What tells two states of a page apart (pure).

    {"seen": "5b0c...", "whole": false,
     "set": {"i1f...": "<tr ...>"}, "gone": ["i2e..."], "rows": {"images": ["i1f..."]}}

A browser that has the state ``before`` and is sent the difference has the state ``now``, which
it knows by its revision.
"""

from typing import Any

from regiond.web.rendering import Page


def difference(before: Page, now: Page) -> dict[str, Any]:
    """What makes ``now`` of ``before``; {} if they are the same.

    ``whole``: nothing was known before. ``set`` has each part and row that is new or another, by
    its id, ``gone`` the ids of rows that are no more, and ``rows`` the ids of a table, in
    order, where leaving out those does not make it.
    """
    had, has = before.fragments, now.fragments
    said = {
        "set": {name: html for name, html in has.items() if had.get(name) != html},
        "gone": [name for name in had if name not in has],
        "rows": {
            table: list(rows)
            for table, rows in now.rows.items()
            if [name for name in before.rows.get(table, {}) if name in rows] != list(rows)
        },
    }
    if not any(said.values()):
        return {}
    return {"seen": now.revision, "whole": not (before.parts or before.rows), **said}
