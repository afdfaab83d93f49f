package youtuonnx;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/** A conversation, how its replies are written, and what its commands do. */
final class Conversation {
    private static final Set<String> ROLES = Set.of("system", "user", "assistant");

    private String system;
    private int maxTokens;
    private boolean thinking;
    private boolean left;
    private String stats = "nothing was answered yet";
    private final List<Message> turns = new ArrayList<>();

    /** @param system null where there is none */
    Conversation(String system, int maxTokens, boolean thinking) {
        this.system = system;
        this.maxTokens = maxTokens;
        this.thinking = thinking;
    }

    /** What to tell the user, and what to ask the model then; null: nothing. */
    record Next(String say, String ask) {
    }

    int maxTokens() {
        return maxTokens;
    }

    boolean thinking() {
        return thinking;
    }

    /** Whether /exit was said. */
    boolean left() {
        return left;
    }

    /** Questions and answers, after the system message where there is one. */
    List<Message> messages() {
        List<Message> all = new ArrayList<>();
        if (system != null) {
            all.add(new Message("system", system));
        }
        all.addAll(turns);
        return all;
    }

    /** Remember a question, its answer, and what /stats says of it. */
    void add(String question, String answer, String stats) {
        turns.add(new Message("user", question));
        turns.add(new Message("assistant", answer));
        this.stats = stats;
    }

    /** @throws CommandException it can't be done; the conversation is as it was */
    Next obey(String line) throws CommandException {
        String name = line.split("\\s", 2)[0];
        String rest = line.substring(name.length()).strip();
        switch (Command.of(name, rest)) {
            case HELP:
                return new Next(Command.list(), null);
            case RESET:
                turns.clear();
                return new Next("the conversation starts anew", null);
            case RETRY:
                return new Next(null, takeBack());
            case EDIT:
                takeBack();
                return new Next(null, rest);
            case SYSTEM:
                system = rest.equals("-") ? null : rest.isEmpty() ? system : rest;
                return new Next(system == null ? "there is no system message" : "system: " + system, null);
            case SET:
                return new Next(set(rest), null);
            case SAVE:
                return new Next(save(rest), null);
            case LOAD:
                return new Next(load(rest), null);
            case STATS:
                return new Next(stats, null);
            default:
                left = true;
                return new Next(null, null);
        }
    }

    private String takeBack() throws CommandException {
        int place = turns.size() - 1;
        while (place >= 0 && !turns.get(place).role().equals("user")) {
            place--;
        }
        if (place < 0) {
            throw new CommandException("nothing was asked yet");
        }
        String question = turns.get(place).content();
        turns.subList(place, turns.size()).clear();
        return question;
    }

    private String set(String rest) throws CommandException {
        String[] words = rest.split("[\\s=]+", 2);
        if (words.length == 1 && !rest.isEmpty()) {
            throw new CommandException("/set " + words[0] + " needs a value");
        }
        if (words.length == 2) {
            set(words[0], words[1]);
        }
        return "max_tokens   " + maxTokens + "\nthinking     " + (thinking ? "on" : "off");
    }

    private void set(String name, String value) throws CommandException {
        if (name.equals("thinking") && (value.equals("on") || value.equals("off"))) {
            thinking = value.equals("on");
        } else if (name.equals("max_tokens") && value.matches("[1-9]\\d{0,8}")) {
            maxTokens = Integer.parseInt(value);
        } else {
            throw new CommandException(name + " can't be " + value + "; there is max_tokens NUMBER, thinking on or off");
        }
    }

    private String save(String file) throws CommandException {
        if (Files.exists(path(file))) {
            read(file); // what is no conversation isn't replaced
        }
        String lines = messages().stream()
                .map(one -> "  {\"role\": " + Json.quoted(one.role()) + ", \"content\": " + Json.quoted(one.content()) + "}")
                .collect(Collectors.joining(",\n"));
        try {
            Files.writeString(path(file), "{\"messages\": [\n" + lines + "\n]}\n", StandardCharsets.UTF_8);
        } catch (IOException error) {
            throw new CommandException("can't write " + file + ": " + error);
        }
        return "written to " + file;
    }

    private String load(String file) throws CommandException {
        List<Message> found = read(file);
        boolean opens = !found.isEmpty() && found.get(0).role().equals("system");
        system = opens ? found.get(0).content() : null;
        turns.clear();
        turns.addAll(found.subList(opens ? 1 : 0, found.size()));
        return turns.size() + " messages; the conversation goes on";
    }

    private static List<Message> read(String file) throws CommandException {
        List<Message> found = new ArrayList<>();
        try {
            for (Object one : Json.list(Json.read(path(file)).get("messages"))) {
                Map<String, Object> message = Json.object(one);
                String role = (String) message.get("role");
                String content = (String) message.get("content");
                if (content == null || !ROLES.contains(role)) {
                    throw new CommandException(file + " is no conversation: it has another kind of message");
                }
                found.add(new Message(role, content, (String) message.getOrDefault("reasoning_content", "")));
            }
        } catch (IOException | ClassCastException | NullPointerException error) {
            throw new CommandException(file + " is no conversation: " + error.getMessage());
        }
        return found;
    }

    private static Path path(String file) throws CommandException {
        try {
            return Path.of(file);
        } catch (InvalidPathException error) {
            throw new CommandException("no file can be called so: " + error.getMessage());
        }
    }
}
