"""What GnuPG's status lines say about a signed document (pure).

GnuPG's exit code decides nothing (it is 0 for expired and revoked keys, and 2 beside a
good signature when a second one is by an unknown key). The status lines do:

=======================================  ==================================================
status lines                             verdict
=======================================  ==================================================
GOODSIG + VALIDSIG, known strong key     counts; one such signature is needed
EXPKEYSIG, REVKEYSIG, EXPSIG             does not count
ERRSIG + NO_PUBKEY                       does not count: a key that is being rotated in
digest not SHA-256, SHA-384, SHA-512     does not count
DSA, RSA below 2048 bits                 does not count
BADSIG, any other ERRSIG                 refused, whatever else is there
NODATA, UNEXPECTED, ERROR                refused, whatever else is there
not exactly one PLAINTEXT, in text form  refused, whatever else is there
=======================================  ==================================================
"""

from collections.abc import Mapping, Sequence

import attrs

from common.errors import SignatureError

HEADER = b"-----BEGIN PGP SIGNED MESSAGE-----"
FOOTER = b"-----END PGP SIGNATURE-----"

_ARMOUR_LINES_AFTER_THE_FIRST = 2
_PREFIX = "[GNUPG:] "
_STRONG_DIGESTS = {"8", "9", "10"}  # SHA-256, SHA-384, SHA-512 (RFC 4880, 9.4)
_RSA, _ECDSA, _EDDSA = {"1", "3"}, "19", "22"
_MIN_RSA_BITS = 2048
_NO_PUBLIC_KEY = "9"
_CLOCK_TOLERANCE_S = 60
_TEXT_FORM = "74"

_ASK = "ask whoever publishes the source; the last good state is kept"
_PAGE = "look at the URL, and whether a proxy or a login page answers in the source's place"
_CUT = "nothing, if a transfer or a publisher was cut off; it is tried again at the next import"
_CHANGED = (
    "trust nothing of it: ask whoever publishes the source, and look for a proxy that changes "
    "texts; the last good state is kept"
)
_CLOCK = "set this machine's clock; if it is right, ask whoever publishes the source"
_KEYRING = "give the boot source the publisher's current keyring"

_WORTHLESS = {
    "REVKEYSIG": ("key-revoked", "is signed by {}, which is revoked", _KEYRING),
    "EXPKEYSIG": ("key-expired", "is signed by {}, which has expired", _KEYRING),
    "EXPSIG": ("expired", "has a signature by {} that has expired", _ASK),
}


@attrs.frozen
class Key:
    """A primary key of a keyring, with the algorithms of all keys that may sign for it.

    ``signers`` maps the fingerprint of the key and of each subkey to its (algorithm
    number, bits). ``expires_at`` is seconds since the epoch; None: never.
    """

    fingerprint: str
    name: str
    expired: bool
    revoked: bool
    signers: Mapping[str, tuple[str, int]]
    expires_at: int | None = None


@attrs.frozen
class _Signature:
    """The status lines of one signature, keyword to arguments."""

    lines: Mapping[str, list[str]]

    def argument(self, keyword: str, position: int) -> str:
        arguments = self.lines.get(keyword, [])
        return arguments[position] if position < len(arguments) else ""


def check_frame(document: bytes, name: str) -> None:
    """Refuse a document that is more or less than one clear-signed text.

    GnuPG gives back the signed text alone, whatever stands around it; this is a second
    fence. It looks at armour lines only: in the signed text such lines are escaped.

    Raises:
        SignatureError: ``signature-missing``, ``signature-surrounding-text``,
            ``signature-truncated``.
    """
    if HEADER not in document:
        start = ascii(document[:40].decode("latin-1"))
        remedy = _PAGE if document.lstrip().startswith(b"<") else _ASK
        raise _refused("missing", f"is not signed; it begins with {start}", name, remedy)
    if not document.startswith((HEADER + b"\n", HEADER + b"\r\n")):
        raise _refused("surrounding-text", "has text before the signed part", name)
    if FOOTER not in document:
        raise _refused("truncated", "ends before its signature does", name, _CUT)
    if not document.rstrip(b"\r\n").endswith(b"\n" + FOOTER):
        raise _refused("surrounding-text", "has text after the signature", name)
    if document.count(b"\n-----") != _ARMOUR_LINES_AFTER_THE_FIRST:
        raise _refused("surrounding-text", "consists of more than one signed part", name)


