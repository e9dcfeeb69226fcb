"""What can be wrong between this gateway and its devices, each with a code that never changes. Pure.

As `agent.uplink.faults`: `what` and `advice` for a person, braces for the values of the one case. Of a fault of the
wiring there is rarely proof: the advice begins with what is most often the cause, and is cheapest to look at.
"""

from typing import Final

from agent.uplink.faults import FaultText

FAULTS: Final = {
    # the port or the address
    "port_missing": FaultText(
        "{endpoint}: there is no such port", "is the adapter plugged in? `oc-agent ports` shows what is there"
    ),
    "port_forbidden": FaultText("{endpoint}: you may not open it", "use sudo, or join the group of the port"),
    "port_held": FaultText(
        "{endpoint}: it cannot be opened: {detail}", "who holds it is in `sudo oc-agent ports`: end that program"
    ),
    "port_gone": FaultText(
        "{endpoint}: the port vanished while it was used",
        "the USB plug or its cable is loose, or the adapter lost its power: see `dmesg`",
    ),
    "host_unknown": FaultText("{endpoint}: this name is not known", "write the address of the device as `host`"),
    "tcp_refused": FaultText(
        "{endpoint}: the device is there, and its port is closed",
        "check `tcp_port`; is Modbus TCP switched on in the device? Is it starting now?",
    ),
    "tcp_unreachable": FaultText(
        "{endpoint}: nobody answers at this address",
        "check its power, the network cable, `host`, and that this gateway is in the same network",
    ),
    "tcp_tls": FaultText(
        "{endpoint}: TLS fails: {detail}", "check `ca_file`, the name in the device's certificate, and the clock"
    ),
    "tcp_closed": FaultText(
        "{endpoint}: the device takes the connection and closes it again",
        "many serve one client only: is another program, or a second gateway, connected? Else restart the device",
    ),
    "link_down": FaultText("{endpoint}: {detail}", "see `oc-agent status`"),
    # the whole link
    "line_silent": FaultText(
        "{link}: not one byte comes back from any device",
        "in this order: power of the devices; A and B swapped; is it the right port and socket? baud rate; unit ids; "
        "an RS-232 adapter in the place of RS-485",
    ),
    "instrument_silent": FaultText(
        "{link}: the instrument says nothing at all",
        "its power; RX and TX swapped; does it send by itself, as the profile expects? Baud rate",
    ),
    "tcp_mute": FaultText(
        "{link}: the port is open, and nothing is ever answered",
        "check `unit`; is it the port for Modbus? A device that hangs answers again after a restart",
    ),
    "only_echo": FaultText(
        "{link}: only our own requests come back, and no answer",
        "the adapter works: swap A and B, look at the power of the devices, unit ids and baud rate; RX and TX bridged?",
    ),
    "noise": FaultText(
        "{link}: only 00 and FF come: a line without a level, not a device",
        "bias and termination: 120 ohm at both ends and only there; A and B swapped; connect the grounds",
    ),
    "babble": FaultText(
        "{link}: {count} bytes came that nobody asked for",
        "another master on this bus? An instrument that sends by itself? Else bias and termination",
    ),
    "line_garbage": FaultText(
        "{link}: bytes come, and none of them is an answer: {hex}",
        "baud rate and parity, as the devices have them; then A and B, termination, bias; another master on the bus",
    ),
    "line_damaged": FaultText(
        "{link}: the answers of all devices arrive damaged: {hex}",
        "parity and stop bits; termination at both ends and only there; a cable beside a motor; the adapter itself",
    ),
    "not_modbus_tcp": FaultText(
        "{link}: what comes back is no Modbus/TCP: {hex}",
        'a serial server that passes RTU on wants `transport = "rtu-over-tcp"`; else check `tcp_port`',
    ),
    "echo": FaultText(
        "{link}: the adapter hears itself: each request comes back before the answer",
        "nothing is lost: the echo is taken out. Switch the local echo off at the adapter where it can be",
    ),
    # one device
    "unit_silent": FaultText(
        "{device}: unit {unit} does not answer",
        "its power, its unit id and baud rate; its two wires at the terminal; the cable behind the one before it",
    ),
    "unit_garbage": FaultText(
        "{device}: bytes come that are no answer: {hex}",
        "two devices with this unit id? Unplug one. Else its baud rate or parity differs",
    ),
    "reply_damaged": FaultText(
        "{device}: answers arrive damaged (wrong checksum): {hex}",
        "do two devices have unit {unit}? Unplug one. Else a long stub, no termination, a cable beside a motor; parity",
    ),
    "reply_short": FaultText(
        "{device}: answers arrive with bytes missing: {hex}",
        "another USB port or adapter; a slower baud rate; parity; a loose wire; behind a serial server: its pause",
    ),
    "reply_long": FaultText(
        "{device}: answers arrive with bytes too many: {hex}",
        "do two devices have unit {unit}? Unplug one. Else reflections: termination at both ends, and short stubs",
    ),
    "other_unit": FaultText(
        "{device}: unit {other} answers in the place of unit {unit}",
        "the unit id that is set in the device, or `unit`; a serial server may mix up its clients",
    ),
    "other_count": FaultText(
        "{device}: answers are well formed, but with another number of registers than was asked for",
        "is the profile for this model and its firmware? Is a second master asking on this line?",
    ),
    "late": FaultText(
        "{device}: answers come after {ms} ms, and `timeout_s` is {timeout_ms} ms",
        "write `timeout_s = {enough_s}` at the link {link}",
    ),
    "late_bytes": FaultText(
        "{device}: does not answer in time, and on {link} bytes come after their time",
        "raise `timeout_s` of the link: twice as much, then look again",
    ),
    "reply_slow": FaultText(
        "{device}: its bytes come much slower than they should at this speed",
        "an adapter or a network that is overloaded; a serial server with a slower line behind it",
    ),
    "noise_around": FaultText(
        "{device}: stray bytes stand around its answers, which are good",
        "nothing is lost yet: bias and termination, 120 ohm at both ends and only there",
    ),
    "registers_refused": FaultText(
        "{device}: it answers, and knows nothing of what is asked (exception {code})",
        "the profile is for another model: compare the type plate with `oc-agent profiles search`",
    ),
    "points_refused": FaultText(
        "{device}: it does not know these points: {points}",
        "another version of this model: leave them out with `points`, or take another profile",
    ),
    "device_failure": FaultText(
        "{device}: it says that it has failed itself (exception {code})",
        "look at its display; switch it off and on; where that does not help it is broken",
    ),
    "device_busy": FaultText(
        "{device}: it says that it is busy (exception {code})",
        "raise `interval_s`; is another master asking it as well?",
    ),
    "gateway_path": FaultText(
        "{device}: the Modbus gateway has no way to unit {unit} (exception 10)",
        "the routing table of that gateway: which units are on which of its ports?",
    ),
    "gateway_target": FaultText(
        "{device}: the Modbus gateway is there, the device behind it is silent (exception 11)",
        "on the line behind that gateway: power, A and B, unit id, baud rate",
    ),
    "other_model": FaultText(
        "{device}: it is not the model that its profile describes: {detail}",
        "compare the type plate with `oc-agent profiles search`, or the unit id",
    ),
    "byte_order": FaultText(
        "{device}: most values are not plausible: {points}",
        "the order of bytes or words is another (`word_order`, `byte_order`), or the profile is for another model",
    ),
    "out_of_range": FaultText(
        "{device}: not plausible: {points}", "look at the instrument; is the right thing connected to it?"
    ),
    "device_fault": FaultText(
        "{device}: it reports a fault of its own: {points}", "look at its display and its manual"
    ),
    "no_frame": FaultText(
        "{device}: bytes come, and none of it is a message of this model: {hex}",
        "baud rate, data bits, parity; RX inverted (TTL in the place of RS-232)? Is the profile for this model?",
    ),
    "no_values": FaultText(
        "{device}: its messages are well formed, and have no value that the profile knows",
        "is the profile for this model? Which messages does it send: see its settings",
    ),
    "unchanged": FaultText(
        "{device}: not one measured value has changed for {minutes} minutes",
        "a sensor that hangs, or is not connected: switch the device off and on, and look at its display",
    ),
    "not_asked": FaultText(
        "{device}: there was no time to ask it",
        "examine again with `--only devices`, or ask it: `oc-agent read {device}`",
    ),
}
