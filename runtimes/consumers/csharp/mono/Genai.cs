// onnxruntime-genai's C# classes over its C library, as far as the sample uses them: names and signatures are those of the
// package Microsoft.ML.OnnxRuntimeGenAI. For compilers that have no NuGet; what it lacks, the package has.
using System;
using System.Runtime.InteropServices;
using System.Text;

namespace Microsoft.ML.OnnxRuntimeGenAI
{
    public class OnnxRuntimeGenAIException : Exception
    {
        internal OnnxRuntimeGenAIException(string message) : base(message)
        {
        }
    }

    internal static class Native
    {
        private const string Library = "onnxruntime-genai";

        [DllImport(Library)] internal static extern IntPtr OgaResultGetError(IntPtr result);
        [DllImport(Library)] internal static extern void OgaDestroyResult(IntPtr result);
        [DllImport(Library)] internal static extern void OgaDestroyString(IntPtr text);
        [DllImport(Library)] internal static extern IntPtr OgaCreateConfig(byte[] path, out IntPtr config);
        [DllImport(Library)] internal static extern void OgaDestroyConfig(IntPtr config);
        [DllImport(Library)] internal static extern IntPtr OgaConfigClearProviders(IntPtr config);
        [DllImport(Library)] internal static extern IntPtr OgaConfigAppendProvider(IntPtr config, byte[] name);
        [DllImport(Library)] internal static extern IntPtr OgaCreateModelFromConfig(IntPtr config, out IntPtr model);
        [DllImport(Library)] internal static extern void OgaDestroyModel(IntPtr model);
        [DllImport(Library)] internal static extern IntPtr OgaCreateTokenizer(IntPtr model, out IntPtr tokenizer);
        [DllImport(Library)] internal static extern void OgaDestroyTokenizer(IntPtr tokenizer);
        [DllImport(Library)] internal static extern IntPtr OgaCreateTokenizerStream(IntPtr tokenizer, out IntPtr stream);
        [DllImport(Library)] internal static extern void OgaDestroyTokenizerStream(IntPtr stream);
        [DllImport(Library)] internal static extern IntPtr OgaTokenizerStreamDecode(IntPtr stream, int token, out IntPtr text);
        [DllImport(Library)] internal static extern IntPtr OgaCreateGeneratorParams(IntPtr model, out IntPtr options);
        [DllImport(Library)] internal static extern void OgaDestroyGeneratorParams(IntPtr options);
        [DllImport(Library)]
        internal static extern IntPtr OgaGeneratorParamsSetSearchNumber(IntPtr options, byte[] name, double value);
        [DllImport(Library)]
        internal static extern IntPtr OgaGeneratorParamsSetSearchBool(IntPtr options, byte[] name,
                                                                      [MarshalAs(UnmanagedType.I1)] bool value);
        [DllImport(Library)] internal static extern IntPtr OgaCreateGenerator(IntPtr model, IntPtr options, out IntPtr generator);
        [DllImport(Library)] internal static extern void OgaDestroyGenerator(IntPtr generator);
        [DllImport(Library)] internal static extern byte OgaGenerator_IsDone(IntPtr generator);
        [DllImport(Library)] internal static extern IntPtr OgaGenerator_AppendTokens(IntPtr generator, int[] ids, UIntPtr count);
        [DllImport(Library)] internal static extern IntPtr OgaGenerator_GenerateNextToken(IntPtr generator);
        [DllImport(Library)] internal static extern IntPtr OgaGenerator_RewindTo(IntPtr generator, UIntPtr length);
        [DllImport(Library)]
        internal static extern IntPtr OgaGenerator_GetNextTokens(IntPtr generator, out IntPtr ids, out UIntPtr count);
        [DllImport(Library)]
        internal static extern IntPtr OgaGenerator_GetOutput(IntPtr generator, byte[] name, out IntPtr tensor);
        [DllImport(Library)] internal static extern void OgaDestroyTensor(IntPtr tensor);
        [DllImport(Library)] internal static extern IntPtr OgaTensorGetShapeRank(IntPtr tensor, out UIntPtr rank);
        [DllImport(Library)] internal static extern IntPtr OgaTensorGetShape(IntPtr tensor, long[] shape, UIntPtr rank);
        [DllImport(Library)] internal static extern IntPtr OgaTensorGetData(IntPtr tensor, out IntPtr data);
        [DllImport(Library)] internal static extern void OgaShutdown();

        internal static void Check(IntPtr result)
        {
            if (result != IntPtr.Zero)
            {
                string message = Utf8.Text(OgaResultGetError(result));
                OgaDestroyResult(result);
                throw new OnnxRuntimeGenAIException(message);
            }
        }
    }

    /// <summary>A handle of the library and what frees it.</summary>
    public abstract class Handle : IDisposable
    {
        internal IntPtr Value;
        private readonly Action<IntPtr> destroy;

