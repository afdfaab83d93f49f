package youtuonnx;

import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The vocabulary and the merges of tokenizer.json: bytes of a piece to token ids and back. */
final class BytePairs {
    private final int[] byteIds = new int[256];
    private final Map<Integer, byte[]> bytes = new HashMap<>();
    private final Map<Long, Long> merges = new HashMap<>();  // pair of ids: rank << 32 | merged id

    /** @throws IllegalArgumentException a model that isn't byte-level BPE as Youtu's tokenizers are */
    BytePairs(Map<String, Object> model) {
        if (!"BPE".equals(model.get("type")) || Boolean.TRUE.equals(model.get("ignore_merges"))) {
            throw new IllegalArgumentException("tokenizer.json: a model of a form that isn't read here");
        }
        Map<String, Object> vocabulary = Json.object(model.get("vocab"));
        Map<Character, Byte> byLetter = new HashMap<>();
        int others = 256;
        for (int value = 0; value < 256; value++) {
            // the letter that stands for a byte in a byte-level vocabulary: itself where it is printable
            boolean printable = value >= '!' && value <= '~' || value >= 0xa1 && value != 0xad;
            char letter = (char) (printable ? value : others++);
            byLetter.put(letter, (byte) value);
            byteIds[value] = Json.integer(vocabulary.get(String.valueOf(letter)));
        }
        vocabulary.forEach((token, id) -> bytes.put(Json.integer(id), bytes(token, byLetter)));
        long rank = 0;
        for (Object merge : Json.list(model.get("merges"))) {
            List<?> halves = merge instanceof String pair ? List.of(pair.split(" ")) : Json.list(merge);
            String left = (String) halves.get(0), right = (String) halves.get(1);
            long pair = (long) Json.integer(vocabulary.get(left)) << 32 | Json.integer(vocabulary.get(right));
            merges.put(pair, rank++ << 32 | Json.integer(vocabulary.get(left + right)));
        }
    }

    /** Adds a piece's ids. Each round joins all pairs of the lowest rank, so a long run takes few rounds. */
    void encode(String piece, List<Integer> ids) {
        byte[] utf8 = piece.getBytes(StandardCharsets.UTF_8);
        int[] parts = new int[utf8.length];
        int count = utf8.length;
        for (int index = 0; index < count; index++) {
            parts[index] = byteIds[utf8[index] & 0xff];
        }
        long best;
        do {
            best = Long.MAX_VALUE;
            for (int index = 0; index + 1 < count; index++) {
                best = Math.min(best, merge(parts[index], parts[index + 1]));
            }
            int kept = 0;
            for (int index = 0; index < count; index++) {
                boolean joins = best != Long.MAX_VALUE && index + 1 < count && merge(parts[index], parts[index + 1]) == best;
                parts[kept++] = joins ? (int) best : parts[index];
                index += joins ? 1 : 0;
            }
            count = kept;
        } while (best != Long.MAX_VALUE);
        for (int index = 0; index < count; index++) {
            ids.add(parts[index]);
        }
    }

    /** The bytes of an id, none where the vocabulary has no such id. */
    byte[] bytes(int id) {
        return bytes.getOrDefault(id, new byte[0]);
    }

    private long merge(int left, int right) {
        return merges.getOrDefault((long) left << 32 | right, Long.MAX_VALUE);
    }

    private static byte[] bytes(String token, Map<Character, Byte> byLetter) {
        byte[] bytes = new byte[token.length()];
        for (int index = 0; index < bytes.length; index++) {
            Byte value = byLetter.get(token.charAt(index));
            if (value == null) {
                return token.getBytes(StandardCharsets.UTF_8);
            }
            bytes[index] = value;
        }
        return bytes;
    }
}
