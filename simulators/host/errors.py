"""What a machine cannot do here."""


class HostCannot(Exception):
    """This computer lacks what a host, or one of its faults, needs; the message says what, and what to try.

    The command is not to blame: report what was to be tested as skipped, by this name.
    """
