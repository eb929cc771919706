"""What an admin says about a boot source, as the fields it is then kept with (pure).

``create`` and ``update`` share it: only what is given changes, an empty value clears, and
giving one kind of keyring or credentials replaces the other kind.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import attrs

from common.errors import WrongUsage
from common.proxies import Proxy
from common.settings import LIMITS
from regiond.sources.credentials import Credentials, split_url, wrong_credentials
from regiond.sources.locations import SourceLocation
from regiond.store.sources import BootSource, SourceFields

MOST_PRIORITY = 1_000_000

_KEYRINGS = ("keyring_filename", "keyring_data", "unsigned")
_BASIC = ("username", "password")


def fields_of(source: BootSource) -> SourceFields:
    """What is kept of a source that an admin may change."""
    names = [each.name for each in attrs.fields(SourceFields)]
    return SourceFields(**{name: getattr(source, name) for name in names})


def credentials_of(source: BootSource | SourceFields) -> Credentials:
    """As whom a source is asked; they may stand in a URL that an older release kept."""
    kept = Credentials(source.username, source.password, source.bearer_token)
    return split_url(source.url)[1] if kept.kind == "none" else kept


def location_of(source: BootSource | SourceFields) -> SourceLocation:
    """Where a source is, and as whom it is asked."""
    location = SourceLocation.parse(source.url, unsigned=source.unsigned)
    return attrs.evolve(location, authorization=credentials_of(source).authorization)


def proxy_of(source: BootSource | SourceFields) -> Proxy | None:
    """Through what a source is asked."""
    return None if source.proxy is None else Proxy.parse(source.proxy)


def changed(before: SourceFields, given: Mapping[str, Any]) -> SourceFields:
    """The fields with what was given instead.

    Args:
        before: as they are; for a new source, with an empty URL.
        given: by the names of the fields; "" or b"" clears. Credentials are for the server
            that they were given for: with a URL at another one they go.

    Raises:
        WrongUsage: ``source-url``, ``source-keyring``, ``source-credentials``,
            ``source-proxy-url``, ``wrong-value``.
    """
    wanted: dict[str, Any] = {
        name: None if value in {"", b""} else value for name, value in given.items()
    }
    before = _apart(before)
    if "url" in wanted:
        wanted["url"], in_url = split_url(wanted["url"] or "")
        _add_credentials(wanted, in_url)
        if before.url and _is_elsewhere(before.url, wanted["url"]):
            before = attrs.evolve(before, username=None, password=None, bearer_token=None)
    _replace_kinds(wanted)
    fields = attrs.evolve(before, **wanted)
    _check(fields)
    return attrs.evolve(fields, rate_limit=_limits(fields))


def differences(before: SourceFields, after: SourceFields) -> dict[str, Any]:
    """The fields that changed, with their new values."""
    return {
        each.name: getattr(after, each.name)
        for each in attrs.fields(SourceFields)
        if getattr(after, each.name) != getattr(before, each.name)
    }


def credentials_warning(before: SourceFields, after: SourceFields) -> str:
    """What to think of before credentials go there; "" if there are none, or all is well."""
    there = location_of(after)
    if not there.authorization:
        if (
            before.url
            and location_of(before).authorization
            and _is_elsewhere(before.url, after.url)
        ):
            return "it is another server, so the credentials of the one before were taken away"
        return ""
    if there.base.startswith("http://"):
        return "the credentials cross the network in the clear: the URL is http, not https"
    return ""


def _is_elsewhere(one: str, other: str) -> bool:
    """Whether two URLs lead to different servers."""
    return SourceLocation.parse(one).origin != SourceLocation.parse(other).origin


def _apart(fields: SourceFields) -> SourceFields:
    """With the credentials beside the URL; an older release kept them in it."""
    url, found = split_url(fields.url)
    if found.kind == "none":
        return fields
    return attrs.evolve(fields, url=url, username=found.username, password=found.password)


def _add_credentials(wanted: dict[str, Any], in_url: Credentials) -> None:
    """User and password of a URL are kept beside it, never in it."""
    if in_url.kind == "none":
        return
    if any(wanted.get(name) is not None for name in (*_BASIC, "bearer_token")):
        raise wrong_credentials("credentials are given both in the URL and beside it")
    wanted |= {"username": in_url.username, "password": in_url.password}


def _replace_kinds(wanted: dict[str, Any]) -> None:
    """Whoever gives one kind of keyring or credentials takes the others back."""
    keyring = [name for name in _KEYRINGS if wanted.get(name)]
    if len(keyring) == 1:
        nothing = {"keyring_filename": None, "keyring_data": None, "unsigned": False}
        wanted |= nothing | {keyring[0]: wanted[keyring[0]]}
    basic = any(wanted.get(name) is not None for name in _BASIC)
    if basic and wanted.get("bearer_token") is None:
        wanted["bearer_token"] = None
    elif wanted.get("bearer_token") is not None and not basic:
        wanted |= {"username": None, "password": None}
    elif "username" in wanted and wanted["username"] is None:
        wanted.setdefault("password", None)


def _check(fields: SourceFields) -> None:
    location = location_of(fields)
    given = [fields.keyring_filename, fields.keyring_data].count(None)
    if fields.unsigned and given != 2:
        raise _wrong_keyring(
            location,
            "an unsigned source has no keyring",
            "leave out either unsigned=true or the keyring",
        )
    if not fields.unsigned and given != 1:
        raise _wrong_keyring(
            location,
            "a source needs exactly one keyring",
            "give keyring_filename=PATH or keyring_data@=FILE; "
            "or unsigned=true for a source without signatures",
        )
    if not _is_path(fields.keyring_filename):
        raise _wrong_keyring(
            location,
            f"keyring_filename {fields.keyring_filename} is not an absolute path on the region",
            "give the whole path, or the keyring itself with keyring_data@=FILE",
        )
    proxy_of(fields)
    if not _is_path(fields.ca_file):
        raise WrongUsage(
            f"ca_file {fields.ca_file} is not an absolute path on the region",
            object=location.base,
            code="wrong-value",
            remedy="give the whole path of a file of certificates in PEM",
        )
    if abs(fields.priority) > MOST_PRIORITY:
        raise WrongUsage(
            f"the priority {fields.priority} is beyond {MOST_PRIORITY}",
            object=location.base,
            code="wrong-value",
        )


def _limits(fields: SourceFields) -> str | None:
    """The source's limits as they are shown; None if there are none."""
    if fields.rate_limit is None:
        return None
    limits = LIMITS.read(fields.rate_limit)
    if limits is None:
        raise WrongUsage(
            f'rate_limit is to be {LIMITS.wanted}, not "{fields.rate_limit[:80]}"',
            object=location_of(fields).base,
            code="wrong-value",
            remedy="rate_limit= takes the limit away",
        )
    return str(limits)


def _is_path(text: str | None) -> bool:
    return text is None or (text.isprintable() and PurePosixPath(text).is_absolute())


def _wrong_keyring(location: SourceLocation, what: str, remedy: str) -> WrongUsage:
    return WrongUsage(what, object=location.base, code="source-keyring", remedy=remedy)
