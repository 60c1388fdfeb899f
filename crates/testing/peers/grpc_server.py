"""A gRPC server by grpcio. Prints its port, serves until its input ends.

Messages are plain bytes; /peer.Peer/<method> names what a call does.
"""

import sys
import threading
from concurrent import futures

import grpc

cancelled = threading.Semaphore(0)
hanging = threading.Semaphore(0)
seen_cancelled = 0


def metadata_of(context):
    return {key: value for key, value in context.invocation_metadata()}


def unary(request, context):
    given = metadata_of(context)
    context.send_initial_metadata((("x-initial", given.get("x-given", "-")), ("x-bytes-bin", b"\x00\xff")))
    context.set_trailing_metadata((("x-final", "f"), ("x-final", "g")))
    return request


def collect(requests, context):
    count, size = 0, 0
    for request in requests:
        count, size = count + 1, size + len(request)
    return b"%d messages, %d bytes" % (count, size)


def expand(request, context):
    count, size = map(int, request.split())
    for number in range(count):
        yield bytes([number % 256]) * size


def chat(requests, context):
    for request in requests:
        yield request


def fail(request, context):
    context.set_trailing_metadata((("x-final", "f"),))
    context.abort(grpc.StatusCode.ALREADY_EXISTS, "there is one: 100% é\n")


def fail_late(request, context):
    yield b"first"
    context.abort(grpc.StatusCode.DATA_LOSS, "late")


def hang(request, context):
    """Answers nothing before it is cancelled."""
    over = threading.Event()
    if not context.add_callback(over.set):
        over.set()
    hanging.release()
    over.wait(20)
    cancelled.release()
    return b""


def hang_streaming(requests, context):
    over = threading.Event()
    if not context.add_callback(over.set):
        over.set()
    yield b"begun"
    over.wait(20)
    cancelled.release()


def wait_hanging(request, context):
    """Answers when a call hangs."""
    return b"hanging" if hanging.acquire(timeout=15) else b"not hanging"


def wait_cancelled(request, context):
    """Answers when a call that hangs has been cancelled."""
    return b"cancelled" if cancelled.acquire(timeout=15) else b"not cancelled"


def remaining(request, context):
    """How many milliseconds the call has left, as the server knows."""
    left = context.time_remaining()
    return b"none" if left is None else b"%d" % (left * 1000)


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Collect": grpc.stream_unary_rpc_method_handler(collect),
    "Expand": grpc.unary_stream_rpc_method_handler(expand),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    "Hang": grpc.unary_unary_rpc_method_handler(hang),
    "HangStreaming": grpc.stream_stream_rpc_method_handler(hang_streaming),
    "WaitHanging": grpc.unary_unary_rpc_method_handler(wait_hanging),
    "WaitCancelled": grpc.unary_unary_rpc_method_handler(wait_cancelled),
    "Remaining": grpc.unary_unary_rpc_method_handler(remaining),
}


def main():
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32), options=options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("peer.Peer", METHODS),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(0)


main()
