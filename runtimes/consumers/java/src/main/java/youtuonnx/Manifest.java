package youtuonnx;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/** What a program has to know of a bundle, from youtu_onnx.json. */
final class Manifest {
    private static final int NEWEST = 2;

    /** One past input of the graph and its present output, both [1, heads, tokens, width]. */
    record CacheTensor(String past, String present, long heads, long width) {
    }

    final List<CacheTensor> tensors;
    final Set<Integer> endIds;
    final String cacheType;
    /** That the graph was written for; those of phones run on the CPU. */
    final String provider;
    /** Whether the graph was written as the optimizer would leave it. */
    final boolean optimized;
    /** Whether a last column of 1 + k in the mask asks for logits of the last k positions only. */
    final boolean maskKeepsLogits;
    /** Whether every cache tensor has one row for each token, so that a sequence's last tokens can be taken back. */
    final boolean oneRowEach;
    /** Tokens that the cache's buffers have room for, where their length is fixed; null where the cache grows. */
    final Integer reserved;
    /** The most tokens of a sequence. */
    final int contextLength;

    /** @throws IOException a bundle of a newer format, or none */
    Manifest(Path folder) throws IOException {
        Map<String, Object> file = Json.read(folder.resolve("youtu_onnx.json"));
        if (Json.integer(file.get("format_version")) > NEWEST) {
            throw new IOException("the bundle has format " + file.get("format_version") + "; this program reads 1 to "
                    + NEWEST);
        }
        Map<String, Object> architecture = Json.object(file.get("architecture")), cache = Json.object(file.get("cache"));
        // format 1 says nothing, and has no other
        oneRowEach = !Boolean.FALSE.equals(cache.get("uniform")) && !Boolean.FALSE.equals(cache.get("rewindable"));
        reserved = cache.get("length") == null ? null : Json.integer(cache.get("length"));
        contextLength = reserved != null ? reserved : Json.integer(architecture.get("max_position_embeddings"));
        endIds = Json.list(architecture.get("eos_token_ids")).stream().map(Json::integer).collect(Collectors.toSet());
        if (file.containsKey("graph")) {
            Map<String, Object> graph = Json.object(file.get("graph"));
            provider = (String) graph.get("provider");
            optimized = (Boolean) graph.get("optimized");
            maskKeepsLogits = Boolean.TRUE.equals(graph.get("mask_keeps_logits"));
        } else {  // format 1 has a target, and leaves the rest to its readers
            provider = file.get("target").equals("mobile") ? "cpu" : (String) file.get("target");
            optimized = provider.equals("cpu") && cache.get("form").equals("latent")
                    && !Json.object(file.get("recipe")).get("precision").equals("fp16");
            maskKeepsLogits = false;
        }
        cacheType = (String) cache.get("dtype");
        tensors = Json.list(cache.get("tensors")).stream().map(Json::object).map(tensor -> new CacheTensor(
                (String) tensor.get("past"), (String) tensor.get("present"), Json.integer(tensor.get("heads")),
                Json.integer(tensor.get("width")))).toList();
    }
}
