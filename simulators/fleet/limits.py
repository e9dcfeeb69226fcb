"""Whether this process may have as many connections as it shall make."""

import resource

SPARE = 64


class TooManyConnections(Exception):
    """The system allows fewer open files; the message says what to do."""


def allow_connections(count: int) -> None:
    """Raise the limit of open files as far as is needed; raises `TooManyConnections`."""
    needed = count + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise TooManyConnections(
            f"{count} gateways need {needed} open files, and this process may have {hard}: start fewer, or as root "
            f"`ulimit -Hn {needed}`, in a systemd unit LimitNOFILE={needed}, for a container --ulimit nofile={needed}"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
