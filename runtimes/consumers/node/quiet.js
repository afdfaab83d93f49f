// ONNX Runtime reports what it runs to its maker, unless it is told not to before it is loaded: so this module is imported first.

process.env.ORT_DISABLE_TELEMETRY ??= "1";
