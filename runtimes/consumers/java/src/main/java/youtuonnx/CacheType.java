package youtuonnx;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** What a cache's numbers are. */
enum CacheType {
    FLOAT32(4), FLOAT16(2), UINT8(1);

    /** Bytes of a number. */
    final int size;

    CacheType(int size) {
        this.size = size;
    }

    /** @throws IllegalArgumentException an unknown name */
    static CacheType named(String name) {
        for (CacheType type : values()) {
            if (type.name().equalsIgnoreCase(name)) {
                return type;
            }
        }
        throw new IllegalArgumentException("a cache of " + name + " isn't known here");
    }

    /** A tensor over the beginning of a direct buffer. */
    OnnxTensor over(ByteBuffer buffer, long[] shape) throws OrtException {
        OrtEnvironment environment = OrtEnvironment.getEnvironment();
        int numbers = Math.toIntExact(shape[0] * shape[1] * shape[2] * shape[3]);
        ByteBuffer bytes = buffer.duplicate().order(ByteOrder.nativeOrder()).clear().limit(numbers * size);
        return switch (this) {
            case FLOAT32 -> OnnxTensor.createTensor(environment, bytes.asFloatBuffer(), shape);
            case FLOAT16 -> OnnxTensor.createTensor(environment, bytes.asShortBuffer(), shape, OnnxJavaType.FLOAT16);
            case UINT8 -> OnnxTensor.createTensor(environment, bytes, shape, OnnxJavaType.UINT8);
        };
    }
}
