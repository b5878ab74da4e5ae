"""The demo as a person runs it: a process, its lines in a pipe, and its exit code."""

import json
import signal
import urllib.request
from collections.abc import Callable
from os import kill

from connector.cli.demo import WORLD
from connector.simulator.world import World
from tests.services.processes import ManagedProcess

WHOLE = (
    r"^audit: everything Pancake has is in FolkForm, byte for byte: 3 pages, (\d+) conv\w+, (\d+) mess\w+$"
)
END = 60.0  # seconds after which a demo hangs; it ends by itself long before
Start = Callable[..., ManagedProcess]


def folkform_of(demo: ManagedProcess) -> str:
    port = demo.wait_for_line(r"FolkForm :(\d+)", timeout=END)[1]
    return f"http://127.0.0.1:{port}"


def post(url: str, body: object) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")  # noqa: S310
    with urllib.request.urlopen(request, timeout=END) as answer:  # noqa: S310
        assert answer.status == 200


def test_everything_arrives_and_the_demo_ends_by_itself_with_0(start_connector: Start) -> None:
    demo = start_connector("demo", DEMO_SECONDS="8")
    assert demo.wait(END) == 0, demo.text()
    audit = demo.wait_for_line(WHOLE, timeout=0)
    assert int(audit[1]) >= WORLD.pages * WORLD.conversations_per_page
    assert int(audit[2]) > WORLD.pages * WORLD.conversations_per_page * WORLD.messages_per_conversation
    assert " ended | back-fill 36/36 | nothing waits | lag 0 records | " in demo.stdout()
    assert demo.stdout().rstrip().splitlines()[-1].startswith("audit: ")
    assert demo.stderr() == ""


def test_ctrl_c_ends_the_activity_and_what_is_left_is_delivered(start_connector: Start) -> None:
    demo = start_connector("demo")
    demo.wait_for_line(r" running \| ", timeout=END)
    kill(demo.pid, signal.SIGINT)
    assert demo.wait(END) == 0, demo.text()
    demo.wait_for_line(WHOLE, timeout=0)


def test_what_folkform_refuses_for_ever_is_named_and_the_exit_code_is_3(start_connector: Start) -> None:
    page = next(iter(World(WORLD).pages.values()))
    victim = next(iter(page.conversations))
    demo = start_connector("demo", "--seconds", "1", "--grace", "12")
    rule = {"action": "status", "status": 400, "where": victim, "body": '{"code":"VAL_002","status":"error"}'}
    post(f"{folkform_of(demo)}/_sim/faults", rule)
    assert demo.wait(END) == 3, demo.text()
    demo.wait_for_line(r"^audit: FolkForm differs from Pancake \(.*\): 1 conversations missing", timeout=0)
    demo.wait_for_line(rf"^  conversation missing: {victim}$", timeout=0)
    demo.wait_for_line(rf"^  message missing: {victim} m_\w+", timeout=0)


def test_an_end_that_is_no_length_of_time_is_wrong_usage(start_connector: Start) -> None:
    demo = start_connector("demo", DEMO_SECONDS="soon")
    assert demo.wait(END) == 2
    assert "DEMO_SECONDS" in demo.stderr() or "--seconds" in demo.stderr()
