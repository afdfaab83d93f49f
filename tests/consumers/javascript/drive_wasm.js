// onnxruntime-web's WebAssembly provider in Node: which graphs of one node open, and what whole ones compute. A job comes as JSON
// on stdin, what was found goes as JSON to stdout.
//
// job: {offers: [base64 of a graph], bundles: [{folder, graph, cache, steps: [[token id]]}]}; graph: model.onnx, if left out
// found: {version, opened: [boolean], logits: [for each bundle, for each step, base64 of what the session returned]}

import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";

import * as ort from "onnxruntime-web";

let input = "";
for await (const chunk of process.stdin) input += chunk;
const job = JSON.parse(input);
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "fatal";

const EMPTY = { float32: Float32Array, float16: Uint16Array, uint8: Uint8Array };

const opened = [];
for (const model of job.offers) {
  try {
    const options = { executionProviders: ["wasm"], graphOptimizationLevel: "disabled", logSeverityLevel: 4 };
    const session = await ort.InferenceSession.create(Buffer.from(model, "base64"), options);
    await session.release();
    opened.push(true);
  } catch {
    opened.push(false);
  }
}

async function compute({ folder, graph: file = "model.onnx", cache, steps }) {
  const [graph, data] = await Promise.all([file, "model.onnx.data"].map((name) => readFile(`${folder}/${name}`)));
  const session = await ort.InferenceSession.create(graph, {
    executionProviders: ["wasm"], logSeverityLevel: 4, externalData: [{ path: "model.onnx.data", data }],
    ...(file === "model.onnx" ? {} : { extra: { session: { disable_quant_qdq: "1" } } }),
  });
  const wide = (numbers) => new ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), [1, numbers.length]);
  let past = cache.tensors.map(({ heads, width }) => new ort.Tensor(cache.dtype, new EMPTY[cache.dtype](0), [1, heads, 0, width]));
  let before = 0;
  const logits = [];
  for (const ids of steps) {
    const places = Array.from({ length: before + ids.length }, (_, place) => place);
    const feeds = { input_ids: wide(ids), attention_mask: wide(places.map(() => 1)), position_ids: wide(places.slice(before)) };
    cache.tensors.forEach((tensor, index) => (feeds[tensor.past] = past[index]));
    const made = await session.run(feeds);
    past = cache.tensors.map(({ present }) => made[present]);
    before += ids.length;
    const { buffer, byteOffset, byteLength } = made.logits.data;
    logits.push(Buffer.from(buffer, byteOffset, byteLength).toString("base64"));
  }
  await session.release();
  return logits;
}

const logits = [];
for (const bundle of job.bundles) logits.push(await compute(bundle));
console.log(JSON.stringify({ version: ort.env.versions.web, opened, logits }));
