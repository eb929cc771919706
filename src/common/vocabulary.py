"""Every word of the admin shell: nouns, verbs, ids, parameters, flags (pure).

One table (``common.words``) for both ends of the admin socket. The shell's grammar, its completion and its
help are made from it; the daemons check questions against it and answer them by name:
``boot-sources create`` is answered by ``boot_sources_create``.

The grammar is the MAAS CLI's without ``maas $PROFILE``:

    rackferry [options] NOUN VERB [ID...] [key=value | key@=file | flag ...]
"""

from common.verbs import (
    FLAGS,
    OPTIONS,
    Answer,
    BlobName,
    Kind,
    Parameter,
    Place,
    Question,
    Value,
    Verb,
    with_timeout,
)
from common.words import daemons, images, local, racks, sources

__all__ = (
    "BY_NAME",
    "FLAGS",
    "OPTIONS",
    "VERBS",
    "Answer",
    "BlobName",
    "Kind",
    "Parameter",
    "Place",
    "Question",
    "Value",
    "Verb",
)

VERBS: tuple[Verb, ...] = tuple(
    map(
        with_timeout,
        (*sources.VERBS, *images.VERBS, *racks.VERBS, *daemons.VERBS, *local.VERBS),
    )
)

BY_NAME = {(verb.noun, verb.verb): verb for verb in VERBS}
