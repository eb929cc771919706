"""Where a region says that it can be reached."""

from twisted.trial.unittest import SynchronousTestCase

from common.config import RegiondConfig, parse
from regiond.whereabouts import Whereabouts

NUMBERS = {"web": 1, "rpc": 2, "enrol": 3, "images": 4}


class Bound:
    """Ports, as they are when they are open."""

    @staticmethod
    def number(name: str) -> int:
        return NUMBERS[name]


def whereabouts(text: str) -> Whereabouts:
    return Whereabouts(parse(RegiondConfig, 'name = "r"\n' + text, "regiond.toml"), Bound())  # type: ignore[arg-type]


class WhereaboutsTests(SynchronousTestCase):
    """By what the file says, and the ports that are bound."""

    def test_racks_are_told_names_and_ports(self) -> None:
        """The ports of control and images."""
        endpoint = whereabouts('advertise = ["a.example", "10.0.0.1"]').endpoint()
        self.assertEqual(endpoint.rpc_addresses, [("a.example", 2), ("10.0.0.1", 2)])
        self.assertEqual(endpoint.images_port, 4)

    def test_the_page(self) -> None:
        """By the first name, in brackets if it has colons; or as the file says."""
        for text, address in (
            ('advertise = ["a.example", "b.example"]', "http://a.example:1"),
            ('advertise = ["2001:db8::1"]', "http://[2001:db8::1]:1"),
            ('web_url = "https://images.example"', "https://images.example"),
        ):
            self.assertEqual(whereabouts(text).web_address(), address)

    def test_status_names_every_port(self) -> None:
        """Each by its own key."""
        row = whereabouts('advertise = ["a.example"]').row()
        self.assertEqual({name: row[f"{name}_port"] for name in NUMBERS}, NUMBERS)
        self.assertEqual((row["name"], row["hosts"]), ("r", ["a.example"]))
