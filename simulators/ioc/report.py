"""What the IOC says about itself: a snapshot of the ingest as plain data, and as text."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from simulators.ioc.ingest import Gateway, Ingest
from simulators.ioc.messages import Value
from simulators.ioc.pictures import Pictures, Waiting
from simulators.ioc.rules import Ledger, SeqRange

MAX_RANGES = 20


class EpochReport(msgspec.Struct, frozen=True):
    """One epoch of one gateway. `declared` of the `lost` numbers were declared lost by the gateway itself."""

    epoch: str
    received: int
    duplicates: int
    high: int
    low: int
    cumulative: int
    gaps: list[SeqRange]
    lost: int
    lost_ranges: list[SeqRange]
    declared: int


class GatewayReport(msgspec.Struct, frozen=True):
    """One gateway. `changed` readings came again with another value, which is a fault."""

    gateway: str
    online: bool | None
    readings: int
    changed: int
    messages: dict[str, int]
    duplicates: int
    lost: int
    gaps: int
    declared_lost_readings: int
    epochs: list[EpochReport]
    newest: dict[str, dict[str, Value]]
    newest_ms: dict[str, int]


class MissingParts(msgspec.Struct, frozen=True):
    """An incomplete picture; without `parts` its snapshot has not come, and nobody knows what is missing."""

    gateway: str
    id: str
    device: str | None
    parts: int | None
    missing: list[SeqRange]


class PicturesReport(msgspec.Struct, frozen=True):
    """Pictures. `complete`, `incomplete` and `unannounced` are there now; the others count since the start.

    `unannounced`: parts without a snapshot; `not_kept`: snapshots that came while no folder was named.
    """

    complete: int = 0
    incomplete: int = 0
    unannounced: int = 0
    bad: int = 0
    expired: int = 0
    given_up: int = 0
    duplicate_parts: int = 0
    conflicting_parts: int = 0
    dropped_parts: int = 0
    not_kept: int = 0
    missing: list[MissingParts] = []


class Report(msgspec.Struct, frozen=True):
    """Everything; latencies in milliseconds from the wire to the IOC's commit, of live data."""

    gateways: list[GatewayReport]
    readings: int
    duplicates: int
    lost: int
    gaps: int
    malformed: dict[str, int]
    last_malformed: str
    notices: list[str]
    latency_p50_ms: int | None
    latency_p99_ms: int | None
    pictures: PicturesReport = PicturesReport()


def report(ingest: Ingest) -> Report:
    """The state of `ingest` now."""
    gateways = [_gateway(name, gateway) for name, gateway in sorted(ingest.gateways.items())]
    return Report(
        gateways=gateways,
        readings=sum(g.readings for g in gateways),
        duplicates=sum(g.duplicates for g in gateways),
        lost=sum(g.lost for g in gateways),
        gaps=sum(g.gaps for g in gateways),
        malformed=dict(ingest.malformed),
        last_malformed=ingest.last_malformed,
        notices=[*ingest.notices, *(ingest.pictures.notices if ingest.pictures else ())],
        latency_p50_ms=ingest.latencies.percentile(50),
        latency_p99_ms=ingest.latencies.percentile(99),
        pictures=_pictures(ingest.pictures) if ingest.pictures else PicturesReport(not_kept=ingest.pictures_not_kept),
    )


def as_text(snapshot: Report) -> str:
    """The report for a person."""
    lines = [
        f"{snapshot.readings} readings, {snapshot.duplicates} duplicates, {snapshot.lost} messages lost, "
        f"{snapshot.gaps} missing; latency p50 {_ms(snapshot.latency_p50_ms)}, p99 {_ms(snapshot.latency_p99_ms)}"
    ]
    for gateway in snapshot.gateways:
        lanes = ", ".join(f"{count} {lane}" for lane, count in sorted(gateway.messages.items()))
        lines.append(f"  {gateway.gateway} ({_online(gateway)}): {gateway.readings} readings, {lanes}")
        lines.extend(f"    {device}: {_values(values)}" for device, values in sorted(gateway.newest.items()))
        lines.extend(f"    epoch {e.epoch}: missing {_ranges(e.gaps)}" for e in gateway.epochs if e.gaps)
        lines.extend(f"    epoch {e.epoch}: lost {_ranges(e.lost_ranges)}" for e in gateway.epochs if e.lost)
        if gateway.changed:
            lines.append(f"    {gateway.changed} readings came again with another value")
    lines.extend(_picture_lines(snapshot.pictures))
    if snapshot.malformed:
        lines.append(f"  malformed: {snapshot.malformed}; the last: {snapshot.last_malformed}")
    lines.extend(f"  notice: {notice}" for notice in snapshot.notices)
    return "\n".join(lines)


