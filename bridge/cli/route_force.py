"""`routes force`: a token by which a tester's reads are answered by the side of choice."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, warrant
from bridge.cli.output import AsJson, console, print_json
from bridge.control.names import side_named
from bridge.gateway.dual.side_tokens import COOKIE, FIELD, LIFETIME_S_MAX
from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.side_token_key import KEY_FILE, load_side_tokens
from bridge.runtime.wiring.stores import Stores

_LIFETIME: Final = re.compile(r"^([1-9][0-9]{0,5})(s|m|h|d)$")
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def force(
    group: Annotated[str, typer.Option(help="Route group.")],
    side: Annotated[str, typer.Option(help="Who answers reads: legacy or modern.")],
    reason: Reason,
    ticket: Ticket,
    expires: Annotated[str, typer.Option(help="For how long: 30m, 2h, up to 7d.")] = "2h",
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make a signed token that has one side answer the reads of whoever sends it; never writes."""
    chosen = side_named(side)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=_seconds(expires))
    with Stores(load_settings(config)) as stores:
        # The key first: without it the entry would tell of a token that was never made.
        tokens = load_side_tokens(stores.settings.data_dir / KEY_FILE)
        stores.switchboard().force(group, chosen, until, warrant(actor, reason, ticket))
        token = tokens.make(group, chosen, until.timestamp())
    header = f"{FIELD.decode()}: {token}"
    cookie = f"{COOKIE.decode()}={token}"
    if as_json:
        facts = {"group": group, "side": chosen.value, "until": until.isoformat()}
        print_json({**facts, "token": token, "header": header, "cookie": cookie})
        return
    console.print(
        f"reads of [bold]{group}[/bold] are answered by [bold]{chosen.value}[/bold] until "
        f"{until:%Y-%m-%d %H:%M:%S} UTC for requests with one of:"
    )
    for line in (header, f"Cookie: {cookie}"):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _seconds(text: str) -> int:
    found = _LIFETIME.match(text)
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if not 0 < seconds <= LIFETIME_S_MAX:
        raise ConfigInvalid(
            f"cannot make a token for {text!r}: expected a time such as 30m, 2h or 7d, and no "
            "more than 7d: it should end by itself when it is forgotten"
        )
    return seconds
