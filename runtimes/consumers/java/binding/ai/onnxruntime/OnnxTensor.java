package ai.onnxruntime;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.nio.ShortBuffer;
import jdk.incubator.foreign.MemoryAccess;
import jdk.incubator.foreign.MemoryAddress;
import jdk.incubator.foreign.MemorySegment;
import jdk.incubator.foreign.ResourceScope;
import sun.nio.ch.DirectBuffer;

public class OnnxTensor extends OnnxTensorLike {
    private final Buffer buffer;  // kept from the collector while the library reads it

    OnnxTensor(MemoryAddress handle, Buffer buffer) throws OrtException {
        super(handle);
        this.buffer = buffer;
    }

    public static OnnxTensor createTensor(OrtEnvironment env, FloatBuffer data, long[] shape) throws OrtException {
        return over(env, data, Float.BYTES, shape, OnnxJavaType.FLOAT);
    }

    public static OnnxTensor createTensor(OrtEnvironment env, LongBuffer data, long[] shape) throws OrtException {
        return over(env, data, Long.BYTES, shape, OnnxJavaType.INT64);
    }

    public static OnnxTensor createTensor(OrtEnvironment env, ShortBuffer data, long[] shape, OnnxJavaType type)
            throws OrtException {
        return over(env, data, Short.BYTES, shape, type);
    }

    public static OnnxTensor createTensor(OrtEnvironment env, ByteBuffer data, long[] shape, OnnxJavaType type)
            throws OrtException {
        return over(env, data, 1, shape, type);
    }

    /** A copy of the numbers as floats. */
    public FloatBuffer getFloatBuffer() {
        try {
            long count = 1;
            for (long size : getInfo().getShape()) {
                count *= size;
            }
            boolean half = getInfo().type == OnnxJavaType.FLOAT16;
            ByteBuffer data = Native.make(Native.GET_TENSOR_DATA, handle)
                    .asSegment(count * (half ? 2 : 4), ResourceScope.globalScope()).asByteBuffer().order(ByteOrder.nativeOrder());
            FloatBuffer copy = FloatBuffer.allocate(Math.toIntExact(count));
            while (copy.hasRemaining()) {
                copy.put(half ? half(data.getShort()) : data.getFloat());
            }
            return copy.flip();
        } catch (OrtException error) {
            throw new IllegalStateException(error);
        }
    }

    private static OnnxTensor over(OrtEnvironment env, Buffer data, int size, long[] shape, OnnxJavaType type)
            throws OrtException {
        long count = 1;
        for (long dimension : shape) {
            count *= dimension;
        }
        if (count != data.remaining() || !data.isDirect()) {
            throw new OrtException("the shape requires a direct buffer of " + count + " elements, this one has "
                    + data.remaining());
        }
        try (ResourceScope scope = ResourceScope.newConfinedScope()) {
            MemorySegment dimensions = MemorySegment.allocateNative((long) Long.BYTES * shape.length, scope);
            for (int index = 0; index < shape.length; index++) {
                MemoryAccess.setLongAtIndex(dimensions, index, shape[index]);
            }
            MemoryAddress start = MemoryAddress.ofLong(((DirectBuffer) data).address() + (long) data.position() * size);
            return new OnnxTensor(Native.make(Native.CREATE_TENSOR_OVER, env.memory, start, count * size, dimensions.address(),
                    (long) shape.length, type.onnx), data);
        }
    }

    private static float half(short bits) {
        int exponent = bits >> 10 & 31, fraction = bits & 1023;
        double size = exponent == 0 ? Math.scalb((double) fraction, -24)
                : exponent < 31 ? Math.scalb(1024.0 + fraction, exponent - 25)
                : fraction == 0 ? Double.POSITIVE_INFINITY : Double.NaN;
        return (float) (bits < 0 ? -size : size);
    }
}
