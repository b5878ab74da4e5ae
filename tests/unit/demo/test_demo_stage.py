import pytest

from connector.cli.demo import Plan, stage, verdict
from connector.simulator.audit import Audit


async def test_the_demo_keeps_to_itself_whatever_the_shell_is_set_up_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the variables of production set, invented customers must not reach the real FolkForm."""
    monkeypatch.setenv("CONNECTOR_PANCAKE__BASE_URL", "https://pages.fm/api")
    monkeypatch.setenv("CONNECTOR_FOLKFORM__BASE_URL", "https://folkform.example/api")
    monkeypatch.setenv("CONNECTOR_FOLKFORM__TOKEN", "production")
    monkeypatch.setenv("CONNECTOR_KAFKA__BOOTSTRAP_SERVERS", "kafka.example:9092")
    async with stage() as set_up:
        settings = set_up.settings
        assert settings.pancake.base_url.startswith("http://127.0.0.1:")
        assert settings.folkform.base_url.startswith("http://127.0.0.1:")
        assert settings.folkform.token.get_secret_value() == set_up.folkform.options.token
        assert settings.kafka.bootstrap_servers.startswith("127.0.0.1:")
        assert settings.redis.url.get_secret_value() == ""


async def test_client_and_simulator_agree_on_the_limits() -> None:
    async with stage() as set_up:
        assert set_up.settings.pancake.rate == f"{set_up.pancake.options.rate}/1s"
        assert set_up.folkform.options.rate is not None
        calls, seconds = set_up.folkform.options.rate
        assert set_up.settings.folkform.rate == f"{calls}/{seconds:g}s"


@pytest.mark.parametrize(
    ("seconds", "active"), [(None, None), (20.0, 17.0), (6.0, 3.0), (4.0, 2.0), (0.1, 0.05)]
)
def test_the_last_seconds_belong_to_catching_up(seconds: float | None, active: float | None) -> None:
    assert Plan(seconds).active == active


def test_the_verdict_names_the_first_of_each_difference() -> None:
    audit = Audit(
        conversations=9,
        missing_conversations=[f"c{number}" for number in range(7)],
        different_messages=[("c8", "m1")],
    )
    told, *named = verdict(audit)
    assert told.startswith("audit: FolkForm differs from Pancake")
    assert "7 conversations missing, 1 messages different" in told
    assert named == [*(f"  conversation missing: c{n}" for n in range(5)), "  message different: c8 m1"]


def test_a_verdict_without_differences_is_one_line() -> None:
    assert len(verdict(Audit())) == 1
