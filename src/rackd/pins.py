"""Which snapshot each machine sees, so that a kernel never meets another generation's initrd
(pure).

A client address stays on the snapshot where it began until it has been idle for
``IDLE_S``, and no longer than ``MOST_S``: less than a replaced snapshot stays on the disk.
The address is all that is known of a machine, so machines behind one address move together.
"""

from collections import OrderedDict

import attrs

IDLE_S = 600.0
MOST_S = 3600.0
MOST_ADDRESSES = 100_000


@attrs.frozen
class _Pin:
    snapshot: str
    began_s: float
    seen_s: float


class Pins:
    """Addresses and their snapshots; the one not seen for longest goes when it is full.

    Args:
        most_addresses: how many are remembered.
    """

    def __init__(self, most_addresses: int = MOST_ADDRESSES) -> None:
        self._most_addresses = most_addresses
        self._pins: OrderedDict[str, _Pin] = OrderedDict()

    def snapshot_for(self, address: str, current: str, now_s: float) -> str:
        """What ``address`` sees now, which is ``current`` unless it began on another one."""
        pin = self._pins.get(address)
        # Never older than they look: a clock that was set back makes no pin last.
        is_held = (
            pin is not None
            and 0 <= now_s - pin.seen_s < IDLE_S
            and 0 <= now_s - pin.began_s < MOST_S
        )
        if pin is None or not is_held:
            return self.begin(address, current, now_s)
        self._pins[address] = attrs.evolve(pin, seen_s=now_s)
        self._pins.move_to_end(address)
        return pin.snapshot

    def begin(self, address: str, current: str, now_s: float) -> str:
        """``address`` begins to boot: from now on it sees ``current``."""
        self._pins[address] = _Pin(current, now_s, now_s)
        self._pins.move_to_end(address)
        if len(self._pins) > self._most_addresses:
            self._pins.popitem(last=False)
        return current

    def __len__(self) -> int:
        return len(self._pins)
