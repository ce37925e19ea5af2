"""Run the modern order service: `python -m bridge.demo.modern --dsn … --port …`."""

import argparse
import json
import socket

import uvicorn

from bridge.demo.modern.application import create_application
from bridge.demo.modern.database import create_schema, engine_for


def main() -> None:
    """Create the schema if need be; serve until SIGTERM or SIGINT.

    Prints one JSON line with the address once it listens.
    """
    parser = argparse.ArgumentParser(prog="python -m bridge.demo.modern", description=__doc__)
    parser.add_argument("--dsn", required=True, help="libpq URI of the service's own database")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    arguments = parser.parse_args()
    create_schema(arguments.dsn)
    engine = engine_for(arguments.dsn)
    try:
        # Bound here, so that port 0 can be told; killed services leave their port in TIME_WAIT,
        # which `create_server` looks past.
        listener = socket.create_server((arguments.host, arguments.port), backlog=128)
    except OSError as exc:
        parser.exit(1, f"cannot listen on {arguments.host}:{arguments.port}: {exc.strerror}\n")
    port = listener.getsockname()[1]
    print(json.dumps({"listening": f"http://{arguments.host}:{port}"}), flush=True)
    config = uvicorn.Config(
        create_application(engine),
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run(sockets=[listener])
    engine.dispose()


if __name__ == "__main__":
    main()
