"""A replay that can also be read page by page."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
_T_co = TypeVar("_T_co", covariant=True)

Pages = Generator[Iterable[T], None, None]
"""What each stretch of the log holds that is wanted, be it nothing; to be read in turn."""


class Replay(Iterator[_T_co]):
    """What a log holds, one by one; or by its pages, for a reader that must not be held for long.

    Where a filter lets little through, the next item may be a million events away, and the next
    page is not. Each item comes once, in one way or the other.

    Parameters:
        pages: of the log.
    """

    def __init__(self, pages: Pages[_T_co]) -> None:
        self.pages = pages
        self._items = (item for page in pages for item in page)

    def __iter__(self) -> Iterator[_T_co]:  # noqa: PYI034 - so a loop makes no call an item
        return self._items

    def __next__(self) -> _T_co:
        return next(self._items)

    def close(self) -> None:
        """Let go of what it holds."""
        self._items.close()
        self.pages.close()
