"""Keep the read model: `python -m bridge.demo.readmodel --broker amqp://… --database FILE`."""

import argparse
import threading
from pathlib import Path

from bridge.contracts import ContractSet
from bridge.demo.places import data_root
from bridge.demo.readmodel.handler import consumer
from bridge.model.signals import stop_on_signals


def main() -> None:
    """Consume until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m bridge.demo.readmodel", description=__doc__)
    parser.add_argument("--broker", required=True, help="AMQP URL")
    parser.add_argument("--database", required=True, type=Path, help="SQLite file of the model")
    parser.add_argument("--contracts", type=Path, default=data_root() / "contracts")
    parser.add_argument("--type-prefix", default="com.example")
    arguments = parser.parse_args()
    contracts = ContractSet.load(arguments.contracts, type_prefix=arguments.type_prefix)
    stop = threading.Event()
    with stop_on_signals(stop):
        consumer(arguments.broker, arguments.database, contracts).run(stop)


if __name__ == "__main__":
    main()
