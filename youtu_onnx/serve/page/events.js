// Server-sent events of a response's body, as the WHATWG standard has them; fetch has no reader for them.

/** Yields the data of the events that came together, as lists. Comments (": …") are for keeping the connection alive and yield nothing. */
export async function* serverSentEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let data = [];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return; // an event without its empty line is incomplete, and dropped
      rest += value;
      const lines = rest.split(/\r\n|\n|\r(?!$)/); // a CR at the very end may be half of a CRLF
      rest = lines.pop();
      const together = [];
      for (const line of lines) {
        if (line === "") {
          if (data.length) together.push(data.join("\n"));
          data = [];
        } else if (line.startsWith("data:")) {
          data.push(line.slice(line[5] === " " ? 6 : 5));
        }
      }
      if (together.length) yield together;
    }
  } finally {
    reader.cancel().catch(() => {}); // it may have failed already
  }
}
