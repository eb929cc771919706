from twisted.trial.unittest import SynchronousTestCase

from common import errors
from common.commands import ERRORS
from common.errors import TABLE, RackferryError, SignatureError, door_of, packed, unpacked


def families() -> list[type[RackferryError]]:
    """Every error class of the project, found by inheritance."""
    found, queue = [], [RackferryError]
    while queue:
        for family in queue.pop().__subclasses__():
            found.append(family)
            queue.append(family)
    return found


class TableTests(SynchronousTestCase):
    def test_is_total(self) -> None:
        """Every family of errors has exactly one row, so no door can meet an unknown one."""
        self.assertEqual(sorted(map(str, families())), sorted(str(d.family) for d in TABLE))

    def test_amp_codes_are_unique(self) -> None:
        """Two families never share an AMP code, so each arrives as what it was."""
        codes = [door.amp_code for door in TABLE]
        self.assertEqual(len(codes), len(set(codes)))
        self.assertEqual(len(ERRORS), len(TABLE))

    def test_statuses_and_exit_codes_are_failures(self) -> None:
        """No failure is ever answered with success."""
        for door in TABLE:
            self.assertTrue(400 <= door.http_status < 600, door)
            self.assertIn(door.exit_code, {1, 2, 3, 4}, door)

    def test_door_of_a_subclass_is_its_own(self) -> None:
        """A signature error is told apart from other source errors."""
        self.assertEqual(door_of(SignatureError("x")).amp_code, b"SIGNATURE")
        self.assertEqual(door_of(errors.SourceError("x")).amp_code, b"SOURCE")


class WireTests(SynchronousTestCase):
    def test_all_fields_survive_the_wire(self) -> None:
        """Code, object, message and remedy arrive at the other end as they were."""
        error = SignatureError(
            'bad "quote"', object="boot-source 1", code="signature-bad", remedy="do é"
        )
        twin = unpacked(packed(error))
        self.assertIs(type(twin), SignatureError)
        self.assertEqual(twin.to_json(), error.to_json())

    def test_a_plain_message_is_left_alone(self) -> None:
        """An error of a peer that packs nothing is still readable."""
        error = errors.Busy("too many")
        self.assertIs(unpacked(error), error)

    def test_line_names_object_and_remedy(self) -> None:
        """One line says to what it happened and what to do."""
        error = errors.NotFound("no such source", object="boot-source 9", remedy="list them")
        self.assertEqual(error.line(), "boot-source 9: no such source (list them)")
        self.assertEqual(errors.NotFound("gone").line(), "gone")
