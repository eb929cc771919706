"""Where a bundle has what a region holds."""

import attrs
from twisted.trial.unittest import SynchronousTestCase

from common.bundles import BundleSource, Manifest
from common.images import File, Image, ImageKey, SourceDocument
from regiond.bundle_layout import lay_out

JAMMY = ImageKey("ubuntu", "amd64", "ga-22.04", "jammy", "stable")
CUSTOM = ImageKey("custom", "amd64", "generic", "ours", "uploaded")
LOADER = ImageKey("grub-efi-signed", "amd64", "generic", "uefi", "stable")
DOCUMENTS = {"3": {"streams/v1/index.sjson": SourceDocument("d" * 64, 7, "e" * 64)}}
SOURCES = {"3": BundleSource("http://one.example/", ("AB",)), "4": BundleSource("http://two/")}


def image(key: ImageKey, *paths: str | None, source: int = 3, digit: str = "1") -> Image:
    """An image with a file at each upstream path; None: it was uploaded."""
    files = tuple(
        File(f"file-{n}", "squashfs", digit * 64, 9, "b" * 64,
             None if path is None else source, path)
        for n, path in enumerate(paths)
    )  # fmt: skip
    return Image(key, "20250718", files)


def laid_out(*images: Image, words: tuple[str, ...] | None = None) -> Manifest:
    return lay_out(images, DOCUMENTS, SOURCES, words)


class LayoutTests(SynchronousTestCase):
    def test_files_have_their_upstream_paths(self) -> None:
        """Each source is a mirror by itself, documents and all; uploads are by their name."""
        manifest = laid_out(image(JAMMY, "jammy/squashfs"), image(CUSTOM, None, digit="2"))
        self.assertEqual(
            set(manifest.files),
            {"mirror/3/jammy/squashfs", "mirror/3/streams/v1/index.sjson", f"uploads/{'2' * 64}"},
        )
        self.assertEqual(manifest.sources, {
            "3": attrs.evolve(SOURCES["3"], documents=("streams/v1/index.sjson",))
        })  # fmt: skip
        self.assertEqual([each.key for each in manifest.uploads], [CUSTOM])
        self.assertEqual(Manifest.from_document(manifest.to_document()), manifest)

    def test_a_part(self) -> None:
        """Images by words, as for racks; bootloaders come along, other sources do not."""
        loader = attrs.evolve(image(LOADER, "loader"), bootloader_type="uefi")
        images = image(JAMMY, "jammy"), loader, image(CUSTOM, None)
        keys = [each.key for each in laid_out(*images, words=("ubuntu/jammy",)).images]
        self.assertEqual(keys, [JAMMY, LOADER])
        manifest = laid_out(image(JAMMY, "jammy"), image(CUSTOM, None), words=("custom",))
        self.assertEqual(([each.key for each in manifest.images], manifest.sources),
                         ([CUSTOM], {}))  # fmt: skip

    def test_what_no_document_names(self) -> None:
        """Images of a source that shows no documents cannot be verified, and are left out."""
        self.assertEqual(laid_out(image(JAMMY, "jammy", source=4)).images, ())
        self.assertEqual(laid_out(image(JAMMY, "jammy", source=5)).images, ())

    def test_two_versions_of_a_path(self) -> None:
        """The first one has it; the other one is not torn in two."""
        old = image(LOADER, "same", "another", digit="5")
        manifest = laid_out(image(JAMMY, "same"), old)
        self.assertEqual([each.key for each in manifest.images], [JAMMY])
        self.assertNotIn("mirror/3/another", manifest.files)
