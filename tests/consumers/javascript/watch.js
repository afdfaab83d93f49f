// What every visit with a browser records: the hosts it asked, and what went wrong on the page.

export function watch(page) {
  const hosts = new Set();
  const faults = [];
  page.on("request", (request) => hosts.add(new URL(request.url()).host));
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  return { hosts: () => [...hosts].filter(Boolean), faults };
}
