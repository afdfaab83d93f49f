// ONNX Runtime's C# classes over its C library, as far as the sample uses them: names and signatures are those of the package
// Microsoft.ML.OnnxRuntime. For compilers that have no NuGet, and for the CPU alone; what it lacks, the package has.
using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.OnnxRuntime.Tensors
{
    public enum TensorElementType
    {
        Float = 1,
        UInt8 = 2,
        Int64 = 7,
        Float16 = 10,
    }
}

namespace Microsoft.ML.OnnxRuntime
{
    public enum GraphOptimizationLevel
    {
        ORT_DISABLE_ALL = 0,
        ORT_ENABLE_ALL = 99,
    }

    public enum OrtLoggingLevel
    {
        ORT_LOGGING_LEVEL_ERROR = 3,
        ORT_LOGGING_LEVEL_FATAL = 4,
    }

    public enum ExecutionMode
    {
        ORT_SEQUENTIAL = 0,
        ORT_PARALLEL = 1,
    }

    public enum OrtAllocatorType
    {
        DeviceAllocator = 0,
        ArenaAllocator = 1,
    }

    public enum OrtMemType
    {
        Default = 0,
    }

    public class OnnxRuntimeException : Exception
    {
        internal OnnxRuntimeException(string message) : base(message)
        {
        }
    }

    /// <summary>A handle of the library and the number of the function that frees it.</summary>
    public abstract class Handle : IDisposable
    {
        internal IntPtr Value;
        private readonly int release;

        internal Handle(int release)
        {
            this.release = release;
        }

        public virtual void Dispose()
        {
            if (Value != IntPtr.Zero)
            {
                Api.Get<Api.Release>(release)(Value);
            }
            Value = IntPtr.Zero;
        }
    }

    public class SessionOptions : Handle
    {
        public SessionOptions() : base(Api.ReleaseSessionOptions)
        {
            Api.Check(Api.Get<Api.Create>(Api.CreateSessionOptions)(out Value));
        }

        public GraphOptimizationLevel GraphOptimizationLevel
        {
            set { Api.Check(Api.Get<Api.SetNumber>(Api.SetSessionGraphOptimizationLevel)(Value, (int)value)); }
        }

        public OrtLoggingLevel LogSeverityLevel
        {
            set { Api.Check(Api.Get<Api.SetNumber>(Api.SetSessionLogSeverityLevel)(Value, (int)value)); }
        }

        public bool EnableMemoryPattern
        {
            set { throw OnlyCpu(); }
        }

        public ExecutionMode ExecutionMode
        {
            set { throw OnlyCpu(); }
        }

        public void AddSessionConfigEntry(string configKey, string configValue)
        {
            Api.Check(Api.Get<Api.SetEntry>(Api.AddSessionConfigEntry)(Value, Utf8.Bytes(configKey), Utf8.Bytes(configValue)));
        }

        public void AppendExecutionProvider_CUDA(int deviceId = 0)
        {
            throw OnlyCpu();
        }

        public void AppendExecutionProvider_DML(int deviceId = 0)
        {
            throw OnlyCpu();
        }

        /// <param name="libraryHandle">The package gives the library's; here ONNX Runtime keeps it.</param>
        public void RegisterCustomOpLibraryV2(string libraryPath, out IntPtr libraryHandle)
        {
            libraryHandle = IntPtr.Zero;
            Api.Check(Api.Get<Api.Register>(Api.RegisterCustomOpsLibrary_V2)(Value, Utf8.Bytes(libraryPath)));
        }

        private static OnnxRuntimeException OnlyCpu()
        {
            return new OnnxRuntimeException("this binding is for the CPU; build the project with the package for your provider");
        }
    }

    public class RunOptions : Handle
    {
        public RunOptions() : base(Api.ReleaseRunOptions)
        {
            Api.Check(Api.Get<Api.Create>(Api.CreateRunOptions)(out Value));
        }
    }

    public class OrtMemoryInfo : Handle
    {
        public static readonly OrtMemoryInfo DefaultInstance = new OrtMemoryInfo("Cpu", OrtAllocatorType.DeviceAllocator, 0,
                                                                                 OrtMemType.Default);

