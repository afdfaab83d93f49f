// Of several tabs, one at a time writes an answer in a conversation. Each holds a lock while it does. Locks need HTTPS or localhost;
// without them, a conversation that was written to just now is being written.

const WRITING = 3000; // milliseconds after a change of another tab's
const changed = new Map(); // conversation id → when another tab changed it

const nameOf = (id) => `youtu-onnx ${id}`;

export const noticeChange = (id) => changed.set(id, performance.now());

/** Whether another tab writes an answer in this conversation; ask only where this one doesn't. */
export async function writtenElsewhere(id) {
  if (!navigator.locks) return performance.now() - (changed.get(id) ?? -Infinity) < WRITING;
  return (await navigator.locks.query()).held.some((lock) => lock.name === nameOf(id));
}

/** Wait for the lock, and hold it while `work` lasts. Throws AbortError where the signal ended the waiting. */
export async function whileAlone(id, signal, work) {
  if (!navigator.locks) return work();
  return navigator.locks.request(nameOf(id), { signal }, work);
}
