"""Private PostgreSQL and RabbitMQ servers for the demo, the tests and the benchmarks.

Started as plain processes on free loopback ports with everything they write in one folder, so that
several run side by side and nothing on the machine is touched. Needs the standard library only.
"""

from bridge.demo.servers.ports import free_port
from bridge.demo.servers.postgres import PrivatePostgres
from bridge.demo.servers.process import ServerNotStarted
from bridge.demo.servers.rabbitmq import PrivateRabbitMQ

__all__ = ["PrivatePostgres", "PrivateRabbitMQ", "ServerNotStarted", "free_port"]
