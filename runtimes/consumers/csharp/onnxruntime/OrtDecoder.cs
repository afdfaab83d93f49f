using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace YoutuOnnx.Ort
{
    /// <summary>A bundle's graph in a session, and the cache of one sequence.</summary>
    public sealed class OrtDecoder : IDisposable
    {
        /// <summary>Tokens of one step where each token's logits come back: 0.5 MB a token for Youtu-LLM-2B.</summary>
        private const int MostRows = 128;

        private readonly InferenceSession session;
        private readonly RunOptions runOptions = new RunOptions();
        private readonly SequenceCache cache;
        private readonly bool hasLogitsToKeep;  // as graphs have that don't read it off the mask

        /// <param name="folder">The bundle's.</param>
        /// <param name="provider">cpu, cuda or dml; null for the one that the bundle was exported for.</param>
        /// <param name="kernels">The library of this project's native kernels, which the CPU then runs native.onnx with; null for
        /// ONNX Runtime's own. It is code, so it comes with the program and not out of a bundle.</param>
        /// <exception cref="ArgumentException">Another provider, or one that takes no kernels.</exception>
        public OrtDecoder(string folder, string provider, string kernels = null)
        {
            Manifest = new Manifest(folder);
            provider = provider ?? Manifest.Provider;
            OrtEnv.Instance().DisableTelemetryEvents(); // the variable ORT_DISABLE_TELEMETRY=1 keeps it from beginning, too
            using (var options = new SessionOptions())
            {
                options.LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL;  // what goes wrong is thrown, and said once
                string graph = Graph(folder, provider, kernels, options);
                if (provider == "cuda")
                {
                    options.AppendExecutionProvider_CUDA(0);
                }
                else if (provider == "dml")
                {
                    options.AppendExecutionProvider_DML(0);
                    options.EnableMemoryPattern = false;  // DirectML asks for both
                    options.ExecutionMode = ExecutionMode.ORT_SEQUENTIAL;
                }
                else if (provider == "cpu")
                {
                    SetCpu(options);
                }
                else
                {
                    throw new ArgumentException("provider " + provider + " isn't known here; choose cpu, cuda or dml");
                }
                session = new InferenceSession(Path.Combine(folder, graph), options);
            }
            hasLogitsToKeep = session.OverridableInitializerMetadata.ContainsKey("logits_to_keep");
            cache = NewCache(provider);
        }

        public Manifest Manifest { get; private set; }

        /// <summary>Tokens in the cache.</summary>
        public int Length
        {
            get { return cache.Length; }
        }

        /// <summary>Keeps at most the first tokens; Length says how many are left.</summary>
        public void Truncate(int length)
        {
            cache.Truncate(length);
        }

        /// <summary>Runs the next tokens. Returns the logits of the last.</summary>
        public float[] Run(List<int> ids)
        {
            int total = cache.Length + ids.Count, step = hasLogitsToKeep || Manifest.MaskKeepsLogits ? ids.Count : MostRows;
            if (ids.Count == 0 || total > Manifest.ContextLength)
            {
                throw new InvalidDataException(total + " tokens don't fit in a context of " + Manifest.ContextLength
                    + (Manifest.Reserved == null ? "" : ", which this bundle reserves; export it with a larger --max-length"));
            }
            float[] logits = null;
            for (int start = 0; start < ids.Count; start += step)
            {
                logits = Step(ids.GetRange(start, Math.Min(step, ids.Count - start)));
            }
            return logits;
        }

        public void Dispose()
        {
            cache.Dispose();
            runOptions.Dispose();
            session.Dispose();
        }

        /// <summary>S new tokens after P in the cache.</summary>
        private float[] Step(List<int> ids)
        {
            int past = cache.Length, count = ids.Count, total = past + count;
            int unused = Manifest.Reserved - total ?? 0;  // so that a reserved cache's steps all have one shape of mask
            long last = Manifest.MaskKeepsLogits ? 2 : 1;  // 1 + k: logits of the last k positions only
            using (OrtIoBinding binding = session.CreateIoBinding())
            using (OrtValue inputs = Row(ids.Select(id => (long)id)))                                 // [1, S]
            using (OrtValue mask = Row(Enumerable.Repeat(1L, total - 1).Append(last).Concat(Enumerable.Repeat(0L, unused))))  // [1, T or M]
            using (OrtValue positions = Row(Enumerable.Range(past, count).Select(at => (long)at)))    // [1, S]
            using (OrtValue keep = OrtValue.CreateTensorValueFromMemory(new long[] { 1 }, new long[] { 1 }))
            {
                binding.BindInput("input_ids", inputs);
                binding.BindInput("attention_mask", mask);
                binding.BindInput("position_ids", positions);
                if (hasLogitsToKeep && count > 1)
                {
                    binding.BindInput("logits_to_keep", keep);
                }
                binding.BindOutputToDevice("logits", OrtMemoryInfo.DefaultInstance);
                cache.Bind(binding, count);
                List<OrtValue> outputs = session.RunWithBoundResults(runOptions, binding).ToList();
                cache.Commit(outputs.GetRange(1, outputs.Count - 1), count);
                using (outputs[0])
                {
                    return LastRow(outputs[0]);
                }
            }
        }

        private SequenceCache NewCache(string provider)
        {
            OrtMemoryInfo device = provider == "cpu" ? OrtMemoryInfo.DefaultInstance : new OrtMemoryInfo(
                provider == "dml" ? "DML" : "Cuda", OrtAllocatorType.DeviceAllocator, 0, OrtMemType.Default);
            if (Manifest.Reserved != null)
            {
                return new StaticCache(Manifest, session, device);
            }
            if (provider == "cpu" && InPlaceCache.Fits(Manifest))
            {
                return new InPlaceCache(Manifest);
            }
            // with DirectML a cache that grows goes through host memory: its bundles are exported with one that doesn't
            return new ReturnedCache(Manifest, provider == "dml" ? OrtMemoryInfo.DefaultInstance : device);
        }

        /// <summary>The graph to open, with the kernels that it needs registered.</summary>
        private static string Graph(string folder, string provider, string kernels, SessionOptions options)
        {
            if (kernels == null)
            {
                return "model.onnx";
            }
            if (provider != "cpu")
            {
                throw new ArgumentException("native kernels are for the CPU; leave --kernels away, or choose --provider cpu");
            }
            if (!File.Exists(Path.Combine(folder, "native.onnx")))
            {
                throw new FileNotFoundException("the bundle has no native.onnx; write it with: youtu-onnx prepare BUNDLE --native");
            }
            IntPtr handle;  // the process's as long as it lives
            options.RegisterCustomOpLibraryV2(Path.GetFullPath(kernels), out handle);
            return "native.onnx";
        }

        private void SetCpu(SessionOptions options)
        {
            // exact products of bytes on x86 processors without VNNI; the fast ones there saturate at 16 bits
            options.AddSessionConfigEntry("session.x64quantprecision", "1");
            if (Manifest.Optimized)
            {
                // looking through it again only takes time
                options.GraphOptimizationLevel = GraphOptimizationLevel.ORT_DISABLE_ALL;
            }
        }

        private static OrtValue Row(IEnumerable<long> numbers)
        {
            long[] row = numbers.ToArray();
            return OrtValue.CreateTensorValueFromMemory(row, new long[] { 1, row.Length });
        }

        /// <summary>[1, S or 1, V] to the last V numbers.</summary>
        private static float[] LastRow(OrtValue logits)
        {
            OrtTensorTypeAndShapeInfo info = logits.GetTensorTypeAndShape();
            int width = (int)info.Shape[2];
            if (info.ElementDataType == TensorElementType.Float)
            {
                ReadOnlySpan<float> all = logits.GetTensorDataAsSpan<float>();
                return all.Slice(all.Length - width).ToArray();
            }
            ReadOnlySpan<byte> bytes = logits.GetTensorMutableRawData();
            var row = new float[width];
            for (int index = 0, at = bytes.Length - 2 * width; index < width; index++, at += 2)
            {
                row[index] = Half(bytes[at] | bytes[at + 1] << 8);
            }
            return row;
        }

        /// <summary>IEEE half precision; own code, as System.Half begins with .NET 5.</summary>
        private static float Half(int bits)
        {
            int exponent = bits >> 10 & 31, fraction = bits & 1023;
            double size = exponent == 0 ? fraction * Math.Pow(2, -24)
                : exponent < 31 ? (1024 + fraction) * Math.Pow(2, exponent - 25)
                : fraction == 0 ? double.PositiveInfinity : double.NaN;
            return (float)((bits & 0x8000) == 0 ? size : -size);
        }
    }
}
