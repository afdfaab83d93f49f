package ai.onnxruntime;

import jdk.incubator.foreign.MemoryAccess;
import jdk.incubator.foreign.MemoryAddress;
import jdk.incubator.foreign.MemorySegment;
import jdk.incubator.foreign.ResourceScope;

public abstract class OnnxTensorLike implements OnnxValue {
    MemoryAddress handle;

    private final TensorInfo info;

    OnnxTensorLike(MemoryAddress handle) throws OrtException {
        this.handle = handle;
        MemoryAddress about = Native.make(Native.GET_TYPE_AND_SHAPE, handle);
        try (ResourceScope scope = ResourceScope.newConfinedScope()) {
            MemorySegment number = MemorySegment.allocateNative(Long.BYTES, scope);
            Native.call(Native.GET_ELEMENT_TYPE, about, number.address());
            int type = MemoryAccess.getInt(number);
            Native.call(Native.GET_RANK, about, number.address());
            long[] shape = new long[(int) MemoryAccess.getLong(number)];
            MemorySegment dimensions = MemorySegment.allocateNative((long) Long.BYTES * shape.length, scope);
            Native.call(Native.GET_DIMENSIONS, about, dimensions.address(), (long) shape.length);
            for (int index = 0; index < shape.length; index++) {
                shape[index] = MemoryAccess.getLongAtIndex(dimensions, index);
            }
            info = new TensorInfo(shape, OnnxJavaType.of(type));
        }
        Native.release(Native.RELEASE_TYPE_AND_SHAPE, about);
    }

    @Override
    public TensorInfo getInfo() {
        return info;
    }

    @Override
    public void close() {
        if (handle != null) {
            Native.release(Native.RELEASE_VALUE, handle);
        }
        handle = null;
    }
}
