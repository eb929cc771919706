"""The demo's steps: each does one thing with real processes and prints what was seen."""

import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from bench.peers import sha256_of
from tests.integration.hops import Hop
from tests.integration.shells import ShellFailed, rackferry_command
from tests.integration.site import Site
from tests.integration.sources import MIB

RACK_STREAMS = 2  # a rack opens at most so many, an import at most twice as many
IMPORT_STREAMS = 4
REFETCH_LIMIT_BYTES = 16 * MIB  # per open stream and kill
LINE_LIMIT_S = 120.0
WAIT_LIMIT_S = 4 * 3600.0  # a real source may be slow
POLL_S = 0.02


class DemoFailed(Exception):
    """A promise was not kept; the message says which."""


@attrs.frozen
class Offer:
    """What the source offers.

    Attributes:
        sizes: SHA-256 of every file -> bytes; what is shared counts once.
        files: path in the rack's tree -> SHA-256, as far as it is known beforehand.
    """

    sizes: dict[str, int]
    files: dict[str, str]

    @property
    def size_bytes(self) -> int:
        """Bytes to move."""
        return sum(self.sizes.values())

    @classmethod
    def of(cls, originals: dict[str, Path]) -> "Offer":
        """What these original files (path in the rack's tree -> original) amount to."""
        files = {name: sha256_of(path) for name, path in originals.items()}
        return cls({files[name]: path.stat().st_size for name, path in originals.items()}, files)


def mib(size_bytes: float) -> str:
    """A size for people."""
    return f"{size_bytes / MIB:.1f} MiB"


