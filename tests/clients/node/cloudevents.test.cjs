// CloudEvents as the JavaScript SDK of the CloudEvents project makes them. It runs beside a `devtrail up` of
// its own (../python/harness.py); NODE_PATH says where the SDK is installed.
"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const { randomUUID } = require("node:crypto");
const path = require("node:path");
const { test } = require("node:test");
const { setTimeout: pause } = require("node:timers/promises");
const { CloudEvent, HTTP, Mode, emitterFor, httpTransport } = require("cloudevents");

const { DEVTRAIL_URL: url, DEVTRAIL_KEY: key, DEVTRAIL_DATA: data, DEVTRAIL_BIN: bin } = process.env;
const harness = path.join(__dirname, "..", "python", "harness.py");
const patience = 60_000;

function event(type = "file.saved", eventData = { path: "src/main.rs", project: "demo" }, more = {}) {
  const known = { id: `javascript-${randomUUID()}`, source: "/editors/javascript", time: "2026-03-01T09:14:58.001Z" };
  return new CloudEvent({ ...known, type, data: eventData, team: "blue, 100%", ...more });
}

// The SDK reads batches and writes none; the specification makes one of structured events.
function batch(...events) {
  const body = `[${events.map((one) => HTTP.structured(one).body).join(",")}]`;
  return { headers: { "content-type": "application/cloudevents-batch+json; charset=utf-8" }, body };
}

const modes = { structured: HTTP.structured, binary: HTTP.binary, batch };

async function post(message, more = {}) {
  const headers = { ...message.headers, authorization: `Bearer ${key}`, ...more };
  const reply = await fetch(`${url}/v1/events`, { method: "POST", headers, body: message.body });
  return { status: reply.status, body: await reply.json() };
}

async function send(message, more) {
  const { status, body } = await post(message, more);
  assert.ok(status === 200 || status === 202, JSON.stringify(body));
  return body;
}

async function until(what, condition) {
  for (const began = Date.now(); Date.now() - began < patience; await pause(50)) {
    const value = await condition();
    if (value) return value;
  }
  throw new Error(`waited ${patience} ms in vain until ${what}`);
}

function completed(id) {
  return until(`batch ${id} is completed`, async () => {
    const reply = await fetch(`${url}/v1/batches/${id}`, { headers: { authorization: `Bearer ${key}` } });
    const asked = await reply.json();
    // Not stored yet, or no worker answers yet: ask again.
    assert.ok(reply.status === 200 || asked.retryable, JSON.stringify(asked));
    return asked.state === "completed" && asked;
  });
}

// The one stored event of that id.
function stored(id) {
  const read = () => JSON.parse(execFileSync(process.env.DEVTRAIL_PYTHON, [harness, "stored", id], { encoding: "utf8" }));
  return until(`${id} is stored`, read);
}

function devtrail(...command) {
  const output = execFileSync(path.join(bin, "devtrail"), [...command, "--json", "--data", data], { encoding: "utf8" });
  return JSON.parse(output);
}

// The mapping of docs/contract.md: two names change, nothing else. In binary mode the content type is the
// attribute `datacontenttype`.
function asStored(sent, mode) {
  const { time, schemaversion, ...kept } = JSON.parse(HTTP.structured(sent).body);
  const mapped = { ...kept, occurred_at: time };
  if (schemaversion !== undefined) mapped.schema_version = schemaversion;
  if (mode === "binary") mapped.datacontenttype = HTTP.binary(sent).headers["content-type"];
  return mapped;
}

for (const [mode, message] of Object.entries(modes)) {
  test(`what was sent is stored (${mode})`, async () => {
    const sent = event("test.finished", { outcome: "passed", passed: 12, flaky: 1 }, { schemaversion: "1.1" });
    const reply = await send(message(sent));
    assert.deepEqual(reply.counts, { received: 1, accepted: 1, duplicate: 0, rejected: 0, quarantined: 0 });
    assert.deepEqual((await completed(reply.batch_id)).counts, reply.counts);
    assert.deepEqual(await stored(sent.id), asStored(sent, mode));
    const steps = devtrail("trace", sent.id)[0].steps.map((one) => one.step);
    assert.ok(steps.includes("persisted") && steps.includes("completed"), steps.join());
  });

  test(`the same again is the same batch (${mode})`, async () => {
    const sent = message(event());
    const first = await send(sent);
    const second = await send(sent);
    assert.equal(first.duplicate_batch, false);
    assert.deepEqual(second, { ...first, duplicate_batch: true, correlation_id: second.correlation_id });
    assert.equal((await completed(first.batch_id)).submissions.length, 1);
  });
}

test("a bad event does not hold up its neighbours", async () => {
  const [first, last] = [event(), event("git.push", { branch: "main" })];
  const bad = event("file.edited", { path: "src/main.rs", lines_added: -1 });
  const reply = await send(batch(first, bad, last), { "devtrail-batch-id": "javascript-mixed" });
  assert.deepEqual(reply.counts, { received: 3, accepted: 2, duplicate: 0, rejected: 1, quarantined: 0 });
  const [{ index, id, code, pointer }] = reply.exceptions;
  assert.deepEqual([index, id, code, pointer], [1, bad.id, "schema_invalid", "/data/lines_added"]);
  assert.deepEqual((await completed("javascript-mixed")).counts, reply.counts);
  assert.deepEqual(await stored(first.id), asStored(first));
  assert.deepEqual(await stored(last.id), asStored(last));
});

for (const mode of [Mode.BINARY, Mode.STRUCTURED]) {
  test(`the emitter of the SDK is understood (${mode})`, async () => {
    const emit = emitterFor(httpTransport(`${url}/v1/events`), { mode });
    const sent = event();
    // Its transport sends chunks of no announced length, and shows no status.
    const { body } = await emit(sent, { headers: { authorization: `Bearer ${key}`, prefer: "wait=30" } });
    const reply = JSON.parse(body);
    assert.equal(reply.durability, "stored", body);
    assert.equal(reply.counts.accepted, 1);
    assert.deepEqual(await stored(sent.id), asStored(sent, mode));
  });
}

test("an attribute that the SDK leaves unencoded is refused by its name", async () => {
  // In binary mode it should be percent-encoded UTF-8 (HTTP binding, 3.1.3.2); the SDK sends Latin-1.
  const sent = event("file.saved", { path: "src/main.rs" }, { team: "gr\u00f6\u00dfe" });
  const [{ id, code, pointer }] = (await send(HTTP.binary(sent))).exceptions;
  assert.deepEqual([id, code, pointer], [sent.id, "schema_invalid", "/team"]);
  assert.equal((await send(HTTP.structured(sent))).counts.accepted, 1);
});

test("a wrong key is told so", async () => {
  const { status, body } = await post(HTTP.structured(event()), { authorization: `Bearer ${randomUUID()}` });
  assert.deepEqual([status, body.code, body.retryable], [401, "unauthenticated", false]);
});

test("nothing is lost or there twice", async () => {
  const reply = await send(batch(event("test.finished", { outcome: "failed", failed: 2 }), event()));
  await completed(reply.batch_id);
  const before = devtrail("verify");
  assert.deepEqual(before.findings, []);
  const day = devtrail("metrics", "show", "me").find((one) => one.day === "2026-03-01");
  assert.equal(day.test_runs.failed, 1);
  assert.equal(day.events, before.stored);
});
