package ai.onnxruntime;

import jdk.incubator.foreign.CLinker;
import jdk.incubator.foreign.MemoryAddress;
import jdk.incubator.foreign.ResourceScope;

/** These classes have the names and signatures of ONNX Runtime's Java API, as far as the sample uses it, for the CPU alone. */
public final class OrtEnvironment implements AutoCloseable {
    private static OrtEnvironment instance;

    final MemoryAddress handle, memory;

    private OrtEnvironment() throws OrtException {
        try (ResourceScope scope = ResourceScope.newConfinedScope()) {
            handle = Native.make(Native.CREATE_ENV, OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR.getValue(),
                    CLinker.toCString("youtu-onnx", scope).address());
        }
        memory = Native.make(Native.CREATE_CPU_MEMORY_INFO, 0, 0);
    }

    public static synchronized OrtEnvironment getEnvironment() {
        try {
            instance = instance == null ? new OrtEnvironment() : instance;
            return instance;
        } catch (OrtException error) {
            throw new IllegalStateException(error);
        }
    }

    public void setTelemetry(boolean sendTelemetry) throws OrtException {
        Native.call(sendTelemetry ? Native.ENABLE_TELEMETRY : Native.DISABLE_TELEMETRY, handle);
    }

    public OrtSession createSession(String modelPath, OrtSession.SessionOptions options) throws OrtException {
        return new OrtSession(this, modelPath, options);
    }

    @Override
    public void close() {
        // lives as long as the program, as the real one does
    }
}
