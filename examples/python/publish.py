"""Publishes events from files, and shows what became of them.

    HOOKLINE_TOKEN=… python publish.py --server 127.0.0.1:50051 --account 42 event.json more.jsonl

A .json file holds one event envelope, a .jsonl file one a line. The token is of role `service`. Needs the packages of
requirements.txt and the generated code:

    python -m grpc_tools.protoc -I proto --python_out=OUT --grpc_python_out=OUT proto/hookline/v1/*.proto

with OUT on PYTHONPATH.
"""

import argparse
import collections
import os
import pathlib
import random
import sys
import time

import grpc
from hookline.v1 import event_pb2, event_pb2_grpc, execution_pb2, execution_pb2_grpc

EVENTS_A_FRAME = 16
RECONNECTS_MAX = 10
FINAL = {"SUCCEEDED", "FAILED", "STOPPED", "CANCELLED"}


class Publisher:
    """Publishes over a stream. What is not acknowledged is sent again over the next one, which is harmless: the
    service recognises events that it has stored."""

    def __init__(self, channel, metadata, account):
        self.stub = event_pb2_grpc.EventServiceStub(channel)
        self.metadata = metadata
        self.parent = f"accounts/{account}"
        self.reconnects = 0

    def publish(self, envelopes):
        """Returns the results of the events that were not plainly accepted."""
        pending = collections.deque(
            envelopes[at : at + EVENTS_A_FRAME] for at in range(0, len(envelopes), EVENTS_A_FRAME)
        )
        results = []
        failures = 0
        while pending:
            acked = 0
            try:
                for answer in self.stub.Publish(self.frames(list(pending)), metadata=self.metadata):
                    # An announced shutdown acknowledges nothing: 0.
                    for _ in range(acked, answer.acked_sequence):
                        pending.popleft()
                    acked = max(acked, answer.acked_sequence)
                    results.extend(answer.results)
                    failures = 0
            except grpc.RpcError as error:
                failures += 1
                if error.code() != grpc.StatusCode.UNAVAILABLE or failures > RECONNECTS_MAX:
                    raise
                self.reconnects += 1
                time.sleep(random.uniform(0.5, 1) * min(0.1 * 2**failures, 5))
        return results

    def frames(self, frames):
        for sequence, envelopes in enumerate(frames, start=1):
            events = [event_pb2.EventInput(envelope=envelope) for envelope in envelopes]
            yield event_pb2.PublishRequest(sequence=sequence, parent=self.parent, events=events)


def read(path):
    data = pathlib.Path(path).read_bytes()
    return [line for line in data.splitlines() if line.strip()] if path.endswith(".jsonl") else [data]


def history(channel, metadata, account):
    """Every execution of the account, once each has ended."""
    stub = execution_pb2_grpc.ExecutionServiceStub(channel)
    while True:
        found, token = [], ""
        while True:
            request = execution_pb2.ListExecutionsRequest(
                parent=f"accounts/{account}", page_size=1000, page_token=token
            )
            page = stub.ListExecutions(request, metadata=metadata)
            found.extend(page.executions)
            token = page.next_page_token
            if not token:
                break
        if all(state(execution) in FINAL for execution in found):
            return [
                stub.GetExecution(execution_pb2.GetExecutionRequest(name=one.name), metadata=metadata).execution
                for one in found
            ]
        time.sleep(0.2)


def state(execution):
    return execution_pb2.ExecutionState.Name(execution.state).removeprefix("EXECUTION_STATE_")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="127.0.0.1:50051")
    parser.add_argument("--account", required=True)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    metadata = [("authorization", f"Bearer {os.environ['HOOKLINE_TOKEN']}")]
    envelopes = [envelope for path in arguments.files for envelope in read(path)]
    with grpc.insecure_channel(arguments.server) as channel:
        publisher = Publisher(channel, metadata, arguments.account)
        results = publisher.publish(envelopes)
        rejected = [result for result in results if result.status == event_pb2.EVENT_STATUS_REJECTED]
        for result in rejected:
            print(f"rejected: {result.field}: {result.reason}: {result.message}", file=sys.stderr)
        for execution in history(channel, metadata, arguments.account):
            attempts = [attempt for request in execution.requests for attempt in request.attempts]
            status = attempts[-1].http_status if attempts else 0
            print(f"{state(execution)} {execution.event_id} {status} {execution.source_display_name}")
    print(f"published {len(envelopes)} events, {len(rejected)} rejected, {publisher.reconnects} reconnects")
    return 1 if rejected else 0


if __name__ == "__main__":
    sys.exit(main())
