"""The counters: what any one second held, and what was asked of whom."""

from connector.simulator.calls import Call, CallLog, Window


def test_a_second_holds_what_arrived_less_than_a_second_ago() -> None:
    window = Window()
    assert [window.arrive(at) for at in (0.0, 0.5, 0.999, 1.0, 1.25, 1.5)] == [1, 2, 3, 3, 4, 4]
    assert window.most == 4


def test_tallies_add_up_by_page_and_by_route() -> None:
    log = CallLog(kept=2)
    for page, route, refused in (("p", "a", False), ("p", "b", True), ("q", "a", True)):
        log.note(Call(0.0, page, route, 200), refused=refused)
    assert (log.calls, log.refused) == (3, 2)
    assert (log.of("p").calls, log.of(route="a").calls, log.of("p", "b").refused) == (2, 2, 1)
    assert [call.page for call in log.recent] == ["p", "q"]
