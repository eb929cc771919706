"""``_aliases``"""

from twisted.trial.unittest import SynchronousTestCase

from common.errors import SourceError
from regiond.sources.aliases import MAX_MERGED_TAGS, expand_aliases

ALIASES = {"_aliases": {"crsn": {"us": {"region": "us-east", "endpoint": "e"}}}}


class ExpandAliasesTests(SynchronousTestCase):
    """``expand_aliases``"""

    def test_none(self) -> None:
        """A document without aliases is left as it is."""
        document = {"crsn": "us"}
        self.assertIs(expand_aliases(document, "x"), document)

    def test_everywhere(self) -> None:
        """An alias is replaced at any depth, in lists too, and overrides its siblings."""
        document = {**ALIASES, "a": [{"crsn": "us", "region": "other"}]}
        merged = {"crsn": "us", "region": "us-east", "endpoint": "e"}
        self.assertEqual(expand_aliases(document, "x"), {"a": [merged]})

    def test_unknown(self) -> None:
        """A value that no alias explains is an error."""
        error = self.assertRaises(SourceError, expand_aliases, {**ALIASES, "crsn": "eu"}, "x")
        self.assertEqual(error.code, "document-alias")

    def test_shape(self) -> None:
        """Aliases of another shape are an error."""
        for aliases in (1, {"crsn": 1}, {"crsn": {"us": 1}}):
            error = self.assertRaises(SourceError, expand_aliases, {"_aliases": aliases}, "x")
            self.assertEqual(error.code, "document-alias")

    def test_recursion(self) -> None:
        """An alias that contains itself is merged once."""
        document = {"_aliases": {"k": {"v": {"inner": {"k": "v"}}}}, "k": "v"}
        self.assertEqual(expand_aliases(document, "x"), {"k": "v", "inner": {"k": "v"}})

    def test_growth(self) -> None:
        """Aliases that would multiply a small document into a huge one are refused."""
        many = {str(n): 1 for n in range(1000)}
        users = [{"k": "v"}] * (MAX_MERGED_TAGS // 1000 + 1)
        document = {"_aliases": {"k": {"v": many}}, "a": users}
        error = self.assertRaises(SourceError, expand_aliases, document, "x")
        self.assertEqual(error.code, "document-alias")
