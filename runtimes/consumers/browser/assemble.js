// node assemble.js OUT [--bundle DIR]: the folder to serve, with the page, the libraries and, if wanted, a bundle.
//
// What shrinks by it is there compressed, and the page unpacks it: then it is as small on any server, whatever that compresses.

import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";

const HERE = dirname(fileURLToPath(import.meta.url));
const PAGE = [
  "index.html", "style.css", "page.js", "conversation.js", "steps.js", "words.js", "client.js", "worker.js", "open.js", "files.js",
];
const LIBRARIES = {
  "onnxruntime-web/dist": [
    "ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm",
  ],
  "@huggingface/tokenizers/dist": ["tokenizers.min.mjs"],
  "@huggingface/jinja/dist": ["index.js"],
};
const NAMES = { "@huggingface/jinja/dist/index.js": "jinja.js" }; // what says more than index.js
/** A bundle's files that the page reads. */
const READ = [
  "model.onnx", "browser/model.onnx", "model.onnx.data", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json",
];
/** Bytes; unpacking takes memory twice, and larger files than this gain little. */
const MOST_COMPRESSED = 64 * 2 ** 20;

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
    for (const name of names) {
      const copy = join(out, "libraries", NAMES[`${folder}/${name}`] ?? name);
      if (name.endsWith(".wasm")) compress(join(from, folder, name), copy);
      else cpSync(join(from, folder, name), copy);
    }
  }
  if (bundle !== undefined) addBundle(join(out, "bundle"), bundle);
}

/** The files that the page reads, and a manifest of these: each compressed one has its size as `gzip`. */
function addBundle(out, bundle) {
  const manifest = JSON.parse(readFileSync(join(bundle, "youtu_onnx.json"), "utf8"));
  const files = Object.fromEntries(READ.filter((name) => manifest.files[name]).map((name) => [name, manifest.files[name]]));
  for (const [name, entry] of Object.entries(files)) {
    mkdirSync(dirname(join(out, name)), { recursive: true });
    if (entry.size > MOST_COMPRESSED) cpSync(join(bundle, name), join(out, name));
    else files[name] = { ...entry, gzip: compress(join(bundle, name), join(out, name)) };
  }
  writeFileSync(join(out, "youtu_onnx.json"), JSON.stringify({ ...manifest, files }));
}

/** Write `copy`.gz; its size. */
function compress(file, copy) {
  const packed = gzipSync(readFileSync(file));
  writeFileSync(`${copy}.gz`, packed);
  return packed.length;
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
