"""The server's side of a WebSocket (RFC 6455): text and binary messages, pings, closing; no extensions."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
from collections.abc import Mapping

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10


def accept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of the 101 answer to an upgrade request."""
    key = headers.get("sec-websocket-key", "").encode()
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
    answer = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-accept": accept}
    protocols = [p.strip() for p in headers.get("sec-websocket-protocol", "").split(",") if p.strip()]
    return answer | ({"sec-websocket-protocol": protocols[0]} if protocols else {})


class WebSocket:
    """One open WebSocket, fed by the connection that it took over."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._buffer = bytearray()
        self._partial = bytearray()
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue()

    def feed(self, data: bytes) -> None:
        """Bytes from the client."""
        self._buffer += data
        while (frame := self._take_frame()) is not None:
            is_final, kind, payload = frame
            if kind == _CLOSE:
                self._write(_CLOSE, payload[:2])
                self._messages.put_nowait(None)
                self._transport.close()
            elif kind == _PING:
                self._write(_PONG, payload)
            elif kind != _PONG:
                self._partial += payload
                if is_final:
                    self._messages.put_nowait(bytes(self._partial))
                    self._partial.clear()

    def _take_frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, position = buffer[1] & 127, 2
        if length >= 126:
            width = 2 if length == 126 else 8
            if len(buffer) < 2 + width:
                return None
            length = int.from_bytes(buffer[2 : 2 + width], "big")
            position += width
        if len(buffer) < position + 4 + length:
            return None
        mask = bytes(buffer[position : position + 4])
        start = position + 4
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(buffer[start : start + length]))
        is_final, kind = bool(buffer[0] & 128), buffer[0] & 15
        del buffer[: start + length]
        return is_final, kind, payload

    def _write(self, kind: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = struct.pack(">BB", 128 | kind, size)
        elif size < 65536:
            head = struct.pack(">BBH", 128 | kind, 126, size)
        else:
            head = struct.pack(">BBQ", 128 | kind, 127, size)
        self._transport.write(head + payload)

    async def receive(self) -> bytes | None:
        """The next message, or None when the client has closed."""
        return await self._messages.get()

    def send(self, payload: bytes, *, is_binary: bool = False) -> None:
        self._write(_BINARY if is_binary else _TEXT, payload)

    def close(self, code: int = 1000) -> None:
        self._write(_CLOSE, struct.pack(">H", code))
        self._transport.close()
