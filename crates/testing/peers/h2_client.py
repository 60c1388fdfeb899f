"""A client by the h2 library, which checks every frame that comes: h2_client.py ADDRESS SCENARIO.

Its server is grpc_server.py; ends with 0 if all is as it should be.
"""

import socket
import sys

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

LONG = 15


class Stream:
    def __init__(self):
        self.headers, self.body, self.trailers = {}, bytearray(), {}
        self.ended, self.reset = False, None
        self.unsent = None


class Connection:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.authority = address
        self.socket = socket.create_connection((host, int(port)), timeout=LONG)
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.streams = {}
        self.pongs = []
        self.limit_known = False
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def call(self, method, messages):
        """Begins a call; what windows do not let pass waits."""
        number = self.h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":path", "/peer.Peer/" + method),
            (":scheme", "http"),
            (":authority", self.authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ]
        self.h2.send_headers(number, headers)
        stream = self.streams[number] = Stream()
        framed = (b"\0" + len(message).to_bytes(4, "big") + message for message in messages)
        stream.unsent = memoryview(b"".join(framed))
        self.send(number)
        return stream

    def send(self, number):
        stream = self.streams[number]
        while stream.unsent is not None and stream.reset is None:
            size = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size, len(stream.unsent))
            if size == 0 and len(stream.unsent):
                break
            piece, stream.unsent = stream.unsent[:size], stream.unsent[size:]
            self.h2.send_data(number, bytes(piece), end_stream=not len(stream.unsent))
            if not len(stream.unsent):
                stream.unsent = None
        self.flush()

    def receive(self):
        data = self.socket.recv(1 << 16)
        assert data, "the connection has ended"
        for event in self.h2.receive_data(data):
            self.on_event(event)
        self.flush()

    def on_event(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ResponseReceived):
            stream.headers = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            self.open_windows(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = dict(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = event.error_code
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            for number in [number for number, stream in self.streams.items() if stream.unsent is not None]:
                self.send(number)
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs.append(event.ping_data)
        else:
            assert not isinstance(event, h2.events.ConnectionTerminated), event

    def open_windows(self, size, number):
        """Exactly as far as they have closed. What the library does by itself stalls once a window is below zero."""
        if size == 0:
            return
        self.h2.increment_flow_control_window(size)
        try:
            self.h2.increment_flow_control_window(size, number)
        except h2.exceptions.StreamClosedError:
            pass

    def finish(self, *streams):
        while not all(stream.ended or stream.reset is not None for stream in streams):
            self.receive()
        for stream in streams:
            assert stream.reset is None, stream.reset


def check(found, wanted):
    assert found == wanted, f"{found!r} instead of {wanted!r}"


def streams(connection):
    """A hundred streams at once, and pings between them."""
    for round in range(3):
        calls = [connection.call("Unary", [b"%d" % number * 100]) for number in range(100)]
        connection.h2.ping(b"%08d" % round)
        connection.flush()
        connection.finish(*calls)
        for number, call in enumerate(calls):
            check(call.headers[":status"], "200")
            check(bytes(call.body[5:]), b"%d" % number * 100)
            check(call.trailers["grpc-status"], "0")
    check(connection.pongs, [b"00000000", b"00000001", b"00000002"])


def download(connection):
    """More than any window, while windows shrink and grow."""
    initial = h2.settings.SettingCodes.INITIAL_WINDOW_SIZE
    connection.h2.update_settings({initial: 20_000})
    connection.flush()
    calls = [connection.call("Expand", [b"300 10000"]) for _ in range(3)]
    while len(calls[0].body) < 100_000:
        connection.receive()
    connection.h2.update_settings({initial: 1000})
    connection.flush()
    while len(calls[0].body) < 200_000:
        connection.receive()
    connection.h2.update_settings({initial: 1_000_000})
    connection.flush()
    connection.finish(*calls)
    for call in calls:
        check(len(call.body), 300 * 10_005)


def upload(connection):
    """More than any window, on two streams at once."""
    calls = [connection.call("Collect", [b"x" * 30_000] * 400) for _ in range(2)]
    connection.finish(*calls)
    for call in calls:
        check(bytes(call.body[5:]), b"400 messages, 12000000 bytes")


def cancel(connection):
    """A reset in the middle of a download does no harm to others."""
    cancelled = connection.call("Expand", [b"300 10000"])
    while len(cancelled.body) < 100_000:
        connection.receive()
    number = next(number for number, stream in connection.streams.items() if stream is cancelled)
    connection.h2.reset_stream(number, 8)
    connection.flush()
    other = connection.call("Unary", [b"other"])
    connection.finish(other)
    check(bytes(other.body[5:]), b"other")


def main():
    address, scenario = sys.argv[1:]
    globals()[scenario](Connection(address))


main()
