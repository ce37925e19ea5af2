"""Run the legacy order system: `python -m bridge.demo.legacy --dsn … --port …`."""

import argparse
import json
import threading

from bridge.demo.legacy.application import ShopApplication
from bridge.demo.legacy.database import Database
from bridge.demo.legacy.server import ShopServer
from bridge.model.signals import stop_on_signals


def main() -> None:
    """Serve until SIGTERM or SIGINT; print one JSON line with the address once listening."""
    parser = argparse.ArgumentParser(prog="python -m bridge.demo.legacy", description=__doc__)
    parser.add_argument("--dsn", required=True, help="libpq URI of the shop's database")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    arguments = parser.parse_args()
    database = Database(arguments.dsn)
    try:
        server = ShopServer((arguments.host, arguments.port), ShopApplication(database))
    except OSError as exc:
        parser.exit(1, f"cannot listen on {arguments.host}:{arguments.port}: {exc.strerror}\n")
    stop = threading.Event()
    acceptor = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    with stop_on_signals(stop):
        acceptor.start()
        print(json.dumps({"listening": f"http://{arguments.host}:{server.port}"}), flush=True)
        stop.wait()
    server.stop()
    acceptor.join()
    database.close()


if __name__ == "__main__":
    main()
