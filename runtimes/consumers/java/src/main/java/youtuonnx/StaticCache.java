package youtuonnx;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Buffers of the reserved length, each bound as past and as present: the graph writes a step's rows into them.
 *
 * <p>The attention mask says which rows are in use, so what else is in the memory never matters. Java's API has no way to keep
 * them on a device.
 */
final class StaticCache implements SequenceCache {
    private final List<Manifest.CacheTensor> tensors;
    private final List<OnnxTensor> buffers = new ArrayList<>();
    private int length;

    StaticCache(Manifest manifest) throws OrtException {
        tensors = manifest.tensors;
        CacheType type = CacheType.named(manifest.cacheType);
        for (Manifest.CacheTensor tensor : tensors) {
            long[] shape = {1, tensor.heads(), manifest.reserved, tensor.width()};
            long bytes = shape[1] * shape[2] * shape[3] * type.size;
            buffers.add(type.over(ByteBuffer.allocateDirect(Math.toIntExact(bytes)), shape));
        }
    }

    @Override
    public int length() {
        return length;
    }

    @Override
    public void bind(int count, Map<String, OnnxTensor> inputs, Map<String, OnnxTensor> pinned) {
        for (int index = 0; index < buffers.size(); index++) {
            inputs.put(tensors.get(index).past(), buffers.get(index));
            pinned.put(tensors.get(index).present(), buffers.get(index));
        }
    }

    @Override
    public void commit(OrtSession.Result result, int count) {
        result.close();  // the presents are this cache's own, and stay
        length += count;
    }

    @Override
    public void truncate(int length) {
        this.length = Math.min(this.length, length);
    }

    @Override
    public void close() {
        buffers.forEach(OnnxTensor::close);
        buffers.clear();
    }
}
