"""Make traffic: `python -m bridge.demo.traffic --url http://… --journal FILE`.

Prints a report at the end, one line of JSON; SIGTERM and SIGINT end it early and cleanly.
"""

import argparse
import json
import threading
from pathlib import Path

from bridge.demo.legacy.population import Sizes
from bridge.demo.traffic.generator import CLIENTS_DEFAULT, TrafficPlan, run_traffic
from bridge.model.signals import stop_on_signals


def main() -> None:
    """Run the plan of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bridge.demo.traffic", description=__doc__)
    parser.add_argument("--url", required=True, help="where the shop, or its gateway, answers")
    parser.add_argument("--journal", required=True, type=Path, help="file to append writes to")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rate", type=float, default=120.0, help="requests per second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clients", type=int, default=CLIENTS_DEFAULT)
    parser.add_argument("--run", default="", help="prefix of the client references")
    sizes = Sizes()
    parser.add_argument("--customers", type=int, default=sizes.customers, help="seeded ones")
    parser.add_argument("--products", type=int, default=sizes.products, help="seeded ones")
    parser.add_argument("--orders", type=int, default=sizes.orders, help="seeded ones")
    arguments = parser.parse_args()
    plan = TrafficPlan(
        url=arguments.url,
        journal=arguments.journal,
        seed=arguments.seed,
        rate=arguments.rate,
        seconds=arguments.seconds,
        clients=arguments.clients,
        run=arguments.run,
        sizes=Sizes(arguments.customers, arguments.products, arguments.orders),
    )
    stop = threading.Event()
    with stop_on_signals(stop):
        print(json.dumps(run_traffic(plan, stop).as_dict()))


if __name__ == "__main__":
    main()
