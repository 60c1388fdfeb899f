"""A gRPC client by grpcio: grpc_client.py ADDRESS SCENARIO. Ends with 0 if all is as it should be."""

import sys
import threading

import grpc

OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
]
LONG = 15


class Stub:
    """Calls by name, with bytes as messages."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address, options=OPTIONS)

    def unary(self, method):
        return self.channel.unary_unary("/peer.Peer/" + method)

    def collect(self, method):
        return self.channel.stream_unary("/peer.Peer/" + method)

    def expand(self, method):
        return self.channel.unary_stream("/peer.Peer/" + method)

    def chat(self, method):
        return self.channel.stream_stream("/peer.Peer/" + method)


def error_of(action):
    try:
        result = action()
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"no error, but {result!r}")


def check(found, wanted):
    assert found == wanted, f"{found!r} instead of {wanted!r}"


def unary(stub):
    for number in range(20):
        check(stub.unary("Unary")(b"m%d" % number, timeout=LONG), b"m%d" % number)
    check(stub.unary("Unary")(b"", timeout=LONG), b"")


def metadata(stub):
    sent = (("x-given", "g"), ("x-given-bin", b"\x01\x02"))
    answer, call = stub.unary("Unary").with_call(b"m", timeout=LONG, metadata=sent)
    check(answer, b"m")
    initial, final = call.initial_metadata(), call.trailing_metadata()
    assert ("x-initial", "g") in initial, initial
    assert ("x-bytes-bin", b"\x00\xff") in initial, initial
    check([value for key, value in final if key == "x-final"], ["f", "g"])


def client_streaming(stub):
    messages = (b"x" * 1000 for _ in range(1000))
    check(stub.collect("Collect")(messages, timeout=LONG), b"1000 messages, 1000000 bytes")
    check(stub.collect("Collect")(iter(()), timeout=LONG), b"0 messages, 0 bytes")


def server_streaming(stub):
    answers = list(stub.expand("Expand")(b"500 3000", timeout=LONG))
    check(len(answers), 500)
    check(answers[7], b"\x07" * 3000)
    check(list(stub.expand("Expand")(b"0 1", timeout=LONG)), [])


def bidirectional(stub):
    """Each message waits for the answer to the one before: nothing may be held back."""
    next_one = threading.Semaphore(1)

    def messages():
        for number in range(200):
            assert next_one.acquire(timeout=LONG)
            yield b"%d" % number * (1 + number * 10)

    seen = 0
    for answer in stub.chat("Chat")(messages(), timeout=LONG):
        check(answer, b"%d" % seen * (1 + seen * 10))
        seen += 1
        next_one.release()
    check(seen, 200)


def large_messages(stub):
    message = bytes(range(256)) * 4096 * 24
    check(len(stub.unary("Unary")(message, timeout=LONG)), len(message))
    answers = list(stub.chat("Chat")(iter([message, b"", message]), timeout=LONG))
    check([len(answer) for answer in answers], [len(message), 0, len(message)])


def many_at_once(stub):
    calls = [stub.unary("Unary").future(b"%d" % number * 5000, timeout=LONG) for number in range(300)]
    streams = [stub.chat("Chat")(iter([b"a", b"b"]), timeout=LONG) for _ in range(20)]
    for number, call in enumerate(calls):
        check(call.result(), b"%d" % number * 5000)
    for stream in streams:
        check(list(stream), [b"a", b"b"])


def failures(stub):
    error = error_of(lambda: stub.unary("Fail")(b"", timeout=LONG))
    check(error.code(), grpc.StatusCode.ALREADY_EXISTS)
    check(error.details(), "there is one: 100% é\n")
    assert ("x-final", "f") in error.trailing_metadata()
    error = error_of(lambda: stub.unary("Nothing")(b"", timeout=LONG))
    check(error.code(), grpc.StatusCode.UNIMPLEMENTED)
    answers = stub.expand("FailLate")(b"", timeout=LONG)
    check(next(answers), b"first")
    error = error_of(lambda: next(answers))
    check((error.code(), error.details()), (grpc.StatusCode.DATA_LOSS, "late"))


def deadline_of_the_client(stub):
    error = error_of(lambda: stub.unary("Hang")(b"", timeout=1))
    check(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    check(stub.unary("WaitCancelled")(b"", timeout=LONG), b"cancelled")


def deadline_of_the_route(stub):
    """The route allows 1.5 s, and tells the server so."""
    error = error_of(lambda: stub.unary("Hang")(b"", timeout=LONG))
    # The proxy's answer, or the server's: both count the same time.
    if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
        check(error.code(), grpc.StatusCode.UNAVAILABLE)
        check(error.details(), "upstream request timeout")
    check(stub.unary("WaitCancelled")(b""), b"cancelled")
    left = int(stub.unary("Remaining")(b"", timeout=LONG))
    # gRPC rounds up what is left.
    assert 0 < left <= 1600, left
    left = int(stub.unary("Remaining")(b"", timeout=1))
    assert 0 < left <= 1100, left


def deadline_of_the_stream(stub):
    """`max_stream_duration` with a limit of 1.5 s for what clients ask."""
    answers = stub.chat("HangStreaming")(iter([b"m"]), timeout=LONG)
    check(next(answers), b"begun")
    error_of(lambda: next(answers))
    check(stub.unary("WaitCancelled")(b""), b"cancelled")


def cancellation(stub):
    call = stub.unary("Hang").future(b"")
    answers = stub.chat("HangStreaming")(iter([b"m"]))
    check(next(answers), b"begun")
    # A call that is cancelled before it is sent never reaches the server.
    check(stub.unary("WaitHanging")(b"", timeout=LONG), b"hanging")
    call.cancel()
    answers.cancel()
    for _ in range(2):
        check(stub.unary("WaitCancelled")(b"", timeout=LONG), b"cancelled")


def unavailable(stub):
    """What the proxy itself answers is a gRPC status."""
    error = error_of(lambda: stub.unary("Unary")(b"", timeout=LONG))
    check(error.code(), grpc.StatusCode.UNAVAILABLE)
    assert "connection failure" in error.details(), error.details()
    error = error_of(lambda: list(stub.chat("Chat")(iter([b"x"]), timeout=LONG)))
    check(error.code(), grpc.StatusCode.UNAVAILABLE)


def no_route(stub):
    error = error_of(lambda: stub.unary("Unary")(b"", timeout=LONG))
    check(error.code(), grpc.StatusCode.UNIMPLEMENTED)


def direct(stub):
    error = error_of(lambda: stub.unary("Unary")(b"", timeout=LONG))
    check((error.code(), error.details()), (grpc.StatusCode.PERMISSION_DENIED, "not for you: ü"))


def main():
    address, scenario = sys.argv[1:]
    globals()[scenario](Stub(address))


main()
