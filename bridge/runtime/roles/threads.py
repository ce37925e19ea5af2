"""Run several loops as threads of one role: they end together, and the first error is raised."""

import threading
from collections.abc import Callable, Sequence

# A signal sets an event from a handler; this often the main thread looks whether it did.
_LOOK_INTERVAL_S = 0.05


def run_all(
    services: Sequence[tuple[str, Callable[[threading.Event], None]]],
    stop: threading.Event,
    *,
    on_end: Callable[[], None] = lambda: None,
) -> None:
    """Run each named service in a thread until `stop` is set or one of them ends.

    Args:
        services: names and loops; each gets the event that asks it to end.
        stop: asks all of them to end.
        on_end: called once before they are waited for, for a service that hears no event.

    Raises:
        BaseException: what the first service that failed raised.
    """
    failures: list[BaseException] = []
    ended = threading.Event()

    def guarded(run: Callable[[threading.Event], None]) -> Callable[[], None]:
        def body() -> None:
            try:
                run(ended)
            except BaseException as exc:  # Handed to the main thread, which raises it.
                failures.append(exc)
            finally:
                ended.set()

        return body

    threads = [threading.Thread(target=guarded(run), name=name) for name, run in services]
    for thread in threads:
        thread.start()
    while not stop.wait(_LOOK_INTERVAL_S) and not ended.is_set():
        pass
    ended.set()
    on_end()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
