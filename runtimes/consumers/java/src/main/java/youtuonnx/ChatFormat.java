package youtuonnx;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * A conversation as the model reads it: Youtu's chat format, without tools.
 *
 * <p>Only this class writes control tokens. What a message says is encoded as plain characters, so no text can forge a role;
 * an assistant's own text may hold its thinking and its calls.
 */
public final class ChatFormat {
    private static final Set<String> OWN = Set.of("<think>", "</think>", "<tool_call>", "</tool_call>");

    private final BundleTokenizer tokenizer;
    private final String begin, end;

    public ChatFormat(Path folder, BundleTokenizer tokenizer) throws IOException {
        this.tokenizer = tokenizer;
        Map<String, Object> config = Json.read(folder.resolve("tokenizer_config.json"));
        begin = named(config, "bos_token");
        end = named(config, "eos_token");
    }

    /**
     * Token ids of a prompt.
     *
     * @param reply whether the assistant speaks next
     * @param thinking false tells the model to answer at once
     * @param text where to write the prompt as text
     * @throws IllegalArgumentException an unknown role
     */
    public List<Integer> prompt(List<Message> messages, boolean reply, boolean thinking, StringBuilder text) {
        List<Integer> prompt = new ArrayList<>();
        control(begin, prompt, text);
        plain(messages.stream().filter(message -> message.role().equals("system")).map(Message::content)
                .collect(Collectors.joining("\n\n")), prompt, text);
        int lastQuestion = messages.stream().map(Message::role).toList().lastIndexOf("user");
        for (int index = 0; index < messages.size(); index++) {
            Message message = messages.get(index);
            switch (message.role()) {
                case "system" -> { }
                case "user" -> {
                    control("<|User|>", prompt, text);
                    plain(message.content(), prompt, text);
                }
                case "assistant" -> {
                    control("<|Assistant|>", prompt, text);
                    String said = said(message, index > lastQuestion);
                    prompt.addAll(tokenizer.encodeControl(said, OWN));
                    text.append(said);
                    control(end, prompt, text);
                }
                default -> throw new IllegalArgumentException(
                        "a message's role is " + message.role() + "; expected system, user or assistant");
            }
        }
        if (reply) {
            control("<|Assistant|>" + (thinking ? "" : "<think>\n\n</think>\n\n"), prompt, text);
        }
        return prompt;
    }

    /** An assistant's text. Thinking is kept only after the last question. */
    private static String said(Message message, boolean withThinking) {
        String thinking = message.reasoning(), content = message.content();
        int close = content.indexOf("</think>");
        if (close >= 0) {
            String before = content.substring(0, close);
            int open = before.lastIndexOf("<think>");
            thinking = before.substring(open < 0 ? 0 : open + "<think>".length()).replaceAll("^\n+|\n+\\z", "");
            content = content.substring(content.lastIndexOf("</think>") + "</think>".length()).replaceAll("^\n+", "");
        }
        return (withThinking && !thinking.isEmpty() ? "<think>\n" + thinking + "\n</think>\n\n" : "") + content;
    }

    private void control(String literal, List<Integer> prompt, StringBuilder text) {
        prompt.addAll(tokenizer.encodeControl(literal, null));
        text.append(literal);
    }

    private void plain(String said, List<Integer> prompt, StringBuilder text) {
        prompt.addAll(tokenizer.encode(said));
        text.append(said);
    }

    /** A token's literal: a string, or an object with the string in it. */
    private static String named(Map<String, Object> config, String name) {
        Object token = config.get(name);
        return token instanceof String literal ? literal : (String) Json.object(token).get("content");
    }
}
