"""Real downstreams of a rack: the reference client, and another region, with the old keyring."""

import hashlib

import pytest

from tests.integration.maas_stream import write_stream
from tests.integration.mirroring import (
    FTYPES,
    RELEASES,
    MirrorCase,
    asked,
    files_below,
    reference_client,
    web_url,
)
from tests.integration.site import temporary_site
from tests.integration.sources import LOOPBACK


@pytest.mark.timeout(300)
class RackMirrorTests(MirrorCase):
    def test_the_reference_client_takes_a_rack_for_the_source(self) -> None:
        """With the source's own keyring and the selection's filters it gets every byte; again
        after a new version, and then only what changed is left.
        """
        client = reference_client()
        with temporary_site() as site:
            self.publish(site, "20261101")
            self.start(site, "jammy")
            url = f"http://{LOOPBACK}:{site.ports.machines}/mirror/1/"
            copy = site.directory / "copy"
            client.mirror(url, copy, site.key.keyring, "release=jammy", "arch=amd64")
            first = files_below(copy)
            self.assertEqual(first, self.expected(site, "jammy", "20261101"))
            self.assertGreater(len(first), len(FTYPES))
            self.publish(site, "20261102")
            self.bring(site)
            client.mirror(url, copy, site.key.keyring, "release=jammy", "arch=amd64")
            self.assertEqual(files_below(copy), self.expected(site, "jammy", "20261102"))

    def test_the_reference_client_takes_what_a_stream_of_maas_lists(self) -> None:
        """Of the selected release it gets all that the documents name, the manifests among it,
        from the region and from the rack.
        """
        client = reference_client()
        with temporary_site() as site:
            write_stream(site.tree, site.key)
            self.start(site, "jammy")
            expected = {
                path: sha256
                for path, sha256 in files_below(site.tree).items()
                if path.startswith(("jammy/", "streams/"))
            }
            self.assertIn("jammy/amd64/20181203/squashfs.manifest", expected)
            rack = f"http://{LOOPBACK}:{site.ports.machines}/mirror/1/"
            for number, url in enumerate((rack, web_url(site, "mirror/1/"))):
                copy = site.directory / f"copy-{number}"
                client.mirror(url, copy, site.key.keyring, "release=jammy")
                self.assertEqual(files_below(copy), expected, url)

    @pytest.mark.slow
    def test_another_region_takes_a_rack_for_its_source(self) -> None:
        """Under the original keyring, it imports what the rack's region has selected, and its
        own rack is a mirror again, byte for byte.
        """
        with temporary_site() as site, temporary_site() as downstream:
            self.publish(site, "20261101")
            self.start(site, "noble")
            url = f"http://{LOOPBACK}:{site.ports.machines}/mirror/1/"
            source = self.start_region(downstream, "noble", url, str(site.key.keyring))
            downstream.enrol()
            downstream.rack.start()
            self.bring(downstream)
            held = downstream.current
            assert held is not None
            mirrored = files_below(held / "mirror" / str(source))
            self.assertEqual(mirrored, self.expected(site, "noble", "20261101"))
            for path, sha256 in mirrored.items():
                status, body, _ = asked(downstream.ports.machines, f"mirror/{source}/{path}")
                self.assertEqual((status, hashlib.sha256(body).hexdigest()), (200, sha256))


@pytest.mark.timeout(300)
class PublishedSourceTests(MirrorCase):
    def test_the_reference_client_mirrors_what_publish_source_makes(self) -> None:
        """The published tree is a source for everybody: all of its newest versions arrive."""
        client = reference_client()
        with temporary_site() as site:
            for version in ("20261101", "20261102"):
                self.publish(site, version)
            copy = site.directory / "copy"
            client.mirror(site.serve(), copy, site.key.keyring)
            expected = {}
            for release in RELEASES:
                expected |= self.expected(site, release, "20261102")
            self.assertEqual(files_below(copy), expected)
