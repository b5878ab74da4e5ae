"""``connector topics``: create what is missing, compare what is there."""

import json
import sys
from pathlib import Path

import click

from connector.app import Outcome
from connector.cli.process import finish, settings_or_exit
from connector.kafka.config import Topics
from connector.kafka.topics import check as check_topics
from connector.kafka.topics import create as create_topics


@click.group()
def topics() -> None:
    """The five topics and their settings."""


@topics.command(epilog="Example: CONNECTOR_KAFKA__PARTITIONS=24 connector topics create")
@click.pass_obj
def create(config: Path | None) -> None:
    """Create what is missing; what is there stays as it is."""
    settings = settings_or_exit(config)

    async def run() -> Outcome:
        names = Topics(settings.kafka.topic_prefix)
        created = await create_topics(settings.kafka, names)
        for name in created:
            click.echo(f"created {name}")
        if not created:
            click.echo("all topics are there")
        return Outcome()

    finish(run)


@topics.command(epilog="Example: connector topics check --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def check(config: Path | None, *, as_json: bool) -> None:
    """Compare partitions and settings with what is needed; exit code 3 when they differ."""
    settings = settings_or_exit(config)

    async def run() -> Outcome:
        findings = await check_topics(settings.kafka, Topics(settings.kafka.topic_prefix))
        for finding in findings:
            if as_json:
                fields = {"topic": finding.topic, "problem": finding.problem, "advice": finding.advice}
                click.echo(json.dumps(fields))
            else:
                click.echo(f"{finding.topic}: {finding.problem}; {finding.advice}")
        if not findings and not as_json:
            click.echo("all topics are as they must be")
        sys.stdout.flush()
        return Outcome(len(findings))

    finish(run)
