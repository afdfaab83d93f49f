package youtuonnx;

import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** Gives what the sample makes of tests/vectors/*.json, as JSON: youtuonnx.Vectors VECTORS BUNDLE [logits] */
final class Vectors {
    /** What a vector becomes. */
    private interface Giver {
        String give(Map<String, Object> one) throws Exception;
    }

    private final Map<String, Object> vectors;

    private Vectors(Map<String, Object> vectors) {
        this.vectors = vectors;
    }

    public static void main(String[] arguments) throws Exception {
        Vectors vectors = new Vectors(Json.read(Path.of(arguments[0])));
        List<String> lines = new ArrayList<>();
        try (OrtChat chat = new OrtChat(Path.of(arguments[1]), "cpu")) {
            if (arguments.length == 2) {
                lines.add(vectors.each("texts", one -> text(one, chat, chat.tokenizer.encode((String) one.get("text")))));
                lines.add(vectors.each("literals", one ->
                        text(one, chat, chat.tokenizer.encodeControl((String) one.get("text"), null))));
                lines.add(vectors.each("chats", one -> prompt(one, chat)));
                lines.add(vectors.each("greedy", one ->
                        chat.generate(ids(one), Json.list(one.get("tokens")).size(), token -> { }).toString()));
            }
            vectors.vectors.put("logits", vectors.vectors.get("greedy"));
            lines.add(vectors.each("logits", one -> java.util.Arrays.toString(chat.logits(ids(one)))));
        }
        new PrintStream(System.out, true, StandardCharsets.UTF_8).println("{" + String.join(",\n", lines) + "}");
    }

    private String each(String name, Giver giver) throws Exception {
        List<String> given = new ArrayList<>();
        for (Object one : Json.list(vectors.get(name))) {
            given.add(giver.give(Json.object(one)));
        }
        return "\"" + name + "\": [" + String.join(",\n", given) + "]";
    }

    private static String text(Map<String, Object> one, OrtChat chat, List<Integer> ids) {
        TextStream stream = new TextStream(chat.tokenizer);
        String streamed = ids(one).stream().map(stream::push).collect(Collectors.joining());
        return "{\"ids\": " + ids + ", \"decoded\": " + quoted(chat.tokenizer.decode(ids(one))) + ", \"streamed\": "
                + quoted(streamed + stream.finish()) + "}";
    }

    private static String prompt(Map<String, Object> one, OrtChat chat) {
        Map<String, Object> options = Json.object(one.get("options"));
        if (options.containsKey("tools")) {
            return "null";
        }
        List<Message> messages = Json.list(one.get("messages")).stream().map(Json::object).map(message -> new Message(
                (String) message.get("role"), (String) message.get("content"),
                (String) message.getOrDefault("reasoning_content", ""))).toList();
        StringBuilder text = new StringBuilder();
        List<Integer> ids = chat.format.prompt(messages, !Boolean.FALSE.equals(options.get("add_generation_prompt")),
                !Boolean.FALSE.equals(options.get("enable_thinking")), text);
        return "{\"prompt\": " + quoted(text.toString()) + ", \"ids\": " + ids + "}";
    }

    private static List<Integer> ids(Map<String, Object> one) {
        return Json.list(one.get("ids")).stream().map(Json::integer).toList();
    }

    private static String quoted(String text) {
        return text.chars().mapToObj(letter -> String.format("\\u%04x", letter)).collect(Collectors.joining("", "\"", "\""));
    }
}
