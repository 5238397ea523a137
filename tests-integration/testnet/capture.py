"""What leaves for whom in a network namespace, as the kernel sees it."""

from __future__ import annotations

import ctypes
import ipaddress
import shutil
import socket
import struct
import subprocess
import threading

_EVERYTHING = 0x0003
_OUTGOING = 4
_SOL_PACKET, _STATISTICS, _ATTACH_FILTER = 263, 6, 26
# For the kernel: datagrams, and the first packets of connections, of IPv4 (from 4 on) and IPv6 (from 11 on)
_FILTER = [
    *((0x30, 0, 0, 0), (0x54, 0, 0, 0xF0), (0x15, 1, 0, 0x40), (0x15, 7, 14, 0x60)),
    *((0x30, 0, 0, 9), (0x15, 11, 0, 17), (0x15, 0, 11, 6)),
    *((0xB1, 0, 0, 0), (0x50, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 6, 7, 0x02)),
    *((0x30, 0, 0, 6), (0x15, 4, 0, 17), (0x15, 0, 4, 6)),
    *((0x30, 0, 0, 53), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02)),
    *((0x06, 0, 0, 96), (0x06, 0, 0, 0)),
]
# A way out that leads nowhere: what takes it is seen, and not answered
_SETUP = """
ip link set lo up
ip link add out0 type veth peer name out1
sysctl -qw net.ipv6.conf.out0.disable_ipv6=1 net.ipv6.conf.out1.disable_ipv6=1
ip addr add 192.0.2.1/24 dev out0
ip link set out0 up
ip link set out1 up
ip neigh replace 192.0.2.2 lladdr 02:00:00:00:00:02 dev out0 nud permanent
ip route add default via 192.0.2.2 dev out0
"""


def isolated(command: list[str]) -> list[str] | None:
    """The command that runs another one in a network namespace with only a loopback and a way to nowhere.

    None where this user may not make such a thing.
    """
    if not all(map(shutil.which, ("unshare", "ip", "sysctl"))):
        return None
    script = ["unshare", "-rn", "sh", "-c", f'set -e\n{_SETUP}\nexec "$@"', "sh"]
    possible = subprocess.run([*script, "true"], capture_output=True).returncode == 0
    return [*script, *command] if possible else None


class Capture:
    """Notes whom anything in this namespace begins to talk to.

    Attributes:
        seen: ``tcp`` or ``udp``, address and port of each that was talked to.
    """

    def __init__(self) -> None:
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _FILTER))
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERYTHING))
        self._socket.setsockopt(
            socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HP", len(_FILTER), ctypes.addressof(program))
        )
        self.seen: set[tuple[str, str, int]] = set()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            packet, (_, _, kind, *_) = self._socket.recvfrom(96)
            if kind == _OUTGOING:  # and not its arrival
                self._note(packet)

    def _note(self, packet: bytes) -> None:
        if packet[0] >> 4 == 4:
            start, transport, address = (packet[0] & 15) * 4, packet[9], packet[16:20]
        else:
            start, transport, address = 40, packet[6], packet[24:40]
        (port,) = struct.unpack_from("!H", packet, start + 2)
        self.seen.add(("tcp" if transport == 6 else "udp", str(ipaddress.ip_address(address)), port))

    def missed(self) -> int:
        """How many packets went by unseen, since this was last asked."""
        _, dropped = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8))
        return int(dropped)
