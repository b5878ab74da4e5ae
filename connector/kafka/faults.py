"""The table: a broker's or client's error → the reaction it calls for."""

from collections.abc import Mapping

from confluent_kafka import KafkaError

from connector.errors import ConnectorError, ContractError, UnauthorizedError, UnavailableError

_CREATE = "run `connector topics create`, and check the topic prefix"
_ACL = "grant the principal what docs/OPERATIONS.md lists, or check the credentials in kafka.config"

FATAL: Mapping[int, tuple[type[ContractError | UnauthorizedError], str]] = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: (ContractError, _CREATE),
    KafkaError._UNKNOWN_TOPIC: (ContractError, _CREATE),
    KafkaError._UNKNOWN_PARTITION: (ContractError, _CREATE),
    KafkaError._AUTO_OFFSET_RESET: (
        ContractError,
        "records behind the committed offset are gone: raise the retention, then move the offset knowingly",
    ),
    KafkaError.OFFSET_OUT_OF_RANGE: (ContractError, "as above: the committed offset is gone from the topic"),
    KafkaError.TOPIC_AUTHORIZATION_FAILED: (UnauthorizedError, _ACL),
    KafkaError.GROUP_AUTHORIZATION_FAILED: (UnauthorizedError, _ACL),
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: (UnauthorizedError, _ACL),
    KafkaError.SASL_AUTHENTICATION_FAILED: (UnauthorizedError, _ACL),
    KafkaError._AUTHENTICATION: (UnauthorizedError, _ACL),
    KafkaError._FATAL: (ContractError, "another member may use the same group.instance.id"),
    KafkaError.FENCED_INSTANCE_ID: (ContractError, "another member uses the same group.instance.id"),
    KafkaError.UNSUPPORTED_VERSION: (
        ContractError,
        "the broker is too old for this protocol: set kafka.group_protocol to classic",
    ),
}


def reaction(error: KafkaError, where: str) -> ConnectorError:
    """The error of ours that ``error`` calls for; what the table does not name may pass later."""
    found = FATAL.get(error.code())
    if found is None:
        return UnavailableError(f"{where}: {error.name()}")
    kind, advice = found
    return kind(f"{where}: {error.name()}", advice=advice)
