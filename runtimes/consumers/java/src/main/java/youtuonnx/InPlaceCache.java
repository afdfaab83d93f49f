package youtuonnx;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * One buffer per tensor, bound as past and as present at once: a step adds rows and moves none.
 *
 * <p>It works on the CPU where a tensor has one head, as the latent form's have: then [1, 1, P, width] is the beginning of
 * [1, 1, T, width] in memory, and the graph copies the past onto itself. Otherwise each step copies the whole cache.
 */
final class InPlaceCache implements SequenceCache {
    private static final int FIRST_ROWS = 256;

    private final List<Manifest.CacheTensor> tensors;
    private final CacheType type;
    private final ByteBuffer[] buffers;
    private final List<OnnxTensor> open = new ArrayList<>();
    private final int mostRows;
    private int rows, length;

    InPlaceCache(Manifest manifest) {
        tensors = manifest.tensors;
        type = CacheType.named(manifest.cacheType);
        buffers = new ByteBuffer[tensors.size()];
        mostRows = manifest.contextLength;
    }

    static boolean fits(Manifest manifest) {
        return manifest.oneRowEach && manifest.tensors.stream().allMatch(tensor -> tensor.heads() == 1);
    }

    @Override
    public int length() {
        return length;
    }

    @Override
    public void bind(int count, Map<String, OnnxTensor> inputs, Map<String, OnnxTensor> pinned) throws OrtException {
        closeTensors();
        if (length + count > rows) {
            grow(length + count);
        }
        for (int index = 0; index < buffers.length; index++) {
            inputs.put(tensors.get(index).past(), view(index, length));
            pinned.put(tensors.get(index).present(), view(index, length + count));
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
        closeTensors();
    }

    private void grow(int wanted) {
        rows = Math.max(wanted, Math.min(mostRows, Math.max(FIRST_ROWS, wanted + wanted / 2)));
        for (int index = 0; index < buffers.length; index++) {
            long rowBytes = tensors.get(index).width() * type.size;
            ByteBuffer larger = ByteBuffer.allocateDirect(Math.toIntExact(rows * rowBytes));
            if (length > 0) {
                larger.put(buffers[index].duplicate().clear().limit(Math.toIntExact(length * rowBytes)));
            }
            buffers[index] = larger;
        }
    }

    private OnnxTensor view(int index, int length) throws OrtException {
        OnnxTensor made = type.over(buffers[index], new long[] {1, 1, length, tensors.get(index).width()});
        open.add(made);
        return made;
    }

    private void closeTensors() {
        open.forEach(OnnxTensor::close);
        open.clear();
    }
}