def _pictures(pictures: Pictures) -> PicturesReport:
    waiting = list(pictures.waiting())
    announced = sum(one.about.snapshot is not None for _, one in waiting)
    return PicturesReport(
        complete=pictures.complete,
        incomplete=announced,
        unannounced=len(waiting) - announced,
        missing=[_missing(*key, one) for key, one in waiting[:MAX_RANGES]],
        **pictures.counts,
    )


def _missing(gateway: str, picture: str, waiting: Waiting) -> MissingParts:
    snapshot = waiting.about.snapshot
    if snapshot is None:
        return MissingParts(gateway, picture, None, None, [])
    return MissingParts(gateway, picture, snapshot.device, snapshot.parts, waiting.missing()[:MAX_RANGES])


def _picture_lines(pictures: PicturesReport) -> Iterator[str]:
    counts = {key: value for key, value in msgspec.structs.asdict(pictures).items() if key != "missing" and value}
    if counts:
        yield "  pictures: " + ", ".join(f"{value} {key.replace('_', ' ')}" for key, value in counts.items())
    for one in pictures.missing:
        if one.parts is None:
            yield f"    {one.gateway}: picture {one.id}: its snapshot has not come"
        else:
            parts = f"parts {_ranges(one.missing)} of {one.parts} missing"
            yield f"    {one.gateway}: picture {one.id} of {one.device}: {parts}"


def _gateway(name: str, gateway: Gateway) -> GatewayReport:
    epochs = [_epoch(epoch, ledger, gateway.declared.get(epoch, ())) for epoch, ledger in gateway.ledgers.items()]
    return GatewayReport(
        gateway=name,
        online=gateway.online,
        readings=gateway.readings,
        changed=gateway.changed,
        messages=dict(gateway.lanes),
        duplicates=sum(e.duplicates for e in epochs),
        lost=sum(e.lost for e in epochs),
        gaps=sum(last - first + 1 for e in epochs for first, last in e.gaps),
        declared_lost_readings=gateway.declared_readings,
        epochs=epochs,
        newest=gateway.newest,
        newest_ms=gateway.newest_ms,
    )


def _epoch(epoch: str, ledger: Ledger, declared: Sequence[SeqRange]) -> EpochReport:
    lost = [(hole.first, hole.last) for hole in ledger.lost]
    return EpochReport(
        epoch=epoch,
        received=ledger.received,
        duplicates=ledger.duplicates,
        high=ledger.high,
        low=ledger.maxlow,
        cumulative=ledger.cumulative,
        gaps=ledger.gaps(),
        lost=ledger.lost_count,
        lost_ranges=lost[:MAX_RANGES],
        declared=_overlap(lost, declared),
    )


def _overlap(lost: Sequence[SeqRange], declared: Sequence[SeqRange]) -> int:
    """How many of the `lost` numbers stand in a declared range; each counts once."""
    total = 0
    for first, last in lost:
        seen = first - 1
        for start, end in sorted(declared):
            start, end = max(start, seen + 1, first), min(end, last)
            if start <= end:
                total += end - start + 1
                seen = end
    return total


def _online(gateway: GatewayReport) -> str:
    return "unknown" if gateway.online is None else "online" if gateway.online else "offline"


def _values(values: dict[str, Any]) -> str:
    return ", ".join(f"{point} {'-' if value is None else value}" for point, value in values.items())


def _ranges(ranges: Sequence[SeqRange]) -> str:
    shown = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges[:MAX_RANGES])
    return shown + (", …" if len(ranges) > MAX_RANGES else "")


def _ms(latency_ms: int | None) -> str:
    return "-" if latency_ms is None else f"{latency_ms} ms"
