package youtuonnx;

import ai.onnxruntime.OrtException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.IntConsumer;

/** A bundle opened in ONNX Runtime, and the tokens of one conversation in its cache. */
public final class OrtChat implements AutoCloseable {
    public final BundleTokenizer tokenizer;
    public final ChatFormat format;

    private final OrtDecoder decoder;
    private final List<Integer> cached = new ArrayList<>();

    public OrtChat(Path folder, String provider) throws IOException, OrtException {
        tokenizer = new BundleTokenizer(folder);
        format = new ChatFormat(folder, tokenizer);
        decoder = new OrtDecoder(folder, provider);
    }

    /**
     * The reply to a conversation. What it has in common with the one before is not computed again.
     *
     * @param write takes the reply's pieces as they come
     */
    public String reply(List<Message> messages, boolean thinking, int maxTokens, Consumer<String> write) throws OrtException {
        StringBuilder reply = new StringBuilder();
        TextStream stream = new TextStream(tokenizer);
        Consumer<String> both = write.andThen(reply::append);
        generate(format.prompt(messages, true, thinking, new StringBuilder()), maxTokens,
                token -> both.accept(tokenizer.isSpecial(token) ? "" : stream.push(token)));
        both.accept(stream.finish());
        return reply.toString();
    }

    /** The tokens that follow a prompt, each the likeliest, the end token last where it came. */
    public List<Integer> generate(List<Integer> prompt, int maxTokens, IntConsumer push) throws OrtException {
        List<Integer> tokens = new ArrayList<>();
        float[] logits = logits(prompt);
        while (true) {
            int token = likeliest(logits);
            tokens.add(token);
            push.accept(token);
            if (tokens.size() >= maxTokens || decoder.manifest.endIds.contains(token)
                    || decoder.length() >= decoder.manifest.contextLength) {
                return tokens;
            }
            logits = run(List.of(token));
        }
    }

    /** Logits of the token that follows a prompt. */
    public float[] logits(List<Integer> prompt) throws OrtException {
        int common = 0;
        // one token at least has to be fed, for logits to come
        while (common < Math.min(cached.size(), prompt.size() - 1) && cached.get(common).equals(prompt.get(common))) {
            common++;
        }
        decoder.truncate(common);
        cached.subList(decoder.length(), cached.size()).clear();
        return run(prompt.subList(cached.size(), prompt.size()));
    }

    @Override
    public void close() throws OrtException {
        decoder.close();
    }

    private float[] run(List<Integer> ids) throws OrtException {
        float[] logits = decoder.run(ids);
        cached.addAll(ids);
        return logits;
    }

    private static int likeliest(float[] logits) {
        int best = 0;
        for (int index = 1; index < logits.length; index++) {
            best = logits[index] > logits[best] ? index : best;
        }
        return best;
    }
}