        public OrtMemoryInfo(string allocatorName, OrtAllocatorType allocatorType, int deviceId, OrtMemType memoryType)
            : base(Api.ReleaseMemoryInfo)
        {
            Api.Check(Api.Get<Api.NewMemoryInfo>(Api.CreateMemoryInfo)(Utf8.Bytes(allocatorName), (int)allocatorType, deviceId,
                                                                       (int)memoryType, out Value));
        }
    }

    public class OrtAllocator : Handle
    {
        /// <summary>The CPU's allocator, which the library owns.</summary>
        public static readonly OrtAllocator DefaultInstance = new OrtAllocator();

        public OrtAllocator(InferenceSession session, OrtMemoryInfo memInfo) : base(Api.ReleaseAllocator)
        {
            Api.Check(Api.Get<Api.NewAllocator>(Api.CreateAllocator)(session.Value, memInfo.Value, out Value));
        }

        private OrtAllocator() : base(Api.ReleaseAllocator)
        {
            Api.Check(Api.Get<Api.Create>(Api.GetAllocatorWithDefaultOptions)(out Value));
        }

        internal void Free(IntPtr memory)
        {
            Api.Check(Api.Get<Api.FreeMemory>(Api.AllocatorFree)(Value, memory));
        }
    }

    public struct OrtTensorTypeAndShapeInfo
    {
        public TensorElementType ElementDataType { get; internal set; }

        public long[] Shape { get; internal set; }
    }

    public class OrtValue : Handle
    {
        private GCHandle pinned;

        internal OrtValue(IntPtr value) : base(Api.ReleaseValue)
        {
            Value = value;
        }

        public static OrtValue CreateTensorValueFromMemory<T>(T[] data, long[] shape) where T : struct
        {
            GCHandle pinned = GCHandle.Alloc(data, GCHandleType.Pinned);
            TensorElementType type = typeof(T) == typeof(long) ? TensorElementType.Int64 : TensorElementType.Float;
            OrtValue made = CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, type, shape, pinned.AddrOfPinnedObject(),
                                                      Buffer.ByteLength(data));
            made.pinned = pinned;
            return made;
        }

        public static OrtValue CreateTensorValueWithData(OrtMemoryInfo memInfo, TensorElementType elementType, long[] shape,
                                                         IntPtr dataBufferPtr, long bufferLengthInBytes)
        {
            IntPtr value;
            Api.Check(Api.Get<Api.NewTensorOver>(Api.CreateTensorWithDataAsOrtValue)(
                memInfo.Value, dataBufferPtr, (UIntPtr)(ulong)bufferLengthInBytes, shape, (UIntPtr)shape.Length, (int)elementType,
                out value));
            return new OrtValue(value);
        }

        public static OrtValue CreateAllocatedTensorValue(OrtAllocator allocator, TensorElementType elementType, long[] shape)
        {
            IntPtr value;
            Api.Check(Api.Get<Api.NewTensor>(Api.CreateTensorAsOrtValue)(allocator.Value, shape, (UIntPtr)shape.Length,
                                                                         (int)elementType, out value));
            return new OrtValue(value);
        }

        public OrtTensorTypeAndShapeInfo GetTensorTypeAndShape()
        {
            IntPtr info;
            Api.Check(Api.Get<Api.Derive>(Api.GetTensorTypeAndShape)(Value, out info));
            int type;
            UIntPtr rank;
            Api.Check(Api.Get<Api.GetNumber>(Api.GetTensorElementType)(info, out type));
            Api.Check(Api.Get<Api.GetSize>(Api.GetDimensionsCount)(info, out rank));
            long[] shape = new long[(int)rank];
            Api.Check(Api.Get<Api.GetLongs>(Api.GetDimensions)(info, shape, rank));
            Api.Get<Api.Release>(Api.ReleaseTensorTypeAndShapeInfo)(info);
            return new OrtTensorTypeAndShapeInfo { ElementDataType = (TensorElementType)type, Shape = shape };
        }

        public unsafe ReadOnlySpan<T> GetTensorDataAsSpan<T>() where T : struct
        {
            return new ReadOnlySpan<T>((void*)Data(), (int)Count());
        }

        public unsafe Span<byte> GetTensorMutableRawData()
        {
            TensorElementType type = GetTensorTypeAndShape().ElementDataType;
            int size = type == TensorElementType.Float ? 4 : type == TensorElementType.Float16 ? 2
                : type == TensorElementType.Int64 ? 8 : 1;
            return new Span<byte>((void*)Data(), (int)Count() * size);
        }

