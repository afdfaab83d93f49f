package youtuonnx;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** JSON as maps, lists, strings, doubles, booleans and null. Own code because the JDK has none, and one library is enough. */
final class Json {
    private static final int DEEPEST = 200;

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /**
     * The object that a file holds.
     *
     * @throws IOException the file can't be read, or isn't a JSON object
     */
    static Map<String, Object> read(Path path) throws IOException {
        try {
            return object(parse(Files.readString(path, StandardCharsets.UTF_8)));
        } catch (IllegalArgumentException | ClassCastException error) {
            throw new IOException(path + " holds no JSON object: " + error.getMessage(), error);
        }
    }

    /** @throws IllegalArgumentException the text isn't JSON */
    static Object parse(String text) {
        Json json = new Json(text);
        Object value = json.value(0);
        json.space();
        if (json.at != text.length()) {
            throw json.error("the end");
        }
        return value;
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> object(Object value) {
        return (Map<String, Object>) value;
    }

    @SuppressWarnings("unchecked")
    static List<Object> list(Object value) {
        return (List<Object>) value;
    }

    /** A text as JSON writes it. */
    static String quoted(String text) {
        StringBuilder made = new StringBuilder("\"");
        for (char one : text.toCharArray()) {
            if (one == '"' || one == '\\') {
                made.append('\\').append(one);
            } else if (one < ' ' || Character.isSurrogate(one)) {
                made.append(String.format("\\u%04x", (int) one)); // half of a pair can't be written in UTF-8
            } else {
                made.append(one);
            }
        }
        return made.append('"').toString();
    }

    static int integer(Object value) {
        return ((Double) value).intValue();
    }

    private Object value(int depth) {
        if (depth > DEEPEST) {
            throw error("fewer levels than " + DEEPEST);
        }
        space();
        return switch (peek()) {
            case '{' -> fields(depth);
            case '[' -> items(depth);
            case '"' -> string();
            case 't' -> word("true", true);
            case 'f' -> word("false", false);
            case 'n' -> word("null", null);
            default -> number();
        };
    }

    private Map<String, Object> fields(int depth) {
        Map<String, Object> fields = new LinkedHashMap<>();
        at++;
        space();
        boolean more = peek() != '}';
        while (more) {
            space();
            String name = string();
            space();
            expect(':');
            fields.put(name, value(depth + 1));
            space();
            more = peek() != '}';
            if (more) {
                expect(',');
            }
        }
        at++;
        return fields;
    }

    private List<Object> items(int depth) {
        List<Object> items = new ArrayList<>();
        at++;
        space();
        boolean more = peek() != ']';
        while (more) {
            items.add(value(depth + 1));
            space();
            more = peek() != ']';
            if (more) {
                expect(',');
            }
        }
        at++;
        return items;
    }

    private String string() {
        expect('"');
        StringBuilder made = new StringBuilder();
        while (peek() != '"') {
            made.append(peek() == '\\' ? escaped() : text.charAt(at++));
        }
        at++;
        return made.toString();
    }

    private char escaped() {
        at++;
        char kind = peek();
        at++;
        int simple = "\"\\/bfnrt".indexOf(kind);
        if (simple >= 0) {
            return "\"\\/\b\f\n\r\t".charAt(simple);
        }
        if (kind != 'u' || at + 4 > text.length()) {
            throw error("an escape");
        }
        at += 4;
        return (char) Integer.parseInt(text, at - 4, at, 16);
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) {
            throw error(word);
        }
        at += word.length();
        return value;
    }

    private Double number() {
        int start = at;
        while (at < text.length() && "+-.0123456789eE".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        if (start == at) {
            throw error("a value");
        }
        return Double.valueOf(text.substring(start, at));
    }

    private char peek() {
        if (at >= text.length()) {
            throw error("more");
        }
        return text.charAt(at);
    }

    private void expect(char wanted) {
        if (peek() != wanted) {
            throw error("'" + wanted + "'");
        }
        at++;
    }

    private void space() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private IllegalArgumentException error(String expected) {
        return new IllegalArgumentException("no JSON: expected " + expected + " at character " + at);
    }
}
