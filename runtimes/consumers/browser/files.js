// Where a bundle's files come from: a folder on the page's own server, or one that the user chose from the disk.

/**
 * Fetches below a URL.
 * @param {URL} base
 * @param {(name: string, loaded: number, size: number) => void} progress
 */
export function served(base, progress) {
  if (base.origin !== location.origin) throw new Error(`${base.origin} is another host: bundles are read from the page's own`);
  return async (name, size) => {
    const response = await fetch(new URL(name, base));
    if (!response.ok) throw new Error(`${name}: the server says ${response.status}`);
    const unpacked = name.endsWith(".gz") && response.headers.has("content-encoding"); // by the browser, so it is larger
    if (size === undefined || unpacked) return new Uint8Array(await response.arrayBuffer());
    const bytes = new Uint8Array(size); // the manifest knows the size, so that nothing is held twice
    let loaded = 0;
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (loaded + value.length > size) throw new Error(`${name} is larger than the manifest says`);
      bytes.set(value, loaded);
      loaded += value.length;
      progress(name, loaded, size);
    }
    return bytes.subarray(0, loaded);
  };
}

/**
 * Reads chosen files; nothing leaves the machine.
 * @param {File[]} files of one folder
 */
export function chosen(files, progress) {
  const named = new Map(files.map((file) => [file.webkitRelativePath.split("/").slice(1).join("/"), file]));
  return async (name) => {
    const file = named.get(name);
    if (!file) throw new Error(`the folder has no ${name}: choose one that youtu-onnx export wrote`);
    const bytes = new Uint8Array(await file.arrayBuffer());
    progress(name, bytes.length, bytes.length);
    return bytes;
  };
}
