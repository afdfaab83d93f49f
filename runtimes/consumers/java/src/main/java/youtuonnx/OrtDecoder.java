package youtuonnx;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.LongStream;

/** A bundle's graph in a session, and the cache of one sequence. */
public final class OrtDecoder implements AutoCloseable {
    /** Tokens of one step at most: attention's scores are H · S · T numbers. */
    private static final int STEP = 512;
    /** The same where a step returns logits of all its tokens: 0.5 MB a token for Youtu-LLM-2B. */
    private static final int STEP_OF_ALL_LOGITS = 128;

    final Manifest manifest;

    private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
    private final OrtSession session;
    private final SequenceCache cache;

    /**
     * @param folder the bundle's
     * @param provider cpu, cuda or dml; null for the one that the bundle was exported for
     * @throws IllegalArgumentException another provider
     */
    public OrtDecoder(Path folder, String provider) throws IOException, OrtException {
        environment.setTelemetry(false);  // the variable ORT_DISABLE_TELEMETRY=1 keeps it from beginning, too
        manifest = new Manifest(folder);
        String chosen = provider == null ? manifest.provider : provider;
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
            options.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL);  // what goes wrong is thrown, and said once
            switch (chosen) {
                case "cpu" -> setCpu(options);
                case "cuda" -> options.addCUDA(0);
                case "dml" -> options.addDirectML(0);
                default -> throw new IllegalArgumentException(
                        "provider " + chosen + " isn't known here; choose cpu, cuda or dml");
            }
            session = environment.createSession(folder.resolve("model.onnx").toString(), options);
        }
        cache = manifest.reserved != null ? new StaticCache(manifest)
                : chosen.equals("cpu") && InPlaceCache.fits(manifest) ? new InPlaceCache(manifest) : new ReturnedCache(manifest);
    }

    /** Tokens in the cache. */
    public int length() {
        return cache.length();
    }

    /** Keeps at most the first tokens; length() says how many are left. */
    public void truncate(int length) {
        cache.truncate(length);
    }

    /** Runs the next tokens. Returns the logits of the last. */
    public float[] run(List<Integer> ids) throws OrtException {
        if (ids.isEmpty() || cache.length() + ids.size() > manifest.contextLength) {
            throw new IllegalArgumentException((cache.length() + ids.size()) + " tokens don't fit in a context of "
                    + manifest.contextLength
                    + (manifest.reserved == null ? "" : ", which this bundle reserves; export it with a larger --max-length"));
        }
        float[] logits = {};
        int step = manifest.maskKeepsLogits ? STEP : STEP_OF_ALL_LOGITS;
        for (int start = 0; start < ids.size(); start += step) {
            logits = step(ids.subList(start, Math.min(start + step, ids.size())));
        }
        return logits;
    }

    @Override
    public void close() throws OrtException {
        cache.close();
        session.close();
    }

    /** S new tokens after P in the cache. */
    private float[] step(List<Integer> ids) throws OrtException {
        int past = cache.length(), total = past + ids.size();
        // a reserved cache's steps all have one shape of mask, with zeros behind the tokens
        int masked = manifest.reserved == null ? total : manifest.reserved;
        long last = manifest.maskKeepsLogits ? 2 : 1;  // 1 + k: logits of the last k positions only
        try (OnnxTensor inputs = row(ids.stream().mapToLong(id -> id));                      // [1, S]
                OnnxTensor mask = row(LongStream.range(0, masked)                            // [1, T or M]
                        .map(at -> at == total - 1 ? last : at < total ? 1 : 0));
                OnnxTensor positions = row(LongStream.range(past, total))) {                 // [1, S]
            Map<String, OnnxTensor> all = new HashMap<>(), pinned = new HashMap<>();
            all.put("input_ids", inputs);
            all.put("attention_mask", mask);
            all.put("position_ids", positions);
            cache.bind(ids.size(), all, pinned);
            Set<String> requested = new HashSet<>(Set.of("logits"));
            manifest.tensors.stream().map(Manifest.CacheTensor::present).filter(name -> !pinned.containsKey(name))
                    .forEach(requested::add);
            OrtSession.Result result = session.run(all, requested, pinned);
            float[] logits = lastRow((OnnxTensor) result.get("logits").orElseThrow());
            cache.commit(result, ids.size());
            return logits;
        }
    }

    private void setCpu(OrtSession.SessionOptions options) throws OrtException {
        // exact products of bytes on x86 processors without VNNI; the fast ones there saturate at 16 bits
        options.addConfigEntry("session.x64quantprecision", "1");
        if (manifest.optimized) {
            // looking through it again only takes time
            options.setOptimizationLevel(OrtSession.SessionOptions.OptLevel.NO_OPT);
        }
    }

    private OnnxTensor row(LongStream numbers) throws OrtException {
        long[] row = numbers.toArray();
        LongBuffer buffer = ByteBuffer.allocateDirect(row.length * Long.BYTES).order(ByteOrder.nativeOrder()).asLongBuffer();
        return OnnxTensor.createTensor(environment, buffer.put(row).flip(), new long[] {1, row.length});
    }

    /** [1, S, V] to the last V numbers. */
    private static float[] lastRow(OnnxTensor logits) {
        float[] row = new float[Math.toIntExact(logits.getInfo().getShape()[2])];
        FloatBuffer all = logits.getFloatBuffer();  // float16 becomes float here
        all.position(all.limit() - row.length).get(row);
        return row;
    }
}
