"""AMP boxes within limits, and our errors as AMP carries them.

AMP bounds a key (255 bytes) and a value (65,535 bytes), but neither how many there are
nor the whole box. Here a box has at most 64 keys and ``max_box_bytes``; a peer that
exceeds them is cut off before the box is complete.
"""

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.protocols import amp
from twisted.python.failure import Failure

from common.errors import ProtocolError, RackferryError, door_of, packed

MAX_KEYS = 64
MAX_BOX_BYTES = 256 * 1024
MAX_EARLY_BOX_BYTES = 64 * 1024
_LONGEST_TEXT = 2000

_log = Logger()


class BoundedBoxes(amp.AMP):
    """AMP that counts what it is sent.

    Attributes:
        peer: how messages name the other end.
        is_ending: nothing more is read once this is set.
        max_box_bytes: the limit of a whole box, keys and values.
    """

    transport: Any
    peer = "peer"
    is_ending = False
    max_box_bytes = MAX_BOX_BYTES
    _box_keys = 0
    _box_bytes = 0

    def abort(self, reason: RackferryError) -> None:
        """End the connection now, for a reason that the log gets and the peer does not."""
        _log.info("{peer} is cut off: {reason}", peer=self.peer, reason=reason.line())
        self.is_ending = True
        # The parser may be in the middle of a buffer full of boxes: this stops it.
        self.paused = True
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Bytes (called by the transport); nothing is read any more once we are ending."""
        if not self.is_ending:
            super().dataReceived(data)

    def proto_key(self, string: bytes) -> str:
        """A key of a box, or its end (called by AMP)."""
        self._box_keys += 1
        if not string:
            self._box_keys = self._box_bytes = 0
        elif not self._is_within_limits(len(string)):
            return "key"
        state: str = super().proto_key(string)
        return state

    def proto_value(self, string: bytes) -> str:
        """A value of a box (called by AMP)."""
        if not self._is_within_limits(len(string)):
            return "key"
        state: str = super().proto_value(string)
        return state

    def lengthLimitExceeded(self, length: int) -> None:
        """A key is too long to be one (called by AMP)."""
        self._refuse(f"a key of {length} bytes")

    def ampBoxReceived(self, box: amp.AmpBox) -> None:
        """A whole box (called by AMP)."""
        try:
            super().ampBoxReceived(box)
        except (KeyError, amp.NoEmptyBoxes):
            self.abort(
                ProtocolError(
                    f"{self.peer} sent a box that is no command and no expected answer",
                    code="protocol-stray-box",
                )
            )

    def _is_within_limits(self, size_bytes: int) -> bool:
        self._box_bytes += size_bytes
        if self._box_bytes > self.max_box_bytes:
            self._refuse(f"more than {self.max_box_bytes} bytes")
        elif self._box_keys > MAX_KEYS:
            self._refuse(f"more than {MAX_KEYS} keys")
        return not self.is_ending

    def _refuse(self, what: str) -> None:
        self.abort(
            ProtocolError(f"{self.peer} sent {what} in a box", code="protocol-box-too-large")
        )


def shown(name: bytes) -> str:
    """A command's name as it may stand in a message, whatever the peer sent."""
    return name[:40].decode("ascii", "backslashreplace")


def remote(error: RackferryError) -> amp.RemoteAmpError:
    """An expected failure as AMP sends it: the family's code, all fields in the text."""
    text = packed(error).message
    if len(text) > amp.MAX_VALUE_LENGTH:
        fields = {key: value[:_LONGEST_TEXT] for key, value in error.to_json().items()}
        text = json.dumps(fields)
    return amp.RemoteAmpError(door_of(error).amp_code, text)


def failed(error: RackferryError) -> "Deferred[amp.AmpBox]":
    """The answer to a command that is refused at once."""
    refused: Deferred[amp.AmpBox] = Deferred()
    refused.errback(Failure(remote(error)))
    return refused
