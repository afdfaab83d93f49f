// node assemble.js OUT [--bundle DIR]: the folder to serve, with the page, the libraries and, if wanted, a bundle.

import { cpSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const HERE = dirname(fileURLToPath(import.meta.url));
const PAGE = ["index.html", "style.css", "page.js", "conversation.js", "words.js", "client.js", "worker.js", "open.js", "files.js"];
const LIBRARIES = {
  "onnxruntime-web/dist": [
    "ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm",
  ],
  "@huggingface/tokenizers/dist": ["tokenizers.min.mjs"],
  "@huggingface/jinja/dist": ["index.js"],
};
const NAMES = { "@huggingface/jinja/dist/index.js": "jinja.js" }; // what says more than index.js

/** node_modules of this folder, or of one above it. */
function packages() {
  for (let folder = HERE; ; folder = dirname(folder)) {
    const found = join(folder, "node_modules");
    if (existsSync(join(found, "onnxruntime-web"))) return found;
    if (folder === dirname(folder)) throw new Error("onnxruntime-web is not installed: run npm install --ignore-scripts first");
  }
}

function assemble(out, bundle) {
  mkdirSync(join(out, "libraries"), { recursive: true });
  for (const name of PAGE) cpSync(join(HERE, name), join(out, name));
  cpSync(join(HERE, "..", "javascript"), join(out, "javascript"), { recursive: true });
  const from = packages();
  for (const [folder, names] of Object.entries(LIBRARIES)) {
    for (const name of names) cpSync(join(from, folder, name), join(out, "libraries", NAMES[`${folder}/${name}`] ?? name));
  }
  if (bundle === undefined) return;
  const { files } = JSON.parse(readFileSync(join(bundle, "youtu_onnx.json"), "utf8"));
  mkdirSync(join(out, "bundle"), { recursive: true });
  for (const name of ["youtu_onnx.json", ...Object.keys(files)]) {
    if (!name.includes("/")) cpSync(join(bundle, name), join(out, "bundle", name));
  }
}

try {
  const { values, positionals } = parseArgs({ options: { bundle: { type: "string" } }, allowPositionals: true });
  if (positionals.length !== 1) throw new TypeError("usage: node assemble.js OUT [--bundle DIR]");
  assemble(positionals[0], values.bundle);
  console.log(`${positionals[0]}: serve it with any static file server, for example`);
  console.log(`python3 -m http.server --bind 127.0.0.1 --directory ${positionals[0]} 8000`);
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}