        public override void Dispose()
        {
            base.Dispose();
            if (pinned.IsAllocated)
            {
                pinned.Free();
            }
        }

        private IntPtr Data()
        {
            IntPtr data;
            Api.Check(Api.Get<Api.Derive>(Api.GetTensorMutableData)(Value, out data));
            return data;
        }

        private long Count()
        {
            long count = 1;
            foreach (long size in GetTensorTypeAndShape().Shape)
            {
                count *= size;
            }
            return count;
        }
    }

    public interface IDisposableReadOnlyCollection<T> : IReadOnlyCollection<T>, IDisposable
    {
    }

    internal class DisposableList : List<OrtValue>, IDisposableReadOnlyCollection<OrtValue>
    {
        public void Dispose()
        {
            ForEach(value => value.Dispose());
        }
    }

    public class OrtIoBinding : Handle
    {
        internal OrtIoBinding(InferenceSession session) : base(Api.ReleaseIoBinding)
        {
            Api.Check(Api.Get<Api.Derive>(Api.CreateIoBinding)(session.Value, out Value));
        }

        public void BindInput(string name, OrtValue ortValue)
        {
            Api.Check(Api.Get<Api.BindName>(Api.BindInput)(Value, Utf8.Bytes(name), ortValue.Value));
        }

        public void BindOutput(string name, OrtValue ortValue)
        {
            Api.Check(Api.Get<Api.BindName>(Api.BindOutput)(Value, Utf8.Bytes(name), ortValue.Value));
        }

        public void BindOutputToDevice(string name, OrtMemoryInfo memInfo)
        {
            Api.Check(Api.Get<Api.BindName>(Api.BindOutputToDevice)(Value, Utf8.Bytes(name), memInfo.Value));
        }

        public IDisposableReadOnlyCollection<OrtValue> GetOutputValues()
        {
            IntPtr values;
            UIntPtr count;
            Api.Check(Api.Get<Api.GetValues>(Api.GetBoundOutputValues)(
                Value, OrtAllocator.DefaultInstance.Value, out values, out count));
            var list = new DisposableList();
            for (int index = 0; index < (int)count; index++)
            {
                list.Add(new OrtValue(Marshal.ReadIntPtr(values, index * IntPtr.Size)));
            }
            OrtAllocator.DefaultInstance.Free(values);
            return list;
        }
    }

    public class NodeMetadata
    {
    }

    public sealed class OrtEnv
    {
        private static readonly OrtEnv Only = new OrtEnv();

        internal readonly IntPtr Value = Api.NewEnvironment();

        private OrtEnv()
        {
        }

        public static OrtEnv Instance()
        {
            return Only;
        }

        public void DisableTelemetryEvents()
        {
            Api.Check(Api.Get<Api.Change>(Api.DisableTelemetryEvents)(Value));
        }
    }

    public class InferenceSession : Handle
    {
        private readonly Dictionary<string, NodeMetadata> overridable = new Dictionary<string, NodeMetadata>();

        public InferenceSession(string modelPath, SessionOptions options) : base(Api.ReleaseSession)
        {
            Api.Check(Api.Get<Api.NewSession>(Api.CreateSession)(OrtEnv.Instance().Value, Utf8.Bytes(modelPath), options.Value, out Value));
            UIntPtr count;
            Api.Check(Api.Get<Api.GetSize>(Api.SessionGetOverridableInitializerCount)(Value, out count));
            for (ulong index = 0; index < (ulong)count; index++)
            {
                IntPtr name;
                Api.Check(Api.Get<Api.GetName>(Api.SessionGetOverridableInitializerName)(
                    Value, (UIntPtr)index, OrtAllocator.DefaultInstance.Value, out name));
                overridable[Utf8.Text(name)] = new NodeMetadata();
                OrtAllocator.DefaultInstance.Free(name);
            }
        }

        public IReadOnlyDictionary<string, NodeMetadata> OverridableInitializerMetadata
        {
            get { return overridable; }
        }

        public OrtIoBinding CreateIoBinding()
        {
            return new OrtIoBinding(this);
        }

        public IDisposableReadOnlyCollection<OrtValue> RunWithBoundResults(RunOptions runOptions, OrtIoBinding ioBinding)
        {
            Api.Check(Api.Get<Api.RunBound>(Api.RunWithBinding)(Value, runOptions.Value, ioBinding.Value));
            return ioBinding.GetOutputValues();
        }
    }
}
