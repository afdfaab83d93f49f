package ai.onnxruntime;

public class TensorInfo {
    public final OnnxJavaType type;

    private final long[] shape;

    TensorInfo(long[] shape, OnnxJavaType type) {
        this.shape = shape;
        this.type = type;
    }

    public long[] getShape() {
        return shape.clone();
    }
}
