"""The peers: programs that do the same job, run as their own manuals say.

A peer that cannot be had is ``None`` here and a visible "skipped" row in the result.
"""

import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

PEER_REQUIREMENTS = ("python-simplestreams==0.1.0.post59", "setuptools<81", "requests")


class PeerFailed(Exception):
    """A peer did not do its job; its last words are the message."""


def timed(argv: Sequence[str], *, cwd: Path | None = None) -> float:
    """Run a command to its end; wall seconds.

    Raises:
        PeerFailed: it did not exit 0.
    """
    began_s = time.monotonic()
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    spent_s = time.monotonic() - began_s
    if done.returncode != 0:
        raise PeerFailed(f"{argv[0]}: exit {done.returncode}: {done.stderr.strip()[-2000:]}")
    return spent_s


@attrs.frozen
class SstreamMirror:
    """The reference mirror program of simplestreams, in an environment of its own."""

    command: Path

    @classmethod
    def installed(cls, environment: Path) -> "SstreamMirror | None":
        """Install it unless it is there; None, and a line on stderr, if that fails."""
        command = environment / "bin" / "sstream-mirror"
        try:
            if not command.exists():
                timed([sys.executable, "-m", "venv", str(environment)])
                timed([str(environment / "bin" / "pip"), "install", "-q", *PEER_REQUIREMENTS])
            timed([str(command), "--help"])
        except (PeerFailed, OSError) as error:
            print(f"sstream-mirror cannot be had: {error}", file=sys.stderr)
            return None
        return cls(command)

    def mirror(self, url: str, destination: Path, keyring: Path, *filters: str) -> float:
        """Mirror a source to a directory, signatures and checksums verified; seconds.

        ``filters`` are its own, ``release=jammy`` for example; all must hold.
        """
        source = f"{url}streams/v1/index.sjson"
        return timed(
            [
                str(self.command),
                f"--keyring={keyring}",
                "--max=1",
                source,
                str(destination),
                *filters,
            ]
        )


@attrs.frozen
class CurlOpenssl:
    """``curl`` over TLS to disk, then OpenSSL's SHA-256 of every file, then ``sync``."""

    curl: str
    openssl: str
    sync: str

    @classmethod
    def installed(cls) -> "CurlOpenssl | None":
        """None, and a line on stderr, if one of the three is missing."""
        found = {name: shutil.which(name) for name in ("curl", "openssl", "sync")}
        missing = [name for name, path in found.items() if path is None]
        if missing:
            print(f"not installed: {', '.join(missing)}", file=sys.stderr)
            return None
        return cls(*(str(path) for path in found.values()))

    def discard(self, url: str, readers: int) -> float:
        """Fetch one file with so many readers at once, to nowhere; seconds until all have it.

        Raises:
            PeerFailed: a reader failed.
        """
        began_s = time.monotonic()
        running = [
            subprocess.Popen([self.curl, "-sSf", "-o", "/dev/null", url]) for _ in range(readers)
        ]
        codes = [each.wait() for each in running]
        if any(codes):
            raise PeerFailed(f"{url}: exit codes {codes}")
        return time.monotonic() - began_s

    def fetch(
        self, url: str, digests: dict[str, str], destination: Path, certificate: Path
    ) -> float:
        """Fetch the files, one connection, then hash, then sync; seconds for all three.

        Args:
            url: of the tree, with TLS.
            digests: path below ``url`` -> SHA-256.
            destination: an empty directory.
            certificate: what the server must show.

        Raises:
            PeerFailed: a step failed, or a digest differs.
        """
        names = {path: path.replace("/", "_") for path in digests}
        wanted = [word for path in names for word in ("-o", names[path], f"{url}{path}")]
        began_s = time.monotonic()
        timed([self.curl, "-sSf", "--cacert", str(certificate), *wanted], cwd=destination)
        hashed = subprocess.run(
            [self.openssl, "dgst", "-sha256", "-r", *names.values()],
            cwd=destination,
            capture_output=True,
            text=True,
            check=True,
        )
        timed([self.sync, *names.values(), "."], cwd=destination)
        spent_s = time.monotonic() - began_s
        got = {line.split(" *")[1]: line.split()[0] for line in hashed.stdout.splitlines()}
        if got != {names[path]: digest for path, digest in digests.items()}:
            raise PeerFailed("curl fetched other bytes than the source holds")
        return spent_s


def self_signed(directory: Path) -> tuple[Path, Path]:
    """A certificate and a key (PEM files) for nginx on 127.0.0.1; EC P-256, as the region's."""
    certificate, key = directory / "nginx.crt", directory / "nginx.key"
    timed(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=bench"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ]
    )
    return certificate, key


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