class Walkthrough:
    """The steps, in order; each prints what it did with its figures."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._step = 0

    def say(self, title: str, *figures: str) -> None:
        """One numbered step: a title, then what was seen."""
        self._step += 1
        print(f"\n{self._step:2}  {title}")
        for figure in figures:
            self.more(figure)

    @staticmethod
    def more(text: str) -> None:
        """A further line of the step."""
        for line in text.splitlines():
            print(f"      {line}", flush=True)

    def bring_up(self, url: str, keyring: str = "") -> int:
        """Start the region and tell it of the source; the source's id."""
        ready_s = self._site.region.start()
        created = self._site.create_source(url, keyring)
        self.say(
            "The region runs",
            f"regiond: READY after {ready_s:.1f} s, an empty database, its own new CA",
            f"boot source {created}: {url}",
        )
        return created

    def select(self, source: int, words: tuple[str, ...]) -> None:
        """Want something of the source."""
        self._site.shell("boot-source-selections", "create", str(source), *words)
        self.say(f"Selected: {' '.join(words)}", self._site.shell_text("boot-resources", "plan"))

    def import_with_a_kill(self, offer: Offer, upstream: Hop) -> None:
        """Kill the region while bytes are in flight; it goes on by itself."""
        total = offer.size_bytes
        upstream.slow(total / 8)
        self._site.shell("boot-resources", "import")
        self._wait(lambda: upstream.carried_bytes >= total * 0.4, "the import to be half way")
        self._site.region.kill()
        at_kill = upstream.carried_bytes
        upstream.full_speed()
        self._finish_import(f"after {mib(at_kill)} of {mib(total)}")
        self.more(self._refetched(upstream.carried_bytes, total, IMPORT_STREAMS))

    def import_from_afar(self) -> None:
        """The same from a source that is not ours: killed as soon as bytes have come."""
        self._site.shell("boot-resources", "import")
        self._wait(lambda: self._imported_bytes() > 0, "the first bytes")
        at_kill, total = self._imported_bytes(), self._imported_bytes("size_bytes")
        self._site.region.kill()
        self._finish_import(f"when {mib(at_kill)} of {mib(total)} were in the database")

    def imported(self) -> Offer:
        """What the region has by now, in its own words: it was verified against the source."""
        images = [
            self._site.shell("boot-resource", "read", str(image["id"]))
            for image in self._site.shell("boot-resources", "read")
        ]
        return Offer(
            {file["sha256"]: file["size_bytes"] for image in images for file in image["files"]}, {}
        )

    def _imported_bytes(self, column: str = "complete_bytes") -> int:
        images = self._site.shell("boot-resources", "read")
        return sum(int(image[column]) for image in images)

    def _finish_import(self, when: str) -> None:
        began_s = time.monotonic()
        ready_s = self._site.region.start()
        self._site.shell("boot-resources", "import", "wait", limit_s=WAIT_LIMIT_S)
        spent_s = time.monotonic() - began_s
        self.say(
            "Imported; the region was killed meanwhile",
            f"SIGKILL {when}; READY again in {ready_s:.1f} s",
            f"imported, verified and durable {spent_s:.1f} s after the restart",
        )

    def _wait(self, happened: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + LINE_LIMIT_S
        while not happened():
            if time.monotonic() > deadline_s:
                raise DemoFailed(f"waited {LINE_LIMIT_S:.0f} s in vain for {what}")
            time.sleep(POLL_S)

    def enrol(self) -> None:
        """Let the rack in, once."""
        token = self._site.enrol()
        self.say(
            "The rack is enrolled",
            f"rackferry join 127.0.0.1 {token[:12]}...",
            "it checked the region against the token and holds a certificate of its own",
        )

    def sync_with_a_kill(self, offer: Offer, downstream: Hop) -> None:
        """Kill the rack while bytes are in flight; it goes on by itself."""
        rack, total = self._site.rack, offer.size_bytes
        downstream.slow(total / 8)
        rack.start()
        self._wait(lambda: downstream.carried_bytes >= total * 0.4, "the sync to be half way")
        if self._site.current is not None:
            raise DemoFailed("the rack showed an image before it was complete")
        rack.kill()
        at_kill = downstream.carried_bytes
        downstream.full_speed()
        began_s = time.monotonic()
        ready_s = rack.start()
        self._site.shell("boot-resources", "import", "wait", rack=True, limit_s=WAIT_LIMIT_S)
        spent_s = time.monotonic() - began_s
        self.say(
            "Synced over mutual TLS; the rack was killed on the way",
            f"SIGKILL after {mib(at_kill)} of {mib(total)}; READY again in {ready_s:.1f} s",
            f"on disk, verified and durable {spent_s:.1f} s after the restart",
            self._refetched(downstream.carried_bytes, total, RACK_STREAMS),
        )

    @staticmethod
    def _refetched(carried_bytes: int, total_bytes: int, streams: int) -> str:
        again, limit = carried_bytes - total_bytes, streams * REFETCH_LIMIT_BYTES
        if again > limit:
            raise DemoFailed(f"{mib(again)} were fetched again; at most {mib(limit)} may be")
        return (
            f"{mib(carried_bytes)} over the line in all: {mib(max(0, again))} more than the images"
            f" (documents and protocol included; promised: <= {mib(limit)})"
        )

    def refuse_a_tampered_index(self, source: int) -> None:
        """Change one signed document: it is refused, and what is held stays."""
        index = self._site.tree / "streams/v1/index.sjson"
        signed = index.read_bytes()
        index.unlink()  # published trees may be read-only or linked
        index.write_bytes(signed.replace(b'"format"', b' "format"', 1))
        try:
            failed = self._refusal("boot-resources", "import", "wait")
            error = self._refusal("boot-source", "check", str(source))
        finally:
            index.write_bytes(signed)
        if not error.get("code", "").startswith("signature-"):
            raise DemoFailed(f"a tampered index was refused for another reason: {error}")
        self.say(
            "One blank added to the signed index: refused, nothing else stopped",
            f"import wait:        {failed['message']} [{failed['code']}]",
            f"boot-source check:  {error['message']} [{error['code']}]",
            f"remedy:             {error['remedy']}",
            self._site.shell_text("events", "read"),
        )
        self._site.shell("boot-resources", "import", "wait")
        self.more("the right index is back: the next import is fine")

    def _refusal(self, *words: str) -> dict[str, str]:
        try:
            self._site.shell(*words)
        except ShellFailed as refusal:
            return refusal.error
        raise DemoFailed(f"a tampered index was accepted by {' '.join(words)}")

    def compare(self, offer: Offer) -> None:
        """Every byte of every file."""
        held = {name: sha256_of(path) for name, path in self._site.held_files().items()}
        for name, digest in offer.files.items():
            if name not in held:
                raise DemoFailed(f"{name} is not on the rack; there is: {sorted(held)}")
            if held[name] != digest:
                raise DemoFailed(f"{name} differs from its original")
        lost = offer.sizes.keys() - set(held.values())
        if lost:
            raise DemoFailed(f"not on the rack, byte for byte: {', '.join(sorted(lost))}")
        count, total = len(offer.sizes), offer.size_bytes
        self.say(f"Every byte compared: {count} different files, {mib(total)}, all right")

    def show(self) -> None:
        """The tree, the status, and a line to fetch with."""
        self.say("The tree on the rack", f"{self._site.current}")
        for name, path in self._site.held_files().items():
            if not name.startswith("."):
                self.more(f"{path.stat().st_size:>12}  {name}")
        self.say("rackferry status", self._site.shell_text("status"))
        # A file of an image: six names deep. Above are the menus that the rack makes.
        self.fetch(next(name for name in self._site.held_files() if name.count("/") == 5))

    def fetch(self, name: str) -> None:
        """Fetch one file as a booting machine would."""
        url = f"http://127.0.0.1:{self._site.ports.machines}/images/{name}"
        fetched = self._site.directory / "fetched"
        command = f"curl -fsS -o {fetched} {url}"
        self.say("As a booting machine would", command)
        if shutil.which("curl") is None:
            self.more("(curl is not installed here; not run)")
            return
        subprocess.run(shlex.split(command), check=True)
        held = self._site.held_files()[name]
        if sha256_of(fetched) != sha256_of(held):
            raise DemoFailed(f"{url} gave other bytes than {held}")
        self.more(f"{fetched.stat().st_size} bytes, the same as on disk")

    def stay(self) -> None:
        """Keep all running until Ctrl-C."""
        command = shlex.join(rackferry_command())
        self.say(
            "All keeps running; Ctrl-C ends it. To look around:",
            f"{command} --socket {self._site.region_socket} status",
            f"{command} --socket {self._site.region_socket}",
            f"{command} --socket {self._site.rack_socket} status",
            f"ls -R {self._site.images_dir}/current/",
        )
        try:
            signal.pause()
        except KeyboardInterrupt:
            print()
