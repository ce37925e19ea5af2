"""Orders and means of exports as tests need them: one person, one zone, what a test names."""

import contextlib
import io
from pathlib import Path
from typing import Any

from bridge.eventlog.exporting.export import ExportReport, export
from bridge.eventlog.exporting.means import ExportMeans, zone
from bridge.eventlog.exporting.order import ExportOrder
from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.eventlog.signing.signer import Signer
from bridge.eventlog.verifier import verify
from bridge.eventlog.verify_bundle import VERIFIED
from bridge.model.warrant import Actor, ActorType, Known, Warrant

ORIGIN = "test.example/log"
WARRANT = Warrant(
    actor=Actor(id="ana", type=ActorType.PERSON, known=Known.LOGIN),
    reason="yearly audit",
    ticket="AUDIT-7",
)
TOKYO = zone("Asia/Tokyo")


def make_order(folder: Path, **asked: Any) -> ExportOrder:
    """Return Ana's order of a bundle in `folder`."""
    return ExportOrder(folder=folder, **{"warrant": WARRANT, **asked})


def make_means(log: EventLogStore, signer: Signer, **given: Any) -> ExportMeans:
    """Return the means of an export of `log`."""
    means = {"log": log, "head_signer": HeadSigner(signer, log), "zone": TOKYO, **given}
    return ExportMeans(**means)


def make_signer(folder: Path, *, origin: str = ORIGIN) -> Signer:
    """Return the signer of the log in `folder`."""
    return Signer.load_or_create(folder / "log.key", origin=origin)


def make_bundle(
    log: EventLogStore, signer: Signer, folder: Path, *, means: ExportMeans | None = None,
    **asked: Any,
) -> ExportReport:  # fmt: skip
    """Export `log` to `folder`."""
    return export(make_order(folder, **asked), means or make_means(log, signer))


def check_verifies(folder: Path, vkey: str, context: str = "") -> None:
    """Check that the auditor's program finds nothing wrong with a bundle."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = verify.main([str(folder), "--key", vkey])
    assert code == VERIFIED, f"{context}\n{said.getvalue()}"
