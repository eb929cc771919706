"""What is closed where a ``with`` ends."""

from types import TracebackType
from typing import Self


class Closing:
    """A base for what is to be closed, however a test ends."""

    def close(self) -> None:
        """End it; twice is once."""
        raise NotImplementedError

    def last_words(self) -> str:
        """What an error is told with; "" for nothing."""
        return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        words = self.last_words() if error is not None else ""
        if error is not None and words:
            error.add_note(words)
        self.close()
