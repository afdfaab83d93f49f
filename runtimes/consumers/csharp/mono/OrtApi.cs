// The C library's table of functions. Their numbers are their places in struct OrtApi of onnxruntime_c_api.h, which only grows
// at its end.
using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;

namespace Microsoft.ML.OnnxRuntime
{
    internal static class Api
    {
        internal const int GetErrorMessage = 2, CreateEnv = 3, DisableTelemetryEvents = 6, CreateSession = 7,
            CreateSessionOptions = 10, SetSessionLogSeverityLevel = 22, SetSessionGraphOptimizationLevel = 23,
            SessionGetOverridableInitializerCount = 32, SessionGetOverridableInitializerName = 38, CreateRunOptions = 39, CreateTensorAsOrtValue = 48,
            CreateTensorWithDataAsOrtValue = 49, GetTensorMutableData = 51, GetTensorElementType = 60, GetDimensionsCount = 61,
            GetDimensions = 62, GetTensorTypeAndShape = 65, CreateMemoryInfo = 68, AllocatorFree = 76,
            GetAllocatorWithDefaultOptions = 78, ReleaseStatus = 93, ReleaseMemoryInfo = 94, ReleaseSession = 95,
            ReleaseValue = 96, ReleaseRunOptions = 97, ReleaseTensorTypeAndShapeInfo = 99, ReleaseSessionOptions = 100,
            AddSessionConfigEntry = 130, CreateAllocator = 131, ReleaseAllocator = 132, RunWithBinding = 133, CreateIoBinding = 134, ReleaseIoBinding = 135, BindInput = 136,
            BindOutput = 137, BindOutputToDevice = 138, GetBoundOutputValues = 140, RegisterCustomOpsLibrary_V2 = 228;

        private const uint Version = 17;  // of the table: the least that has all of these
        private const int Errors = 3;

        private static readonly Dictionary<int, Delegate> Known = new Dictionary<int, Delegate>();
        private static readonly IntPtr Table = OpenTable();

        internal delegate IntPtr Message(IntPtr status);
        internal delegate void Release(IntPtr handle);
        internal delegate IntPtr Create(out IntPtr made);
        internal delegate IntPtr Change(IntPtr handle);
        internal delegate IntPtr Derive(IntPtr from, out IntPtr made);
        internal delegate IntPtr SetNumber(IntPtr handle, int value);
        internal delegate IntPtr SetEntry(IntPtr handle, byte[] key, byte[] value);
        internal delegate IntPtr Register(IntPtr handle, byte[] path);
        internal delegate IntPtr GetNumber(IntPtr handle, out int value);
        internal delegate IntPtr GetSize(IntPtr handle, out UIntPtr value);
        internal delegate IntPtr GetLongs(IntPtr handle, long[] values, UIntPtr count);
        internal delegate IntPtr FreeMemory(IntPtr allocator, IntPtr memory);
        internal delegate IntPtr NewEnv(int level, byte[] name, out IntPtr made);
        internal delegate IntPtr NewSession(IntPtr environment, byte[] path, IntPtr options, out IntPtr made);
        internal delegate IntPtr NewMemoryInfo(byte[] name, int allocator, int device, int memory, out IntPtr made);
        internal delegate IntPtr NewAllocator(IntPtr session, IntPtr memory, out IntPtr made);
        internal delegate IntPtr NewTensor(IntPtr allocator, long[] shape, UIntPtr rank, int type, out IntPtr made);
        internal delegate IntPtr NewTensorOver(IntPtr memory, IntPtr data, UIntPtr bytes, long[] shape, UIntPtr rank, int type,
                                               out IntPtr made);
        internal delegate IntPtr GetName(IntPtr session, UIntPtr index, IntPtr allocator, out IntPtr name);
        internal delegate IntPtr BindName(IntPtr binding, byte[] name, IntPtr what);
        internal delegate IntPtr GetValues(IntPtr binding, IntPtr allocator, out IntPtr values, out UIntPtr count);
        internal delegate IntPtr RunBound(IntPtr session, IntPtr options, IntPtr binding);

        private delegate IntPtr GetTable(uint version);

        [DllImport("onnxruntime")]
        private static extern IntPtr OrtGetApiBase();

        internal static T Get<T>(int number) where T : class
        {
            Delegate found;
            if (!Known.TryGetValue(number, out found))
            {
                IntPtr address = Marshal.ReadIntPtr(Table, number * IntPtr.Size);
                Known[number] = found = Marshal.GetDelegateForFunctionPointer(address, typeof(T));
            }
            return (T)(object)found;
        }

        internal static void Check(IntPtr status)
        {
            if (status != IntPtr.Zero)
            {
                string message = Utf8.Text(Get<Message>(GetErrorMessage)(status));
                Get<Release>(ReleaseStatus)(status);
                throw new OnnxRuntimeException(message);
            }
        }

        internal static IntPtr NewEnvironment()
        {
            IntPtr made;
            Check(Get<NewEnv>(CreateEnv)(Errors, Utf8.Bytes("youtu-onnx"), out made));
            return made;
        }

        private static IntPtr OpenTable()
        {
            IntPtr getTable = Marshal.ReadIntPtr(OrtGetApiBase());
            return ((GetTable)Marshal.GetDelegateForFunctionPointer(getTable, typeof(GetTable)))(Version);
        }
    }
}
