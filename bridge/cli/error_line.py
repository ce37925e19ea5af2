"""What could not be done, in one line for people."""


def print_error(message: str) -> None:
    """Print what could not be done as one line on standard error."""
    # Imported where it is needed: each role is started by a command that prints nothing.
    from rich.console import Console

    Console(stderr=True).print(
        f"legacy-bridge: {' '.join(message.split())}",
        style="red",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
