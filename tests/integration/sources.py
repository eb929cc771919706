"""A boot source of one's own: a throwaway signing key, a tree, a web server.

The server is nginx where it is installed, else ``twist web``; either is a process of its
own, so that what is measured beside it is not measured in it.
"""

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from tests.integration.processes import ProcessFailed, environment

MIB = 1024 * 1024
LOOPBACK = "127.0.0.1"


def free_ports(count: int, hosts: Sequence[str] = (LOOPBACK,)) -> list[int]:
    """Ports that are free on every one of ``hosts`` at this moment, all different.

    They lie below the range that Linux gives to outgoing connections, so that a daemon
    that is killed finds its ports again when it comes back.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randint(15000, 32000)
        if port not in found and all(_is_free(host, port) for host in hosts):
            found.append(port)
    return found


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind((host, port))
        except OSError:
            return False
    return True


def random_file(path: Path, size_bytes: int) -> Path:
    """A file that no compressor can shrink; left alone if it has that size already."""
    if path.exists() and path.stat().st_size == size_bytes:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for start in range(0, size_bytes, MIB):
            file.write(os.urandom(min(MIB, size_bytes - start)))
    return path


class SigningKey:
    """A throwaway GnuPG key in a home of its own.

    Attributes:
        home: the GnuPG home.
        fingerprint: of the primary key.
        keyring: the exported public key, as a boot source's keyring file.
    """

    def __init__(self, home: Path, name: str = "Rackferry throwaway") -> None:
        self.home = home
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.keyring = home.with_name(f"{home.name}.gpg")
        if not self._fingerprints():
            self._gpg("--passphrase", "", "--quick-gen-key", name, "rsa3072", "sign", "2y")
        self.fingerprint = self._fingerprints()[0]
        self.keyring.write_bytes(self._gpg("--export", self.fingerprint))

    def _gpg(self, *words: str, stdin: bytes = b"") -> bytes:
        argv = ["gpg", "--batch", "--quiet", "--homedir", str(self.home), "--pinentry-mode"]
        done = subprocess.run(
            [*argv, "loopback", *words], input=stdin, capture_output=True, check=False
        )
        if done.returncode != 0:
            raise ProcessFailed(f"gpg {' '.join(words)}: {done.stderr.decode()}")
        return done.stdout

    def _fingerprints(self) -> list[str]:
        lines = self._gpg("--with-colons", "--list-secret-keys").decode().splitlines()
        return [line.split(":")[9] for line in lines if line.startswith("fpr:")]

    def signed(self, document: bytes) -> bytes:
        """The document, clear-signed."""
        return self._gpg("--local-user", self.fingerprint, "--clearsign", stdin=document)

    def close(self) -> None:
        """End the agent that GnuPG started for this home."""
        subprocess.run(
            ["gpgconf", "--homedir", str(self.home), "--kill", "all"],
            check=False,
            capture_output=True,
        )


@attrs.frozen
class Listen:
    """One port of a file server.

    ``sendfile``: nginx's own copying (off: through two 1 MiB buffers, faster over
    loopback). ``certificate``/``key``: PEM files, for TLS 1.3.
    """

    port: int
    sendfile: bool = False
    certificate: Path | None = None
    key: Path | None = None

    def block(self, tree: Path) -> str:
        """The ``server`` block of nginx.conf."""
        tls = ""
        if self.certificate and self.key:
            tls = (
                f"ssl_certificate {self.certificate}; ssl_certificate_key {self.key};"
                " ssl_protocols TLSv1.3;"
            )
        mode = "sendfile on;" if self.sendfile else "sendfile off; output_buffers 2 1m;"
        word = " ssl" if tls else ""
        return f"server {{ listen {LOOPBACK}:{self.port}{word}; root {tree}; {tls} {mode} }}"


_NGINX = """\
daemon off; master_process on; worker_processes 1; {user}
pid {directory}/nginx.pid; error_log {directory}/nginx-error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; default_type application/octet-stream; keepalive_timeout 65;
  client_body_temp_path {directory}/temp; proxy_temp_path {directory}/temp;
  fastcgi_temp_path {directory}/temp; uwsgi_temp_path {directory}/temp;
  scgi_temp_path {directory}/temp;
  {servers}
}}
"""


def nginx_path() -> str | None:
    """Where nginx is, also where it hides from users who are not root."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class FileServer:
    """A tree of files over HTTP, in a process of its own.

    Attributes:
        software: "nginx" or "twist web".
        url: of the first port.
    """

    def __init__(self, tree: Path, directory: Path, listens: Sequence[Listen] = ()) -> None:
        self._listens = list(listens) or [Listen(free_ports(1)[0])]
        first = self._listens[0]
        self.url = f"http{'s' if first.certificate else ''}://{LOOPBACK}:{first.port}/"
        nginx = nginx_path()
        self.software = "nginx" if nginx else "twist web"
        self.log = directory / "source.log"
        directory.mkdir(parents=True, exist_ok=True)
        argv = (
            [nginx, "-e", str(self.log), "-c", str(self._nginx_conf(tree, directory))]
            if nginx
            else self._twist(tree, first)
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment()
            )
        for listen in self._listens:
            self._wait_port(listen.port)

    def _nginx_conf(self, tree: Path, directory: Path) -> Path:
        path = directory / "nginx.conf"
        path.write_text(
            _NGINX.format(
                user="user root;" if os.geteuid() == 0 else "",
                directory=directory,
                servers="\n  ".join(listen.block(tree) for listen in self._listens),
            )
        )
        return path

    @staticmethod
    def _twist(tree: Path, listen: Listen) -> list[str]:
        if listen.certificate is not None:
            raise ProcessFailed("only nginx serves files over TLS here; install nginx")
        endpoint = f"tcp:{listen.port}:interface={LOOPBACK}"
        return [sys.executable, "-m", "twisted", "web", "--listen", endpoint, "--path", str(tree)]

    def _wait_port(self, port: int, limit_s: float = 20.0) -> None:
        """Foreign servers give no notice, so they are asked until they listen."""
        deadline_s = time.monotonic() + limit_s
        while True:
            try:
                socket.create_connection((LOOPBACK, port), timeout=limit_s).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    self.close()
                    raise ProcessFailed(
                        f"{self.software} does not listen on {port}:\n{self.log.read_text()}"
                    ) from None
                time.sleep(0.01)
            else:
                return

    @property
    def pid(self) -> int:
        """Its process; nginx has a child that does the work."""
        return self._process.pid

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
