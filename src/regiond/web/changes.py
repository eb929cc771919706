"""What can be done on the page. Each is a word of the admin shell, asked by the session.

So what is checked, what is recorded and what is refused is the same as there; the page adds
only that it manages nothing where there is more than one source.
"""

import binascii
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from common.errors import Conflict, NotFound, RackferryError, WrongUsage
from common.questions import check_question
from common.vocabulary import Place, Question
from regiond.boot_sources import DEFAULT_SOURCE, BootSources
from regiond.web.guard import Asked
from regiond.web.pages import Pages, SourceForm
from regiond.web.rendering import Notice, Page
from regiond.web.ticks import Change, changes_to, demand_state

Ask = Callable[[Question], Awaitable[Any]]

_NOTHING_DONE = Notice("Nothing was changed.")


class Changes:
    """What can be done.

    Args:
        ask: the admin shell's answers.
        boot_sources: tries a source before it is kept.
        pages: what is shown again if something was typed wrong.
    """

    def __init__(self, ask: Ask, boot_sources: BootSources, pages: Pages) -> None:
        self._ask = ask
        self._boot_sources = boot_sources
        self._pages = pages
        self._table = {
            "/import": self._import,
            "/stop": self._stop,
            "/automatic": self._automatic,
            "/source": self._source,
            "/selection": self._selection,
            "/delete": self._delete,
        }

    async def do(self, asked: Asked, asker: str) -> Notice | Page:
        """Do what a form says, and say so; or the page with what is wrong in it.

        Raises:
            NotFound: there is no such form.
            Conflict: code ``web-several-sources``.
            RackferryError: it was refused.
        """
        work = self._table.get(asked.path)
        if work is None:
            raise NotFound("there is no such page", object=asked.path, code="web-page")
        sources = await self._ask(Question("boot-sources", "read"))
        if len(sources) > 1:
            raise Conflict(
                f"there are {len(sources)} boot sources, and the page manages only one",
                object="boot-sources",
                code="web-several-sources",
                remedy="use the shell, or delete all but one there",
            )
        return await work(asked, asker, sources[0] if sources else None)

    async def confirmation(self, asked: Asked) -> Page:
        """The page that asks again before an image is deleted."""
        image = await self._word("", "boot-resource read", asked.query.get("id", ""))
        return Page("Delete an image", "confirm.html", more={"image": image})

    async def _word(self, asker: str, words: str, *ids: object, **parameters: Any) -> Any:
        noun, _, verb = words.partition(" ")
        question = Question(noun, verb, tuple(map(str, ids)), parameters, asker=asker)
        check_question(question, Place.REGION)
        return await self._ask(question)

    async def _import(self, _: Asked, asker: str, __: Any) -> Notice:
        await self._word(asker, "boot-resources import")
        return Notice("An import has begun.")

    async def _stop(self, _: Asked, asker: str, __: Any) -> Notice:
        answer = await self._word(asker, "boot-resources stop-import")
        if not answer["stopped"]:
            return _NOTHING_DONE
        return Notice("The import was stopped. What it fetched is kept.")

    async def _automatic(self, asked: Asked, asker: str, _: Any) -> Notice:
        await self._word(asker, "config set", boot_images_auto_import=asked.field("to"))
        return Notice("Automatic import was changed.")

    async def _delete(self, asked: Asked, asker: str, _: Any) -> Notice:
        await self._word(asker, "boot-resource delete", asked.field("id"))
        return Notice("The image was deleted.")

    async def _source(self, asked: Asked, asker: str, source: Any) -> Notice | Page:
        """Try the source that was typed; keep it, in place of the one there is, if it works."""
        source_id = None if source is None else int(source["id"])
        typed = _typed(asked, source_id)
        try:
            given = _given(asked, typed)
            tried = given | _decoded(given)
            await self._boot_sources.try_out(source_id, tried)
            if source_id is None:
                kept = await self._word(asker, "boot-sources create", **given)
                source_id = int(kept["id"])
            else:
                kept = await self._word(asker, "boot-source update", source_id, **given)
        except RackferryError as error:
            return await self._pages.images(logged_in=True, typed=typed, error=error)
        await self._ask(Question("available-images", "read", (str(source_id),), flags=("refresh",)))
        warning = kept.get("warning", "")
        return Notice("The source was read and saved.", (warning,) if warning else ())

    async def _selection(self, asked: Asked, asker: str, source: Any) -> Notice:
        tables = await self._pages.tables([source] if source else [])
        if source is None or tables is None:
            raise Conflict(
                "there is nothing to select from",
                object="selections",
                code="web-overtaken",
                remedy="connect a source first",
            )
        demand_state(tables, asked.field("seen"))
        wanted = set(asked.form.get("want", ()))
        changes = changes_to(tables, wanted)
        for change in changes:
            await self._change(asker, int(source["id"]), change)
        if not changes:
            return _NOTHING_DONE
        await self._word(asker, "boot-resources import")
        return Notice("The selection was saved; an import has begun.")

    async def _change(self, asker: str, source_id: int, change: Change) -> None:
        arches = list(change.arches)
        if change.selection_id is None:
            await self._word(
                asker,
                "boot-source-selections create",
                source_id,
                os=change.os,
                release=change.release,
                arches=arches,
            )
        elif arches:
            await self._word(
                asker,
                "boot-source-selection update",
                source_id,
                change.selection_id,
                arches=arches,
            )
        else:
            await self._word(asker, "boot-source-selection delete", source_id, change.selection_id)


def _typed(asked: Asked, source_id: int | None) -> SourceForm:
    if asked.field("kind") == "default":
        return SourceForm(
            source_id, "default", DEFAULT_SOURCE.url, DEFAULT_SOURCE.keyring_filename or ""
        )
    return SourceForm(source_id, "custom", asked.field("url"), asked.field("keyring_filename"))


def _given(asked: Asked, typed: SourceForm) -> dict[str, str]:
    """The fields to be kept; a keyring only if there is one, so that the one before stays."""
    given = {"url": typed.url}
    data = "".join(asked.field("keyring_data").split())
    if typed.kind == "custom" and data:
        return given | {"keyring_data": data}
    return given | ({"keyring_filename": typed.keyring_filename} if typed.keyring_filename else {})


def _decoded(given: Mapping[str, str]) -> dict[str, bytes]:
    """As the use-case takes it, without the shell between."""
    if "keyring_data" not in given:
        return {}
    try:
        return {"keyring_data": b64decode(given["keyring_data"], validate=True)}
    except binascii.Error:
        raise WrongUsage(
            "this is no base64 text", object="keyring", code="wrong-value",
            remedy="paste what prints: gpg --export KEY | base64",
        ) from None  # fmt: skip
