package ai.onnxruntime;

public enum OnnxJavaType {
    FLOAT(1), UINT8(2), INT64(7), FLOAT16(10);

    final int onnx;

    OnnxJavaType(int onnx) {
        this.onnx = onnx;
    }

    static OnnxJavaType of(int onnx) {
        for (OnnxJavaType type : values()) {
            if (type.onnx == onnx) {
                return type;
            }
        }
        throw new IllegalArgumentException("type " + onnx + " isn't known to this binding");
    }
}
