"""Puts the page together: one resource for browsers, and the service that keeps pages live."""

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource

from common.config import RegiondConfig
from regiond.boot_sources import BootSources
from regiond.fleet import RegionFleet
from regiond.import_status import ImportStatus
from regiond.region import Region
from regiond.selections import Selections
from regiond.web.changes import Changes
from regiond.web.front import PATHS, Front
from regiond.web.guard import Outside
from regiond.web.live import Live
from regiond.web.pages import Ask, Pages
from regiond.web.people import People
from regiond.web.rendering import Templates
from regiond.web_sessions import WebSessions


@attrs.frozen
class Web:
    """What people see. ``children`` are by the first part of their paths."""

    live: Live
    children: dict[str, IResource]


def make_web(
    config: RegiondConfig,
    ask: Ask,
    *,
    region: Region,
    imports: ImportStatus,
    boot_sources: BootSources,
    selections: Selections,
    fleet: RegionFleet,
    sessions: WebSessions,
    pulse: Callable[[], object],
    clock: IReactorTime,
) -> Web:
    """The page.

    Args:
        config: of the region.
        ask: the admin shell's answers.
        region: images, what they take, and what happened.
        imports: whether one runs, and how the last one ended.
        boot_sources: tries a source that is not kept.
        selections: what a source offers, without asking it.
        fleet: how far images have spread.
        sessions: who is logged in.
        pulse: another value whenever something moves of which the change feed does not tell.
        clock: for everything.
    """
    templates, outside = Templates(), Outside(config.web_url)
    pages = Pages(
        ask,
        region=region,
        imports=imports,
        selections=selections,
        fleet=fleet,
        templates=templates,
    )
    live = Live(pages.build, sessions.is_alive, pulse, clock)
    changes = Changes(ask, boot_sources, pages)
    front = Front(
        region=config.name,
        templates=templates,
        live=live,
        changes=changes,
        sessions=sessions,
        outside=outside,
        read_only=config.web_read_only,
        clock=clock.seconds,
    )
    people = People(front.answer, outside)
    return Web(live, {path.removeprefix("/"): people for path in PATHS})