        internal Handle(Action<IntPtr> destroy)
        {
            this.destroy = destroy;
        }

        public void Dispose()
        {
            if (Value != IntPtr.Zero)
            {
                destroy(Value);
            }
            Value = IntPtr.Zero;
        }
    }

    public class Config : Handle
    {
        public Config(string modelPath) : base(Native.OgaDestroyConfig)
        {
            Native.Check(Native.OgaCreateConfig(Utf8.Bytes(modelPath), out Value));
        }

        public void ClearProviders()
        {
            Native.Check(Native.OgaConfigClearProviders(Value));
        }

        public void AppendProvider(string provider)
        {
            Native.Check(Native.OgaConfigAppendProvider(Value, Utf8.Bytes(provider)));
        }
    }

    public class Model : Handle
    {
        public Model(Config config) : base(Native.OgaDestroyModel)
        {
            Native.Check(Native.OgaCreateModelFromConfig(config.Value, out Value));
        }
    }

    public class Tokenizer : Handle
    {
        public Tokenizer(Model model) : base(Native.OgaDestroyTokenizer)
        {
            Native.Check(Native.OgaCreateTokenizer(model.Value, out Value));
        }

        public TokenizerStream CreateStream()
        {
            return new TokenizerStream(this);
        }
    }

    public class TokenizerStream : Handle
    {
        internal TokenizerStream(Tokenizer tokenizer) : base(Native.OgaDestroyTokenizerStream)
        {
            Native.Check(Native.OgaCreateTokenizerStream(tokenizer.Value, out Value));
        }

        public string Decode(int token)
        {
            IntPtr text;  // the stream's own
            Native.Check(Native.OgaTokenizerStreamDecode(Value, token, out text));
            return Utf8.Text(text);
        }
    }

    public class GeneratorParams : Handle
    {
        public GeneratorParams(Model model) : base(Native.OgaDestroyGeneratorParams)
        {
            Native.Check(Native.OgaCreateGeneratorParams(model.Value, out Value));
        }

        public void SetSearchOption(string searchOption, double value)
        {
            Native.Check(Native.OgaGeneratorParamsSetSearchNumber(Value, Utf8.Bytes(searchOption), value));
        }

        public void SetSearchOption(string searchOption, bool value)
        {
            Native.Check(Native.OgaGeneratorParamsSetSearchBool(Value, Utf8.Bytes(searchOption), value));
        }
    }

    public class Generator : Handle
    {
        public Generator(Model model, GeneratorParams generatorParams) : base(Native.OgaDestroyGenerator)
        {
            Native.Check(Native.OgaCreateGenerator(model.Value, generatorParams.Value, out Value));
        }

        public bool IsDone()
        {
            return Native.OgaGenerator_IsDone(Value) != 0;
        }

        public void AppendTokens(ReadOnlySpan<int> inputIDs)
        {
            Native.Check(Native.OgaGenerator_AppendTokens(Value, inputIDs.ToArray(), (UIntPtr)inputIDs.Length));
        }

        public void GenerateNextToken()
        {
            Native.Check(Native.OgaGenerator_GenerateNextToken(Value));
        }

        public void RewindTo(ulong newLength)
        {
            Native.Check(Native.OgaGenerator_RewindTo(Value, (UIntPtr)newLength));
        }

        public ReadOnlySpan<int> GetNextTokens()
        {
            IntPtr ids;
            UIntPtr count;
            Native.Check(Native.OgaGenerator_GetNextTokens(Value, out ids, out count));
            int[] copy = new int[(int)count];
            Marshal.Copy(ids, copy, 0, copy.Length);
            return copy;
        }

        public Tensor GetOutput(string outputName)
        {
            return new Tensor(this, outputName);
        }
    }

    public class Tensor : Handle
    {
        internal Tensor(Generator generator, string name) : base(Native.OgaDestroyTensor)
        {
            Native.Check(Native.OgaGenerator_GetOutput(generator.Value, Utf8.Bytes(name), out Value));
        }

        public long[] Shape()
        {
            UIntPtr rank;
            Native.Check(Native.OgaTensorGetShapeRank(Value, out rank));
            long[] shape = new long[(int)rank];
            Native.Check(Native.OgaTensorGetShape(Value, shape, rank));
            return shape;
        }

        public unsafe ReadOnlySpan<T> GetData<T>()
        {
            IntPtr data;
            long count = 1;
            foreach (long size in Shape())
            {
                count *= size;
            }
            Native.Check(Native.OgaTensorGetData(Value, out data));
            return new ReadOnlySpan<T>((void*)data, (int)count);
        }
    }

    /// <summary>Frees what the library holds until the end of the program; otherwise it reports leaks.</summary>
    public class OgaHandle : IDisposable
    {
        public void Dispose()
        {
            Native.OgaShutdown();
        }
    }
}
