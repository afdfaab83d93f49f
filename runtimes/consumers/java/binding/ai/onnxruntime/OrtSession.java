package ai.onnxruntime;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import jdk.incubator.foreign.CLinker;
import jdk.incubator.foreign.MemoryAccess;
import jdk.incubator.foreign.MemoryAddress;
import jdk.incubator.foreign.MemorySegment;
import jdk.incubator.foreign.ResourceScope;

public class OrtSession implements AutoCloseable {
    private final MemoryAddress handle;

    OrtSession(OrtEnvironment environment, String modelPath, SessionOptions options) throws OrtException {
        try (ResourceScope scope = ResourceScope.newConfinedScope()) {
            handle = Native.make(Native.CREATE_SESSION, environment.handle, CLinker.toCString(modelPath, scope).address(),
                    options.handle);
        }
    }

    /** Outputs are the pinned ones and the requested ones, which are new. */
    public Result run(Map<String, ? extends OnnxTensorLike> inputs, Set<String> requestedOutputs,
                      Map<String, ? extends OnnxValue> pinnedOutputs) throws OrtException {
        Map<String, OnnxTensor> outputs = new LinkedHashMap<>();
        pinnedOutputs.forEach((name, value) -> outputs.put(name, (OnnxTensor) value));
        requestedOutputs.forEach(name -> outputs.put(name, null));
        try (ResourceScope scope = ResourceScope.newConfinedScope()) {
            MemorySegment values = pointers(scope, outputs.values().stream()
                    .map(value -> value == null ? MemoryAddress.NULL : value.handle).toList());
            Native.call(Native.RUN, handle, MemoryAddress.NULL, names(scope, inputs.keySet()).address(),
                    pointers(scope, inputs.values().stream().map(value -> value.handle).toList()).address(),
                    (long) inputs.size(), names(scope, outputs.keySet()).address(), (long) outputs.size(), values.address());
            int index = 0;
            for (Map.Entry<String, OnnxTensor> output : outputs.entrySet()) {
                if (output.getValue() == null) {
                    output.setValue(new OnnxTensor(MemoryAccess.getAddressAtIndex(values, index), null));
                }
                index++;
            }
        }
        return new Result(outputs, requestedOutputs);
    }

    @Override
    public void close() throws OrtException {
        Native.release(Native.RELEASE_SESSION, handle);
    }

    private static MemorySegment names(ResourceScope scope, Set<String> names) {
        return pointers(scope, names.stream().map(name -> CLinker.toCString(name, scope).address()).toList());
    }

    private static MemorySegment pointers(ResourceScope scope, java.util.List<MemoryAddress> addresses) {
        MemorySegment made = MemorySegment.allocateNative(8L * addresses.size(), scope);
        for (int index = 0; index < addresses.size(); index++) {
            MemoryAccess.setAddressAtIndex(made, index, addresses.get(index));
        }
        return made;
    }

    /** The outputs of a run; closing it closes those that weren't pinned. */
    public static class Result implements AutoCloseable {
        private final Map<String, OnnxTensor> outputs;
        private final Set<String> owned;

        Result(Map<String, OnnxTensor> outputs, Set<String> owned) {
            this.outputs = outputs;
            this.owned = Set.copyOf(owned);
        }

        public Optional<OnnxValue> get(String key) {
            return Optional.ofNullable(outputs.get(key));
        }

        @Override
        public void close() {
            owned.forEach(name -> outputs.get(name).close());
        }
    }

    public static class SessionOptions implements AutoCloseable {
        final MemoryAddress handle;

        public SessionOptions() {
            try {
                handle = Native.make(Native.CREATE_SESSION_OPTIONS);
            } catch (OrtException error) {
                throw new IllegalStateException(error);
            }
        }

        public void setSessionLogLevel(OrtLoggingLevel logLevel) throws OrtException {
            Native.call(Native.SET_LOG_LEVEL, handle, logLevel.getValue());
        }

        public void setOptimizationLevel(OptLevel level) throws OrtException {
            Native.call(Native.SET_OPTIMIZATION_LEVEL, handle, level.getID());
        }

        public void addConfigEntry(String configKey, String configValue) throws OrtException {
            try (ResourceScope scope = ResourceScope.newConfinedScope()) {
                Native.call(Native.ADD_CONFIG_ENTRY, handle, CLinker.toCString(configKey, scope).address(),
                        CLinker.toCString(configValue, scope).address());
            }
        }

        public void addCUDA(int deviceNum) throws OrtException {
            throw new OrtException("this binding is for the CPU; use onnxruntime_gpu from Maven");
        }

        public void addDirectML(int deviceId) throws OrtException {
            throw new OrtException("this binding is for the CPU; use a build of ONNX Runtime's Java API with DirectML");
        }

        @Override
        public void close() {
            Native.release(Native.RELEASE_SESSION_OPTIONS, handle);
        }

        public enum OptLevel {
            NO_OPT(0), ALL_OPT(99);

            private final int id;

            OptLevel(int id) {
                this.id = id;
            }

            public int getID() {
                return id;
            }
        }
    }
}
