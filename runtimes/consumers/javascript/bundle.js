// A bundle's files, through a function that fetches one of them by name.

/** Of manifests. Format 1 has no `graph` and no flags of the cache: each token has a row there. */
export const FORMAT_VERSIONS = [1, 2];

export class BundleError extends Error {
  name = "BundleError";
}

export class Bundle {
  /**
   * @param {object} manifest what youtu_onnx.json says
   * @param {(name: string, size?: number) => Promise<Uint8Array>} read a file's bytes; it throws where there is none
   */
  constructor(manifest, read) {
    this.manifest = manifest;
    this.read = read;
  }

  static async open(read) {
    const manifest = parseJson(await read("youtu_onnx.json"), "youtu_onnx.json");
    if (!FORMAT_VERSIONS.includes(manifest.format_version)) {
      const known = FORMAT_VERSIONS.join(" and ");
      throw new BundleError(`the bundle has format version ${manifest.format_version}; this reader knows ${known}`);
    }
    for (const name of ["model.onnx", "model.onnx.data", "tokenizer.json"]) {
      if (!manifest.files?.[name]) throw new BundleError(`youtu_onnx.json does not list ${name}`);
    }
    return new Bundle(manifest, read);
  }

  /** The provider that the graph was written for: cpu, cuda, dml or webgpu. */
  get provider() {
    const { graph, target } = this.manifest;
    return graph?.provider ?? (target === "mobile" ? "cpu" : target);
  }

  has(name) {
    return Object.hasOwn(this.manifest.files, name);
  }

  /** Bytes of a file, of the size that the manifest promises. Where it has a size of `gzip`, the file is there compressed. */
  async bytes(name) {
    const { size, gzip } = this.manifest.files[name] ?? {};
    const bytes = gzip ? await unpacked(await this.read(`${name}.gz`, gzip)) : await this.read(name, size);
    if (bytes.length !== size) {
      throw new BundleError(`${name} has ${bytes.length} bytes, expected ${size}: copy or export the bundle again`);
    }
    return bytes;
  }

  async text(name) {
    return new TextDecoder("utf-8", { fatal: true }).decode(await this.bytes(name));
  }

  /** A JSON file's object, empty where the bundle has no such file. */
  async json(name) {
    return this.has(name) ? parseJson(await this.bytes(name), name) : {};
  }
}

/** What gzip packed; bytes that a server or a browser unpacked on the way stay as they are. */
export async function unpacked(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function parseJson(bytes, name) {
  let value;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new BundleError(`${name} is not JSON: is this a folder that youtu-onnx export wrote?`);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new BundleError(`${name} holds no JSON object`);
  return value;
}
