"""Who is told of changed pages, and remembers it."""

from collections.abc import Iterable


class ToldHints:
    """The Hints port over a set of pages."""

    def __init__(self, pages: Iterable[str]) -> None:
        self.pages = set(pages)
        self.told: list[str] = []

    def knows(self, page_id: str) -> bool:
        return page_id in self.pages

    def hint(self, page_id: str) -> None:
        self.told.append(page_id)
