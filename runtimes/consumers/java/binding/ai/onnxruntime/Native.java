package ai.onnxruntime;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodType;
import java.util.HashMap;
import java.util.Map;
import jdk.incubator.foreign.CLinker;
import jdk.incubator.foreign.FunctionDescriptor;
import jdk.incubator.foreign.MemoryAccess;
import jdk.incubator.foreign.MemoryAddress;
import jdk.incubator.foreign.MemoryLayout;
import jdk.incubator.foreign.MemorySegment;
import jdk.incubator.foreign.ResourceScope;
import jdk.incubator.foreign.SymbolLookup;

/**
 * The C library, through Java 17's foreign functions. The system property onnxruntime.library names its file.
 *
 * <p>Functions have the numbers of their places in struct OrtApi of onnxruntime_c_api.h, which only grows at its end.
 */
final class Native {
    static final int CREATE_ENV = 3, ENABLE_TELEMETRY = 5, DISABLE_TELEMETRY = 6, CREATE_SESSION = 7, RUN = 9,
            CREATE_SESSION_OPTIONS = 10, SET_LOG_LEVEL = 22, SET_OPTIMIZATION_LEVEL = 23, CREATE_TENSOR_OVER = 49,
            GET_TENSOR_DATA = 51, GET_ELEMENT_TYPE = 60, GET_RANK = 61, GET_DIMENSIONS = 62, GET_TYPE_AND_SHAPE = 65,
            CREATE_CPU_MEMORY_INFO = 69, RELEASE_SESSION = 95, RELEASE_VALUE = 96, RELEASE_TYPE_AND_SHAPE = 99,
            RELEASE_SESSION_OPTIONS = 100, ADD_CONFIG_ENTRY = 130;

    private static final int GET_ERROR_MESSAGE = 2, RELEASE_STATUS = 93;
    private static final int VERSION = 17;  // of the table: any that has all of these
    private static final long POINTER = 8;

    private static final CLinker LINKER = CLinker.getInstance();
    private static final Map<Integer, MethodHandle> KNOWN = new HashMap<>();
    private static final MemoryAddress TABLE = openTable();

    private Native() {
    }

    /** Calls a function that returns a status. MemoryAddress, Integer and Long are C's pointers, ints and sizes. */
    static void call(int number, Object... arguments) throws OrtException {
        MemoryAddress status = (MemoryAddress) invoke(number, MemoryAddress.class, arguments);
        if (!status.equals(MemoryAddress.NULL)) {
            String message = CLinker.toJavaString((MemoryAddress) invoke(GET_ERROR_MESSAGE, MemoryAddress.class, status));
            release(RELEASE_STATUS, status);
            throw new OrtException(message);
        }
    }

    /** Calls a function whose last argument is where it puts a pointer, and returns that. */
    static MemoryAddress make(int number, Object... arguments) throws OrtException {
        try (ResourceScope scope = ResourceScope.newConfinedScope()) {
            MemorySegment made = MemorySegment.allocateNative(POINTER, scope);
            Object[] all = java.util.Arrays.copyOf(arguments, arguments.length + 1);
            all[arguments.length] = made.address();
            call(number, all);
            return MemoryAccess.getAddress(made);
        }
    }

    static void release(int number, MemoryAddress handle) {
        invoke(number, void.class, handle);
    }

    private static synchronized Object invoke(int number, Class<?> result, Object... arguments) {
        MethodHandle handle = KNOWN.computeIfAbsent(number, place -> {
            MemorySegment table = TABLE.asSegment((place + 1) * POINTER, ResourceScope.globalScope());
            return handle(MemoryAccess.getAddressAtOffset(table, place * POINTER), result, arguments);
        });
        return invoke(handle, arguments);
    }

    private static MethodHandle handle(MemoryAddress function, Class<?> result, Object... arguments) {
        Class<?>[] types = new Class<?>[arguments.length];
        MemoryLayout[] layouts = new MemoryLayout[arguments.length];
        for (int index = 0; index < types.length; index++) {
            Object argument = arguments[index];
            types[index] = argument instanceof Integer ? int.class : argument instanceof Long ? long.class : MemoryAddress.class;
            layouts[index] = argument instanceof Integer ? CLinker.C_INT
                    : argument instanceof Long ? CLinker.C_LONG_LONG : CLinker.C_POINTER;
        }
        FunctionDescriptor descriptor = result == void.class ? FunctionDescriptor.ofVoid(layouts)
                : FunctionDescriptor.of(CLinker.C_POINTER, layouts);
        return LINKER.downcallHandle(function, MethodType.methodType(result, types), descriptor);
    }

    private static Object invoke(MethodHandle handle, Object... arguments) {
        try {
            return handle.invokeWithArguments(arguments);
        } catch (Throwable error) {
            throw new IllegalStateException(error);
        }
    }

    private static MemoryAddress openTable() {
        System.load(System.getProperty("onnxruntime.library"));
        MemoryAddress base = (MemoryAddress) invoke(handle(
                SymbolLookup.loaderLookup().lookup("OrtGetApiBase").orElseThrow(), MemoryAddress.class));
        MemoryAddress getApi = MemoryAccess.getAddress(base.asSegment(POINTER, ResourceScope.globalScope()));
        return (MemoryAddress) invoke(handle(getApi, MemoryAddress.class, VERSION), VERSION);
    }
}