def judge(status: str, keys: Sequence[Key], name: str, now: float) -> str:
    """The fingerprint of the primary key that signed.

    Args:
        status: everything GnuPG wrote to its status channel.
        keys: the source's keyring.
        name: the document, for messages.
        now: seconds since the epoch.

    Raises:
        SignatureError: nothing in the document counts, or something spoils it.
    """
    lines = [line[len(_PREFIX) :].split() for line in status.splitlines() if _is_status(line)]
    keywords = [line[0] for line in lines]
    signatures = _signatures(lines)
    for signature in signatures:
        _refuse_if_spoilt(signature, name, now)
    if not signatures:
        raise _refused("bad", "holds no signature that GnuPG can read", name)
    if {"NODATA", "UNEXPECTED", "ERROR"} & set(keywords):
        raise _refused("bad", "is not one clear-signed text", name)
    plaintexts = [line[1:2] for line in lines if line[0] == "PLAINTEXT"]
    if plaintexts != [[_TEXT_FORM]]:
        raise _refused("bad", "is not one clear-signed text", name)
    primary_keys = {key.fingerprint: key for key in keys}
    reasons: list[SignatureError] = []
    for signature in signatures:
        reason = _reason_not_to_count(signature, primary_keys, name, now)
        if reason is None:
            return signature.argument("VALIDSIG", 9)
        reasons.append(reason)
    raise reasons[0]


def _is_status(line: str) -> bool:
    return line.startswith(_PREFIX) and bool(line[len(_PREFIX) :].strip())


def _signatures(lines: list[list[str]]) -> list[_Signature]:
    groups: list[dict[str, list[str]]] = []
    for keyword, *arguments in lines:
        if keyword == "NEWSIG":
            groups.append({})
        elif groups:
            groups[-1].setdefault(keyword, arguments)
    return [_Signature(group) for group in groups]


def _refuse_if_spoilt(signature: _Signature, name: str, now: float) -> None:
    if "BADSIG" in signature.lines:
        what = f"was changed after {_by(signature, 'BADSIG')} signed it"
        raise _refused("bad", what, name, _CHANGED)
    if "ERRSIG" not in signature.lines:
        return
    digest, reason = signature.argument("ERRSIG", 2), signature.argument("ERRSIG", 5)
    if digest not in _STRONG_DIGESTS:
        raise _weak_digest(signature.argument("ERRSIG", 0), name)
    if reason != _NO_PUBLIC_KEY and "NO_PUBKEY" not in signature.lines:
        if _is_from_the_future(signature, now):
            raise _wrong_clock(signature, name)
        raise _refused("bad", "has a signature that cannot be checked", name)


def _reason_not_to_count(
    signature: _Signature, keys: Mapping[str, Key], name: str, now: float
) -> SignatureError | None:
    if "ERRSIG" in signature.lines:
        return _unknown_key(signature, name, now)
    for keyword, (code, what, remedy) in _WORTHLESS.items():
        if keyword in signature.lines:
            said = what.format(_by(signature, keyword))
            return _refused(code, said, name, remedy)
    key = keys.get(signature.argument("VALIDSIG", 9))
    if "GOODSIG" not in signature.lines or key is None:
        what = "is signed by a key that is not in the source's keyring"
        return _refused("unknown-key", what, name, _KEYRING)
    if signature.argument("VALIDSIG", 7) not in _STRONG_DIGESTS:
        return _weak_digest(key.fingerprint, name)
    return _weak_key(key, signature.argument("VALIDSIG", 0), name)


def _weak_key(key: Key, signer: str, name: str) -> SignatureError | None:
    algorithm, bits = key.signers.get(signer, ("", 0))
    if algorithm in {_ECDSA, _EDDSA} or (algorithm in _RSA and bits >= _MIN_RSA_BITS):
        return None
    kind = f"RSA key of only {bits} bits" if algorithm in _RSA else "key of a kind not accepted"
    return _refused("weak-key", f"is signed by {key.fingerprint}, a {kind}", name)


def _unknown_key(signature: _Signature, name: str, now: float) -> SignatureError:
    if _is_from_the_future(signature, now):
        return _wrong_clock(signature, name)
    what = f"is signed by {_by(signature, 'ERRSIG')}, which is not in the source's keyring"
    return _refused("unknown-key", what, name, _KEYRING)


def _is_from_the_future(signature: _Signature, now: float) -> bool:
    made_at = signature.argument("ERRSIG", 4)
    return made_at.isdigit() and int(made_at) > now + _CLOCK_TOLERANCE_S


def _wrong_clock(signature: _Signature, name: str) -> SignatureError:
    what = f"has a signature by {_by(signature, 'ERRSIG')} from the future"
    return _refused("clock", what, name, _CLOCK)


def _weak_digest(keyid: str, name: str) -> SignatureError:
    what = f"is signed by {keyid} over a digest other than SHA-256, SHA-384 and SHA-512"
    return _refused("weak-digest", what, name)


def _by(signature: _Signature, keyword: str) -> str:
    return f"key {signature.argument(keyword, 0)}"


def _refused(code: str, what: str, name: str, remedy: str = _ASK) -> SignatureError:
    return SignatureError(
        f"the document {what}", object=name, code=f"signature-{code}", remedy=remedy
    )
