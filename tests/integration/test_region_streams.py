"""Real downstreams of a region: the reference client and other regions, by mirror and own stream."""

import hashlib
import tarfile
from pathlib import Path

import pytest

from tests.integration.mirroring import (
    FTYPES,
    STREAM_PRODUCTS,
    MirrorCase,
    asked,
    between,
    files_below,
    reference_client,
    web_url,
)
from tests.integration.site import Site, temporary_site

OLD, NEW = "20261101", "20261102"
FILTERS = ("release=jammy", "arch=amd64")
INDEX = "images-stream/streams/v1/index.sjson"
IMAGE = "ubuntu/amd64/generic/jammy/stable"


@pytest.mark.timeout(600)
class ReferenceClientTests(MirrorCase):
    def images(self, site: Site, version: str) -> set[str]:
        """The SHA-256 of each file of the selected image."""
        found = files_below(site.directory / "new" / version / "jammy")
        self.assertEqual(len(found), len(FTYPES))
        return set(found.values())

    def mirrored_images(self, copy: Path) -> set[str]:
        return {
            sha256
            for path, sha256 in files_below(copy).items()
            if not path.startswith("streams/") and not path.endswith("/manifest")
        }

    def test_it_takes_a_region_for_the_source_and_for_a_source_of_its_own(self) -> None:
        """The mirror by the source's keyring and the selection's filters, also while the source is
        down; the own stream by the region's keyring, without filters. Again after a new
        version, and then only what changed is left.
        """
        client = reference_client()
        with temporary_site() as site:
            self.publish(site, OLD)
            self.start_region(site, "jammy")
            site.shell("boot-resources", "import", "wait")
            copy, own, keyring = site.directory / "copy", site.directory / "own", site.key.keyring
            mirror = web_url(site, "mirror/1/")
            client.mirror(mirror, copy, keyring, *FILTERS)
            self.assertEqual(files_below(copy), self.expected(site, "jammy", OLD))
            self.wait_until_shown(site, OLD)
            client.mirror(web_url(site, "images-stream/"), own, self.keyring(site))
            self.assertEqual(self.mirrored_images(own), self.images(site, OLD))

            self.publish(site, NEW)
            site.shell("boot-resources", "import", "wait")
            site._server.close()  # type: ignore[union-attr]  # the source is down from now on
            client.mirror(mirror, copy, keyring, *FILTERS)
            self.assertEqual(files_below(copy), self.expected(site, "jammy", NEW))
            self.wait_until_shown(site, NEW)
            client.mirror(web_url(site, "images-stream/"), own, self.keyring(site))
            self.assertEqual(self.mirrored_images(own), self.images(site, NEW))

    @pytest.mark.slow
    def test_a_publish_in_the_middle_of_its_run_breaks_nothing(self) -> None:
        """It began with the older documents and ends with the older files."""
        client = reference_client()
        with temporary_site() as site:
            self.publish(site, OLD)
            self.start_region(site, "jammy")
            site.shell("boot-resources", "import", "wait")
            self.wait_until_shown(site, OLD)
            keyring, waiting = self.keyring(site), [OLD]
            runs = (("mirror/1/", site.key.keyring, FILTERS), ("images-stream/", keyring, ()))
            for number, (root, by, filters) in enumerate(runs):
                held, newer = waiting[-1], f"2026120{number}"
                begun: list[str] = []

                def publish_once(path: str, newer: str = newer, begun: list[str] = begun) -> None:
                    if path.rsplit("/", 1)[-1] in FTYPES and not begun:
                        begun.append(path)
                        self.publish(site, newer)
                        site.shell("boot-resources", "import", "wait")
                        self.wait_until_shown(site, newer)

                copy = site.directory / f"copy-{number}"
                with between(site.ports.web, publish_once) as url:
                    client.mirror(f"{url}{root}", copy, by, *filters)
                self.assertEqual(len(begun), 1)
                self.assertEqual(self.mirrored_images(copy), self.images(site, held))
                waiting.append(newer)


