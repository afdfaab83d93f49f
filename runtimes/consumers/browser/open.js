// A bundle's files → a Model, in a browser.

import { Bundle, BundleError, Model } from "./javascript/model.js";
import { Template } from "./libraries/jinja.js";
import { Tokenizer } from "./libraries/tokenizers.min.mjs";

const LIBRARIES = new URL("./libraries/", import.meta.url).href;
const MODULES = { wasm: "ort.wasm.min.mjs", webgpu: "ort.webgpu.min.mjs" };

/**
 * @param {(name: string, size?: number) => Promise<Uint8Array>} read
 * @param {"wasm"|"webgpu"|null} wanted where to run; null takes what the bundle was exported for
 * @returns {Promise<{model: Model, provider: string, threads: number}>}
 */
export async function openModel(read, wanted = null) {
  const bundle = await Bundle.open(read);
  const provider = wanted ?? providerFor(bundle);
  if (!MODULES[provider]) throw new BundleError(`unknown provider ${provider}; choose one of: ${Object.keys(MODULES).join(", ")}`);
  if (provider === "webgpu") await requireAdapter(bundle.manifest);
  const ort = await import(LIBRARIES + MODULES[provider]);
  ort.env.wasm.wasmPaths = LIBRARIES;
  ort.env.logLevel = "error"; // a warning tells of an input that has a default
  const graph = await bundle.bytes("model.onnx");
  const data = await bundle.bytes("model.onnx.data");
  const session = await ort.InferenceSession.create(graph, {
    executionProviders: [provider], logSeverityLevel: 3,
    externalData: [{ path: "model.onnx.data", data }],
    ...(provider === "webgpu" ? { preferredOutputLocation: locations(bundle.manifest) } : {}),
  });
  const model = await Model.create(bundle, { ort, Tokenizer, Template }, session);
  return { model, provider, threads: ort.env.wasm.numThreads ?? 1 };
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
