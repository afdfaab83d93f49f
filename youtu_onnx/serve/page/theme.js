// Before the first paint, so that nobody who chose dark sees a white flash. A classic script: modules run too late for that.
try {
  const theme = JSON.parse(localStorage.getItem("youtu-onnx:preferences") ?? "{}").theme;
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* storage is refused or holds something else: the system's theme it is */ }
