package youtuonnx;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.util.Map;

/** The cache of one sequence. A step binds it, runs, and commits what came back. */
interface SequenceCache extends AutoCloseable {
    /** Tokens that it was made of; rows may be fewer. */
    int length();

    /**
     * Adds pasts of length() tokens to the inputs, and to the pinned outputs where the presents of count tokens more shall go,
     * if anywhere. The tensors stay open until the next call.
     */
    void bind(int count, Map<String, OnnxTensor> inputs, Map<String, OnnxTensor> pinned) throws OrtException;

    /** Takes over what a step of count tokens returned, and the duty to close it. */
    void commit(OrtSession.Result result, int count);

    /** Keeps the first tokens, as many as it can and at most so many. */
    void truncate(int length);

    @Override
    void close();
}
