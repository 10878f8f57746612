"""librdkafka without confluent_kafka: it can send what Python's text cannot hold."""

import ctypes
from functools import cache
from pathlib import Path

import confluent_kafka

TOPIC, PARTITION, VALUE, KEY, FLAGS, HEADERS, END = 1, 3, 4, 5, 7, 10, 0
PRODUCER, COPY = 0, 2


@cache
def _library() -> ctypes.CDLL:
    packages = Path(confluent_kafka.__file__).parents[1]
    folders = [packages / "confluent_kafka.libs", packages / "confluent_kafka" / ".dylibs"]
    (path,) = [path for folder in folders for path in folder.glob("librdkafka*")]
    library = ctypes.CDLL(str(path))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_headers_new"):
        getattr(library, name).restype = ctypes.c_void_p
    return library


def produce(address: str, topic: str, headers: list[tuple[bytes, bytes]], times: int) -> None:
    """Write records with these headers, whatever their bytes, to partition 0."""
    library, message = _library(), ctypes.create_string_buffer(512)
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    conf = pointer(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(conf, b"bootstrap.servers", address.encode(), message, size(512))
    client = pointer(library.rd_kafka_new(PRODUCER, conf, message, size(512)))
    for _ in range(times):
        given = pointer(library.rd_kafka_headers_new(size(len(headers))))
        for name, value in headers:
            library.rd_kafka_header_add(given, name, size(len(name)), value, size(len(value)))
        library.rd_kafka_producev(
            client, TOPIC, topic.encode(), PARTITION, ctypes.c_int32(0), KEY, b"task-1", size(6),
            VALUE, b"body", size(4), FLAGS, COPY, HEADERS, given, END,
        )  # fmt: skip
    assert library.rd_kafka_flush(client, 30_000) == 0
    library.rd_kafka_destroy(client)
