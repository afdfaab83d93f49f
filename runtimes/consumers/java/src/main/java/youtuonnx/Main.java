package youtuonnx;

import ai.onnxruntime.OrtException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Locale;

/** A chat on standard input and output, one message a line. */
public final class Main {
    private static final String USAGE = "usage: youtuonnx.Main BUNDLE [--provider cpu|cuda|dml] [--system TEXT] "
            + "[--max-tokens N] [--no-thinking]";

    private String folder, provider, system;
    private int maxTokens = 512;
    private boolean thinking = true;

    private Main(String[] arguments) {
        Deque<String> left = new ArrayDeque<>(List.of(arguments));
        while (!left.isEmpty()) {
            String name = left.pop();
            switch (name) {
                case "--no-thinking" -> thinking = false;
                case "--provider" -> provider = value(name, left);
                case "--system" -> system = value(name, left);
                case "--max-tokens" -> maxTokens = Integer.parseInt(value(name, left));
                default -> {
                    if (name.startsWith("-") || folder != null) {
                        throw new IllegalArgumentException(name + " is not understood");
                    }
                    folder = name;
                }
            }
        }
        if (folder == null || maxTokens < 1) {
            throw new IllegalArgumentException(folder == null ? "no BUNDLE is named" : "--max-tokens is at least 1");
        }
    }

    public static void main(String[] arguments) {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        Main main;
        try {
            main = new Main(arguments);
        } catch (IllegalArgumentException error) {
            System.err.println(error.getMessage() + "\n" + USAGE);
            System.exit(2);
            return;
        }
        try (OrtChat chat = new OrtChat(Path.of(main.folder), main.provider)) {
            main.talk(chat, out);
        } catch (IOException | OrtException | IllegalArgumentException | UnsatisfiedLinkError error) {
            System.err.println("error: " + (error instanceof IOException ? error : error.getMessage()));
            System.exit(1);
        }
    }

    private void talk(OrtChat chat, PrintStream out) throws IOException, OrtException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Conversation conversation = new Conversation(system, maxTokens, thinking);
        PrintStream told = new PrintStream(System.err, true, StandardCharsets.UTF_8);
        String line;
        prompt(out);
        while (!conversation.left() && (line = in.readLine()) != null) {
            String ask = line.strip();
            try {
                if (Command.isCommand(ask)) {
                    Conversation.Next next = conversation.obey(ask);
                    if (next.say() != null) {
                        told.println(next.say());
                    }
                    ask = next.ask() == null ? "" : next.ask();
                }
                if (!ask.isEmpty()) {
                    answer(chat, conversation, ask, out);
                }
            } catch (CommandException error) {
                told.println("error: " + error.getMessage());
            }
            if (!conversation.left()) {
                prompt(out);
            }
        }
    }

    private static void answer(OrtChat chat, Conversation conversation, String question, PrintStream out) throws OrtException {
        List<Message> messages = conversation.messages();
        messages.add(new Message("user", question));
        long began = System.nanoTime();
        int[] pieces = {0};
        String reply = chat.reply(messages, conversation.thinking(), conversation.maxTokens(), piece -> {
            pieces[0] += piece.isEmpty() ? 0 : 1;
            out.print(piece);
            out.flush();
        });
        out.println();
        double seconds = (System.nanoTime() - began) / 1e9;
        conversation.add(question, reply, String.format(Locale.ROOT, "last answer  %d pieces of text in %.2f s", pieces[0], seconds));
    }

    private static void prompt(PrintStream out) {
        out.print("> ");
        out.flush();
    }

    private static String value(String name, Deque<String> left) {
        if (left.isEmpty()) {
            throw new IllegalArgumentException(name + " needs a value");
        }
        return left.pop();
    }
}
