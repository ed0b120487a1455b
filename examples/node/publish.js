// Publishes events from files, and shows what became of them.
//
//     HOOKLINE_TOKEN=… node publish.js 127.0.0.1:50051 42 event.json more.jsonl
//
// A .json file holds one event envelope, a .jsonl file one a line. The token is of role `service`. Run `npm ci` first;
// the calls are made from the .proto files, which are looked for in ../../proto or in HOOKLINE_PROTO.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const EVENTS_A_FRAME = 16;
const RECONNECTS_MAX = 10;
const FINAL = ["SUCCEEDED", "FAILED", "STOPPED", "CANCELLED"].map((state) => `EXECUTION_STATE_${state}`);

const proto = process.env.HOOKLINE_PROTO ?? fileURLToPath(new URL("../../proto", import.meta.url));
const files = ["event", "execution"].map((name) => `hookline/v1/${name}.proto`);
const options = { includeDirs: [proto], longs: Number, enums: String, defaults: true };
const { EventService, ExecutionService } = grpc.loadPackageDefinition(loader.loadSync(files, options)).hookline.v1;

/**
 * Publishes frames over a stream. What is not acknowledged is sent again over the next one, which is harmless: the
 * service recognises events that it has stored.
 */
async function publish(client, metadata, parent, envelopes) {
  const pending = [];
  for (let at = 0; at < envelopes.length; at += EVENTS_A_FRAME) {
    pending.push(envelopes.slice(at, at + EVENTS_A_FRAME).map((envelope) => ({ envelope })));
  }
  const results = [];
  let [reconnects, failures] = [0, 0];
  while (pending.length > 0) {
    const frames = [...pending];
    let acked = 0;
    try {
      await new Promise((resolve, reject) => {
        const stream = client.Publish(metadata);
        stream.on("data", (answer) => {
          // An announced shutdown acknowledges nothing: 0.
          const upTo = Math.max(acked, answer.ackedSequence);
          pending.splice(0, upTo - acked);
          acked = upTo;
          results.push(...answer.results);
          failures = 0;
        });
        stream.on("error", reject);
        stream.on("end", resolve);
        send(stream, parent, frames).catch(reject);
      });
    } catch (error) {
      failures += 1;
      if (error.code !== grpc.status.UNAVAILABLE || failures > RECONNECTS_MAX) throw error;
      reconnects += 1;
      await sleep((0.5 + Math.random() / 2) * Math.min(100 * 2 ** failures, 5000));
    }
  }
  return { results, reconnects };
}

async function send(stream, parent, frames) {
  for (const [at, events] of frames.entries()) {
    if (stream.destroyed) return;
    if (!stream.write({ sequence: at + 1, parent, events })) {
      await new Promise((resolve) => stream.once("drain", resolve).once("close", resolve));
    }
  }
  stream.end();
}

function call(client, method, request, metadata) {
  return new Promise((resolve, reject) => {
    client[method](request, metadata, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

/** Every execution of the account, once each has ended. */
async function history(client, metadata, parent) {
  for (;;) {
    const found = [];
    let pageToken = "";
    do {
      const page = await call(client, "ListExecutions", { parent, pageSize: 1000, pageToken }, metadata);
      found.push(...page.executions);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    if (found.every((execution) => FINAL.includes(execution.state))) {
      const get = async ({ name }) => (await call(client, "GetExecution", { name }, metadata)).execution;
      return Promise.all(found.map(get));
    }
    await sleep(200);
  }
}

const [server, account, ...paths] = process.argv.slice(2);
if (paths.length === 0 || !process.env.HOOKLINE_TOKEN) {
  console.error("usage: HOOKLINE_TOKEN=… node publish.js SERVER ACCOUNT FILE…");
  process.exit(2);
}
const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${process.env.HOOKLINE_TOKEN}`);
const read = (path) => {
  const text = readFileSync(path, "utf8");
  const envelopes = path.endsWith(".jsonl") ? text.split("\n").filter((line) => line.trim() !== "") : [text];
  return envelopes.map((envelope) => Buffer.from(envelope));
};
const envelopes = paths.flatMap(read);
const parent = `accounts/${account}`;
const insecure = grpc.credentials.createInsecure();
const events = new EventService(server, insecure);
const { results, reconnects } = await publish(events, metadata, parent, envelopes);
const rejected = results.filter((result) => result.status === "EVENT_STATUS_REJECTED");
for (const { field, reason, message } of rejected) console.error(`rejected: ${field}: ${reason}: ${message}`);
const executions = new ExecutionService(server, insecure);
for (const execution of await history(executions, metadata, parent)) {
  const attempts = execution.requests.flatMap((request) => request.attempts);
  const status = attempts.at(-1)?.httpStatus ?? 0;
  console.log(`${execution.state.replace("EXECUTION_STATE_", "")} ${execution.eventId} ${status} ${execution.sourceDisplayName}`);
}
console.log(`published ${envelopes.length} events, ${rejected.length} rejected, ${reconnects} reconnects`);
events.close();
executions.close();
process.exitCode = rejected.length > 0 ? 1 : 0;
