using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace YoutuOnnx.Ort
{
    /// <summary>The cache of one sequence. A step binds it, runs, and commits what came back.</summary>
    public abstract class SequenceCache : IDisposable
    {
        protected readonly IList<CacheTensor> Tensors;
        protected readonly TensorElementType Type;
        protected readonly int ElementSize;

        protected SequenceCache(Manifest manifest)
        {
            Tensors = manifest.Tensors;
            switch (manifest.CacheType)
            {
                case "float32": Type = TensorElementType.Float; ElementSize = 4; break;
                case "float16": Type = TensorElementType.Float16; ElementSize = 2; break;
                case "uint8": Type = TensorElementType.UInt8; ElementSize = 1; break;
                default: throw new InvalidDataException("a cache of " + manifest.CacheType + " isn't known here");
            }
        }

        /// <summary>Tokens that it was made of; rows may be fewer.</summary>
        public int Length { get; protected set; }

        /// <summary>Binds the past and where the present of count tokens more shall go, after all other outputs.</summary>
        public abstract void Bind(OrtIoBinding binding, int count);

        /// <summary>Takes over what a step of count tokens returned: the presents, in the order of binding, to dispose.</summary>
        public abstract void Commit(IList<OrtValue> presents, int count);

        /// <summary>Keeps the first tokens, as many as it can and at most so many.</summary>
        public abstract void Truncate(int length);

        public abstract void Dispose();

        protected static void Release(IList<OrtValue> values)
        {
            foreach (OrtValue value in values)
            {
                value.Dispose();
            }
            values.Clear();
        }
    }

    /// <summary>One buffer per tensor, bound as past and as present at once: a step adds rows and moves none.</summary>
    /// <remarks>
    /// It works on the CPU where a tensor has one head, as the latent form's have: then [1, 1, P, width] is the beginning of
    /// [1, 1, T, width] in memory, and the graph copies the past onto itself. Otherwise each step copies the whole cache.
    /// </remarks>
    public sealed class InPlaceCache : SequenceCache
    {
        private const int FirstRows = 256;

        private readonly IntPtr[] buffers;
        private readonly int mostRows;
        private readonly List<OrtValue> bound = new List<OrtValue>();
        private int rows;

        public InPlaceCache(Manifest manifest) : base(manifest)
        {
            buffers = new IntPtr[Tensors.Count];
            mostRows = manifest.ContextLength;
        }

        public static bool Fits(Manifest manifest)
        {
            return manifest.OneRowEach && manifest.Tensors.TrueForAll(tensor => tensor.Heads == 1);
        }

        public override void Bind(OrtIoBinding binding, int count)
        {
            Reserve(Length + count);
            Release(bound);
            for (int index = 0; index < buffers.Length; index++)
            {
                binding.BindInput(Tensors[index].Past, View(index, Length));
                binding.BindOutput(Tensors[index].Present, View(index, Length + count));
            }
        }

        public override void Commit(IList<OrtValue> presents, int count)
        {
            Release(presents);  // the memory is this cache's own
            Length += count;
        }

        public override void Truncate(int length)
        {
            Length = Math.Min(Length, length);
        }

        public override void Dispose()
        {
            Release(bound);
            for (int index = 0; index < buffers.Length; index++)
            {
                Marshal.FreeHGlobal(buffers[index]);
                buffers[index] = IntPtr.Zero;
            }
            rows = Length = 0;
        }

        private OrtValue View(int index, int length)
        {
            long[] shape = { 1, 1, length, Tensors[index].Width };
            bound.Add(OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, Type, shape, buffers[index],
                                                         rows * RowBytes(index)));
            return bound[bound.Count - 1];
        }

        private void Reserve(int wanted)
        {
            if (wanted <= rows)
            {
                return;
            }
            rows = Math.Max(wanted, Math.Min(mostRows, Math.Max(FirstRows, wanted + wanted / 2)));
            for (int index = 0; index < buffers.Length; index++)
            {
                long bytes = rows * RowBytes(index);
                buffers[index] = buffers[index] == IntPtr.Zero ? Marshal.AllocHGlobal((IntPtr)bytes)
                    : Marshal.ReAllocHGlobal(buffers[index], (IntPtr)bytes);
            }
        }

        private long RowBytes(int index)
        {
            return Tensors[index].Width * ElementSize;
        }
    }

    /// <summary>Buffers of the reserved length, each bound as past and as present: the graph writes a step's rows into them.</summary>
    /// <remarks>The attention mask says which rows are in use, so what else is in the memory never matters.</remarks>
    public sealed class StaticCache : SequenceCache
    {
        private readonly OrtAllocator allocator;
        private readonly List<OrtValue> buffers = new List<OrtValue>();

        /// <param name="memory">Where the buffers are: on the provider's device.</param>
        public StaticCache(Manifest manifest, InferenceSession session, OrtMemoryInfo memory) : base(manifest)
        {
            allocator = new OrtAllocator(session, memory);
            foreach (CacheTensor tensor in Tensors)
            {
                long[] shape = { 1, tensor.Heads, manifest.Reserved.Value, tensor.Width };
                buffers.Add(OrtValue.CreateAllocatedTensorValue(allocator, Type, shape));
            }
        }

        public override void Bind(OrtIoBinding binding, int count)
        {
            for (int index = 0; index < buffers.Count; index++)
            {
                binding.BindInput(Tensors[index].Past, buffers[index]);
                binding.BindOutput(Tensors[index].Present, buffers[index]);
            }
        }

        public override void Commit(IList<OrtValue> presents, int count)
        {
            Release(presents);  // more handles of the same buffers
            Length += count;
        }

        public override void Truncate(int length)
        {
            Length = Math.Min(Length, length);
        }

        public override void Dispose()
        {
            Release(buffers);
            allocator.Dispose();
            Length = 0;
        }
    }

    /// <summary>The presents of the last step are the pasts of the next: works with every layout and device.</summary>
    /// <remarks>Also where rows leave inside the graph, and each layer has a number of its own.</remarks>
    public sealed class ReturnedCache : SequenceCache
    {
        private readonly OrtMemoryInfo memory;
        private readonly List<OrtValue> values = new List<OrtValue>();

        /// <param name="memory">Where the presents stay.</param>
        public ReturnedCache(Manifest manifest, OrtMemoryInfo memory) : base(manifest)
        {
            this.memory = memory;
        }

        public override void Bind(OrtIoBinding binding, int count)
        {
            if (values.Count == 0)
            {
                foreach (CacheTensor tensor in Tensors)
                {
                    long[] shape = { 1, tensor.Heads, 0, tensor.Width };
                    values.Add(OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, Type, shape));
                }
            }
            for (int index = 0; index < values.Count; index++)
            {
                binding.BindInput(Tensors[index].Past, values[index]);
                binding.BindOutputToDevice(Tensors[index].Present, memory);
            }
        }

        public override void Commit(IList<OrtValue> presents, int count)
        {
            Release(values);
            values.AddRange(presents);
            Length += count;
        }

        /// <summary>Here a cache is kept whole or not at all.</summary>
        public override void Truncate(int length)
        {
            if (length < Length)
            {
                Release(values);
                Length = 0;
            }
        }

        public override void Dispose()
        {
            Release(values);
        }
    }
}
