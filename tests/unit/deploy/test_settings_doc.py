"""docs/SETTINGS.md says what connector.settings says."""

from pathlib import Path

from pydantic import BaseModel

from connector.cli.settings_doc import NOTES, meaning, page
from connector.settings import Settings, setting_names

FILE = Path(__file__).parents[3] / "docs" / "SETTINGS.md"


def test_the_page_is_the_one_that_the_settings_make() -> None:
    again = ".venv/bin/python -m connector.cli.settings_doc > docs/SETTINGS.md"
    assert FILE.read_text("utf-8") == page(), f"write it again: {again}"


def test_every_setting_has_a_meaning_and_every_note_a_setting() -> None:
    for group, outer in Settings.model_fields.items():
        kind = outer.annotation
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        for name, field in kind.model_fields.items():
            assert meaning(group, name, field), f"{group}.{name}"
    assert set(NOTES) <= {f"{group}.{name}" for group, name in setting_names()}
