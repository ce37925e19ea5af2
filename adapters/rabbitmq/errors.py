"""Turn what pika and the broker say into errors that say who should act.

The only place that knows pika's exception classes and AMQP's reply codes. An address is always
`host:port`; a password never gets here, because only the host, port, user and virtual host do.
"""

import re
from typing import NamedTuple

from pika import exceptions
from pika.adapters.utils import connection_workflow

from bridge.model.errors import BridgeError, ConfigInvalid, LimitExceeded, SinkUnavailable

_ACCESS_REFUSED = 403
_NOT_FOUND = 404
_PRECONDITION_FAILED = 406
_NOT_ALLOWED = 530

# "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'c.orders' in vhost '/':
#  received 'quorum' but current is 'classic'"
_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' for (?P<kind>\w+) '(?P<name>[^']*)' in vhost "
    r"'(?P<vhost>[^']*)': received (?P<asked>.+?) but current is (?P<current>.+)"
)


class BrokerAddress(NamedTuple):
    """What an error may say about where the broker is and who we are there."""

    host: str
    port: int
    virtual_host: str
    user: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def explain_connect(error: BaseException, broker: BrokerAddress) -> BridgeError:
    """Return our error for a connection that could not be opened."""
    cause = _innermost(error)
    if isinstance(
        cause, exceptions.ProbableAuthenticationError | exceptions.AuthenticationError
    ) and _broker_said_so(cause):
        return ConfigInvalid(
            f"cannot log in to RabbitMQ at {broker}: it refused user {broker.user!r}; "
            "check the user and password of the broker's address"
        )
    if isinstance(cause, exceptions.ProbableAccessDeniedError) and _broker_said_so(cause):
        return _explain_virtual_host(str(cause), broker)
    if isinstance(cause, exceptions.ConnectionClosedByBroker):
        if cause.reply_code in (_NOT_ALLOWED, _ACCESS_REFUSED):
            return _explain_virtual_host(cause.reply_text, broker)
        return SinkUnavailable(
            f"cannot open a connection to RabbitMQ at {broker}: it closed it with "
            f"{cause.reply_code} {cause.reply_text}"
        )
    if isinstance(cause, exceptions.IncompatibleProtocolError):
        return SinkUnavailable(
            f"cannot talk to RabbitMQ at {broker}: the peer hung up on the AMQP 0-9-1 header; "
            "it may be starting, or the port may belong to something else"
        )
    return SinkUnavailable(f"cannot reach RabbitMQ at {broker}: {_describe(cause)}")


def explain_loss(error: BaseException, broker: BrokerAddress) -> BridgeError:
    """Return our error for a connection or channel that was lost while in use."""
    cause = _innermost(error)
    if isinstance(cause, exceptions.ChannelClosedByBroker):
        if cause.reply_code == _PRECONDITION_FAILED:
            return LimitExceeded(
                f"cannot publish to RabbitMQ at {broker}: {cause.reply_text}; raise the broker's "
                "limit or keep the large column out of the contract"
            )
        if cause.reply_code == _ACCESS_REFUSED:
            return ConfigInvalid(
                f"cannot publish to RabbitMQ at {broker} as {broker.user!r}: {cause.reply_text}; "
                "grant the user write permission on the exchange"
            )
        # 404 among them: the exchange was deleted beneath us, and connecting declares it again.
        return SinkUnavailable(
            f"lost the channel to RabbitMQ at {broker}: it closed it with {cause.reply_code} "
            f"{cause.reply_text}"
        )
    return SinkUnavailable(f"lost the connection to RabbitMQ at {broker}: {_describe(cause)}")


def explain_declare(error: BaseException, what: str, broker: BrokerAddress) -> BridgeError:
    """Return our error for an exchange, queue or binding that could not be declared."""
    cause = _innermost(error)
    if not isinstance(cause, exceptions.ChannelClosedByBroker):
        return explain_loss(cause, broker)
    difference = _INEQUIVALENT.search(cause.reply_text)
    if difference is not None:
        argument = difference["argument"]
        asked, current = (_bare(difference[side]) for side in ("asked", "current"))
        return ConfigInvalid(
            f"cannot declare {what} on RabbitMQ at {broker}: it exists and its {argument!r} is "
            f"{current}, the configuration asks for {asked}; change the configuration, or drain "
            "and delete it there"
        )
    if cause.reply_code == _ACCESS_REFUSED:
        return ConfigInvalid(
            f"cannot declare {what} on RabbitMQ at {broker} as {broker.user!r}: "
            f"{cause.reply_text}; grant the user configure, write and read permission"
        )
    if cause.reply_code == _PRECONDITION_FAILED:
        return ConfigInvalid(f"cannot declare {what} on RabbitMQ at {broker}: {cause.reply_text}")
    return SinkUnavailable(
        f"cannot declare {what} on RabbitMQ at {broker}: {cause.reply_code} {cause.reply_text}"
    )


def is_richer(refusal: BaseException) -> bool:
    """Tell whether a queue was refused for having an argument that we do not ask for.

    The broker tells only the first difference that it finds.
    """
    if not isinstance(refusal, exceptions.ChannelClosedByBroker):
        return False
    difference = _INEQUIVALENT.search(refusal.reply_text)
    return (
        difference is not None and difference["kind"] == "queue" and difference["asked"] == "none"
    )


def _explain_virtual_host(text: str, broker: BrokerAddress) -> BridgeError:
    if "not found" in text:
        return ConfigInvalid(
            f"cannot use virtual host {broker.virtual_host!r} of RabbitMQ at {broker}: it does "
            "not exist; create it or change the path of the broker's address"
        )
    if "down" in text or "INTERNAL" in text:
        return SinkUnavailable(
            f"cannot use virtual host {broker.virtual_host!r} of RabbitMQ at {broker}: it is down"
        )
    return ConfigInvalid(
        f"cannot use virtual host {broker.virtual_host!r} of RabbitMQ at {broker}: user "
        f"{broker.user!r} has no access to it; grant it permissions there"
    )


def _bare(value: str) -> str:
    """Take the type off a value as the broker tells it: "the value 'quorum' of type 'longstr'"."""
    return re.sub(r"^the value (.*) of type '\w+'$", r"\1", value)


def _innermost(error: BaseException) -> BaseException:
    """Unwrap the layers that pika's connection workflow puts around the cause."""
    while True:
        inner: object
        if isinstance(error, connection_workflow.AMQPConnectionWorkflowFailed):
            inner = error.exceptions[-1]
        elif isinstance(error, connection_workflow.AMQPConnectorPhaseErrorBase):
            inner = error.exception
        elif type(error) is exceptions.AMQPConnectionError and len(error.args) == 1:
            inner = error.args[0]
        else:
            return error
        if not isinstance(inner, BaseException):
            return error
        error = inner


def _broker_said_so(error: BaseException) -> bool:
    """Tell a refusal from a cut wire: pika guesses "probably" from the phase alone.

    The guess carries the `repr` of what really happened.
    """
    return "ConnectionClosedByBroker" in str(error) or isinstance(
        error, exceptions.AuthenticationError
    )


def _describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, exceptions.AMQPHeartbeatTimeout):
        return "no heartbeat from it"
    if isinstance(error, exceptions.ConnectionClosedByBroker):
        return f"it closed it with {error.reply_code} {error.reply_text}"
    text = str(error.args[0]) if error.args else ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
