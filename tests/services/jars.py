"""Apache Kafka as jars, fetched once by Maven into a folder that all checkouts share."""

import fcntl
import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.errors import ServiceError

KAFKA_VERSION = "4.4.0"
OLDEST_JAVA = 17

# Without the log4j binding the broker logs nothing, not even why it does not start.
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.5</version>
    </dependency>
  </dependencies>
  <build><plugins><plugin>
    <groupId>org.apache.maven.plugins</groupId><artifactId>maven-dependency-plugin</artifactId><version>3.8.1</version>
  </plugin></plugins></build>
</project>
"""


def cache() -> Path:
    """Return the shared folder: ``TEST_CACHE``, else ``pancake-connector`` in the user's cache folder."""
    given = os.environ.get("TEST_CACHE")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else user / "pancake-connector"


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold off every other test run of this user while the block fills the cache."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def java() -> Path:
    """
    Return the Java to run Kafka with: ``JAVA_HOME``'s, else the one on the path.

    Raises:
        ServiceError: there is none, or it is too old.
    """
    version = java_version()
    if int(version.split(".")[0]) < OLDEST_JAVA:
        raise ServiceError(
            f"Kafka {KAFKA_VERSION} needs Java {OLDEST_JAVA} or newer, and {_java()} is {version}: "
            f"install openjdk-{OLDEST_JAVA}-jre-headless or set JAVA_HOME."
        )
    return _java()


@functools.cache
def java_version() -> str:
    """Return the version of that Java, as in ``17.0.15``."""
    answer = subprocess.run([_java(), "-version"], capture_output=True, text=True, check=True)  # noqa: S603
    found = re.search(r'version "([\d.]+)', answer.stderr)
    if found is None:
        raise ServiceError(
            f"{_java()} does not tell its version: install openjdk-{OLDEST_JAVA}-jre-headless."
        )
    return found[1]


def libraries() -> Path:
    """
    Return the folder with Kafka's jars; the first call on a machine downloads 45 MB.

    Raises:
        ServiceError: Maven is missing, or could not fetch them.
    """
    done = cache() / f"kafka-{KAFKA_VERSION}"
    if not done.exists():
        with locked(done.name):
            if not done.exists():
                _download(done)
    return done


def classpath() -> str:
    """Return the jars in a fixed order: a class archive is valid for one order only."""
    return os.pathsep.join(str(jar) for jar in sorted(libraries().glob("*.jar")))


def class_archive() -> Path:
    """Return where the JVM's class archive is, or would be; it belongs to one version of Java."""
    return libraries() / f"classes-{java_version()}.jsa"


def _java() -> Path:
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    if found is None:
        raise ServiceError(
            f"Kafka {KAFKA_VERSION} needs Java and there is none in {home or 'the path'}: "
            f"install openjdk-{OLDEST_JAVA}-jre-headless, or name a running broker in TEST_KAFKA_BOOTSTRAP."
        )
    return Path(found)


def _download(done: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServiceError(
            f"Maven fetches Kafka {KAFKA_VERSION} and there is no mvn in the path: "
            "install maven, or name a running broker in TEST_KAFKA_BOOTSTRAP."
        )
    with tempfile.TemporaryDirectory(prefix=f"{done.name}-", dir=done.parent) as temporary:
        folder = Path(temporary)
        (folder / "pom.xml").write_text(_POM, encoding="utf-8")
        goal = [
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            f"-DoutputDirectory={folder / 'libs'}",
        ]
        fetched = subprocess.run(  # noqa: S603
            [maven, "-q", "-B", "-f", folder / "pom.xml", *goal], capture_output=True, text=True, check=False
        )
        if fetched.returncode:
            raise ServiceError(
                f"Maven could not fetch Kafka {KAFKA_VERSION}:\n{(fetched.stdout + fetched.stderr)[-2000:]}"
            )
        (folder / "libs").rename(done)
