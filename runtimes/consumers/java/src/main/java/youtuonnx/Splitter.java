package youtuonnx;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Cuts a text where tokens must end: the pre_tokenizer of tokenizer.json. */
final class Splitter {
    private final List<Pattern> patterns = new ArrayList<>();

    /** @throws IllegalArgumentException a kind of pre-tokenizer that Youtu's tokenizers don't have */
    Splitter(Map<String, Object> preTokenizer) {
        boolean sequence = preTokenizer != null && "Sequence".equals(preTokenizer.get("type"));
        boolean bytes = false;
        for (Object one : sequence ? Json.list(preTokenizer.get("pretokenizers")) : List.<Object>of()) {
            Map<String, Object> step = Json.object(one);
            if ("Split".equals(step.get("type")) && "Isolated".equals(step.get("behavior"))
                    && Boolean.FALSE.equals(step.get("invert")) && Json.object(step.get("pattern")).containsKey("Regex")) {
                String pattern = (String) Json.object(step.get("pattern")).get("Regex");
                // the flag lets \s match every white space, as it does for the tokenizer's authors
                patterns.add(Pattern.compile(pattern, Pattern.UNICODE_CHARACTER_CLASS));
            } else if ("ByteLevel".equals(step.get("type")) && Boolean.FALSE.equals(step.get("use_regex"))
                    && Boolean.FALSE.equals(step.get("add_prefix_space"))) {
                bytes = true;
            } else {
                throw new IllegalArgumentException("tokenizer.json: a pre-tokenizer " + step.get("type")
                        + " of a form that isn't read here");
            }
        }
        if (!bytes) {
            throw new IllegalArgumentException("tokenizer.json: the pre-tokenizer isn't byte-level");
        }
    }

    /** The pieces, which join to the text again. */
    List<String> split(String text) {
        List<String> pieces = List.of(text);
        for (Pattern pattern : patterns) {
            List<String> found = new ArrayList<>();
            pieces.forEach(piece -> isolate(pattern, piece, found));
            pieces = found;
        }
        return pieces;
    }

    private static void isolate(Pattern pattern, String piece, List<String> found) {
        Matcher matcher = pattern.matcher(piece);
        int start = 0;
        while (matcher.find()) {
            if (matcher.start() > start) {
                found.add(piece.substring(start, matcher.start()));
            }
            if (matcher.end() > matcher.start()) {
                found.add(matcher.group());
            }
            start = matcher.end();
        }
        if (start < piece.length()) {
            found.add(piece.substring(start));
        }
    }
}
