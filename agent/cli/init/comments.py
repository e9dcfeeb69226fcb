"""What each key is, in Vietnamese and in English, for the comments of a new configuration."""

from collections.abc import Mapping
from typing import Final

HEAD: Final = (
    (
        "Cấu hình của oc-agent, do `oc-agent init` viết. Sửa xong hãy chạy: oc-agent check",
        "Configuration of oc-agent, written by `oc-agent init`. After each change: oc-agent check",
    ),
    (
        "Mọi khóa khác và giá trị mặc định: config/agent.example.toml. Dòng bắt đầu bằng # là chưa dùng.",
        "All other keys and the defaults: config/agent.example.toml. A line that begins with # is not in use.",
    ),
)
TABLES: Final[Mapping[str, tuple[str, str]]] = {
    "gateway": ("gateway này là ai", "who this gateway is"),
    "site": ("trung tâm điều hành", "the operations centre"),
    "uplink": ("đường về IOC", "the way to the IOC"),
    "link": (
        "đường truyền: mỗi bus, mỗi cổng hay mỗi địa chỉ mạng là một [[link]]",
        "links: one [[link]] for each bus, port or address",
    ),
    "device": ("thiết bị: mỗi thiết bị là một [[device]]", "devices: one [[device]] for each"),
}
KEYS: Final[Mapping[str, tuple[str, str]]] = {
    "gateway.id": (
        "mã gateway: client id, tên trong chứng thư, tầng của topic; a-z 0-9 -",
        "client id, name in the certificate, level of the topics; a-z 0-9 -",
    ),
    "site.oc": ("mã trung tâm điều hành, do IOC cấp", "code of the operations centre, given by the IOC"),
    "site.name": ("tên để hiển thị", "its name for people"),
    "site.location": ("kinh độ, vĩ độ (WGS 84)", "longitude, latitude (WGS 84)"),
    "uplink.host": ("tên hoặc địa chỉ broker của IOC", "name or address of the IOC's broker"),
    "uplink.port": ("cổng: 8883 với TLS, 1883 không mã hóa", "8883 with TLS, 1883 without"),
    "uplink.tls": ("false: KHÔNG mã hóa, chỉ để thử nghiệm", "false: NOT encrypted, for a test bench only"),
    "uplink.transport": (
        "websockets: khi mạng chỉ cho web đi qua",
        "websockets: where only web traffic passes",
    ),
    "uplink.path": ("đường dẫn của WebSocket", "path of the WebSocket"),
    "uplink.ca_file": (
        "chứng thư của nơi đã ký cho broker; trống: các nơi hệ điều hành tin",
        "the authority that signed the broker's certificate; empty: those of the system",
    ),
    "uplink.cert_file": ("chứng thư của gateway này", "this gateway's certificate"),
    "uplink.key_file": ("khóa của chứng thư đó; chỉ dịch vụ được đọc", "its key; only the service may read it"),
    "uplink.username": ("tên đăng nhập, nếu broker đòi", "where the broker wants one"),
    "uplink.password_file": (
        "mật khẩu nằm trong tệp này, không bao giờ trong cấu hình",
        "the password stands in this file, never here",
    ),
    "link.name": ("tên tự đặt", "a name of your choice"),
    "link.kind": ("modbus | serial | camera", "modbus | serial | camera"),
    "link.transport": ("rtu | ascii | tcp | rtu-over-tcp | udp | tls", "rtu | ascii | tcp | rtu-over-tcp | udp | tls"),
    "link.port": (
        "cổng nối tiếp; tên lâu bền: oc-agent ports",
        "serial port; names that last: oc-agent ports",
    ),
    "link.baud": ("tốc độ, như đã cài trong thiết bị", "as it is set in the devices"),
    "link.parity": ("N | E | O", "N | E | O"),
    "link.stop_bits": ("1 | 2", "1 | 2"),
    "link.data_bits": ("7 | 8", "7 | 8"),
    "link.host": ("địa chỉ trên mạng", "address on the network"),
    "link.tcp_port": ("cổng trên mạng", "port on the network"),
    "device.name": ("tên ở IOC: A-Z a-z 0-9 _ . -", "name at the IOC: A-Z a-z 0-9 _ . -"),
    "device.link": ("nằm trên [[link]] nào", "the [[link]] that it is on"),
    "device.profile": ("hồ sơ: oc-agent profiles list", "its profile: oc-agent profiles list"),
    "device.unit": ("địa chỉ đã cài trong thiết bị", "the address that is set in the device"),
    "device.interval_s": ("đọc mỗi bao nhiêu giây", "seconds from one reading to the next"),
    "device.label": ("tên cho mọi người xem", "its name for people"),
}
UNUSED: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "site": (("name", '{ vi = "…", en = "…" }'), ("location", "[108.2208, 16.0678]")),
    "uplink": (
        ("port", "8883"),
        ("ca_file", '"ca.pem"'),
        ("cert_file", '"gateway.pem"'),
        ("key_file", '"gateway.key"'),
        ("username", '"…"'),
        ("password_file", '"mqtt.password"'),
    ),
}
"""Keys that stand in the file as a comment where they have no value."""
