package ai.onnxruntime;

public interface OnnxValue extends AutoCloseable {
    TensorInfo getInfo();

    @Override
    void close();
}
