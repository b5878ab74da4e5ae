"""Moments of a demo that never ran."""

from dataclasses import replace

from connector.cli.demo_view import PageRow, Snapshot, TopicRow, Totals, Use

PAGE = PageRow("Cửa hàng số 1", 12, 98, "live", arrived=12, seeded=12, behind=None, use=Use(2, 5))
QUIET = Snapshot(
    phase="running",
    elapsed=12.0,
    seconds=20.0,
    pages=(PAGE, replace(PAGE, name="Cửa hàng số 2"), replace(PAGE, name="Cửa hàng số 3")),
    topics=(TopicRow("pancake.conversations", 60, 60), TopicRow("pancake.messages", 340, 340)),
    folkform=Use(7, 20),
    totals=Totals(pancake_calls=85, most=5, folkform_calls=100, arrival=1.4, changes=(("messages", 27),)),
    servers="Pancake :1, FolkForm :2, Kafka :3, all on 127.0.0.1",
)
BUSY = replace(
    QUIET,
    phase="catching up",
    elapsed=3599.0,
    seconds=3600.0,
    pages=tuple(
        replace(
            page,
            conversations=12_345,
            messages=987_654,
            state="back-fill",
            arrived=11,
            behind=99.0,
            use=Use(5, 5),
        )
        for page in QUIET.pages
    ),
    topics=(TopicRow("pancake.conversations", 12_345, 45), TopicRow("pancake.messages", 987_654, 654)),
    folkform=Use(20, 20, waiting=123),
    totals=Totals(
        123_456, 12, 6, 123_456, 9, 77, 12.3, (("messages", 9999), ("edits", 999), ("new conversations", 99))
    ),
    warnings=("warning: " + "dead letter " * 20, "warning: page parked"),
)
