// A bundle's files → a Model, in a browser.

import { unpacked } from "./javascript/bundle.js";
import { Bundle, BundleError, Model } from "./javascript/model.js";
import { Template } from "./libraries/jinja.js";
import { Tokenizer } from "./libraries/tokenizers.min.mjs";

const LIBRARIES = new URL("./libraries/", import.meta.url).href;
/** onnxruntime-web's smallest build for each provider: its module, and its WebAssembly. */
const BUILDS = {
  wasm: ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.wasm.gz"],
  webgpu: ["ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm.gz"],
};

/** The graph of `--layout browser`: weights that are unpacked once. */
const UNPACKING = "browser/model.onnx";

/**
 * @param {(name: string, size?: number) => Promise<Uint8Array>} read
 * @param {"wasm"|"webgpu"|null} wanted where to run; null takes what the bundle was exported for
 * @returns {Promise<{model: Model, provider: string, threads: number}>}
 */
export async function openModel(read, wanted = null) {
  const bundle = await Bundle.open(read);
  const provider = wanted ?? providerFor(bundle);
  if (!BUILDS[provider]) throw new BundleError(`unknown provider ${provider}; choose one of: ${Object.keys(BUILDS).join(", ")}`);
  if (provider === "webgpu") await requireAdapter(bundle.manifest);
  const [module, binary] = BUILDS[provider];
  const unpacks = provider === "wasm" && bundle.has(UNPACKING);
  const [ort, wasm, graph, data] = await Promise.all([
    import(LIBRARIES + module), library(binary), bundle.bytes(unpacks ? UNPACKING : "model.onnx"), bundle.bytes("model.onnx.data"),
  ]);
  ort.env.wasm.wasmPaths = LIBRARIES; // of the module that goes with the binary
  ort.env.wasm.wasmBinary = wasm;
  ort.env.logLevel = "error"; // a warning tells of an input that has a default
  const session = await ort.InferenceSession.create(graph, {
    executionProviders: [provider], logSeverityLevel: 3,
    externalData: [{ path: "model.onnx.data", data }],
    ...(unpacks ? { extra: { session: { disable_quant_qdq: "1" } } } : {}), // makes floats of weights now, and not at each step
    ...(provider === "webgpu" ? { preferredOutputLocation: locations(bundle.manifest) } : {}),
  });
  const model = await Model.create(bundle, { ort, Tokenizer, Template }, session);
  return { model, provider, threads: ort.env.wasm.numThreads ?? 1 };
}

async function library(name) {
  const response = await fetch(LIBRARIES + name);
  if (!response.ok) throw new Error(`${name}: the server says ${response.status}`);
  return unpacked(new Uint8Array(await response.arrayBuffer()));
}

function providerFor(bundle) {
  if (bundle.provider === "cpu") return "wasm";
  if (bundle.provider === "webgpu") return "webgpu";
  throw new BundleError(`this bundle was exported for ${bundle.provider}: export it with --target cpu or webgpu`);
}

/** An adapter that can compute what the bundle needs: without shader-f16, float16 graphs give zeros and no error. */
async function requireAdapter(manifest) {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) throw new BundleError("this bundle is for WebGPU, which this browser doesn't offer: export it with --target cpu");
  if (manifest.recipe.precision !== "fp32" && !adapter.features.has("shader-f16")) {
    throw new BundleError("this GPU has no 16-bit floats (shader-f16), which the bundle needs: export it with --target cpu");
  }
}

/** The cache stays on the GPU between steps. */
function locations(manifest) {
  return { logits: "cpu", ...Object.fromEntries(manifest.cache.tensors.map(({ present }) => [present, "gpu-buffer"])) };
}
