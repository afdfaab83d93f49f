package youtuonnx;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * The presents of the last step are the pasts of the next: works with every layout and provider, by way of host memory, also
 * where rows leave inside the graph and each layer has a number of its own.
 */
final class ReturnedCache implements SequenceCache {
    private final List<Manifest.CacheTensor> tensors;
    private final CacheType type;
    private final List<OnnxTensor> empty = new ArrayList<>();
    private OrtSession.Result last;
    private int length;

    ReturnedCache(Manifest manifest) {
        tensors = manifest.tensors;
        type = CacheType.named(manifest.cacheType);
    }

    @Override
    public int length() {
        return length;
    }

    @Override
    public void bind(int count, Map<String, OnnxTensor> inputs, Map<String, OnnxTensor> pinned) throws OrtException {
        for (Manifest.CacheTensor tensor : tensors) {
            if (last == null) {
                empty.add(type.over(ByteBuffer.allocateDirect(0), new long[] {1, tensor.heads(), 0, tensor.width()}));
                inputs.put(tensor.past(), empty.get(empty.size() - 1));
            } else {
                inputs.put(tensor.past(), (OnnxTensor) last.get(tensor.present()).orElseThrow());
            }
        }
    }

    @Override
    public void commit(OrtSession.Result result, int count) {
        close();
        last = result;
        length += count;
    }

    /** Here a cache is kept whole or not at all. */
    @Override
    public void truncate(int length) {
        if (length < this.length) {
            close();
            this.length = 0;
        }
    }

    @Override
    public void close() {
        empty.forEach(OnnxTensor::close);
        empty.clear();
        if (last != null) {
            last.close();
        }
        last = null;
    }
}
