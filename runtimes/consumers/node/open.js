// A bundle's folder → a Model, in Node.

import "./quiet.js";

import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { Template } from "@huggingface/jinja";
import { Tokenizer } from "@huggingface/tokenizers";
import * as ort from "onnxruntime-node";

import { Bundle, Model } from "../javascript/model.js";

/**
 * @param {string} folder what youtu-onnx export wrote
 * @param {{threads?: number, provider?: string}} [options] provider: cpu, and cuda, dml or webgpu where onnxruntime-node has them
 */
export async function openModel(folder, { threads, provider = "cpu" } = {}) {
  const bundle = await Bundle.open((name) => readFile(join(folder, name)));
  // Errors only: a warning tells of an input that has a default.
  const options = { executionProviders: [provider], logSeverityLevel: 3, ...(threads ? { intraOpNumThreads: threads } : {}) };
  // By its path, so that the weights beside the graph are mapped by the runtime and don't pass through JavaScript.
  const session = await ort.InferenceSession.create(join(folder, "model.onnx"), options);
  return Model.create(bundle, { ort, Tokenizer, Template }, session);
}
