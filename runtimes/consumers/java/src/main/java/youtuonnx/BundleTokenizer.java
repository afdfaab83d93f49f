package youtuonnx;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** tokenizer.json of a bundle: the ids that Hugging Face's tokenizer gives. */
public final class BundleTokenizer {
    private final Splitter splitter;
    private final BytePairs pairs;
    private final Map<String, Integer> added = new HashMap<>();
    private final Map<Integer, byte[]> addedBytes = new HashMap<>();
    private final Set<Integer> special = new HashSet<>();
    private final Pattern addedPattern;

    /**
     * @param folder the bundle's
     * @throws IOException the file can't be read
     * @throws IllegalArgumentException a tokenizer of another kind than Youtu's
     */
    public BundleTokenizer(Path folder) throws IOException {
        Map<String, Object> file = Json.read(folder.resolve("tokenizer.json"));
        if (file.get("normalizer") != null) {
            throw new IllegalArgumentException("tokenizer.json: a normalizer isn't read here");
        }
        splitter = new Splitter(Json.object(file.get("pre_tokenizer")));
        pairs = new BytePairs(Json.object(file.get("model")));
        for (Object one : Json.list(file.get("added_tokens"))) {
            Map<String, Object> token = Json.object(one);
            if (List.of("single_word", "lstrip", "rstrip").stream().anyMatch(name -> Boolean.TRUE.equals(token.get(name)))) {
                throw new IllegalArgumentException("tokenizer.json: an added token that takes spaces isn't read here");
            }
            int id = Json.integer(token.get("id"));
            String literal = (String) token.get("content");
            added.put(literal, id);
            addedBytes.put(id, literal.getBytes(StandardCharsets.UTF_8));
            if (Boolean.TRUE.equals(token.get("special"))) {
                special.add(id);
            }
        }
        // the longest of those that begin at one place wins
        addedPattern = Pattern.compile(added.keySet().stream().sorted(Comparator.comparing(String::length).reversed())
                .map(Pattern::quote).collect(Collectors.joining("|")));
    }

    /** Token ids of a text that somebody wrote: what looks like a control token is characters. */
    public List<Integer> encode(String text) {
        List<Integer> ids = new ArrayList<>();
        splitter.split(withoutHalves(text)).forEach(piece -> pairs.encode(piece, ids));
        return ids;
    }

    /**
     * Token ids of a text in which literals of added tokens stand for the tokens.
     *
     * @param allowed literals that do; null for all. The others are characters.
     */
    public List<Integer> encodeControl(String text, Collection<String> allowed) {
        List<Integer> ids = new ArrayList<>();
        Matcher matcher = addedPattern.matcher(text);
        int start = 0;
        while (matcher.find()) {
            if (allowed == null || allowed.contains(matcher.group())) {
                ids.addAll(encode(text.substring(start, matcher.start())));
                ids.add(added.get(matcher.group()));
                start = matcher.end();
            }
        }
        ids.addAll(encode(text.substring(start)));
        return ids;
    }

    /** The text of ids. Bytes that are no UTF-8 become U+FFFD. */
    public String decode(Iterable<Integer> ids) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        ids.forEach(id -> bytes.writeBytes(bytes(id)));
        return bytes.toString(StandardCharsets.UTF_8);
    }

    /** Whether the id is a token that a reader shouldn't see, such as the end of a reply. */
    public boolean isSpecial(int id) {
        return special.contains(id);
    }

    /** The bytes of an id, none beyond the vocabulary. A character may be spread over several ids. */
    byte[] bytes(int id) {
        byte[] literal = addedBytes.get(id);
        return literal != null ? literal : pairs.bytes(id);
    }

    /** Halves of surrogate pairs, which UTF-8 can't carry, become U+FFFD. */
    private static String withoutHalves(String text) {
        StringBuilder whole = new StringBuilder(text.length());
        text.codePoints().map(point -> point >= 0xd800 && point < 0xe000 ? 0xfffd : point).forEach(whole::appendCodePoint);
        return whole.toString();
    }
}
