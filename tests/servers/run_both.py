"""Start one private server of each kind, print their pids, and wait to be ended.

A program of its own, run by `test_leftovers.py` as another account and to be killed. Imports the
standard library and `bridge.demo.servers` only, so that any Python of the machine can run it.
"""

import json
import sys
from pathlib import Path

from bridge.demo.servers import PrivatePostgres, PrivateRabbitMQ
from bridge.demo.servers.process import descendants


def main() -> None:
    folder = Path(sys.argv[1])
    with (
        PrivatePostgres.start(folder / "pg") as postgres,
        PrivateRabbitMQ.start(folder / "mq") as rabbitmq,
    ):
        pids = {postgres.pid, rabbitmq.pid}
        for server in (postgres.pid, rabbitmq.pid):
            pids |= descendants(server)
        print(json.dumps(sorted(pids)), flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main()
