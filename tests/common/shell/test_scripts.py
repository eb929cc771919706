"""The scripts for bash and zsh (at work: ``integration/test_interactive_shell``)."""

import shutil
import subprocess
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from common.shell.scripts import SCRIPTS
from common.vocabulary import BY_NAME


class ScriptTests(SynchronousTestCase):
    """What ``rackferry completion`` prints."""

    def test_there_is_one_for_each_word(self) -> None:
        """Each shell that can be asked for has its script, and no other."""
        self.assertEqual({verb for noun, verb in BY_NAME if noun == "completion"}, set(SCRIPTS))

    def test_they_are_of_their_shell(self) -> None:
        """The shell itself finds no mistake in it."""
        for name, script in SCRIPTS.items():
            shell = shutil.which(name)
            if shell is None:
                raise SkipTest(f"{name} is not installed")
            subprocess.run([shell, "-n"], input=script.encode(), check=True)