@pytest.mark.timeout(600)
class OtherRegionTests(MirrorCase):
    @pytest.mark.slow
    def test_the_own_stream_is_stable_and_an_hour_without_change_costs_nothing(self) -> None:
        """Byte for byte over a restart; a downstream region's next import gets 304s alone."""
        with temporary_site() as site, temporary_site() as downstream:
            self.publish(site, OLD)
            self.start_region(site, "jammy")
            site.shell("boot-resources", "import", "wait")
            self.wait_until_shown(site, OLD)
            keyring = str(self.keyring(site))
            port = site.ports.web
            _, before, headers = asked(port, STREAM_PRODUCTS)
            site.region.restart()
            status, _, _ = asked(port, STREAM_PRODUCTS, {"If-None-Match": headers["etag"]})
            self.assertEqual(status, 304)
            self.assertEqual(asked(port, STREAM_PRODUCTS)[1], before)

            answers: list[int] = []
            with between(port, lambda _: None, answers) as url:
                self.start_region(downstream, "jammy", f"{url}images-stream/", keyring)
                downstream.shell("boot-resources", "import", "wait")
                (image,) = downstream.shell("boot-resources", "read")
                self.assertEqual((image["version"], image["state"]), (OLD, "published"))
                answers.clear()
                downstream.shell("boot-resources", "import", "wait")
                self.assertEqual(answers, [304, 304])  # the index, and the one product file

    def test_an_uploaded_image_reaches_another_region_if_the_setting_says_so(self) -> None:
        """Until then nobody sees it; the other region then has it as it was sent, under its name."""
        with temporary_site() as site, temporary_site() as downstream:
            sent = site.directory / "mine.tgz"
            with tarfile.open(sent, "w:gz") as archive:
                archive.add(__file__, "etc/motd")
            site.region.start()
            site.shell(
                *("boot-resources", "create", "name=mine", "architecture=amd64", "filetype=tgz"),
                *(f"content@={sent}", "title=Mine"),
            )
            self.assertEqual(asked(site.ports.web, INDEX)[0], 404)
            site.shell("config", "set", "images_stream_uploads=true")
            self.wait_until(lambda: asked(site.ports.web, INDEX)[0] == 200)
            url = web_url(site, "images-stream/")
            downstream.region.start()
            source = downstream.create_source(url, str(self.keyring(site)))
            words = ("os=custom", "release=mine", "arches=amd64", "labels=*")
            downstream.shell("boot-source-selections", "create", str(source), *words)
            downstream.shell("boot-resources", "import", "wait")
            (image,) = downstream.shell("boot-resources", "read")
            self.assertEqual(
                (image["name"], image["label"], image["state"]),
                ("custom/mine", "uploaded", "published"),
            )
            (file,) = downstream.shell("boot-resource", "read", str(image["id"]))["files"]
            self.assertEqual(file["sha256"], hashlib.sha256(sent.read_bytes()).hexdigest())


@pytest.mark.slow
@pytest.mark.timeout(900)
class ChainTests(MirrorCase):
    def test_a_chain_of_three_carries_an_image_unchanged(self) -> None:
        """From region to region by mirrors, and by own streams: the last rack holds what the
        publisher signed, and the mirror at the end shows the documents of the beginning.
        """
        with (
            temporary_site() as first,
            temporary_site() as second,
            temporary_site() as third,
        ):
            self.publish(first, OLD)
            self.start_region(first, "jammy")
            keyring = str(first.key.keyring)
            self.start_region(second, "jammy", web_url(first, "mirror/1/"), keyring)
            self.start_region(third, "jammy", web_url(second, "mirror/1/"), keyring)
            third.enrol()
            third.rack.start()
            for site in (first, second):
                site.shell("boot-resources", "import", "wait")
            self.bring(third)
            tree = third.current
            assert tree is not None
            signed = self.expected(first, "jammy", OLD)
            self.assertEqual(files_below(tree / "mirror" / "1"), signed)
            image = files_below(tree / IMAGE)
            self.assertEqual(image, files_below(first.directory / "new" / OLD / "jammy"))

            # The same by own streams, each under its region's key.
            self.publish(first, NEW)
            first.shell("boot-resources", "import", "wait")
            for site, above in ((second, first), (third, second)):
                self.wait_until_shown(above, NEW)
                site.shell("boot-source", "delete", "1")
                source = site.create_source(
                    web_url(above, "images-stream/"), str(self.keyring(above))
                )
                words = ("os=ubuntu", "release=jammy", "arches=amd64", "labels=*")
                site.shell("boot-source-selections", "create", str(source), *words)
                site.shell("boot-resources", "import", "wait")
            self.bring(third)
            tree = third.current
            assert tree is not None
            newer = files_below(tree / IMAGE)
            self.assertEqual(newer, files_below(first.directory / "new" / NEW / "jammy"))
