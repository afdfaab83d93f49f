package youtuonnx;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/** What begins with a slash: the commands of youtu-onnx chat. */
enum Command {
    HELP("", "this list"),
    RESET("", "forget the conversation and start anew"),
    RETRY("", "answer the last question again"),
    EDIT("TEXT", "ask something else in place of the last question"),
    SYSTEM("[TEXT]", "show the system message, or set it; - takes it away"),
    SET("[NAME VALUE]", "show settings, or set one: max_tokens, thinking"),
    SAVE("FILE", "write the conversation as JSON"),
    LOAD("FILE", "go on with a conversation that was written as JSON"),
    STATS("", "how long the last answer took"),
    EXIT("", "leave");

    private final String arguments;
    private final String meaning;

    Command(String arguments, String meaning) {
        this.arguments = arguments;
        this.meaning = meaning;
    }

    /** Whether a line is a command, or a word alone that looks like one. */
    static boolean isCommand(String line) {
        String name = line.split("\\s", 2)[0];
        return line.startsWith("/") && (named(name) != null || name.equals(line));
    }

    /** @throws CommandException there is none of this name, or it has no such arguments */
    static Command of(String name, String rest) throws CommandException {
        Command found = named(name);
        if (found == null) {
            throw new CommandException("no command " + name + "; /help lists them");
        }
        if (!rest.isEmpty() && found.arguments.isEmpty()) {
            throw new CommandException(name + " stands alone");
        }
        if (rest.isEmpty() && !found.arguments.isEmpty() && !found.arguments.startsWith("[")) {
            throw new CommandException(name + " needs " + found.arguments);
        }
        return found;
    }

    static String list() {
        return Arrays.stream(values())
                .map(one -> String.format("%-19s %s", one.slashed() + " " + one.arguments, one.meaning))
                .collect(Collectors.joining("\n"));
    }

    private static Command named(String name) {
        return Arrays.stream(values()).filter(one -> one.slashed().equals(name)).findFirst().orElse(null);
    }

    private String slashed() {
        return "/" + name().toLowerCase(Locale.ROOT);
    }
}
